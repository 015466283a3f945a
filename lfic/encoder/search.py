"""Gradient feedback at encode time: region levels (the paper's RAP optimisation), features and symbols.

Features: the analysis network guesses, in one pass, what the synthesis network will need; a few gradient steps on the
features themselves, towards fewer bits and a smaller distortion of this very face, find more (refine.py).

Region levels: with g the gradient of the distortion D at the decoder's features, changing region r to another level
changes the loss J = bits + beta * D by about

    (bits_r' - bits_r) + beta * <g_r, f_r' - f_r>

The most promising changes to the next finer or coarser level are then tried for real: the synthesis network gives D,
the coder's own tables the bits, and those stay by which J falls.

Symbols: the highest effort treats single symbols the same way: those that are dear and hardly matter move one step
towards their prediction.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import coder
from ..format.geometry import LEVELS, REGION
from ..format.level_map import map_bits
from ..network import tiles
from ..network.load import Model, Pixels
from ..network.rap import pooled_symbols, region_totals, unpooled_features
from . import heap
from .draft import Draft, estimate_bits
from .refine import refine

# gradient steps on the features; beyond 12 hardly any recogniser but the encoder's gains
FEATURE_STEPS = {1: 6, 2: 12, 3: 24}
ROUNDS = {1: 0, 2: 0, 3: 3}  # rounds of gradient and trial over the region levels
REFINEMENTS = {1: 0, 2: 0, 3: 4}  # rounds over single symbols
# changes that are tried for real in each round: of the 32 that a 112 x 112 face has they bring four fifths and more of
# what all would
TRIALS = 12
# bits that a change must save alone: what saves less seldom saves it beside the others, or for another recogniser
MARGIN = 4
REGIONS_AT_MOST = 1024  # beyond (a photo, not a face) a region's share is too small to try one by one

LevelMap: TypeAlias = NDArray[np.uint8]  # [rows, columns]
Symbols: TypeAlias = NDArray[np.int16]  # [kept cells * C], in coding order
Region: TypeAlias = tuple[int, ...]  # row, column
Change: TypeAlias = tuple[Region, int]  # a region and its other level


def improve(
    model: Model, drafts: list[Draft], pixels: Sequence[Pixels | Tensor], effort: int
) -> tuple[list[Draft], list[float]]:
    """Drafts of one size, quality and alignment, and their pictures, uint8 arrays [H, W, 3] or tensors [3, H, W] ->
    (better drafts, their J in bits); deterministic."""
    if drafts[0].levels.size > REGIONS_AT_MOST:
        return drafts, [estimate_bits(model, draft) for draft in drafts]
    with model.computing(gradients=True):
        found = improved(model, drafts, pixels, effort)
    if model.device.type == "cpu":
        heap.return_after(len(drafts), *drafts[0].levels.shape)
    return found


def improved(
    model: Model, drafts: list[Draft], pixels: Sequence[Pixels | Tensor], effort: int
) -> tuple[list[Draft], list[float]]:
    """``improve`` in the model's state of torch."""
    faces = [Candidate(model, draft, image) for draft, image in zip(drafts, pixels)]
    chosen = [improve_levels(face, ROUNDS[effort]) for face in faces]
    states = refine_features(model, faces, chosen, FEATURE_STEPS[effort])
    states = [improve_symbols(face, *state, REFINEMENTS[effort]) for face, state in zip(faces, states)]
    drafts = [dataclasses.replace(d, levels=levels, symbols=symbols) for d, (levels, symbols, _) in zip(drafts, states)]
    return drafts, [loss for _, _, loss in states]


def refine_features(
    model: Model, faces: Sequence["Candidate"], states: Sequence[tuple[LevelMap, Symbols]], steps: int
) -> list[tuple[LevelMap, Symbols, float]]:
    """States (levels, symbols) -> (levels, symbols, J) after gradient steps on the features; what did not gain stays as
    it was."""
    first = faces[0]
    levels = first.maps([levels for levels, _ in states])
    y = torch.cat([face.y for face in faces])
    original = torch.cat([face.original for face in faces])
    targets = [face.target for face in faces if face.target is not None]  # all of them or none
    target = torch.cat(targets) if targets else None
    y, before, after = refine(model, y, levels, original, target, first.draft.quality, first.draft.aligned, steps)
    symbols = pooled_symbols(y, levels, model.gain, first.q.expand(len(faces)))
    out = []
    for face, (level_map, old), new, *distortion in zip(faces, states, symbols, before.tolist(), after.tolist()):
        loss, refined = (face.bits(level_map, s) + face.beta * d for s, d in zip((old, new), distortion))
        out.append((level_map, new, refined) if refined < loss else (level_map, old, loss))
    return out


