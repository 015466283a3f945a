"""The whole network: analysis -> RAP -> quantise -> (entropy model) -> dequantise -> synthesis.

         quality, aligned                              quality, aligned, levels
               |                                                |
pixels --> Analysis --> y --> pool by level --> round --> unpool --> Synthesis --> pixels
                        |           ^             |
                        +-> LevelHead             +--> EntropyModel: bits
"""

import copy
import dataclasses
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.geometry import LEVELS
from ..kernels import rap_quantize_dense
from .entropy import EntropyModel
from .gains import Gains
from .rap import Draw, LevelHead, expand_regions, explored
from .transform import Analysis, Sizes, Synthesis


@dataclasses.dataclass(frozen=True)
class CodecNetConfig:
    """Sizes of the network; stored in the weights file."""

    channels: int = 96
    widths: Sizes = (64, 128, 256)  # channels at a quarter, an eighth and a sixteenth of the size
    analysis_blocks: Sizes = (1, 2, 5)  # how many there
    synthesis_blocks: Sizes = (1, 2, 4)
    groups: int = 6
    hidden1: int = 128
    hidden2: int = 64
    pictures: bool = False  # whether pictures that are no template crops have an analysis and a head of their own


@dataclasses.dataclass
class TrainingOutput:
    """What ``CodecNet.forward`` gives.

    pixels float [N, 3, H, W], None where rates alone were asked for; bits float [N]; levels uint8 [N, hr, wr]; logits
    of the levels float [N, 3, hr, wr], whose gradient reaches the head alone; features float [N, C, h, w].
    """

    pixels: Tensor | None
    bits: Tensor
    levels: Tensor
    logits: Tensor
    features: Tensor


