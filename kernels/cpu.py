"""The reference's arithmetic, vectorised in plain PyTorch: what runs on CPU tensors.

Sums run over a fixed tree, ((a + b) + (c + d)) per 2 x 2, the level-2 sum over level-1 sums, missing cells counting as
zero; the sum is multiplied by the float32 reciprocal of the number of cells that exist. Every device does the same, so
that every device finds the same symbols.
"""
import functools

import torch

REGION = 4
SYMBOL_LIMIT = 32767.0


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve autograd as well
def coding_permutation(height, width, device="cpu"):
    """Cells in coding order if all were kept: regions in raster order, in each its cells in raster order; int64 [h*w]."""
    rows = torch.arange(height, device=device)[:, None].expand(height, width)
    columns = torch.arange(width, device=device)[None, :].expand(height, width)
    wide = -(-width // REGION)
    key = ((rows // REGION) * wide + columns // REGION) * REGION**2 + (rows % REGION) * REGION + columns % REGION
    return key.flatten().argsort()


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def footprint_reciprocal(height, width, level, device="cpu"):
    """Float32 1 / (number of cells of each footprint that exist), per cell: [h, w]."""
    size = 1 << level

    def extent(length):
        start = torch.arange(length, device=device) // size * size
        return (start + size).clamp(max=length) - start

    return 1.0 / (extent(height)[:, None] * extent(width)[None, :]).to(torch.float32)


def cell_levels(levels, height, width):
    """Levels uint8 [N, hr, wr] -> int64 [N, h, w]."""
    return spread(levels.long()[..., None], REGION, height, width)[..., 0]


def pair_sums(x):
    """Sum over 2 x 2 by the fixed tree, missing cells as zero: [N, h, w, C] -> [N, ceil(h/2), ceil(w/2), C]."""
    count, height, width, channels = x.shape
    if height % 2 or width % 2:
        x = torch.nn.functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    left, right = x.view(count, (height + 1) // 2, 2, (width + 1) // 2, 2, channels).unbind(4)
    upper, lower = (left + right).unbind(2)
    return upper + lower


def spread(x, size, height, width):
    """Repeat every cell over its footprint: [N, a, b, C] -> [N, h, w, C]."""
    count, tall, wide, channels = x.shape
    x = x[:, :, None, :, None].expand(count, tall, size, wide, size, channels)
    return x.reshape(count, tall * size, wide * size, channels)[:, :height, :width]


def pool(y, cells):
    """Mean of each cell's footprint, at every cell of it: y float32 [N, h, w, C], cells int64 [N, h, w]."""
    height, width = y.shape[1:3]
    out = y
    sums = y
    for level in range(1, int(cells.max()) + 1):
        sums = pair_sums(sums)
        size = 1 << level
        mean = sums * footprint_reciprocal(height, width, level, y.device)[::size, ::size, None]
        out = torch.where((cells == level)[..., None], spread(mean, size, height, width), out)
    return out


def per_cell(table, quality, cells):
    """Rows of a table [Q, 3, C] for every cell: [N, h, w, C]."""
    row = quality[:, None, None] * table.shape[1] + cells
    return table.flatten(0, 1).index_select(0, row.flatten()).view(*cells.shape, table.shape[2])


def kept_cells(cells):
    """True at the top-left cell of each footprint: int64 [N, h, w] -> bool [N, h, w]."""
    size = 1 << cells
    rows = torch.arange(cells.shape[1], device=cells.device)[:, None]
    columns = torch.arange(cells.shape[2], device=cells.device)[None, :]
    return (rows % size == 0) & (columns % size == 0)


def rap_offsets(levels, height, width):
    """See ``ops.rap_offsets``."""
    rows, columns = levels.shape[1:]
    tall = (height - torch.arange(rows, device=levels.device) * REGION).clamp(max=REGION)[:, None]
    wide = (width - torch.arange(columns, device=levels.device) * REGION).clamp(max=REGION)[None, :]
    side = 1 << levels.long()
    kept = (((tall + side - 1) // side) * ((wide + side - 1) // side)).flatten(1)
    return (kept.cumsum(1) - kept).to(torch.int32), kept.sum(1)


def rap_quantize(y, levels, gain, quality, indexes=None):
    """See ``ops.rap_quantize``."""
    count, channels, height, width = y.shape
    cells = cell_levels(levels, height, width)
    scaled = pool(y.permute(0, 2, 3, 1).float(), cells) * per_cell(gain, quality, cells)
    # nan_to_num first: a cast of not-a-number to an integer differs between devices.
    symbols = scaled.nan_to_num(0.0, SYMBOL_LIMIT, -SYMBOL_LIMIT).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round().to(torch.int16)
    order = coding_permutation(height, width, levels.device)
    kept = kept_cells(cells).reshape(count, height * width)[:, order]
    n, k = kept.nonzero(as_tuple=True)
    place = (kept.cumsum(1) - 1)[n, k]

    def in_order(values):
        out = torch.zeros(count, height * width, channels, dtype=torch.int16, device=y.device)
        out[n, place] = values.reshape(count, height * width, channels)[n, order[k]]
        return out.reshape(count, height * width * channels)

    tables = None if indexes is None else in_order(per_cell(indexes, quality, cells))
    return in_order(symbols), kept.sum(1) * channels, tables


def symbols_at_cells(symbols, levels, channels, height, width):
    """The symbol that stands for each cell: int16 [N, h, w, C]; 0 where a row holds too few."""
    count = levels.shape[0]
    cells = cell_levels(levels, height, width)
    order = coding_permutation(height, width, levels.device)
    kept = kept_cells(cells).reshape(count, height * width)[:, order]
    place = torch.zeros(count, height * width, dtype=torch.int64, device=levels.device)
    place[:, order] = (kept.cumsum(1) - 1).clamp(min=0)
    size = 1 << cells
    rows = torch.arange(height, device=levels.device)[:, None].expand(height, width)
    columns = torch.arange(width, device=levels.device)[None, :].expand(height, width)
    top_left = (rows - rows % size) * width + (columns - columns % size)
    at = place.gather(1, top_left.reshape(count, height * width))
    room = symbols.shape[1] // channels
    values = symbols.reshape(count, room, channels).gather(1, at.clamp(max=room - 1)[..., None].expand(-1, -1, channels))
    values = values.masked_fill((at >= room)[..., None], 0) if room < height * width else values
    return values.reshape(count, height, width, channels), cells


def rap_unpool(symbols, levels, step, quality, height, width, dtype=torch.float32):
    """See ``ops.rap_unpool``."""
    values, cells = symbols_at_cells(symbols, levels, step.shape[2], height, width)
    return (values.to(torch.float32) * per_cell(step, quality, cells)).to(dtype).permute(0, 3, 1, 2)


def rap_unpool_backward(grad, symbols, levels):
    """What each region gives to its step: float32 [N * hr * wr, C]."""
    count, channels, height, width = grad.shape
    values, _ = symbols_at_cells(symbols, levels, channels, height, width)
    return region_sums(grad.permute(0, 2, 3, 1).float() * values)


def region_sums(x):
    """Sum over the cells of each region: [N, h, w, C] -> [N * hr * wr, C]."""
    return pair_sums(pair_sums(x)).flatten(0, 2)


def quantised(mean, gains, noise):
    """Symbols at every cell, float32: rounded, or with noise."""
    if noise is None:
        return (mean * gains).clamp_(-SYMBOL_LIMIT, SYMBOL_LIMIT).round_()
    return mean * gains + noise.permute(0, 2, 3, 1)


def rap_dense(y, levels, gain, step, quality, noise=None, seed=None, dtype=torch.float32):
    """See ``ops.rap_quantize_dense``."""
    cells = cell_levels(levels, *y.shape[-2:])
    noise = uniform_noise(y.shape, seed) if seed is not None else noise
    symbols = quantised(pool(y.permute(0, 2, 3, 1).float(), cells), per_cell(gain, quality, cells), noise)
    features = symbols * per_cell(step, quality, cells)
    return features.to(dtype).permute(0, 3, 1, 2), symbols.to(dtype).permute(0, 3, 1, 2)


def rap_dense_backward(grad_features, grad_symbols, y, levels, gain, step, quality, noise, seed, tables):
    """Gradients of ``rap_dense``: (grad_y, to_gain, to_step), the latter float32 [N * hr * wr, C] per region or None."""
    cells = cell_levels(levels, *y.shape[-2:])
    gains = per_cell(gain, quality, cells)
    at_features = None if grad_features is None else grad_features.permute(0, 2, 3, 1).float()
    total = 0 if at_features is None else at_features * per_cell(step, quality, cells)
    if grad_symbols is not None:
        total = total + grad_symbols.permute(0, 2, 3, 1).float()
    grad_y = (pool(total, cells) * gains).to(y.dtype).permute(0, 3, 1, 2)
    if not tables:
        return grad_y, None, None
    mean = pool(y.permute(0, 2, 3, 1).float(), cells)
    to_gain = region_sums(total * mean)
    if at_features is None:
        return grad_y, to_gain, torch.zeros_like(to_gain)
    noise = uniform_noise(y.shape, seed) if seed is not None else noise
    return grad_y, to_gain, region_sums(at_features * quantised(mean, gains, noise))


def uniform_noise(shape, seed):
    """See ``reference.uniform_noise``; seed int64 [1]."""
    count, channels, height, width = shape
    across = -(-width // 4)
    block = torch.arange(count * height * across * channels)
    mask = 0xFFFFFFFF
    c0, c1 = block & mask, block >> 32
    c2, c3 = torch.zeros_like(block), torch.zeros_like(block)
    k0, k1 = seed & mask, seed >> 32 & mask
    for _ in range(10):
        # The low 64 bits of the product are right whatever its sign bit says; the mask drops what the shift drags in.
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32 & mask) ^ c1 ^ k0, p1 & mask, (p0 >> 32 & mask) ^ c3 ^ k1, p0 & mask
        k0, k1 = k0 + 0x9E3779B9 & mask, k1 + 0xBB67AE85 & mask
    words = torch.stack([c0, c1, c2, c3]).reshape(4, count, height, across, channels)
    noise = (words >> 8).float() * 2.0**-24 - 0.5
    return noise.permute(1, 4, 2, 3, 0).reshape(count, channels, height, across * 4)[..., :width]
