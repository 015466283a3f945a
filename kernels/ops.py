"""The operations as users call them: arguments are checked here, the work is done per device."""
import torch

from . import cpu

REGION = 4
LEVELS = 3


def _check(y_shape, levels, table, quality, name):
    count, channels, height, width = y_shape
    expected = (count, -(-height // REGION), -(-width // REGION))
    if tuple(levels.shape) != expected or levels.dtype != torch.uint8:
        raise ValueError(f"levels is {levels.dtype} {tuple(levels.shape)}; needed is torch.uint8 {expected}")
    if table.ndim != 3 or table.shape[1] != LEVELS or table.shape[2] != channels or table.dtype != torch.float32:
        raise ValueError(f"{name} is {table.dtype} {tuple(table.shape)}; needed is torch.float32 [Q, {LEVELS}, {channels}]")
    if tuple(quality.shape) != (count,) or quality.dtype != torch.int64:
        raise ValueError(f"quality is {quality.dtype} {tuple(quality.shape)}; needed is torch.int64 ({count},), rows of {name}")
    if quality.device.type == "cpu" and count and not (0 <= int(quality.min()) and int(quality.max()) < table.shape[0]):
        raise ValueError(f"quality runs from {int(quality.min())} to {int(quality.max())}; {name} has rows 0 to {table.shape[0] - 1}")
    if levels.device.type == "cpu" and levels.numel() and int(levels.max()) >= LEVELS:
        raise ValueError(f"levels holds {int(levels.max())}; allowed are 0 to {LEVELS - 1}")


def _check_features(y):
    if y.ndim != 4 or not y.is_floating_point():
        raise ValueError(f"y is {y.dtype} {tuple(y.shape)}; needed is floating point [N, C, h, w]")


def rap_quantize(y, levels, gain, quality):
    """Pool by region level, scale, round half to even: features -> symbols in coding order.

    Args:
        y: float [N, C, h, w].
        levels: uint8 [N, ceil(h/4), ceil(w/4)], each 0, 1 or 2: a region keeps one coefficient per 1, 2x2, 4x4 cells.
        gain: float32 [Q, 3, C].
        quality: int64 [N], row of gain for each image.

    Returns:
        (symbols int16 [N, h*w*C], counts int64 [N]): the first counts[n] of row n are its symbols in coding order
        (regions in raster order, kept cells in raster order, channels); the rest is 0.
    """
    _check_features(y)
    _check(y.shape, levels, gain, quality, "gain")
    return cpu.rap_quantize(y, levels, gain, quality)


def rap_unpool(symbols, levels, step, quality, height, width):
    """Symbols in coding order -> dequantised features, written over the cells that each stands for.

    Args:
        symbols: int16 [N, K] with K a multiple of C, K >= the largest count.
        levels, quality: as for ``rap_quantize``; step: float32 [Q, 3, C].

    Returns:
        float32 [N, C, height, width].
    """
    _check((levels.shape[0], step.shape[2], height, width), levels, step, quality, "step")
    channels = step.shape[2]
    if symbols.dtype != torch.int16 or symbols.ndim != 2 or symbols.shape[0] != levels.shape[0] or symbols.shape[1] % channels:
        raise ValueError(
            f"symbols is {symbols.dtype} {tuple(symbols.shape)}; needed is torch.int16 [{levels.shape[0]}, K] with K a multiple of {channels}"
        )
    return cpu.rap_unpool(symbols, levels, step, quality, height, width)


def rap_quantize_dense(y, levels, gain, step, quality, noise=None):
    """The training form: features -> (dequantised, unpooled features; symbols at every cell), differentiable.

    noise None: rounded, with a straight-through gradient; else float [N, C, h, w] that is added instead.
    Both results are float32 [N, C, h, w].
    """
    _check_features(y)
    _check(y.shape, levels, gain, quality, "gain")
    _check(y.shape, levels, step, quality, "step")
    if noise is not None and noise.shape != y.shape:
        raise ValueError(f"noise has shape {tuple(noise.shape)}; needed is that of y, {tuple(y.shape)}")
    return cpu.rap_quantize_dense(y, levels, gain, step, quality, noise)
