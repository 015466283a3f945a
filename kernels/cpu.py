"""CPU tensors: results are allocated here, the work is csrc/rap/cpu.cpp's, compiled as ``_rap``.

Features and gradients are read in whatever layout they have. Work is shared by at most ``torch.get_num_threads()``
threads, which are gone when a call returns; small inputs start none.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from . import _rap
from ._grid import channels_last, expect_features, expect_gradients, expect_grid

Six: TypeAlias = tuple[int, int, int, int, int, int]  # as ``_rap`` takes features
Seven: TypeAlias = tuple[int, int, int, int, int, int, int]  # and grids
TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
PORTABLE = False  # True leaves AVX2 alone; the results are the same


def zeros(shape: Sequence[int]) -> Tensor:
    """Float32 zeros. A process forked from one that used OpenMP has none of its threads, and torch.zeros would wait for
    them."""
    out = torch.empty(shape)
    out.numpy().fill(0)
    return out


def view(x: Tensor) -> Six:
    """(address, type, strides) of features of any layout."""
    image, channel, row, column = x.stride()
    return x.data_ptr(), TYPES[x.dtype], image, channel, row, column


def optional_view(x: Tensor | None) -> Six | None:
    return None if x is None else view(x)


def address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def run() -> tuple[int, bool]:
    return torch.get_num_threads(), PORTABLE


def grid(shape: Sequence[int], levels: Tensor, quality: Tensor | None = None, table: Tensor | None = None) -> Seven:
    """(N, C, h, w, levels, quality, rows of the table) for ``_rap``, which checks what levels and quality hold.

    levels and quality are contiguous, and to be kept until the call is over.
    """
    count, channels, height, width = shape
    rows = -1 if table is None else table.shape[0]
    return count, channels, height, width, levels.data_ptr(), address(quality), rows


def rap_offsets(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """See ``ops.rap_offsets``."""
    levels = levels.contiguous()
    count = levels.shape[0]
    expect_grid((count, 1, height, width), levels)
    starts = torch.empty(count, levels.shape[1:].numel(), dtype=torch.int32)
    counts = torch.empty(count, dtype=torch.int64)
    _rap.offsets(grid((count, 1, height, width), levels), starts.data_ptr(), counts.data_ptr())
    return starts, counts


def rap_quantize(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    quality: Tensor,
    indexes: Tensor | None = None,
    tail: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """See ``ops.rap_quantize``; the third result is empty without indexes. Zeros are written whatever ``tail`` is."""
    expect_features(y.shape, y=y)
    expect_grid(y.shape, levels, quality, (gain,), indexes=indexes, device=y.device)
    levels, gain, quality = levels.contiguous(), gain.contiguous(), quality.contiguous()
    count, channels, height, width = y.shape
    symbols = torch.empty(count, height * width * channels, dtype=torch.int16)
    counts = torch.empty(count, dtype=torch.int64)
    tables = None
    if indexes is not None:
        indexes, tables = indexes.contiguous(), torch.empty_like(symbols)
    _rap.quantize(
        grid(y.shape, levels, quality, gain),
        view(y),
        gain.data_ptr(),
        address(indexes),
        symbols.data_ptr(),
        address(tables),
        counts.data_ptr(),
        run(),
    )
    return symbols, counts, symbols.new_empty(0) if tables is None else tables


def rap_unpool(
    symbols: Tensor,
    levels: Tensor,
    step: Tensor,
    quality: Tensor,
    height: int,
    width: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """See ``ops.rap_unpool``."""
    shape = levels.shape[0], step.shape[2], height, width
    expect_grid(shape, levels, quality, (step,), symbols=symbols)
    symbols, levels, step, quality = symbols.contiguous(), levels.contiguous(), step.contiguous(), quality.contiguous()
    out = channels_last(shape, dtype)
    _rap.unpool(
        grid(shape, levels, quality, step),
        symbols.data_ptr(),
        symbols.shape[1] // shape[1],
        step.data_ptr(),
        TYPES[dtype],
        out.data_ptr(),
        run(),
    )
    return out


def rap_unpool_backward(grad: Tensor, symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor) -> Tensor:
    """Gradient of ``rap_unpool`` at step: float32 [Q, 3, C]; regions are added in their order."""
    expect_features(grad.shape, grad=grad)
    expect_grid(grad.shape, levels, quality, (step,), symbols=symbols, device=grad.device)
    symbols, levels, quality = symbols.contiguous(), levels.contiguous(), quality.contiguous()
    to_step = zeros(step.shape)
    _rap.unpool_backward(
        grid(grad.shape, levels, quality, step),
        view(grad),
        symbols.data_ptr(),
        symbols.shape[1] // grad.shape[1],
        to_step.data_ptr(),
        run(),
    )
    return to_step


def rap_dense(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None = None,
    seed: Tensor | None = None,
    mixed: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """See ``ops.rap_quantize_dense``."""
    expect_features(y.shape, y=y, noise=noise)
    expect_grid(y.shape, levels, quality, (gain, step), seed, device=y.device)
    levels, gain, step, quality = levels.contiguous(), gain.contiguous(), step.contiguous(), quality.contiguous()
    dequantized, symbols = channels_last(y.shape, dtype), channels_last(y.shape, dtype)
    _rap.dense(
        grid(y.shape, levels, quality, gain),
        view(y),
        optional_view(noise),
        address(seed),
        mixed,
        gain.data_ptr(),
        step.data_ptr(),
        TYPES[dtype],
        dequantized.data_ptr(),
        symbols.data_ptr(),
        run(),
    )
    return dequantized, symbols


def rap_dense_backward(
    grad_features: Tensor | None,
    grad_symbols: Tensor | None,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    to_y: bool = True,
    to_gain: bool = True,
    to_step: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``rap_dense`` at y, gain and step; empty where they are not asked for. Regions are added in their
    order."""
    expect_gradients(grad_features, grad_symbols)
    expect_features(y.shape, y=y, noise=noise, grad_features=grad_features, grad_symbols=grad_symbols)
    expect_grid(y.shape, levels, quality, (gain, step), seed, device=y.device)
    levels, gain, step, quality = levels.contiguous(), gain.contiguous(), step.contiguous(), quality.contiguous()
    grad_y = channels_last(y.shape, y.dtype) if to_y else y.new_empty(0)
    grad_gain = zeros(gain.shape) if to_gain else gain.new_empty(0)
    grad_step = zeros(step.shape) if to_step else step.new_empty(0)
    _rap.dense_backward(
        grid(y.shape, levels, quality, gain),
        optional_view(grad_features),
        optional_view(grad_symbols),
        view(y),
        optional_view(noise),
        address(seed),
        gain.data_ptr(),
        step.data_ptr(),
        grad_y.data_ptr() if to_y else 0,
        grad_gain.data_ptr() if to_gain else 0,
        grad_step.data_ptr() if to_step else 0,
        run(),
    )
    return grad_y, grad_gain, grad_step
