"""Triton: the training form, features -> dequantised, unpooled features and symbols at every cell, in one pass.

Its backward has the same shape: the gradient at a pooled cell is the mean over its footprint. What flows to the gain
and step tables is summed per region in the same pass; adding up regions of one table row is left to torch, on a
sixteenth of the data, so that no kernel needs atomics.
"""

import torch

from . import configs
from ._compat import centred, interpreted, noise_words, store_float, tl, triton
from ._region import by_level, cell_mask, clamped, load_row, place_tile, pooled

ROUND, NOISE, SEED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def load_noise(
    noise,
    seed,
    like,
    offset,
    mask,
    image,
    top,
    left,
    height,
    width,
    channels,
    channel,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
):
    """Noise of the four cells of row DY, float32 (zeros where symbols are rounded); like: any loaded tile."""
    if MODE == NOISE:
        return load_row(noise, offset, mask, top, left, height, width, channels, DY, PARTIAL)
    elif MODE == SEED:
        line = image.to(tl.int64) * height + top + DY
        block = (line * ((width + 3) // 4) + left // 4)[:, None] * channels + channel[None, :]
        w0, w1, w2, w3 = noise_words(seed, block, like)
        return centred(w0), centred(w1), centred(w2), centred(w3)
    else:
        zero = tl.zeros(mask.shape, tl.float32)
        return zero, zero, zero, zero


@triton.jit
def quantised(value, gain, noise, MODE: tl.constexpr):
    """Symbol of one cell, float32: rounded, or with noise."""
    if MODE == ROUND:
        return clamped(value * gain)
    else:
        return value * gain + noise


@triton.jit
def store_both(
    features, symbols, value, gain, step, noise, offset, mask, MODE: tl.constexpr, INTERPRETED: tl.constexpr
):
    symbol = quantised(value, gain, noise, MODE)
    tl.store(symbols + offset, store_float(symbol, symbols.dtype.element_ty, INTERPRETED), mask)
    tl.store(features + offset, store_float(symbol * step, features.dtype.element_ty, INTERPRETED), mask)


@triton.jit
def dense_row(
    features,
    symbols,
    v0,
    v1,
    v2,
    v3,
    left_mean,
    right_mean,
    whole,
    level,
    gain,
    step,
    noise,
    seed,
    offset,
    mask,
    image,
    top,
    left,
    height,
    width,
    channels,
    channel,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Quantise and store the four cells of row DY."""
    n0, n1, n2, n3 = load_noise(
        noise, seed, v0, offset, mask, image, top, left, height, width, channels, channel, DY, PARTIAL, MODE
    )
    at = offset + DY * width * channels
    store_both(
        features,
        symbols,
        by_level(level, v0, left_mean, whole),
        gain,
        step,
        n0,
        at,
        cell_mask(mask, top, left, height, width, DY, 0, PARTIAL),
        MODE,
        INTERPRETED,
    )
    store_both(
        features,
        symbols,
        by_level(level, v1, left_mean, whole),
        gain,
        step,
        n1,
        at + channels,
        cell_mask(mask, top, left, height, width, DY, 1, PARTIAL),
        MODE,
        INTERPRETED,
    )
    store_both(
        features,
        symbols,
        by_level(level, v2, right_mean, whole),
        gain,
        step,
        n2,
        at + 2 * channels,
        cell_mask(mask, top, left, height, width, DY, 2, PARTIAL),
        MODE,
        INTERPRETED,
    )
    store_both(
        features,
        symbols,
        by_level(level, v3, right_mean, whole),
        gain,
        step,
        n3,
        at + 3 * channels,
        cell_mask(mask, top, left, height, width, DY, 3, PARTIAL),
        MODE,
        INTERPRETED,
    )


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
    rows,
    columns,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """See ``rap_dense``; grid (tiles of regions, tiles of channels)."""
    region, image, top, left, level, channel, offset, mask, table = place_tile(
        levels, quality, qualities, regions, height, width, rows, columns, channels, ROWS, BLOCK
    )
    g = tl.load(gain + table, mask, other=0.0)
    s = tl.load(step + table, mask, other=0.0)
    a0, b0, c0, d0 = load_row(y, offset, mask, top, left, height, width, channels, 0, PARTIAL)
    a1, b1, c1, d1 = load_row(y, offset, mask, top, left, height, width, channels, 1, PARTIAL)
    a2, b2, c2, d2 = load_row(y, offset, mask, top, left, height, width, channels, 2, PARTIAL)
    a3, b3, c3, d3 = load_row(y, offset, mask, top, left, height, width, channels, 3, PARTIAL)
    q00, q01, q10, q11, whole = pooled(
        a0, b0, c0, d0, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3, top, left, height, width, PARTIAL
    )
    dense_row(
        features,
        symbols,
        a0,
        b0,
        c0,
        d0,
        q00,
        q01,
        whole,
        level,
        g,
        s,
        noise,
        seed,
        offset,
        mask,
        image,
        top,
        left,
        height,
        width,
        channels,
        channel,
        0,
        PARTIAL,
        MODE,
        INTERPRETED,
    )
    dense_row(
        features,
        symbols,
        a1,
        b1,
        c1,
        d1,
        q00,
        q01,
        whole,
        level,
        g,
        s,
        noise,
        seed,
        offset,
        mask,
        image,
        top,
        left,
        height,
        width,
        channels,
        channel,
        1,
        PARTIAL,
        MODE,
        INTERPRETED,
    )
    dense_row(
        features,
        symbols,
        a2,
        b2,
        c2,
        d2,
        q10,
        q11,
        whole,
        level,
        g,
        s,
        noise,
        seed,
        offset,
        mask,
        image,
        top,
        left,
        height,
        width,
        channels,
        channel,
        2,
        PARTIAL,
        MODE,
        INTERPRETED,
    )
    dense_row(
        features,
        symbols,
        a3,
        b3,
        c3,
        d3,
        q10,
        q11,
        whole,
        level,
        g,
        s,
        noise,
        seed,
        offset,
        mask,
        image,
        top,
        left,
        height,
        width,
        channels,
        channel,
        3,
        PARTIAL,
        MODE,
        INTERPRETED,
    )


@triton.jit
def gradient_row(
    grad_features,
    grad_symbols,
    step,
    offset,
    mask,
    top,
    left,
    height,
    width,
    channels,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    FEATURES: tl.constexpr,
    SYMBOLS: tl.constexpr,
):
    """Gradient at the features and at the rounded symbols of the four cells of row DY: (f0..f3, t0..t3), float32."""
    zero = tl.zeros(mask.shape, tl.float32)
    f0, f1, f2, f3 = zero, zero, zero, zero
    if FEATURES:
        f0, f1, f2, f3 = load_row(grad_features, offset, mask, top, left, height, width, channels, DY, PARTIAL)
    t0, t1, t2, t3 = f0 * step, f1 * step, f2 * step, f3 * step
    if SYMBOLS:
        s0, s1, s2, s3 = load_row(grad_symbols, offset, mask, top, left, height, width, channels, DY, PARTIAL)
        t0, t1, t2, t3 = t0 + s0, t1 + s1, t2 + s2, t3 + s3
    return f0, f1, f2, f3, t0, t1, t2, t3


@triton.jit
def table_row(
    f0,
    f1,
    f2,
    f3,
    t0,
    t1,
    t2,
    t3,
    v0,
    v1,
    v2,
    v3,
    left_mean,
    right_mean,
    whole,
    level,
    gain,
    noise,
    seed,
    offset,
    mask,
    image,
    top,
    left,
    height,
    width,
    channels,
    channel,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
):
    """What row DY gives to its gain, sum of t * mean, and to its step, sum of f * symbol."""
    n0, n1, n2, n3 = load_noise(
        noise, seed, v0, offset, mask, image, top, left, height, width, channels, channel, DY, PARTIAL, MODE
    )
    m0, m1 = by_level(level, v0, left_mean, whole), by_level(level, v1, left_mean, whole)
    m2, m3 = by_level(level, v2, right_mean, whole), by_level(level, v3, right_mean, whole)
    to_gain = (t0 * m0 + t1 * m1) + (t2 * m2 + t3 * m3)
    to_step = (f0 * quantised(m0, gain, n0, MODE) + f1 * quantised(m1, gain, n1, MODE)) + (
        f2 * quantised(m2, gain, n2, MODE) + f3 * quantised(m3, gain, n3, MODE)
    )
    return to_gain, to_step


@triton.jit
def spread_row(
    out,
    t0,
    t1,
    t2,
    t3,
    left_mean,
    right_mean,
    whole,
    level,
    gain,
    offset,
    mask,
    top,
    left,
    height,
    width,
    channels,
    DY: tl.constexpr,
    PARTIAL: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """Store mean of the footprint's gradient times gain at the four cells of row DY."""
    at = out + offset + DY * width * channels
    element: tl.constexpr = out.dtype.element_ty
    tl.store(
        at,
        store_float(by_level(level, t0, left_mean, whole) * gain, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 0, PARTIAL),
    )
    tl.store(
        at + channels,
        store_float(by_level(level, t1, left_mean, whole) * gain, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 1, PARTIAL),
    )
    tl.store(
        at + 2 * channels,
        store_float(by_level(level, t2, right_mean, whole) * gain, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 2, PARTIAL),
    )
    tl.store(
        at + 3 * channels,
        store_float(by_level(level, t3, right_mean, whole) * gain, element, INTERPRETED),
        cell_mask(mask, top, left, height, width, DY, 3, PARTIAL),
    )


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
    rows,
    columns,
    channels,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTIAL: tl.constexpr,
    MODE: tl.constexpr,
    FEATURES: tl.constexpr,
    SYMBOLS: tl.constexpr,
    TABLES: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """See ``rap_dense_backward``; to_gain and to_step are float32 [N * hr * wr, C]."""
    region, image, top, left, level, channel, offset, mask, table = place_tile(
        levels, quality, qualities, regions, height, width, rows, columns, channels, ROWS, BLOCK
    )
    g = tl.load(gain + table, mask, other=0.0)
    s = tl.load(step + table, mask, other=0.0)
    if TABLES:
        a0, b0, c0, d0 = load_row(y, offset, mask, top, left, height, width, channels, 0, PARTIAL)
        a1, b1, c1, d1 = load_row(y, offset, mask, top, left, height, width, channels, 1, PARTIAL)
        a2, b2, c2, d2 = load_row(y, offset, mask, top, left, height, width, channels, 2, PARTIAL)
        a3, b3, c3, d3 = load_row(y, offset, mask, top, left, height, width, channels, 3, PARTIAL)
        m00, m01, m10, m11, m = pooled(
            a0, b0, c0, d0, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3, top, left, height, width, PARTIAL
        )
    e0, f0, g0, h0, t0, u0, v0, w0 = gradient_row(
        grad_features, grad_symbols, s, offset, mask, top, left, height, width, channels, 0, PARTIAL, FEATURES, SYMBOLS
    )
    if TABLES:
        gain0, step0 = table_row(
            e0,
            f0,
            g0,
            h0,
            t0,
            u0,
            v0,
            w0,
            a0,
            b0,
            c0,
            d0,
            m00,
            m01,
            m,
            level,
            g,
            noise,
            seed,
            offset,
            mask,
            image,
            top,
            left,
            height,
            width,
            channels,
            channel,
            0,
            PARTIAL,
            MODE,
        )
    e1, f1, g1, h1, t1, u1, v1, w1 = gradient_row(
        grad_features, grad_symbols, s, offset, mask, top, left, height, width, channels, 1, PARTIAL, FEATURES, SYMBOLS
    )
    if TABLES:
        gain1, step1 = table_row(
            e1,
            f1,
            g1,
            h1,
            t1,
            u1,
            v1,
            w1,
            a1,
            b1,
            c1,
            d1,
            m00,
            m01,
            m,
            level,
            g,
            noise,
            seed,
            offset,
            mask,
            image,
            top,
            left,
            height,
            width,
            channels,
            channel,
            1,
            PARTIAL,
            MODE,
        )
    e2, f2, g2, h2, t2, u2, v2, w2 = gradient_row(
        grad_features, grad_symbols, s, offset, mask, top, left, height, width, channels, 2, PARTIAL, FEATURES, SYMBOLS
    )
    if TABLES:
        gain2, step2 = table_row(
            e2,
            f2,
            g2,
            h2,
            t2,
            u2,
            v2,
            w2,
            a2,
            b2,
            c2,
            d2,
            m10,
            m11,
            m,
            level,
            g,
            noise,
            seed,
            offset,
            mask,
            image,
            top,
            left,
            height,
            width,
            channels,
            channel,
            2,
            PARTIAL,
            MODE,
        )
    e3, f3, g3, h3, t3, u3, v3, w3 = gradient_row(
        grad_features, grad_symbols, s, offset, mask, top, left, height, width, channels, 3, PARTIAL, FEATURES, SYMBOLS
    )
    if TABLES:
        gain3, step3 = table_row(
            e3,
            f3,
            g3,
            h3,
            t3,
            u3,
            v3,
            w3,
            a3,
            b3,
            c3,
            d3,
            m10,
            m11,
            m,
            level,
            g,
            noise,
            seed,
            offset,
            mask,
            image,
            top,
            left,
            height,
            width,
            channels,
            channel,
            3,
            PARTIAL,
            MODE,
        )
        line = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
        at = line[:, None] * channels + channel[None, :]
        tl.store(to_gain + at, (gain0 + gain1) + (gain2 + gain3), mask)
        tl.store(to_step + at, (step0 + step1) + (step2 + step3), mask)
    q00, q01, q10, q11, whole = pooled(
        t0, u0, v0, w0, t1, u1, v1, w1, t2, u2, v2, w2, t3, u3, v3, w3, top, left, height, width, PARTIAL
    )
    spread_row(
        grad_y,
        t0,
        u0,
        v0,
        w0,
        q00,
        q01,
        whole,
        level,
        g,
        offset,
        mask,
        top,
        left,
        height,
        width,
        channels,
        0,
        PARTIAL,
        INTERPRETED,
    )
    spread_row(
        grad_y,
        t1,
        u1,
        v1,
        w1,
        q00,
        q01,
        whole,
        level,
        g,
        offset,
        mask,
        top,
        left,
        height,
        width,
        channels,
        1,
        PARTIAL,
        INTERPRETED,
    )
    spread_row(
        grad_y,
        t2,
        u2,
        v2,
        w2,
        q10,
        q11,
        whole,
        level,
        g,
        offset,
        mask,
        top,
        left,
        height,
        width,
        channels,
        2,
        PARTIAL,
        INTERPRETED,
    )
    spread_row(
        grad_y,
        t3,
        u3,
        v3,
        w3,
        q10,
        q11,
        whole,
        level,
        g,
        offset,
        mask,
        top,
        left,
        height,
        width,
        channels,
        3,
        PARTIAL,
        INTERPRETED,
    )


def mode(noise, seed):
    """How symbols are made: rounded, with given noise, with noise from a seed."""
    return NOISE.value if noise is not None else SEED.value if seed is not None else ROUND.value


def channels_last(shape, dtype, device):
    """Empty [N, C, h, w] whose memory is [N, h, w, C]."""
    count, channels, height, width = shape
    return torch.empty(count, height, width, channels, dtype=dtype, device=device).permute(0, 3, 1, 2)


def rap_dense(y, levels, gain, step, quality, noise, seed, dtype):
    """See ``ops.rap_quantize_dense``; y and noise channels-last, seed int64 [1] or None."""
    count, channels, height, width = y.shape
    rows, columns = levels.shape[1:]
    regions = count * rows * columns
    features, symbols = channels_last(y.shape, dtype, y.device), channels_last(y.shape, dtype, y.device)
    if count:
        launch = configs.launch("dense", y.device, y.element_size())
        tile_rows, block = configs.tile(launch.elements, channels, regions)
        rap_dense_kernel[(triton.cdiv(regions, tile_rows), triton.cdiv(channels, block))](
            y,
            levels,
            gain,
            step,
            quality,
            y if noise is None else noise,
            quality if seed is None else seed,
            features,
            symbols,
            regions,
            gain.shape[0],
            height,
            width,
            rows,
            columns,
            channels,
            ROWS=tile_rows,
            BLOCK=block,
            PARTIAL=bool(height % 4 or width % 4),
            MODE=mode(noise, seed),
            INTERPRETED=interpreted(),
            num_warps=launch.warps,
            enable_fp_fusion=False,
        )
    return features, symbols


def rap_dense_backward(grad_features, grad_symbols, y, levels, gain, step, quality, noise, seed, tables):
    """Gradients of ``rap_dense``: (grad_y like y, to_gain, to_step float32 [N * hr * wr, C] per region, or None without
    ``tables``)."""
    count, channels, height, width = y.shape
    rows, columns = levels.shape[1:]
    regions = count * rows * columns
    grad_y = channels_last(y.shape, y.dtype, y.device)
    to_gain, to_step = (torch.empty(regions, channels, device=y.device) for _ in range(2)) if tables else (None, None)
    if count:
        launch = configs.launch("dense_backward_tables" if tables else "dense_backward", y.device, y.element_size())
        tile_rows, block = configs.tile(launch.elements, channels, regions)
        rap_dense_backward_kernel[(triton.cdiv(regions, tile_rows), triton.cdiv(channels, block))](
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
            regions,
            gain.shape[0],
            height,
            width,
            rows,
            columns,
            channels,
            ROWS=tile_rows,
            BLOCK=block,
            PARTIAL=bool(height % 4 or width % 4),
            MODE=mode(noise, seed),
            FEATURES=grad_features is not None,
            SYMBOLS=grad_symbols is not None,
            TABLES=tables,
            INTERPRETED=interpreted(),
            num_warps=launch.warps,
            enable_fp_fusion=False,
        )
    return grad_y, to_gain, to_step
