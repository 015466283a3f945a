"""Bjontegaard differences: how many per cent fewer bytes one codec needs for the same quality as another.

Quality is whatever rises with bytes: accuracy, TAR, similarity, PSNR. Curves are piecewise cubic Hermite (PCHIP) in
(quality, log bytes), integrated over the qualities that both curves reach and nowhere else (Bjontegaard, VCEG-M33,
2001; PCHIP as in JCTVC-L1100). The arithmetic is that of the package ``bjontegaard`` (Herglotz et al., ICIP 2022).
"""

import importlib.util
import warnings

import numpy as np

from ..errors import InvalidInputError, MissingDependencyError
from .verification import bootstrap_accuracy, bootstrap_tar, bootstrap_weights, interval, pair_scores

LEAST_OVERLAP = 0.02  # of the wider curve's quality range: below it a mean over the overlap says nothing


def rising(rates, qualities):
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


def bd_rate(anchor_rates, anchor_qualities, rates, qualities, method="pchip"):
    """BD-rate in per cent: negative where the second curve needs fewer bytes than the anchor at equal quality.

    Returns:
        (percent, (low, high)): the mean difference and the range of qualities that it was taken over; (nan, range or
        None) where the curves overlap by less than 2 % of the wider one's range, or one has fewer than two points.

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


def pchip_integral(x, y, low, high):
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


def end_slope(h0, h1, d0, d1):
    """Three-point slope at an end, kept from overshooting."""
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
        return 0.0
    if d0 * d1 <= 0 and abs(slope) > 3 * abs(d0):
        return 3 * d0
    return slope


def quick_bd_rate(anchor, test):
    """``bd_rate`` of two curves that ``rising`` has prepared, as (log10 rates, qualities) lists -> per cent or nan."""
    (anchor_rates, anchor_qualities), (rates, qualities) = anchor, test
    if len(rates) < 2 or len(anchor_rates) < 2:
        return float("nan")
    low, high = max(anchor_qualities[0], qualities[0]), min(anchor_qualities[-1], qualities[-1])
    if high - low < LEAST_OVERLAP * max(anchor_qualities[-1] - anchor_qualities[0], qualities[-1] - qualities[0]):
        return float("nan")
    gap = pchip_integral(qualities, rates, low, high) - pchip_integral(anchor_qualities, anchor_rates, low, high)
    return 100 * (10 ** (gap / (high - low)) - 1)


def prepared(rates, qualities):
    """A curve for ``quick_bd_rate``."""
    rates, qualities = rising(rates, qualities)
    return np.log10(rates).tolist(), qualities.tolist()


def bytes_at(rates, qualities, target):
    """Bytes at which a curve reaches a quality (PCHIP in log bytes); nan outside the measured range."""
    from scipy.interpolate import PchipInterpolator

    rates, qualities = rising(rates, qualities)
    if len(rates) < 2 or not qualities[0] <= target <= qualities[-1]:
        return float("nan")
    return float(np.exp(PchipInterpolator(qualities, np.log(rates))(target)))


TARGETS = {
    "accuracy": (0.90, 0.95, 0.98, 0.99),
    "tar_at_far_0.001": (0.5, 0.8, 0.9),
    "similarity": (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99),
}


def bytes_table(rows):
    """Bytes that each codec needs for some round qualities: list of dicts codec, recogniser, measure, target, bytes.

    Args:
        rows: of ``run.summarise``; protocol "both" (or "similarity") is used. Targets outside a codec's measured range
            are left out, and those that nobody reaches altogether.
    """
    out = []
    rows = [r for r in rows if r["protocol"] in ("both", "similarity") and r["codec"] != "uncompressed"]
    for recogniser in dict.fromkeys(r["recogniser"] for r in rows):
        for measure, targets in TARGETS.items():
            for target in targets:
                for codec in dict.fromkeys(r["codec"] for r in rows):
                    curve = [
                        (r["bytes"], r[measure])
                        for r in rows
                        if r["codec"] == codec
                        and r["recogniser"] == recogniser
                        and isinstance(r.get(measure), (int, float))
                    ]
                    if len(curve) > 1 and np.isfinite(value := bytes_at(*zip(*curve), target)):
                        out.append(
                            {
                                "codec": codec,
                                "recogniser": recogniser,
                                "measure": measure,
                                "target": target,
                                "bytes": value,
                            }
                        )
    return out


def curves(points, reference, faces, weights=None):
    """Quality curves of one codec's points: (measure, recogniser) -> (values [M], replicates [B, M] or None).

    Measures: "psnr", "similarity", and with pairs "accuracy", "tar@1e-2" and "tar@1e-3" (both images compressed).

    Args:
        weights: (float [B, N], float [B, P]), how often each face and each pair counts in B replicates; None for none.
    """
    of_faces, of_pairs = weights or (None, None)

    def means(values):  # of [M, N] figures of faces
        return values.mean(1).tolist(), None if of_faces is None else (of_faces @ values.T) / of_faces.sum(
            1, keepdims=True
        )

    out = {("psnr", ""): means(np.stack([p.psnr for p in points]))}
    for name, original in reference.items():
        if any(name not in p.embeddings for p in points):  # it does not judge this codec
            continue
        out["similarity", name] = means(
            np.stack([np.einsum("nd,nd->n", p.embeddings[name].astype(np.float64), original) for p in points])
        )
        if not len(faces.pairs):
            continue
        scores = [pair_scores(p.embeddings[name], p.embeddings[name], faces.pairs) for p in points]
        ones = np.ones((1, len(faces.pairs)), np.float32)
        for measure, evaluate in (
            ("accuracy", lambda s, w: bootstrap_accuracy(s, faces.same, faces.folds, w)),
            ("tar@1e-2", lambda s, w: bootstrap_tar(s, faces.same, w, 1e-2)),
            ("tar@1e-3", lambda s, w: bootstrap_tar(s, faces.same, w, 1e-3)),
        ):
            values = [evaluate(s, ones)[0] for s in scores]
            if np.isfinite(values).all():  # the impostors' number decides, so replicates are finite where these are
                samples = None if of_pairs is None else np.stack([evaluate(s, of_pairs) for s in scores], 1)
                out[measure, name] = (values, samples)
    return out


def curves_of_rows(rows):
    """What ``curves`` gives, without replicates, out of one codec's rows of an earlier run (``run.summarise``)."""
    out = {}
    for name in dict.fromkeys(row["recogniser"] for row in rows):
        of_name = [row for row in rows if row["recogniser"] == name]
        out["psnr", ""] = [row["psnr_db"] for row in of_name], None
        columns = {
            "similarity": "similarity",
            "accuracy": "accuracy",
            "tar@1e-2": "tar_at_far_0.01",
            "tar@1e-3": "tar_at_far_0.001",
        }
        for measure, column in columns.items():
            values = [row.get(column) for row in of_name]
            if all(isinstance(value, float) for value in values):
                out[measure, name] = values, None
    return out


