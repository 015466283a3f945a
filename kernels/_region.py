"""What the kernels share: a tile is some regions of one image times some channels, its 16 cells are unrolled.

Memory is channels-last, [N, h, w, C]: along C lie the 128-bit loads. A tile stays in one image, so that all that
depends on the image (where it begins, its row of the tables) is one number a program, and offsets within it are 32 bits
wide. Cells and quarters of a region are numbered in raster order, 0 to 15 and 0 to 3. A number that a helper needs at
compile time is handed to it as an argument: a local that is computed in tl.static_range is no constexpr.
"""

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import _grid, configs
from ._compat import interpreted, mend_interpreter

mend_interpreter()

REGION = tl.constexpr(_grid.REGION)
LEVELS = tl.constexpr(_grid.LEVELS)
SYMBOL_LIMIT = tl.constexpr(_grid.SYMBOL_LIMIT)
INTERPRETED = tl.constexpr(interpreted())
SCAN = 1024 if interpreted() else 256  # levels that a program counts at once
# Arguments whose values, and alignment, Triton does not compile into the code: otherwise pictures of many sizes, and
# slices of a batch, would make many variants of it.
UNSPECIALIZED = [
    *("levels", "quality", "seed", "counts"),
    *("room", "qualities", "height", "width", "parts", "rows"),
]


class Tile(NamedTuple):
    """Where a program's regions and channels lie."""

    image: tl.tensor  # scalar int64
    row: tl.tensor  # [ROWS] number of the region in its image
    inside: tl.tensor  # [ROWS] whether there is such a region
    top: tl.tensor  # [ROWS] first cell
    left: tl.tensor  # [ROWS]
    level: tl.tensor  # [ROWS] 0, 1 or 2
    channel: tl.tensor  # [BLOCK]
    first: tl.tensor  # scalar int64 offset of the tile's first cell in [N, h, w, C]
    offset: tl.tensor  # int32 [ROWS, BLOCK] of every region's first cell from there
    mask: tl.tensor  # [ROWS, BLOCK]
    table: tl.tensor  # scalar int64 offset of the image's row in tables [Q, 3, C]
    height: tl.tensor  # scalars
    width: tl.tensor
    channels: tl.tensor


