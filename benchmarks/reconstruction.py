"""Centred inverse FFT: ours beside numpy, scipy, sigpy, BART and the bare FFTW plan, on the same arrays in one run.

Each program runs in its own process, so that its peak memory is its own, and takes turns with the others, so that a
busy machine slows all of them alike. Plans are made before the clock starts, as in a program that reconstructs more
than one image. The bare plan, and ours where it says "into", write into memory that is there already; all others
make a new array each time.

Run ``python benchmarks/reconstruction.py``. sigpy: ``pip install sigpy``; BART: ``apt-get install bart``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

SIZES = {"64² x 5": ((5, 64, 64), 2), "256² x 32": ((32, 256, 256), 2), "128³ x 8": ((8, 128, 128, 128), 3)}
TURNS = 12
SECONDS_PER_TURN = 0.15

Run = Callable[[], object]


def bare_fftw(kspace: np.ndarray, n_axes: int) -> Run:
    import pyfftw

    from knightshift.reconstruction.fft import thread_count

    buffer = pyfftw.empty_aligned(kspace.shape, kspace.dtype)
    plan = pyfftw.FFTW(
        buffer,
        buffer,
        axes=tuple(range(-n_axes, 0)),
        direction="FFTW_BACKWARD",
        flags=("FFTW_MEASURE",),
        threads=thread_count(kspace.size),
        planning_timelimit=5.0,
    )
    buffer[:] = kspace

    def run() -> object:
        plan.execute()
        return buffer

    def restore() -> None:
        buffer[:] = kspace  # else the sums of repeated transforms overflow

    run.restore = restore  # type: ignore[attr-defined]
    return run


def ours_into(kspace: np.ndarray, n_axes: int) -> Run:
    from knightshift.reconstruction.fft import centered_ifft

    image = np.empty_like(kspace)
    return lambda: centered_ifft(kspace, n_axes=n_axes, out=image)


def ours(kspace: np.ndarray, n_axes: int) -> Run:
    from knightshift.reconstruction.fft import centered_ifft

    return lambda: centered_ifft(kspace, n_axes=n_axes)


def ours_in_place(kspace: np.ndarray, n_axes: int) -> Run:
    from knightshift.reconstruction.fft import centered_ifft

    def run() -> object:
        return centered_ifft(kspace, n_axes=n_axes, out=kspace)

    def restore() -> None:
        level = max(abs(image).max() for image in kspace)  # each transform takes a mean: values fade to denormals
        np.divide(kspace, level, out=kspace)

    run.restore = restore  # type: ignore[attr-defined]
    return run


def ours_magnitude(kspace: np.ndarray, n_axes: int) -> Run:
    from knightshift.reconstruction.fft import centered_ifft_magnitude

    return lambda: centered_ifft_magnitude(kspace, n_axes=n_axes)


def by_numpy(kspace: np.ndarray, n_axes: int) -> Run:
    axes = tuple(range(-n_axes, 0))
    return lambda: np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes), axes)


def by_scipy(kspace: np.ndarray, n_axes: int) -> Run:
    import scipy.fft

    axes = tuple(range(-n_axes, 0))
    return lambda: np.fft.fftshift(scipy.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes, workers=2), axes)


def by_sigpy(kspace: np.ndarray, n_axes: int) -> Run:
    import sigpy

    axes = tuple(range(-n_axes, 0))
    return lambda: sigpy.ifft(kspace, axes=axes, norm=None)


def by_bart(kspace: np.ndarray, n_axes: int) -> Run:
    """Time BART as it is used: a command with files; in memory (/dev/shm) where there is such a place."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
    axes_first = kspace.T  # BART stores the first axis fastest
    (folder / "k.hdr").write_text("# Dimensions\n" + " ".join(map(str, axes_first.shape)) + "\n")
    (folder / "k.cfl").write_bytes(np.ascontiguousarray(kspace).tobytes())
    command = ["bart", "fft", "-i", str(2**n_axes - 1), str(folder / "k"), str(folder / "out")]
    run: Run = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
    run.close = lambda: shutil.rmtree(folder)  # type: ignore[attr-defined]
    return run


