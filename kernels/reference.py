"""The specification: each operation in plain PyTorch, one cell after the other, shapes named. Slow on purpose.

N images, C channels, a grid of h x w cells cut into regions of R x R cells, R = 4 (partial at the right and bottom).
A region of level l keeps one coefficient per channel for every 2**l x 2**l cells.
"""
import torch

REGION = 4
SYMBOL_LIMIT = 32767.0


def kept_cells(levels, height, width):
    """Kept cells of one image in coding order: list of (y, x, side). levels: [hr, wr]."""
    out = []
    for region_y in range(-(-height // REGION)):
        for region_x in range(-(-width // REGION)):
            side = 1 << int(levels[region_y, region_x])
            for y in range(region_y * REGION, min((region_y + 1) * REGION, height), side):
                for x in range(region_x * REGION, min((region_x + 1) * REGION, width), side):
                    out.append((y, x, side))
    return out


def footprint_mean(y, top, left, side):
    """Mean over the cells of a footprint that exist, by the fixed tree: y float32 [C, h, w] -> [C].

    A 2 x 2 sums as (a + b) + (c + d) with missing cells as zero; a 4 x 4 sums its four 2 x 2 sums the same way. The sum
    is multiplied by the float32 reciprocal of the number of cells that exist.
    """
    _, height, width = y.shape

    def total(top, left, side):
        if top >= height or left >= width:
            return torch.zeros_like(y[:, 0, 0])
        if side == 1:
            return y[:, top, left]
        half = side // 2
        upper = total(top, left, half) + total(top, left + half, half)
        lower = total(top + half, left, half) + total(top + half, left + half, half)
        return upper + lower

    cells = (min(top + side, height) - top) * (min(left + side, width) - left)
    return total(top, left, side) * torch.tensor(1.0 / cells, dtype=torch.float32)


def rap_quantize(y, levels, gain, quality):
    """y [N, C, h, w], levels [N, hr, wr], gain [Q, 3, C], quality [N] -> (symbols int16 [N, h*w*C], counts int64 [N])."""
    count, channels, height, width = y.shape
    symbols = torch.zeros(count, height * width * channels, dtype=torch.int16)
    counts = torch.zeros(count, dtype=torch.int64)
    for n in range(count):
        at = 0
        for top, left, side in kept_cells(levels[n], height, width):
            scaled = footprint_mean(y[n].float(), top, left, side) * gain[quality[n], side.bit_length() - 1]
            symbols[n, at : at + channels] = scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round().to(torch.int16)
            at += channels
        counts[n] = at
    return symbols, counts


def rap_unpool(symbols, levels, step, quality, height, width):
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


def rap_quantize_dense(y, levels, gain, step, quality, noise=None):
    """The training form: (features, symbols at every cell), both float32 [N, C, h, w]; autograd gives the backward."""
    count, _, height, width = y.shape
    features, symbols = torch.zeros(y.shape), torch.zeros(y.shape)
    for n in range(count):
        for top, left, side in kept_cells(levels[n], height, width):
            level = side.bit_length() - 1
            scaled = footprint_mean(y[n].float(), top, left, side) * gain[quality[n], level]
            area = (n, slice(None), slice(top, top + side), slice(left, left + side))
            if noise is None:
                clamped = scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
                value = (clamped + (clamped.round() - clamped).detach())[:, None, None].expand_as(y[area])
            else:
                value = scaled[:, None, None] + noise[area]
            symbols[area] = value
            features[area] = value * step[quality[n], level][:, None, None]
    return features, symbols
