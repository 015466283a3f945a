"""What the kernels share: a tile is some regions times some channels, its 16 cells are unrolled.

Memory is channels-last, [N, h, w, C]: along C lie the 128-bit loads. Regions run over all images, so that a small grid
(14 x 14 has 16 regions) fills programs as well as a large one does. Cells and quarters of a region are numbered in
raster order, 0 to 15 and 0 to 3. A number that a helper needs at compile time is handed to it as an argument: a local
that is computed in tl.static_range is no constexpr.
"""

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import _grid, configs
from ._compat import interpreted

REGION = tl.constexpr(_grid.REGION)
LEVELS = tl.constexpr(_grid.LEVELS)
SYMBOL_LIMIT = tl.constexpr(_grid.SYMBOL_LIMIT)
INTERPRETED = tl.constexpr(interpreted())


class Tile(NamedTuple):
    """Where a program's regions and channels lie."""

    row: tl.tensor  # [ROWS] number of the region among those of all images
    image: tl.tensor  # [ROWS]
    top: tl.tensor  # [ROWS] first cell
    left: tl.tensor  # [ROWS]
    level: tl.tensor  # [ROWS] 0, 1 or 2
    channel: tl.tensor  # [BLOCK]
    offset: tl.tensor  # int64 [ROWS, BLOCK] of the first cell in [N, h, w, C]
    mask: tl.tensor  # [ROWS, BLOCK]
    table: tl.tensor  # int32 [ROWS, BLOCK] offset in a table [Q, 3, C]
    height: tl.tensor  # scalars
    width: tl.tensor
    channels: tl.tensor


