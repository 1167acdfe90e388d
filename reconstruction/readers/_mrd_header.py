"""The XML header of an MRD file: what a Cartesian scan in 2D or 3D needs of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._raw_files import positive

_MAX_XML_BYTES = 16 * 1024**2
_SIZE_LIMIT = 65536
NUCLEUS = "nucleus"
"""User parameter (string) that names the isotope: the schema has no place for it."""
WORKING_FREQUENCY = "working_frequency_Hz"
"""User parameter (double) with the frequency of the receiver; ``H1resonanceFrequency_Hz`` is that of protons."""
TRANSPOSED = "transposed_slices"
"""User parameter (string): 0 or 1 for every slice, whether the console shows its readout vertically."""
PARTIAL_FOURIER = "partial_fourier"
"""User parameter (string): how the console completes a partly acquired k-space."""


REPETITIONS_DIFFER = "repetitions_differ"
"""User parameter (string): why repetitions are not of the same image."""


@dataclass(frozen=True)
class MrdHeader:
    """What is taken from the XML header."""

    grid: tuple[int, int, int]
    """Points along ``(partition, phase_encode, readout)`` to transform: the encoded space, zero filled if need be."""
    matrix: tuple[int, int, int]
    """Voxels along ``(partition, phase_encode, readout)`` to keep: the reconstructed space."""
    voxel: tuple[float, float, float]
    """Voxel size along ``(slice, phase_encode, readout)`` [m]; in 2D the slice thickness."""
    center_line: int
    """Line at k = 0."""
    center_partition: int
    """Partition at k = 0."""
    acceleration: str
    """What the header says of parallel imaging; empty where nothing."""
    echo_times: tuple[float, ...]
    """[s]"""
    inversion_times: tuple[float, ...]
    """[s]"""
    proton_frequency: float | None
    """[Hz]"""
    system: str
    """Vendor and model, as far as given."""
    user: dict[str, str]
    """User parameters by name, as text."""


def parse_header(path: Path, text: bytes, reference: int = 0) -> MrdHeader:
    """Parse the XML header of an MRD file.

    Parameters
    ----------
    path
        The file.
    text
        Its XML header.
    reference
        Encoding that the image data belong to (``encoding_space_ref``).

    Raises
    ------
    DamagedDataError
        If it is no XML, or a size in it is not believable.
    UnsupportedDataError
        If the trajectory is not Cartesian.
    """
    root = _root(path, text)
    encodings = root.findall("encoding")
    if reference >= len(encodings):
        raise DamagedDataError(path, "encoding", f"acquisitions belong to encoding {reference + 1} of {len(encodings)}")
    encoding = encodings[reference]
    trajectory = (encoding.findtext("trajectory") or "").strip().lower()
    if trajectory != "cartesian":
        raise UnsupportedDataError(f"{path}: the trajectory is {trajectory or 'not stated'}: only cartesian is read")
    axes = [_axis(path, encoding, name) for name in "zyx"]
    return MrdHeader(
        grid=(axes[0].grid, axes[1].grid, axes[2].grid),
        matrix=(axes[0].matrix, axes[1].matrix, axes[2].matrix),
        voxel=(axes[0].voxel, axes[1].voxel, axes[2].voxel),
        center_line=_center(path, encoding, "kspace_encoding_step_1", axes[1].encoded),
        center_partition=_center(path, encoding, "kspace_encoding_step_2", axes[0].encoded),
        acceleration=_acceleration(encoding),
        echo_times=_times(path, root, "TE"),
        inversion_times=_times(path, root, "TI"),
        proton_frequency=_proton_frequency(path, root),
        system=_system(root),
        user=_user_parameters(root),
    )


@dataclass(frozen=True)
class _Axis:
    encoded: int
    grid: int
    matrix: int
    voxel: float


def _axis(path: Path, encoding: ET.Element, name: str) -> _Axis:
    """Work out one axis: the field of view and the voxels of the reconstructed space on a grid that has both.

    Where the voxels of the image are smaller than those that were encoded, k-space is filled with zeros; where they are
    larger, those encoded are kept.
    """
    encoded, seen = (_count(path, encoding, f"{space}Space/matrixSize/{name}") for space in ("encoded", "recon"))
    full, field = (_length(path, encoding, f"{space}Space/fieldOfView_mm/{name}") for space in ("encoded", "recon"))
    if name == "z" and encoded == 1:  # 2D: the field of view is the slice thickness
        return _Axis(1, 1, 1, full)
    share = min(field / full, 1.0)
    grid = max(encoded, round(seen / share))
    if not grid <= _SIZE_LIMIT:
        raise DamagedDataError(path, f"reconSpace {name}", f"{seen} voxels over {field:g} m of {full:g} m")
    return _Axis(encoded, grid, max(1, min(grid, round(grid * share))), full / grid)


def _center(path: Path, encoding: ET.Element, name: str, encoded: int) -> int:
    centre = encoding.findtext(f"encodingLimits/{name}/center")
    return encoded // 2 if centre is None else int(_number(path, "center", centre))


def _acceleration(encoding: ET.Element) -> str:
    names = ("kspace_encoding_step_1", "kspace_encoding_step_2")
    factors = [encoding.findtext(f"parallelImaging/accelerationFactor/{name}") or "1" for name in names]
    return "" if all(factor.strip() in ("1", "1.0") for factor in factors) else " x ".join(factors)


def _root(path: Path, text: bytes) -> ET.Element:
    if not 0 < len(text) <= _MAX_XML_BYTES:
        raise DamagedDataError(path, "xml", f"a header of {len(text)} bytes")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise DamagedDataError(path, "xml", "it declares entities, which no MRD header needs")
    try:
        root = ET.fromstring(text)  # noqa: S314 - no document type, so no entities to expand
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DamagedDataError(path, "xml", f"it cannot be parsed ({error})") from None
    for element in root.iter():
        element.tag = re.sub(r"^\{[^}]*\}", "", str(element.tag))
    return root


def _number(path: Path, name: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DamagedDataError(path, name, f"{(text or 'nothing')[:20]!r} is no number")
    return value


def _count(path: Path, element: ET.Element, name: str) -> int:
    value = _number(path, name, element.findtext(name))
    if not 1 <= value <= _SIZE_LIMIT or value != int(value):
        raise DamagedDataError(path, name, f"{value:g} is not a count between 1 and {_SIZE_LIMIT}")
    return int(value)


def _length(path: Path, element: ET.Element, name: str) -> float:
    return positive(path, name, _number(path, name, element.findtext(name)), 1e6) * 1e-3


def _times(path: Path, root: ET.Element, name: str) -> tuple[float, ...]:
    found = root.findall(f"sequenceParameters/{name}")
    return tuple(_number(path, name, element.text) * 1e-3 for element in found)


def _proton_frequency(path: Path, root: ET.Element) -> float | None:
    text = root.findtext("experimentalConditions/H1resonanceFrequency_Hz")
    value = 0.0 if text is None else _number(path, "H1resonanceFrequency_Hz", text)
    return value if value > 0 else None


def _system(root: ET.Element) -> str:
    names = ("systemVendor", "systemModel")
    words = [root.findtext(f"acquisitionSystemInformation/{name}") or "" for name in names]
    return " ".join(word.strip() for word in words if word.strip())


def _user_parameters(root: ET.Element) -> dict[str, str]:
    parameters = root.find("userParameters")
    found = [] if parameters is None else list(parameters)
    return {(one.findtext("name") or "").strip(): (one.findtext("value") or "").strip() for one in found}
