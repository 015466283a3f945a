"""The specification: each operation in plain PyTorch, one cell after the other, shapes named. Slow on purpose.

N images, C channels, a grid of h x w cells cut into regions of R x R cells, R = 4 (partial at the right and bottom).
A region of level l keeps one coefficient per channel for every 2**l x 2**l cells. All arithmetic is float32, one
rounding for each operation (no fused multiply-add), so that every device finds the same symbols.
"""

import torch
from torch import Tensor

from ._grid import REGION, SYMBOL_LIMIT, regions


def kept_cells(levels: Tensor, height: int, width: int) -> list[tuple[int, int, int]]:
    """Kept cells of one image in coding order: list of (y, x, side). levels: [hr, wr]."""
    out = []
    rows, columns = regions(height, width)
    for region_y in range(rows):
        for region_x in range(columns):
            side = 1 << int(levels[region_y, region_x])
            for y in range(region_y * REGION, min((region_y + 1) * REGION, height), side):
                for x in range(region_x * REGION, min((region_x + 1) * REGION, width), side):
                    out.append((y, x, side))
    return out


def rap_offsets(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """levels [N, hr, wr] -> (starts int64 [N, hr*wr]: kept cells before each region, counts int64 [N]: kept cells)."""
    count = levels.shape[0]
    starts = torch.zeros(count, levels[0].numel() if count else 0, dtype=torch.int64)
    counts = torch.zeros(count, dtype=torch.int64)
    for n in range(count):
        for y, x, _ in kept_cells(levels[n], height, width):
            region = y // REGION * levels.shape[2] + x // REGION
            starts[n, region + 1 :] += 1
            counts[n] += 1
    return starts, counts


def footprint_sum(y: Tensor, top: int, left: int, side: int) -> Tensor:
    """Sum over the cells of a footprint by the fixed tree: y float32 [C, h, w] -> [C].

    A 2 x 2 sums as (a + b) + (c + d) with missing cells as zero; a 4 x 4 sums its four 2 x 2 sums the same way.
    """
    _, height, width = y.shape
    if top >= height or left >= width:
        return torch.zeros_like(y[:, 0, 0])
    if side == 1:
        return y[:, top, left]
    half = side // 2
    upper = footprint_sum(y, top, left, half) + footprint_sum(y, top, left + half, half)
    lower = footprint_sum(y, top + half, left, half) + footprint_sum(y, top + half, left + half, half)
    return upper + lower


def footprint_mean(y: Tensor, top: int, left: int, side: int) -> Tensor:
    """Mean over the cells of a footprint that exist: the sum times the float32 reciprocal of how many there are."""
    _, height, width = y.shape
    cells = (min(top + side, height) - top) * (min(left + side, width) - left)
    return footprint_sum(y, top, left, side) * torch.tensor(1.0 / cells, dtype=torch.float32)


def rap_quantize(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor, indexes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """y [N, C, h, w], levels [N, hr, wr], gain [Q, 3, C], quality [N], indexes int16 [Q, 3, C] or None
    -> (symbols int16 [N, h*w*C], counts int64 [N], table indexes int16 [N, h*w*C] or None).

    A symbol is round-half-even(clamp(mean * gain)); not-a-number becomes 0.
    """
    count, channels, height, width = y.shape
    symbols = torch.zeros(count, height * width * channels, dtype=torch.int16)
    tables = None if indexes is None else torch.zeros_like(symbols)
    counts = torch.zeros(count, dtype=torch.int64)
    for n in range(count):
        at = 0
        for top, left, side in kept_cells(levels[n], height, width):
            level = side.bit_length() - 1
            scaled = footprint_mean(y[n].float(), top, left, side) * gain[quality[n], level]
            scaled = torch.where(scaled.isnan(), 0.0, scaled)
            symbols[n, at : at + channels] = scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round().to(torch.int16)
            if indexes is not None and tables is not None:
                tables[n, at : at + channels] = indexes[quality[n], level]
            at += channels
        counts[n] = at
    return symbols, counts, tables


def rap_unpool(symbols: Tensor, levels: Tensor, step: Tensor, quality: Tensor, height: int, width: int) -> Tensor:
    """symbols int16 [N, K], step [Q, 3, C] -> features float32 [N, C, height, width]."""
    count, channels = levels.shape[0], step.shape[2]
    out = torch.zeros(count, channels, height, width)
    for n in range(count):
        at = 0
        for top, left, side in kept_cells(levels[n], height, width):
            value = symbols[n, at : at + channels].float() * step[quality[n], side.bit_length() - 1]
            out[n, :, top : top + side, left : left + side] = value[:, None, None]
            at += channels
    return out


def rap_dense(
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None = None,
    mixed: bool = False,
) -> tuple[Tensor, Tensor]:
    """The training form: (features, symbols at every cell), both float32 [N, C, h, w]; autograd gives the backward.

    The gradient passes straight through clamp and round. mixed: noise enters the symbols alone, features are those of
    rounded symbols.
    """
    count, _, height, width = y.shape
    features, symbols = torch.zeros(y.shape), torch.zeros(y.shape)
    for n in range(count):
        for top, left, side in kept_cells(levels[n], height, width):
            level = side.bit_length() - 1
            scaled = footprint_mean(y[n].float(), top, left, side) * gain[quality[n], level]
            area = (n, slice(None), slice(top, top + side), slice(left, left + side))
            value = (scaled.detach().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round() + (scaled - scaled.detach()))[
                :, None, None
            ].expand_as(y[area])
            noisy = value if noise is None else scaled[:, None, None] + noise[area].float()
            symbols[area] = noisy
            features[area] = (value if mixed else noisy) * step[quality[n], level][:, None, None]
    return features, symbols


def rap_dense_backward(
    grad_features: Tensor,
    grad_symbols: Tensor,
    y: Tensor,
    levels: Tensor,
    gain: Tensor,
    step: Tensor,
    quality: Tensor,
    noise: Tensor | None = None,
    mixed: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """What autograd gives for ``rap_dense``, with its order of sums: gradients at y (float32), gain and step.

    The gradient at a cell is grad_features * step + grad_symbols; y gets its mean over the footprint times gain. A
    region gives to gain the sum over its cells of that gradient times mean, to step the sum of grad_features times the
    symbol of the features, both over the fixed tree; regions are added in raster order, images after one another (on a
    GPU in another order).
    """
    _, _, height, width = y.shape
    _, symbols = rap_dense(y, levels, gain, step, quality, None if mixed else noise)
    grad_y, to_gain, to_step = torch.zeros(y.shape), torch.zeros_like(gain), torch.zeros_like(step)
    for n in range(len(y)):
        total, mean = torch.zeros(y.shape[1:]), torch.zeros(y.shape[1:])
        for top, left, side in kept_cells(levels[n], height, width):
            area = (slice(None), slice(top, top + side), slice(left, left + side))
            row = quality[n], side.bit_length() - 1
            total[area] = grad_features[n][area].float() * step[row][:, None, None] + grad_symbols[n][area].float()
            mean[area] = footprint_mean(y[n].float(), top, left, side)[:, None, None]
            grad_y[n][area] = (footprint_mean(total, top, left, side) * gain[row])[:, None, None]
        for i, level in enumerate(levels[n].flatten().tolist()):
            corner = i // levels.shape[2] * REGION, i % levels.shape[2] * REGION
            to_gain[quality[n], level] += footprint_sum(total * mean, *corner, REGION)
            to_step[quality[n], level] += footprint_sum(grad_features[n].float() * symbols[n], *corner, REGION)
    return grad_y, to_gain, to_step


def uniform_noise(shape: tuple[int, int, int, int], seed: int) -> Tensor:
    """Float32 [N, C, h, w] in [-1/2, 1/2): Philox 4x32-10 (Salmon et al. 2011), key = seed (64 bits).

    Cell (n, c, y, x) takes word x % 4 of the block with counter ((n * h + y) * ceil(w / 4) + x // 4) * C + c: the value
    depends on the seed and the place alone, whatever the device and its launch. Upper 24 bits / 2**24 - 1/2.
    """
    count, channels, height, width = shape
    out = torch.zeros(shape)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                for c in range(channels):
                    block = ((n * height + y) * -(-width // 4) + x // 4) * channels + c
                    out[n, c, y, x] = (philox(block, seed)[x % 4] >> 8) / (1 << 24) - 0.5
    return out


def philox(block: int, seed: int) -> tuple[int, int, int, int]:
    """Four 32-bit words of Philox 4x32-10 for a 64-bit counter and a 64-bit key, Python integers."""
    mask = 0xFFFFFFFF
    c0, c1, c2, c3 = block & mask, block >> 32 & mask, 0, 0
    k0, k1 = seed & mask, seed >> 32 & mask
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = p1 >> 32 & mask ^ c1 ^ k0, p1 & mask, p0 >> 32 & mask ^ c3 ^ k1, p0 & mask
        k0, k1 = k0 + 0x9E3779B9 & mask, k1 + 0xBB67AE85 & mask
    return c0, c1, c2, c3