class Candidate:
    """The state of one face: everything that a trial needs."""

    def __init__(self, model: Model, draft: Draft, pixels: Pixels | Tensor) -> None:
        self.model, self.draft, self.y = model, draft, draft.features
        self.beta = model.objective.beta(draft.quality, draft.aligned)
        self.q, self.a = model.conditions(draft.quality, draft.aligned, 1)
        with torch.no_grad():
            self.original = tiles.unit(model.tensor(pixels[None] if isinstance(pixels, Tensor) else [pixels]))
            self.target: Tensor | None = None
            if model.recognizer is not None and draft.aligned:
                self.target = model.recognizer(self.original)

    def distortion(self, pixels: Tensor) -> Tensor:
        """D of reconstructions float [N, 3, H, W]: float [N]."""
        count = len(pixels)
        target = None if self.target is None else self.target.expand(count, -1)
        original = self.original.expand(count, -1, -1, -1)
        return self.model.objective.distortion(
            self.model.recognizer, pixels, original, target, self.draft.quality, self.draft.aligned
        )

    @functools.cached_property
    def uniform(self) -> list[tuple[Tensor, NDArray[np.float64]]]:
        """One level everywhere, for each level: list of (features, bits by region)."""
        maps = [np.full_like(self.draft.levels, level) for level in range(LEVELS)]
        coded = [(levels, self.symbols(levels)) for levels in maps]
        return [(self.features(*face), region_sums(self.cell_bits(*face), face[0], *self.draft.grid)) for face in coded]

    def symbols(self, levels: LevelMap) -> Symbols:
        """What the analysis says, rounded: int16 [kept cells * C]."""
        return pooled_symbols(self.y, self.maps([levels]), self.model.gain, self.q)[0]

    def maps(self, levels: Sequence[LevelMap]) -> Tensor:
        """On the device: uint8 [N, rows, columns]."""
        return torch.from_numpy(np.stack(levels)).to(self.model.device)

    def features(self, levels: LevelMap, symbols: Symbols) -> Tensor:
        """As the decoder has them: float [1, C, h, w]."""
        return unpooled_features([symbols], self.maps([levels]), self.model.step, self.q, *self.draft.grid)

    def cell_bits(self, levels: LevelMap, symbols: Symbols) -> NDArray[np.float32]:
        """Ideal bits of every kept cell, float32."""
        return self.model.context.cost(symbols, levels, *self.draft.grid, self.draft.quality, self.draft.aligned)

    def bits(self, levels: LevelMap, symbols: Symbols) -> float:
        """Ideal bits of the face, level map included."""
        bits = float(self.cell_bits(levels, symbols).sum())
        if (levels != levels.flat[0]).any():
            bits += map_bits(self.model.context.level_prior, levels, self.draft.quality, self.draft.aligned)
        return bits

    @torch.no_grad()
    def losses(self, trials: Sequence[tuple[LevelMap, Symbols]]) -> list[float]:
        """J of several (levels, symbols)."""
        count, draft = len(trials), self.draft
        maps, q, a = self.maps([levels for levels, _ in trials]), self.q.expand(count), self.a.expand(count)
        features = unpooled_features([symbols for _, symbols in trials], maps, self.model.step, q, *draft.grid)
        pixels = self.model.net.synthesize(features, maps, q, a, draft.height, draft.width)
        d = self.distortion(pixels).tolist()
        return [self.bits(*trial) + self.beta * value for trial, value in zip(trials, d)]

    def gradient(self, levels: LevelMap, symbols: Symbols) -> tuple[Tensor, Tensor]:
        """(features, dD/dfeatures), both float [1, C, h, w]."""
        with torch.enable_grad():
            features = self.features(levels, symbols).detach().requires_grad_(True)
            pixels = self.model.net.synthesize(
                features, self.maps([levels]), self.q, self.a, self.draft.height, self.draft.width
            )
            d = self.distortion(pixels).sum()
            return features.detach(), torch.autograd.grad(d, features)[0]


def improve_levels(face: Candidate, rounds: int) -> tuple[LevelMap, Symbols]:
    """Search over one face's region levels -> (levels, symbols); see the module's docstring."""
    levels, symbols = face.draft.levels, face.draft.symbols
    for _ in range(rounds):
        better = better_levels(face, levels, symbols)
        if better is None:
            break
        levels, symbols = better
    return levels, symbols


def improve_symbols(
    face: Candidate, levels: LevelMap, symbols: Symbols, loss: float, refinements: int
) -> tuple[LevelMap, Symbols, float]:
    """Greedy search over one face's symbols -> (levels, symbols, J)."""
    for _ in range(refinements):
        better = better_symbols(face, levels, symbols, loss)
        if better is None:
            break
        symbols, loss = better
    return levels, symbols, loss


