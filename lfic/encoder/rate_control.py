"""The quality that a bound asks for: at most so many bytes, or at least so much likeness.

Pictures of one size are sought together. Each is analysed at the middle of the scale; from those features the context
model alone says what other qualities would take, and the networks run again at the one that it names, its successor,
and what interpolation finds from there: three or four analyses where a search by halves takes ten.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..format import container
from ..format.geometry import SIDE, cell_grid, region_grid
from .choose import best_drafts
from .draft import Draft, Pictures, Symbols, Transforms, files, first_drafts

if TYPE_CHECKING:
    from ..network.load import Model

DEFAULT_QUALITY = 40  # where searches start, too
SLOPE = 0.03  # by which the logarithms of bytes and of unlikeness change from one quality to the next, where untried
EFFORT_TRIALS = 3  # of an effort under max_bytes: each takes as long as fifty analyses


def last_true(holds: Callable[[int], bool], start: int, low: int = 1, high: int = 100) -> int:
    """The last of low..high for which ``holds`` (true up to a point, false after it), or low - 1.

    Strides that double lead away from ``start``, then the gap is halved. The answer has been tried, and so has its
    successor.
    """
    best, bad, stride = low - 1, high + 1, 4
    at = start
    while best + 1 < bad:
        if holds(at):
            best = at
        else:
            bad = at
        if bad == high + 1:
            at, stride = min(best + stride, high), stride * 2
        elif best == low - 1:
            at, stride = max(bad - stride, low), stride * 2
        else:
            at = (best + bad) // 2
    return best


@dataclasses.dataclass
class Search:
    """What one picture's trials have shown of a value that rises with the quality.

    tried: value by quality. The wanted quality is the last whose value is at most ``target`` (below it, if ``strict``).
    """

    target: float
    strict: bool = False
    tried: dict[int, float] = dataclasses.field(default_factory=dict)

    def holds(self, quality: int) -> bool:
        value = self.tried[quality]
        return value < self.target if self.strict else value <= self.target

    @property
    def last(self) -> int:
        """The largest tried quality that holds; 0 if none does."""
        return max((q for q in self.tried if self.holds(q)), default=0)

    @property
    def beyond(self) -> int:
        """The smallest tried quality above ``last``; 101 if none is."""
        return min((q for q in self.tried if q > self.last), default=101)

    @property
    def done(self) -> bool:
        return self.last + 1 == self.beyond

    def next(self) -> int:
        """A quality between ``last`` and ``beyond``: by interpolation; after six trials by halves."""
        low, high = self.last, self.beyond
        if len(self.tried) >= 6:
            return (low + high) // 2
        if low and high <= 100:
            rise = max(self.tried[high] - self.tried[low], 1e-9)
            guess = low + int((self.target - self.tried[low]) / rise * (high - low))
        elif low:
            guess = low + 1 + int((self.target - self.tried[low]) / SLOPE)
        else:
            guess = high - 1 - int((self.tried[high] - self.target) / SLOPE)
        return min(max(guess, low + 1), high - 1)


@dataclasses.dataclass(frozen=True)
class Manner:
    """How each file that a search tries is coded, and by how many threads; ``Codec.encode_batch`` has the rest.

    aligned: None: settled for each picture, under ``max_bytes`` in the middle of the scale. bare: bare streams, which
    have no checksum.
    """

    effort: int
    aligned: bool | None
    checksum: bool
    threads: int = 1
    bare: bool = False

    def files(self, model: Transforms, drafts: Sequence[Draft]) -> list[bytes]:
        return files(model, drafts, self.checksum, self.threads, self.bare)


def largest_files(
    model: Transforms,
    pixels: Pictures,
    max_bytes: int,
    manner: Manner,
    coarsest: bool = True,
    instead: Callable[[int, int], bytes | None] = lambda picture, quality: None,
) -> list[bytes | InvalidInputError]:
    """Pictures uint8 [N, 3, H, W] -> for each the file of the largest quality that has at most ``max_bytes``.

    coarsest: whether levels of 2 are tried. instead: (picture, that quality, or 0 where none fits) -> a file that is
    taken in its place, or None.

    Where not even quality 1 fits, every region is pooled to level 2 and the search starts again; an error in a file's
    place says that that is too large as well. An effort's files are sought from there on, in ``EFFORT_TRIALS`` at most.
    """
    out: dict[int, bytes | InvalidInputError] = {}
    for part, which, own in by_part(model, pixels, manner):

        def other(picture: int, quality: int, which: Sequence[int] = which) -> bytes | None:
            return instead(which[picture], quality)

        found = own_largest_files(part, pixels[which], max_bytes, own, coarsest, other)
        out |= zip(which, found, strict=True)
    return [out[i] for i in range(len(pixels))]


def by_part(model: Transforms, pixels: Pictures, manner: Manner) -> list[tuple[Transforms, list[int], Manner]]:
    """Pictures of one size by the part of the model that codes them: (part, which, how). Where two parts may, that is
    settled in the middle of the scale."""
    everything = list(range(len(pixels)))
    if manner.aligned is not None or pixels.shape[-2:] != (SIDE, SIDE):
        way = bool(manner.aligned)
        return [(model.of(way), everything, dataclasses.replace(manner, aligned=way))]
    if model.of(True) is model.of(False):
        return [(model, everything, manner)]
    ways = [draft.aligned for draft in best_drafts(model, pixels, DEFAULT_QUALITY, 0, None)]
    parts = [(way, [i for i in everything if ways[i] == way]) for way in (True, False)]
    return [(model.of(way), which, dataclasses.replace(manner, aligned=way)) for way, which in parts if which]


def own_largest_files(
    model: Transforms,
    pixels: Pictures,
    max_bytes: int,
    manner: Manner,
    coarsest: bool,
    instead: Callable[[int, int], bytes | None],
) -> list[bytes | InvalidInputError]:
    """``largest_files`` of what one part of a model codes."""
    # The way (aligned or not) is settled once, in the middle of the scale.
    middle = best_drafts(model, pixels, DEFAULT_QUALITY, 0, manner.aligned)
    found: list[dict[int, bytes]] = [{DEFAULT_QUALITY: data} for data in manner.files(model, middle)]
    searches = [Search(math.log(max_bytes), False, {DEFAULT_QUALITY: size(f[DEFAULT_QUALITY])}) for f in found]
    guesses = predicted(model, middle, found, max_bytes, manner.threads)
    trials = [(i, q) for i, guess in enumerate(guesses) for q in (guess, guess + 1) if 1 <= q <= 100]
    ways = [draft.aligned for draft in middle]
    while trials:
        trials = [(i, q) for i, q in trials if q not in found[i]]
        for way in (True, False):
            some = [(i, q) for i, q in trials if ways[i] == way]
            if some:
                drafts = first_drafts(model, pixels[[i for i, _ in some]], [q for _, q in some], way)
                for (i, q), data in zip(some, manner.files(model, drafts), strict=True):
                    found[i][q], searches[i].tried[q] = data, size(data)
        trials = [(i, search.next()) for i, search in enumerate(searches) if not search.done]
    best: list[bytes | InvalidInputError] = []
    for i, (search, way) in enumerate(zip(searches, ways, strict=True)):
        picture, own = pixels[i : i + 1], dataclasses.replace(manner, aligned=way)
        other = instead(i, search.last)
        if other is not None:
            best.append(other)
        elif not search.last and coarsest:
            best.append(coarsest_file(model, picture, max_bytes, own))
        elif not search.last:
            best.append(too_small(max_bytes, len(found[i][1])))
        elif manner.effort:
            best.append(improved_file(model, picture, search, found[i][search.last], own))
        else:
            best.append(found[i][search.last])
    return best


def size(data: bytes) -> float:
    """Of a file, as ``Search`` compares them: nearly linear in the quality."""
    return math.log(len(data))


def predicted(
    model: Transforms, drafts: Sequence[Draft], found: Sequence[dict[int, bytes]], max_bytes: int, threads: int
) -> list[int]:
    """For each draft the last quality, 1 to 100, that would fit if its features and levels stayed what they are."""
    count, first = len(drafts), drafts[0]
    features, levels = [draft.features for draft in drafts], np.stack([draft.levels for draft in drafts])
    aligned = np.array([draft.aligned for draft in drafts])
    mapped = np.array([draft.level_mode == container.CODED_MAP for draft in drafts])

    def bits(quality: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = in_rows(model.pooled(features, levels, quality.tolist()))
        return model.context.cost_rows(rows, levels, *first.grid, quality, aligned, mapped, threads)

    known = bits(np.full(count, first.quality))
    over = np.array([len(data[first.quality]) for data in found]) - known / 8  # header, checksum, the last byte
    low, high = np.zeros(count, np.int64), np.full(count, 101)
    while (high - low > 1).any():
        middle = np.clip((low + high) // 2, 1, 100)
        fits = bits(middle) / 8 + over <= max_bytes
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return [max(int(q), 1) for q in low]


def in_rows(symbols: Sequence[Symbols]) -> NDArray[np.int16]:
    """int16 [N, K], of which a row's first ones are a picture's symbols."""
    rows = np.zeros((len(symbols), max(map(len, symbols))), np.int16)
    for row, values in zip(rows, symbols):
        row[: len(values)] = values
    return rows


def improved_file(model: Transforms, pixels: Pictures, search: Search, plain: bytes, manner: Manner) -> bytes:
    """The largest file of an effort that was found to fit in ``EFFORT_TRIALS``, from the best without one on; that one
    where none does. pixels uint8 [1, 3, H, W]."""
    start = search.last
    best, own = plain, Search(search.target)
    quality = start
    for _ in range(EFFORT_TRIALS):
        (data,) = manner.files(model, best_drafts(model, pixels, quality, manner.effort, manner.aligned))
        own.tried[quality] = size(data)
        if own.holds(quality) and quality == own.last:
            best = data
        if own.done:
            break
        quality = own.next()
    return best


def coarsest_file(model: Transforms, pixels: Pictures, max_bytes: int, manner: Manner) -> bytes | InvalidInputError:
    """The file of the largest quality that fits with every region pooled as coarsely as it goes.

    pixels uint8 [1, 3, H, W].
    """
    regions = region_grid(*cell_grid(*pixels.shape[-2:]))
    coarsest = np.full((1, *regions), 2, np.uint8)
    blobs: dict[int, bytes] = {}

    def fits(quality: int) -> bool:
        drafts = first_drafts(model, pixels, quality, bool(manner.aligned), coarsest)
        (blobs[quality],) = manner.files(model, drafts)
        return len(blobs[quality]) <= max_bytes

    best = last_true(fits, 1)
    if best:
        return blobs[best]
    return too_small(max_bytes, len(blobs[1]))


def too_small(max_bytes: int, least: int) -> InvalidInputError:
    """What is told where not even the smallest file fits."""
    return InvalidInputError(
        f"max_bytes is {max_bytes}, but the smallest file of this image has {least} bytes: allow more, or shrink the "
        "image"
    )


def smallest_files(
    model: "Model", pixels: Pictures, min_similarity: float, manner: Manner
) -> list[bytes | InvalidInputError]:
    """Pictures uint8 [N, 3, H, W] -> for each the file of the smallest quality that is at least that like the original
    (``Model.similarity``); an error in its place where not even quality 100 is."""
    out: dict[int, bytes | InvalidInputError] = {}
    for part, which, own in by_part(model, pixels, manner):
        found = own_smallest_files(cast("Model", part), pixels[which], min_similarity, own)
        out |= zip(which, found, strict=True)
    return [out[i] for i in range(len(pixels))]


def own_smallest_files(
    model: "Model", pixels: Pictures, min_similarity: float, manner: Manner
) -> list[bytes | InvalidInputError]:
    """``smallest_files`` of what one part of a model codes."""
    target = model.embed(pixels)
    searches = [Search(distance(min_similarity), True) for _ in range(len(pixels))]
    found: list[dict[int, bytes]] = [{} for _ in searches]
    trials = [(i, DEFAULT_QUALITY) for i in range(len(searches))]
    while trials:
        rows = [i for i, _ in trials]
        drafts = best_drafts(model, pixels[rows], [q for _, q in trials], manner.effort, manner.aligned)
        shown = model.reconstruct(
            [(draft.symbols, draft.levels) for draft in drafts],
            [draft.quality for draft in drafts],
            [draft.aligned for draft in drafts],
            *pixels.shape[-2:],
        )
        like = model.similarity(shown, target[rows]).tolist()
        for (i, q), data, value in zip(trials, manner.files(model, drafts), like, strict=True):
            found[i][q] = data
            # what counts is whether the bound is met, to the last bit
            searches[i].tried[q] = (
                max(distance(value), searches[i].target)
                if value >= min_similarity
                else min(distance(value), math.nextafter(searches[i].target, -math.inf))
            )
        trials = [(i, search.next()) for i, search in enumerate(searches) if not search.done]
    return [
        blobs[search.last + 1]
        if search.last < 100
        else InvalidInputError(f"min_similarity is {min_similarity}, which not even quality 100 reaches for this image")
        for search, blobs in zip(searches, found, strict=True)
    ]


def distance(similarity: float) -> float:
    """Of likeness, as ``Search`` compares it: nearly linear in the quality, rising."""
    return -math.log(max(1 - similarity, 1e-6))


def shown(model: "Model", draft: Draft) -> NDArray[np.uint8]:
    """What the file of a draft will show: uint8 [H, W, 3]."""
    face = draft.symbols, draft.levels
    part = model.of(draft.aligned)
    pixels = part.reconstruct([face], [draft.quality], [draft.aligned], draft.height, draft.width)
    out: NDArray[np.uint8] = pixels[0].permute(1, 2, 0).contiguous().cpu().numpy()
    return out
