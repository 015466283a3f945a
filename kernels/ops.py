"""The operations as users call them: arguments are checked here, the work is done per device.

Registered with torch.library (namespace ``lfic``): torch.compile and torch.export see each as one node, autograd and
vmap work through them. CPU tensors run a C++ kernel, CUDA tensors the Triton kernels. Values out of range (a level
above 2, a quality without a row) are refused on the CPU; on CUDA looking into tensors would need a synchronisation, so
there they are clamped. A Python or numpy integer is checked on every device.
"""

import numbers
from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from . import registration
from ._grid import FLOATS, LEVELS, regions


@overload
def rap_quantize(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor | int, indexes: None = None, tail: bool = True
) -> tuple[Tensor, Tensor]: ...


@overload
def rap_quantize(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor | int, indexes: Tensor, tail: bool = True
) -> tuple[Tensor, Tensor, Tensor]: ...


def rap_quantize(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    quality: Tensor | int,
    indexes: Tensor | None = None,
    tail: bool = True,
) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
    """Pool by region level, scale, round half to even: features -> symbols in coding order.

    Args:
        y: float [N, C, h, w] (fp32, fp16 or bf16); channels-last memory is read as it is, on CUDA other layouts are
            copied first.
        levels: uint8 [N, ceil(h/4), ceil(w/4)], each 0, 1 or 2: a region keeps one coefficient per 1, 2x2, 4x4 cells.
        gain: float32 [Q, 3, C].
        quality: int64 [N], row of gain for each image; a Python or numpy integer is the row of all of them.
        indexes: int16 [Q, 3, C] or None: entropy-table index of every symbol of that row, level and channel.
        tail: False leaves what lies behind a row's symbols undefined: it need not be written then.

    Returns:
        (symbols int16 [N, h*w*C], counts int64 [N]): the first counts[n] of row n are its symbols in coding order
        (regions in raster order, kept cells in raster order, channels); the rest is 0 (see tail). With ``indexes`` a
        third tensor int16 [N, h*w*C] holds each symbol's table index. Not-a-number becomes 0, values are clamped to
        +-32767.
    """
    _check_features(y)
    _check_table(gain, "gain")
    quality = _rows(quality, gain, "gain", y.shape[0], y.device)
    _check(y.shape, levels, gain, quality, "gain", y.device)
    if indexes is None:
        symbols, counts, _ = registration.quantize(y, levels, gain, quality, None, tail)
        return symbols, counts
    if indexes.shape != gain.shape or indexes.dtype != torch.int16 or indexes.device != y.device:
        raise ValueError(
            f"indexes is {_describe(indexes)}; needed is torch.int16 {tuple(gain.shape)} on {y.device}, as gain"
        )
    return registration.quantize(y, levels, gain, quality, indexes, tail)


