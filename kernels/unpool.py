"""Triton: symbols in coding order -> dequantised features, each written over its cells, in one pass."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._grid import channels_last
from ._region import (
    REGION,
    SCAN,
    UNSPECIALIZED,
    exists,
    in_coding_order,
    launch,
    load_cell,
    load_table,
    place,
    plan,
    program,
    regions_of,
    starts,
    store_cell,
    sum_of_four,
)
from .tables import add_by_level, add_up, empty_sums, store_sums


@triton.jit
def load_symbol(symbols, t, start, room, i: tl.constexpr, PARTIAL: tl.constexpr):
    """Symbol that stands for cell i of every region, int16; 0 where the row holds fewer symbols.

    symbols: pointer to the image's row; start: slot of the region's first symbols; room: slots in a row.
    """
    wide = tl.minimum(t.width - t.left, REGION)
    raster = i // 4 * wide + i % 4
    coarse = (i // 4 // 2) * ((wide + 1) // 2) + i % 4 // 2
    slot = start + tl.where(t.level == 0, raster, tl.where(t.level == 1, coarse, 0))
    ok = exists(t, i, PARTIAL) & (slot < room)[:, None]
    row = symbols + t.image * room * t.channels
    return tl.load(row + in_coding_order(t, slot), ok, other=0)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def rap_unpool_kernel(
    symbols,
    levels,
    step,
    quality,
    out,
    room,
    parts,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    SCAN: tl.constexpr,
):
    """See ``rap_unpool``; room: cells that a row of symbols has room for."""
    image, part, block = program(parts, channels, BLOCK)
    t = place(levels, quality, image, part, block, qualities, height, width, channels, ROWS, BLOCK)
    start, _ = starts(levels, t, part, ROWS, SCAN)
    s = load_table(step, t)
    # Many loads before the first store: none is moved before a store that may be to the same place. Few channels are
    # narrow accesses, of which 16 would spill registers.
    GROUP: tl.constexpr = 16 if BLOCK >= 64 else 4
    for group in tl.static_range(16 // GROUP):
        found = ()
        for i in tl.static_range(GROUP):
            found += (load_symbol(symbols, t, start, room, group * GROUP + i, PARTIAL),)
        for i in tl.static_range(GROUP):
            store_cell(out, t, group * GROUP + i, found[i].to(tl.float32) * s, PARTIAL)


@triton.jit
def product_row(grad, symbols, t, start, room, y: tl.constexpr, PARTIAL: tl.constexpr):
    """Sum of gradient * symbol over the four cells of row y."""
    out = ()
    for x in tl.static_range(4):
        symbol = load_symbol(symbols, t, start, room, y * 4 + x, PARTIAL)
        out += (load_cell(grad, t, y * 4 + x, PARTIAL) * symbol.to(tl.float32),)
    return sum_of_four(out)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def rap_unpool_backward_kernel(
    grad,
    symbols,
    levels,
    quality,
    sums,
    room,
    parts,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    SCAN: tl.constexpr,
):
    """See ``rap_unpool_backward``; sums: see tables.py."""
    image, part, block = program(parts, channels, BLOCK)
    zero = tl.zeros([ROWS, BLOCK], tl.float32)
    step0, step1, step2 = zero, zero, zero
    for tile in tl.range(part, tl.cdiv(regions_of(height, width), ROWS), parts, num_stages=1, disable_licm=True):
        t = place(levels, quality, image, tile, block, qualities, height, width, channels, ROWS, BLOCK)
        start, _ = starts(levels, t, tile, ROWS, SCAN)
        total = ()
        for y in tl.static_range(4):
            total += (product_row(grad, symbols, t, start, room, y, PARTIAL),)
        step0, step1, step2 = add_by_level((step0, step1, step2), t.level, sum_of_four(total))
    column = block * BLOCK + tl.arange(0, BLOCK)
    store_sums(sums, (step0, step1, step2), image * parts + part, column, channels, 0, 1)


def rap_unpool(
    symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor, height: int, width: int, dtype: torch.dtype
) -> Tensor:
    """See ``ops.rap_unpool``; all contiguous."""
    shape = torch.Size((levels.shape[0], step.shape[2], height, width))
    out = channels_last(shape, dtype, symbols.device)
    arguments = symbols, levels, step, quality, out, symbols.shape[1] // step.shape[2]
    launch(rap_unpool_kernel, plan("unpool", shape, out), step.shape[0], *arguments, SCAN=SCAN)
    return out


def rap_unpool_backward(grad: Tensor, symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor) -> Tensor:
    """Gradient of ``rap_unpool`` at step: float32 [Q, 3, C]; grad channels-last."""
    work = plan("unpool_backward", grad.shape, grad, summing=True)
    sums = empty_sums(work, 1, grad.device)
    arguments = grad, symbols, levels, quality, sums, symbols.shape[1] // grad.shape[1]
    launch(rap_unpool_backward_kernel, work, step.shape[0], *arguments, SCAN=SCAN)
    (found,) = add_up(sums, work.parts, quality, [step])
    return found
