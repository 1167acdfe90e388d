"""Shares the writer of synthetic runs with the tests of the reconstruction."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_WRITERS = Path(__file__).resolve().parents[1] / "reconstruction" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("reconstruction_writers", _WRITERS)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)
synthetic_run, small_encoding = _MODULE.synthetic_run, _MODULE.small_encoding
