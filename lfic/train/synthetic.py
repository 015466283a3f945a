"""Ordinary pictures that no face set has: flat colours, gradients, a face before a saturated wall, text."""

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..metric.pixel import landmark_weight

KINDS = 4
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-+=/()      "))


def synthetic(height: int, width: int, rng: Generator) -> NDArray[np.uint8] | None:
    """A picture of one of the kinds: uint8 [height, width, 3], or None where it is to be a photo before a ``wall``."""
    draw = (flat, gradient, text, None)[rng.integers(KINDS)]
    return draw(height, width, rng) if draw else None


def color(rng: Generator) -> NDArray[np.float64]:
    """A colour, float64 [3] in 0..255: fully saturated (an edge of the cube), a grey, or any."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.permutation([0.0, 255.0, float(rng.choice([0.0, 255.0, rng.uniform(0, 255)]))])
    return np.full(3, rng.uniform(0, 255)) if kind == 1 else rng.uniform(0, 255, 3)


def ramp(height: int, width: int, rng: Generator) -> NDArray[np.float64]:
    """A plane in a random direction, float64 [height, width, 1], from 0 in one corner to 1 in the other."""
    angle = rng.uniform(0, 2 * np.pi)
    plane = np.cos(angle) * np.arange(width)[None] + np.sin(angle) * np.arange(height)[:, None]
    out: NDArray[np.float64] = ((plane - plane.min()) / np.ptp(plane))[..., None]
    return out


def rounded(pixels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Pixels in 0..255 as bytes."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def flat(height: int, width: int, rng: Generator) -> NDArray[np.uint8]:
    """One colour, or two that meet in a straight edge: uint8 [height, width, 3]."""
    one, other = color(rng), color(rng)
    edge = ramp(height, width, rng) < (rng.uniform(0.2, 0.8) if rng.random() < 0.5 else 2)
    return rounded(np.where(edge, one, other))


def gradient(height: int, width: int, rng: Generator) -> NDArray[np.uint8]:
    """From one colour to another: uint8 [height, width, 3]."""
    share = ramp(height, width, rng)
    return rounded(color(rng) * (1 - share) + color(rng) * share)


def text(height: int, width: int, rng: Generator) -> NDArray[np.uint8]:
    """Lines of random letters in one size, black on white or the other way: uint8 [height, width, 3]."""
    size = float(rng.uniform(8, 26))
    image = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    top, spacing = rng.uniform(-size, size), size * rng.uniform(1.1, 1.8)
    for line in range(int(height / spacing) + 2):
        letters = "".join(rng.choice(LETTERS, int(3 * width / size)))
        draw.text((rng.uniform(-size, size), top + line * spacing), letters, fill=0, font=font)
    pixels = np.asarray(image)
    return np.repeat((255 - pixels if rng.random() < 0.5 else pixels)[..., None], 3, 2)


def wall(pixels: NDArray[np.uint8], landmarks: NDArray[np.float64], rng: Generator) -> NDArray[np.uint8]:
    """A picture, uint8 [H, W, 3], of which the face is left, before a saturated wall, perhaps lit from one side."""
    height, width = pixels.shape[:2]
    mask = landmark_weight(torch.from_numpy(landmarks)[None], height, width, 0.0)[0, 0].numpy()[..., None]
    one = rng.permutation([0.0, 255.0, float(rng.choice([0.0, 255.0]))])
    light = 1 - rng.choice([0.0, 0.4]) * ramp(height, width, rng)
    return rounded(mask * pixels + (1 - mask) * one * light)
