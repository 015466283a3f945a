"""What the kernels share: a tile is some regions times some channels, its 16 cells are unrolled.

Memory is channels-last, [N, h, w, C]: along C lie the 128-bit loads. Regions run over all images, so that a small grid
(14 x 14 has 16 regions) fills programs as well as a large one does.
"""

from ._compat import round_half_even, tl, triton

SYMBOL_LIMIT = tl.constexpr(32767.0)


@triton.jit
def place_tile(
    levels, quality, qualities, regions, height, width, rows, columns, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Where this program's tile lies.

    Returns, per row of the tile: region within its image, image, top and left cell, level [ROWS]; channel [BLOCK];
    offset of its first cell int64, mask, offset of its row of a table [Q, 3, C] int32, all [ROWS, BLOCK].
    Levels and qualities out of range are clamped: nothing is read outside its tensor.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = row < regions
    row = tl.minimum(row, regions - 1)
    image = row // (rows * columns)
    region = row - image * (rows * columns)
    top = region // columns * 4
    left = region % columns * 4
    level = tl.minimum(tl.load(levels + row.to(tl.int64)).to(tl.int32), 2)
    q = tl.load(quality + image)
    q = tl.minimum(tl.maximum(q, 0), qualities - 1).to(tl.int32)
    mask = inside[:, None] & (channel < channels)[None, :]
    cell = image.to(tl.int64) * height * width + top * width + left
    offset = cell[:, None] * channels + channel[None, :]
    table = ((q * 3 + level) * channels)[:, None] + channel[None, :]
    return region, image, top, left, level, channel, offset, mask, table


@triton.jit
def cell_mask(mask, top, left, height, width, DY: tl.constexpr, DX: tl.constexpr, PARTIAL: tl.constexpr):
    """The tile's mask without cells beyond the grid."""
    if PARTIAL:
        mask = mask & ((top + DY < height) & (left + DX < width))[:, None]
    return mask


@triton.jit
def load_row(pointer, offset, mask, top, left, height, width, channels, DY: tl.constexpr, PARTIAL: tl.constexpr):
    """The four cells of row DY of every region, float32, missing ones 0."""
    at = pointer + offset + DY * width * channels
    a = tl.load(at, cell_mask(mask, top, left, height, width, DY, 0, PARTIAL), other=0.0).to(tl.float32)
    b = tl.load(at + channels, cell_mask(mask, top, left, height, width, DY, 1, PARTIAL), other=0.0).to(tl.float32)
    c = tl.load(at + 2 * channels, cell_mask(mask, top, left, height, width, DY, 2, PARTIAL), other=0.0).to(tl.float32)
    d = tl.load(at + 3 * channels, cell_mask(mask, top, left, height, width, DY, 3, PARTIAL), other=0.0).to(tl.float32)
    return a, b, c, d


@triton.jit
def reciprocal(n):
    """float32 1 / n, correctly rounded, for the cell counts that occur: Triton's own `/` is approximate."""
    r = tl.where(n == 2, 1 / 2, tl.where(n == 3, 1 / 3, tl.where(n == 4, 1 / 4, 1.0)))
    r = tl.where(n == 6, 1 / 6, tl.where(n == 8, 1 / 8, tl.where(n == 9, 1 / 9, r)))
    return tl.where(n == 12, 1 / 12, tl.where(n == 16, 1 / 16, r))[:, None]


@triton.jit
def reciprocals(top, left, height, width, PARTIAL: tl.constexpr):
    """1 / (number of cells that exist): of the quarters (0,0) (0,1) (1,0) (1,1) and of the region, float32 [ROWS, 1].

    A quarter without cells gets 1.
    """
    if PARTIAL:
        tall = tl.minimum(height - top, 4)
        wide = tl.minimum(width - left, 4)
        tall0, wide0 = tl.minimum(tall, 2), tl.minimum(wide, 2)
        tall1, wide1 = tall - tall0, wide - wide0
        return (
            reciprocal(tall0 * wide0),
            reciprocal(tall0 * wide1),
            reciprocal(tall1 * wide0),
            reciprocal(tall1 * wide1),
            reciprocal(tall * wide),
        )
    else:
        return 0.25, 0.25, 0.25, 0.25, 0.0625


@triton.jit
def pooled(
    a0, b0, c0, d0, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3, top, left, height, width, PARTIAL: tl.constexpr
):
    """Means of the four quarters and of the region by the fixed tree."""
    q00, q01, q10, q11 = (a0 + b0) + (a1 + b1), (c0 + d0) + (c1 + d1), (a2 + b2) + (a3 + b3), (c2 + d2) + (c3 + d3)
    r00, r01, r10, r11, r = reciprocals(top, left, height, width, PARTIAL)
    return q00 * r00, q01 * r01, q10 * r10, q11 * r11, ((q00 + q01) + (q10 + q11)) * r


@triton.jit
def clamped(scaled):
    """round-half-even(clamp(x)); not-a-number stays what it is."""
    rounded = round_half_even(tl.minimum(tl.maximum(scaled, -SYMBOL_LIMIT), SYMBOL_LIMIT))
    return tl.where(scaled == scaled, rounded, scaled)


@triton.jit
def by_level(level, cell, quarter, whole):
    """The value that stands for a cell: its own, its quarter's mean or its region's."""
    level = level[:, None]
    return tl.where(level == 0, cell, tl.where(level == 1, quarter, whole))
