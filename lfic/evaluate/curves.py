"""Quality curves of codecs, and tables made from them: BD-rates with their intervals, bytes at round qualities."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .bdrate import Prepared, bd_rate, bytes_at, prepared, quick_bd_rate
from .data import Faces
from .looks import MEASURES
from .points import Embeddings, Point
from .tables import Row
from .verification import bootstrap_accuracy, bootstrap_tar, bootstrap_weights, interval, pair_scores

Samples = NDArray[np.floating] | None  # [B, M]: M values in each of B bootstrap replicates
Curve = tuple[str, str]  # measure and judge
Qualities = dict[Curve, tuple[Sequence[float], Samples]]  # values [M] and their replicates
Weights = tuple[NDArray[np.float32], NDArray[np.float32]]  # [B, N] and [B, P]: how often each face and pair counts
COLUMNS = {  # measure -> column of a table of figures
    "similarity": "similarity",
    "accuracy": "accuracy",
    "tar@1e-2": "tar_at_far_0.01",
    "tar@1e-3": "tar_at_far_0.001",
}
TARGETS = {  # column of a table of figures -> qualities at which bytes are read off
    "accuracy": (0.90, 0.95, 0.98, 0.99),
    "tar_at_far_0.001": (0.5, 0.8, 0.9),
    "similarity": (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99),
    "psnr_db": (25, 30, 35),
    "ssimulacra2": (10, 30, 50, 70),
}


@dataclasses.dataclass
class CodecCurves:
    """All curves of a codec over M settings.

    Attributes:
        rates: float [M], mean bytes of whole files, under ""; under "_without_header" without what every file has.
        qualities: values over the same settings.
    """

    rates: dict[str, list[float]]
    qualities: Qualities

    def replicates(self, curve: Curve, column: str) -> list[Prepared] | None:
        """A curve in every bootstrap replicate, ready for ``quick_bd_rate``."""
        samples = self.qualities[curve][1]
        return None if samples is None else [prepared(self.rates[column], sample) for sample in samples]


def bd_rates(
    points: Sequence[Point],
    reference: Embeddings,
    faces: Faces,
    anchors: Sequence[str],
    replicates: int = 200,
    earlier: Sequence[Row] = (),
) -> list[Row]:
    """BD-rates of every codec against every anchor: one row for each pair of codecs, measure and judge.

    earlier: rows of an earlier run on the same faces, of codecs that have no points; their figures have no intervals.

    ``low``/``high`` bound a 95 % interval: pairs (faces, for similarity and PSNR) are drawn anew, the same for both
    codecs, ``replicates`` times. ``..._without_header`` are the same three figures over bytes without what is fixed in
    every file. ``replicates`` counts those that gave a figure: one whose curves no longer overlap gives none.
    """
    known = measured(points, reference, faces, replicates) | remembered(points, earlier)
    drawn = {
        (name, curve, column): samples
        for name, curves in known.items()
        for curve in curves.qualities
        for column in curves.rates
        if (samples := curves.replicates(curve, column)) is not None
    }
    networks = roles([{"codec": p.codec, "loss": p.loss, "encoder": p.encoder} for p in points] + list(earlier))
    rows = []
    for anchor in (a for a in anchors if a in known):
        for name in (n for n in known if n != anchor):
            for curve in (c for c in known[name].qualities if c in known[anchor].qualities):
                row: Row = {"codec": name, "anchor": anchor, "measure": curve[0], "recognizer": curve[1]}
                row |= networks.get(name, {})
                for column in known[name].rates:
                    pair = [drawn.get((codec, curve, column)) for codec in (anchor, name)]
                    row |= difference(known[anchor], known[name], curve, column, pair)
                rows.append(row)
    return rows


def roles(rows: Iterable[Row]) -> dict[str, Row]:
    """Which networks took part in a codec: name -> columns "loss" and "encoder"."""
    return {row["codec"]: {"loss": row.get("loss", ""), "encoder": row.get("encoder", "")} for row in rows}


def measured(points: Iterable[Point], reference: Embeddings, faces: Faces, replicates: int) -> dict[str, CodecCurves]:
    """Curves of every codec that has points at two settings or more."""
    weights = None
    if replicates:
        alike = np.zeros(len(faces), bool)  # faces are of one kind and one fold
        weights = (
            bootstrap_weights(alike, alike, replicates, seed=2),
            bootstrap_weights(faces.same, faces.folds, replicates),
        )
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.codec, []).append(point)
    return {
        name: CodecCurves(
            {
                "": [p.size.mean() for p in group],
                "_without_header": [max(1.0, (p.size - p.header).mean()) for p in group],
            },
            qualities(group, reference, faces, weights),
        )
        for name, group in groups.items()
        if len(group) > 1
    }


def remembered(points: Iterable[Point], rows: Iterable[Row]) -> dict[str, CodecCurves]:
    """Curves of the codecs that have rows of an earlier run and no points: no replicates."""
    fresh = {point.codec for point in points}
    used = [row for row in rows if row["protocol"] in ("both", "similarity") and row["codec"] not in fresh]
    out = {}
    for name in dict.fromkeys(row["codec"] for row in used):
        of_codec = [row for row in used if row["codec"] == name]
        settings = list({row["setting"]: row for row in of_codec}.values())  # each has a row for every judge
        if len(settings) > 1:
            rates = {
                "": [row["bytes"] for row in settings],
                "_without_header": [max(1.0, row["bytes_without_header"]) for row in settings],
            }
            out[name] = CodecCurves(rates, qualities_of_rows(of_codec))
    return out


def qualities(
    points: Sequence[Point], reference: Embeddings, faces: Faces, weights: Weights | None = None
) -> Qualities:
    """Quality curves of one codec's points, and with weights their replicates.

    Measures: "psnr", "ssimulacra2" and "flip" where looks were measured, "similarity", and with pairs "accuracy",
    "tar@1e-2" and "tar@1e-3" (both images compressed).
    """
    of_faces, of_pairs = weights or (None, None)

    def means(values: NDArray[np.float64]) -> tuple[list[float], Samples]:  # of [M, N] figures of faces
        samples = None if of_faces is None else (of_faces @ values.T) / of_faces.sum(1, keepdims=True)
        return values.mean(1).tolist(), samples

    out: Qualities = {("psnr", ""): means(np.stack([p.psnr for p in points]))}
    out |= looks(points, None if of_faces is None else len(of_faces))
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
        for measure in ("accuracy", "tar@1e-2", "tar@1e-3"):
            values = [float(replicated(measure, s, faces, ones)[0]) for s in scores]
            if np.isfinite(values).all():  # the impostors' number decides, so replicates are finite where these are
                samples = None
                if of_pairs is not None:
                    samples = np.stack([replicated(measure, s, faces, of_pairs) for s in scores], 1)
                out[measure, name] = values, samples
    return out


def looks(points: Sequence[Point], replicates: int | None) -> Qualities:
    """Curves "ssimulacra2" and "flip", the latter with its sign turned, of points that have looks of a sample."""
    found = [p.looks for p in points if p.looks is not None and len(p.looks)]
    out: Qualities = {}
    if len(found) < len(points):
        return out
    weights = None
    if replicates:
        alike = np.zeros(len(found[0]), bool)
        weights = bootstrap_weights(alike, alike, replicates, seed=3)
    for name, sign in (("ssimulacra2", 1), ("flip", -1)):
        values = sign * np.stack([table[:, MEASURES.index(name)] for table in found])
        if np.isfinite(values).all():
            samples = None if weights is None else (weights @ values.T) / weights.sum(1, keepdims=True)
            out[name, ""] = values.mean(1).tolist(), samples
    return out


def replicated(
    measure: str, scores: NDArray[np.float64], faces: Faces, weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """A measure of pairs with those scores in every replicate: float64 [B] for weights [B, P]."""
    if measure == "accuracy":
        return bootstrap_accuracy(scores, faces.same, faces.folds, weights)
    return bootstrap_tar(scores, faces.same, weights, float(measure.removeprefix("tar@")))


def qualities_of_rows(rows: Sequence[Row]) -> Qualities:
    """What ``qualities`` gives, without replicates, out of one codec's rows (``figures.summarize``)."""
    out: Qualities = {}
    for name in dict.fromkeys(row["recognizer"] for row in rows):
        of_name = [row for row in rows if row["recognizer"] == name]
        out["psnr", ""] = [row["psnr_db"] for row in of_name], None
        for measure, sign in (("ssimulacra2", 1), ("flip", -1)):
            values = [sign * row[measure] for row in of_name if isinstance(row.get(measure), float)]
            if len(values) == len(of_name):
                out[measure, ""] = values, None
        for measure, column in COLUMNS.items():
            values = [row[column] for row in of_name if isinstance(row.get(column), float)]
            if len(values) == len(of_name):
                out[measure, name] = values, None
    return out


