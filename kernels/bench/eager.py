"""The reference's arithmetic over the fixed tree in plain PyTorch, vectorised: what benchmarks and tests compare with.

On its fastest eager form and on torch.compile's code from it stands what a kernel has to beat. The operations
themselves never run it.
"""

import functools

import torch
from torch import Tensor

from .._grid import LEVELS, REGION, SYMBOL_LIMIT, regions

Device = torch.device | str


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve autograd as well
def coding_permutation(height: int, width: int, device: Device = "cpu") -> Tensor:
    """Cells in coding order if all were kept, int64 [h*w]: regions in raster order, and in each its cells."""
    rows = torch.arange(height, device=device)[:, None].expand(height, width)
    columns = torch.arange(width, device=device)[None, :].expand(height, width)
    _, wide = regions(height, width)
    key = ((rows // REGION) * wide + columns // REGION) * REGION**2 + (rows % REGION) * REGION + columns % REGION
    return key.flatten().argsort()


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def footprint_reciprocal(height: int, width: int, level: int, device: Device = "cpu") -> Tensor:
    """Float32 1 / (number of cells of each footprint that exist), per cell: [h, w]."""
    size = 1 << level

    def extent(length: int) -> Tensor:
        start = torch.arange(length, device=device) // size * size
        return (start + size).clamp(max=length) - start

    return 1.0 / (extent(height)[:, None] * extent(width)[None, :]).to(torch.float32)


def cell_levels(levels: Tensor, height: int, width: int) -> Tensor:
    """Levels uint8 [N, hr, wr] -> int64 [N, h, w]."""
    return spread(levels.long()[..., None], REGION, height, width)[..., 0]


def pair_sums(x: Tensor) -> Tensor:
    """Sum over 2 x 2 by the fixed tree, missing cells as zero: [N, h, w, C] -> [N, ceil(h/2), ceil(w/2), C]."""
    count, height, width, channels = x.shape
    if height % 2 or width % 2:
        x = torch.nn.functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    left, right = x.view(count, (height + 1) // 2, 2, (width + 1) // 2, 2, channels).unbind(4)
    upper, lower = (left + right).unbind(2)
    return upper + lower


def spread(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """Repeat every cell over its footprint: [N, a, b, C] -> [N, h, w, C]."""
    count, tall, wide, channels = x.shape
    x = x[:, :, None, :, None].expand(count, tall, size, wide, size, channels)
    return x.reshape(count, tall * size, wide * size, channels)[:, :height, :width]


def pool(y: Tensor, cells: Tensor) -> Tensor:
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


def per_cell(table: Tensor, quality: Tensor, cells: Tensor) -> Tensor:
    """Rows of a table [Q, 3, C] for every cell: [N, h, w, C]."""
    row = quality[:, None, None] * table.shape[1] + cells
    return table.flatten(0, 1).index_select(0, row.flatten()).view(*cells.shape, table.shape[2])


def kept_cells(cells: Tensor) -> Tensor:
    """True at the top-left cell of each footprint: int64 [N, h, w] -> bool [N, h, w]."""
    size = 1 << cells
    rows = torch.arange(cells.shape[1], device=cells.device)[:, None]
    columns = torch.arange(cells.shape[2], device=cells.device)[None, :]
    return (rows % size == 0) & (columns % size == 0)


def rap_quantize(
    y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor, indexes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As ``ops.rap_quantize`` -> (symbols, counts, tables or None)."""
    count, channels, height, width = y.shape
    cells = cell_levels(levels, height, width)
    scaled = pool(y.permute(0, 2, 3, 1).float(), cells) * per_cell(gain, quality, cells)
    # nan_to_num first: a cast of not-a-number to an integer differs between devices.
    scaled = scaled.nan_to_num(0.0, SYMBOL_LIMIT, -SYMBOL_LIMIT).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
    symbols = scaled.round().to(torch.int16)
    order = coding_permutation(height, width, levels.device)
    kept = kept_cells(cells).reshape(count, height * width)[:, order]
    n, k = kept.nonzero(as_tuple=True)
    place = (kept.cumsum(1) - 1)[n, k]

    def in_order(values: Tensor) -> Tensor:
        out = torch.zeros(count, height * width, channels, dtype=torch.int16, device=y.device)
        out[n, place] = values.reshape(count, height * width, channels)[n, order[k]]
        return out.reshape(count, height * width * channels)

    tables = None if indexes is None else in_order(per_cell(indexes, quality, cells))
    return in_order(symbols), kept.sum(1) * channels, tables


def symbols_at_cells(symbols: Tensor, levels: Tensor, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(symbol that stands for each cell, int16 [N, h, w, C], 0 where a row holds too few; levels of cells)."""
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
    values = symbols.reshape(count, room, channels).gather(
        1, at.clamp(max=room - 1)[..., None].expand(-1, -1, channels)
    )
    values = values.masked_fill((at >= room)[..., None], 0) if room < height * width else values
    return values.reshape(count, height, width, channels), cells


def rap_unpool(
    symbols: Tensor,
    levels: Tensor,
    step: Tensor,
    quality: Tensor,
    height: int,
    width: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """As ``ops.rap_unpool``."""
    values, cells = symbols_at_cells(symbols, levels, step.shape[2], height, width)
    return (values.to(torch.float32) * per_cell(step, quality, cells)).to(dtype).permute(0, 3, 1, 2)


def rap_dense(y: Tensor, levels: Tensor, gain: Tensor, step: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    """As ``ops.rap_quantize_dense`` without noise, in y's dtype; the gradient passes straight through rounding."""
    height, width = y.shape[-2:]
    cells = cell_levels(levels, height, width)
    x = y.permute(0, 2, 3, 1).float()
    sums, mean = x, x
    for level in range(1, LEVELS):
        sums = pair_sums(sums)
        size = 1 << level
        pooled = sums * footprint_reciprocal(height, width, level, y.device)[::size, ::size, None]
        mean = torch.where((cells == level)[..., None], spread(pooled, size, height, width), mean)
    scaled = mean * per_cell(gain, quality, cells)
    symbols = scaled + (scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round() - scaled).detach()
    features = symbols * per_cell(step, quality, cells)
    return features.to(y.dtype).permute(0, 3, 1, 2), symbols.to(y.dtype).permute(0, 3, 1, 2)
