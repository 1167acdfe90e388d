"""The command line as a user meets it: its exit code and its words."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from knightshift.cli import main

SMALL_PROTOCOL = (Path(__file__).parents[1] / "small_protocol.yaml").read_text()

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run ``knightshift`` with arguments, in this process; never raises for an exit code, but for a traceback."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = ["knightshift", *map(str, arguments)]
        told, complained = io.StringIO(), io.StringIO()
        with patch.object(sys, "argv", words), redirect_stdout(told), redirect_stderr(complained):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return subprocess.CompletedProcess(words, code, told.getvalue(), complained.getvalue())

    return run


@pytest.fixture(scope="session")
def process() -> Cli:
    """Run ``knightshift`` with arguments as a process of its own; never raises for an exit code."""

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from knightshift.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    return run


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    """Write a protocol of twelve short passes."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_PROTOCOL)
    return path


@pytest.fixture(scope="session")
def finished_run(process: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Acquire that protocol once."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "small.yaml"
    path.write_text(SMALL_PROTOCOL)
    result = process("acquire", path, "--phantom", "shorted", "--runs", folder / "runs", "--virtual-clock", "--seed", 7)
    assert result.returncode == 0, result.stderr
    (run,) = (folder / "runs").iterdir()
    return run
