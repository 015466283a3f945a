"""Bjontegaard differences: how many per cent fewer bytes one codec needs for the same quality as another.

Quality is whatever rises with bytes: accuracy, TAR, similarity, PSNR. Curves are piecewise cubic Hermite (PCHIP) in
(quality, log bytes), integrated over the qualities that both curves reach and nowhere else (Bjontegaard, VCEG-M33, 2001; PCHIP as
in JCTVC-L1100). The arithmetic is that of the package ``bjontegaard`` (Herglotz et al., ICIP 2022).
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
        raise InvalidInputError(f"rates have shape {rates.shape}, qualities {qualities.shape}; needed are two arrays [M]")
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
        value = bjontegaard.bd_rate(anchor_rates, anchor_qualities, rates, qualities, method=method,
                                    require_matching_points=False, min_overlap=0)
    return float(value), (float(low), float(high))


def bytes_at(rates, qualities, target):
    """Bytes at which a curve reaches a quality (PCHIP in log bytes); nan outside the measured range."""
    from scipy.interpolate import PchipInterpolator

    rates, qualities = rising(rates, qualities)
    if len(rates) < 2 or not qualities[0] <= target <= qualities[-1]:
        return float("nan")
    return float(np.exp(PchipInterpolator(qualities, np.log(rates))(target)))


TARGETS = {"accuracy": (0.90, 0.95, 0.98, 0.99), "tar_at_far_0.001": (0.5, 0.8, 0.9), "similarity": (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)}


def bytes_table(rows):
    """Bytes that each codec needs for some round qualities: list of dicts codec, recogniser, measure, target, bytes.

    Args:
        rows: of ``run.summarise``; protocol "both" (or "similarity") is used. Targets outside a codec's measured range are
            left out, and those that nobody reaches altogether.
    """
    out = []
    rows = [r for r in rows if r["protocol"] in ("both", "similarity") and r["codec"] != "uncompressed"]
    for recogniser in dict.fromkeys(r["recogniser"] for r in rows):
        for measure, targets in TARGETS.items():
            for target in targets:
                for codec in dict.fromkeys(r["codec"] for r in rows):
                    curve = [(r["bytes"], r[measure]) for r in rows
                             if r["codec"] == codec and r["recogniser"] == recogniser and isinstance(r.get(measure), (int, float))]
                    if len(curve) > 1 and np.isfinite(value := bytes_at(*zip(*curve), target)):
                        out.append({"codec": codec, "recogniser": recogniser, "measure": measure, "target": target, "bytes": value})
    return out


def curves(points, reference, faces, weights=None):
    """Quality curves of one codec's points: (measure, recogniser) -> (values [M], replicates [B, M] or None).

    Measures: "psnr", "similarity", and with pairs "accuracy", "tar@1e-2" and "tar@1e-3" (both images compressed).
    """
    out = {("psnr", ""): ([p.psnr.mean() for p in points], None)}
    for name, original in reference.items():
        out["similarity", name] = ([np.einsum("nd,nd->n", p.embeddings[name], original).mean() for p in points], None)
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
            if np.isfinite(values).all():
                samples = None if weights is None else np.stack([evaluate(s, weights) for s in scores], 1)
                out[measure, name] = (values, samples)
    return out


def table(points, reference, faces, anchors, replicates=200):
    """BD-rates of every codec against every anchor: list of dicts, one per pair of codecs, measure and recogniser.

    ``low``/``high`` bound a 95 % interval: pairs are drawn anew (the same for both codecs) ``replicates`` times.
    ``bd_rate_without_header`` is the same over bytes without what is fixed in every file.
    """
    groups = {}
    for point in points:
        groups.setdefault(point.codec, []).append(point)
    weights = bootstrap_weights(faces.same, faces.folds, replicates) if replicates and len(faces.pairs) else None
    known = {name: curves(group, reference, faces, weights) for name, group in groups.items() if len(group) > 1}
    rates = {name: [p.size.mean() for p in group] for name, group in groups.items()}
    bare = {name: [max(1.0, (p.size - p.header).mean()) for p in group] for name, group in groups.items()}
    rows = []
    for anchor in anchors:
        for name in known:
            if name == anchor or anchor not in known:
                continue
            for (measure, recogniser), (values, samples) in known[name].items():
                if (measure, recogniser) not in known[anchor]:
                    continue
                anchor_values, anchor_samples = known[anchor][measure, recogniser]
                value, span = bd_rate(rates[anchor], anchor_values, rates[name], values)
                row = {"codec": name, "anchor": anchor, "measure": measure, "recogniser": recogniser, "bd_rate_percent": value,
                       "overlap_from": span and span[0], "overlap_to": span and span[1],
                       "bd_rate_without_header_percent": bd_rate(bare[anchor], anchor_values, bare[name], values)[0]}
                if samples is not None and np.isfinite(value):
                    drawn = [bd_rate(rates[anchor], a, rates[name], s)[0] for a, s in zip(anchor_samples, samples)
                             if np.isfinite(a).all() and np.isfinite(s).all()]
                    row["low_percent"], row["high_percent"] = interval(drawn)
                rows.append(row)
    return rows
