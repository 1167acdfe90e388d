"""Coverage-guided fuzzing of the ParaVision parameter reader: ``python benchmarks/fuzz_jcamp.py -runs=100000``.

Anything but a typed error, or a value that takes more memory or time than it should, is a finding. Needs
``pip install atheris`` (Linux); the options are those of libFuzzer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["knightshift.reconstruction.readers"]):
    from knightshift.core.errors import DamagedDataError
    from knightshift.reconstruction.readers.jcamp import MAX_VALUES, flat_values, read_parameters

FOLDER = Path(tempfile.mkdtemp())


def one_input(content: bytes) -> None:
    """Read one spoiled value and one spoiled file."""
    try:
        if len(flat_values(content.decode("latin-1"))) > MAX_VALUES:
            raise AssertionError("more values than allowed")
    except ValueError:
        pass
    path = FOLDER / "acqp"
    path.write_bytes(b"##TITLE=x\n##$A=" + content + b"\n##$B=( 2 )\n1 2\n##END=\n")
    try:
        file = read_parameters(path)
        for name in ("A", "B"):
            if name in file:
                file.shape(name)
                file.floats(name)
    except DamagedDataError:
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
