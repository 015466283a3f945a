"""Float weights out of the integers that were made of them, so that a weights file holds a network once.

A layer has float weights w [N, K, ...] and integers W of the same shape (lfic/network/integers.py). Each integer is
the float weight times one number for its output and one for its input, rounded. So a file keeps two vectors in the
place of w, r [N] and c [K]:

    w[n, k] = W[n, k] * r[n] * c[k]

What comes back is as exact as W, which has 15 bits for the largest weight of an output.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..format.integers import PREFIX

FLOATS = "net."
ROWS, COLUMNS = ".rows", ".columns"
LEAST = 1024  # weights, below which a layer's are kept as they are
ROUNDS = 30  # of least squares; after ten nothing moves any more
EXACT = 1e-3  # of a layer's largest weight: layers that would be further off are kept as they are

Arrays = dict[str, NDArray[Any]]


def factors(weight: NDArray[Any], integers: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """r float32 [N] and c float32 [K] of a layer, by alternating least squares of w = W r c."""
    w = weight.astype(np.float64).reshape(*weight.shape[:2], -1)
    whole = integers.astype(np.float64).reshape(w.shape)
    products, squares = (w * whole).sum(2), (whole**2).sum(2)
    columns = np.ones(w.shape[1])
    for _ in range(ROUNDS):
        rows = products @ columns / np.maximum(squares @ columns**2, 1e-300)
        columns = rows @ products / np.maximum(rows**2 @ squares, 1e-300)
    return rows.astype(np.float32), columns.astype(np.float32)


def product(integers: NDArray[Any], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """W r c, float32 [N, K, ...]."""
    scale = rows[:, None] * columns
    out: NDArray[np.float32] = integers * scale.reshape(*scale.shape, *[1] * (integers.ndim - 2))
    return out


def compact(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """A weights file's arrays without the float weights that its integers restore."""
    out = dict(arrays)
    for name in arrays:
        layer = name.removeprefix(FLOATS).removesuffix(".weight")
        integers = arrays.get(f"{PREFIX}{layer}.weight")
        if name != f"{FLOATS}{layer}.weight" or integers is None or integers.size < LEAST:
            continue
        rows, columns = factors(arrays[name], integers)
        off = np.abs(product(integers, rows, columns) - arrays[name]).max()
        if off <= EXACT * np.abs(arrays[name]).max():
            del out[name]
            out[f"{FLOATS}{layer}{ROWS}"], out[f"{FLOATS}{layer}{COLUMNS}"] = rows, columns
    return out


def restored(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """``compact``'s arrays with all float weights, float32; KeyError or ValueError where they do not fit together."""
    out = dict(arrays)
    for name in arrays:
        layer = name.removeprefix(FLOATS).removesuffix(ROWS)
        if name != f"{FLOATS}{layer}{ROWS}":
            continue
        rows, columns = out.pop(name), out.pop(f"{FLOATS}{layer}{COLUMNS}")
        integers = arrays[f"{PREFIX}{layer}.weight"]
        if integers.shape[:2] != (*rows.shape, *columns.shape):
            raise ValueError(f"{layer} has weights {integers.shape}, {rows.shape} and {columns.shape}")
        out[f"{FLOATS}{layer}.weight"] = product(integers, rows, columns)
    return out
