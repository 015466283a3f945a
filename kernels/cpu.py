"""CPU tensors: results are allocated here, the work is csrc/rap/cpu.cpp's, compiled as ``_rap``.

Features and gradients are read in whatever layout they have. Work is shared by at most ``torch.get_num_threads()``
threads, which are gone when a call returns; small inputs start none. The operations can be called past ops.py, as
torch.ops.lfic.*: what would read outside a tensor is refused here once more.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from . import _rap
from ._grid import LEVELS, channels_last, regions

Six: TypeAlias = tuple[int, int, int, int, int, int]  # as ``_rap`` takes features
Seven: TypeAlias = tuple[int, int, int, int, int, int, int]  # and grids
TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
PORTABLE = False  # True leaves AVX2 alone; the results are the same


def expect(name: str, tensor: Tensor, dtype: torch.dtype, shape: Sequence[int]) -> None:
    """ValueError unless a tensor has this dtype and shape."""
    if tensor.dtype is not dtype or tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; needed is {dtype} {tuple(shape)}")


def zeros(shape: Sequence[int]) -> Tensor:
    """Float32 zeros. A process forked from one that used OpenMP has none of its threads, and torch.zeros would wait for
    them."""
    out = torch.empty(shape)
    out.numpy().fill(0)
    return out


def view(name: str, x: Tensor, shape: torch.Size) -> Six:
    """(address, type, strides) of features of any layout."""
    if x.dtype not in TYPES or x.shape != shape:
        raise ValueError(f"{name} is {x.dtype} {tuple(x.shape)}; needed is float32, float16 or bfloat16 {tuple(shape)}")
    image, channel, row, column = x.stride()
    return x.data_ptr(), TYPES[x.dtype], image, channel, row, column


def optional_view(name: str, x: Tensor | None, shape: torch.Size) -> Six | None:
    return None if x is None else view(name, x, shape)


def address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def run() -> tuple[int, bool]:
    return torch.get_num_threads(), PORTABLE


def grid(shape: Sequence[int], levels: Tensor, quality: Tensor | None = None, *tables: Tensor) -> Seven:
    """(N, C, h, w, levels, quality, rows of the tables) for ``_rap``, which checks what levels and quality hold; both
    contiguous, and to be kept until the call is over."""
    count, channels, height, width = shape
    expect("levels", levels, torch.uint8, (count, *regions(height, width)))
    rows = -1
    if quality is not None:
        expect("quality", quality, torch.int64, (count,))
        for table in tables:
            expect("a table", table, torch.float32, (table.shape[0], LEVELS, channels))
        rows = min(table.shape[0] for table in tables)
    return count, channels, height, width, levels.data_ptr(), address(quality), rows


def rap_offsets(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """See ``ops.rap_offsets``."""
    levels = levels.contiguous()
    count = levels.shape[0]
    starts = torch.empty(count, levels.shape[1:].numel(), dtype=torch.int32)
    counts = torch.empty(count, dtype=torch.int64)
    _rap.offsets(grid((count, 1, height, width), levels), starts.data_ptr(), counts.data_ptr())
    return starts, counts


def rap_quantize(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor, indexes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """See ``ops.rap_quantize``; the third result is empty without indexes."""
    levels, gain, quality = levels.contiguous(), gain.contiguous(), quality.contiguous()
    count, channels, height, width = y.shape
    symbols = torch.empty(count, height * width * channels, dtype=torch.int16)
    counts = torch.empty(count, dtype=torch.int64)
    tables = None
    if indexes is not None:
        expect("indexes", indexes, torch.int16, gain.shape)
        indexes, tables = indexes.contiguous(), torch.empty_like(symbols)
    _rap.quantize(
        grid(y.shape, levels, quality, gain),
        view("y", y, y.shape),
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
    symbols, levels, step, quality = symbols.contiguous(), levels.contiguous(), step.contiguous(), quality.contiguous()
    shape = levels.shape[0], step.shape[2], height, width
    room = symbols.shape[1] // shape[1]
    expect("symbols", symbols, torch.int16, (shape[0], room * shape[1]))
    out = channels_last(shape, dtype)
    _rap.unpool(
        grid(shape, levels, quality, step),
        symbols.data_ptr(),
        room,
        step.data_ptr(),
        TYPES[dtype],
        out.data_ptr(),
        run(),
    )
    return out


def rap_unpool_backward(grad: Tensor, symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor) -> Tensor:
    """Gradient of ``rap_unpool`` at step: float32 [Q, 3, C]; regions are added in their order."""
    symbols, levels, quality = symbols.contiguous(), levels.contiguous(), quality.contiguous()
    count, channels = grad.shape[:2]
    room = symbols.shape[1] // channels
    expect("symbols", symbols, torch.int16, (count, room * channels))
    to_step = zeros(step.shape)
    _rap.unpool_backward(
        grid(grad.shape, levels, quality, step),
        view("grad", grad, grad.shape),
        symbols.data_ptr(),
        room,
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
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """See ``ops.rap_quantize_dense``."""
    levels, gain, step, quality = levels.contiguous(), gain.contiguous(), step.contiguous(), quality.contiguous()
    if seed is not None:
        expect("seed", seed, torch.int64, (1,))
    dequantized, symbols = channels_last(y.shape, dtype), channels_last(y.shape, dtype)
    _rap.dense(
        grid(y.shape, levels, quality, gain, step),
        view("y", y, y.shape),
        optional_view("noise", noise, y.shape),
        address(seed),
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
    tables: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``rap_dense`` at y, gain and step; the latter empty without ``tables``. Regions are added in their
    order."""
    levels, gain, step, quality = levels.contiguous(), gain.contiguous(), step.contiguous(), quality.contiguous()
    if grad_features is None and grad_symbols is None:
        raise ValueError("grad_features and grad_symbols are both None; at least one of them is needed")
    if seed is not None:
        expect("seed", seed, torch.int64, (1,))
    grad_y = channels_last(y.shape, y.dtype)
    to_gain, to_step = (zeros(table.shape) if tables else gain.new_empty(0) for table in (gain, step))
    _rap.dense_backward(
        grid(y.shape, levels, quality, gain, step),
        optional_view("grad_features", grad_features, y.shape),
        optional_view("grad_symbols", grad_symbols, y.shape),
        view("y", y, y.shape),
        optional_view("noise", noise, y.shape),
        address(seed),
        gain.data_ptr(),
        step.data_ptr(),
        grad_y.data_ptr(),
        to_gain.data_ptr() if tables else 0,
        to_step.data_ptr() if tables else 0,
        run(),
    )
    return grad_y, to_gain, to_step
