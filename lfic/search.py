"""Region levels by gradient feedback (the paper's RAP optimisation), at encode time.

With g the gradient of the distortion D at the decoder's features, changing region r to another level changes the loss
J = bits + beta * D by about

    (bits_r' - bits_r) + beta * <g_r, f_r' - f_r>

The most promising changes are then tried for real: the synthesis network gives D, the coder's own tables the bits, and
a change stays only if J falls. The highest effort treats single symbols the same way: those that are dear and hardly
matter move one step towards their prediction.
"""
import dataclasses

import numpy as np
import torch

from . import tiles
from .level_map import map_bits
from .metric.identity import identity_distance
from .rap import pooled_symbols, unpooled_features
from .transform import LEVELS

ROUNDS = {1: 2, 2: 5, 3: 10}  # rounds of gradient and trial
REFINEMENTS = {1: 0, 2: 0, 3: 4}  # rounds over single symbols
TRIALS = 8  # candidates that are tried for real in each round
REGIONS_AT_MOST = 1024  # beyond (a photo, not a face) a region's share is too small to try one by one
# As the shipped model was trained: loss = bits + beta(quality) * (identity + PIXEL_WEIGHT * mse).
PIXEL_WEIGHT, PIXEL_ONLY_WEIGHT = 30.0, 60.0


def improve(codec, drafts, pixels, effort):
    """Drafts of one size and their uint8 [H, W, 3] -> (better drafts, their J in bits); deterministic."""
    faces = [Candidate(codec, draft, image) for draft, image in zip(drafts, pixels)]
    done = [improve_one(face, ROUNDS[effort], REFINEMENTS[effort]) for face in faces]
    return [draft for draft, _ in done], [loss for _, loss in done]


def beta(codec, quality):
    """Weight of the distortion against one bit, as in training (stored with the weights)."""
    low, high = codec.beta_range
    return low * (high / low) ** ((quality - 1) / 99)


def distortion(codec, pixels, original, target):
    """Float [N]: pixels and, where there is a recogniser, identity; range 0 upwards."""
    error = (pixels - original).square().mean((1, 2, 3))
    if target is None:
        return PIXEL_ONLY_WEIGHT * error
    return PIXEL_WEIGHT * error + identity_distance(codec.recognizer(pixels), target)


class Candidate:
    """The state of one face: everything that a trial needs."""

    def __init__(self, codec, draft, pixels):
        self.codec, self.draft, self.beta = codec, draft, beta(codec, draft.quality)
        if draft.levels.size > REGIONS_AT_MOST:
            return
        self.q, self.a = codec._conditions(draft.quality, draft.aligned, 1)
        with torch.no_grad():
            self.original = tiles.unit(codec._tensor([pixels]))
            self.y = codec.net.analyse(self.original, self.q, self.a)
            recognise = codec.recognizer is not None and draft.aligned
            self.target = codec.recognizer(self.original) if recognise else None
            self.uniform = [self.features(level_map, self.symbols(level_map)) for level_map in self.uniform_maps()]

    def uniform_maps(self):
        """One level everywhere, for each level."""
        return [np.full_like(self.draft.levels, level) for level in range(LEVELS)]

    def symbols(self, levels):
        """What the analysis says, rounded: int16 [kept cells * C]."""
        return pooled_symbols(self.y, self.maps([levels]), self.codec.gain, self.q)[0]

    def maps(self, levels):
        return torch.from_numpy(np.stack(levels)).to(self.codec.device)

    def features(self, levels, symbols):
        return unpooled_features([symbols], self.maps([levels]), self.codec.step, self.q, *self.draft.grid)

    def cell_bits(self, levels, symbols):
        """Ideal bits of every kept cell, float32."""
        return self.codec.context.cost(symbols, levels, *self.draft.grid, self.draft.quality, self.draft.aligned)

    def bits(self, levels, symbols):
        """Ideal bits of the face, level map included."""
        bits = float(self.cell_bits(levels, symbols).sum())
        if (levels != levels.flat[0]).any():
            bits += map_bits(self.codec.context.level_prior, levels, self.draft.quality, self.draft.aligned)
        return bits

    @torch.no_grad()
    def losses(self, trials):
        """J of several (levels, symbols)."""
        count, draft = len(trials), self.draft
        maps, q, a = self.maps([levels for levels, _ in trials]), self.q.expand(count), self.a.expand(count)
        features = unpooled_features([symbols for _, symbols in trials], maps, self.codec.step, q, *draft.grid)
        pixels = self.codec.net.synthesise(features, maps, q, a, draft.height, draft.width)
        target = None if self.target is None else self.target.expand(count, -1)
        d = distortion(self.codec, pixels, self.original.expand(count, -1, -1, -1), target).tolist()
        return [self.bits(*trial) + self.beta * value for trial, value in zip(trials, d)]

    def gradient(self, levels, symbols):
        """(features, dD/dfeatures), both float [1, C, h, w]."""
        with torch.enable_grad():
            features = self.features(levels, symbols).detach().requires_grad_(True)
            pixels = self.codec.net.synthesise(features, self.maps([levels]), self.q, self.a, self.draft.height, self.draft.width)
            d = distortion(self.codec, pixels, self.original, self.target).sum()
            return features.detach(), torch.autograd.grad(d, features)[0]


