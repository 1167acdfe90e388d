"""FDF images of Agilent: made here as the console makes them, they are the images of the ``fid``, in the same place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knightshift.core.errors import DamagedDataError, InputError, KnightshiftError, UnsupportedDataError
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.readers import RawKind, detect, read_raw
from knightshift.reconstruction.readers.inspection import inspect_raw
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.reconstruct import reconstruct

from .conftest import AGILENT_IMAGE, Agilent, write_fdf

ANGLES = {"psi": 25.0, "phi": -40.0, "theta": 70.0}
OFFSETS = {"pro": 0.12, "ppe": -0.2}


def orientation(*, is_volume: bool) -> list[float]:
    """Nine cosines as the console's reconstruction writes them, from the angles."""
    (s1, s2, s3), (c1, c2, c3) = (f(np.deg2rad(list(ANGLES.values()))) for f in (np.sin, np.cos))
    plane = [
        -c2 * c1 - s2 * c3 * s1, -c2 * s1 + s2 * c3 * c1, -s2 * s3, -s2 * c1 + c2 * c3 * s1, -s2 * s1 - c2 * c3 * c1,
        c2 * s3, -s3 * s1, s3 * c1, c3,
    ]  # fmt: skip
    volume = [(4, 1), (3, -1), (5, 1), (1, -1), (0, 1), (2, -1), (7, 1), (6, -1), (8, 1)]
    return [sign * plane[index] for index, sign in volume] if is_volume else plane


def console_image(kspace: np.ndarray) -> np.ndarray:
    """Transform forwards over all axes, as the console does."""
    return np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(kspace)))) / kspace.size


