"""Regionally Adaptive Pooling: which regions are kept fine and which are pooled (Chen and He 2018, section on RAP).

The feature grid is cut into regions of 4 x 4 cells. A region's level l in {0, 1, 2} pools it by 2**l in each direction.
``LevelHead`` proposes levels. It learns from what each level would have cost each region, measured
(lfic/train/levels.py).
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.geometry import ALIGNED_GRID, LEVELS, REGION, region_grid
from ..kernels import rap_quantize, rap_unpool
from .anchors import Anchors
from .transform import added_position, start_small

Draw: TypeAlias = Callable[..., Tensor]  # (shape, device=...) -> uniform random numbers in 0..1, as torch.rand


def region_mean(x: Tensor) -> Tensor:
    """Mean over the cells of each region that exist: [N, C, h, w] -> [N, C, ceil(h/4), ceil(w/4)]."""
    return F.avg_pool2d(x, REGION, ceil_mode=True, count_include_pad=False)


def region_totals(x: Tensor, side: int = REGION) -> Tensor:
    """Sums over squares of ``side``, the last ones partial: [N, C, H, W] -> [N, C, ceil(H/side), ceil(W/side)]."""
    height, width = x.shape[-2:]
    return F.avg_pool2d(F.pad(x, (0, -width % side, 0, -height % side)), side) * side**2


def expand_regions(per_region: Tensor, height: int, width: int) -> Tensor:
    """Repeat a value per region over its cells: [N, K, hr, wr] -> [N, K, h, w]."""
    cells = per_region.repeat_interleave(REGION, 2).repeat_interleave(REGION, 3)
    return cells[:, :, :height, :width]


class LevelHead(nn.Module):
    """Logits of the three levels for each region, from what pooling would lose there.

    Inputs are, per region: the mean feature, and the mean absolute detail that level 1 and level 2 would remove.
    """

    def __init__(self, channels: int, hidden: int = 64, anchors: int = 16) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 * channels, hidden, 1)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, LEVELS, 1)
        self.quality = nn.Parameter(torch.zeros(anchors, LEVELS))
        self.position = nn.Parameter(torch.zeros(LEVELS, *region_grid(ALIGNED_GRID, ALIGNED_GRID)))
        start_small(self.out, 0.01)
        self.anchors = Anchors(anchors)

    def forward(self, y: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
        """y float [N, C, h, w] of about unit deviation, quality int64 [N], aligned bool [N] -> float [N, 3, hr, wr]."""
        height, width = y.shape[-2:]
        mean = region_mean(y)
        pooled = F.avg_pool2d(y, 2, ceil_mode=True, count_include_pad=False)
        pooled = pooled.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
        detail1 = region_mean((y - pooled).abs())
        detail2 = region_mean((y - expand_regions(mean, height, width)).abs())
        x = F.silu(self.enter(torch.cat([mean, detail1, detail2], 1)))
        logits: Tensor = self.out(F.silu(x + self.mix(x)))
        logits = logits + self.anchors.at(self.quality, quality)[:, :, None, None]
        return added_position(logits, self.position, aligned)


def explored(logits: Tensor, explore: float = 0.0, draw: Draw = torch.rand) -> Tensor:
    """Levels drawn with the head's probabilities, with the probability ``explore`` uniformly: uint8 [N, hr, wr].

    logits float [N, 3, hr, wr].
    """
    uniform = draw(logits.shape, device=logits.device).clamp_(1e-6, 1 - 1e-6)
    index = (logits - torch.log(-torch.log(uniform))).argmax(1)
    if explore > 0:
        dice = draw(index.shape, device=logits.device)
        random = (draw(index.shape, device=logits.device) * LEVELS).long()
        index = torch.where(dice < explore, random, index)
    return index.to(torch.uint8)


def pooled_symbols(y: Tensor, levels: Tensor, gain: Tensor, quality: Tensor) -> list[NDArray[np.int16]]:
    """Symbols of every face, as the coder takes them: list of int16 ndarray [kept cells * C] in coding order.

    y float [N, C, h, w]; levels uint8 [N, hr, wr]; gain float32 [100, 3, C]; quality int64 [N] in 1..100.
    """
    symbols, counts = rap_quantize(y, levels, gain, quality - 1, tail=False)
    rows: NDArray[np.int16] = symbols.cpu().numpy()
    return [rows[i, :count] for i, count in enumerate(counts.tolist())]


def unpooled_features(
    symbols: Sequence[NDArray[np.int16]], levels: Tensor, step: Tensor, quality: Tensor, height: int, width: int
) -> Tensor:
    """The inverse for one grid size: list of int16 ndarray -> float32 [N, C, height, width]."""
    capacity = torch.zeros(len(symbols), height * width * step.shape[2], dtype=torch.int16)
    for row, values in zip(capacity, symbols):
        row[: len(values)] = torch.from_numpy(values)
    return rap_unpool(capacity.to(step.device), levels, step, quality - 1, height, width)
