"""Rows of symbols -> files, and which faces are off the template: the host's part of encoding, without torch."""

import numpy as np
from numpy.typing import NDArray

from ..encoder.choose import clear_share
from ..encoder.draft import Transforms
from ..format import container
from ..format.bare import is_short, write_all
from ..format.geometry import cell_grid
from .stages import stage


def written(
    model: Transforms,
    symbols: NDArray[np.int16],
    levels: NDArray[np.uint8],
    quality: NDArray[np.int64],
    size: tuple[int, int],
    aligned: bool,
    decide: NDArray[np.bool_] | bool,
    checksum: bool,
    threads: int,
    bare: bool = False,
) -> tuple[list[bytes], list[int]]:
    """Pictures of one size (height, width), coded one way.

    symbols int16 [N, K], of which a row's first ones count; levels uint8 [N, rows, columns]; quality int64 [N].
    decide: whether to look out for faces that the template's positions do not help, or for which of the N.
    bare: bare streams in place of files.

    Returns:
        (files, indexes of those faces).
    """
    height, width = size
    first = levels[:, 0, 0]
    short = bare and is_short(container.Header(width, height, 1, 0, aligned, False, model.number))
    varied = (levels != first[:, None, None]).any((1, 2))
    mapped = varied | short
    said = levels, *cell_grid(height, width), quality
    beside: list[int] = []
    with stage("coder"):
        way = np.full(len(quality), aligned)
        payloads, bits = model.context.encode_rows(symbols, *said, way, mapped, threads)
        asked = np.flatnonzero(np.broadcast_to(decide, len(quality)))
        if len(asked):
            of_asked = symbols[asked], levels[asked], *cell_grid(height, width), quality[asked]
            judge = model.judge.context
            known = judge is model.context and not short  # else they count a map that a file has no need of
            placed = bits[asked] if known else judge.cost_rows(*of_asked, way[asked], varied[asked], threads)
            free = judge.cost_rows(*of_asked, ~way[asked], varied[asked], threads)
            beside = asked[placed > clear_share(quality[asked]) * free].tolist()
    with stage("container"):
        if short:
            return write_all(payloads, quality.tolist(), model.number), beside
        modes = np.where(mapped, container.CODED_MAP, first).tolist()
        checked = checksum and not bare
        files = container.write_all(
            payloads, quality.tolist(), modes, width, height, aligned, checked, model.number, model.weights
        )
    return files, beside
