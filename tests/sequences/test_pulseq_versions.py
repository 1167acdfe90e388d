"""Every protocol family as Pulseq 1.4 and 1.5: timing, k-space and CPMG condition after reading the file back."""

from __future__ import annotations

import numpy as np
import pytest

from knightshift.core.limits import ScannerLimits
from knightshift.core.yaml_files import read_config
from knightshift.sequences import as_pulseq_version, build, load_protocol, sequence_of

LIMITS: ScannerLimits = read_config(ScannerLimits, "limits", "microimaging_9t4")


@pytest.mark.parametrize("version", ["1.4", "1.5"])
@pytest.mark.parametrize("name", ["quick_look", "overnight_t2_train", "gradient_echo", "spectrum"])
def test_what_is_read_back_holds_timing_limits_and_k_space(name, version) -> None:
    measurement = as_pulseq_version(build(load_protocol(name), LIMITS), version)
    program, encoding = measurement.programs[-1], measurement.encoding
    assert f"minor {version[-1]}\n" in program.pulseq
    sequence = sequence_of(program, LIMITS)
    correct, faults = sequence.check_timing()
    assert correct, faults[:3]
    assert sequence.duration()[0] == pytest.approx(program.duration, abs=1e-6)
    assert float(sequence.definitions["WorkingFrequency"]) == pytest.approx(program.working_frequency, abs=0.01)
    if encoding.kind == "spectrum":
        return
    k = sequence.calculate_kspace()[0].reshape(3, program.n_readouts, program.samples)
    readout, phase = ("xyz".index(encoding.axes[axis]) for axis in (2, 1))
    step = 1 / encoding.field_of_view[1]
    np.testing.assert_allclose(k[readout, :, round(encoding.center_sample)], 0.0, atol=1e-3 * step)
    lines = np.round(k[phase, :, 0] / step).astype(int)
    np.testing.assert_allclose(k[phase], np.broadcast_to(lines[:, None] * step, k[phase].shape), atol=1e-3 * step)
    assert set(lines) == set(range(-(encoding.matrix[1] // 2), encoding.matrix[1] // 2))
