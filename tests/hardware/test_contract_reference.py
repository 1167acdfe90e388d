"""The reference page says what the contract says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from knightshift.core import errors
from knightshift.hardware.contract import TRANSITIONS, Scanner, ScannerState
from knightshift.hardware.contract_reference import BEGIN, END, with_current_transitions
from knightshift.hardware.replay import RecordingDescription

_REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGE = (_REFERENCE / "scanner-contract.md").read_text(encoding="utf-8")


def test_the_table_of_transitions_is_current() -> None:
    assert PAGE.count(BEGIN) == PAGE.count(END) == 1
    assert with_current_transitions(PAGE) == PAGE, (
        "write it again: page = Path('docs/reference/scanner-contract.md'); "
        "page.write_text(with_current_transitions(page.read_text()))"
    )


@pytest.mark.parametrize("state", ScannerState)
def test_every_state_is_explained(state: ScannerState) -> None:
    assert f"\n| `{state}` | " in PAGE


def test_every_call_is_explained_and_no_other() -> None:
    calls = {name for name, _ in inspect.getmembers(Scanner, inspect.isfunction) if not name.startswith("_")}
    section = PAGE.partition("## What each call promises")[2].partition("\n## ")[0]
    told = {line.split("`")[1].partition("(")[0] for line in section.splitlines() if line.startswith("| `")}
    assert told - {"with scanner:"} == calls
    assert set(TRANSITIONS) <= calls


def test_every_fault_is_explained_with_whether_it_is_transient() -> None:
    faults = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ScannerFault)]
    for fault in faults:
        assert f"\n| `{fault.__name__}` | {'yes' if fault.transient_by_default else 'no'} | " in PAGE


def test_every_key_of_a_recording_is_explained() -> None:
    page = (_REFERENCE / "recordings.md").read_text(encoding="utf-8")
    for name in RecordingDescription.model_fields:
        assert f"`{name}`" in page, name
