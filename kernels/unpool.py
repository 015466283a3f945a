"""Triton: symbols in coding order -> dequantised features, each written over its cells, in one pass."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._grid import channels_last
from ._region import REGION, exists, in_coding_order, launch, line, load_cell, place, store_cell, sum_of_four
from .offsets import rap_offsets


@triton.jit
def load_symbol(symbols, t, start, room, i: tl.constexpr, PARTIAL: tl.constexpr):
    """Symbol that stands for cell i of every region, float32; 0 where the row holds fewer symbols.

    start: slot of the region's first symbols; room: slots in a row.
    """
    wide = tl.minimum(t.width - t.left, REGION)
    raster = i // 4 * wide + i % 4
    coarse = (i // 4 // 2) * ((wide + 1) // 2) + i % 4 // 2
    slot = start + tl.where(t.level == 0, raster, tl.where(t.level == 1, coarse, 0))
    ok = exists(t, i, PARTIAL) & (slot < room)[:, None]
    return tl.load(symbols + in_coding_order(t, room, slot), ok, other=0).to(tl.float32)


@triton.jit
def rap_unpool_kernel(
    symbols,
    levels,
    starts,
    step,
    quality,
    out,
    room,
    regions,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """See ``rap_unpool``; room: cells that a row of symbols has room for."""
    t = place(levels, quality, regions, qualities, height, width, channels, ROWS, BLOCK)
    start = tl.load(starts + t.row.to(tl.int64))
    s = tl.load(step + t.table, t.mask, other=0.0)
    for i in tl.static_range(16):
        store_cell(out, t, i, load_symbol(symbols, t, start, room, i, PARTIAL) * s, PARTIAL)


@triton.jit
def product_row(grad, symbols, t, start, room, y: tl.constexpr, PARTIAL: tl.constexpr):
    """Sum of gradient * symbol over the four cells of row y."""
    out = ()
    for x in tl.static_range(4):
        symbol = load_symbol(symbols, t, start, room, y * 4 + x, PARTIAL)
        out += (load_cell(grad, t, y * 4 + x, PARTIAL) * symbol,)
    return sum_of_four(out)


@triton.jit
def rap_unpool_backward_kernel(
    grad,
    symbols,
    levels,
    starts,
    quality,
    to_step,
    room,
    regions,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
):
    """See ``rap_unpool_backward``."""
    t = place(levels, quality, regions, qualities, height, width, channels, ROWS, BLOCK)
    start = tl.load(starts + t.row.to(tl.int64))
    total = ()
    for y in tl.static_range(4):
        total += (product_row(grad, symbols, t, start, room, y, PARTIAL),)
    tl.store(to_step + line(t), sum_of_four(total), t.mask)


def rap_unpool(
    symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor, height: int, width: int, dtype: torch.dtype
) -> Tensor:
    """See ``ops.rap_unpool``; all contiguous."""
    shape = torch.Size((levels.shape[0], step.shape[2], height, width))
    starts, _ = rap_offsets(levels, height, width)
    out = channels_last(shape, dtype, symbols.device)
    room = symbols.shape[1] // step.shape[2]
    launch(rap_unpool_kernel, "unpool", shape, out, step.shape[0], symbols, levels, starts, step, quality, out, room)
    return out


def rap_unpool_backward(grad: Tensor, symbols: Tensor, levels: Tensor, quality: Tensor, qualities: int) -> Tensor:
    """What each region gives to its step: float32 [N * hr * wr, C]; grad channels-last."""
    _, channels, height, width = grad.shape
    starts, _ = rap_offsets(levels, height, width)
    to_step = torch.empty(levels.numel(), channels, device=grad.device)
    room = symbols.shape[1] // channels
    arguments = grad, symbols, levels, starts, quality, to_step, room
    launch(rap_unpool_backward_kernel, "unpool_backward", grad.shape, grad, qualities, *arguments)
    return to_step
