"""Launch shapes, fixed per architecture: nothing is tuned at import or in a first call.

A tile is ``regions`` x ``channels``; a program walks over the 16 cells of its regions. ``python -m
lfic.kernels.bench.tune`` measures the candidates on the GPU at hand and prints rows to put here.
"""

import dataclasses
import functools

import torch


@dataclasses.dataclass(frozen=True)
class Launch:
    """elements: of a tile, regions x channels; warps: per program."""

    elements: int
    warps: int


# (architecture, operation) -> launch for 2-byte and 4-byte features. An architecture that is not listed takes the next
# older one's row.
TABLE: dict[tuple[int, str], tuple[Launch, Launch]] = {
    (80, "quantize"): (Launch(1024, 4), Launch(512, 4)),
    (80, "dense"): (Launch(1024, 4), Launch(512, 4)),
    (80, "dense_backward"): (Launch(1024, 4), Launch(512, 4)),
    # Three inputs at once: wider tiles spill registers.
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


def tile(elements: int, channels: int, regions: int) -> tuple[int, int]:
    """(regions, channels) of a tile, powers of two: as many channels as divide C well, the rest in regions.

    A quarter of a tile where C is no multiple of 16: accesses are narrow there, and their many addresses would spill
    registers.
    """
    if channels % 16:
        elements = max(128, elements // 4)
    block = 16
    while block < 128 and block * 2 <= channels and (channels % (block * 2) == 0 or channels > 8 * block):
        block *= 2
    rows = max(1, elements // block)
    while rows > 1 and rows >= 2 * regions:  # no larger than the work
        rows //= 2
    return rows, block
