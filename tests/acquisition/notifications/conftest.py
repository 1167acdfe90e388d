"""A web server on loopback that takes messages and pings: one that answers, one that hangs, one that redirects."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

SECRET = "hunter2token"


class Sink:
    """Remembers what it was asked; ``status`` is what it answers, after waiting for ``gate``."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.status, self.location = 200, ""
        self.gate = threading.Event()
        self.gate.set()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                sink.requests.append((self.command, self.path, body))
                sink.gate.wait(20)
                self.send_response(sink.status)
                if sink.location:
                    self.send_header("Location", sink.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def hang(self) -> None:
        self.gate.clear()

    @property
    def service(self) -> str:
        """Address for apprise, with a secret in it."""
        return f"json://user:{SECRET}@127.0.0.1:{self.port}/{SECRET}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{SECRET}"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.requests if body]

    @property
    def titles(self) -> list[str]:
        return [message["title"].partition(": ")[2] for message in self.messages]

    def attachments(self, title: str) -> list[bytes]:
        wanted = [message for message in self.messages if message["title"].endswith(title)]
        return [base64.b64decode(part["base64"]) for message in wanted for part in message["attachments"]]

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration that only its owner can read."""

    def write(**content: Any) -> Path:
        path = tmp_path / "notify.yaml"
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    return write


def until(true: Callable[[], object], patience: float = 10.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
