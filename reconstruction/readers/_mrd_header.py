"""The XML header of an MRD file: what a Cartesian 2D scan needs of it."""

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


@dataclass(frozen=True)
class MrdHeader:
    """What is taken from the XML header."""

    grid: tuple[int, int]
    """Points along ``(phase_encode, readout)``: the encoded space."""
    matrix: tuple[int, int]
    """Voxels along ``(phase_encode, readout)``: the reconstructed space."""
    voxel: tuple[float, float, float]
    """Voxel size along ``(slice, phase_encode, readout)`` [m]."""
    center_line: int
    """Line at k = 0."""
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


def parse_header(path: Path, text: bytes) -> MrdHeader:
    """Parse the XML header of an MRD file.

    Raises
    ------
    DamagedDataError
        If it is no XML, or a size in it is not believable.
    UnsupportedDataError
        If the trajectory is not Cartesian, or 3D.
    """
    root = _root(path, text)
    encodings = root.findall("encoding")
    if len(encodings) != 1:
        raise UnsupportedDataError(f"{path}: it has {len(encodings)} encodings: files with one are read")
    encoding = encodings[0]
    trajectory = (encoding.findtext("trajectory") or "").strip().lower()
    if trajectory != "cartesian":
        raise UnsupportedDataError(f"{path}: the trajectory is {trajectory or 'not stated'}: only cartesian is read")
    grid = [_count(path, encoding, f"encodedSpace/matrixSize/{axis}") for axis in "yxz"]
    matrix = [_count(path, encoding, f"reconSpace/matrixSize/{axis}") for axis in "yx"]
    fov = [_length(path, encoding, f"encodedSpace/fieldOfView_mm/{axis}") for axis in "yxz"]
    if grid[2] != 1:
        raise UnsupportedDataError(f"{path}: it is 3D ({grid[2]} partitions): only 2D is read")
    if matrix[0] > grid[0] or matrix[1] > grid[1]:
        raise DamagedDataError(path, "reconSpace", f"{matrix} voxels are more than the {grid[:2]} encoded")
    centre = encoding.findtext("encodingLimits/kspace_encoding_step_1/center")
    return MrdHeader(
        grid=(grid[0], grid[1]),
        matrix=(matrix[0], matrix[1]),
        voxel=(fov[2], fov[0] / grid[0], fov[1] / grid[1]),
        center_line=grid[0] // 2 if centre is None else int(_number(path, "center", centre)),
        echo_times=_times(path, root, "TE"),
        inversion_times=_times(path, root, "TI"),
        proton_frequency=_proton_frequency(path, root),
        system=_system(root),
        user=_user_parameters(root),
    )


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
