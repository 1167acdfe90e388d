"""Raw data of another console as a recording: arrays and a short description (docs/reference/recordings.md).

::

    <folder>/recording.yaml   what it is, every quantity with its unit, and the checksum of the arrays
             samples.npy      complex64, shape (readout, channel, sample)
             counters.npy     dtype COUNTERS, shape (readout,); ``average`` is the index of the pass

This room reads no format of any vendor: whoever can (``examples/replay_paravision.py``) exports to this.
"""

from __future__ import annotations

import hashlib
import io
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from knightshift.core.arrays import ComplexArray, IntArray
from knightshift.core.durable import storage_error, write_durably
from knightshift.core.errors import ConfigError, DamagedDataError, ShapeError
from knightshift.core.passes import COUNTERS
from knightshift.core.program import Encoding, Measurement, PassProgram
from knightshift.core.quantities import NonNegativeSeconds, PositiveHertz, PositiveMetres, PositiveSeconds, Tesla
from knightshift.core.yaml_files import read_yaml, validate
from knightshift.hardware.replay.listening_program import ListeningWindows, listening_program
from knightshift.hardware.replay.recording import RecordedPass

DESCRIPTION = "recording.yaml"
SAMPLES = "samples.npy"
COUNTERS_FILE = "counters.npy"

_UNITS = {
    "b0": "T",
    "working_frequency": "Hz",
    "repetition_time": "s",
    "dwell_time": "s",
    "echo_times": "s",
    "field_of_view": "m",
}
_HEADER_ERRORS = (
    OSError, ValueError, TypeError, OverflowError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError
)  # fmt: skip
"""What numpy lets through from the parser of a header that is none."""
_MAX_PASSES = 1_000_000
_REMEDY = "export the recording again"


