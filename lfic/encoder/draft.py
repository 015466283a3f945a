"""One face between the networks and the coder: what the encoder decides over, and what it costs."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..coder import ContextModel
from ..format import bare as bare_form
from ..format import container
from ..format.geometry import cell_grid
from ..format.level_map import map_bits

Pixels: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Pictures: TypeAlias = Any  # of one size, uint8 [N, 3, H, W]: a tensor, or an ndarray where there is no torch
Features: TypeAlias = Any  # of one picture, with an axis of one before the others: as ``Transforms`` made them
Levels: TypeAlias = NDArray[np.uint8]  # [N, rows, columns]
Symbols: TypeAlias = NDArray[np.int16]  # of one picture, [kept cells * C] in coding order


class Transforms(Protocol):
    """What drafts are made by: ``lfic.network.load.Model`` on torch's devices, ``Integers`` without torch."""

    @property
    def context(self) -> ContextModel: ...
    @property
    def number(self) -> int: ...
    @property
    def weights(self) -> bytes: ...

    @property
    def judge(self) -> "Transforms":
        """What tells whether a face stands on the template."""

    def of(self, aligned: bool) -> "Transforms":
        """What codes pictures that stand on the template, or those that do not."""

    def tensor(self, images: Any) -> Pictures:
        """Arrays uint8 [H, W, 3] of one size, or what is ``Pictures`` already."""

    def drafted(
        self, pixels: Pictures, quality: Sequence[int], aligned: bool, levels: Any = None
    ) -> tuple[list[Features], Levels, list[Symbols]]:
        """What the networks say of each picture; levels: given, or None: the networks'."""

    def pooled(self, features: Sequence[Features], levels: Levels, quality: Sequence[int]) -> list[Symbols]:
        """The symbols of pictures of one size at levels and qualities of the caller's."""


@dataclasses.dataclass
class Draft:
    """levels uint8 [hr, wr]; symbols int16 [kept cells * C] in coding order; features: what the analysis said, of a
    ``Model`` float [1, C, h, w] on its device, so that whoever improves the draft need not analyse the face again."""

    width: int
    height: int
    quality: int
    aligned: bool
    levels: NDArray[np.uint8]
    symbols: NDArray[np.int16]
    features: Features

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
    model: Transforms,
    pixels: Sequence[Pixels] | Pictures,
    quality: int | Sequence[int],
    aligned: bool,
    levels: Any = None,
) -> list[Draft]:
    """Images of one size -> what the networks say of each.

    pixels: uint8 arrays [H, W, 3] or a ``Pictures``. quality: of all, or of each. levels: uint8 [N, hr, wr], or None:
    the networks'.
    """
    model = model.of(aligned)
    pixels = model.tensor(pixels)
    height, width = pixels.shape[-2:]
    qualities = [quality] * len(pixels) if isinstance(quality, int) else list(quality)
    features, maps, symbols = model.drafted(pixels, qualities, aligned, levels)
    return [Draft(width, height, q, aligned, *said) for q, *said in zip(qualities, maps, symbols, features)]


def estimate_bits(model: Transforms, draft: Draft) -> float:
    """The context model's rate in bits, header and checksum not counted: what the payload has, to a byte or two. model:
    the part that the draft is of."""
    cells = model.context.cost(draft.symbols, draft.levels, *draft.grid, draft.quality, draft.aligned)
    bits = float(cells.sum(dtype=np.float64))
    if draft.level_mode == container.CODED_MAP:
        bits += map_bits(model.context.level_prior, draft.levels, draft.quality, draft.aligned)
    return bits


def payloads(
    model: Transforms, drafts: Sequence[Draft], threads: int = 1, modes: Sequence[int] | None = None
) -> list[bytes]:
    """What the coder makes of drafts, by ``threads`` threads (0: one a core); modes: their headers' level-map modes,
    their own where None."""
    modes = [d.level_mode for d in drafts] if modes is None else modes
    out: dict[int, bytes] = {}
    for way in {draft.aligned for draft in drafts}:
        places = [i for i, draft in enumerate(drafts) if draft.aligned == way]
        faces = [
            (d.symbols, d.levels, *d.grid, d.quality, way, modes[i] == container.CODED_MAP)
            for i, d in ((i, drafts[i]) for i in places)
        ]
        out |= zip(places, model.of(way).context.encode_batch(faces, threads), strict=True)
    return [out[i] for i in range(len(drafts))]


def header(model: Transforms, draft: Draft, checksum: bool) -> container.Header:
    """What a file says of a draft."""
    part = model.of(draft.aligned)
    return container.Header(
        draft.width, draft.height, draft.quality, draft.level_mode, draft.aligned, checksum, part.number, part.weights
    )


def files(
    model: Transforms, drafts: Sequence[Draft], checksum: bool, threads: int = 1, bare: bool = False
) -> list[bytes]:
    """Whole files of drafts, or bare streams, which have no checksum; coded by ``threads`` threads."""
    headers = [header(model, draft, checksum) for draft in drafts]
    write = container.write
    if bare:
        headers, write = [bare_form.bare_header(h) for h in headers], bare_form.write
    coded = payloads(model, drafts, threads, [h.level_mode for h in headers])
    return [write(h, payload) for h, payload in zip(headers, coded, strict=True)]
