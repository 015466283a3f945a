"""Bjontegaard differences: how many per cent fewer bytes one codec needs for the same quality as another.

Quality is whatever rises with bytes: accuracy, TAR, similarity, PSNR. Curves are piecewise cubic Hermite (PCHIP) in
(quality, log bytes), integrated over the qualities that both curves reach and nowhere else (Bjontegaard, VCEG-M33,
2001; PCHIP as in JCTVC-L1100). The arithmetic is that of the package ``bjontegaard`` (Herglotz et al., ICIP 2022).
"""

import importlib.util
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInputError, MissingDependencyError

Prepared = tuple[list[float], list[float]]  # log10 of rates, qualities
LEAST_OVERLAP = 0.02  # of the wider curve's quality range: below it a mean over the overlap says nothing


def rising(rates: ArrayLike, qualities: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The part of a curve that a quality axis can carry: sorted by bytes, points that bring no more quality dropped.

    Returns (rates, qualities), float64 [M], both strictly rising. Dropping a point that costs more and brings nothing
    never favours the curve's rival: it is the cheaper point that stays.
    """
    rates, qualities = np.asarray(rates, np.float64), np.asarray(qualities, np.float64)
    if rates.shape != qualities.shape or rates.ndim != 1:
        raise InvalidInputError(
            f"rates have shape {rates.shape}, qualities {qualities.shape}; needed are two arrays [M]"
        )
    if not (np.isfinite(rates).all() and np.isfinite(qualities).all() and (rates > 0).all()):
        raise InvalidInputError("rates must be positive and finite, qualities finite")
    keep, best = [], -np.inf
    for i in np.lexsort((-qualities, rates)):
        if qualities[i] > best + 1e-9:
            keep.append(i)
            best = qualities[i]
    rates, qualities = rates[keep], qualities[keep]
    distinct = np.concatenate([[True], np.diff(rates) > 0])
    return rates[distinct], qualities[distinct]


def bd_rate(
    anchor_rates: ArrayLike, anchor_qualities: ArrayLike, rates: ArrayLike, qualities: ArrayLike, method: str = "pchip"
) -> tuple[float, tuple[float, float] | None]:
    """BD-rate in per cent: negative where the second curve needs fewer bytes than the anchor at equal quality.

    Returns:
        (percent, (low, high)): the mean difference and the range of qualities that it was taken over; (nan, None)
        where the curves overlap by less than 2 % of the wider one's range, or one has fewer than two points.

    Nothing is extrapolated: what lies outside the common range is not counted.
    """
    if importlib.util.find_spec("bjontegaard") is None:
        raise MissingDependencyError("BD-rates need the package bjontegaard: pip install bjontegaard")
    import bjontegaard

    anchor_rates, anchor_qualities = rising(anchor_rates, anchor_qualities)
    rates, qualities = rising(rates, qualities)
    if len(rates) < 2 or len(anchor_rates) < 2:
        return float("nan"), None
    low, high = max(anchor_qualities[0], qualities[0]), min(anchor_qualities[-1], qualities[-1])
    widest = max(np.ptp(anchor_qualities), np.ptp(qualities))
    if high - low < LEAST_OVERLAP * widest:
        return float("nan"), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns below 75 % overlap; here the overlap is part of the result
        value = bjontegaard.bd_rate(
            anchor_rates,
            anchor_qualities,
            rates,
            qualities,
            method=method,
            require_matching_points=False,
            min_overlap=0,
        )
    return float(value), (float(low), float(high))


def pchip_integral(x: Sequence[float], y: Sequence[float], low: float, high: float) -> float:
    """Integral from ``low`` to ``high`` of the PCHIP curve through (x, y), ``x`` strictly rising: exact, plain floats.

    The same curve as ``scipy.interpolate.PchipInterpolator`` (Fritsch and Butland 1984), some twenty times as fast on
    the few points of a rate curve, which is what makes thousands of bootstrap replicates affordable.
    """
    n = len(x)
    h = [x[i + 1] - x[i] for i in range(n - 1)]
    d = [(y[i + 1] - y[i]) / h[i] for i in range(n - 1)]
    if n == 2:
        slope = [d[0], d[0]]
    else:
        slope = [end_slope(h[0], h[1], d[0], d[1])]
        for i in range(1, n - 1):
            if d[i - 1] * d[i] <= 0:
                slope.append(0.0)
            else:
                w1, w2 = 2 * h[i] + h[i - 1], h[i] + 2 * h[i - 1]
                slope.append((w1 + w2) / (w1 / d[i - 1] + w2 / d[i]))
        slope.append(end_slope(h[-1], h[-2], d[-1], d[-2]))
    total = 0.0
    for i in range(n - 1):
        a, b = max(low, x[i]) - x[i], min(high, x[i + 1]) - x[i]
        if b > a:
            c2 = (3 * d[i] - 2 * slope[i] - slope[i + 1]) / h[i]
            c3 = (slope[i] + slope[i + 1] - 2 * d[i]) / h[i] ** 2
            total += y[i] * (b - a) + slope[i] * (b**2 - a**2) / 2 + c2 * (b**3 - a**3) / 3 + c3 * (b**4 - a**4) / 4
    return total


def end_slope(h0: float, h1: float, d0: float, d1: float) -> float:
    """Three-point slope at an end, kept from overshooting."""
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
        return 0.0
    if d0 * d1 <= 0 and abs(slope) > 3 * abs(d0):
        return 3 * d0
    return slope


def quick_bd_rate(anchor: Prepared, test: Prepared) -> float:
    """``bd_rate`` of two curves that ``rising`` has prepared, as (log10 rates, qualities) lists -> per cent or nan."""
    (anchor_rates, anchor_qualities), (rates, qualities) = anchor, test
    if len(rates) < 2 or len(anchor_rates) < 2:
        return float("nan")
    low, high = max(anchor_qualities[0], qualities[0]), min(anchor_qualities[-1], qualities[-1])
    if high - low < LEAST_OVERLAP * max(anchor_qualities[-1] - anchor_qualities[0], qualities[-1] - qualities[0]):
        return float("nan")
    gap = pchip_integral(qualities, rates, low, high) - pchip_integral(anchor_qualities, anchor_rates, low, high)
    return 100 * (10 ** (gap / (high - low)) - 1)


def prepared(rates: ArrayLike, qualities: ArrayLike) -> Prepared:
    """A curve for ``quick_bd_rate``."""
    rates, qualities = rising(rates, qualities)
    return np.log10(rates).tolist(), qualities.tolist()


def bytes_at(rates: ArrayLike, qualities: ArrayLike, target: float) -> float:
    """Bytes at which a curve reaches a quality (PCHIP in log bytes); nan outside the measured range."""
    from scipy.interpolate import PchipInterpolator

    rates, qualities = rising(rates, qualities)
    if len(rates) < 2 or not qualities[0] <= target <= qualities[-1]:
        return float("nan")
    return float(np.exp(PchipInterpolator(qualities, np.log(rates))(target)))
