"""Context models compared by bits on real faces: table contexts, the integer network, competing priors, adaptive
counts.

    python benchmarks/context_candidates.py lfw.tar:lfw-landmarks.npz --people pairs.txt --faces 1600

SOURCE is a folder, tar files or a pack, as training takes them (lfic/data/sources.py). The shipped model draws the
symbols; everything a candidate needs is fitted on one half of the people and measured on the other. The network alone
was trained before, so give it faces that its training has not seen: ``--people`` takes those of a pairs.txt.

All figures are ideal bits of the coefficients (no level maps, no ends of streams, tables for nothing), at every quality
fitted anew, which flatters all but the network: one set of its integers serves all qualities.

    static                  one distribution a channel and pooling level
    a: contexts             magnitudes of the neighbours W, N, NW, NE and of the cell's earlier channels, weighted by
                            least squares a channel and level, in half octaves; a table for each such context, level
                            and group of 16 channels
    a: contexts and places  the same about the mean that a channel has at its place of the face
    b: network              the integer network that the format uses
    c: K priors, static     each region is told which of K sets of static distributions it follows
    c: K priors on b        each region is told which of K sets of scale offsets (a channel) the network's tables get
    d: counts, static       static distributions that the face's own counts change as it is coded
    d: b recalibrated       the network's probabilities of mode, side and size with a correction a channel, fitted, that
                            stands still
    d: counts on b          that correction moves with what is coded: a term a channel and one a group of 16, at rates
                            that are fitted

Results: benchmarks/results/context-candidates.csv.
"""

import argparse
import re

import numpy as np
from common import write_csv

from lfic.codec import load_codec
from lfic.data.pairs import people_in_pairs
from lfic.data.sources import open_source, template_crops
from lfic.encoder.draft import first_drafts
from lfic.format.geometry import LEVELS, REGION
from lfic.network.entropy import SCALES

QUALITIES = (5, 20, 40, 60, 90)
REACH = 64  # symbols beyond are counted at the last distribution entry and an Exp-Golomb code behind
GROUP = 16  # channels
PLACES = 14 * 14
OFFSETS = np.arange(-4, 5)  # of the scale, in quarter octaves


# -- symbols -----------------------------------------------------------------------------------------------------------


def person(name):
    """Who a file shows, as the LFW set names its files; any other file shows somebody of its own."""
    found = re.match(r"(?:.*/)?(.+)_\d{4}\.\w+$", name)
    return found[1] if found else name


def load_faces(source, people, count):
    """(pixels uint8 [N, 112, 112, 3], fit bool [N]): evenly spaced faces; every other person is fitted on."""
    faces = open_source(source)
    chosen = [i for i, name in enumerate(faces.names) if people is None or person(name) in people]
    chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, min(count, len(chosen))).astype(int)]
    who = [person(faces.names[i]) for i in chosen]
    number = {name: i for i, name in enumerate(sorted(set(who)))}
    fit = np.array([number[name] % 2 == 0 for name in who])
    return template_crops(faces, chosen), fit


def geometry(levels, height=14, width=14):
    """Of each kept cell in coding order: level, place, region and the cells W, N, NW, NE (-1: not decoded), int64
    [cells, 7]."""
    cell_at, rows = np.full((height, width), -1), []
    for region, ((row, column), level) in enumerate(np.ndenumerate(levels)):
        side, bottom, right = 1 << int(level), min(REGION * row + REGION, height), min(REGION * column + REGION, width)
        for y in range(REGION * row, bottom, side):
            for x in range(REGION * column, right, side):
                at = [(y, x - 1), (y - 1, x), (y - 1, x - 1), (y - 1, x + side)]
                rows.append(
                    [level, y * width + x, region] + [cell_at[v, u] if v >= 0 and 0 <= u < width else -1 for v, u in at]
                )
                cell_at[y : min(y + side, bottom), x : min(x + side, right)] = len(rows) - 1
    return np.array(rows)


