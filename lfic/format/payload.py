"""The payload of files: symbols and region levels, decoded by the integer context model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import coder
from .container import CODED_MAP, Header
from .geometry import region_grid


def uniform_levels(header: Header) -> NDArray[np.uint8] | None:
    """The level map of a file whose header says it: uint8 [rows, columns]; None where the payload holds it."""
    if header.level_mode == CODED_MAP:
        return None
    return np.full(region_grid(*header.grid), header.level_mode, np.uint8)


def decode_payloads(
    context: coder.ContextModel, read: Sequence[tuple[Header, memoryview]], threads: int = 1
) -> list[tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    """What ``container.read`` gave of files -> (symbols int16 [kept cells * C], levels uint8 [rows, columns]) of each.

    Raises:
        CorruptStreamError: damage.
    """
    streams = [(payload, *h.grid, h.quality, h.aligned, uniform_levels(h)) for h, payload in read]
    bound = max((h.grid[0] * h.grid[1] for h, _ in read), default=0) * context.channels
    return context.decode_batch(streams, threads, bound)
