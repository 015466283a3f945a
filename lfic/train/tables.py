"""The integer tables of a model: frequencies of residuals, and the start probabilities of the level map's bits.

The integer context model (C++) predicts every symbol of a few thousand faces, the residuals of each table are counted,
and a discretised logistic fills in where few were seen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import coder
from ..data.base import FaceSource
from ..data.sources import template_crops
from ..network.entropy import LOGISTIC, SCALE_MIN, SCALE_STEPS, SCALES
from ..network.net import CodecNet
from ..network.rap import pooled_symbols

FRACTIONS = 8  # the mean's fraction of a symbol, in eighths
TOTAL = 1 << 16  # sum of a table's frequencies, escape included
QUALITY_BUCKETS = 8
PRIOR_WEIGHT = 200.0  # counts that the logistic is worth

Sample = tuple[NDArray[np.int16], NDArray[np.uint8], int, int, int, bool]
"""What the context model takes of a face: symbols, levels, h, w, quality, aligned."""
Counts = dict[int, dict[int, float]]
"""Table index -> residual -> how often it was seen."""


def logistic_table(scale: float, offset: float) -> tuple[int, NDArray[np.float64]]:
    """Probabilities of r = low, low + 1, ... for a logistic of deviation ``scale`` about ``offset``: (low, float64
    [n])."""
    reach = int(np.ceil(scale * 7 + 2))
    r = np.arange(-reach, reach + 1, dtype=np.float64)
    s = scale * LOGISTIC
    upper, lower = (r + 0.5 - offset) / s, (r - 0.5 - offset) / s
    flip = upper + lower > 0  # the same difference, taken where it does not cancel
    upper, lower = np.where(flip, -lower, upper), np.where(flip, -upper, lower)

    def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-np.logaddexp(0, -x))

    return -reach, sigmoid(upper) - sigmoid(lower)


def mode_takes_rest(probability: NDArray[np.float64], escape: float) -> NDArray[np.int64]:
    """Integers >= 1 that sum to TOTAL - (escape frequency); escape frequency >= 1.

    What rounding down left over goes to, or comes from, the most probable symbol: it loses least there.
    ``lfic.coder.quantize_probabilities`` shares it out among all; the shipped tables are made by this one.
    """
    budget = TOTAL - max(1, round(escape * TOTAL))
    frequencies: NDArray[np.int64] = np.maximum(1, np.floor(probability / probability.sum() * budget)).astype(np.int64)
    frequencies[np.argmax(frequencies)] += budget - frequencies.sum()
    return frequencies


def build_tables(histograms: Mapping[int, Mapping[int, float]] | None = None) -> list[tuple[int, NDArray[np.int64]]]:
    """Frequencies of the SCALES x 8 tables: list of (low, int64 [n]).

    histograms: table index -> residual -> count, or None for the bare logistic.
    """
    tables = []
    for level in range(SCALES):
        scale = SCALE_MIN * 2 ** (level / SCALE_STEPS)
        for fraction in range(FRACTIONS):
            low, probability = logistic_table(scale, (fraction - 4) / FRACTIONS)
            counts = probability * PRIOR_WEIGHT
            escape = 0.02
            for residual, count in (histograms or {}).get(level * FRACTIONS + fraction, {}).items():
                if 0 <= residual - low < len(counts):
                    counts[residual - low] += count
                else:
                    escape += count
            keep = np.flatnonzero(counts / counts.sum() > 0.7 / TOTAL)
            first, last = keep[0], keep[-1] + 1
            escape += counts[:first].sum() + counts[last:].sum()
            total = counts[first:last].sum() + escape
            tables.append((int(low + first), mode_takes_rest(counts[first:last] / total, escape / total)))
    return tables


def collect(
    net: CodecNet, faces: FaceSource, indexes: Sequence[int], generator: torch.Generator, batch: int = 32
) -> list[Sample]:
    """Symbols of faces at random qualities, levels as the head chooses."""
    out: list[Sample] = []
    for start in range(0, len(indexes), batch):
        chosen = indexes[start : start + batch]
        pixels = torch.from_numpy(template_crops(faces, chosen)).permute(0, 3, 1, 2).float() / 255
        count = len(chosen)
        quality = torch.randint(1, 101, (count,), generator=generator)
        # One face in eight is coded as if it were no aligned crop, so that those statistics are learnt as well.
        aligned = torch.rand(count, generator=generator) >= 0.125
        with torch.inference_mode():
            y = net.analyze(pixels, quality, aligned)
            levels = net.region_levels(y, quality, aligned)
            symbols = pooled_symbols(y, levels, net.gain, quality)
        height, width = y.shape[-2:]
        for i in range(count):
            out.append((symbols[i], levels[i].numpy(), height, width, int(quality[i]), bool(aligned[i])))
    return out


def level_prior(samples: Sequence[Sample]) -> NDArray[np.uint16]:
    """Start probabilities uint16 [17, 8, 16, 2] of the level map's bits, counted; see docs/FORMAT.md."""
    counts = np.full((17, QUALITY_BUCKETS, 16, 2, 2), 0.4)
    for _, levels, _, _, quality, aligned in samples:
        bucket = (quality - 1) * QUALITY_BUCKETS // 100
        rows, columns = levels.shape
        for y in range(rows):
            for x in range(columns):
                west = levels[y, x - 1] if x else 3
                north = levels[y - 1, x] if y else 3
                context, level = 4 * west + north, levels[y, x]
                for place in (0, 1 + y * 4 + x) if aligned and levels.shape == (4, 4) else (0,):
                    counts[place, bucket, context, 0, int(level > 0)] += 1
                    if level > 0:
                        counts[place, bucket, context, 1, int(level > 1)] += 1
    # A place that a context was hardly seen at leans on the pooled statistics.
    pooled = counts[0]
    counts[1:] += 4 * pooled / pooled.sum(-1, keepdims=True)
    probability = counts[..., 1] / counts.sum(-1)
    prior: NDArray[np.uint16] = np.clip(np.rint(probability * 65536), 512, 65024).astype(np.uint16)
    return prior


