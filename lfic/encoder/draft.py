"""One face between the networks and the coder: what the encoder decides over, and what it costs."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..format import container
from ..format.geometry import cell_grid
from ..format.level_map import map_bits
from ..network import tiles
from ..network.load import Model, Pixels
from ..network.rap import pooled_symbols


@dataclasses.dataclass
class Draft:
    """levels uint8 [hr, wr]; symbols int16 [kept cells * C] in coding order; features: what the analysis said, float
    [1, C, h, w] on the model's device, so that whoever improves the draft need not analyse the face again."""

    width: int
    height: int
    quality: int
    aligned: bool
    levels: NDArray[np.uint8]
    symbols: NDArray[np.int16]
    features: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Feature cells (rows, columns)."""
        return cell_grid(self.height, self.width)

    @property
    def level_mode(self) -> int:
        """0, 1, 2: that level everywhere; 3: a map."""
        first = int(self.levels.flat[0])
        return first if (self.levels == first).all() else container.CODED_MAP


@torch.inference_mode()
def first_drafts(
    model: Model, pixels: Sequence[Pixels], quality: int, aligned: bool, levels: Tensor | None = None
) -> list[Draft]:
    """Images uint8 [H, W, 3] of one size -> what the networks say of each; levels uint8 [N, hr, wr] or None: theirs."""
    height, width = pixels[0].shape[:2]
    q, a = model.conditions(quality, aligned, len(pixels))
    y = tiles.analyze(model.net, model.tensor(pixels), q, a)
    if levels is None:
        levels = model.net.region_levels(y, q, a)
    symbols = pooled_symbols(y, levels, model.gain, q)
    maps = levels.cpu().numpy()
    return [Draft(width, height, quality, aligned, maps[i], symbols[i], y[i : i + 1]) for i in range(len(pixels))]


def estimate_bits(model: Model, draft: Draft) -> float:
    """The context model's rate in bits, header and checksum not counted: what the payload has, to a byte or two."""
    cells = model.context.cost(draft.symbols, draft.levels, *draft.grid, draft.quality, draft.aligned)
    bits = float(cells.sum())
    if draft.level_mode == container.CODED_MAP:
        bits += map_bits(model.context.level_prior, draft.levels, draft.quality, draft.aligned)
    return bits


def payloads(model: Model, drafts: Sequence[Draft], threads: int = 1) -> list[bytes]:
    """What the coder makes of drafts, by ``threads`` threads (0: one a core)."""
    return model.context.encode_batch(
        [(d.symbols, d.levels, *d.grid, d.quality, d.aligned, d.level_mode == container.CODED_MAP) for d in drafts],
        threads,
    )


def header(model: Model, draft: Draft, checksum: bool) -> container.Header:
    """What a file says of a draft."""
    return container.Header(
        draft.width, draft.height, draft.quality, draft.level_mode, draft.aligned, checksum, model.number, model.weights
    )


def files(model: Model, drafts: Sequence[Draft], checksum: bool, threads: int = 1) -> list[bytes]:
    """Whole files of drafts, coded by ``threads`` threads."""
    coded = payloads(model, drafts, threads)
    return [container.write(header(model, d, checksum), payload) for d, payload in zip(drafts, coded, strict=True)]
