"""Pictures at given qualities -> files, in pieces: the networks of one piece run while the coder writes another.

    pixels -> analysis, levels, symbols, on the template or not: device      rows of symbols -> payloads -> files: cores

A face of 112 x 112 of which nobody says whether it stands on the template is taken as if it did; where what it costs
says that it does not, it is coded again without positions.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..encoder.choose import clear_share
from ..format.geometry import QUALITIES, SIDE
from ..kernels import rap_quantize
from ..network.arithmetic import computing
from ..network.load import Model
from .cores import coder_threads
from .overlap import then_elsewhere
from .pictures import Pictures
from .pieces import pieces
from .rows import written
from .stages import stage

FLOATS_WITHIN = 0.99  # of the coder's ratio of bits lies that of the floats: so far out they leave the matter in doubt


@dataclasses.dataclass
class Piece:
    """Pictures of one size to be coded one way.

    decide: whether to look out for faces that the template's positions do not help.
    """

    indexes: list[int]
    aligned: bool
    decide: bool


@dataclasses.dataclass
class Analysed:
    """What the networks said of a piece; tensors may still be on their way through the device until ``done``.

    quality int64 [N]; levels uint8 [N, hr, wr]; symbols int16 [N, K], of which a row's first ``counts`` int64 [N]
    count and the others say nothing; doubtful bool [N] where the device has settled it.
    """

    piece: Piece
    height: int
    width: int
    quality: NDArray[np.int64]
    levels: Tensor
    symbols: Tensor
    counts: Tensor
    doubtful: Tensor | None
    done: torch.cuda.Event | None


@dataclasses.dataclass
class Coded:
    """Files of a piece, and the indexes of pictures to be coded again without positions."""

    piece: Piece
    files: list[bytes]
    beside: list[int]


def plain_files(
    model: Model,
    pictures: Pictures,
    among: Sequence[int],
    quality: Sequence[int],
    aligned: bool | None,
    checksum: bool,
    threads: int,
    put: Callable[[int, bytes], None],
    bare: bool = False,
) -> None:
    """Code pictures without layers, at effort 0.

    Args:
        among: which of the pictures. quality: of each of all pictures. aligned: None: where positions help.
        put: takes (index, file) of each. bare: bare streams in place of files.
    """

    def first(piece: Piece) -> Analysed:
        part = model.of(piece.aligned)
        return analysed(part, pictures.tensor(piece.indexes), [quality[i] for i in piece.indexes], piece)

    def then(found: Analysed) -> Coded:
        return coded(model.of(found.piece.aligned), found, checksum, threads, bare)

    again: list[list[int]] = []
    todo = [
        Piece(indexes, aligned is not False and free, aligned is None and free)
        for indexes in pieces(pictures.sizes, model.device, among)
        for free in [pictures.sizes[indexes[0]] == (SIDE, SIDE)]
    ]
    for found in then_elsewhere(todo, first, then, model.device):
        for i, data in zip(found.piece.indexes, found.files, strict=True):
            put(i, data)
        if found.beside:
            again.append(found.beside)
    if model.device.type != "cpu":  # large pieces use a GPU best
        again = list(pieces(pictures.sizes, model.device, [i for part in again for i in part]))
    for found in then_elsewhere([Piece(indexes, False, False) for indexes in again], first, then, model.device):
        for i, data in zip(found.piece.indexes, found.files, strict=True):
            put(i, data)


def analysed(model: Model, pixels: Tensor, quality: Sequence[int], piece: Piece) -> Analysed:
    """The device's part: pixels uint8 [N, 3, H, W] -> levels and symbols."""
    height, width = pixels.shape[-2:]
    doubtful = None
    with stage("upload"):
        q, a = model.conditions(quality, piece.aligned, len(pixels))
    with model.computing():
        with stage("analysis"):
            y = model.analyze(pixels, q, a, piece.aligned)
        with stage("levels"):
            levels = model.region_levels(y, q, a)
        with stage("quantize"):
            symbols, counts = rap_quantize(y, levels, model.gain, q - 1, tail=False)
        if piece.decide and model.device.type == "cuda":
            with stage("decision"):
                doubtful = in_doubt(model, y, levels, q)
    done = None
    if model.device.type == "cuda":
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(model.device))
    return Analysed(piece, height, width, np.array(quality, np.int64), levels, symbols, counts, doubtful, done)


def in_doubt(model: Model, y: Tensor, levels: Tensor, quality: Tensor) -> Tensor:
    """Which of features float [N, C, 14, 14] might cost less without positions: bool [N], by the float form of the
    context model, so that no symbol needs to leave the device for it."""
    with computing(y.device):
        placed, free = model.judge.places.bits(y, levels, quality)
        doubtful: Tensor = placed > FLOATS_WITHIN * clear_shares(y.device)[quality - 1] * free
        return doubtful


@functools.cache
def clear_shares(device: torch.device) -> Tensor:
    """``clear_share`` of every quality: float32 [100], index quality - 1."""
    with torch.inference_mode(False):
        return torch.from_numpy(clear_share(np.arange(1, QUALITIES + 1))).to(device, torch.float32)


def coded(model: Model, found: Analysed, checksum: bool, threads: int, bare: bool = False) -> Coded:
    """The host's part: symbols -> files, or bare streams."""
    with stage("to host"):
        symbols, levels, doubtful = on_host(found)
    piece = found.piece
    files, beside = written(
        model,
        symbols,
        levels,
        found.quality,
        (found.height, found.width),
        piece.aligned,
        piece.decide if doubtful is None else doubtful,
        checksum,
        coder_threads(threads),
        bare,
    )
    return Coded(piece, files, [piece.indexes[k] for k in beside])


def on_host(found: Analysed) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.bool_] | None]:
    """(symbols, levels, doubtful) of a piece; of the symbols as many columns as the fullest row has."""
    if found.done is None:
        return found.symbols.numpy(), found.levels.numpy(), None
    device = found.symbols.device
    stream = copy_stream(device)
    with torch.cuda.device(device), torch.cuda.stream(stream):
        stream.wait_event(found.done)
        most = int(found.counts.max())
        sources = [found.symbols[:, :most].contiguous(), found.levels]
        if found.doubtful is not None:
            sources.append(found.doubtful)
        targets = [torch.empty(s.shape, dtype=s.dtype, pin_memory=True) for s in sources]
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source, non_blocking=True)
        stream.synchronize()
    arrays = [target.numpy() for target in targets]
    return arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None


@functools.cache
def copy_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream for copies, so that they do not wait for the pieces launched after theirs."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
