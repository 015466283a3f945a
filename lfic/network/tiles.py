"""The networks over pictures of any size: large grids are cut into tiles, so that memory stays bounded.

A tile is computed with a halo as wide as the networks can see, and the halo is thrown away: the result is what one pass
over the whole picture gives, up to the order of float additions.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..format.geometry import REGION, STRIDE, cell_grid
from .net import CodecNet
from .transform import Sizes

TILE = 192  # cells a side, halo not counted; 1536 pixels


def reach(blocks: Sizes) -> int:
    """Cells that one output cell depends on in each direction, rounded up to even (tiles start at even cells).

    blocks: how many at a quarter (3 x 3), an eighth and a sixteenth (5 x 5) of the size; the windows of the lapped
    transform and the places where cells are joined in fours see three cells more.
    """
    fine, middle, inner = blocks
    cells = -(-fine // 2) + 2 * middle + 4 * inner + 3
    return cells + cells % 2


def spans(length: int, halo: int) -> Iterator[tuple[int, int, int, int]]:
    """(start, stop, first, last) per tile: cells computed, and those of them that are kept."""
    for first in range(0, length, TILE):
        last = min(first + TILE, length)
        yield max(0, first - halo), min(length, last + halo), first, last


def analyze(net: CodecNet, pixels: Tensor, quality: Tensor, aligned: Tensor, alike: bool | None = None) -> Tensor:
    """``net.analyze`` by tiles: uint8 [N, 3, H, W] -> float features [N, C, ceil(H/8), ceil(W/8)]."""
    height, width = pixels.shape[-2:]
    rows, columns = cell_grid(height, width)
    if rows <= TILE and columns <= TILE:
        return net.analyze(unit(pixels), quality, aligned, alike)
    halo = reach(net.config.analysis_blocks)
    y = torch.empty(len(pixels), net.config.channels, rows, columns, dtype=torch.float32, device=pixels.device)
    for top, bottom, first_row, last_row in spans(rows, halo):
        for left, right, first_column, last_column in spans(columns, halo):
            part = pixels[:, :, top * STRIDE : bottom * STRIDE, left * STRIDE : right * STRIDE]
            tile = net.analyze(unit(part), quality, aligned, alike)
            y[:, :, first_row:last_row, first_column:last_column] = tile[
                :, :, first_row - top : last_row - top, first_column - left : last_column - left
            ]
    return y


def synthesize(
    net: CodecNet, features: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor, height: int, width: int
) -> Tensor:
    """``net.synthesize`` by tiles: -> uint8 [N, 3, height, width]."""
    rows, columns = features.shape[-2:]
    if rows <= TILE and columns <= TILE:
        return eight_bits(net.synthesize(features, levels, quality, aligned, height, width))
    halo = reach(net.config.synthesis_blocks)
    halo += -halo % REGION  # the level map has one entry for a region
    out = torch.empty(len(features), 3, height, width, dtype=torch.uint8, device=features.device)
    for top, bottom, first_row, last_row in spans(rows, halo):
        for left, right, first_column, last_column in spans(columns, halo):
            end_row, end_column = min(bottom * STRIDE, height), min(right * STRIDE, width)
            tile = eight_bits(
                net.synthesize(
                    features[:, :, top:bottom, left:right].contiguous(memory_format=torch.channels_last),
                    levels[:, top // REGION : -(-bottom // REGION), left // REGION : -(-right // REGION)],
                    quality,
                    aligned,
                    end_row - top * STRIDE,
                    end_column - left * STRIDE,
                )
            )
            y0, y1 = first_row * STRIDE, min(last_row * STRIDE, height)
            x0, x1 = first_column * STRIDE, min(last_column * STRIDE, width)
            out[:, :, y0:y1, x0:x1] = tile[
                :, :, y0 - top * STRIDE : y1 - top * STRIDE, x0 - left * STRIDE : x1 - left * STRIDE
            ]
    return out


def unit(pixels: Tensor) -> Tensor:
    """uint8 -> float32 in 0..1, channels last."""
    return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)


def eight_bits(pixels: Tensor) -> Tensor:
    """Float in 0..1 -> uint8, rounded half to even."""
    return (pixels.float() * 255).round_().to(torch.uint8)
