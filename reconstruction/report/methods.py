"""The methods paragraph: what each step really did, one sentence a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from knightshift.core.human_units import duration, isotope, quantity
from knightshift.reconstruction.images import ImageSeries
from knightshift.reconstruction.relaxometry import T2Fit
from knightshift.reconstruction.relaxometry.populations import Populations
from knightshift.reconstruction.relaxometry.train import TRAIN_CAUTION
from knightshift.reconstruction.report.inputs import ReportInputs, RunFacts
from knightshift.reconstruction.t2_symbol import in_symbol, t2_symbol

_KINDS = {
    "spin_echo_series": "separate spin echoes, the echo time stepped from pass to pass",
    "multi_echo_spin_echo": "a multi-echo spin-echo (CPMG) train",
    "gradient_echo": "a gradient echo",
}

GRADIENT_ECHO_CAUTION = "The echoes are gradient echoes: what is fitted is T2*, which is shorter than T2"
"""What a report says of images whose echoes no pulse refocuses."""


def model_words(fit: T2Fit) -> str:
    """Say in a few words what a T2 map assumes, for captions."""
    what = "one exponential" if fit.options.train is None else "the decay of an echo train"
    how = {
        "complex": "fitted to the real part after removal of the phase",
        "rician": "fitted to magnitudes by Rician likelihood",
        "gaussian": "fitted to magnitudes by least squares",
    }[fit.options.estimator]
    offset = {
        "none": "without an offset",
        "noise": "with an offset fixed at the noise floor",
        "noise-quadrature": "with the noise floor in quadrature",
        "free": "with a free offset",
    }[fit.options.offset]
    return f"{what} {offset}, {how}"


def methods_paragraph(inputs: ReportInputs) -> str:
    """Assemble the methods paragraph from what acquisition, reconstruction, fit and analysis tell."""
    sentences = [_images_sentence(inputs.series, None if inputs.run is None else inputs.run.protocol)]
    if inputs.run is not None:
        sentences.append(_acquisition_sentence(inputs.run))
    sentences += inputs.series.methods
    if inputs.fit is not None:
        sentences.append(in_symbol(inputs.fit.methods_sentence(), t2_symbol(inputs.series)))
        if inputs.series.refocused is False:
            sentences.append(GRADIENT_ECHO_CAUTION)
        if inputs.series.train is not None and inputs.fit.options.train is None:
            sentences.append(f"Caution: {TRAIN_CAUTION}")
    if inputs.richer is not None:
        sentences.append(in_symbol(inputs.richer.methods_sentence(), t2_symbol(inputs.series)))
    if inputs.populations is not None:
        sentences.append(in_symbol(_populations_sentence(inputs.populations), t2_symbol(inputs.series)))
    return " ".join(sentence if sentence.endswith(".") else f"{sentence}." for sentence in sentences)


def _images_sentence(series: ImageSeries, protocol: Mapping[str, Any] | None) -> str:
    nucleus = "" if series.nucleus is None else f"{isotope(series.nucleus)} "
    frequency = "" if series.working_frequency is None else f" at {quantity(series.working_frequency, 'Hz', 7)}"
    times = ", ".join(quantity(float(echo_time), "s", 4) for echo_time in series.echo_times)
    _, *matrix = series.images.shape[1:]
    voxel = " × ".join(quantity(size, "m", 3) for size in series.geometry.voxel_size[1:])
    kind = _KINDS.get(str((protocol or {}).get("kind", "")), "")
    repetition = (protocol or {}).get("repetition_time")
    timing = "" if repetition is None else f", repetition time {quantity(float(repetition), 's')}"
    axes = " × ".join(series.axes[1:])
    return (
        f"{nucleus}images were acquired{frequency}{f' with {kind}' if kind else ''} (echo "
        f"{'time' if len(series.echo_times) == 1 else 'times'} {times}{timing}; matrix {matrix[0]} × {matrix[1]}, "
        f"voxels of {voxel} along {axes})"
    )


def _acquisition_sentence(run: RunFacts) -> str:
    took = "" if run.duration is None else f" in {duration(run.duration)}"
    lost = f"; {len(run.rejected)} measured passes were not used" if run.rejected else ""
    again = {0: "", 1: ", interrupted and resumed once"}.get(
        run.resumes, f", interrupted and resumed {run.resumes} times"
    )
    simulated = f"Scanner and sample ({run.sample}) were simulated. " if run.sample else ""
    return f"{simulated}{run.passes_used} of {run.passes_planned} passes entered the images{took}{again}{lost}"


def _populations_sentence(populations: Populations) -> str:
    options = populations.options
    return (
        f"Connected groups of at least {options.minimum_voxels} voxels whose pooled T2 lies significantly above the "
        f"upper edge of the bulk distribution ({quantity(populations.bulk_edge, 's', 3)}; at most "
        f"{options.false_positive_rate:.2g} false findings a map) and by at least a factor of "
        f"{options.minimum_contrast:g} were taken as isolated; widths (FWHM) were read from a kernel density with the "
        f"kernel's own width removed, their errors from a bootstrap over voxels."
    )
