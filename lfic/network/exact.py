"""Tensors in, tensors out, integers between: how the codec on a CPU calls csrc/network."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..format.geometry import LEVELS, REGION, cell_grid
from ..format.integers import IntegerModel, pixels_of


def shown(
    integers: IntegerModel,
    symbols: Tensor,
    levels: Tensor,
    quality: Tensor,
    aligned: Tensor,
    height: int,
    width: int,
) -> Tensor:
    """What files of one size show, by as many threads as torch has.

    symbols int16 [N, K], of which a row's first ones count, levels uint8 [N, rows, columns], quality int64 [N], aligned
    bool [N], all on the CPU -> uint8 [N, 3, height, width], channels last.
    """
    if not len(symbols):
        return torch.zeros(0, 3, height, width, dtype=torch.uint8)
    rows, maps = symbols.numpy(), levels.numpy()
    counts = kept_cells(maps, *cell_grid(height, width)) * integers.channels
    if counts.max() > rows.shape[1]:  # of a damaged stream, whose pixels nobody will see, symbols may be absent
        rows = np.pad(rows, ((0, 0), (0, int(counts.max()) - rows.shape[1])))
    coded = [
        (row[:count], level_map, height, width, q, on_template)
        for row, count, level_map, q, on_template in zip(
            rows, counts.tolist(), maps, quality.tolist(), aligned.tolist(), strict=True
        )
    ]
    return torch.from_numpy(np.stack(pixels_of(integers, coded, torch.get_num_threads()))).permute(0, 3, 1, 2)


def analyze(integers: IntegerModel, unit: Tensor, pixels: Tensor, quality: Tensor, aligned: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] on the CPU -> features float [N, C, ceil(H/8), ceil(W/8)], channels last: multiples of
    1 / unit, float [C], powers of two."""
    images = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    features = integers.analyze(images, quality.tolist(), aligned.tolist(), torch.get_num_threads())
    return (torch.from_numpy(features) / unit).permute(0, 3, 1, 2)


def region_levels(
    integers: IntegerModel, unit: Tensor, y: Tensor, size: tuple[int, int], quality: Tensor, aligned: Tensor
) -> Tensor:
    """The level head's choice for what ``analyze`` gave of pictures of ``size`` (height, width): uint8 [N, rows,
    columns]."""
    features = (y.permute(0, 2, 3, 1) * unit).to(torch.int16).contiguous().numpy()
    return torch.from_numpy(
        np.stack(
            [
                integers.choose_levels(face, *size, q, on_template)
                for face, q, on_template in zip(features, quality.tolist(), aligned.tolist(), strict=True)
            ]
        )
    )


def kept_cells(levels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.int64]:
    """How many cells of a grid each level map keeps: uint8 [N, rows, columns] -> int64 [N]."""
    sides = np.arange(LEVELS)
    # Of the regions of a row, and of a column, at each level; the last ones may be partial.
    tall, wide = (
        -(-np.minimum(REGION, size - REGION * np.arange(count))[:, None] >> sides)
        for size, count in zip((height, width), levels.shape[1:])
    )
    kept = tall[:, None] * wide[None]  # [rows, columns, LEVELS]
    chosen = np.take_along_axis(np.broadcast_to(kept, (*levels.shape, LEVELS)), levels[..., None].astype(np.int64), -1)
    out: NDArray[np.int64] = chosen.sum((1, 2, 3), dtype=np.int64)
    return out
