"""Analysis and synthesis transforms: pixels <-> features at one eighth of the size.

    pixels -> lapped 8x8/4 analysis -> blocks at 1/4 -> blocks at 1/8 -> blocks at 1/16
           -> repeated 2 x 2, + detail at 1/8 -> y [N, C, h, w]

    y_hat + levels -> blocks at 1/16 -> + y_hat, blocks at 1/8 -> blocks at 1/4
                   -> lapped 8x8/4 synthesis -> pixels

What a face is made of is coded at a sixteenth of the size, as in most learned codecs: a region of level 1 keeps just
that. The grid has eighths, so that a region of level 0 can add detail to it, and one of level 2 can do with less.

Everything runs at a quarter of the image's size or below: space-to-depth first, then pointwise and depthwise
convolutions, because memory traffic and the number of calls bound a small codec (the observation behind DCVC-RT,
Jia et al. 2025). The first and the last layer work on 8 x 8 windows that advance by 4 (a lapped transform, Malvar
1989), so that no edge of a 4 x 4 grid shows.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.geometry import ALIGNED_GRID, LEVELS, STRIDE
from .anchors import Anchors

QUARTER, COARSE = 4, 16  # of the first layer, and of the innermost blocks

Sizes: TypeAlias = tuple[int, int, int]  # at a quarter, an eighth and a sixteenth of the size


def start_small(layer: nn.Conv2d, deviation: float) -> None:
    """A layer whose result is next to nothing at first."""
    nn.init.normal_(layer.weight, std=deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """x + pointwise(SiLU(pointwise(depthwise(x)))), channels x expansion inside: ConvNeXt's block without its norm."""

    def __init__(self, channels: int, kernel: int = 5, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.expand = nn.Conv2d(channels, channels * expansion, 1)
        self.project = nn.Conv2d(channels * expansion, channels, 1)
        start_small(self.project, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.project(F.silu(self.expand(self.depthwise(x))))
        return x + added


class Condition(nn.Module):
    """A bias per channel that depends on the quality, plus one per cell where faces are aligned; ``side``: of their
    grid."""

    def __init__(self, channels: int, side: int = ALIGNED_GRID, anchors: int = 16) -> None:
        super().__init__()
        self.side = side
        self.quality = nn.Parameter(torch.zeros(anchors, channels))
        self.position = nn.Parameter(torch.zeros(channels, side, side))
        self.anchors = Anchors(anchors)

    def forward(self, x: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
        """x [N, C, h, w], quality int64 [N] in 1..100, aligned bool [N] (only true on a grid of ``side`` cells)."""
        x = x + self.anchors.at(self.quality, quality)[:, :, None, None]
        return added_position(x, self.position, aligned)


def added_position(x: Tensor, position: Tensor, aligned: Tensor) -> Tensor:
    """x [N, C, h, w] plus position [C, side, side] where aligned bool [N] says so, which it does on that grid alone."""
    if torch.compiler.is_exporting():  # a graph for all sizes: on other grids any numbers do, as nobody is aligned
        rows, columns = (torch.arange(n, device=x.device).clamp(max=position.shape[-1] - 1) for n in x.shape[-2:])
        position = position[:, rows][:, :, columns]
    elif x.shape[-2:] != position.shape[-2:]:
        return x
    return x + position * aligned[:, None, None, None].to(x.dtype)


class Analysis(nn.Module):
    """Pixels float [N, 3, H, W] in 0..1 -> features float [N, C, ceil(H/8), ceil(W/8)].

    widths, blocks: channels and blocks at a quarter, an eighth and a sixteenth of the size.
    """

    def __init__(self, channels: int, widths: Sizes, blocks: Sizes) -> None:
        super().__init__()
        fine, width, inner = widths
        self.lapped = nn.Conv2d(3 * QUARTER**2, fine, 2)
        self.fine = stage(fine, blocks[0], kernel=3)
        self.down = nn.Conv2d(fine * 4, width, 1)
        self.condition = Condition(width)
        self.middle = stage(width, blocks[1])
        self.down_inner = nn.Conv2d(width * 4, inner, 1)
        self.condition_inner = Condition(inner, ALIGNED_GRID // 2)
        self.inner = stage(inner, blocks[2])
        self.out = nn.Conv2d(inner, channels, 1)
        self.detail = nn.Conv2d(width, channels, 1)
        nn.init.normal_(self.detail.weight, std=0.01)

    def forward(self, pixels: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        # Windows of 8 centred on each 4 x 4 cell: 2 pixels before, and up to the next multiple of 16 plus 2 behind.
        pad = (2, -width % COARSE + 2, 2, -height % COARSE + 2)
        x = F.pixel_unshuffle(F.pad((pixels - 0.5) * 2, pad, mode="replicate"), QUARTER)
        x = self.down(F.pixel_unshuffle(self.fine(self.lapped(x)), 2))
        x = self.middle(self.condition(x, quality, aligned))
        coarse = self.down_inner(F.pixel_unshuffle(x, 2))
        coarse = self.out(self.inner(self.condition_inner(coarse, quality, aligned)))
        y: Tensor = F.interpolate(coarse, scale_factor=2.0, mode="nearest") + self.detail(x)
        # No floor of a negative number, which ONNX divides otherwise.
        return y[..., : (height + STRIDE - 1) // STRIDE, : (width + STRIDE - 1) // STRIDE]


class Synthesis(nn.Module):
    """Features float [N, C, h, w] and region levels -> pixels float [N, 3, H, W] (not clamped); arguments as for
    ``Analysis``."""

    def __init__(self, channels: int, widths: Sizes, blocks: Sizes) -> None:
        super().__init__()
        fine, width, inner = widths
        self.enter_inner = nn.Conv2d(channels * 4, inner, 1)
        with torch.no_grad():  # at first all four cells count alike
            weight = self.enter_inner.weight
            weight.copy_(
                weight.reshape(inner, channels, 4).mean(2, keepdim=True).expand(-1, -1, 4).reshape(weight.shape) * 2
            )
        self.level = nn.Parameter(torch.zeros(LEVELS, inner))
        self.condition_inner = Condition(inner, ALIGNED_GRID // 2)
        self.inner = stage(inner, blocks[2])
        self.up_inner = nn.Conv2d(inner, width * 4, 1)
        self.enter = nn.Conv2d(channels, width, 1)
        self.condition = Condition(width)
        self.middle = stage(width, blocks[1])
        self.up = nn.Conv2d(width, fine * 4, 1)
        self.fine = stage(fine, blocks[0], kernel=3)
        self.lapped = nn.Conv2d(fine, 3 * QUARTER**2, 2, padding=1)

    def forward(
        self, features: Tensor, level_weights: Tensor, quality: Tensor, aligned: Tensor, height: int, width: int
    ) -> Tensor:
        """level_weights float [N, 3, h, w]: one-hot of each cell's region level."""
        rows, columns = features.shape[-2:]
        if torch.compiler.is_exporting() or rows % 2 or columns % 2:
            features = F.pad(features, (0, columns % 2, 0, rows % 2), mode="replicate")
        # Regions are whole pairs of cells: every other cell says all about the levels.
        level = torch.einsum("nlhw,lc->nchw", level_weights[..., ::2, ::2], self.level)
        x = self.enter_inner(F.pixel_unshuffle(features, 2)) + level
        x = self.up_inner(self.inner(self.condition_inner(x, quality, aligned)))
        x = F.pixel_shuffle(x, 2) + self.enter(features)
        x = self.up(self.middle(self.condition(x, quality, aligned)))
        x = self.lapped(self.fine(F.pixel_shuffle(x, 2)))
        pixels = F.pixel_shuffle(x, QUARTER)[..., 2 : 2 + height, 2 : 2 + width]
        return pixels / 2 + 0.5


def stage(channels: int, blocks: int, kernel: int = 5) -> nn.Sequential:
    """Blocks one after the other."""
    return nn.Sequential(*[Block(channels, kernel) for _ in range(blocks)])
