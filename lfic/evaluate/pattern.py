"""A regular pattern at the period of a codec's grid: 8 pixels, one cell of lfic's features (and a block of JPEG), and
16, a region pooled or a block of two cells.

    e         luma of the decoded picture less that of the original, so that the original's own texture does not count
    P(f)      mean squared amplitude of e at f cycles a pixel: of Hann windows of up to 112 pixels, 16 apart, along all
              rows and all columns
    peak(f)   P(f) - sqrt(P(f - d) P(f + d)),   d two cycles a window: what a period has over its neighbours
    energy    peak(1/8) + peak(1/16), in levels (of 255) squared; a negative peak counts as 0

Noise and blur move neighbouring frequencies alike and cancel. Stripes of amplitude A levels, added to a picture, have
the energy A^2 / 2: they are seen along one direction of two. Blur of what the original has at the period counts, too,
so a little is no fault: on faces the classical codecs have 0.3 to 1.5 levels at usual sizes.
"""

import numpy as np
from numpy.typing import NDArray

from .interface import Pixels

FREQUENCIES = (1 / 8, 1 / 16)
LONGEST, STEP = 112, 16
LUMA = np.array([0.299, 0.587, 0.114])


def pattern_energy(original: Pixels, decoded: Pixels) -> float:
    """Energy of the error at the grid's periods, in levels squared: 0 and more.

    uint8 [H, W, 3] both; nan where a side is below 32 pixels.
    """
    if min(original.shape[:2]) < 32:
        return float("nan")
    error = (decoded.astype(np.float64) - original) @ LUMA
    peaks = (directed(error) + directed(error.T)) / 2
    return float(np.maximum(peaks, 0).sum())


def directed(error: NDArray[np.float64]) -> NDArray[np.float64]:
    """``peak(f)`` of both periods along rows: float [H, W] -> levels squared, float64 [2]."""
    length = min(LONGEST, error.shape[1] // 16 * 16)
    window = np.hanning(length + 1)[:-1]
    wanted = np.array([f + k * 2 / length for f in FREQUENCIES for k in (-1, 0, 1)])
    waves = np.exp(-2j * np.pi * np.outer(np.arange(length), wanted)) * (window * 2 / window.sum())[:, None]
    parts = np.lib.stride_tricks.sliding_window_view(error, length, 1)[:, ::STEP]
    parts = parts - parts.mean(-1, keepdims=True)
    power = (np.abs(parts @ waves) ** 2).mean((0, 1)).reshape(len(FREQUENCIES), 3)
    out: NDArray[np.float64] = power[:, 1] - np.sqrt(power[:, 0] * power[:, 2])
    return out
