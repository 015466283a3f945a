"""The reference's arithmetic, vectorised in plain PyTorch: what runs on every device in this version.

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
    return levels.long().repeat_interleave(REGION, 1).repeat_interleave(REGION, 2)[:, :height, :width]


def pair_sums(x):
    """Sum over 2 x 2 by the fixed tree, missing cells as zero: [N, h, w, C] -> [N, ceil(h/2), ceil(w/2), C]."""
    height, width = x.shape[1:3]
    if height % 2 or width % 2:
        x = torch.nn.functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    return (x[:, 0::2, 0::2] + x[:, 0::2, 1::2]) + (x[:, 1::2, 0::2] + x[:, 1::2, 1::2])


def spread(x, size, height, width):
    """Repeat every cell over its footprint: [N, a, b, C] -> [N, h, w, C]."""
    return x.repeat_interleave(size, 1).repeat_interleave(size, 2)[:, :height, :width]


def pool(y, cells):
    """Mean of each cell's footprint, at every cell of it: y float32 [N, h, w, C], cells int64 [N, h, w]."""
    height, width = y.shape[1:3]
    out = y
    highest = int(cells.max()) if cells.numel() else 0
    sums = y
    for level in range(1, highest + 1):
        sums = pair_sums(sums)
        mean = spread(sums, 1 << level, height, width) * footprint_reciprocal(height, width, level, y.device)[None, :, :, None]
        out = torch.where((cells == level)[..., None], mean, out)
    return out


def per_cell(table, quality, cells):
    """Rows of a table [Q, 3, C] for every cell: [N, h, w, C]."""
    count, height, width = cells.shape
    index = cells.reshape(count, height * width, 1).expand(-1, -1, table.shape[2])
    return table[quality].gather(1, index).reshape(count, height, width, table.shape[2])


def kept_cells(cells):
    """True at the top-left cell of each footprint: int64 [N, h, w] -> bool [N, h, w]."""
    size = 1 << cells
    rows = torch.arange(cells.shape[1], device=cells.device)[:, None]
    columns = torch.arange(cells.shape[2], device=cells.device)[None, :]
    return (rows % size == 0) & (columns % size == 0)


def rap_quantize(y, levels, gain, quality):
    """See ``ops.rap_quantize``."""
    count, channels, height, width = y.shape
    cells = cell_levels(levels, height, width)
    scaled = pool(y.permute(0, 2, 3, 1).float(), cells) * per_cell(gain, quality, cells)
    symbols = scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round().to(torch.int16).reshape(count, height * width, channels)
    order = coding_permutation(height, width, levels.device)
    kept = kept_cells(cells).reshape(count, height * width)[:, order]
    counts = kept.sum(1)
    out = torch.zeros(count, height * width, channels, dtype=torch.int16, device=y.device)
    place = kept.cumsum(1) - 1
    n, k = kept.nonzero(as_tuple=True)
    out[n, place[n, k]] = symbols[n, order[k]]
    return out.reshape(count, height * width * channels), counts * channels


def rap_unpool(symbols, levels, step, quality, height, width):
    """See ``ops.rap_unpool``."""
    count, channels = levels.shape[0], step.shape[2]
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
    values = symbols.reshape(count, symbols.shape[1] // channels, channels).gather(1, at[..., None].expand(-1, -1, channels))
    out = values.reshape(count, height, width, channels).to(torch.float32) * per_cell(step, quality, cells)
    return out.permute(0, 3, 1, 2)


def rap_quantize_dense(y, levels, gain, step, quality, noise):
    """See ``ops.rap_quantize_dense``; differentiable in y, gain and step by autograd."""
    height, width = y.shape[-2:]
    cells = cell_levels(levels, height, width)
    gains = per_cell(gain, quality, cells)
    scaled = pool(y.permute(0, 2, 3, 1).float(), cells) * gains
    if noise is None:
        clamped = scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        rounded = clamped + (clamped.round() - clamped).detach()
    else:
        rounded = scaled + noise.permute(0, 2, 3, 1)
    features = rounded * per_cell(step, quality, cells)
    return features.permute(0, 3, 1, 2), rounded.permute(0, 3, 1, 2)