def improve_one(face, rounds, refinements):
    """Greedy search for one face -> (Draft, J); see the module's docstring."""
    draft = face.draft
    if draft.levels.size > REGIONS_AT_MOST:
        return draft, face.codec.estimate_bits(draft)
    starts = [(levels, face.symbols(levels)) for levels in [draft.levels, *face.uniform_maps()]]
    losses = face.losses(starts)
    best = int(np.argmin(losses))
    (levels, symbols), loss = starts[best], losses[best]
    uniform_bits = [region_sums(face.cell_bits(*start), start[0], *draft.grid) for start in starts[1:]]
    for _ in range(rounds):
        better = better_levels(face, levels, symbols, loss, uniform_bits)
        if better is None:
            break
        levels, symbols, loss = better
    for _ in range(refinements):
        better = better_symbols(face, levels, symbols, loss)
        if better is None:
            break
        symbols, loss = better
    return dataclasses.replace(draft, levels=levels, symbols=symbols), loss


def better_levels(face, levels, symbols, loss, uniform_bits):
    """One round over the regions: (levels, symbols, J), or None where nothing helps."""
    features, gradient = face.gradient(levels, symbols)
    bits = region_sums(face.cell_bits(levels, symbols), levels, *face.draft.grid)
    gains = []
    for level in range(LEVELS):
        inner = (gradient * (face.uniform[level] - features)).sum(1, keepdim=True)
        gain = (uniform_bits[level] - bits) + face.beta * region_totals(inner)[0, 0].cpu().numpy()
        gains += [(gain[r], r, level) for r in np.ndindex(levels.shape) if levels[r] != level]
    gains.sort()
    changes, trials = [(r, level) for _, r, level in gains[:TRIALS]], []
    for change in changes:
        trial = changed(levels, [change])
        trials.append((trial, face.symbols(trial)))
    helped = sorted((value, i) for i, value in enumerate(face.losses(trials)) if value < loss)
    if not helped:
        return None
    # All that helped alone, the best of each region, together; if they don't add up, the best one alone.
    together = changed(levels, [changes[i] for _, i in reversed(helped)])
    together = together, face.symbols(together)
    joint = face.losses([together])[0]
    return (*together, joint) if joint < helped[0][0] else (*trials[helped[0][1]], helped[0][0])


def changed(levels, changes):
    """A copy with other levels at some regions."""
    out = levels.copy()
    for region, level in changes:
        out[region] = level
    return out


def better_symbols(face, levels, symbols, loss):
    """One round over the symbols: (symbols, J), or None where nothing helps.

    Candidates move by one towards their prediction. Groups of the most promising, of several sizes, are tried.
    """
    draft, context = face.draft, face.codec.context
    table, mean = context.predict(symbols, levels, *draft.grid, draft.quality, draft.aligned)
    residual = symbols.astype(np.int64) - mean
    move = -np.sign(residual)
    now, then = (table_bits(context.table_set, table, r) for r in (residual, residual + move))
    possible = np.isfinite(now) & np.isfinite(then) & (move != 0)
    saved = np.subtract(now, then, out=np.zeros_like(now), where=possible)
    _, gradient = face.gradient(levels, symbols)
    slope = symbol_gradient(face, levels, len(symbols), gradient)
    gain = saved - face.beta * slope * move
    order = np.argsort(-gain, kind="stable")
    order = order[(gain[order] > 0) & possible[order]]
    trials = []
    for share in (64, 24, 8, 3, 1):
        chosen = order[: len(order) // share]
        if len(chosen):
            trial = symbols.copy()
            trial[chosen] += move[chosen].astype(np.int16)
            trials.append((levels, trial))
    if not trials:
        return None
    tried = face.losses(trials)
    best = int(np.argmin(tried))
    return (trials[best][1], tried[best]) if tried[best] < loss else None


def symbol_gradient(face, levels, count, gradient):
    """dD/dsymbol in coding order, float64 [kept cells * C], from dD/dfeatures [1, C, h, w]."""
    channels = gradient.shape[1]
    step = face.codec.step[face.draft.quality - 1]
    cells = count // channels
    number = np.repeat(np.arange(cells, dtype=np.int16), channels)
    # Which kept cell each cell is written from: unpool the numbers of the kept cells.
    owner = unpooled_features([number], face.maps([levels]), torch.ones_like(face.codec.step), face.q, *face.draft.grid)
    owner = owner[0, 0].flatten().long().cpu()
    rows, columns = np.indices(face.draft.grid) // 4
    scale = step.cpu()[torch.from_numpy(levels[rows, columns].astype(np.int64)).flatten()]
    per_cell = gradient[0].flatten(1).T.cpu() * scale
    return torch.zeros(cells, channels).index_add_(0, owner, per_cell).flatten().double().numpy()


def table_bits(tables, table, residual):
    """Bits of residuals under their tables, float64 [n]; infinite where a table would have to escape."""
    lows, starts, frequencies = tables.lows, tables.starts, tables.frequencies
    at = residual - lows[table]
    inside = (table >= 0) & (at >= 0) & (at < (starts[1:] - starts[:-1])[table])
    frequency = frequencies[np.where(inside, starts[table] + at, 0)]
    return np.where(inside, 16 - np.log2(frequency), np.inf)


def region_sums(bits, levels, height, width):
    """Bits per kept cell in coding order -> float64 [rows, columns]."""
    size = 1 << levels.astype(np.int64)
    rows, columns = np.indices(levels.shape)
    tall = np.minimum(4, height - 4 * rows)
    wide = np.minimum(4, width - 4 * columns)
    kept = (-(-tall // size) * -(-wide // size)).ravel()
    ends = np.cumsum(kept)
    total = np.concatenate([[0.0], np.cumsum(bits, dtype=np.float64)])
    return (total[ends] - total[ends - kept]).reshape(levels.shape)


def region_totals(x):
    """Sums over 4 x 4 regions: [N, 1, h, w] -> [N, 1, hr, wr]."""
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (0, -width % 4, 0, -height % 4))
    return torch.nn.functional.avg_pool2d(padded, 4) * 16
