"""Triton: the gradients of tables [Q, 3, C], from what parts of images give to each level.

Kernels that go over the features keep sums of the regions of each level and store them once, float32 [parts of all
images, tables, 3, C]: the last step, adding up the images of one quality, is this kernel. No atomics, so that a sum is
the same in every run.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._compat import interpreted
from ._region import LEVELS, UNSPECIALIZED, Plan

TILE = (32, 1024, 1) if interpreted() else (32, 64, 4)  # rows of sums, columns of tables, warps of a program


@triton.jit
def add_by_level(sums, level, value):
    """Sums of three levels, [ROWS, BLOCK] each, with what every region gives added to its level's."""
    zero = tl.zeros(value.shape, tl.float32)
    return (
        sums[0] + tl.where((level == 0)[:, None], value, zero),
        sums[1] + tl.where((level == 1)[:, None], value, zero),
        sums[2] + tl.where((level == 2)[:, None], value, zero),
    )


@triton.jit
def store_sums(pointer, sums, row, column, channels, table: tl.constexpr, TABLES: tl.constexpr):
    """Sums of three levels -> row ``row`` of one table in [N * parts, TABLES, 3, C]; column: the channels."""
    for level in tl.static_range(3):
        at = pointer + ((row * TABLES + table) * LEVELS + level) * channels + column
        tl.store(at, tl.sum(sums[level], 0), column < channels)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def rap_table_kernel(
    sums,
    quality,
    out,
    other,
    rows,
    parts,
    qualities,
    channels,
    TABLES: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """sums float32 [rows, TABLES, 3, C] -> out and, of two tables, other [Q, 3, C]; rows = N * parts.

    Grid: (Q * TABLES * blocks of 3 * C). Rows of which no image is are written as zeros.
    """
    width = LEVELS * channels
    blocks = (width + BLOCK - 1) // BLOCK
    pid = tl.program_id(0)
    both = pid // blocks
    q = both // TABLES
    table = both - q * TABLES
    column = (pid - both * blocks) * BLOCK + tl.arange(0, BLOCK)
    there = column < width
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for at in range(0, rows, ROWS):
        row = at + tl.arange(0, ROWS)
        inside = row < rows
        own = tl.load(quality + row // parts, inside, other=-1)
        hit = inside & (tl.minimum(tl.maximum(own, 0), qualities - 1) == q)
        place = (row.to(tl.int64) * TABLES + table)[:, None] * width + column[None, :]
        total += tl.load(sums + place, hit[:, None] & there[None, :], other=0.0)
    found = tl.sum(total, 0)
    at = q.to(tl.int64) * width + column
    tl.store(out + at, found, column < tl.where(table == 0, width, 0))
    if TABLES == 2:
        tl.store(other + at, found, column < tl.where(table == 1, width, 0))


def empty_sums(plan: Plan, tables: int, device: torch.device) -> Tensor:
    """Where the programs of a plan store what they give to each level of one or two tables."""
    return torch.empty(plan.shape[0] * plan.parts, tables, LEVELS.value, plan.shape[1], device=device)


def add_up(sums: Tensor, parts: int, quality: Tensor, tables: list[Tensor]) -> list[Tensor]:
    """Gradients of one or two tables, float32 [Q, 3, C], of which ``tables`` are examples."""
    # empty_like would keep the strides of a table that is permuted; the kernel writes row after row.
    found = [torch.empty(table.shape, device=table.device) for table in tables]
    qualities, levels, channels = found[0].shape
    rows, block, warps = TILE
    grid = (qualities * len(tables) * triton.cdiv(levels * channels, block),)
    arguments: tuple[Any, ...] = sums, quality, found[0], found[-1], len(sums), parts, qualities, channels
    rap_table_kernel[grid](*arguments, TABLES=len(tables), ROWS=rows, BLOCK=block, num_warps=warps)
    return found