def count_residuals(model: coder.ContextModel, samples: Sequence[Sample]) -> Counts:
    """What is left of each symbol when the context model's mean is taken off it, by the table that codes it."""
    counts: Counts = {}
    for sample in samples:
        table, mean = model.predict(*sample)
        residual = sample[0].astype(np.int64) - mean
        keys, number = np.unique(np.stack([table, residual]), axis=1, return_counts=True)
        for (t, r), n in zip(keys.T.tolist(), number.tolist()):
            row = counts.setdefault(t, {})
            row[r] = row.get(r, 0) + n
    return counts


def calibrate(
    net: CodecNet, faces: FaceSource, count: int = 6000, seed: int = 0
) -> tuple[dict[str, Any], coder.Tables, tuple[float, float]]:
    """Context arrays, tables and level prior for a network, from ``count`` faces.

    Returns (dict of arrays, tables, mean bytes of a face with logistic tables and with the counted ones).
    """
    generator = torch.Generator().manual_seed(seed)
    indexes = torch.randperm(len(faces), generator=generator)[:count].tolist()
    samples = collect(net, faces, indexes, generator)
    arrays = net.entropy.export(net.gain)
    arrays["active"] = np.ones((100, 3, net.config.channels), np.uint8)
    arrays["table_map"] = np.arange(SCALES * FRACTIONS, dtype=np.int32)
    arrays["level_prior"] = level_prior(samples)
    first = coder.ContextModel(arrays, coder.Tables.from_frequencies(build_tables()))
    tables = coder.Tables.from_frequencies(build_tables(count_residuals(first, samples)))
    model = coder.ContextModel(arrays, tables)

    def mean_bytes(context: coder.ContextModel) -> float:
        return float(np.mean([context.cost(*sample).sum() for sample in samples[:500]])) / 8

    return arrays, tables, (mean_bytes(first), mean_bytes(model))