def kspace(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def read(path: Path) -> ImageSeries:
    series = read_raw(path)
    assert isinstance(series, ImageSeries)
    return series


def assert_same_voxels(ours: ImageSeries, theirs: ImageSeries, axes: tuple[int, ...]) -> None:
    """Index ``m`` of the console is ``m + 1`` of ours, with the same value at the same place."""
    rolled = np.roll(np.abs(ours.images), -1, axis=axes)
    np.testing.assert_allclose(theirs.images.real, rolled, rtol=1e-5, atol=1e-7)
    step = np.zeros(4)
    step[[axis - 1 for axis in axes]] = 1
    index = np.array([1.0, 2, 3, 1])
    np.testing.assert_allclose(
        theirs.geometry.affine @ index,
        ours.geometry.affine @ (index + step),
        atol=1e-5 * np.max(ours.geometry.voxel_size),
    )
    np.testing.assert_allclose(theirs.geometry.affine[:3, :3], ours.geometry.affine[:3, :3], atol=1e-6)


def test_images_of_the_console_lie_where_those_of_its_samples_do(tmp_path: Path) -> None:
    angles = {name: [value] for name, value in ANGLES.items()}
    samples = kspace(8, 2, 16)
    parameters = AGILENT_IMAGE | angles | {"pro": [OFFSETS["pro"]], "ppe": [OFFSETS["ppe"]]}
    undone = Recipe(shift=(-OFFSETS["ppe"] / 1.6 * 8, 0.0))  # the shift by ppe, which the images below lack
    ours = reconstruct(Agilent(samples, parameters).write(tmp_path / "a.fid"), undone)
    folder = tmp_path / "a.img"
    for number, position in enumerate((0.1, -0.1)):  # slices in order of acquisition, as pss has them
        image = console_image(samples[:, number])
        header = {
            "location": [-OFFSETS["ppe"], OFFSETS["pro"], position], "span": [1.6, 3.2], "slice_no": 2 - number,
            "orientation": orientation(is_volume=False), "roi": [1.6, 3.2, 0.1], "te": 0.01, "nucfreq": [105.84, 400.0],
            "nucleus": ['"Na23"', '"H1"'],
        }  # fmt: skip
        write_fdf(folder / f"slice{number}.fdf", image[::-1, ::-1].T, header)
    Agilent(samples, parameters).write(folder)
    (folder / "fid").unlink()  # a procpar stays beside the images
    assert detect(folder) is RawKind.FDF
    theirs = read(folder)
    assert_same_voxels(ours, theirs, (2, 3))
    assert theirs.nucleus == ours.nucleus == "23Na"
    assert theirs.working_frequency == pytest.approx(105.84e6)
    assert theirs.echo_times == pytest.approx([0.01])
    assert theirs.provenance["frame"] == ours.provenance["frame"]


def test_volumes_of_the_console_lie_where_those_of_its_samples_do(tmp_path: Path) -> None:
    angles = {name: [value] for name, value in ANGLES.items()}
    samples = kspace(4, 8, 16)
    changed = {
        "seqcon": ["nccsn"],
        "seqfil": ["ge3d"],
        "ns": [1],
        "pss": [0.0],
        "nv2": [4],
        "lpe2": [1.2],
        "pro": [0.3],
    }
    ours = reconstruct(Agilent(samples, AGILENT_IMAGE | angles | changed).write(tmp_path / "a.fid"))
    header = {
        "location": [0.3, 0.0, 0.0], "span": [3.2, 1.6, 1.2], "orientation": orientation(is_volume=True), "te": 0.01,
    }  # fmt: skip
    theirs = read(write_fdf(tmp_path / "a.img" / "volume.fdf", console_image(samples), header))
    assert_same_voxels(ours, theirs, (1, 2, 3))


@pytest.mark.parametrize("word", ["<f4", ">f4", "<f8"])
def test_echoes_are_sorted_and_keep_their_times(tmp_path: Path, word: str) -> None:
    for echo in (3, 1, 2):
        values = np.full((6, 4), float(echo))
        write_fdf(tmp_path / f"{echo}.fdf", values, {"echo_no": echo, "echoes": 3, "te": 0.01 * echo}, word)
    series = read(tmp_path / "2.fdf")
    np.testing.assert_array_equal(series.images[:, 0, 0, 0], [1, 2, 3])
    np.testing.assert_allclose(series.echo_times, [0.01, 0.02, 0.03])
    assert series.images.shape == (3, 1, 4, 6)
    assert any("magnitudes" in words for words in series.missing)
    assert ("images", "3 echoes, 1 slices of 4 x 6 voxels") in inspect_raw(tmp_path).rows


def test_steps_of_the_inversion_time_and_steps_of_nothing_that_is_told(tmp_path: Path) -> None:
    for folder, step in (("ti", "ti"), ("other", "gdiff")):
        for index in (1, 2):
            write_fdf(tmp_path / folder / f"{index}.fdf", np.ones((4, 4)), {"array_index": index, step: 0.1 * index})
    series = read(tmp_path / "ti")
    assert series.inversion_times == pytest.approx([0.1, 0.2])
    series = read(tmp_path / "other")
    assert any("neither te nor ti" in words for words in series.missing)
    given = reconstruct(tmp_path / "other", Recipe(echo_times=(1e-3, 2e-3)))
    assert given.echo_times == pytest.approx([1e-3, 2e-3])
    with pytest.raises(InputError, match="3 echo_times were given for 2 echoes"):
        reconstruct(tmp_path / "other", Recipe(echo_times=(1e-3, 2e-3, 3e-3)))
    with pytest.raises(InputError, match=r"images, not k-space: .* not apodisation, whiten"):
        reconstruct(tmp_path / "other", Recipe(apodisation="hamming", whiten=True))


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"type": '"phase"'}, UnsupportedDataError, "only magnitudes"),
        ({"type": '"absval"', "spatial_rank": '"1dfov"'}, UnsupportedDataError, "only magnitudes"),
        ({"storage": '"integer"', "bits": 16}, UnsupportedDataError, "storage integer"),
        ({"slabs": 2}, UnsupportedDataError, "one slab"),
        ({"matrix": [4, 600]}, DamagedDataError, "do not hold 4 x 600"),
        ({"matrix": [10**12, 10**12]}, DamagedDataError, "no matrix"),
        ({"matrix": [4, -6]}, DamagedDataError, "no matrix"),
        ({"matrix": [4.5, 6]}, DamagedDataError, "no matrix"),
        ({"matrix": ["nan", 6]}, DamagedDataError, "not finite"),
        ({"matrix": [4]}, DamagedDataError, "no matrix"),
        ({"span": [0, 1]}, InputError, "span"),
        ({"span": [1]}, DamagedDataError, "span"),
        ({"location": [0, 0]}, DamagedDataError, "location"),
        ({"location": [0, 0, 1]}, InputError, "location is not that of the same slice"),
        ({"orientation": [0] * 9}, InputError, "images of one direction"),
        ({"slice_no": 2}, DamagedDataError, "copy all images"),
        ({"bits": "?"}, DamagedDataError, "bits"),
    ],
)
def test_headers_that_lie_are_refused(
    tmp_path: Path, changed: dict[str, object], error: type[KnightshiftError], match: str
) -> None:
    write_fdf(tmp_path / "1.fdf", np.ones((6, 4)), {"echo_no": 1})
    write_fdf(tmp_path / "2.fdf", np.ones((6, 4)), {"echo_no": 2} | changed)
    with pytest.raises(error, match=match):
        read_raw(tmp_path)


@pytest.mark.parametrize(
    ("changed", "match"), [({"span": [0, 1]}, "field of view"), ({"orientation": [0] * 9}, "no dir")]
)
def test_places_that_cannot_be_are_refused(tmp_path: Path, changed: dict[str, object], match: str) -> None:
    with pytest.raises(DamagedDataError, match=match):
        read_raw(write_fdf(tmp_path / "1.fdf", np.ones((6, 4)), changed))


def test_truncated_and_different_images_are_refused(tmp_path: Path) -> None:
    path = write_fdf(tmp_path / "1.fdf", np.ones((6, 4)), {})
    content = path.read_bytes()
    for cut in (content[:-4], content + bytes(400), content[:100]):
        path.write_bytes(cut)
        with pytest.raises(DamagedDataError):
            read_raw(path)
    path.write_bytes(content)
    write_fdf(tmp_path / "2.fdf", np.ones((6, 8)), {"echo_no": 2})
    with pytest.raises(InputError, match=r"\(8, 6\) voxels are not"):
        read_raw(path)
    values = np.ones((6, 8))
    values[0, 0] = np.nan
    with pytest.raises(DamagedDataError, match="finite"):
        read_raw(write_fdf(tmp_path / "nan" / "1.fdf", values, {}))