def difference(
    anchor: CodecCurves, codec: CodecCurves, curve: Curve, column: str, drawn: Sequence[list[Prepared] | None]
) -> Row:
    """BD-rate of a codec against an anchor over one column of bytes, with its interval where replicates were drawn."""
    value, span = bd_rate(
        anchor.rates[column], anchor.qualities[curve][0], codec.rates[column], codec.qualities[curve][0]
    )
    row: Row = {f"bd_rate{column}_percent": value}
    if drawn[0] is not None and drawn[1] is not None and np.isfinite(value):
        samples = [quick_bd_rate(a, s) for a, s in zip(drawn[0], drawn[1])]
        row[f"low{column}_percent"], row[f"high{column}_percent"] = interval(samples)
        row["replicates"] = int(np.isfinite(samples).sum())
    return row | {"overlap_from": span and span[0], "overlap_to": span and span[1]}


def bytes_at_targets(rows: Iterable[Row]) -> list[Row]:
    """Bytes that each codec needs for some round qualities: rows codec, recognizer, loss,
    encoder, measure, target, bytes.

    Args:
        rows: of ``figures.summarize``; protocol "both" (or "similarity") is used. Targets outside a codec's measured
            range are left out, and those that nobody reaches altogether.
    """
    curves: dict[Curve, dict[str, list[tuple[float, float]]]] = {}
    rows = [r for r in rows if r["protocol"] in ("both", "similarity") and r["codec"] != "uncompressed"]
    networks = roles(rows)
    for name in dict.fromkeys(r["recognizer"] for r in rows):
        for measure in TARGETS:
            of_codecs = curves[measure, name] = {r["codec"]: [] for r in rows}
            for row in rows:
                if row["recognizer"] == name and isinstance(row.get(measure), (int, float)):
                    of_codecs[row["codec"]].append((row["bytes"], row[measure]))
    return [
        {"codec": codec, "recognizer": name, **networks[codec], "measure": measure, "target": target, "bytes": value}
        for (measure, name), of_codecs in curves.items()
        for target in TARGETS[measure]
        for codec, curve in of_codecs.items()
        if len(curve) > 1 and np.isfinite(value := bytes_at([b for b, _ in curve], [q for _, q in curve], target))
    ]
