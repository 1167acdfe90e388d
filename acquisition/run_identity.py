"""Check that a run goes on as what it began: same protocol, same scanner, same software."""

from __future__ import annotations

import json
from typing import Any

from knightshift.core.errors import ResumeMismatchError
from knightshift.core.manifest import ScannerIdentity, software_versions
from knightshift.core.program import Measurement
from knightshift.core.run_folder import Run
from knightshift.hardware.contract import Scanner


def identity_of(scanner: Scanner) -> ScannerIdentity:
    """Ask a connected scanner who it is, in the form that a manifest holds."""
    identity = scanner.identify()
    return ScannerIdentity(backend=identity.backend, device=identity.device, version=identity.version)


def check_unchanged(run: Run, scanner: ScannerIdentity, measurement: Measurement | None) -> None:
    """Compare what is there now with the manifest.

    Parameters
    ----------
    run
        The run to be resumed.
    scanner
        Who the scanner says it is now.
    measurement
        What the protocol gives now; None if there is nothing to compare with.

    Raises
    ------
    ResumeMismatchError
        With one line for each thing that differs.
    """
    manifest = run.manifest
    name = "knightshift"
    pairs: dict[str, tuple[Any, Any]] = {
        f"{name} version": (manifest.versions.get(name), software_versions()[name]),
        "scanner backend": (manifest.scanner.backend, scanner.backend),
        "scanner": (manifest.scanner.device, scanner.device),
        "scanner software": (manifest.scanner.version, scanner.version),
    }
    if measurement is not None:
        pairs |= _compare_measurement(run, measurement)
    differing = [
        f"{what}: the run has {then!r}, now it is {now!r}" for what, (then, now) in pairs.items() if then != now
    ]
    if differing:
        raise ResumeMismatchError(
            f"{run.path}: cannot be resumed: " + "; ".join(differing) + ": restore these, or begin a new run"
        )


def _compare_measurement(run: Run, measurement: Measurement) -> dict[str, tuple[Any, Any]]:
    manifest = run.manifest
    then, now = _plain(manifest.protocol), _plain(measurement.protocol)
    pairs = {f"protocol {key}": (then.get(key), now.get(key)) for key in sorted(then.keys() | now.keys())}
    pairs["passes"] = (manifest.n_passes, measurement.n_passes)
    pairs["number of programs"] = (len(manifest.programs), len(measurement.programs))
    for number, (entry, program) in enumerate(zip(manifest.programs, measurement.programs, strict=False), start=1):
        pairs[f"program {number}"] = (entry.digest, program.digest)
    return pairs


def _plain(protocol: dict[str, Any]) -> dict[str, Any]:
    """Give the protocol as it comes back from JSON: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(protocol))
    return plain
