"""What a user may choose about a fit, and what it means for images and for spectra."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from knightshift.core.errors import InputError

if TYPE_CHECKING:
    from knightshift.reconstruction.image_fit import T2Request
    from knightshift.reconstruction.pseudo_2d import Pseudo2DOptions
    from knightshift.reconstruction.relaxometry import RicherModel, T2Options

_MAX_LIST_BYTES, _MAX_ECHOES = 1 << 20, 1 << 20


@dataclass(frozen=True)
class ImageChoices:
    """What a user may choose about a fit of images; None is the default."""

    estimator: str | None = None
    """How T2 is estimated."""
    offset: str | None = None
    """Constant added to the decay."""
    noise: float | None = None
    """Noise of the real part, in units of the images."""
    model: str | None = None
    """Decay: ``mono``, or what to compare with it."""
    mask: Path | None = None
    """Voxels to fit."""
    b1: str | None = None
    """B1 of an echo train: ``fit``, a number, or a file."""
    t1: str | None = None
    """T1 of an echo train: ``"120 ms"``, or a file."""

    def given(self, *others: str) -> str:
        """Options of images that were given but for `others`, as a subject with its verb; empty without any."""
        names = [f"--{one.name}" for one in fields(ImageChoices) if getattr(self, one.name) is not None]
        left = [name for name in names if name not in others]
        return f"{' and '.join(left)} {'is' if len(left) == 1 else 'are'}" if left else ""

    def request(self) -> T2Request:
        """Turn the words of the command line into a request. Raises `InputError`."""
        from knightshift.reconstruction.image_fit import T2Request

        if self.noise is not None and not 0 < self.noise < float("inf"):
            raise InputError(f"--noise {self.noise:g}: give the standard deviation of the real part, above zero")
        options, model = t2_options(self.estimator or "complex", self.offset or "none"), richer_model(self.model)
        if model is not None and (options.estimator == "rician" or options.offset != "none"):
            raise InputError(
                f"--model {model}: richer decays are fitted by least squares without an offset: leave --offset out, "
                "and fit with estimator 'complex', or 'gaussian' where only magnitudes far above the noise are left"
            )
        return T2Request(
            fit=options,
            noise=self.noise,
            model=model,
            mask=self.mask,
            b1=None if self.b1 is None else _b1(self.b1),
            t1=None if self.t1 is None else _t1(self.t1),
        )


@dataclass(frozen=True)
class FitRequest(ImageChoices):
    """What a user may choose about a fit of images or spectra; None is the default of what is fitted."""

    experiment: str | None = None
    """What the steps of a pseudo-2D experiment measure."""
    loop_time: str | None = None
    """Duration of one loop of a ``vclist``, with its unit."""
    regions: tuple[str, ...] = ()
    """Ranges of shift: ``"0.8 to 0.9 ppm"``."""
    memory_mb: int | None = None
    """Memory that a fit of images may take [MB]."""
    delays: str | None = None
    """Delay of every step of spectra: ``"10 ms, 90 ms"``, or a file with one a line."""
    echo_train: str | None = None
    """Echoes and their distance, where these are not in the data: ``"128 x 300 us"``."""


def richer_model(name: str | None) -> RicherModel | None:
    """Take the name of a decay; None for one exponential. Raises `InputError`."""
    from typing import get_args

    from knightshift.reconstruction.relaxometry import RicherModel

    known: tuple[RicherModel, ...] = get_args(RicherModel)
    if name is None or name == "mono":
        return None
    for one in known:
        if name == one:
            return one
    raise InputError(f"--model {name}: is not known: one of mono, {', '.join(known)}")


def t2_options(estimator: str, offset: str) -> T2Options:
    """Turn the options of the command line into those of the fit of images. Raises `InputError`."""
    from pydantic import ValidationError

    from knightshift.reconstruction.relaxometry import T2Options

    try:
        return T2Options.model_validate({"estimator": estimator, "offset": offset})
    except ValidationError as error:
        told = []
        for item in error.errors():
            which = (
                f"--{item['loc'][0]} {item['input']}" if item["loc"] else f"--estimator {estimator} --offset {offset}"
            )
            words = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "is not known: one of")
            told.append(f"{which}: {words}")
        raise InputError("; ".join(told)) from error


def _b1(text: str) -> Literal["fit"] | float | Path:
    """Take ``fit``, a ratio such as ``0.9``, or a file. Raises `InputError`."""
    from knightshift.reconstruction.relaxometry.voxel_trains import LARGEST_B1

    if text == "fit":
        return "fit"
    try:
        ratio = float(text)
    except ValueError:
        return Path(text)
    if not 0 < ratio <= LARGEST_B1:
        raise InputError(
            f"--b1 {text}: B1 is a ratio to the nominal one, above 0 and up to {LARGEST_B1:g} (percent divided by 100)"
        )
    return ratio


def _t1(text: str) -> float | Path:
    """Take a time with its unit, or a file. Raises `InputError`."""
    from pydantic import TypeAdapter, ValidationError

    from knightshift.core.quantities import UNITS_REQUIRED, PositiveSeconds
    from knightshift.reconstruction.relaxometry.voxel_trains import LONGEST_T1

    if not re.match(r"[-+]?[.\d]", text) or Path(text).exists():
        return Path(text)
    try:
        t1 = float(TypeAdapter(PositiveSeconds).validate_python(text, context={UNITS_REQUIRED: True}))
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ").replace("Input should be", "a T1 is")
        raise InputError(f"--t1 {text!r}: {words}; or give a map of it") from error
    if t1 > LONGEST_T1:
        raise InputError(f"--t1 {text!r}: no T1 is longer than {LONGEST_T1:g} s")
    return t1


def spectra_options(request: FitRequest) -> Pseudo2DOptions:
    """Turn the options of the command line into those of the fit of spectra. Raises `InputError`."""
    from pydantic import ValidationError

    from knightshift.core.quantities import UNITS_REQUIRED
    from knightshift.reconstruction.pseudo_2d import Pseudo2DOptions

    choices = {"experiment": request.experiment, "loop_time": request.loop_time, "offset": request.offset or "auto"}
    plain: dict[str, Any] = {**choices, "regions": [_region(text) for text in request.regions]}
    if request.delays is not None:
        plain["delays"] = _listed(request.delays)
    try:
        return Pseudo2DOptions.model_validate(plain, context={UNITS_REQUIRED: True})
    except ValidationError as error:
        found = [
            (str(item["loc"][0]), item["msg"]) if item["loc"] else ("options", item["msg"]) for item in error.errors()
        ]
        words = "; ".join(f"{name}: {what.removeprefix('Value error, ')}" for name, what in found)
        raise InputError(f"the fit of spectra: {words}") from error


def echo_train(text: str) -> tuple[int, float]:
    """Split ``"128 x 300 us"`` into echoes and their distance [s]. Raises `InputError`."""
    from pydantic import TypeAdapter, ValidationError

    from knightshift.core.quantities import UNITS_REQUIRED, PositiveSeconds

    count, word, spacing = text.partition(" x ")
    if not word or not count.strip().isdigit() or not 2 <= int(count) <= _MAX_ECHOES:
        raise InputError(f"--echo-train {text!r}: write e.g. '128 x 300 us'")
    try:
        return int(count), float(TypeAdapter(PositiveSeconds).validate_python(spacing, context={UNITS_REQUIRED: True}))
    except ValidationError as error:
        raise InputError(f"--echo-train {text!r}: {error.errors()[0]['msg']}") from error


def _listed(text: str) -> list[str]:
    """Split ``"10 ms, 90 ms"``, or the lines of a file."""
    path = Path(text)
    if "," not in text and path.is_file():
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes are no list of delays")
        return [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return [word.strip() for word in text.split(",")]


def _region(text: str) -> tuple[str, str]:
    """Split ``"0.8 to 0.9 ppm"``."""
    low, word, high = text.partition(" to ")
    if not word or not high.strip().endswith("ppm"):
        raise InputError(f"--region {text!r}: write e.g. '0.8 to 0.9 ppm'")
    return f"{low.removesuffix('ppm').strip()} ppm", high.strip()
