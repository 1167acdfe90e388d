"""K-space whose samples are cleaned when they are read, slab by slab, however large it is.

Offsets, spikes and the noise of the receivers are measured on all of k-space: it is read once for each of these looks,
and once more when it is transformed. In memory or beyond it, the result is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from knightshift.core.arrays import ComplexArray, IntArray, RealArray
from knightshift.reconstruction.kspace import KSpaceSlices
from knightshift.reconstruction.recipe import Recipe
from knightshift.reconstruction.steps.cleaning import dc_offsets, find_spikes, ring_levels, without_offset
from knightshift.reconstruction.steps.receivers import mix_receivers, noise_covariance, whitening_matrix

PlaneStep: TypeAlias = Callable[[ComplexArray], ComplexArray]
"""Takes a plane ``(channel, line, sample)``, lines in order of k, and returns it cleaned."""


def cleaned_kspace(
    kspace: KSpaceSlices, line_steps: IntArray, recipe: Recipe, slab_bytes: int
) -> tuple[KSpaceSlices, list[str]]:
    """Take the steps of a recipe that work on single samples.

    Parameters
    ----------
    kspace
        Shape ``(echo, slice, channel, line, sample)``. Not changed.
    line_steps
        Phase-encode step of each line, shape ``(line,)``: the steps need the lines in order of k.
    recipe
        The steps.
    slab_bytes
        How much of `kspace` to read at a time.

    Returns
    -------
    kspace
        What cleans samples when it is indexed; `kspace` itself where there is nothing to do.
    sentences
        One for each step that was taken.

    Raises
    ------
    InputError
        If the noise of the receivers cannot be measured, or is not independent.
    """
    cleaned, sentences = CleanedKSpace(kspace, np.argsort(line_steps), slab_bytes), []
    if recipe.remove_dc_offset:
        offsets = dc_offsets(cleaned)
        cleaned = cleaned.then(partial(without_offset, offsets=offsets))
        largest = float(np.abs(offsets).max())
        sentences.append(f"A constant offset was subtracted from each receiver (at most {largest:.3g}).")
    if recipe.remove_spikes:
        levels = ring_levels(cleaned)
        n_spikes = sum(int(np.count_nonzero(find_spikes(plane, levels))) for plane in cleaned)
        cleaned = cleaned.then(partial(_without_spikes, levels=levels))
        n_samples = math.prod(kspace.shape)
        sentences.append(f"{n_spikes} of {n_samples} samples stood out as spikes and were set to zero.")
    if recipe.whiten and kspace.shape[2] > 1:
        mixing = whitening_matrix(noise_covariance(cleaned))
        cleaned = cleaned.then(partial(mix_receivers, mixing=mixing))
        sentences.append("The noise of the receivers was made white (covariance from the corners of k-space).")
    return (cleaned if cleaned.steps else kspace), sentences


def _without_spikes(plane: ComplexArray, levels: RealArray) -> ComplexArray:
    return np.where(find_spikes(plane, levels), plane.dtype.type(0), plane)


@dataclass(frozen=True)
class CleanedKSpace:
    """K-space of shape ``(echo, slice, channel, line, sample)`` that is cleaned plane by plane when it is read.

    Indexed, it gives echoes and slices as its source does; gone through, its planes with their lines in order of k.
    """

    source: KSpaceSlices
    """What is cleaned."""
    order: IntArray
    """Lines in order of k, shape ``(line,)``."""
    slab_bytes: int
    """How much of it to read at a time."""
    steps: tuple[PlaneStep, ...] = ()
    """What is done to each plane."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Counts along the axes."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        return self.source.dtype

    def then(self, step: PlaneStep) -> CleanedKSpace:
        """Add one step."""
        return replace(self, steps=(*self.steps, step))

    def __getitem__(self, key: Any, /) -> ComplexArray:
        read = self.source[key]
        cleaned = np.empty(read.shape, read.dtype)
        for index in np.ndindex(*read.shape[:-3]):
            cleaned[index][:, self.order] = self._clean(read[index])
        return cleaned

    def __iter__(self) -> Iterator[ComplexArray]:
        n_echoes, n_slices, *one = self.shape
        step = max(1, self.slab_bytes // max(1, n_echoes * math.prod(one) * self.dtype.itemsize))
        for first in range(0, n_slices, step):
            slab = self.source[:, first : min(first + step, n_slices)]
            for index, echo in np.ndindex(slab.shape[1], n_echoes):
                yield self._clean(slab[echo, index])

    def _clean(self, plane: ComplexArray) -> ComplexArray:
        """Take all steps on a plane whose lines are in order of acquisition."""
        plane = plane[:, self.order]
        for step in self.steps:
            plane = step(plane)
        return plane
