"""Triton: the training form, features -> dequantized, unpooled features and symbols at every cell, in one pass.

Its backward has the same shape: the gradient at a pooled cell is the mean over its footprint. What flows to the gain
and step tables is summed in the same pass, in the registers of programs that go through their image, and added up over
the images by tables.py.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._grid import channels_last
from ._region import (
    REGION,
    UNSPECIALIZED,
    by_level,
    clamped,
    launch,
    load_cells,
    load_row,
    load_table,
    place,
    plan,
    pools,
    program,
    regions_of,
    row_of,
    second_row,
    store_cell,
    sum_of_four,
)
from .tables import add_by_level, add_up, empty_sums, store_sums

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


@triton.jit(do_not_specialize=UNSPECIALIZED)
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
    parts,
    qualities,
    height,
    width,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
    MIXED: tl.constexpr,
):
    """See ``rap_dense``; grid (images * parts * blocks of channels)."""
    image, part, block = program(parts, channels, BLOCK)
    t = place(levels, quality, image, part, block, qualities, height, width, channels, ROWS, BLOCK)
    g = load_table(gain, t)
    s = load_table(step, t)
    cells = load_cells(y, t, PARTIAL)
    pooled = pools(cells, t, PARTIAL)
    for row in tl.static_range(4):
        values = second_row(y, cells, t, row, PARTIAL)
        added = noise_row(noise, seed, t, values[0], row, PARTIAL, MODE)
        for x in tl.static_range(4):
            scaled = by_level(t, row * 4 + x, values[x], pooled) * g
            symbol = clamped(scaled) if MODE == ROUND else scaled + added[x]
            store_cell(symbols, t, row * 4 + x, symbol, PARTIAL)
            shown = clamped(scaled) if MIXED else symbol
            store_cell(features, t, row * 4 + x, shown * s, PARTIAL)


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
def gradient_cells(
    grad_features, grad_symbols, t, step, PARTIAL: tl.constexpr, FEATURES: tl.constexpr, SYMBOLS: tl.constexpr
):
    """Gradient at the features and at the symbols of all 16 cells."""
    features = ()
    symbols = ()
    for y in tl.static_range(4):
        at_features, at_symbols = gradient_row(grad_features, grad_symbols, t, step, y, PARTIAL, FEATURES, SYMBOLS)
        features += at_features
        symbols += at_symbols
    return features, symbols


@triton.jit
def grad_of_features(
    grad_features,
    grad_symbols,
    grad_y,
    gradient,
    t,
    gain,
    step,
    PARTIAL: tl.constexpr,
    FEATURES: tl.constexpr,
    SYMBOLS: tl.constexpr,
    AGAIN: tl.constexpr,
):
    """The gradient at y of one tile, from those at its symbols: the mean over each footprint, times gain.

    AGAIN: they are read a second time, as in second_row.
    """
    means = pools(gradient, t, PARTIAL)
    for row in tl.static_range(4):
        values = row_of(gradient, row)
        if AGAIN:
            _, values = gradient_row(grad_features, grad_symbols, t, step, row, PARTIAL, FEATURES, SYMBOLS)
        for x in tl.static_range(4):
            store_cell(grad_y, t, row * 4 + x, by_level(t, row * 4 + x, values[x], means) * gain, PARTIAL)


@triton.jit
def grad_of_tables(at_features, at_symbols, y, noise, seed, t, gain, PARTIAL: tl.constexpr, MODE: tl.constexpr):
    """What every region gives to its gain, sum of gradient * mean, and to its step, sum of gradient * symbol."""
    cells = load_cells(y, t, PARTIAL)
    pooled = pools(cells, t, PARTIAL)
    gains = ()
    steps = ()
    for row in tl.static_range(4):
        added = noise_row(noise, seed, t, cells[row * 4], row, PARTIAL, MODE)
        to_gain = ()
        to_step = ()
        for x in tl.static_range(4):
            mean = by_level(t, row * 4 + x, cells[row * 4 + x], pooled)
            to_gain += (at_symbols[row * 4 + x] * mean,)
            symbol = clamped(mean * gain) if MODE == ROUND else mean * gain + added[x]
            to_step += (at_features[row * 4 + x] * symbol,)
        gains += (sum_of_four(to_gain),)
        steps += (sum_of_four(to_step),)
    return sum_of_four(gains), sum_of_four(steps)


@triton.jit(do_not_specialize=UNSPECIALIZED)
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
    sums,
    parts,
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
    TO_Y: tl.constexpr,
    TO_GAIN: tl.constexpr,
    TO_STEP: tl.constexpr,
):
    """See ``rap_dense_backward``; sums: see tables.py, gain before step. A program goes through every ``parts``th tile
    of its image where there are sums, otherwise there is one tile for each."""
    image, part, block = program(parts, channels, BLOCK)
    if TO_GAIN or TO_STEP:
        zero = tl.zeros([ROWS, BLOCK], tl.float32)
        gain0, gain1, gain2 = zero, zero, zero
        step0, step1, step2 = zero, zero, zero
        for tile in tl.range(part, tl.cdiv(regions_of(height, width), ROWS), parts, num_stages=1, disable_licm=True):
            t = place(levels, quality, image, tile, block, qualities, height, width, channels, ROWS, BLOCK)
            g = load_table(gain, t)
            s = load_table(step, t)
            # Loads come before stores, so that all of a tile's are under way at once.
            at_features, at_symbols = gradient_cells(grad_features, grad_symbols, t, s, PARTIAL, FEATURES, SYMBOLS)
            of_gain, of_step = grad_of_tables(at_features, at_symbols, y, noise, seed, t, g, PARTIAL, MODE)
            if TO_Y:
                grad_of_features(
                    grad_features, grad_symbols, grad_y, at_symbols, t, g, s, PARTIAL, FEATURES, SYMBOLS, False
                )
            if TO_GAIN:
                gain0, gain1, gain2 = add_by_level((gain0, gain1, gain2), t.level, of_gain)
            if TO_STEP:
                step0, step1, step2 = add_by_level((step0, step1, step2), t.level, of_step)
        column = block * BLOCK + tl.arange(0, BLOCK)
        row = image * parts + part
        if TO_GAIN:
            store_sums(sums, (gain0, gain1, gain2), row, column, channels, 0, TO_GAIN + TO_STEP)
        if TO_STEP:
            store_sums(sums, (step0, step1, step2), row, column, channels, TO_GAIN + 0, TO_GAIN + TO_STEP)
    else:
        t = place(levels, quality, image, part, block, qualities, height, width, channels, ROWS, BLOCK)
        g = load_table(gain, t)
        s = load_table(step, t)
        _, at_symbols = gradient_cells(grad_features, grad_symbols, t, s, PARTIAL, FEATURES, SYMBOLS)
        again: tl.constexpr = ROWS * BLOCK > 256
        grad_of_features(grad_features, grad_symbols, grad_y, at_symbols, t, g, s, PARTIAL, FEATURES, SYMBOLS, again)


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
    mixed: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """See ``ops.rap_quantize_dense``; y and noise channels-last, seed int64 [1] or None."""
    features, symbols = channels_last(y.shape, dtype, y.device), channels_last(y.shape, dtype, y.device)
    made = mode(noise, seed)
    launch(
        rap_dense_kernel,
        plan("dense", y.shape, y),
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
        MODE=made,
        MIXED=mixed and made != ROUND.value,
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
    to_y: bool,
    to_gain: bool,
    to_step: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``rap_dense`` at y, gain and step; empty where they are not asked for."""
    tables = to_gain + to_step
    work = plan("dense_backward_tables" if tables else "dense_backward", y.shape, y, summing=tables > 0)
    grad_y = channels_last(y.shape, y.dtype, y.device) if to_y else y.new_empty(0)
    sums = empty_sums(work, tables, y.device) if tables else gain
    launch(
        rap_dense_backward_kernel,
        work,
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
        grad_y if to_y else y,
        sums,
        MODE=mode(noise, seed) if to_step else ROUND.value,
        FEATURES=grad_features is not None,
        SYMBOLS=grad_symbols is not None,
        TO_Y=to_y,
        TO_GAIN=to_gain,
        TO_STEP=to_step,
    )
    found = add_up(sums, work.parts, quality, [gain, step][:tables]) if tables else []
    nothing = gain.new_empty(0)
    return grad_y, found[0] if to_gain else nothing, found[-1] if to_step else nothing
