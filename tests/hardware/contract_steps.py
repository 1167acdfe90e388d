"""What the contract suite is made of: ways into every state, programs with a fault, counters by another reader."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pypulseq as pp
import pytest

from knightshift.core.passes import Readout
from knightshift.core.program import PassProgram
from knightshift.hardware.contract import Scanner, ScannerState

S = ScannerState
REACHABLE = [S.DISCONNECTED, S.IDLE, S.PREPARED, S.ACQUIRING, S.STOPPING]
Force: TypeAlias = Callable[[Scanner, ScannerState], None] | None
_LABELS = {
    "LIN": "kspace_encode_step_1",
    "PAR": "kspace_encode_step_2",
    "ECO": "contrast",
    "SLC": "slice",
    "SET": "set",
}


def bring_to(scanner: Scanner, state: ScannerState, program: PassProgram) -> None:
    """Drive `scanner` from DISCONNECTED to `state` by legal calls."""
    way: dict[ScannerState, list[Callable[[], Any]]] = {
        S.DISCONNECTED: [],
        S.IDLE: [scanner.connect],
        S.PREPARED: [scanner.connect, lambda: scanner.prepare(program)],
        S.ACQUIRING: [scanner.connect, lambda: scanner.prepare(program), lambda: scanner.start(0)],
        S.STOPPING: [scanner.connect, lambda: scanner.prepare(program), lambda: scanner.start(0), scanner.stop],
    }
    for call in way[state]:
        call()
    assert scanner.status().state is state


def bring_anywhere(scanner: Scanner, state: ScannerState, program: PassProgram, force: Force) -> None:
    """As `bring_to`, and to FAULT and UNKNOWN if the backend can be made to."""
    if state in REACHABLE:
        bring_to(scanner, state, program)
        return
    if force is None:
        pytest.skip(f"this backend was given no way to {state} on demand")
    scanner.connect()
    force(scanner, state)
    assert scanner.status().state is state


def issue(scanner: Scanner, command: str, program: PassProgram) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "prepare": (program,),
        "start": (7,),
        "set_frequency": (program.working_frequency,),
        "set_receiver_gain": (0.0,),
    }
    getattr(scanner, command)(*arguments.get(command, ()))


def expected_counters(program: PassProgram) -> dict[str, np.ndarray]:
    """Counters of each readout as pypulseq, which no backend of ours uses, reads them from the labels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pass.seq"
        path.write_text(program.pulseq)
        sequence = pp.Sequence()
        sequence.read(str(path))
    found = sequence.evaluate_labels(evolution="adc")
    return {_LABELS[label]: np.asarray(values) for label, values in found.items() if label in _LABELS}


def with_event(program: PassProgram, section: str, column: int, row: str) -> PassProgram:
    """Let the first block of `program` play one more event: `row`, whose id is 999."""
    lines = program.pulseq.splitlines()
    if section not in lines:
        lines += ["", section]
    lines.insert(lines.index(section) + 1, row)
    first = next(n for n in range(lines.index("[BLOCKS]") + 1, len(lines)) if lines[n].strip()[:1].isdigit())
    words = lines[first].split()
    words[column] = "999"
    lines[first] = " ".join(words)
    return replace(program, pulseq="\n".join(lines) + "\n")


def with_strong_pulse(program: PassProgram) -> PassProgram:
    """Let the first block of `program` play a pulse of a gigahertz."""
    shape = "shape_id 999\nnum_samples 2\n1\n1\n"
    shaped = with_event(program, "[RF]", 2, "999 1e9 999 0 0 1 0 0 0 0 0 e")
    if "[SHAPES]" in shaped.pulseq:
        return replace(shaped, pulseq=shaped.pulseq.replace("[SHAPES]", f"[SHAPES]\n\n{shape}", 1))
    return replace(shaped, pulseq=f"{shaped.pulseq}\n[SHAPES]\n\n{shape}")


def play(scanner: Scanner, pass_index: int = 0, epoch: int = 0) -> list[Readout]:
    """Play the armed program once."""
    scanner.start(pass_index, epoch)
    return list(scanner.readouts(1.0))
