"""Triton: the training form, features -> dequantized, unpooled features and symbols at every cell, in one pass.

Its backward has the same shape: the gradient at a pooled cell is the mean over its footprint. What flows to the gain
and step tables is summed per region in the same pass; adding up regions of one table row is left to torch, on a
sixteenth of the data, so that no kernel needs atomics.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._grid import channels_last
from ._region import (
    REGION,
    by_level,
    clamped,
    launch,
    line,
    load_cells,
    load_row,
    place,
    pools,
    second_row,
    store_cell,
    sum_of_four,
)

ROUND, NOISE, SEED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def noise_words(seed_pointer, block, like):
    """Four uint32 of Philox 4x32-10 for an int64 counter, the key at a pointer; see reference.uniform_noise.

    like: float32 tile that was loaded. Nothing of its value enters; adding a zero made of it ties the counter to
    the layout of the loads, otherwise every word would cross shared memory on its way to the store.
    """
    nothing = (like.to(tl.uint32, bitcast=True) >> 31) >> 1
    low = block.to(tl.uint32) + nothing
    return tl.philox(tl.load(seed_pointer), low, (block >> 32).to(tl.uint32) + nothing, low * 0, low * 0)


@triton.jit
def centered(word):
    """uint32 -> float32 in [-1/2, 1/2), exact: the upper 24 bits / 2**24 - 1/2."""
    return (word >> 8).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08 - 0.5


@triton.jit
def noise_row(noise, seed, t, like, y: tl.constexpr, PARTIAL: tl.constexpr, MODE: tl.constexpr):
    """Noise of the four cells of row y of every region, float32; like: any tile made of loaded cells."""
    if MODE == NOISE:
        return load_row(noise, t, y, PARTIAL)
    elif MODE == SEED:
        row = t.image.to(tl.int64) * t.height + t.top + y
        block = row * ((t.width + REGION - 1) // REGION) + t.left // REGION
        a, b, c, d = noise_words(seed, block[:, None] * t.channels + t.channel[None, :], like)
        return centered(a), centered(b), centered(c), centered(d)
    else:  # rounded: nothing reads them
        return like, like, like, like


@triton.jit
def quantized(mean, gain, noise, MODE: tl.constexpr):
    """Symbol of one cell, float32: rounded, or with noise."""
    if MODE == ROUND:
        return clamped(mean * gain)
    else:
        return mean * gain + noise


@triton.jit
def rap_dense_kernel(
    y,
    levels,
    gain,
    step,
    quality,
    noise,
    seed,
    features,
    symbols,
    regions,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
):
    """See ``rap_dense``; grid (tiles of regions, tiles of channels)."""
    t = place(levels, quality, regions, qualities, height, width, channels, ROWS, BLOCK)
    g = tl.load(gain + t.table, t.mask, other=0.0)
    s = tl.load(step + t.table, t.mask, other=0.0)
    cells = load_cells(y, t, PARTIAL)
    pooled = pools(cells, t, PARTIAL)
    for row in tl.static_range(4):
        values = second_row(y, cells, t, row, PARTIAL)
        added = noise_row(noise, seed, t, values[0], row, PARTIAL, MODE)
        for x in tl.static_range(4):
            symbol = quantized(by_level(t, row * 4 + x, values[x], pooled), g, added[x], MODE)
            store_cell(symbols, t, row * 4 + x, symbol, PARTIAL)
            store_cell(features, t, row * 4 + x, symbol * s, PARTIAL)


@triton.jit
def gradient_row(
    grad_features,
    grad_symbols,
    t,
    step,
    y: tl.constexpr,
    PARTIAL: tl.constexpr,
    FEATURES: tl.constexpr,
    SYMBOLS: tl.constexpr,
):
    """Gradient at the features and at the symbols of the four cells of row y of every region, float32."""
    zero = tl.zeros(t.mask.shape, tl.float32)
    at_features = load_row(grad_features, t, y, PARTIAL) if FEATURES else (zero, zero, zero, zero)
    direct = load_row(grad_symbols, t, y, PARTIAL) if SYMBOLS else at_features
    at_symbols = ()
    for x in tl.static_range(4):
        total = at_features[x] * step
        at_symbols += (total + direct[x] if SYMBOLS else total,)
    return at_features, at_symbols


@triton.jit
def table_row(at_features, at_symbols, values, pooled, added, t, gain, y: tl.constexpr, MODE: tl.constexpr):
    """What row y gives to its gain, sum of gradient * mean, and to its step, sum of gradient * symbol."""
    to_gain = ()
    to_step = ()
    for x in tl.static_range(4):
        mean = by_level(t, y * 4 + x, values[x], pooled)
        to_gain += (at_symbols[x] * mean,)
        to_step += (at_features[x] * quantized(mean, gain, added[x], MODE),)
    return sum_of_four(to_gain), sum_of_four(to_step)


@triton.jit
def rap_dense_backward_kernel(
    grad_features,
    grad_symbols,
    y,
    levels,
    gain,
    step,
    quality,
    noise,
    seed,
    grad_y,
    to_gain,
    to_step,
    regions,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
    FEATURES: tl.constexpr,
    SYMBOLS: tl.constexpr,
    TABLES: tl.constexpr,
):
    """See ``rap_dense_backward``; to_gain and to_step are float32 [N * hr * wr, C]."""
    t = place(levels, quality, regions, qualities, height, width, channels, ROWS, BLOCK)
    g = tl.load(gain + t.table, t.mask, other=0.0)
    s = tl.load(step + t.table, t.mask, other=0.0)
    gradient = ()
    for row in tl.static_range(4):
        _, at_symbols = gradient_row(grad_features, grad_symbols, t, s, row, PARTIAL, FEATURES, SYMBOLS)
        gradient += at_symbols
    means = pools(gradient, t, PARTIAL)
    for row in tl.static_range(4):  # read again, as in second_row
        _, at_symbols = gradient_row(grad_features, grad_symbols, t, s, row, PARTIAL, FEATURES, SYMBOLS)
        for x in tl.static_range(4):
            store_cell(grad_y, t, row * 4 + x, by_level(t, row * 4 + x, at_symbols[x], means) * g, PARTIAL)
    if TABLES:
        cells = load_cells(y, t, PARTIAL)
        pooled = pools(cells, t, PARTIAL)
        gains = ()
        steps = ()
        for row in tl.static_range(4):
            at_features, at_symbols = gradient_row(grad_features, grad_symbols, t, s, row, PARTIAL, FEATURES, SYMBOLS)
            values = second_row(y, cells, t, row, PARTIAL)
            added = noise_row(noise, seed, t, values[0], row, PARTIAL, MODE)
            of_gain, of_step = table_row(at_features, at_symbols, values, pooled, added, t, g, row, MODE)
            gains += (of_gain,)
            steps += (of_step,)
        tl.store(to_gain + line(t), sum_of_four(gains), t.mask)
        tl.store(to_step + line(t), sum_of_four(steps), t.mask)


def mode(noise: Tensor | None, seed: Tensor | None) -> int:
    """How symbols are made: rounded, with given noise, with noise from a seed."""
    chosen: int = (NOISE if noise is not None else SEED if seed is not None else ROUND).value
    return chosen


def rap_dense(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """See ``ops.rap_quantize_dense``; y and noise channels-last, seed int64 [1] or None."""
    features, symbols = channels_last(y.shape, dtype, y.device), channels_last(y.shape, dtype, y.device)
    launch(
        rap_dense_kernel,
        "dense",
        y.shape,
        y,
        gain.shape[0],
        y,
        levels,
        gain,
        step,
        quality,
        y if noise is None else noise,
        quality if seed is None else seed,
        features,
        symbols,
        MODE=mode(noise, seed),
    )
    return features, symbols


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
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of ``rap_dense``: (grad_y like y, to_gain, to_step float32 [N * hr * wr, C] per region, or None without
    ``tables``)."""
    grad_y = channels_last(y.shape, y.dtype, y.device)
    to_gain = torch.empty(levels.numel(), y.shape[1], device=y.device) if tables else None
    to_step = torch.empty_like(to_gain) if to_gain is not None else None
    launch(
        rap_dense_backward_kernel,
        "dense_backward_tables" if tables else "dense_backward",
        y.shape,
        y,
        gain.shape[0],
        y if grad_features is None else grad_features,
        y if grad_symbols is None else grad_symbols,
        y,
        levels,
        gain,
        step,
        quality,
        y if noise is None else noise,
        quality if seed is None else seed,
        grad_y,
        y if to_gain is None else to_gain,
        y if to_step is None else to_step,
        MODE=mode(noise, seed),
        FEATURES=grad_features is not None,
        SYMBOLS=grad_symbols is not None,
        TABLES=tables,
    )
    return grad_y, to_gain, to_step