@dataclass(frozen=True)
class Program:
    """One program to time."""

    make: Callable[[np.ndarray, int], Run]
    package: str
    install: str


PROGRAMS = {
    "bare FFTW plan": Program(bare_fftw, "pyfftw", "pip install pyfftw"),
    "ours, into array": Program(ours_into, "pyfftw", "pip install pyfftw"),
    "ours, in place": Program(ours_in_place, "pyfftw", "pip install pyfftw"),
    "ours, new array": Program(ours, "pyfftw", "pip install pyfftw"),
    "ours, magnitude": Program(ours_magnitude, "pyfftw", "pip install pyfftw"),
    "numpy": Program(by_numpy, "numpy", "pip install numpy"),
    "scipy, 2 workers": Program(by_scipy, "scipy", "pip install scipy"),
    "sigpy": Program(by_sigpy, "sigpy", "pip install sigpy"),
    "BART (command)": Program(by_bart, "bart", "apt-get install bart"),
}


def memory_now() -> int:
    """Resident bytes now; the mark of the peak is set back to it where Linux can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
    return peak_bytes()


def peak_bytes() -> int:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(program: str, size: str, link: Connection) -> None:
    """Run one program on one size whenever asked; answers seconds of each run, at last the extra bytes at peak."""
    shape, n_axes = SIZES[size]
    rng = np.random.default_rng(0)
    make = PROGRAMS[program].make
    make(np.ones((1,) * (n_axes - 1) + (4, 4), np.complex64)[..., :, :], n_axes)()  # imports are not counted
    kspace = np.empty(shape, np.complex64)
    for image in kspace:
        image.real, image.imag = rng.standard_normal((2, *image.shape), np.float32)
    before = memory_now()
    run = make(kspace, n_axes)
    run()
    extra = peak_bytes() - before
    while link.recv():
        getattr(run, "restore", lambda: None)()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 2 or time.perf_counter() - start < SECONDS_PER_TURN:
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
            if len(times) % 4 == 0:
                getattr(run, "restore", lambda: None)()
        link.send(times)
    getattr(run, "close", lambda: None)()
    link.send(extra)


@dataclass
class Worker:
    """A process with one program in it."""

    program: str
    process: multiprocessing.process.BaseProcess
    link: Connection
    times: list[float] = field(default_factory=list)

    def take_turn(self) -> None:
        """Run it for a while."""
        self.link.send(True)
        self.times += self.link.recv()

    def finish(self) -> int:
        """End it; answers the extra bytes at peak."""
        self.link.send(False)
        extra = int(self.link.recv())
        self.process.join()
        return extra


def start_worker(program: str, size: str) -> Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(program, size, there))
    process.start()
    return Worker(program, process, here)


def installed(program: Program) -> bool:
    return importlib.util.find_spec(program.package) is not None or shutil.which(program.package) is not None


def main() -> None:
    for name, program in PROGRAMS.items():
        if not installed(program):
            print(f"{name}: skipped, it is not installed ({program.install})")
    print(
        f"{'size':<10} {'program':<18} {'best ms':>9} {'x floor':>8} {'median':>9} {'x floor':>8} {'peak: x data':>13}"
    )
    for size, (shape, _) in SIZES.items():
        workers = [start_worker(name, size) for name, program in PROGRAMS.items() if installed(program)]
        for _ in range(TURNS):
            for worker in workers:
                worker.take_turn()
        floor = min(workers[0].times), statistics.median(workers[0].times)
        for worker in workers:
            best, median = min(worker.times), statistics.median(worker.times)
            extra = 1 + worker.finish() / (8 * int(np.prod(shape)))
            print(
                f"{size:<10} {worker.program:<18} {best * 1e3:9.3f} {best / floor[0]:8.2f} {median * 1e3:9.3f} "
                f"{median / floor[1]:8.2f} {extra:13.2f}"
            )


if __name__ == "__main__":
    main()
