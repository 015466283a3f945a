"""Triton: features -> symbols in coding order, in one pass.

Each program reads the 16 cells of its regions once and writes 16 cells: those that are kept go to their place in coding
order, and for each one that is not kept one zero goes to the end of the image's row. So the whole capacity is written
exactly once, with neither a global scan nor a word to the host.
"""

import torch

from . import configs
from ._compat import tl, triton
from ._region import by_level, cell_mask, clamped, load_row, place_tile, pooled
from .offsets import rap_offsets


@triton.jit
def kept_place(level, tall, wide, start, last, before, DY: tl.constexpr, DX: tl.constexpr):
    """(slot, kept) of the cell (DY, DX) of each region: its place in coding order, or a slot at the row's end.

    start: kept cells before the region, before: all cells before it, last: slot number h * w - 1; all int32 [ROWS].
    """
    raster = DY * wide + DX
    half = (wide + 1) // 2
    coarse_kept = ((DY + 1) // 2) * half  # kept cells of level 1 in the rows above
    if DY % 2 == 0:
        coarse_kept += (DX + 1) // 2
    coarse: tl.constexpr = DY % 2 == 0 and DX % 2 == 0
    first: tl.constexpr = DY == 0 and DX == 0
    kept = level == 0
    if coarse:
        kept = kept | (level == 1)
    if first:
        kept = kept | (level == 2)
    place = start + tl.where(level == 0, raster, tl.where(level == 1, coarse_kept, 0))
    dropped = raster - tl.where(level == 1, coarse_kept, 1)  # cells dropped before this one in its region
    return tl.where(kept, place, last - (before - start) - dropped), kept


@triton.jit
def store_cell(
    out,
    tables,
    index,
    value,
    gain,
    mask,
    level,
    image,
    tall,
    wide,
    start,
    last,
    before,
    top,
    left,
    height,
    width,
    channels,
    channel,
    DY: tl.constexpr,
    DX: tl.constexpr,
    PARTIAL: tl.constexpr,
    INDEXED: tl.constexpr,
):
    """Quantise one cell of every region and write it where it belongs."""
    slot, kept = kept_place(level, tall, wide, start, last, before, DY, DX)
    scaled = value * gain
    symbol = clamped(tl.where(scaled == scaled, scaled, 0.0)).to(tl.int32).to(tl.int16)
    at = (image.to(tl.int64) * (last + 1) + slot)[:, None] * channels + channel[None, :]
    ok = cell_mask(mask, top, left, height, width, DY, DX, PARTIAL)
    tl.store(out + at, tl.where(kept[:, None], symbol, 0), ok)
    if INDEXED:
        tl.store(tables + at, tl.where(kept[:, None], index, 0), ok)


@triton.jit
def store_row(
    out,
    tables,
    index,
    v0,
    v1,
    v2,
    v3,
    gain,
    mask,
    level,
    image,
    tall,
    wide,
    start,
    last,
    before,
    top,
    left,
    height,
    width,
    channels,
    channel,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    INDEXED: tl.constexpr,
):
    """The four cells of row DY of every region."""
    store_cell(
        out,
        tables,
        index,
        v0,
        gain,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        DY,
        0,
        PARTIAL,
        INDEXED,
    )
    store_cell(
        out,
        tables,
        index,
        v1,
        gain,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        DY,
        1,
        PARTIAL,
        INDEXED,
    )
    store_cell(
        out,
        tables,
        index,
        v2,
        gain,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        DY,
        2,
        PARTIAL,
        INDEXED,
    )
    store_cell(
        out,
        tables,
        index,
        v3,
        gain,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        DY,
        3,
        PARTIAL,
        INDEXED,
    )


@triton.jit
def rap_quantize_kernel(
    y,
    levels,
    starts,
    gain,
    quality,
    indexes,
    out,
    tables,
    regions,
    qualities,
    height,
    width,
    rows,
    columns,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    INDEXED: tl.constexpr,
):
    """See ``rap_quantize``; grid (tiles of regions, tiles of channels)."""
    region, image, top, left, level, channel, offset, mask, table = place_tile(
        levels, quality, qualities, regions, height, width, rows, columns, channels, ROWS, BLOCK
    )
    start = tl.load(starts + image.to(tl.int64) * (rows * columns) + region)
    tall = tl.minimum(height - top, 4)
    wide = tl.minimum(width - left, 4)
    before = top * width + tall * left
    last = height * width - 1
    g = tl.load(gain + table, mask, other=0.0)
    index = tl.load(indexes + table, mask, other=0) if INDEXED else 0
    a0, b0, c0, d0 = load_row(y, offset, mask, top, left, height, width, channels, 0, PARTIAL)
    a1, b1, c1, d1 = load_row(y, offset, mask, top, left, height, width, channels, 1, PARTIAL)
    a2, b2, c2, d2 = load_row(y, offset, mask, top, left, height, width, channels, 2, PARTIAL)
    a3, b3, c3, d3 = load_row(y, offset, mask, top, left, height, width, channels, 3, PARTIAL)
    q00, q01, q10, q11, whole = pooled(
        a0, b0, c0, d0, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3, top, left, height, width, PARTIAL
    )
    fine = (level == 0)[:, None]
    a0 = by_level(level, a0, q00, whole)
    c0, a2, c2 = tl.where(fine, c0, q01), tl.where(fine, a2, q10), tl.where(fine, c2, q11)
    store_row(
        out,
        tables,
        index,
        a0,
        b0,
        c0,
        d0,
        g,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        0,
        PARTIAL,
        INDEXED,
    )
    store_row(
        out,
        tables,
        index,
        a1,
        b1,
        c1,
        d1,
        g,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        1,
        PARTIAL,
        INDEXED,
    )
    store_row(
        out,
        tables,
        index,
        a2,
        b2,
        c2,
        d2,
        g,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        2,
        PARTIAL,
        INDEXED,
    )
    store_row(
        out,
        tables,
        index,
        a3,
        b3,
        c3,
        d3,
        g,
        mask,
        level,
        image,
        tall,
        wide,
        start,
        last,
        before,
        top,
        left,
        height,
        width,
        channels,
        channel,
        3,
        PARTIAL,
        INDEXED,
    )


def rap_quantize(y, levels, gain, quality, indexes=None):
    """See ``ops.rap_quantize``; y channels-last [N, C, h, w], the others contiguous. indexes: int16 [Q, 3, C] or None."""
    count, channels, height, width = y.shape
    rows, columns = levels.shape[1:]
    regions = count * rows * columns
    starts, counts = rap_offsets(levels, height, width, channels)
    symbols = torch.empty(count, height * width * channels, dtype=torch.int16, device=y.device)
    tables = torch.empty_like(symbols) if indexes is not None else None
    if count:
        launch = configs.launch("quantize", y.device, y.element_size())
        tile_rows, block = configs.tile(launch.elements, channels, regions)
        grid = (triton.cdiv(regions, tile_rows), triton.cdiv(channels, block))
        rap_quantize_kernel[grid](
            y,
            levels,
            starts,
            gain,
            quality,
            symbols if indexes is None else indexes,
            symbols,
            symbols if tables is None else tables,
            regions,
            gain.shape[0],
            height,
            width,
            rows,
            columns,
            channels,
            ROWS=tile_rows,
            BLOCK=block,
            PARTIAL=bool(height % 4 or width % 4),
            INDEXED=indexes is not None,
            num_warps=launch.warps,
            enable_fp_fusion=False,
        )
    return symbols, counts, tables