@triton.jit
def regions_of(height, width):
    """Number of regions of an image."""
    return ((height + REGION - 1) // REGION) * ((width + REGION - 1) // REGION)


@triton.jit
def program(parts, channels, BLOCK: tl.constexpr):
    """(image, part, block of channels) of this program; blocks of one part run side by side."""
    blocks = (channels + BLOCK - 1) // BLOCK
    pid = tl.program_id(0)
    both = pid // blocks
    image = both // parts
    return image.to(tl.int64), both - image * parts, pid - both * blocks


@triton.jit
def place(
    levels, quality, image, tile, block, qualities, height, width, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """One tile. Levels and qualities out of range are clamped: nothing is read outside its tensor."""
    row = tile * ROWS + tl.arange(0, ROWS)
    channel = block * BLOCK + tl.arange(0, BLOCK)
    each = regions_of(height, width)
    inside = row < each
    mask = inside[:, None] & (channel < channels)[None, :]
    row = tl.minimum(row, each - 1)
    columns = (width + REGION - 1) // REGION
    top = row // columns * REGION
    left = row % columns * REGION
    level = tl.minimum(tl.load(levels + image * each + row).to(tl.int32), LEVELS - 1)
    q = tl.load(quality + image)
    q = tl.minimum(tl.maximum(q, 0), qualities - 1)
    begin = tile * ROWS // columns * REGION * width + tile * ROWS % columns * REGION
    offset = ((top * width + left - begin) * channels)[:, None] + channel[None, :]
    first = (image * height * width + begin) * channels
    table = q * (LEVELS * channels)
    return Tile(image, row, inside, top, left, level, channel, first, offset, mask, table, height, width, channels)


@triton.jit
def load_table(pointer, t):
    """Rows of a table [Q, 3, C] for every region; [ROWS, BLOCK]."""
    at = (t.level * t.channels)[:, None] + t.channel[None, :]
    return tl.load(pointer + t.table + at, t.mask, other=0)


@triton.jit
def kept_of(level, tall, wide):
    """Kept cells of a region of which tall x wide cells exist: ceil(tall / 2**level) * ceil(wide / 2**level)."""
    side = 1 << level
    return ((tall + side - 1) >> level) * ((wide + side - 1) >> level)


@triton.jit
def kept_in_region(level, row, height, width):
    """Kept cells of regions by their numbers in the image."""
    columns = (width + REGION - 1) // REGION
    tall = tl.minimum(height - row // columns * REGION, REGION)
    wide = tl.minimum(width - row % columns * REGION, REGION)
    return kept_of(level, tall, wide)


@triton.jit
def kept_before(levels, end, height, width, SCAN: tl.constexpr):
    """Kept cells of an image's regions before region ``end``; levels: pointer to the image's. A scalar."""
    total = tl.zeros([SCAN], tl.int32)
    for at in range(0, end, SCAN):
        row = at + tl.arange(0, SCAN)
        level = tl.minimum(tl.load(levels + row, row < end, other=0).to(tl.int32), LEVELS - 1)
        total += tl.where(row < end, kept_in_region(level, row, height, width), 0)
    return tl.sum(total, 0)


@triton.jit
def starts(levels, t, tile, ROWS: tl.constexpr, SCAN: tl.constexpr):
    """([ROWS] kept cells of the image before each region, scalar: kept cells through the tile).

    Within the tile every thread adds up all regions by itself: a prefix sum would bring the threads to a halt, and its
    result would change its layout at every use.
    """
    each = regions_of(t.height, t.width)
    columns = (t.width + REGION - 1) // REGION
    first = tile * ROWS
    of_image = levels + t.image * each
    total = tile * 0
    if first > 0:
        total = kept_before(of_image, first, t.height, t.width, SCAN)
    start = t.row * 0
    top = first // columns * REGION
    left = first % columns * REGION
    for i in tl.static_range(ROWS):
        row = first + i
        start += tl.where(t.row == row, total, 0)
        level = tl.minimum(tl.load(of_image + tl.minimum(row, each - 1)).to(tl.int32), LEVELS - 1)
        kept = kept_of(level, tl.minimum(t.height - top, REGION), tl.minimum(t.width - left, REGION))
        total += tl.where(row < each, kept, 0)
        over = left + REGION >= t.width
        top += tl.where(over, REGION, 0)
        left = tl.where(over, 0, left + REGION)
    return start, total


@triton.jit
def exists(t, i: tl.constexpr, PARTIAL: tl.constexpr):
    """The tile's mask without regions whose cell i lies beyond the grid."""
    mask = t.mask
    if PARTIAL:
        mask = mask & ((t.top + i // 4 < t.height) & (t.left + i % 4 < t.width))[:, None]
    return mask


@triton.jit
def at_cell(pointer, t, i: tl.constexpr):
    """Where cell i of every region lies."""
    return pointer + t.first + (i // 4 * t.width + i % 4) * t.channels + t.offset


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
def in_coding_order(t, slot):
    """Offset of every region's slot (a number of cells, [ROWS]) in an image's row of coding order."""
    return (slot * t.channels)[:, None] + t.channel[None, :]


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
    low = tl.maximum(scaled, -SYMBOL_LIMIT, propagate_nan=tl.PropagateNan.ALL)
    return round_half_even(tl.minimum(low, SYMBOL_LIMIT, propagate_nan=tl.PropagateNan.ALL))


@triton.jit
def to_symbol(scaled):
    """round-half-even(clamp(x)) as int16; not-a-number becomes 0.

    The lowest 16 bits of x + 1.5 * 2**23 are the integer itself: no conversion is needed.
    """
    scaled = tl.where(scaled == scaled, scaled, 0.0)
    limited = tl.minimum(tl.maximum(scaled, -SYMBOL_LIMIT), SYMBOL_LIMIT)
    return (limited + 12582912.0).to(tl.int32, bitcast=True).to(tl.int16)


class Plan(NamedTuple):
    """How a kernel is spread over features [N, C, h, w]."""

    shape: torch.Size
    parts: int  # programs an image, for each block of channels
    tile: configs.Tile

    @property
    def grid(self) -> tuple[int]:
        return (self.shape[0] * self.parts * triton.cdiv(self.shape[1], self.tile.channels),)


def plan(operation: str, shape: torch.Size, like: Tensor, summing: bool = False) -> Plan:
    """How to spread an operation over features.

    like: the tensor of features whose device and element size choose the launch in configs.py; summing: a program goes
    through several tiles of an image and keeps their sums.
    """
    count, channels, height, width = shape
    if channels * height * width >= 1 << 31:
        raise ValueError(f"an image has {channels} x {height} x {width} features; fewer than 2**31 are allowed")
    each = math.prod(_grid.regions(height, width))
    parts, tile = configs.spread(operation, count, channels, each, like.device, like.element_size(), summing)
    return Plan(shape, parts, tile)


def launch(kernel: Any, plan: Plan, qualities: int, *arguments: Any, **constants: Any) -> None:
    """Run a kernel over every region and channel; nothing to do for an empty batch.

    arguments come first in the kernel's signature, then: parts, qualities, height, width, channels.
    """
    count, channels, height, width = plan.shape
    if not count:
        return
    kernel[plan.grid](
        *arguments,
        plan.parts,
        qualities,
        height,
        width,
        channels,
        ROWS=plan.tile.regions,
        BLOCK=plan.tile.channels,
        PARTIAL=bool(height % _grid.REGION or width % _grid.REGION),
        **constants,
        num_warps=plan.tile.warps,
        maxnreg=plan.tile.registers,
        enable_fp_fusion=False,
    )
