"""Starting the command must not import what the command does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_HEAVY = ("numpy", "numba", "scipy", "matplotlib", "pypulseq", "h5py", "pyfftw", "nibabel", "pint", "nmrglue")


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from knightshift.cli import main\n"
        "for words in ('--help', 'plan --help', 'demo --help'):\n"
        "    sys.argv = ['knightshift', *words.split()]\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):\n"
        "        main()\n"
        "    assert 'Usage: knightshift' in told.getvalue()\n"
        f"print(sorted(set({_HEAVY!r}) & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


_NEEDLESS = (
    "apprise",
    "dask",
    "matplotlib.figure",
    "matplotlib.pyplot",
    "nibabel",
    "nmrglue",
    "numba",
    "pandas",
    "pint",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.signal",
    "scipy.stats",
    "xarray",
)


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["plan", "overnight_t2"], ()),
        (["queue", "list"], ("numpy", "scipy", "pypulseq", "h5py")),
        (["status"], ("numpy", "scipy", "pypulseq", "h5py")),
        (["acquire", "overnight_t2", "--runs", "file", "--virtual-clock"], ()),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_of_the_evening_import_nothing_that_they_do_not_need(
    arguments: list[str], more: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder: the run is refused after all has been prepared")
    code = (
        "import sys, contextlib, io\n"
        "from knightshift.cli import main\n"
        f"sys.argv = ['knightshift', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):\n"
        "    main()\n"
        f"print(sorted(set({_NEEDLESS + more!r}) & set(sys.modules)), len(told.getvalue()) > 0)\n"
    )
    environment = {**os.environ, "KNIGHTSHIFT_QUEUE": str(tmp_path / "queue")}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert result.stdout.strip() == "[] True", result.stderr


def test_exports_batches_and_inspection_are_there_without_what_draws() -> None:
    readers_need = {"nibabel", "nmrglue", "scipy.optimize"}
    code = (
        "import sys\n"
        "import knightshift.cli.batching, knightshift.cli.exporting, knightshift.cli.inspecting\n"
        f"print(sorted({set(_NEEDLESS) - readers_need!r} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
