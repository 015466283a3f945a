"""The reference of csrc/compose: backgrounds are enlarged, face layers are warped and blended, by numpy in integers.

All resampling is by Catmull and Rom's cubic (1974) at 64 phases; weights are in 1/1024. Two passes keep all bits: the
product of both is rounded once. docs/FORMAT.md has the formulas.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lfic.format.geometry import SIDE
from lfic.format.layers import background_scale, background_size
from lfic.format.place import ONE, PICTURE_ONE, Place

Pixels = NDArray[np.uint8]  # [H, W, 3], RGB

PHASES = 64
EDGE = (32, 640)  # in 1/64 template pixels from its edge: nothing of a layer is seen before, all of it behind
BAND = 256  # rows that are enlarged at once, so that memory stays small
MARGIN = 2  # pixels beyond the edge that the cubic sees


def cubic() -> NDArray[np.int32]:
    """Weights int32 [64, 4], in 1/1024, of the pixels -1, 0, 1, 2 at each phase."""
    out = np.empty((PHASES, 4), np.int32)
    for k in range(PHASES // 2 + 1):
        # 1024 w(k / 64) with a denominator of 512, rounded half up; what rounding left goes to pixel 0.
        w = [-k * 4096 + 2 * k * k * 64 - k**3, k * 4096 + 4 * k * k * 64 - 3 * k**3, -k * k * 64 + k**3]
        first, third, fourth = ((value + 256) // 512 for value in w)
        out[k] = first, 1024 - first - third - fourth, third, fourth
    out[PHASES // 2 + 1 :] = out[PHASES // 2 - 1 : 0 : -1, ::-1]  # so that a mirrored picture becomes the mirrored one
    return out


def ramp() -> NDArray[np.int32]:
    """Opacity int32 [609], in 1/256, from EDGE[0] to EDGE[1]: 3 t^2 - 2 t^3, rounded half up."""
    span = EDGE[1] - EDGE[0]
    n = np.arange(span + 1, dtype=np.int64)
    return ((256 * (3 * n * n * span - 2 * n**3) * 2 + span**3) // (2 * span**3)).astype(np.int32)


CUBIC, RAMP = cubic(), ramp()


def enlarged(pixels: Pixels, reduction: int, width: int, height: int) -> Pixels:
    """A background of ``layers.background_size`` -> uint8 [height, width, 3]."""
    if reduction == 0:
        return pixels
    n, k = background_scale(reduction)
    out = np.empty((height, width, 3), np.uint8)
    padded = np.pad(pixels, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge").astype(np.int32)
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        rows = stretched(padded, n, k, top, bottom)
        whole = stretched(rows.transpose(1, 0, 2), n, k, 0, width).transpose(1, 0, 2)
        out[top:bottom] = np.clip((whole + (1 << 19)) >> 20, 0, 255)
    return out


def stretched(source: NDArray[np.int32], n: int, k: int, first: int, last: int) -> NDArray[np.int32]:
    """Rows ``first`` to ``last`` of a picture 2^k / n times as tall; the source has MARGIN rows more on both sides."""
    position = ((2 * np.arange(first, last) + 1) * (PHASES // 2) * n >> k) - PHASES // 2  # in 1/64 source pixels
    cell, phase = position >> 6, position & (PHASES - 1)
    out = np.zeros((last - first, *source.shape[1:]), np.int32)
    for tap in range(4):
        weights = CUBIC[phase, tap].reshape(-1, *[1] * (source.ndim - 1))
        out += source[cell + MARGIN + tap - 1] * weights
    return out


def shrunk(pixels: Pixels, reduction: int) -> Pixels:
    """uint8 [H, W, 3] -> uint8 of ``layers.background_size``: the same cubic, as wide as a pixel of the result."""
    n, k = background_scale(reduction)
    width, height = background_size(pixels.shape[1], pixels.shape[0], reduction)
    unit = 2 << k  # of a pixel of the result; a source pixel has 2 n

    def taps(at: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        middle = (2 * at + 1) * unit // 2
        rows = np.arange((middle - 2 * unit) // (2 * n) - 2, (middle + 2 * unit) // (2 * n) + 3)
        x = np.abs((2 * rows + 1) * n - middle)
        near, far = (3 * x - 5 * unit) * x * x + 2 * unit**3, ((5 * unit - x) * x - 8 * unit**2) * x + 4 * unit**3
        w = np.where(x <= unit, near, np.where(x < 2 * unit, far, 0))
        rows, w = rows[x < 2 * unit], w[x < 2 * unit]
        weights = (2 * (w << 14) + w.sum()) // (2 * w.sum())
        weights[weights.argmax()] += 2**14 - weights.sum()
        return np.clip(rows, 0, side - 1), weights

    tall = np.empty((height, pixels.shape[1], 3), np.int64)
    for y in range(height):
        rows, weights = taps(y, pixels.shape[0])
        tall[y] = (np.tensordot(weights, pixels[rows].astype(np.int64), 1) + 128) >> 8
    out = np.empty((height, width, 3), np.int64)
    for x in range(width):
        columns, weights = taps(x, pixels.shape[1])
        out[:, x] = (np.tensordot(tall[:, columns], weights, ([1], [0])) + (1 << 19)) >> 20
    return np.clip(out, 0, 255).astype(np.uint8)


def halved(pixels: Pixels) -> Pixels:
    """Means of 2 x 2 pixels, rounded half up; sides are even."""
    p = pixels.astype(np.int32)
    return ((p[::2, ::2] + p[::2, 1::2] + p[1::2, ::2] + p[1::2, 1::2] + 2) >> 2).astype(np.uint8)


def template_coordinates(
    place: Place, width: int, height: int
) -> tuple[tuple[slice, slice], NDArray[np.int64], NDArray[np.int64]]:
    """Where a layer may be seen, and its pixels' template coordinates u, v int64 [rows, columns] in 2^-24."""
    left, top, right, bottom = place.box(width, height)
    (a, b), (x, y) = place.steps(), place.centre(width, height)
    half = 1 << (PICTURE_ONE - 1)
    dx = ((np.arange(left, right, dtype=np.int64) << PICTURE_ONE) + (half - x))[None, :]
    dy = ((np.arange(top, bottom, dtype=np.int64) << PICTURE_ONE) + (half - y))[:, None]
    middle = SIDE // 2 << ONE
    u = middle + ((a * dx + b * dy) >> PICTURE_ONE)
    v = middle + ((a * dy - b * dx) >> PICTURE_ONE)
    return (slice(top, bottom), slice(left, right)), u, v