class Symbols:
    """All coefficients of faces at one quality, cells in coding order, one face behind the other.

    ``s`` int64 [cells, C]; ``table``, ``mean``: what the network says of each (table -1: not coded); ``coded`` bool
    [cells, C]; ``face``, ``step`` (place in the face's order), ``level``, ``place``, ``region`` (numbered through all
    faces) int64 [cells]; ``near`` int64 [cells, 4]: rows of the neighbours, the last row for those that are not there.
    """

    def __init__(self, codec, pixels, quality):
        s, tables, means, cells, face, context = [], [], [], [], [], codec.model.of(True).context
        for start in range(0, len(pixels), 32):
            for draft in first_drafts(codec.model, list(pixels[start : start + 32]), quality, True):
                table, mean = context.predict(draft.symbols, draft.levels, *draft.grid, quality, True)
                s.append(draft.symbols.reshape(-1, context.channels))
                tables.append(table.reshape(s[-1].shape))
                means.append(mean.reshape(s[-1].shape))
                cells.append(geometry(draft.levels, *draft.grid))
                face.append(np.full(len(s[-1]), len(face)))
        starts = np.cumsum([0] + [len(c) for c in cells])
        self.s, self.table, self.mean = (np.concatenate(a).astype(np.int64) for a in (s, tables, means))
        self.face, self.coded = np.concatenate(face), self.table >= 0
        self.step = np.concatenate([np.arange(len(c)) for c in cells])
        self.level, self.place, region = np.concatenate([c[:, :3] for c in cells]).T
        self.region = self.face * (int(region.max()) + 1) + region
        self.near = np.concatenate(
            [np.where(c[:, 3:] < 0, starts[-1], c[:, 3:] + start) for c, start in zip(cells, starts)]
        )


# -- tables ------------------------------------------------------------------------------------------------------------


def slots(x):
    """Symbols -> places 0 .. 2 REACH of a distribution."""
    return np.clip(x, -REACH, REACH) + REACH


def beyond(x):
    """Bits of an Exp-Golomb code for what lies outside the distributions."""
    excess = np.maximum(np.abs(x) - REACH + 1, 1)
    return np.where(np.abs(x) >= REACH, 2 * np.floor(np.log2(excess)) + 1, 0.0)


def distributions(context, x, count, parent=None):
    """Bits [count, 2 REACH + 1] of each symbol in each context, from counts; the parent [count, ...] in bits has the
    weight of 8."""
    if parent is None:
        general = np.bincount(slots(x), minlength=2 * REACH + 1) + 0.01
        parent = -np.log2(general / general.sum())[None]
    counts = np.bincount(context * (2 * REACH + 1) + slots(x), minlength=count * (2 * REACH + 1)).reshape(count, -1)
    p = counts + 8 * np.exp2(-parent)
    return -np.log2(p / p.sum(1, keepdims=True))


def static_context(data):
    return data.level[:, None] * data.s.shape[1] + np.arange(data.s.shape[1])


def static_bits(data, fit):
    """(bits [3 C, 2 REACH + 1], bits of all symbols [cells, C])."""
    context, use = static_context(data), data.coded & fit[:, None]
    bits = distributions(context[use], data.s[use], LEVELS * data.s.shape[1])
    return bits, np.where(data.coded, bits[context, slots(data.s)] + beyond(data.s), 0)


# -- (a) table contexts ------------------------------------------------------------------------------------------------


def place_means(data, fit):
    """Rounded mean of each channel at each level and place, int64 [cells, C]; few samples lean on the channel's own
    mean."""
    channels = data.s.shape[1]
    cell = data.level * PLACES + data.place
    sums, counts = np.zeros((LEVELS * PLACES, channels)), np.zeros(LEVELS * PLACES)
    np.add.at(sums, cell[fit], data.s[fit])
    np.add.at(counts, cell[fit], 1)
    own = np.array(
        [
            data.s[fit & (data.level == level)].sum(0) / max(1, (fit & (data.level == level)).sum())
            for level in range(LEVELS)
        ]
    )
    means = (sums + 8 * np.repeat(own, PLACES, 0)) / (counts + 8)[:, None]
    return np.rint(means[cell]).astype(np.int64)