def rap_unpool(
    symbols: Tensor,
    levels: Tensor,
    step: Tensor,
    quality: Tensor | int,
    height: int,
    width: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Symbols in coding order -> dequantised features, written over the cells that each stands for.

    Args:
        symbols: int16 [N, K] with K a multiple of C; symbols that a row is too short to hold count as 0.
        levels, quality: as for ``rap_quantize``; step: float32 [Q, 3, C], differentiable.
        dtype: of the result, float32, float16 or bfloat16.

    Returns:
        float [N, C, height, width], channels-last.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width are {height} and {width}; both must be at least 1")
    _check_table(step, "step")
    quality = _rows(quality, step, "step", levels.shape[0], levels.device)
    _check((levels.shape[0], step.shape[2], height, width), levels, step, quality, "step", levels.device)
    channels = step.shape[2]
    if (
        symbols.dtype != torch.int16
        or symbols.ndim != 2
        or symbols.shape[0] != levels.shape[0]
        or symbols.shape[1] % channels
        or symbols.device != levels.device
    ):
        raise ValueError(
            f"symbols is {_describe(symbols)}; needed is torch.int16 [{levels.shape[0]}, K] on {levels.device} with "
            f"K a multiple of {channels}"
        )
    if symbols.shape[1] == 0:
        raise ValueError(f"symbols has no columns; every grid keeps at least one cell of {channels} channels")
    _check_dtype(dtype)
    return registration.unpool(symbols, levels, step, quality, height, width, dtype)


def rap_quantize_dense(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor | int,
    noise: Tensor | None = None,
    seed: Tensor | int | None = None,
    dtype: torch.dtype = torch.float32,
    mixed: bool = False,
) -> tuple[Tensor, Tensor]:
    """The training form: features -> (dequantised, unpooled features; symbols at every cell), differentiable.

    Args:
        y, levels, gain, quality: as for ``rap_quantize``; step: float32 [Q, 3, C], of gain's shape.
        noise: float [N, C, h, w] that is added instead of rounding, or None.
        seed: int64 tensor of one element: uniform noise in [-1/2, 1/2) out of a counter-based generator (Philox), the
            same on every device; a tensor, so that a captured graph draws anew when it changes (a Python int is one
            that does not). Not with ``noise``.
        dtype: of both results. Not every symbol has a place in a short one: float16 holds all integers up to 2,048 in
            size, bfloat16 up to 256; beyond them symbols are rounded to what it holds, features are not affected.
        mixed: whether noise enters the symbols alone and features are those of rounded symbols (mixed quantization,
            Minnen and Singh 2020): what the decoder will see, and a rate that has a gradient, in one pass.

    Gradients reach y, gain and step; they pass straight through rounding and clamping. Not-a-number stays.
    """
    _check_features(y)
    _check_table(gain, "gain")
    _check_table(step, "step")
    quality = _rows(quality, gain, "gain", y.shape[0], y.device)
    _check(y.shape, levels, gain, quality, "gain", y.device)
    _check(y.shape, levels, step, quality, "step", y.device)
    if step.shape[0] != gain.shape[0]:
        raise ValueError(f"step has {step.shape[0]} rows, gain has {gain.shape[0]}; both need one for every quality")
    _check_dtype(dtype)
    if noise is not None and (noise.shape != y.shape or noise.device != y.device or noise.dtype not in FLOATS):
        raise ValueError(f"noise is {_describe(noise)}; needed is floating point {tuple(y.shape)} on {y.device}, as y")
    if mixed and noise is None and seed is None:
        raise ValueError("mixed asks for rounded features and noisy symbols, but neither noise nor seed is given")
    if seed is not None:
        if noise is not None:
            raise ValueError("noise and seed are both given; give one of them")
        if not isinstance(seed, Tensor):
            seed = _integer("seed", seed, "int64 tensor of one element")
            if not -(1 << 63) <= seed < 1 << 63:
                raise ValueError(f"seed is {seed}; allowed are {-(1 << 63)}...{(1 << 63) - 1}, what int64 holds")
            seed = torch.full((1,), seed, dtype=torch.int64, device=y.device)
        if seed.dtype != torch.int64 or seed.numel() != 1 or seed.device != y.device:
            raise ValueError(f"seed is {_describe(seed)}; needed is torch.int64 of one element on {y.device}")
        seed = seed.reshape(1)
    return registration.dense(y, levels, gain, step, quality, noise, seed, mixed, dtype)


def rap_offsets(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Region levels -> where each region's kept cells begin; no synchronisation, usable in a CUDA graph.

    levels uint8 [N, ceil(height/4), ceil(width/4)] -> (starts int32 [N, hr*wr], counts int64 [N]), in cells.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width are {height} and {width}; both must be at least 1")
    _check_levels(levels, levels.shape[0], height, width)
    return registration.offsets(levels, height, width)


def _integer(name: str, value: int, tensor: str) -> int:
    """A Python int of an integer argument in whose place a tensor could stand."""
    if isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):  # numpy's
        return int(value)
    raise ValueError(f"{name} is {value!r} ({type(value).__name__}); needed is an integer or an {tensor}")


def _rows(quality: Tensor | int, table: Tensor, name: str, count: int, device: torch.device) -> Tensor:
    """A row of a table [Q, 3, C] for each image. An integer is checked here: the host knows it."""
    if isinstance(quality, Tensor):
        return quality
    quality = _integer("quality", quality, "int64 tensor [N]")
    if not 0 <= quality < table.shape[0]:
        raise ValueError(f"quality is {quality}; allowed are 0...{table.shape[0] - 1}, the rows of {name}")
    return torch.full((count,), quality, dtype=torch.int64, device=device)


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"


def _check_features(y: Tensor) -> None:
    if y.ndim != 4 or y.dtype not in FLOATS or y.shape[1] < 1 or y.shape[2] < 1 or y.shape[3] < 1:
        raise ValueError(
            f"y is {_describe(y)}; needed is float32, float16 or bfloat16 [N, C, h, w] with C, h and w of at least 1"
        )


def _check_dtype(dtype: torch.dtype) -> None:
    if dtype not in FLOATS:
        raise ValueError(f"dtype is {dtype}; allowed are {FLOATS}")


def _check_levels(levels: Tensor, count: int, height: int, width: int) -> None:
    expected = (count, *regions(height, width))
    if tuple(levels.shape) != expected or levels.dtype != torch.uint8:
        raise ValueError(f"levels is {_describe(levels)}; needed is torch.uint8 {expected}")


def _check_table(table: Tensor, name: str) -> None:
    if (
        table.ndim != 3
        or table.shape[0] < 1
        or table.shape[1] != LEVELS
        or table.shape[2] < 1
        or table.dtype != torch.float32
    ):
        raise ValueError(f"{name} is {_describe(table)}; needed is torch.float32 [Q, {LEVELS}, C]")


def _check(
    y_shape: Sequence[int], levels: Tensor, table: Tensor, quality: Tensor, name: str, device: torch.device
) -> None:
    """Shapes, dtypes and devices of what belongs to a table that was checked; values that lie on the CPU are looked at
    in the implementation."""
    count, channels, height, width = y_shape
    _check_levels(levels, count, height, width)
    if table.shape[2] != channels:
        raise ValueError(f"{name} is {_describe(table)}; needed is torch.float32 [Q, {LEVELS}, {channels}]")
    if tuple(quality.shape) != (count,) or quality.dtype != torch.int64:
        raise ValueError(f"quality is {_describe(quality)}; needed is torch.int64 ({count},), rows of {name}")
    for other, tensor in (("levels", levels), (name, table), ("quality", quality)):
        if tensor.device != device:
            raise ValueError(f"{other} is on {tensor.device}, the features are on {device}; all must be on one device")
