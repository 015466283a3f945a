"""Constructed pictures on which a face codec's faults show at once: flat colours, a ramp, grey.

Each is made for one fault: saturated colour that breaks up, a lattice on smooth areas, grey that comes back coloured.
"""

import numpy as np
from numpy.typing import NDArray

from .interface import Pixels

FLAT = {
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "skin": (224, 172, 140),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
}


def charts(side: int) -> dict[str, Pixels]:
    """Name -> uint8 [side, side, 3], the same in every run."""
    out = {f"flat {name}": np.full((side, side, 3), color, np.uint8) for name, color in FLAT.items()}
    x = np.linspace(0, 1, side)
    out["ramp"] = np.repeat(np.rint(40 + 180 * (x[None] + x[:, None]) / 2).astype(np.uint8)[..., None], 3, 2)
    out["grey texture"] = np.repeat(grey_texture(side)[..., None], 3, 2)
    return out


def grey_texture(side: int) -> NDArray[np.uint8]:
    """Smoothed noise around mid-grey, from a fixed seed: uint8 [side, side]."""
    noise = np.random.default_rng(5).normal(0, 40, (side, side))
    for axis in (0, 1):
        noise = np.sum([np.roll(noise, shift, axis) for shift in range(-3, 4)], 0) / 7**0.5
    out: NDArray[np.uint8] = np.clip(np.rint(128 + noise), 0, 255).astype(np.uint8)
    return out
