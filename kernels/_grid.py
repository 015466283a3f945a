"""Geometry and memory layout that all operations share; every file of this folder takes them from here."""

from collections.abc import Sequence

import torch

REGION = 4  # cells in each direction that share a level; reductions are written out for 16 cells
LEVELS = 3  # a level l keeps one coefficient for every 2**l x 2**l cells
SYMBOL_LIMIT = 32767.0  # symbols lie in -SYMBOL_LIMIT ... SYMBOL_LIMIT


def regions(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of regions over a grid of height x width cells; those at the right and bottom may be partial."""
    return -(-height // REGION), -(-width // REGION)


def channels_last(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> torch.Tensor:
    """Empty [N, C, h, w] whose memory is [N, h, w, C]."""
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
