"""Starting the command must not import what the command does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HEAVY = ("numpy", "scipy", "matplotlib", "pypulseq", "h5py", "pyfftw", "nibabel", "pint", "nmrglue")


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["demo", "--help"]], ids=" ".join)
def test_help_imports_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys, contextlib, io\n"
        "from knightshift.cli import main\n"
        f"sys.argv = ['knightshift', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        f"print(sorted(set({_HEAVY!r}) & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
