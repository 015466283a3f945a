"""Triton: features -> symbols in coding order, in one pass.

Each program reads the 16 cells of its regions and writes 16 cells: those that are kept go to their place in coding
order, and for each one that is not kept one zero goes to the end of the image's row. So the whole capacity is written
exactly once, with neither a global scan nor a word to the host.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._region import (
    REGION,
    SCAN,
    UNSPECIALIZED,
    by_level,
    exists,
    in_coding_order,
    launch,
    load_cells,
    load_table,
    place,
    plan,
    pools,
    program,
    second_row,
    starts,
    to_symbol,
)


@triton.jit
def kept_slot(t, start, end, i: tl.constexpr):
    """(slot, kept) of cell i of every region: its place in coding order, or a slot at the row's end; [ROWS].

    start: slot of the region's first kept cell; end: of its first cell that is dropped, from where they go down.
    """
    y: tl.constexpr = i // 4
    x: tl.constexpr = i % 4
    wide = tl.minimum(t.width - t.left, REGION)
    raster = y * wide + x
    coarse = ((y + 1) // 2) * ((wide + 1) // 2)  # kept cells of level 1 before this one
    if y % 2 == 0:
        coarse += (x + 1) // 2
    kept = t.level == 0
    if y % 2 == 0 and x % 2 == 0:
        kept = kept | (t.level == 1)
    if i == 0:
        kept = kept | (t.level == 2)
    slot = start + tl.where(t.level == 0, raster, tl.where(t.level == 1, coarse, 0))
    dropped = raster - tl.where(t.level == 1, coarse, 1)
    return tl.where(kept, slot, end - dropped), kept


@triton.jit(do_not_specialize=UNSPECIALIZED)
def rap_quantize_kernel(
    y,
    levels,
    gain,
    quality,
    indexes,
    out,
    tables,
    counts,
    parts,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    INDEXED: tl.constexpr,
    TAIL: tl.constexpr,
    SCAN: tl.constexpr,
):
    """See ``rap_quantize``; grid (images * parts * blocks of channels). TAIL: whether the row's end is written."""
    image, part, block = program(parts, channels, BLOCK)
    t = place(levels, quality, image, part, block, qualities, height, width, channels, ROWS, BLOCK)
    start, through = starts(levels, t, part, ROWS, SCAN)
    tl.store(counts + image, through.to(tl.int64) * channels, (part == parts - 1) & (block == 0))
    before = t.top * width + tl.minimum(height - t.top, REGION) * t.left  # cells of the image before the region
    end = height * width - 1 - (before - start)
    g = load_table(gain, t)
    index = load_table(indexes, t) if INDEXED else 0
    cells = load_cells(y, t, PARTIAL)
    pooled = pools(cells, t, PARTIAL)
    for row in tl.static_range(4):
        values = second_row(y, cells, t, row, PARTIAL)
        for x in tl.static_range(4):
            symbol = to_symbol(by_level(t, row * 4 + x, values[x], pooled) * g)
            slot, kept = kept_slot(t, start, end, row * 4 + x)
            at = image * height * width * channels + in_coding_order(t, slot)
            ok = exists(t, row * 4 + x, PARTIAL)
            if not TAIL:
                ok = ok & kept[:, None]
            tl.store(out + at, tl.where(kept[:, None], symbol, 0), ok)
            if INDEXED:
                tl.store(tables + at, tl.where(kept[:, None], index, 0), ok)


def rap_quantize(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor, indexes: Tensor | None = None, tail: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    """See ``ops.rap_quantize``; y channels-last [N, C, h, w], the others contiguous; the third result may be None."""
    count, channels, height, width = y.shape
    symbols = torch.empty(count, height * width * channels, dtype=torch.int16, device=y.device)
    counts = torch.empty(count, dtype=torch.int64, device=y.device)
    tables = torch.empty_like(symbols) if indexes is not None else None
    launch(
        rap_quantize_kernel,
        plan("quantize", y.shape, y),
        gain.shape[0],
        y,
        levels,
        gain,
        quality,
        symbols if indexes is None else indexes,
        symbols,
        symbols if tables is None else tables,
        counts,
        INDEXED=indexes is not None,
        TAIL=tail,
        SCAN=SCAN,
    )
    return symbols, counts, tables
