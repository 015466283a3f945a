"""The encoder without effort in integers, put together in Python: what C, C++ and JavaScript have to write."""

import functools

import numpy as np

from lfic.format import container, weights
from lfic.format.geometry import SIDE, cell_grid
from lfic.format.integers import integer_model
from lfic.format.level_map import map_bits

CLEAR = {20: 0.72, 60: 0.81, 80: 0.87, 100: 0.91}  # of lfic/encoder/choose.py


@functools.cache
def loaded(number):
    """(integer networks, context model, that of what stands on the template if it is another) of a bundled model."""
    arrays, _ = weights.load_arrays(container.MODELS[number])
    part = weights.template_part(arrays)
    return integer_model(arrays), weights.context_model(arrays), weights.context_model(part) if part else None


def bits(context, symbols, levels, grid, quality, aligned):
    out = float(context.cost(symbols, levels, *grid, quality, aligned).astype(np.float64).sum())
    if (levels != levels.flat[0]).any():
        out += map_bits(context.level_prior, levels, quality, aligned)
    return out


def encoded(pixels, quality=40, aligned=None, checksum=True):
    """uint8 [H, W, 3] -> file; aligned None: on the template where its positions help."""
    height, width = pixels.shape[:2]
    grid = cell_grid(height, width)

    def draft(way):
        ((symbols, levels),) = loaded(0 if way else 1)[0].encode([(np.ascontiguousarray(pixels), quality, way)])
        return symbols, levels

    if aligned is None and (height, width) == (SIDE, SIDE):
        symbols, levels = draft(True)
        on, off = (bits(loaded(0)[1], symbols, levels, grid, quality, way) for way in (True, False))
        aligned = bool(on <= np.interp(quality, list(CLEAR), list(CLEAR.values())) * off)
        if not aligned:
            symbols, levels = draft(False)
    else:
        aligned = bool(aligned)
        symbols, levels = draft(aligned)
    first = int(levels.flat[0])
    mode = first if (levels == first).all() else container.CODED_MAP
    (payload,) = loaded(1)[2 if aligned else 1].encode_batch(
        [(symbols, levels, *grid, quality, aligned, mode == container.CODED_MAP)]
    )
    header = container.Header(width, height, quality, mode, aligned, checksum, 1)
    return container.write(header, payload)
