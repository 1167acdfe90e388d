"""Which image each raw frame of a ParaVision scan belongs to: slices, echoes, frames of a movie, and turned readouts.

The images of a slice are counted within it, as ``ATB_SetAcqObjOrder`` of the console does: object = slice x images +
image, where the images are the echoes of a train or the frames of a movie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knightshift.core.arrays import IntArray
from knightshift.core.errors import DamagedDataError, UnsupportedDataError
from knightshift.reconstruction.readers._paravision_console import console_sorting, turns_readouts_round
from knightshift.reconstruction.readers._paravision_contrast import share_one_echo_time
from knightshift.reconstruction.readers._paravision_files import ScanFiles
from knightshift.reconstruction.readers._paravision_layout import RawLayout


@dataclass(frozen=True)
class ImageOrder:
    """The images of one repetition."""

    n_echoes: int
    """Echo images of a slice."""
    n_movie_frames: int
    """Frames of a movie of a slice, one after the other in time; or other images of one echo time."""
    frames: IntArray
    """Position in the raw file of each object, shape ``(movie_frame, echo, slab)``."""
    reverses_even_echoes: bool
    """Whether even echoes were read out backwards."""

    @property
    def n_images(self) -> int:
        """Images of a slice."""
        return self.n_echoes * self.n_movie_frames


def image_order(files: ScanFiles, layout: RawLayout) -> ImageOrder:
    """Find the image of each raw frame.

    Raises
    ------
    DamagedDataError
        If ``ACQ_obj_order`` is no order.
    UnsupportedDataError
        If the objects are not slices x echoes or slices x movie frames, or readouts were turned round and we do not
        know which.
    """
    n_echoes, n_movie_frames = _image_counts(files, layout.n_objects)
    order = _object_order(files, layout)
    frames = np.empty(layout.n_objects, np.int64)
    frames[order] = np.arange(layout.n_objects)
    return ImageOrder(
        n_echoes=n_echoes,
        n_movie_frames=n_movie_frames,
        frames=frames.reshape(-1, n_echoes, n_movie_frames).transpose(2, 1, 0),
        reverses_even_echoes=_reverses_even_echoes(files, n_echoes, order),
    )


def _image_counts(files: ScanFiles, n_objects: int) -> tuple[int, int]:
    """Echoes and movie frames of a slice. ParaVision calls the frames of a movie echo images, too."""
    n_echoes = files.acqp.count("ACQ_n_echo_images") if "ACQ_n_echo_images" in files.acqp else 1
    n_frames = files.method.count("PVM_NMovieFrames") if "PVM_NMovieFrames" in files.method else 1
    n_slices = files.acqp.count("NSLICES")
    switched_off = "PVM_MovieOnOff" in files.method and files.method.text("PVM_MovieOnOff") == "Off"
    if n_frames > 1 and not switched_off and n_slices * n_frames == n_objects:
        return 1, n_frames
    if (
        n_slices * n_echoes != n_objects and "PVM_NEchoImages" in files.method
    ):  # some methods do not declare their echoes
        n_echoes = files.method.count("PVM_NEchoImages")
    if n_slices * n_echoes != n_objects:
        raise UnsupportedDataError(
            f"{files.acqp.path}: NI = {n_objects} objects are not {n_slices} slices x {n_echoes} echo images: "
            "other cycles are not read"
        )
    return (1, n_echoes) if n_echoes > 1 and share_one_echo_time(files, n_echoes) else (n_echoes, 1)


def _object_order(files: ScanFiles, layout: RawLayout) -> IntArray:
    """Object of each raw frame, a permutation; the console's own sorting comes first."""
    n_objects = layout.n_objects
    order: IntArray = np.arange(n_objects)
    sorting = console_sorting(files.reco, layout.n_lines, n_objects)
    if sorting is not None and sorting.objects is not None:
        order = sorting.objects
    elif "ACQ_obj_order" in files.acqp:
        order = files.acqp.integers("ACQ_obj_order")
    elif (
        "PVM_ObjOrderList" in files.method
        and n_objects % (slices := files.method.integers("PVM_ObjOrderList")).size == 0
    ):
        n_images = n_objects // slices.size
        order = (slices[:, np.newaxis] * n_images + np.arange(n_images)).ravel()
    if order.size != n_objects or not np.array_equal(np.sort(order), np.arange(n_objects)):
        raise DamagedDataError(files.acqp.path, "ACQ_obj_order", f"it is no order of {n_objects} objects")
    return order


def _reverses_even_echoes(files: ScanFiles, n_echoes: int, order: IntArray) -> bool:
    """Tell whether a train of gradient echoes was read out in both directions.

    The method says so (``EchoAcqMode`` allEchoes), and the console, which then turns every second readout of the raw
    file round (``REV_ALT_ROWS``): those are the even echoes if each train has an even number of them.
    """
    both_ways = n_echoes > 1 and "EchoAcqMode" in files.method and files.method.text("EchoAcqMode") == "allEchoes"
    turned = turns_readouts_round(files.reco)
    every_second_is_an_even_echo = n_echoes % 2 == 0 and np.array_equal(order % 2, np.arange(order.size) % 2)
    if turned and not both_ways and not (turned.startswith("RECO_inp_order") and every_second_is_an_even_echo):
        raise UnsupportedDataError(
            f"{files.folder}: {turned}: the console turned readouts round, which are no even echoes of a gradient-echo "
            "train (EPI?), and we do not know which"
        )
    return both_ways or bool(turned)
