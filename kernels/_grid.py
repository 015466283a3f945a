"""Geometry, memory layout and checks of shapes that all operations share; every file of this folder takes them from
here.

The operations can be called past ops.py, as torch.ops.lfic.*: what would read outside a tensor is refused here once
more, on every device.
"""

from collections.abc import Sequence

import torch

REGION = 4  # cells in each direction that share a level; reductions are written out for 16 cells
LEVELS = 3  # a level l keeps one coefficient for every 2**l x 2**l cells
SYMBOL_LIMIT = 32767.0  # symbols lie in -SYMBOL_LIMIT ... SYMBOL_LIMIT
FLOATS = (torch.float32, torch.float16, torch.bfloat16)  # types of features


def regions(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of regions over a grid of height x width cells; those at the right and bottom may be partial."""
    return -(-height // REGION), -(-width // REGION)


def channels_last(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> torch.Tensor:
    """Empty [N, C, h, w] whose memory is [N, h, w, C]."""
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)


def expect(name: str, tensor: torch.Tensor, dtype: torch.dtype, shape: Sequence[int]) -> None:
    """ValueError unless a tensor has this dtype and shape."""
    if tensor.dtype is not dtype or tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; needed is {dtype} {tuple(shape)}")


def expect_features(shape: Sequence[int], **features: torch.Tensor | None) -> None:
    """ValueError unless each that is given is floating point of this shape, all on one device."""
    first = next((x for x in features.values() if x is not None), None)
    for name, x in features.items():
        if x is not None and first is not None and x.device != first.device:
            raise ValueError(
                f"{name} is on {x.device}, other features are on {first.device}; all must be on one device"
            )
        if x is not None and (x.dtype not in FLOATS or tuple(x.shape) != tuple(shape)):
            raise ValueError(
                f"{name} is {x.dtype} {tuple(x.shape)}; needed is float32, float16 or bfloat16 {tuple(shape)}"
            )


def expect_grid(
    shape: Sequence[int],
    levels: torch.Tensor,
    quality: torch.Tensor | None = None,
    tables: Sequence[torch.Tensor] = (),
    seed: torch.Tensor | None = None,
    indexes: torch.Tensor | None = None,
    symbols: torch.Tensor | None = None,
    device: torch.device | None = None,
) -> None:
    """ValueError unless what belongs to features of a shape [N, C, h, w] fits it.

    levels [N, hr, wr], quality [N], tables [Q, 3, C] of one Q, indexes as they are, a seed of one element, symbols
    [N, K] with whole cells; C, h, w and Q at least 1. All lie on one device: that of the features, or where there are
    none that of levels.
    """
    count, channels, height, width = shape
    if channels < 1 or height < 1 or width < 1:
        raise ValueError(f"features are {tuple(shape)}; needed is [N, C, h, w] with C, h and w of at least 1")
    device = levels.device if device is None else device
    named = (("levels", levels), ("quality", quality), ("seed", seed), ("indexes", indexes), ("symbols", symbols))
    for name, tensor in (*named, *(("a table", table) for table in tables)):
        if tensor is not None and tensor.device != device:
            raise ValueError(f"{name} is on {tensor.device}, the others are on {device}; all must be on one device")
    if tables and tables[0].shape[0] < 1:
        raise ValueError(
            f"a table is {tuple(tables[0].shape)}; needed is [Q, {LEVELS}, {channels}] with Q of at least 1"
        )
    expect("levels", levels, torch.uint8, (count, *regions(height, width)))
    if quality is not None:
        expect("quality", quality, torch.int64, (count,))
    for table in tables:
        expect("a table", table, torch.float32, (tables[0].shape[0], LEVELS, channels))
    if indexes is not None:
        expect("indexes", indexes, torch.int16, tables[0].shape)
    if seed is not None:
        expect("seed", seed, torch.int64, (1,))
    if symbols is not None:
        room = symbols.shape[-1] // channels
        expect("symbols", symbols, torch.int16, (count, room * channels))


def expect_gradients(grad_features: torch.Tensor | None, grad_symbols: torch.Tensor | None) -> None:
    if grad_features is None and grad_symbols is None:
        raise ValueError("grad_features and grad_symbols are both None; at least one of them is needed")