def opacity(u: NDArray[np.int64], v: NDArray[np.int64]) -> NDArray[np.int32]:
    """How much of a layer is seen at template coordinates in 2^-24: int32 in 0..256."""
    along = []
    for c in (u, v):
        distance = np.minimum(c, (SIDE << ONE) - c) >> (ONE - 6)
        along.append(RAMP[np.clip(distance - EDGE[0], 0, EDGE[1] - EDGE[0])])
    out: NDArray[np.int32] = (along[0] * along[1] + 128) >> 8
    return out


def sampled(template: Pixels, u: NDArray[np.int64], v: NDArray[np.int64], halvings: int) -> NDArray[np.int32]:
    """A layer's colour at template coordinates [n] in 2^-24: int32 [n, 3] in 0..255."""
    size = (len(template) // SIDE).bit_length() - 1
    for _ in range(halvings):
        template = halved(template)
    p, last = template.astype(np.int32), len(template) - 1
    fraction = ONE - 6 + halvings - size
    half = 1 << (fraction - 1)
    i, j = (((c + half) >> fraction) - PHASES // 2 for c in (v, u))  # in 1/64 pixels, from the first one's centre
    row, column = i // PHASES, j // PHASES
    wy, wx = CUBIC[i % PHASES], CUBIC[j % PHASES]
    columns = [np.clip(column + k, 0, last) for k in (-1, 0, 1, 2)]
    out = np.zeros((len(u), 3), np.int32)
    for k in (-1, 0, 1, 2):
        y = np.clip(row + k, 0, last)
        across = sum(p[y, x] * wx[:, n, None] for n, x in enumerate(columns))
        out += across * wy[:, k + 1, None]
    shown: NDArray[np.int32] = np.clip((out + (1 << 19)) >> 20, 0, 255)
    return shown


def paint(picture: Pixels, template: Pixels, place: Place) -> None:
    """Blend a face, uint8 [S, S, 3] with S of 112, 224 or 448, into a picture, in place."""
    height, width = picture.shape[:2]
    where, u, v = template_coordinates(place, width, height)
    alpha = opacity(u, v)
    seen = alpha > 0
    part, a = picture[where], alpha[seen][:, None]
    halvings = place.halvings((len(template) // SIDE).bit_length() - 1)
    colour = sampled(template, u[seen], v[seen], halvings)
    part[seen] = (part[seen].astype(np.int32) * (256 - a) + colour * a + 128) >> 8


def coverage(places: Sequence[Place], width: int, height: int) -> NDArray[np.int32]:
    """How much of a picture's background the layers leave: int32 [height, width], 256 (all) to 0 (nothing)."""
    left = np.full((height, width), 256, np.int32)
    for place in places:
        where, u, v = template_coordinates(place, width, height)
        left[where] = (left[where] * (256 - opacity(u, v)) + 128) >> 8
    return left


def compose(
    background: Pixels | None, reduction: int, layers: Sequence[tuple[Pixels, Place]], width: int, height: int
) -> Pixels:
    """A picture uint8 [height, width, 3]; without a background it is mid-grey where no layer is."""
    if background is None:
        picture = np.full((height, width, 3), 128, np.uint8)
    else:
        picture = enlarged(background, reduction, width, height)
    for template, place in layers:
        paint(picture, template, place)
    return picture
