"""Streams -> pixels, in pieces: the coder reads one piece while the networks draw another.

payloads -> rows of symbols, level maps: cores      -> dequantised features -> synthesis -> pixels: the device
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..format.container import CODED_MAP, Bytes, Header
from ..format.geometry import region_grid
from ..format.grey import LUMA
from ..network.load import Model
from .cores import coder_threads
from .overlap import elsewhere_first
from .pieces import pieces
from .stages import stage


@dataclasses.dataclass
class Decoded:
    """A piece: pixels uint8 [N, 3, H, W] on the device, and what was wrong with stream k of it, whose pixels say
    nothing; grey: those that are shown without colour."""

    indexes: list[int]
    pixels: Tensor
    wrong: dict[int, str]
    grey: list[int]


@dataclasses.dataclass
class Read:
    """A piece on the host: symbols int16 [N, K], levels uint8 [N, hr, wr], quality int64 [N], aligned bool [N]; grey:
    those that are shown without colour."""

    indexes: list[int]
    header: Header
    symbols: Tensor
    levels: Tensor
    quality: Tensor
    aligned: Tensor
    wrong: dict[int, str]
    grey: list[int]


def decoded(model: Model, streams: Sequence[tuple[Header, Bytes]], threads: int) -> Iterator[Decoded]:
    """Pieces of coded pictures of any sizes, in no promised order."""
    parts = [model.part(header) for header, _ in streams]
    for part in {id(part): part for part in parts}.values():
        places = [i for i, other in enumerate(parts) if other is part]
        for piece in own_pieces(part, [streams[i] for i in places], threads):
            yield dataclasses.replace(piece, indexes=[places[k] for k in piece.indexes])


def own_pieces(model: Model, streams: Sequence[tuple[Header, Bytes]], threads: int) -> Iterator[Decoded]:
    """``decoded`` of what one part of a model codes."""

    def first(indexes: list[int]) -> Read:
        return read(model, [streams[i] for i in indexes], indexes, threads)

    def then(found: Read) -> Decoded:
        with stage("synthesis"):
            size = found.header.height, found.header.width
            pixels = model.shown(found.symbols, found.levels, found.quality, found.aligned, *size)
            if found.grey:
                which = torch.zeros(len(pixels), 1, 1, 1, dtype=torch.bool)
                which[found.grey] = True
                pixels = torch.where(which.to(pixels.device), without_colour(pixels), pixels)
        return Decoded(found.indexes, pixels, found.wrong, found.grey)

    sizes = [(header.height, header.width) for header, _ in streams]
    return elsewhere_first(pieces(sizes, model.device), first, then, model.device)


def read(model: Model, streams: Sequence[tuple[Header, Bytes]], indexes: list[int], threads: int) -> Read:
    """The host's part: streams of one size -> symbols."""
    headers = [header for header, _ in streams]
    one = headers[0]
    with stage("headers"):
        quality = np.array([header.quality for header in headers], np.int64)
        aligned = np.array([header.aligned for header in headers], np.bool_)
        modes = np.array([header.level_mode for header in headers], np.uint8)
        mapped = modes == CODED_MAP
        levels = np.empty((len(headers), *region_grid(*one.grid)), np.uint8)
        levels[:] = np.where(mapped, 0, modes)[:, None, None]
    with stage("coder"):
        bound = one.grid[0] * one.grid[1] * model.context.channels
        symbols, levels, wrong = model.context.decode_rows(
            [payload for _, payload in streams],
            levels,
            *one.grid,
            quality,
            aligned,
            mapped,
            coder_threads(threads),
            bound,
        )
    with stage("upload"):
        rows, maps, q, a = (on_its_way(model, array) for array in (symbols, levels, quality, aligned))
    grey = [k for k, header in enumerate(headers) if header.grey]
    return Read(indexes, one, rows, maps, q, a, dict(wrong), grey)


def without_colour(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] -> the same shape, all three colours the integer luma of ``lfic.format.grey``."""
    weights = torch.tensor(LUMA, dtype=torch.int32, device=pixels.device)[:, None, None]
    luma = ((pixels.to(torch.int32) * weights).sum(1, keepdim=True, dtype=torch.int32) + 128) >> 8
    return luma.to(torch.uint8).expand(-1, 3, -1, -1)


def on_its_way(model: Model, array: NDArray[np.generic]) -> Tensor:
    """A tensor that a GPU can copy while the host goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if model.device.type == "cuda" else tensor
