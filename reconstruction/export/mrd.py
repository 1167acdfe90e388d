"""Write k-space as an MRD (ISMRMRD) file, by the ``ismrmrd`` package (extra ``mrd``).

The schema names no nucleus: it and its working frequency are user parameters, and ``H1resonanceFrequency_Hz`` is the
frequency of protons in this field.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from knightshift.core.arrays import ComplexArray
from knightshift.core.durable import write_durably
from knightshift.core.errors import ConfigError, InputError
from knightshift.core.geometry import ImageGeometry
from knightshift.core.nuclei import nucleus_named
from knightshift.reconstruction.kspace import KSpaceScan
from knightshift.reconstruction.readers._mrd_header import (
    NUCLEUS,
    PARTIAL_FOURIER,
    REPETITIONS_DIFFER,
    TRANSPOSED,
    WORKING_FREQUENCY,
)

_MOST = 65535  # counters and sizes are 16 bit
_LAST = 25


def write_mrd(scan: KSpaceScan, path: Path) -> None:
    """Write a scan, one acquisition for every line, contrast, slice and repetition.

    Shifts of the field of view go into the phase of k-space, so that a plain inverse FFT gives our image.

    Raises
    ------
    InputError
        If the ``ismrmrd`` package is not installed, or the scan is larger than MRD can say.
    StorageError
        If the disk is full or read-only.
    """
    try:
        import ismrmrd.hdf5
        import ismrmrd.xsd
    except ImportError:
        raise InputError(
            "writing MRD needs the ismrmrd package: install the extra with pip install 'knightshift[mrd]'"
        ) from None
    counts = (*scan.kspace.shape, *scan.grid, int((scan.line_steps + scan.grid[0] // 2).max()) + 1)
    if max(counts) > _MOST:
        raise InputError(f"{scan.source}: a size of {max(counts)} does not fit the 16-bit counters of MRD")
    rows = _acquisitions(scan, ismrmrd.hdf5.acquisition_dtype)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset(
            "xml", data=np.array([_header(scan, ismrmrd.xsd).encode()], object), dtype=h5py.string_dtype()
        )
        group.create_dataset("data", data=rows, maxshape=(None,), chunks=(min(len(rows), 256),))
    write_durably(path, content.getvalue())


def _acquisitions(scan: KSpaceScan, dtype: Any) -> Any:
    """Structured array of acquisitions in order of repetition, contrast, slice and line."""
    kspace = _shifted(scan)
    n_rep, n_echoes, n_slices, n_channels, n_lines, n_samples = kspace.shape
    places = np.indices((n_rep, n_echoes, n_slices, n_lines)).reshape(4, -1)
    rows = np.zeros(places.shape[1], dtype)
    head = rows["head"]
    head["version"] = 1
    head["scan_counter"] = np.arange(len(rows))
    head["number_of_samples"], head["center_sample"] = n_samples, scan.center_sample
    head["available_channels"] = head["active_channels"] = n_channels
    head["sample_time_us"] = (scan.dwell_time or 0.0) * 1e6
    head["idx"]["repetition"], head["idx"]["contrast"] = places[:2]
    if scan.partitions is None:
        head["idx"]["slice"] = places[2]
    else:
        head["idx"]["kspace_encode_step_2"] = (scan.partitions.steps + scan.partitions.grid // 2)[places[2]]
    head["idx"]["kspace_encode_step_1"] = (scan.line_steps + scan.grid[0] // 2)[places[3]]
    head["flags"][-1] = 1 << (_LAST - 1)
    if scan.partitions is None:
        for index, geometry in enumerate(scan.slice_geometries):
            _place(head, places[2] == index, geometry, scan.matrix)
    else:  # the centre of the volume is that of its middle slice
        _place(head, slice(None), scan.slice_geometries[scan.partitions.matrix // 2], scan.matrix)
    for number, (repetition, echo, one_slice, line) in enumerate(places.T):
        samples = np.ascontiguousarray(kspace[repetition, echo, one_slice, :, line], np.complex64)
        rows["data"][number] = samples.view(np.float32).ravel()
        rows["traj"][number] = np.zeros(0, np.float32)
    return rows


def _place(head: Any, chosen: Any, geometry: ImageGeometry, matrix: tuple[int, int]) -> None:
    """Directions and centre of one slice, turned from (right, anterior, head) to (left, posterior, head)."""
    to_lps = np.array([-1.0, -1.0, 1.0])
    corner = np.array([0.0, matrix[0] // 2, matrix[1] // 2]) * np.asarray(geometry.voxel_size)
    centre = geometry.origin + corner @ geometry.directions
    for name, direction in zip(("slice_dir", "phase_dir", "read_dir"), geometry.directions, strict=True):
        head[name][chosen] = direction * to_lps
    head["position"][chosen] = centre * to_lps * 1e3


def _shifted(scan: KSpaceScan) -> ComplexArray:
    """K-space whose phase holds the cyclic shift of each slice, or of the volume."""
    kspace, shifts = np.asarray(scan.kspace), scan.shifts
    if scan.partitions is not None:
        turn = np.exp(-2j * np.pi * scan.partitions.shift / scan.partitions.grid * scan.partitions.steps)
        kspace = kspace * turn[:, np.newaxis, np.newaxis, np.newaxis].astype(np.complex64)
        shifts = shifts[:1]
    if not shifts.any():
        return kspace
    samples = np.arange(kspace.shape[-1]) - scan.center_sample
    down, across = (shifts[:, axis, np.newaxis] / scan.grid[axis] for axis in (0, 1))
    ramp = np.exp(-2j * np.pi * down * scan.line_steps)[:, :, np.newaxis]
    ramp = ramp * np.exp(-2j * np.pi * across * samples)[:, np.newaxis, :]
    return np.asarray(kspace * ramp[:, np.newaxis].astype(np.complex64))


def _header(scan: KSpaceScan, xsd: Any) -> str:
    """XML header by the classes of the schema."""
    size, volume = scan.slice_geometries[0].voxel_size, scan.partitions
    shapes = ((1, *scan.grid), (1, *scan.matrix))
    if volume is not None:
        shapes = ((volume.grid, *scan.grid), (volume.matrix, *scan.matrix))
    encoded, seen = (
        xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=x, y=y, z=z),
            fieldOfView_mm=xsd.fieldOfViewMm(x=x * size[2] * 1e3, y=y * size[1] * 1e3, z=z * size[0] * 1e3),
        )
        for z, y, x in shapes
    )
    encoding = xsd.encodingType(
        encodedSpace=encoded,
        reconSpace=seen,
        encodingLimits=xsd.encodingLimitsType(**_limits(scan, xsd)),
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    times = {"TE": [1e3 * float(t) for t in scan.echo_times]}
    if scan.inversion_times is not None:
        times["TI"] = [1e3 * float(t) for t in scan.inversion_times]
    header = xsd.ismrmrdHeader(
        version=1,
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor=scan.format, receiverChannels=scan.kspace.shape[3]
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=_proton_frequency(scan)),
        encoding=[encoding],
        sequenceParameters=xsd.sequenceParametersType(**times),
        userParameters=_user_parameters(scan, xsd),
    )
    return str(header.toXML())


def _limits(scan: KSpaceScan, xsd: Any) -> dict[str, Any]:
    """Range of each counter, and where k = 0 is."""
    limits = {
        name: xsd.limitType(minimum=0, maximum=count - 1, center=0)
        for name, count in zip(("repetition", "contrast", "slice"), scan.kspace.shape, strict=False)
    }
    encoded = {"kspace_encoding_step_1": (scan.line_steps, scan.grid[0])}
    if scan.partitions is not None:
        limits["slice"] = xsd.limitType(minimum=0, maximum=0, center=0)
        encoded["kspace_encoding_step_2"] = (scan.partitions.steps, scan.partitions.grid)
    for name, (steps, grid) in encoded.items():
        first, last = (int(end) + grid // 2 for end in (steps.min(), steps.max()))
        limits[name] = xsd.limitType(minimum=first, maximum=last, center=grid // 2)
    return limits


def _proton_frequency(scan: KSpaceScan) -> int:
    """Frequency of protons in this field [Hz]; from that of the nucleus where the field is not told; else 0."""
    if scan.b0 is not None:
        return round(nucleus_named("1H").gyromagnetic_ratio * scan.b0)
    if scan.nucleus is None or scan.working_frequency is None:
        return 0
    try:
        ratio = nucleus_named("1H").gyromagnetic_ratio / nucleus_named(scan.nucleus).gyromagnetic_ratio
    except ConfigError:
        return 0
    return round(scan.working_frequency * ratio)


def _user_parameters(scan: KSpaceScan, xsd: Any) -> Any:
    texts = {} if scan.nucleus is None else {NUCLEUS: scan.nucleus}
    if scan.transposed.any():
        texts[TRANSPOSED] = " ".join(str(int(one)) for one in scan.transposed)
    if scan.repetitions_differ:
        texts[REPETITIONS_DIFFER] = scan.repetitions_differ
    if scan.partial_fourier != "none":
        texts[PARTIAL_FOURIER] = scan.partial_fourier
    numbers = {} if scan.working_frequency is None else {WORKING_FREQUENCY: scan.working_frequency}
    return xsd.userParametersType(
        userParameterDouble=[xsd.userParameterDoubleType(name=name, value=value) for name, value in numbers.items()],
        userParameterString=[xsd.userParameterStringType(name=name, value=value) for name, value in texts.items()],
    )
