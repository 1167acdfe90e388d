"""Served scanners: over a wire in memory, over pseudo-terminals, over TCP."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from knightshift.core.clock import SystemClock
from knightshift.core.limits import ScannerLimits
from knightshift.core.program import PassProgram
from knightshift.core.yaml_files import read_config
from knightshift.hardware.remote import ServeOptions, serve

TOKEN = "a token for the tests of the link"


def _load(name: str, path: Path) -> ModuleType:
    """Load a module from beside the tests: tests are no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_HERE = Path(__file__).parent
loop = _load("remote_loop", _HERE / "loop.py")
_load("remote_campaign", _HERE / "campaign.py")


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KNIGHTSHIFT_SCANNER_TOKEN", TOKEN)
    return TOKEN


@pytest.fixture(scope="session")
def limits() -> ScannerLimits:
    return read_config(ScannerLimits, "limits", "microimaging_9t4")


@pytest.fixture(scope="session")
def plain_program() -> PassProgram:
    """A program for scanners that do not read it."""
    text = "# Pulseq\n" * 1500
    return PassProgram("plain", text, "23Na", 11.268847e6, 9.3982, 105.96e6, 1.0, 20, 8)


@pytest.fixture
def counting(limits: ScannerLimits) -> Any:
    return loop.CountingScanner(limits)


@pytest.fixture
def served_in_memory(counting: Any) -> Iterator[Any]:
    server = loop.LoopServer(counting)
    yield server
    server.close()


@pytest.fixture
def serve_on() -> Iterator[Callable[..., str]]:
    """Serve a scanner on a port or URL in a thread; gives the URL for clients."""
    with contextlib.ExitStack() as stack:

        def begin(scanner: Any, url: int | str, options: ServeOptions | None = None) -> str:
            stop, ready, found = threading.Event(), threading.Event(), []

            def on_ready(url: str) -> None:
                found.append(url)
                ready.set()

            def run() -> None:
                serve(scanner, url, stop=stop, options=options, on_ready=on_ready)

            thread = threading.Thread(target=run)
            thread.start()

            def end() -> None:
                stop.set()
                thread.join(10.0)
                assert not thread.is_alive()

            stack.callback(end)
            assert ready.wait(5.0)
            return found[0]

        yield begin


@pytest.fixture
def cable() -> Iterator[Any]:
    made = loop.PtyCable()
    yield made
    made.close()


@pytest.fixture
def memory_client(served_in_memory: Any) -> Iterator[Any]:
    """A connected client of `counting` over a wire in memory."""
    with served_in_memory.client(SystemClock(), token=TOKEN.encode()) as client:
        yield client
