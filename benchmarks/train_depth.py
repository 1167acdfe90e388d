"""Why voxels of an echo train in metal read another T2 than the whole face: ``python benchmarks/train_depth.py``.

A voxel is not a box: through a truncated k-space it sees depth ``d`` of a face at ``z`` with ``sinc((z - d) / voxel)``.
Deep layers have a weak pulse, many stimulated echoes and a slow decay, so what T2 the model of the whole skin finds in
a voxel depends on where in the voxel the face lies. Printed for a voxel alone and for the complex sum of three rows.
"""

from __future__ import annotations

import numpy as np

from knightshift.reconstruction.relaxometry import EchoTrain, T2Options, cpmg_echoes, fit_t2_maps

SKIN, VOXEL, SPACING, T1 = 10.8e-6, 23e-6, 6e-3, 17.1e-3  # [m], [m], [s], [s]
TRAIN = EchoTrain(echo_spacing=SPACING, n_echoes=5, t1=T1, field="metal")


def echoes_by_depth(t2: float) -> tuple[np.ndarray, np.ndarray]:
    """Depths in skin depths, and complex echoes of each layer with its weight, shape ``(echo, depth)``."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    depth, weight = 3 * (nodes + 1), 3 * weights
    strength = np.exp(-depth)
    echoes = [
        cpmg_echoes(T1, t2, np.pi * b1, echo_spacing=SPACING, n_echoes=5, excitation=np.pi / 2 * b1) for b1 in strength
    ]
    return depth, np.stack(echoes, axis=1) * weight * strength * np.exp(-2j * depth)


def error(signal: np.ndarray, t2: float) -> float:
    """Error of the fitted T2 [%]."""
    magnitudes = np.abs(signal)[:, None] / np.abs(signal[0])
    fit = fit_t2_maps(magnitudes, TRAIN.echo_times, T2Options(estimator="gaussian", train=TRAIN), noise_std=1e-4)
    return 100 * (fit.t2[0] / t2 - 1)


def main() -> None:
    """Print the table."""
    print("T2/ms  centre of the voxel below the face/voxels  signal  error alone/%  of the sum of three rows/%")
    for t2 in (7e-3, 16e-3):
        depth, echoes = echoes_by_depth(t2)
        for place in np.arange(-0.75, 0.76, 0.25):
            rows = [echoes @ np.sinc(place + row - depth * SKIN / VOXEL) for row in (-1, 0, 1)]
            print(
                f"{1e3 * t2:5g}  {place:+43.2f}  {np.abs(rows[1][0]) / np.abs(echoes[0].sum()):6.2f}  "
                f"{error(rows[1], t2):+13.1f}  {error(sum(rows), t2):+26.1f}"
            )


if __name__ == "__main__":
    main()
