"""Lets the tests of the examples import the contract suite and the example backend, neither of which is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "hardware"), str(_ROOT / "examples" / "own_backend")]
pytest.register_assert_rewrite("contract_refusals", "contract_steps", "contract_suite")