def table(points, reference, faces, anchors, replicates=200, earlier=()):
    """BD-rates of every codec against every anchor: list of dicts, one per pair of codecs, measure and recogniser.

    earlier: rows of an earlier run on the same faces, of codecs that have no points; their figures have no intervals.

    ``low``/``high`` bound a 95 % interval: pairs (faces, for similarity and PSNR) are drawn anew, the same for both
    codecs, ``replicates`` times. ``..._without_header`` are the same three figures over bytes without what is fixed in
    every file. ``replicates`` counts those that gave a figure: one whose curves no longer overlap gives none.
    """
    groups = {}
    for point in points:
        groups.setdefault(point.codec, []).append(point)
    weights = None
    if replicates:
        alike = np.zeros(len(faces), bool)  # faces are of one kind and one fold
        weights = (
            bootstrap_weights(alike, alike, replicates, seed=2),
            bootstrap_weights(faces.same, faces.folds, replicates),
        )
    known = {name: curves(group, reference, faces, weights) for name, group in groups.items() if len(group) > 1}
    rates = {
        "": {name: [p.size.mean() for p in group] for name, group in groups.items()},
        "_without_header": {
            name: [max(1.0, (p.size - p.header).mean()) for p in group] for name, group in groups.items()
        },
    }
    used = [row for row in earlier if row["protocol"] in ("both", "similarity") and row["codec"] not in groups]
    for name in dict.fromkeys(row["codec"] for row in used):
        of_codec = [row for row in used if row["codec"] == name]
        # A setting has a row for each recogniser.
        settings = list({row["setting"]: row for row in of_codec}.values())
        if len(settings) > 1:
            known[name] = curves_of_rows(of_codec)
            rates[""][name] = [row["bytes"] for row in settings]
            rates["_without_header"][name] = [max(1.0, row["bytes_without_header"]) for row in settings]
    drawn = {
        (name, curve, column): [prepared(rates[column][name], sample) for sample in samples]
        for name in known
        for curve, (_, samples) in known[name].items()
        if samples is not None
        for column in rates
    }
    rows = []
    for anchor in anchors:
        for name in known:
            if name == anchor or anchor not in known:
                continue
            for curve in (c for c in known[name] if c in known[anchor]):
                row = {"codec": name, "anchor": anchor, "measure": curve[0], "recogniser": curve[1]}
                for column, sizes in rates.items():
                    value, span = bd_rate(sizes[anchor], known[anchor][curve][0], sizes[name], known[name][curve][0])
                    row[f"bd_rate{column}_percent"] = value
                    if (name, curve, column) in drawn and (anchor, curve, column) in drawn and np.isfinite(value):
                        samples = [
                            quick_bd_rate(a, s)
                            for a, s in zip(drawn[anchor, curve, column], drawn[name, curve, column])
                        ]
                        row[f"low{column}_percent"], row[f"high{column}_percent"] = interval(samples)
                        row["replicates"] = int(np.isfinite(samples).sum())
                    row |= {"overlap_from": span and span[0], "overlap_to": span and span[1]}
                rows.append(row)
    return rows
