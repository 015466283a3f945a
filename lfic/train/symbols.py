"""Symbols of template crops as a model without effort makes them, for an entropy model that learns alone."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.base import FaceSource
from ..data.sources import template_crops
from ..format.geometry import ALIGNED_GRID, LEVELS, region_grid
from ..kernels import rap_unpool
from ..network.net import CodecNet
from ..network.rap import pooled_symbols
from .tables import Sample

LOW_RATES = 0.35, 30  # share of the draws whose quality is 1 to this one; all others' is 1 to 100
USUAL_LEVEL = 1  # what the head of template crops chooses nearly everywhere
OTHER_LEVELS = 0.12  # share of the draws of other levels, which callers may ask for and efforts may choose
CAPACITY = ALIGNED_GRID**2


@dataclasses.dataclass(frozen=True)
class Symbols:
    """Coded template crops. symbols: int16 [kept cells * C] each, in coding order; levels uint8 [N, 4, 4]; quality
    int64 [N]."""

    symbols: Sequence[NDArray[np.int16]]
    levels: NDArray[np.uint8]
    quality: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.symbols)

    def samples(self) -> list[Sample]:
        """As the context model in integers takes them."""
        return [
            (symbols, levels, ALIGNED_GRID, ALIGNED_GRID, int(quality), True)
            for symbols, levels, quality in zip(self.symbols, self.levels, self.quality, strict=True)
        ]

    def batch(self, chosen: Sequence[int], step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(features float [n, C, 14, 14] as the decoder has them, levels uint8 [n, 4, 4], quality int64 [n])."""
        rows = torch.zeros(len(chosen), CAPACITY * step.shape[2], dtype=torch.int16)
        for row, i in zip(rows, chosen, strict=True):
            row[: len(self.symbols[i])] = torch.from_numpy(self.symbols[i])
        levels, quality = torch.from_numpy(self.levels[chosen]), torch.from_numpy(self.quality[chosen])
        return rap_unpool(rows, levels, step, quality - 1, ALIGNED_GRID, ALIGNED_GRID), levels, quality


def drawn_levels(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Level maps uint8 [count, 4, 4]: mostly the usual level, else one level everywhere or any in each region."""
    rows, columns = region_grid(ALIGNED_GRID, ALIGNED_GRID)
    out = np.full((count, rows, columns), USUAL_LEVEL, np.uint8)
    for i in np.flatnonzero(rng.random(count) < OTHER_LEVELS):
        whole = rng.random() < 0.5
        out[i] = rng.integers(0, LEVELS) if whole else rng.integers(0, LEVELS, (rows, columns))
    return out


def draw(
    net: CodecNet, faces: FaceSource, indexes: Sequence[int], epochs: int, seed: int = 0, batch: int = 32
) -> Iterator[Symbols]:
    """Each face ``epochs`` times, every other time mirrored, at qualities and levels drawn anew; ``batch`` at once."""
    for epoch in range(epochs):
        for start in range(0, len(indexes), batch):
            rng = np.random.default_rng([seed, epoch, start])
            chosen = indexes[start : start + batch]
            pixels = torch.from_numpy(template_crops(faces, chosen)).permute(0, 3, 1, 2).float() / 255
            pixels = pixels.flip(3) if epoch % 2 else pixels
            share, most = LOW_RATES
            low = rng.random(len(chosen)) < share
            quality = np.where(low, rng.integers(1, most + 1, len(chosen)), rng.integers(1, 101, len(chosen)))
            levels, q = drawn_levels(len(chosen), rng), torch.from_numpy(quality)
            with torch.inference_mode():
                y = net.analyze(pixels, q, torch.ones(len(chosen), dtype=torch.bool), True)
                yield Symbols(pooled_symbols(y, torch.from_numpy(levels), net.gain, q), levels, quality)


def joined(parts: Sequence[Symbols]) -> Symbols:
    """One behind the other."""
    return Symbols(
        [symbols for part in parts for symbols in part.symbols],
        np.concatenate([part.levels for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )
