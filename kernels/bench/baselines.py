"""What the benchmarks compare with: the same operations as PyTorch users would write them, for eager mode and
torch.compile.

Tensors as in ops.py. Sums are not over the fixed tree, so a symbol may differ where a mean lies on a half.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .._grid import LEVELS, REGION, SYMBOL_LIMIT
from . import eager


def through(scaled: Tensor) -> Tensor:
    """round(clamp(x)), the gradient as if nothing had happened."""
    return scaled + (scaled.clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round() - scaled).detach()


def pooled_by_layers(y: Tensor, levels: Tensor, gain: Tensor, step: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    """The plain way: average pooling and ``where``, level by level -> (features, symbols), float32 or y's dtype."""
    height, width = y.shape[-2:]
    cells = levels.repeat_interleave(REGION, 1).repeat_interleave(REGION, 2)[:, None, :height, :width]
    features, symbols = torch.zeros_like(y), torch.zeros_like(y)
    for level in range(LEVELS):
        mean = y
        if level:
            mean = F.interpolate(
                F.avg_pool2d(y, 1 << level, ceil_mode=True, count_include_pad=False), scale_factor=1 << level
            )
            mean = mean[:, :, :height, :width]
        g, s = gain[quality, level][:, :, None, None], step[quality, level][:, :, None, None]
        symbol = through(mean.float() * g)
        symbols = torch.where(cells == level, symbol.to(y.dtype), symbols)
        features = torch.where(cells == level, (symbol * s).to(y.dtype), features)
    return features, symbols


def scaled_by_regions(y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor) -> Tensor:
    """Means times gains at every cell, float32 [N, hr*4, wr*4, C], by views alone: one fused pass for a compiler."""
    count, channels, height, width = y.shape
    rows, columns = levels.shape[1:]
    x = F.pad(y.permute(0, 2, 3, 1), (0, 0, 0, columns * REGION - width, 0, rows * REGION - height)).float()
    x = x.view(count, rows, 2, 2, columns, 2, 2, channels)
    tall, wide = (F.pad(torch.ones(n, device=y.device), (0, -n % REGION)).view(-1, 2, 2) for n in (height, width))
    cells = (tall.sum(2)[:, :, None, None] * wide.sum(2)[None, None]).clamp(min=1)  # [hr, 2, wr, 2]
    quarter = x.sum((3, 6))
    whole = quarter.sum((2, 4)) / (tall.sum((1, 2))[:, None] * wide.sum((1, 2))[None])[None, :, :, None]
    quarter = (quarter / cells[None, ..., None])[:, :, :, None, :, :, None]
    level = levels[:, :, None, None, :, None, None, None]
    mean = torch.where(level == 0, x, torch.where(level == 1, quarter, whole[:, :, None, None, :, None, None]))
    return mean * at_regions(gain, quality, levels)


def at_regions(table: Tensor, quality: Tensor, levels: Tensor) -> Tensor:
    """Rows of a table for every region, to multiply [N, hr, 2, 2, wr, 2, 2, C]."""
    return table[quality[:, None, None], levels.long()][:, :, None, None, :, None, None]


def pooled_by_regions(y: Tensor, levels: Tensor, gain: Tensor, step: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    """As ``pooled_by_layers``, formulated for torch.compile."""
    count, channels, height, width = y.shape
    symbols = through(scaled_by_regions(y, levels, gain, quality))
    features = symbols * at_regions(step, quality, levels)

    def back(x: Tensor) -> Tensor:
        x = x.reshape(count, levels.shape[1] * REGION, levels.shape[2] * REGION, channels)[:, :height, :width]
        return x.permute(0, 3, 1, 2).to(y.dtype)

    return back(features), back(symbols)


def encoded_by_scatter(y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols in coding order by a scatter into the whole capacity, without a shape that depends on data -> int16 [N,
    h*w*C], counts."""
    count, channels, height, width = y.shape
    scaled = scaled_by_regions(y, levels, gain, quality)
    scaled = scaled.reshape(count, levels.shape[1] * REGION, levels.shape[2] * REGION, channels)[:, :height, :width]
    symbols = scaled.nan_to_num(0.0).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).round().to(torch.int16)
    symbols = symbols.reshape(count, height * width, channels)
    order = eager.coding_permutation(height, width, y.device)
    kept = eager.kept_cells(eager.cell_levels(levels, height, width)).reshape(count, -1)[:, order]
    place = torch.where(kept, kept.cumsum(1) - 1, height * width)
    out = torch.zeros(count, height * width + 1, channels, dtype=torch.int16, device=y.device)
    out = out.scatter(1, place[..., None].expand(-1, -1, channels), symbols[:, order])
    return out[:, :-1].reshape(count, -1), kept.sum(1) * channels
