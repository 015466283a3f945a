"""Launch shapes, fixed per architecture: nothing is tuned at import or in a first call.

A tile is ``regions`` x ``channels``; a program walks over the 16 cells of its regions. ``python -m
lfic.kernels.bench.tune`` measures the candidates on the GPU at hand and prints rows to put here.
"""

import dataclasses
import functools
from typing import NamedTuple

import torch


@dataclasses.dataclass(frozen=True)
class Launch:
    """elements: of a tile, regions x channels; warps: per program; registers: at most, per thread, or None."""

    elements: int
    warps: int
    registers: int | None = None


class Tile(NamedTuple):
    """What one program takes on: powers of two."""

    regions: int
    channels: int
    warps: int
    registers: int | None


# (architecture, operation) -> launch for 2-byte and 4-byte features. An architecture that is not listed takes the next
# older one's row.
TABLE: dict[tuple[int, str], tuple[Launch, Launch]] = {
    # 128 registers: with 96 partial grids spill, and left alone Triton 3.7 takes 80 and spills as well.
    (80, "quantize"): (Launch(1024, 4), Launch(512, 4, 128)),
    (80, "dense"): (Launch(1024, 4), Launch(512, 4)),
    (80, "dense_backward"): (Launch(1024, 4), Launch(512, 4)),
    (80, "dense_backward_tables"): (Launch(256, 4), Launch(256, 4)),
    (80, "unpool"): (Launch(1024, 4), Launch(512, 4)),
    (80, "unpool_backward"): (Launch(1024, 4), Launch(512, 4)),
    (90, "quantize"): (Launch(1024, 4), Launch(512, 4)),
    (90, "dense"): (Launch(1024, 4), Launch(512, 4)),
    (90, "dense_backward"): (Launch(1024, 4), Launch(512, 4)),
    (90, "dense_backward_tables"): (Launch(256, 4), Launch(256, 4)),
    (90, "unpool"): (Launch(1024, 4), Launch(512, 4)),
    (90, "unpool_backward"): (Launch(1024, 4), Launch(512, 4)),
}
INTERPRETED = Launch(1 << 14, 1)  # few large programs: an operation costs the same whatever its size
FILL = 264  # programs below which tiles are made smaller: two for each multiprocessor of a large device
PROGRAMS = 1024  # that share the work where each keeps sums of its own: more of them, more sums to add up


@functools.cache
def architecture(index: int) -> int:
    """Compute capability of a CUDA device as 80, 90, ..."""
    major, minor = torch.cuda.get_device_capability(index)
    return major * 10 + minor


def launch(operation: str, device: torch.device, element_size: int) -> Launch:
    """The row of the table for a device (the newest that is not newer than it)."""
    if device.type != "cuda":
        return INTERPRETED
    here = architecture(device.index if device.index is not None else torch.cuda.current_device())
    known = sorted({arch for arch, _ in TABLE if arch <= here}) or [min(arch for arch, _ in TABLE)]
    return TABLE[known[-1], operation][element_size == 4]


@functools.lru_cache(maxsize=1024)
def spread(
    operation: str, count: int, channels: int, each: int, device: torch.device, element_size: int, summing: bool
) -> tuple[int, Tile]:
    """(programs an image for each block of channels, their tile) for ``count`` images of ``each`` regions.

    summing: a program goes through several tiles of an image and keeps their sums; otherwise there is one for each.
    What is found is kept: ``spread.cache_clear()`` after a change of the table.
    """
    found = tile(launch(operation, device, element_size), channels, count, each)
    parts = -(-each // found.regions)
    if summing:
        parts = min(parts, max(1, PROGRAMS // max(1, count * -(-channels // found.channels))))
    return parts, found


def tile(chosen: Launch, channels: int, count: int, each: int) -> Tile:
    """Tile for ``count`` images of ``each`` regions: as many channels as divide C well, the rest in regions.

    Where C is no multiple of 16 it has an eighth of the elements, but 64 at least: accesses are narrow there, and their
    many addresses would spill registers. Its warps stay as many: fewer would hold more values each. Where the work
    would leave multiprocessors idle it becomes smaller, and its warps fewer, down to 64 elements.
    """
    elements, warps = chosen.elements, chosen.warps
    least = 64
    if channels % 16:
        elements = max(least, elements // 8)
    if chosen is INTERPRETED:
        block = max(16, min(64, 1 << (channels - 1).bit_length()))
        return Tile(max(1, min(elements // block, 1 << (each - 1).bit_length())), block, warps, None)
    while True:
        regions, block = split(elements, channels, each)
        if elements <= least or count * -(-each // regions) * -(-channels // block) >= FILL:
            return Tile(regions, block, warps, chosen.registers)
        elements, warps = elements // 2, max(1, warps // 2)


def split(elements: int, channels: int, each: int) -> tuple[int, int]:
    """(regions, channels) of a tile of that many elements; no more regions than an image has."""
    block = 16
    while (
        block < min(128, elements) and block * 2 <= channels and (channels % (block * 2) == 0 or channels > 8 * block)
    ):
        block *= 2
    regions = max(1, elements // block)
    while regions > 1 and regions >= 2 * each:
        regions //= 2
    return regions, block