def context_bits(data, fit, x):
    """Bits of x [cells, C] by tables that weighted magnitudes pick."""
    cells, channels = x.shape
    size = np.concatenate([np.minimum(np.abs(x), 32), np.zeros((1, channels), np.int64)]).astype(np.float64)
    around = size[data.near]  # [cells, 4, C]
    groups = size[:-1].reshape(cells, -1, GROUP).mean(2)
    expected = np.empty(x.shape)
    for c in range(channels):
        own = size[:-1, c - c % GROUP : c].sum(1, keepdims=True)  # of the group as far as it is decoded
        features = np.concatenate([around[:, :, c], groups[:, : c // GROUP], own, np.ones((cells, 1))], 1)
        for level in range(LEVELS):
            use = fit & (data.level == level) & data.coded[:, c]
            weights = (
                np.linalg.lstsq(features[use], size[:-1][use, c], rcond=None)[0]
                if use.any()
                else np.zeros(features.shape[1])
            )
            at = data.level == level
            expected[at, c] = features[at] @ weights
    bins = np.clip(np.rint(2 * np.log2(np.maximum(expected, 1e-3))) + 14, 0, 23).astype(
        np.int64
    )  # half octaves from 1/128
    context = (data.level[:, None] * (channels // GROUP) + np.arange(channels) // GROUP) * 24 + bins
    use = data.coded & fit[:, None]
    bits = distributions(context[use], x[use], LEVELS * (channels // GROUP) * 24)
    return np.where(data.coded, bits[context, slots(x)] + beyond(x), 0)


# -- (b) the network's tables ------------------------------------------------------------------------------------------


def network_bits(tables):
    """Bits [tables, 2 REACH + 1] of a residual, escapes at one bit a step, out of ``coder.Tables``."""
    out = np.empty((len(tables), 2 * REACH + 1))
    r = np.arange(-REACH, REACH + 1)
    for t in range(len(tables)):
        f = tables.frequencies[tables.starts[t] : tables.starts[t + 1]].astype(np.float64)
        low, high = int(tables.lows[t]), int(tables.lows[t]) + len(f) - 1
        outside = np.where(r < low, 2 * (low - 1 - r) + 1, 2 * np.maximum(r - high - 1, 0)) + 1
        inside = 16 - np.log2(f[np.clip(r - low, 0, len(f) - 1)])
        out[t] = np.where(
            (r < low) | (r > high), 16 - np.log2(65536 - f.sum()) + 2 * np.floor(np.log2(outside)) + 1, inside
        )
    return out


# -- (c) competing priors ----------------------------------------------------------------------------------------------


def compete(cost, fit, level, refit, count, rounds=12):
    """Bits of each region with the best of ``count`` priors, its choice included.

    cost [regions, count]: bits under each prior to start with; refit(choice) -> new cost, from the fitted regions'
    choices. The price of a choice is its frequency among the fitted regions of its level.
    """
    price = np.full((LEVELS, count), np.log2(count))
    for _ in range(rounds):
        choice = (cost + price[level]).argmin(1)
        for one in range(LEVELS):
            n = np.bincount(choice[fit & (level == one)], minlength=count) + 0.5
            price[one] = -np.log2(n / n.sum())
        cost = refit(choice)
    return (cost + price[level]).min(1)


def by_region(values, region, count):
    """Sums of values [cells, ...] over the cells of each region: [regions, ...]."""
    out = np.zeros((count, *values.shape[1:]))
    np.add.at(out, region, values)
    return out


def static_priors(data, fit, regions, region, fit_region, level_region, count):
    static, bits = static_bits(data, fit)
    context, x = static_context(data), slots(data.s)
    # To start with: by how much a region costs beside others of its level.
    rank = np.empty(regions)
    for one in range(LEVELS):
        at = np.flatnonzero(level_region == one)
        rank[at[np.argsort(by_region(bits.sum(1), region, regions)[at])]] = np.arange(len(at)) / max(1, len(at))
    use = data.coded & fit[:, None]

    def refit(choice):
        own = choice[region][:, None] * len(static) + context
        priors = distributions(own[use], data.s[use], count * len(static), np.tile(static, (count, 1))).reshape(
            count, len(static), -1
        )
        return np.stack(
            [
                by_region(np.where(data.coded, p[context, x] + beyond(data.s), 0).sum(1), region, regions)
                for p in priors
            ],
            1,
        )

    return compete(refit((rank * count).astype(int)), fit_region, level_region, refit, count)


def network_priors(data, fit, shifted, regions, region, fit_region, level_region, count):
    """shifted [offsets, cells, C]: the network's bits with its scale moved by each of OFFSETS."""
    sums = np.stack([by_region(s, region, regions) for s in shifted], 2)  # [regions, C, offsets]
    zero = int(np.flatnonzero(OFFSETS == 0)[0])

    def cost_of(offsets):  # int [count, C], places in OFFSETS
        return np.stack([np.take_along_axis(sums, o[None, :, None], 2)[:, :, 0].sum(1) for o in offsets], 1)

    def refit(choice):
        new = np.full((count, sums.shape[1]), zero)
        for k in range(count):
            mine = fit_region & (choice == k)
            if mine.any():
                new[k] = sums[mine].sum(0).argmin(1)
        return cost_of(new)

    start = np.clip(zero + np.rint(np.linspace(-2, 2, count)).astype(int), 0, len(OFFSETS) - 1)
    return compete(cost_of(np.repeat(start[:, None], sums.shape[1], 1)), fit_region, level_region, refit, count)


# -- (d) adaptive counts -----------------------------------------------------------------------------------------------


def padded(data, values, fill=0):
    """[cells, ...] -> [faces, steps, ...]."""
    out = np.full((int(data.face.max()) + 1, int(data.step.max()) + 1, *values.shape[1:]), fill, values.dtype)
    out[data.face, data.step] = values
    return out


def static_counts(data, fit_face, static):
    """Bits a face of distributions that start as ``static`` with a weight (fitted) and count what is coded."""
    context, x, coded = static_context(data), slots(data.s), data.coded
    best, faces = None, len(fit_face)
    for weight in (16, 64, 256, 1024):
        counts = np.zeros((faces, *static.shape), np.float32)
        totals, bits = np.zeros((faces, len(static)), np.float32), np.zeros(faces)
        p = np.exp2(-static)
        for step in range(int(data.step.max()) + 1):
            at = np.flatnonzero(data.step == step)
            f, c, v, on = data.face[at][:, None], context[at], x[at], coded[at]
            seen = (weight * p[c, v] + counts[f, c, v]) / (weight + totals[f, c])
            bits[data.face[at]] += np.where(on, -np.log2(seen) + beyond(data.s[at]), 0).sum(1)
            counts[f, c, v] += on
            totals[f, c] += on
        if best is None or bits[fit_face].sum() < best[fit_face].sum():
            best = bits
    return best


def decisions(tables, data):
    """A residual as decisions: not the mode, above it, further than 1, further than 2.

    Returns (p float [4, cells, C]: the network's probability of a 1, bit bool, taken bool: whether the decision is
    met).
    """
    r = np.arange(-REACH, REACH + 1)
    bits = network_bits(tables)
    mode = bits.argmin(1)
    p = np.exp2(-bits)
    p /= p.sum(1, keepdims=True)
    beside = r[None] - r[mode][:, None]

    def mass(condition):
        return (p * condition).sum(1)

    def ratio(a, b):
        return np.clip(a / np.maximum(b, 1e-12), 1e-4, 1 - 1e-4)

    up, down = mass(beside > 0), mass(beside < 0)
    other = ratio(up + down, np.ones(len(p)))
    above = ratio(up, up + down)
    further = [
        np.stack([ratio(mass(beside < -n), mass(beside < 1 - n)), ratio(mass(beside > n), mass(beside > n - 1))])
        for n in (1, 2)
    ]
    t = np.maximum(data.table, 0)
    x = data.s - data.mean - r[mode][t]
    side = (x > 0).astype(int)
    met = [data.coded, x != 0, x != 0, np.abs(x) > 1]
    return (
        np.stack([other[t], above[t], further[0][side, t], further[1][side, t]]),
        np.stack([x != 0, x > 0, np.abs(x) > 1, np.abs(x) > 2]),
        np.stack([m & data.coded for m in met]),
    )


def logit(p):
    return np.log(p / (1 - p))


def corrected(data, tables, fit, fit_face, bits):
    """For the network's ``bits`` [faces]: (bits a face with corrections that stand still, with corrections that move,
    the rates at which those do)."""
    p, bit, met = decisions(tables, data)
    channels = p.shape[2]
    base = logit(p)
    # A correction for each decision, level and channel: logistic regression with one weight, Newton's steps, a prior of
    # 4 samples.
    start = np.zeros((4, LEVELS, channels))
    for level in range(LEVELS):
        at = fit & (data.level == level)
        for _ in range(6):
            q = 1 / (1 + np.exp(-(base[:, at] + start[:, level, None])))
            slope = (met[:, at] * (bit[:, at] - q)).sum(1) - start[:, level]
            start[:, level] += slope / ((met[:, at] * q * (1 - q)).sum(1) + 4)
    base = np.stack(
        [padded(data, (base[d] + start[d][data.level]).astype(np.float32)) for d in range(4)], 2
    )  # [faces, steps, 4, C]
    bit, met = (np.stack([padded(data, a[d]) for d in range(4)], 2) for a in (bit, met))
    p = np.stack([padded(data, p[d].astype(np.float32), 0.5) for d in range(4)], 2)
    uncorrected = -np.where(met, np.log2(np.where(bit, p, 1 - p)), 0).sum((1, 2, 3))

    def run(faces, own_rate, group_rate):
        own, shared = (
            np.zeros((faces.sum(), 4, channels), np.float32),
            np.zeros((faces.sum(), 4, channels // GROUP), np.float32),
        )
        out = np.zeros(faces.sum())
        b, x, m = base[faces], bit[faces], met[faces]
        for step in range(b.shape[1]):
            on = m[:, step]
            q = 1 / (1 + np.exp(-(b[:, step] + own + np.repeat(shared, GROUP, 2))))
            out -= np.where(on, np.log2(np.where(x[:, step], q, 1 - q)), 0).sum((1, 2))
            error = np.where(on, x[:, step] - q, 0)
            own += own_rate * error
            shared += group_rate * error.reshape(len(out), 4, -1, GROUP).sum(3)
        return out

    everybody = np.ones(len(fit_face), bool)
    still = bits - uncorrected + run(everybody, 0, 0)
    rates = [(own, shared) for own in (0, 0.02, 0.05, 0.1) for shared in (0, 0.002, 0.005, 0.01, 0.02)]
    best = min(rates, key=lambda rate: run(fit_face, *rate).sum())
    return still, bits - uncorrected + run(everybody, *best), best


# -- main --------------------------------------------------------------------------------------------------------------


def measure(codec, pixels, fit_face, quality):
    """dict candidate -> mean bytes a face of the other half."""
    data = Symbols(codec, pixels, quality)
    fit, faces = fit_face[data.face], len(pixels)

    def a_face(bits):
        return np.bincount(data.face, bits.sum(1), faces)

    tables = codec.model.of(True).context.table_set
    static, bits = static_bits(data, fit)
    out = {"static": a_face(bits)}
    out["a: contexts"] = a_face(context_bits(data, fit, data.s))
    out["a: contexts and places"] = a_face(context_bits(data, fit, data.s - place_means(data, fit)))
    price, residual = network_bits(tables), data.s - data.mean
    scale, fraction = data.table // 8, data.table % 8

    def moved(offset):
        """The network's bits with its scale moved."""
        own = price[np.clip(scale + offset, 0, SCALES - 1) * 8 + fraction, slots(residual)]
        return np.where(data.coded, own + beyond(residual), 0)

    shifted = np.stack([moved(offset) for offset in OFFSETS]).astype(np.float32)
    out["b: network"] = a_face(shifted[OFFSETS == 0][0].astype(np.float64))
    numbers, region = np.unique(data.region, return_inverse=True)
    first = np.unique(region, return_index=True)[1]
    at_region = (len(numbers), region, fit[first], data.level[first])
    face_of = data.face[first]
    for count in (2, 4, 8):
        out[f"c: {count} priors, static"] = np.bincount(face_of, static_priors(data, fit, *at_region, count), faces)
    for count in (2, 4, 8):
        out[f"c: {count} priors on b"] = np.bincount(
            face_of, network_priors(data, fit, shifted, *at_region, count), faces
        )
    out["d: counts, static"] = static_counts(data, fit_face, static)
    out["d: b recalibrated"], out["d: counts on b"], rates = corrected(data, tables, fit, fit_face, out["b: network"])
    return {name: bits[~fit_face].mean() / 8 for name, bits in out.items()}, rates


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("--people", help="a pairs.txt: faces of the people in it alone")
    parser.add_argument("--model", default="face-v1")
    parser.add_argument("--faces", type=int, default=1600)
    args = parser.parse_args()
    codec = load_codec(args.model)
    count = len(codec.model.of(True).context.table_set)
    if count != 8 * SCALES:
        parser.error(f"{args.model} has {count} tables; needed are {8 * SCALES}, a table for each scale and fraction")
    pixels, fit = load_faces(args.source, people_in_pairs(args.people) if args.people else None, args.faces)
    rows = []
    for quality in QUALITIES:
        found, rates = measure(codec, pixels, fit, quality)
        print(f"quality {quality}; rates of the moving corrections {rates}")
        for name, size in found.items():
            rows.append(
                {
                    "model": args.model,
                    "quality": quality,
                    "candidate": name,
                    "bytes": size,
                    "saved_percent": 100 * (1 - size / found["static"]),
                    "below_network_percent": 100 * (1 - size / found["b: network"]),
                }
            )
            print(
                f"  {name:24} {size:8.2f} bytes  {rows[-1]['saved_percent']:6.2f} % below static  "
                f"{rows[-1]['below_network_percent']:6.2f} % below the network",
                flush=True,
            )
    write_csv(
        "context-candidates",
        rows,
        f"{len(pixels)} aligned faces, fitted on {fit.sum()} and measured on {(~fit).sum()} of other people; ideal "
        "bytes of the coefficients alone",
    )


if __name__ == "__main__":
    main()
