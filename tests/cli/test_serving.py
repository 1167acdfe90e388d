"""`serve-scanner`: a pipeline on another machine gets the very same samples."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from knightshift.core.run_folder import open_run

from .conftest import Cli

_TOKEN = "a token of the test, long enough"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    token = tmp_path / "token.txt"
    token.write_text(_TOKEN)
    arguments = ["serve-scanner", "tcp://127.0.0.1:0", "--token-file", str(token), "--virtual-clock"]
    command = [sys.executable, "-c", "from knightshift.cli import main; main()", *arguments]
    command += ["--phantom", "shorted", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(r"tcp://127\.0\.0\.1:\d+", process.stdout.readline())
        assert match
        yield match.group()
        process.send_signal(signal.SIGINT)
        assert "safe and closed" in process.stdout.read()
        assert process.wait(20) == 0


def _site(tmp_path: Path, url: str, token: str) -> Path:
    (tmp_path / "client.txt").write_text(token)
    site = tmp_path / "far.yaml"
    site.write_text(
        f"backend: remote\nlimits: microimaging_9t4\nsettings:\n  url: {url}\n  token_file: {tmp_path / 'client.txt'}\n"
    )
    return site


def test_run_over_a_link_equals_a_run_without_it(
    cli: Cli, protocol: Path, finished_run: Path, tmp_path: Path, served: str
) -> None:
    far = _site(tmp_path, served, _TOKEN)
    result = cli("acquire", protocol, "--scanner", far, "--runs", tmp_path / "runs", "--virtual-clock")
    assert result.returncode == 0, result.stderr
    (path,) = (tmp_path / "runs").iterdir()
    here, there = open_run(finished_run), open_run(path)
    for index in here.committed():
        assert there.read_pass(index).samples.tobytes() == here.read_pass(index).samples.tobytes()
        assert there.read_pass(index).started == here.read_pass(index).started


def test_wrong_token_is_refused(cli: Cli, protocol: Path, tmp_path: Path, served: str) -> None:
    far = _site(tmp_path, served, "another token, as long as the first")
    result = cli("acquire", protocol, "--scanner", far, "--runs", tmp_path / "runs", "--virtual-clock")
    assert result.returncode in (2, 3)
    assert "token" in result.stderr
    assert "Traceback" not in result.stderr


def test_tcp_without_a_token_is_refused(cli: Cli) -> None:
    result = cli("serve-scanner", "tcp://127.0.0.1:0")
    assert result.returncode == 2
    assert "token" in result.stderr


def test_a_remote_scanner_takes_no_phantom_of_the_client(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    result = cli("acquire", protocol, "--runs", tmp_path / "runs", "--scanner", "remote", "--phantom", "shorted")
    assert result.returncode == 2
    assert "--phantom and --seed belong to the simulated scanner" in result.stderr


def test_faults_of_the_side_that_acquires_are_not_served(cli: Cli) -> None:
    result = cli("serve-scanner", "tcp://127.0.0.1:0", "--scanner", "rehearsal")
    assert result.returncode == 2
    assert "link_unplug" in result.stderr
    assert "give them to its site file" in result.stderr
