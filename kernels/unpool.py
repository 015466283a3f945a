"""Triton: symbols in coding order -> dequantised features, each written over the cells that it stands for, in one pass."""

import torch

from . import configs
from ._compat import interpreted, store_float, tl, triton
from ._region import cell_mask, load_row, place_tile
from .dense import channels_last
from .offsets import rap_offsets


@triton.jit
def load_symbol(
    symbols,
    base,
    level,
    wide,
    start,
    kept,
    channels,
    channel,
    mask,
    top,
    left,
    height,
    width,
    DY: tl.constexpr,
    DX: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """Symbol that stands for the cell (DY, DX) of every region, float32; 0 where the row holds fewer symbols."""
    half = (wide + 1) // 2
    place = start + tl.where(level == 0, DY * wide + DX, tl.where(level == 1, (DY // 2) * half + DX // 2, 0))
    at = base + place.to(tl.int64)[:, None] * channels + channel[None, :]
    ok = cell_mask(mask, top, left, height, width, DY, DX, PARTIAL) & (place < kept)[:, None]
    return tl.load(symbols + at, ok, other=0).to(tl.float32)


@triton.jit
def unpool_row(
    out,
    symbols,
    base,
    level,
    wide,
    start,
    kept,
    step,
    channels,
    channel,
    offset,
    mask,
    top,
    left,
    height,
    width,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Write the four cells of row DY."""
    at = out + offset + DY * width * channels
    element: tl.constexpr = out.dtype.element_ty
    a = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 0, PARTIAL
    )
    b = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 1, PARTIAL
    )
    c = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 2, PARTIAL
    )
    d = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 3, PARTIAL
    )
    tl.store(at, store_float(a * step, element, INTERPRETED), cell_mask(mask, top, left, height, width, DY, 0, PARTIAL))
    tl.store(
        at + channels,
        store_float(b * step, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 1, PARTIAL),
    )
    tl.store(
        at + 2 * channels,
        store_float(c * step, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 2, PARTIAL),
    )
    tl.store(
        at + 3 * channels,
        store_float(d * step, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 3, PARTIAL),
    )


@triton.jit
def rap_unpool_kernel(
    symbols,
    levels,
    starts,
    step,
    quality,
    out,
    regions,
    qualities,
    height,
    width,
    rows,
    columns,
    channels,
    kept,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """See ``rap_unpool``; kept: cells that a row of symbols has room for."""
    region, image, top, left, level, channel, offset, mask, table = place_tile(
        levels, quality, qualities, regions, height, width, rows, columns, channels, ROWS, BLOCK
    )
    start = tl.load(starts + image.to(tl.int64) * (rows * columns) + region)
    wide = tl.minimum(width - left, 4)
    s = tl.load(step + table, mask, other=0.0)
    base = (image.to(tl.int64) * kept)[:, None] * channels
    unpool_row(
        out,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        s,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        0,
        PARTIAL,
        INTERPRETED,
    )
    unpool_row(
        out,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        s,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        1,
        PARTIAL,
        INTERPRETED,
    )
    unpool_row(
        out,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        s,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        2,
        PARTIAL,
        INTERPRETED,
    )
    unpool_row(
        out,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        s,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        3,
        PARTIAL,
        INTERPRETED,
    )


@triton.jit
def step_row(
    grad,
    symbols,
    base,
    level,
    wide,
    start,
    kept,
    channels,
    channel,
    offset,
    mask,
    top,
    left,
    height,
    width,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """Sum of gradient * symbol over the four cells of row DY."""
    f0, f1, f2, f3 = load_row(grad, offset, mask, top, left, height, width, channels, DY, PARTIAL)
    a = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 0, PARTIAL
    )
    b = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 1, PARTIAL
    )
    c = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 2, PARTIAL
    )
    d = load_symbol(
        symbols, base, level, wide, start, kept, channels, channel, mask, top, left, height, width, DY, 3, PARTIAL
    )
    return (f0 * a + f1 * b) + (f2 * c + f3 * d)


@triton.jit
def rap_unpool_backward_kernel(
    grad,
    symbols,
    levels,
    starts,
    quality,
    to_step,
    regions,
    qualities,
    height,
    width,
    rows,
    columns,
    channels,
    kept,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """See ``rap_unpool_backward``."""
    region, image, top, left, level, channel, offset, mask, table = place_tile(
        levels, quality, qualities, regions, height, width, rows, columns, channels, ROWS, BLOCK
    )
    start = tl.load(starts + image.to(tl.int64) * (rows * columns) + region)
    wide = tl.minimum(width - left, 4)
    base = (image.to(tl.int64) * kept)[:, None] * channels
    upper = step_row(
        grad,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        0,
        PARTIAL,
    )
    upper += step_row(
        grad,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        1,
        PARTIAL,
    )
    lower = step_row(
        grad,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        2,
        PARTIAL,
    )
    lower += step_row(
        grad,
        symbols,
        base,
        level,
        wide,
        start,
        kept,
        channels,
        channel,
        offset,
        mask,
        top,
        left,
        height,
        width,
        3,
        PARTIAL,
    )
    line = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    tl.store(to_step + line[:, None] * channels + channel[None, :], upper + lower, mask)


def rap_unpool(symbols, levels, step, quality, height, width, dtype):
    """See ``ops.rap_unpool``; all contiguous."""
    count, rows, columns = levels.shape
    channels, regions = step.shape[2], count * rows * columns
    starts, _ = rap_offsets(levels, height, width)
    out = channels_last((count, channels, height, width), dtype, symbols.device)
    if count:
        launch = configs.launch("unpool", symbols.device, dtype.itemsize)
        tile_rows, block = configs.tile(launch.elements, channels, regions)
        rap_unpool_kernel[(triton.cdiv(regions, tile_rows), triton.cdiv(channels, block))](
            symbols,
            levels,
            starts,
            step,
            quality,
            out,
            regions,
            step.shape[0],
            height,
            width,
            rows,
            columns,
            channels,
            symbols.shape[1] // channels,
            ROWS=tile_rows,
            BLOCK=block,
            PARTIAL=bool(height % 4 or width % 4),
            INTERPRETED=interpreted(),
            num_warps=launch.warps,
            enable_fp_fusion=False,
        )
    return out


def rap_unpool_backward(grad, symbols, levels, quality, qualities):
    """What each region gives to its step: float32 [N * hr * wr, C]; grad channels-last."""
    count, channels, height, width = grad.shape
    rows, columns = levels.shape[1:]
    regions = count * rows * columns
    starts, _ = rap_offsets(levels, height, width)
    to_step = torch.empty(regions, channels, device=grad.device)
    if count:
        launch = configs.launch("unpool_backward", grad.device, grad.element_size())
        tile_rows, block = configs.tile(launch.elements, channels, regions)
        rap_unpool_backward_kernel[(triton.cdiv(regions, tile_rows), triton.cdiv(channels, block))](
            grad,
            symbols,
            levels,
            starts,
            quality,
            to_step,
            regions,
            qualities,
            height,
            width,
            rows,
            columns,
            channels,
            symbols.shape[1] // channels,
            ROWS=tile_rows,
            BLOCK=block,
            PARTIAL=bool(height % 4 or width % 4),
            num_warps=launch.warps,
            enable_fp_fusion=False,
        )
    return to_step
