"""Analysis and synthesis transforms: pixels <-> features at one eighth of the size.

    pixels -> lapped 16x16/8 analysis -> blocks at 1/8 -> blocks at 1/16 -> blocks at 1/8 -> y [N, C, h, w]
    y_hat + levels -> blocks at 1/8 -> blocks at 1/16 -> blocks at 1/8 -> lapped 16x16/8 synthesis -> pixels

Everything runs at an eighth of the image's size or below: space-to-depth first, then pointwise and depthwise
convolutions, because memory traffic and the number of calls bound a small codec (the observation behind DCVC-RT,
Jia et al. 2025). The first and the last layer work on 16 x 16 windows that advance by 8 (a lapped transform, Malvar
1989), so that no edge of the 8 x 8 grid shows.
"""
import torch
from torch import nn
from torch.nn import functional as F

STRIDE = 8
ALIGNED_GRID = 14  # 112 pixels: the aligned template, for which positions are meaningful
LEVELS = 3


class Block(nn.Module):
    """x + pointwise(SiLU(pointwise(depthwise(x)))), channels x expansion inside (the ConvNeXt block without its norm)."""

    def __init__(self, channels, kernel=5, expansion=2):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.expand = nn.Conv2d(channels, channels * expansion, 1)
        self.project = nn.Conv2d(channels * expansion, channels, 1)
        nn.init.normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def forward(self, x):
        return x + self.project(F.silu(self.expand(self.depthwise(x))))


class HalfResolution(nn.Module):
    """A residual branch of blocks at half the resolution: a wide receptive field at a quarter of the cost."""

    def __init__(self, channels, inner, blocks):
        super().__init__()
        self.down = nn.Conv2d(channels * 4, inner, 1)
        self.blocks = nn.Sequential(*[Block(inner) for _ in range(blocks)])
        self.up = nn.Conv2d(inner, channels * 4, 1)
        nn.init.normal_(self.up.weight, std=0.02)

    def forward(self, x):
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate") if height % 2 or width % 2 else x
        branch = F.pixel_shuffle(self.up(self.blocks(self.down(F.pixel_unshuffle(padded, 2)))), 2)
        return x + branch[..., :height, :width]


class Condition(nn.Module):
    """A bias per channel that depends on the quality, plus one per cell where faces are aligned."""

    def __init__(self, channels, qualities=100, anchors=16):
        super().__init__()
        self.quality = nn.Parameter(torch.zeros(anchors, channels))
        self.position = nn.Parameter(torch.zeros(channels, ALIGNED_GRID, ALIGNED_GRID))
        grid = torch.linspace(0, anchors - 1, qualities)
        lower = grid.floor().clamp(max=anchors - 2)
        self.register_buffer("lower", lower.long(), persistent=False)
        self.register_buffer("fraction", grid - lower, persistent=False)

    def forward(self, x, quality, aligned):
        """x [N, C, h, w], quality int64 [N] in 1..100, aligned bool [N] (only true on a 14 x 14 grid)."""
        index = quality - 1
        lower, fraction = self.lower[index], self.fraction[index, None]
        bias = torch.lerp(self.quality[lower], self.quality[lower + 1], fraction)
        x = x + bias[:, :, None, None]
        if x.shape[-2:] == (ALIGNED_GRID, ALIGNED_GRID):
            x = x + self.position * aligned[:, None, None, None].to(x.dtype)
        return x


class Analysis(nn.Module):
    """Pixels float [N, 3, H, W] in 0..1 -> features float [N, C, ceil(H/8), ceil(W/8)]."""

    def __init__(self, channels, width, inner, outer_blocks, inner_blocks):
        super().__init__()
        self.lapped = nn.Conv2d(3 * STRIDE**2, width, 2)
        self.condition = Condition(width)
        self.head = nn.Sequential(*[Block(width) for _ in range(outer_blocks[0])])
        self.coarse = HalfResolution(width, inner, inner_blocks)
        self.tail = nn.Sequential(*[Block(width) for _ in range(outer_blocks[1])])
        self.out = nn.Conv2d(width, channels, 1)

    def forward(self, pixels, quality, aligned):
        height, width = pixels.shape[-2:]
        # Windows of 16 centred on each 8 x 8 cell: 4 pixels before, and up to the next multiple of 8 plus 4 behind.
        pad = (4, -width % STRIDE + 4, 4, -height % STRIDE + 4)
        x = F.pixel_unshuffle(F.pad((pixels - 0.5) * 2, pad, mode="replicate"), STRIDE)
        x = self.condition(self.lapped(x), quality, aligned)
        return self.out(self.tail(self.coarse(self.head(x))))


class Synthesis(nn.Module):
    """Features float [N, C, h, w] and region levels -> pixels float [N, 3, H, W] (not clamped)."""

    def __init__(self, channels, width, inner, outer_blocks, inner_blocks):
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 1)
        self.level = nn.Parameter(torch.zeros(LEVELS, width))
        self.condition = Condition(width)
        self.head = nn.Sequential(*[Block(width) for _ in range(outer_blocks[0])])
        self.coarse = HalfResolution(width, inner, inner_blocks)
        self.tail = nn.Sequential(*[Block(width) for _ in range(outer_blocks[1])])
        self.lapped = nn.Conv2d(width, 3 * STRIDE**2, 2, padding=1)

    def forward(self, features, level_weights, quality, aligned, height, width):
        """level_weights float [N, 3, h, w]: one-hot of each cell's region level."""
        x = self.enter(features) + torch.einsum("nlhw,lc->nchw", level_weights, self.level)
        x = self.condition(x, quality, aligned)
        x = self.lapped(self.tail(self.coarse(self.head(x))))
        pixels = F.pixel_shuffle(x, STRIDE)[..., 4 : 4 + height, 4 : 4 + width]
        return pixels / 2 + 0.5
