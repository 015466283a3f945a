"""One face between the networks and the coder: what the encoder decides over, and what it costs."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..format import bare as bare_form
from ..format import container
from ..format.geometry import cell_grid
from ..format.level_map import map_bits
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


def first_drafts(
    model: Model,
    pixels: Sequence[Pixels] | Tensor,
    quality: int | Sequence[int],
    aligned: bool,
    levels: Tensor | None = None,
) -> list[Draft]:
    """Images of one size -> what the networks say of each.

    pixels: uint8 arrays [H, W, 3] or a tensor [N, 3, H, W]. quality: of all, or of each. levels: uint8 [N, hr, wr], or
    None: the networks'.
    """
    pixels = model.tensor(pixels)
    height, width = pixels.shape[-2:]
    qualities = [quality] * len(pixels) if isinstance(quality, int) else list(quality)
    q, a = model.conditions(qualities, aligned, len(pixels))
    with model.computing():
        y = model.analyze(pixels, q, a)
        if levels is None:
            levels = model.region_levels(y, q, a)
        symbols = pooled_symbols(y, levels, model.gain, q)
    maps = levels.cpu().numpy()
    return [Draft(width, height, q, aligned, maps[i], symbols[i], y[i : i + 1]) for i, q in enumerate(qualities)]


def estimate_bits(model: Model, draft: Draft) -> float:
    """The context model's rate in bits, header and checksum not counted: what the payload has, to a byte or two."""
    cells = model.context.cost(draft.symbols, draft.levels, *draft.grid, draft.quality, draft.aligned)
    bits = float(cells.sum())
    if draft.level_mode == container.CODED_MAP:
        bits += map_bits(model.context.level_prior, draft.levels, draft.quality, draft.aligned)
    return bits


def payloads(
    model: Model, drafts: Sequence[Draft], threads: int = 1, modes: Sequence[int] | None = None
) -> list[bytes]:
    """What the coder makes of drafts, by ``threads`` threads (0: one a core); modes: their headers' level-map modes,
    their own where None."""
    modes = [d.level_mode for d in drafts] if modes is None else modes
    return model.context.encode_batch(
        [
            (d.symbols, d.levels, *d.grid, d.quality, d.aligned, mode == container.CODED_MAP)
            for d, mode in zip(drafts, modes, strict=True)
        ],
        threads,
    )


def header(model: Model, draft: Draft, checksum: bool) -> container.Header:
    """What a file says of a draft."""
    return container.Header(
        draft.width, draft.height, draft.quality, draft.level_mode, draft.aligned, checksum, model.number, model.weights
    )


def files(model: Model, drafts: Sequence[Draft], checksum: bool, threads: int = 1, bare: bool = False) -> list[bytes]:
    """Whole files of drafts, or bare streams, which have no checksum; coded by ``threads`` threads."""
    headers = [header(model, draft, checksum) for draft in drafts]
    write = container.write
    if bare:
        headers, write = [bare_form.bare_header(h) for h in headers], bare_form.write
    coded = payloads(model, drafts, threads, [h.level_mode for h in headers])
    return [write(h, payload) for h, payload in zip(headers, coded, strict=True)]
