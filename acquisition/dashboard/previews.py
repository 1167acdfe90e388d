"""Images of the run that is looked at, made by another process of low priority: the page never computes.

The process is `knightshift preview --follow`. It writes into a folder of ours, never into the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from knightshift.core.durable import read_regular_file
from knightshift.core.errors import DamagedDataError

IDLE = 60.0
"""The process ends when nobody has looked for so long [s]."""
_NICENESS = 15
_MAX_PICTURE_BYTES = 16_000_000
_SUFFIX = ".png"


class Previews:
    """Keeps the images of one run up to date while somebody looks."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="knightshift-preview-")
        self._run: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()

    def want(self, run: Path) -> None:
        """Somebody looks at `run`: see to it that its images are being made."""
        self._wanted = time.monotonic()
        if run != self._run or self._process is None:
            self._end()
            self._run = run
            self._process = _begin(run, self._output(run))

    def rest_if_unwanted(self) -> None:
        """End the process when nobody has looked for a while."""
        if self._process is not None and time.monotonic() - self._wanted > IDLE:
            self._end()

    def _output(self, run: Path) -> Path:
        return Path(self._folder.name) / run.name

    def names(self, run: Path) -> dict[str, float]:
        """Tell which images of a run there are, and when each was made (s since 1970 UTC)."""
        try:
            return {path.name: path.stat().st_mtime for path in sorted(self._output(run).glob(f"*{_SUFFIX}"))}
        except OSError:
            return {}

    def picture(self, run: Path, name: str) -> bytes | None:
        """Give one image; None if there is none of that name."""
        if name not in self.names(run):
            return None
        try:
            return read_regular_file(self._output(run) / name, _MAX_PICTURE_BYTES)
        except DamagedDataError:  # made anew this moment
            return None

    def _end(self) -> None:
        """Kill the process: it writes whole files or none, and would take its time over a last picture."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None


def _begin(run: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "knightshift.cli", "preview", str(run), "--output", str(output)]
    command += ["--follow", "--every", "10 s"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    return subprocess.Popen(  # noqa: S603 - our own command; the run was found by listing its folder
        ["nice", "-n", str(_NICENESS), *command],  # noqa: S607 - a POSIX tool
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
