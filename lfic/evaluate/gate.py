"""``lfic evaluate FACES --gate OLD NEW``: may new weights take the place of old ones?

Both code the same faces at the same qualities. Their looks are compared at equal bytes: at each size that the old
weights gave, the new ones' value there, linear in log bytes. A measure passes unless the new weights are worse by more
than its ``TOLERANCE`` in the mean over those sizes. Faces are drawn anew for a 95 % interval. With recognisers the mean
similarity of their embeddings is a measure as well. Charts (charts.py) are coded at one quality each, and their largest
error, colour error and grid pattern may not grow by more than ``CHART_TOLERANCE``.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from .cache import Cache, content_key
from .charts import charts
from .color import color_errors
from .data import Faces
from .interface import EvaluatedCodec
from .judges import Judge
from .looks import BETTER, MEASURES, measure_looks, sample
from .pattern import pattern_energy
from .points import evaluate_point, reference_embeddings
from .tables import Row, write_csv
from .verification import bootstrap_weights, interval

TOLERANCE = {  # how much worse new weights may be, in the measure's own unit
    "psnr_db": 0.1,
    "ssimulacra2": 0.5,
    "flip": 0.003,
    "color_error": 0.05,
    "color_error_outside": 0.05,
    "grid_pattern": 0.1,
    "similarity": 0.003,
}
CHART_TOLERANCE = {"largest_error": 2.0, "color_error": 0.1, "grid_pattern": 0.1, "bytes": 8.0}
CHART_QUALITY = 60


@dataclasses.dataclass
class Curve:
    """Weights over M qualities: bytes [M, N] and measures, name -> [M, N], of N faces."""

    size: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]


def gate(
    args: argparse.Namespace,
    build: Callable[[str], EvaluatedCodec],
    faces: Faces,
    judges: Sequence[Judge],
    cache: Cache,
) -> bool:
    """Print the comparison and write OUT-gate.csv -> whether every measure passes.

    build: weights (a bundled name or a file) -> the codec at its settings.
    """
    old, new = (build(weights) for weights in args.gate)
    which = sample(faces, args.looks)
    if len(old.settings) < 2 or not which:
        raise InvalidInputError("a gate needs two qualities or more, and --looks of at least 1")
    part = faces.part(which)
    curves = [curve(codec, part, judges, cache, args.workers, not args.quiet) for codec in (old, new)]
    rows = compare(curves[0], curves[1], args.bootstrap)
    side = part.source(0).shape[0]
    rows += compare_charts(*(chart_rows(codec, side) for codec in (old, new)))
    for row in rows:
        print(line_of(row), flush=True)
    note = f"{args.gate[1]} against {args.gate[0]}: {len(part)} faces, qualities {'/'.join(map(str, old.settings))}"
    write_csv(f"{args.out}-gate.csv", rows, note)
    return all(row["passes"] for row in rows)


def curve(
    codec: EvaluatedCodec, faces: Faces, judges: Sequence[Judge], cache: Cache, workers: int, progress: bool
) -> Curve:
    """Bytes and measures of all faces at every setting of a codec."""
    keys = [content_key(faces.source(i)) for i in range(len(faces))]
    reference = reference_embeddings(faces, judges, cache, [content_key(p) for p in faces.pixels], progress)
    sizes, found = [], []
    for setting in codec.settings:
        point = evaluate_point(codec, setting, faces, judges, cache, workers, progress, keys)
        looks = measure_looks(codec, setting, faces, range(len(faces)), cache, keys)
        values = dict(zip(MEASURES, looks.T))
        for name, original in reference.items():
            values[f"similarity {name}"] = np.einsum("nd,nd->n", point.embeddings[name].astype(np.float64), original)
        sizes.append(point.size.astype(np.float64))
        found.append(values)
    return Curve(np.stack(sizes), {name: np.stack([values[name] for values in found]) for name in found[0]})


def compare(old: Curve, new: Curve, replicates: int) -> list[Row]:
    """One row a measure: the old weights' mean, the new ones' at equal bytes, the difference, its interval."""
    count = old.size.shape[1]
    alike = np.zeros(count, bool)
    drawn = np.concatenate([np.ones((1, count)), bootstrap_weights(alike, alike, max(replicates, 0), seed=4)])
    rows = []
    for measure in old.values:
        name = "grid_pattern" if measure == "pattern_energy" else measure
        pairs = np.array([at_equal_bytes(old, new, measure, weights) for weights in drawn])
        difference = pairs[:, 1] - pairs[:, 0]
        low, high = interval(difference[1:])
        kind = name.split(" ")[0]
        worse = -BETTER.get(kind, 1) * difference[0]
        passes = bool(worse <= TOLERANCE[kind])  # nan, where the curves share no size, does not pass
        rows.append(
            {"measure": name, "old": pairs[0, 0], "new": pairs[0, 1], "difference": difference[0]}
            | {"low": low, "high": high, "tolerance": TOLERANCE[kind], "passes": passes}
        )
    return rows


def at_equal_bytes(old: Curve, new: Curve, measure: str, weights: NDArray[np.floating]) -> tuple[float, float]:
    """(old, new) means of a measure over the old weights' sizes that the new ones reach, faces weighted [N]."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        known = np.isfinite(values)
        values = np.where(known, values, 0)
        out: NDArray[np.float64] = (values * weights).sum(1) / np.maximum((known * weights).sum(1), 1e-9)
        return np.sqrt(out) if measure == "pattern_energy" else out

    sizes = [np.log(mean(one.size)) for one in (old, new)]
    inside = (sizes[0] >= sizes[1][0] - 1e-9) & (sizes[0] <= sizes[1][-1] + 1e-9)
    if not inside.any():
        return float("nan"), float("nan")
    there = np.interp(sizes[0], sizes[1], mean(new.values[measure]))
    return float(mean(old.values[measure])[inside].mean()), float(there[inside].mean())


def chart_rows(codec: EvaluatedCodec, side: int) -> dict[str, dict[str, float]]:
    """What a codec does to the charts: name -> largest error in levels, colour error, grid pattern, bytes."""
    out = {}
    for name, picture in charts(side).items():
        data = codec.encode([picture], CHART_QUALITY)[0]
        decoded = codec.decode([data])[0]
        out[name] = {
            "largest_error": float(np.abs(decoded.astype(int) - picture).max()),
            "color_error": float(color_errors(picture, decoded).mean()),
            "grid_pattern": float(np.sqrt(pattern_energy(picture, decoded))),
            "bytes": float(len(data)),
        }
    return out


def compare_charts(old: dict[str, dict[str, float]], new: dict[str, dict[str, float]]) -> list[Row]:
    """One row for each chart and figure."""
    rows = []
    for chart, figures in old.items():
        for name, before in figures.items():
            after, tolerance = new[chart][name], CHART_TOLERANCE[name]
            rows.append(
                {"measure": f"{chart}: {name}", "old": before, "new": after, "difference": after - before}
                | {"low": None, "high": None, "tolerance": tolerance, "passes": after - before <= tolerance}
            )
    return rows


def line_of(row: Row) -> str:
    """One line of the comparison."""
    span = "" if row["low"] is None or not np.isfinite(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    verdict = "passes" if row["passes"] else "FAILS"
    return (
        f"{verdict:6} {row['measure']}: {row['old']:.3f} -> {row['new']:.3f}, {row['difference']:+.3f}{span}, "
        f"{row['tolerance']:g} allowed"
    )
