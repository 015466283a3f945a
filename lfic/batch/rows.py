"""Rows of symbols -> files, and which faces to try the other way: the host's part of encoding, without torch."""

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
    decide: bool,
    checksum: bool,
    threads: int,
    bare: bool = False,
) -> tuple[list[bytes], NDArray[np.float64], NDArray[np.bool_] | None]:
    """Pictures of one size (height, width), coded one way.

    symbols int16 [N, K], of which a row's first ones count; levels uint8 [N, rows, columns]; quality int64 [N].
    decide: whether to look out for faces that may cost less without positions. bare: bare streams in place of files.

    Returns:
        (files, ideal bits of their payloads float64 [N], which are in doubt: bool [N], or None where nobody asked).
    """
    height, width = size
    first = levels[:, 0, 0]
    short = bare and is_short(container.Header(width, height, 1, 0, aligned, False, model.number))
    mapped = (levels != first[:, None, None]).any((1, 2)) | short
    said = levels, *cell_grid(height, width), quality
    doubtful = None
    with stage("coder"):
        way = np.full(len(quality), aligned)
        payloads, bits = model.context.encode_rows(symbols, *said, way, mapped, threads)
        if decide:
            free = model.context.cost_rows(symbols, *said, ~way, mapped, threads)
            doubtful = bits > clear_share(quality) * free
    with stage("container"):
        if short:
            return write_all(payloads, quality.tolist(), model.number), bits, doubtful
        modes = np.where(mapped, container.CODED_MAP, first).tolist()
        checked = checksum and not bare
        files = container.write_all(
            payloads, quality.tolist(), modes, width, height, aligned, checked, model.number, model.weights
        )
    return files, bits, doubtful