class RecordingDescription(BaseModel):
    """What ``recording.yaml`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["knightshift recording 1"] = "knightshift recording 1"
    """What this folder is."""
    name: str = Field(min_length=1, max_length=100)
    """What to call it."""
    device: str
    """Console that recorded it."""
    nucleus: str
    """Isotope."""
    b0: Tesla
    """Field [T]."""
    working_frequency: PositiveHertz
    """Frequency of the receiver [Hz]."""
    receiver_gain: float = Field(default=0.0, allow_inf_nan=False)
    """Receiver gain [dB], 0 where the console does not say."""
    repetition_time: PositiveSeconds
    """Time in which the readouts of all echoes of one line are played [s]."""
    dwell_time: PositiveSeconds
    """Time between samples [s]."""
    echo_times: tuple[NonNegativeSeconds, ...] = Field(min_length=1)
    """Echo time of each contrast [s]."""
    matrix: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Voxels along ``(slice, phase_encode, readout)``."""
    field_of_view: tuple[PositiveMetres, PositiveMetres, PositiveMetres]
    """Along ``(slice, phase_encode, readout)`` [m]."""
    axes: tuple[str, str, str] = ("x", "z", "y")
    """Gradient axis of slice, phase_encode and readout."""
    center_sample: NonNegativeInt
    """Sample at k = 0."""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Checksum over ``samples.npy`` and then ``counters.npy``."""


@dataclass(frozen=True)
class KSpaceRecording:
    """An exported recording, its checksum verified."""

    folder: Path
    """Where it lies."""
    description: RecordingDescription
    """What it is."""
    samples: ComplexArray
    """complex64, shape ``(readout, channel, sample)``, read from the file when it is needed."""
    counters: IntArray
    """dtype `COUNTERS`, shape ``(readout,)``."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the folder that `write_kspace_recording` made.

        Raises
        ------
        ConfigError
            If the description is wrong.
        DamagedDataError
            If the arrays are not those that were written, or contradict themselves.
        """
        path = folder / DESCRIPTION
        description: RecordingDescription = validate(
            RecordingDescription, read_yaml(path), str(path), units_required=True
        )
        found = _digest(folder)
        if found != description.sha256:
            raise DamagedDataError(path, "sha256", f"{found} is the checksum of the arrays", _REMEDY)
        recording = cls(folder, description, _load(folder / SAMPLES), _load(folder / COUNTERS_FILE))
        _check_shapes(recording.samples, recording.counters, folder)
        recording._check_passes()
        return recording

    @property
    def device(self) -> str:
        """Console, and which recording it is."""
        return f"{self.description.device}, recording {self.description.name} {self.description.sha256[:12]}"

    @property
    def n_channels(self) -> int:
        """Receivers."""
        return int(self.samples.shape[1])

    @property
    def receiver_gain(self) -> float:
        """Receiver gain [dB]."""
        return self.description.receiver_gain

    @cached_property
    def _averages(self) -> IntArray:
        fields: Any = self.counters  # numpy's stubs know no field names
        return np.asarray(fields["average"])

    @cached_property
    def indices(self) -> tuple[int, ...]:
        """Passes that it holds, in order."""
        return tuple(int(index) for index in np.unique(self._averages))

    @cached_property
    def _complete(self) -> IntArray:
        """Counters of the first of the longest passes: what a pass is when nothing cut it."""
        longest = max(self.indices, key=lambda index: (int(np.sum(self._averages == index)), -index))
        return np.asarray(self.counters[self._averages == longest])

    @cached_property
    def programs(self) -> tuple[PassProgram, ...]:
        """The one program: it listens, since the recording does not hold what was transmitted."""
        text = self.description
        windows = ListeningWindows(
            samples=int(self.samples.shape[2]),
            dwell_time=text.dwell_time,
            interval=text.repetition_time / len(text.echo_times),
            counters=self._complete,
        )
        return (
            listening_program(
                text.name, windows, nucleus=text.nucleus, b0=text.b0, working_frequency=text.working_frequency
            ),
        )

    def read_pass(self, index: int) -> RecordedPass:
        """Read one pass. Raises `DamagedDataError` if it holds something that is not a number."""
        chosen = self._averages == index
        samples = np.asarray(self.samples[chosen])
        if not np.isfinite(samples).all():
            raise DamagedDataError(self.folder / SAMPLES, f"pass {index}", "some samples are not numbers", _REMEDY)
        return RecordedPass(
            program_digest=self.programs[0].digest,
            frequency=self.description.working_frequency,
            receiver_gain=self.description.receiver_gain,
            samples=samples,
            counters=self.counters[chosen],
            overrange=np.zeros(len(samples), dtype=bool),
        )

    def measurement(self) -> Measurement:
        """Give what `acquire` has to play to get these passes again."""
        text = self.description
        encoding = Encoding(
            kind="image",
            echo_times=text.echo_times,
            matrix=text.matrix,
            field_of_view=text.field_of_view,
            axes=text.axes,
            samples=int(self.samples.shape[2]),
            center_sample=float(text.center_sample),
            dwell_time=text.dwell_time,
            repetition_time=text.repetition_time,
        )
        protocol = {"kind": "recording", "name": text.name, "device": text.device, "sha256": text.sha256}
        return Measurement(protocol, self.programs, encoding, n_passes=self.indices[-1] + 1)

    def _check_passes(self) -> None:
        """Hold every pass against the complete one: a pass that was cut is its beginning."""
        fields = [name for name in COUNTERS.names or () if name not in {"average", "segment"}]
        complete: Any = self._complete
        for index in self.indices:
            counters: Any = self.counters[self._averages == index]
            if any(not np.array_equal(counters[name], complete[name][: len(counters)]) for name in fields):
                problem = f"pass {index} has other counters than the complete pass: every pass must be the same"
                raise DamagedDataError(self.folder / COUNTERS_FILE, "counters", problem, _REMEDY)


def write_kspace_recording(
    folder: Path, description: RecordingDescription, samples: ComplexArray, counters: IntArray
) -> None:
    """Write a recording that the backend ``replay`` plays.

    Parameters
    ----------
    folder
        A new folder.
    description
        What it is; ``sha256`` is filled in here.
    samples
        complex64, shape ``(readout, channel, sample)``, in units of the receiver's full scale.
    counters
        dtype `COUNTERS`, shape ``(readout,)``; ``average`` is the index of the pass.

    Raises
    ------
    ShapeError
        If samples and counters do not belong together.
    ConfigError
        If the folder is there already.
    StorageError
        If the disk refuses.
    """
    if samples.ndim != 3 or samples.size == 0 or counters.shape != samples.shape[:1] or counters.dtype != COUNTERS:
        raise ShapeError(
            f"samples of shape {samples.shape} and counters of shape {counters.shape}, dtype {counters.dtype}, are no "
            "recording: (readout, channel, sample) and (readout,) of COUNTERS were expected"
        )
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder}: is there already: choose another name") from None
    except OSError as error:
        raise storage_error(folder, "creating a folder", error) from error
    for name, array in ((SAMPLES, samples.astype(np.complex64)), (COUNTERS_FILE, counters)):
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        write_durably(folder / name, content.getvalue())
    plain = description.model_copy(update={"sha256": _digest(folder)}).model_dump(mode="json")
    for name, unit in _UNITS.items():
        value = plain[name]
        plain[name] = [f"{v!r} {unit}" for v in value] if isinstance(value, list) else f"{value!r} {unit}"
    write_durably(folder / DESCRIPTION, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode())


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (SAMPLES, COUNTERS_FILE):
        try:
            with (folder / name).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise DamagedDataError(folder / name, "file", f"it cannot be read: {error.strerror}", _REMEDY) from error
    return digest.hexdigest()


def _load(path: Path) -> Any:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except _HEADER_ERRORS as error:
        raise DamagedDataError(path, "array", f"it is no array of numpy: {error}", _REMEDY) from error


def _check_shapes(samples: ComplexArray, counters: IntArray, folder: Path) -> None:
    if samples.dtype != np.complex64 or samples.ndim != 3 or samples.size == 0:
        problem = f"{samples.dtype} of shape {samples.shape}: complex64 (readout, channel, sample) was expected"
        raise DamagedDataError(folder / SAMPLES, "array", problem, _REMEDY)
    if counters.dtype != COUNTERS or counters.shape != samples.shape[:1]:
        problem = f"{counters.dtype} of shape {counters.shape} are not the counters of {len(samples)} readouts"
        raise DamagedDataError(folder / COUNTERS_FILE, "array", problem, _REMEDY)
    fields: Any = counters
    averages = np.asarray(fields["average"])
    if averages.min() < 0 or averages.max() >= _MAX_PASSES:
        problem = f"passes {averages.min()} to {averages.max()} are outside 0 to {_MAX_PASSES - 1}"
        raise DamagedDataError(folder / COUNTERS_FILE, "average", problem, _REMEDY)