class CodecNet(nn.Module):
    """See the module's docstring. Quality is int64 [N] in 1..100; aligned bool [N], true only on a 14 x 14 grid."""

    def __init__(self, config: CodecNetConfig = CodecNetConfig()) -> None:
        super().__init__()
        self.config = config
        c = config
        self.analysis = Analysis(c.channels, c.widths, c.analysis_blocks)
        self.pictures = Analysis(c.channels, c.widths, c.analysis_blocks) if c.pictures else None
        self.level_head = LevelHead(c.channels)
        self.pictures_head = LevelHead(c.channels) if c.pictures else None
        self.gains = Gains(c.channels)
        self.entropy = EntropyModel(c.channels, c.groups, c.hidden1, c.hidden2)
        self.synthesis = Synthesis(c.channels, c.widths, c.synthesis_blocks)

    @property
    def gain(self) -> Tensor:
        """Float [100, 3, C]: what a pooled feature is multiplied by before it is rounded."""
        return self.gains.table()

    @property
    def step(self) -> Tensor:
        """Float [100, 3, C]: what a symbol is multiplied by."""
        return 1 / self.gains.table()

    def with_entropy(self, entropy: EntropyModel) -> Self:
        """The same modules, but for the entropy model."""
        out = copy.copy(self)
        out._modules = {**self._modules, "entropy": entropy}
        return out

    def analyze(self, pixels: Tensor, quality: Tensor, aligned: Tensor, alike: bool | None = None) -> Tensor:
        """Pixels float [N, 3, H, W] in 0..1 -> features float [N, C, ceil(H/8), ceil(W/8)].

        alike: what ``aligned`` says of all of them, where the caller knows: nobody need ask the device.
        """
        features: Tensor
        if self.pictures is None:
            features = self.analysis(pixels, quality, aligned)
            return features
        if torch.compiler.is_exporting():
            one, other = (transform(pixels, quality, aligned) for transform in (self.analysis, self.pictures))
            return torch.where(aligned[:, None, None, None], one, other)
        if alike is None and (aligned == aligned[:1]).all():
            alike = bool(aligned[:1].all())
        if alike is not None:
            features = (self.analysis if alike else self.pictures)(pixels, quality, aligned)
            return features
        features = self.pictures(pixels, quality, aligned)
        return features.index_put((aligned,), self.analysis(pixels[aligned], quality[aligned], aligned[aligned]))

    def level_logits(self, y: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
        """Features -> logits float [N, 3, hr, wr]."""
        scaled = y * self.entropy.value_scale.exp()[:, None, None]
        logits: Tensor = self.level_head(scaled, quality, aligned)
        if self.pictures_head is not None:
            other = self.pictures_head(scaled, quality, torch.zeros_like(aligned))
            logits = torch.where(aligned[:, None, None, None], logits, other)
        return logits

    def region_levels(self, y: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
        """The head's choice: uint8 [N, hr, wr]."""
        return self.level_logits(y, quality, aligned).argmax(1).to(torch.uint8)

    def synthesize(
        self, features: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor, height: int, width: int
    ) -> Tensor:
        """Dequantised, unpooled features [N, C, h, w] and levels uint8 [N, hr, wr] -> pixels [N, 3, H, W] in 0..1."""
        weights = F.one_hot(levels.long(), LEVELS).permute(0, 3, 1, 2).to(features.dtype)
        weights = expand_regions(weights, *features.shape[-2:])
        pixels: Tensor = self.synthesis(features, weights, quality, aligned, height, width)
        return pixels.clamp(0, 1)

    def code(
        self, y: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """What a file at given region levels would show and cost, differentiable in y: (pixels float [N, 3, H, W] in
        0..1, bits float [N]).

        Symbols are rounded; the gradient passes as if they were not. levels uint8 [N, hr, wr]. The level map's bits are
        not counted.
        """
        features, cells, bits = self.coded(y, levels, quality, aligned)
        return self.synthesis(features, cells, quality, aligned, height, width).clamp(0, 1), bits.sum((1, 2))

    def coded(
        self, y: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features as the decoder has them, and what they cost.

        Args as for ``code``; noise: float [N, C, h, w] that takes the place of rounding in the rates, or None.
        Returns (features float [N, C, h, w], one-hot levels float [N, 3, h, w], bits float [N, h, w], a kept cell's
        spread over its footprint).
        """
        gain, step = self.gain, self.step
        features, symbols = rap_quantize_dense(y, levels, gain, step, quality - 1, noise, mixed=noise is not None)
        cells = F.one_hot(levels.long(), LEVELS).permute(0, 3, 1, 2).to(y.dtype)
        cells = expand_regions(cells, *y.shape[-2:])
        steps = torch.einsum("nlhw,nlc->nchw", cells, step[quality - 1])
        with torch.autocast(y.device.type, enabled=False):
            mean, log_scale = self.entropy(features, steps, cells.argmax(1), quality, aligned)
        return features, cells, self.entropy.bits(symbols, mean, log_scale).sum(1) * shares(cells)

    def forward(
        self,
        pixels: Tensor,
        quality: Tensor,
        aligned: Tensor,
        explore: float = 0.0,
        uniform_level: Tensor | None = None,
        hard: bool = False,
        draw: Draw = torch.rand,
        synthesize: bool = True,
    ) -> TrainingOutput:
        """One training pass.

        Args:
            pixels: float [N, 3, H, W] in 0..1.
            explore: probability that a region's level is drawn at random instead of from the head.
            uniform_level: int64 [N] or None: level of all regions where it is >= 0.
            hard: rates of rounded symbols instead of symbols with uniform noise.
            draw: (shape, device=...) -> uniform random numbers; the first dimension counts faces.
            synthesize: False: rates alone, ``pixels`` of the result is None.

        Under autocast the transforms run in its precision; features, symbols and rates stay in float32.
        """
        y = self.analyze(pixels, quality, aligned).float()  # bfloat16 could not hold a symbol
        # What a level is worth is measured (lfic/train/levels.py), not read off the gradient: the head alone learns
        # from that.
        logits = self.level_logits(y.detach(), quality, aligned).float()
        levels = explored(logits.detach(), explore, draw)
        if uniform_level is not None:
            levels = torch.where(
                (uniform_level >= 0)[:, None, None], uniform_level.to(torch.uint8)[:, None, None], levels
            )
        noise = None if hard else draw(y.shape, device=y.device) - 0.5
        features, cells, bits = self.coded(y, levels, quality, aligned, noise)
        out = self.synthesis(features, cells, quality, aligned, *pixels.shape[-2:]).float() if synthesize else None
        return TrainingOutput(out, bits.sum((1, 2)), levels, logits, y)


def shares(cells: Tensor) -> Tensor:
    """What a kept cell counts at each cell of its footprint: one-hot levels float [N, 3, h, w] -> float [N, h, w]."""
    height, width = cells.shape[-2:]
    each = [cells[:, level] / footprint(level, height, width, cells) for level in range(LEVELS)]
    return sum(each[1:], start=each[0])


def footprint(level: int, height: int, width: int, like: Tensor) -> Tensor:
    """Number of existing cells under each cell's footprint, float [h, w]."""
    size = 1 << level
    rows = torch.arange(height, device=like.device) // size * size
    columns = torch.arange(width, device=like.device) // size * size
    tall = (rows + size).clamp(max=height) - rows
    wide = (columns + size).clamp(max=width) - columns
    return (tall[:, None] * wide[None, :]).to(like.dtype)