@triton.jit
def place(levels, quality, regions, qualities, height, width, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """This program's tile. Levels and qualities out of range are clamped: nothing is read outside its tensor."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = (row < regions)[:, None] & (channel < channels)[None, :]
    row = tl.minimum(row, regions - 1)
    columns = (width + REGION - 1) // REGION
    each = (height + REGION - 1) // REGION * columns
    image = row // each
    region = row - image * each
    top = region // columns * REGION
    left = region % columns * REGION
    level = tl.minimum(tl.load(levels + row.to(tl.int64)).to(tl.int32), LEVELS - 1)
    q = tl.load(quality + image)
    q = tl.minimum(tl.maximum(q, 0), qualities - 1).to(tl.int32)
    first = image.to(tl.int64) * height * width + top * width + left
    offset = first[:, None] * channels + channel[None, :]
    table = ((q * LEVELS + level) * channels)[:, None] + channel[None, :]
    return Tile(row, image, top, left, level, channel, offset, mask, table, height, width, channels)


@triton.jit
def exists(t, i: tl.constexpr, PARTIAL: tl.constexpr):
    """The tile's mask without regions whose cell i lies beyond the grid."""
    mask = t.mask
    if PARTIAL:
        mask = mask & ((t.top + i // 4 < t.height) & (t.left + i % 4 < t.width))[:, None]
    return mask


@triton.jit
def at_cell(pointer, t, i: tl.constexpr):
    """Where cell i of every region lies.

    The tile's offset is added to the pointer first, then the row, then the column: offsets that loads and stores have
    in common would stay in registers from the ones to the others.
    """
    return pointer + t.offset + i // 4 * t.width * t.channels + i % 4 * t.channels


@triton.jit
def load_cell(pointer, t, i: tl.constexpr, PARTIAL: tl.constexpr):
    """Cell i of every region, float32, missing ones 0."""
    return tl.load(at_cell(pointer, t, i), exists(t, i, PARTIAL), other=0.0).to(tl.float32)


@triton.jit
def store_float(at, value, mask):
    """Store float32 as the type pointed to, round half to even.

    The interpreter truncates float32 -> bfloat16: there the rounding is done on the bits first.
    """
    if INTERPRETED and at.dtype.element_ty == tl.bfloat16:
        bits = value.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        value = tl.where(value == value, rounded.to(tl.float32, bitcast=True), value)
    tl.store(at, value.to(at.dtype.element_ty), mask)


@triton.jit
def store_cell(pointer, t, i: tl.constexpr, value, PARTIAL: tl.constexpr):
    """float32 -> cell i of every region."""
    store_float(at_cell(pointer, t, i), value, exists(t, i, PARTIAL))


@triton.jit
def row_of(cells, y: tl.constexpr):
    """The four cells of row y."""
    return cells[y * 4], cells[y * 4 + 1], cells[y * 4 + 2], cells[y * 4 + 3]


@triton.jit
def load_row(pointer, t, y: tl.constexpr, PARTIAL: tl.constexpr):
    """The four cells of row y."""
    out = ()
    for x in tl.static_range(4):
        out += (load_cell(pointer, t, y * 4 + x, PARTIAL),)
    return out


@triton.jit
def load_cells(pointer, t, PARTIAL: tl.constexpr):
    """All 16 cells."""
    out = ()
    for y in tl.static_range(4):
        out += load_row(pointer, t, y, PARTIAL)
    return out


@triton.jit
def second_row(pointer, cells, t, y: tl.constexpr, PARTIAL: tl.constexpr):
    """Row y of cells that were loaded before.

    In a large tile it is read again: 16 cells in registers would halve the number of programs that run at once. Stores
    lie between the two reads, so that the compiler cannot make them one.
    """
    if t.mask.shape[0] * t.mask.shape[1] > 256:
        return load_row(pointer, t, y, PARTIAL)
    else:
        return row_of(cells, y)


@triton.jit
def reciprocal(n):
    """float32 1 / n, correctly rounded, for the cell counts that occur: Triton's own `/` is approximate."""
    r = tl.where(n == 2, 1 / 2, tl.where(n == 3, 1 / 3, tl.where(n == 4, 1 / 4, 1.0)))
    r = tl.where(n == 6, 1 / 6, tl.where(n == 8, 1 / 8, tl.where(n == 9, 1 / 9, r)))
    return tl.where(n == 12, 1 / 12, tl.where(n == 16, 1 / 16, r))[:, None]


@triton.jit
def half(length, second: tl.constexpr):
    """How many of a region's rows or columns that exist lie in its first or second half."""
    return length - tl.minimum(length, 2) if second else tl.minimum(length, 2)


@triton.jit
def quarter_mean(total, tall, wide, q: tl.constexpr, PARTIAL: tl.constexpr):
    """The sum over quarter q -> its mean over the cells that exist; 0 where none does."""
    return total * (reciprocal(half(tall, q // 2) * half(wide, q % 2)) if PARTIAL else 0.25)


@triton.jit
def quarter_sum(cells, first: tl.constexpr):
    """By the fixed tree."""
    return (cells[first] + cells[first + 1]) + (cells[first + 4] + cells[first + 5])


@triton.jit
def pools(cells, t, PARTIAL: tl.constexpr):
    """What stands for the cells of each quarter where they are pooled: the quarter's mean or the region's."""
    tall = tl.minimum(t.height - t.top, REGION)
    wide = tl.minimum(t.width - t.left, REGION)
    sums = ()
    for q in tl.static_range(4):
        sums += (quarter_sum(cells, q // 2 * 8 + q % 2 * 2),)
    whole = ((sums[0] + sums[1]) + (sums[2] + sums[3])) * (reciprocal(tall * wide) if PARTIAL else 0.0625)
    out = ()
    for q in tl.static_range(4):
        out += (tl.where(t.level[:, None] == 1, quarter_mean(sums[q], tall, wide, q, PARTIAL), whole),)
    return out


@triton.jit
def by_level(t, i: tl.constexpr, value, pooled):
    """What stands for cell i: its own value, or its pool's."""
    return tl.where(t.level[:, None] == 0, value, pooled[i // 8 * 2 + i % 4 // 2])


@triton.jit
def sum_of_four(x):
    """In pairs; over a row and then over the rows it is the sum over a region."""
    return (x[0] + x[1]) + (x[2] + x[3])


@triton.jit
def line(t):
    """int64 offset of every region in [N * hr * wr, C]."""
    return t.row.to(tl.int64)[:, None] * t.channels + t.channel[None, :]


@triton.jit
def in_coding_order(t, room, slot):
    """int64 offset of every region's slot (a number of cells, [ROWS]) in rows of coding order with room cells each."""
    return (t.image.to(tl.int64) * room + slot)[:, None] * t.channels + t.channel[None, :]


@triton.jit
def round_half_even(x):
    """float32 of at most 2**22 in size -> the nearest integer, halves to even.

    Adding 1.5 * 2**23 leaves no bits below one: the addition's own rounding does it, the same on every device.
    libdevice's rint gives nothing under the interpreter.
    """
    return (x + 12582912.0) - 12582912.0


@triton.jit
def clamped(scaled):
    """round-half-even(clamp(x)); not-a-number stays what it is."""
    rounded = round_half_even(tl.minimum(tl.maximum(scaled, -SYMBOL_LIMIT), SYMBOL_LIMIT))
    return tl.where(scaled == scaled, rounded, scaled)


def launch(
    kernel: Any, operation: str, shape: torch.Size, like: Tensor, qualities: int, *arguments: Any, **constants: Any
) -> None:
    """Run a kernel over every region and channel of features [N, C, h, w]; nothing to do for an empty batch.

    arguments come first in the kernel's signature, then: regions, qualities, height, width, channels. ``like``: the
    tensor of features whose device and element size choose the launch in configs.py.
    """
    count, channels, height, width = shape
    total = count * math.prod(_grid.regions(height, width))
    if not total:
        return
    chosen = configs.launch(operation, like.device, like.element_size())
    tile_rows, block = configs.tile(chosen.elements, channels, total)
    kernel[(triton.cdiv(total, tile_rows), triton.cdiv(channels, block))](
        *arguments,
        total,
        qualities,
        height,
        width,
        channels,
        ROWS=tile_rows,
        BLOCK=block,
        PARTIAL=bool(height % _grid.REGION or width % _grid.REGION),
        **constants,
        num_warps=chosen.warps,
        enable_fp_fusion=False,
    )
