"""Triton: region levels -> where each region's kept cells begin, on the device, without a word to the host.

Encoding and decoding work it out for themselves, each program for its tile; this is the operation by itself. One
program per image walks over its regions in blocks: cells kept per region, an exclusive prefix sum, a carry. The grid is
fixed by the shapes alone, so that the launch can stand in a CUDA graph.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._region import LEVELS, UNSPECIALIZED, kept_in_region, regions_of


@triton.jit(do_not_specialize=UNSPECIALIZED)
def rap_offsets_kernel(levels, starts, counts, height, width, BLOCK: tl.constexpr):
    """levels uint8 [N, hr, wr] -> starts int32 [N, hr * wr], counts int64 [N], in cells; one program an image."""
    image = tl.program_id(0).to(tl.int64)
    regions = regions_of(height, width)
    carry = tl.zeros([1], tl.int32)
    for first in range(0, regions, BLOCK):
        region = first + tl.arange(0, BLOCK)
        inside = region < regions
        level = tl.minimum(tl.load(levels + image * regions + region, inside, other=0).to(tl.int32), LEVELS - 1)
        kept = tl.where(inside, kept_in_region(level, region, height, width), 0)
        through = tl.cumsum(kept, 0)
        tl.store(starts + image * regions + region, carry + through - kept, inside)
        carry += tl.sum(kept, 0)
    tl.store(counts + image + tl.arange(0, 1), carry.to(tl.int64))


def rap_offsets(levels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """levels uint8 [N, hr, wr], contiguous -> (starts int32 [N, hr*wr], counts int64 [N]), in kept cells."""
    count, rows, columns = levels.shape
    starts = torch.empty(count, rows * columns, dtype=torch.int32, device=levels.device)
    counts = torch.empty(count, dtype=torch.int64, device=levels.device)
    if count:
        block = min(1024, triton.next_power_of_2(rows * columns))
        rap_offsets_kernel[(count,)](
            levels, starts, counts, height, width, BLOCK=block, num_warps=4 if block > 128 else 1
        )
    return starts, counts