def better_levels(face: Candidate, levels: LevelMap, symbols: Symbols) -> tuple[LevelMap, Symbols] | None:
    """One round over the regions: (levels, symbols), or None where nothing helps."""
    loss = face.losses([(levels, symbols)])[0]
    changes = promising(face, levels, symbols)[:TRIALS]
    trials = [(trial, face.symbols(trial)) for trial in (changed(levels, [change]) for change in changes)]
    helped = sorted((value, i) for i, value in enumerate(face.losses(trials)) if value < loss - MARGIN)
    if not helped:
        return None
    # All that helped alone, the best of each region, at once; if they don't add up, the best one alone.
    combined = changed(levels, [changes[i] for _, i in reversed(helped)])
    all_of_them = combined, face.symbols(combined)
    best, alone = helped[0][0], trials[helped[0][1]]
    return all_of_them if face.losses([all_of_them])[0] < best else alone


def promising(face: Candidate, levels: LevelMap, symbols: Symbols) -> list[Change]:
    """Changes of one region's level to the next finer or coarser one, list of (region, level), those first whose J
    should fall most."""
    features, gradient = face.gradient(levels, symbols)
    bits = region_sums(face.cell_bits(levels, symbols), levels, *face.draft.grid)
    gains: list[tuple[float, Region, int]] = []
    for level, (uniform, uniform_bits) in enumerate(face.uniform):
        inner = (gradient * (uniform - features)).sum(1, keepdim=True)
        gain = uniform_bits - bits + face.beta * region_totals(inner)[0, 0].cpu().numpy()
        gains += [(float(gain[r]), r, level) for r in np.ndindex(levels.shape) if abs(int(levels[r]) - level) == 1]
    return [(r, level) for _, r, level in sorted(gains)]


def changed(levels: LevelMap, changes: Sequence[Change]) -> LevelMap:
    """A copy with other levels at some regions."""
    out = levels.copy()
    for region, level in changes:
        out[region] = level
    return out


def better_symbols(face: Candidate, levels: LevelMap, symbols: Symbols, loss: float) -> tuple[Symbols, float] | None:
    """One round over the symbols: (symbols, J), or None where nothing helps.

    Candidates move by one towards their prediction. Groups of the most promising, of several sizes, are tried.
    """
    draft, context = face.draft, face.model.context
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


def symbol_gradient(face: Candidate, levels: LevelMap, count: int, gradient: Tensor) -> NDArray[np.float64]:
    """dD/dsymbol in coding order, float64 [kept cells * C], from dD/dfeatures [1, C, h, w]."""
    channels = gradient.shape[1]
    step = face.model.step[face.draft.quality - 1]
    cells = count // channels
    number = np.repeat(np.arange(cells, dtype=np.int16), channels)
    # Which kept cell each cell is written from: unpool the numbers of the kept cells.
    owner = unpooled_features([number], face.maps([levels]), torch.ones_like(face.model.step), face.q, *face.draft.grid)
    owner = owner[0, 0].flatten().long().cpu()
    rows, columns = np.indices(face.draft.grid) // REGION
    scale = step.cpu()[torch.from_numpy(levels[rows, columns].astype(np.int64)).flatten()]
    per_cell = gradient[0].flatten(1).T.cpu() * scale
    out: NDArray[np.float64] = (
        torch.zeros(cells, channels, dtype=torch.float32).index_add_(0, owner, per_cell).flatten().double().numpy()
    )
    return out


def table_bits(tables: coder.Tables, table: NDArray[np.int16], residual: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits of residuals under their tables, float64 [n]; infinite where a table would have to escape."""
    lows, starts, frequencies = tables.lows, tables.starts, tables.frequencies
    at = residual - lows[table]
    inside = (table >= 0) & (at >= 0) & (at < (starts[1:] - starts[:-1])[table])
    frequency = frequencies[np.where(inside, starts[table] + at, 0)]
    return np.where(inside, 16 - np.log2(frequency), np.inf)


def region_sums(bits: NDArray[np.float32], levels: LevelMap, height: int, width: int) -> NDArray[np.float64]:
    """Bits per kept cell in coding order -> float64 [rows, columns]."""
    size = 1 << levels.astype(np.int64)
    rows, columns = np.indices(levels.shape)
    tall = np.minimum(REGION, height - REGION * rows)
    wide = np.minimum(REGION, width - REGION * columns)
    kept = (-(-tall // size) * -(-wide // size)).ravel()
    ends = np.cumsum(kept)
    total = np.concatenate([[0.0], np.cumsum(bits, dtype=np.float64)])
    out: NDArray[np.float64] = (total[ends] - total[ends - kept]).reshape(levels.shape)
    return out
