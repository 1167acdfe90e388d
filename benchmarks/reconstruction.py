"""Centred inverse FFT: ours beside numpy, scipy and the bare FFTW plan, on the same arrays in one run.

Each program runs in its own process, so that its peak memory is its own. Times are medians; the plan is made before the
clock starts, as in a program that reconstructs more than one image. Run ``python benchmarks/reconstruction.py``.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

SIZES = {"64² x 5": ((5, 64, 64), 2), "256² x 32": ((32, 256, 256), 2), "128³ x 8": ((8, 128, 128, 128), 3)}
SECONDS_PER_CASE = 2.0


def bare_fftw(kspace: np.ndarray, n_axes: int) -> Callable[[], object]:
    import pyfftw

    from knightshift.reconstruction.fft import thread_count

    buffer = pyfftw.empty_aligned(kspace.shape, kspace.dtype)
    axes = tuple(range(-n_axes, 0))
    plan = pyfftw.FFTW(
        buffer,
        buffer,
        axes=axes,
        direction="FFTW_BACKWARD",
        flags=("FFTW_MEASURE",),
        threads=thread_count(kspace.size),
        planning_timelimit=5.0,
    )
    buffer[:] = kspace
    return plan.execute


def ours(kspace: np.ndarray, n_axes: int) -> Callable[[], object]:
    from knightshift.reconstruction.fft import centered_ifft

    return lambda: centered_ifft(kspace, n_axes=n_axes, measure=True)


def by_numpy(kspace: np.ndarray, n_axes: int) -> Callable[[], object]:
    axes = tuple(range(-n_axes, 0))
    return lambda: np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes), axes)


def by_scipy(kspace: np.ndarray, n_axes: int) -> Callable[[], object]:
    import scipy.fft

    axes = tuple(range(-n_axes, 0))
    return lambda: np.fft.fftshift(scipy.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes, workers=2), axes)


def by_sigpy(kspace: np.ndarray, n_axes: int) -> Callable[[], object]:
    import sigpy

    axes = tuple(range(-n_axes, 0))
    return lambda: sigpy.ifft(kspace, axes=axes, norm=None)


PROGRAMS = {
    "bare FFTW plan": (bare_fftw, "pyfftw"),
    "knightshift": (ours, "pyfftw"),
    "numpy": (by_numpy, "numpy"),
    "scipy, 2 workers": (by_scipy, "scipy"),
    "sigpy": (by_sigpy, "sigpy"),
}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(program: str, size: str, answer: Connection) -> None:
    """Run one program on one size; answers (median seconds, extra bytes at peak)."""
    shape, n_axes = SIZES[size]
    rng = np.random.default_rng(0)
    kspace = np.empty(shape, np.complex64)
    kspace.real, kspace.imag = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    before = peak_bytes()
    run = PROGRAMS[program][0](kspace, n_axes)
    run()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < SECONDS_PER_CASE:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    answer.send((statistics.median(times), peak_bytes() - before))


def in_own_process(program: str, size: str) -> tuple[float, int]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(program, size, sender))
    process.start()
    sender.close()
    try:
        seconds, extra = receiver.recv()
    finally:
        process.join()
    return float(seconds), int(extra)


def main() -> None:
    print(f"{'size':<12} {'program':<18} {'ms':>9} {'x floor':>8} {'extra MB':>9} {'x data':>7}")
    for size, (shape, _) in SIZES.items():
        floor = 0.0
        n_bytes = int(np.prod(shape)) * 8
        for program, (_, package) in PROGRAMS.items():
            if importlib.util.find_spec(package) is None:
                print(f"{size:<12} {program:<18} not installed: skipped")
                continue
            seconds, extra = in_own_process(program, size)
            floor = floor or seconds
            print(
                f"{size:<12} {program:<18} {seconds * 1e3:9.3f} {seconds / floor:8.2f} {extra / 1e6:9.1f} "
                f"{extra / n_bytes:7.2f}"
            )


if __name__ == "__main__":
    main()
