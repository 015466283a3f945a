"""Draws regions.png: one face at several qualities, and how coarsely its regions are pooled there.

    python docs/pictures/regions.py

The face is lfic/assets/astronaut.png (Eileen Collins, NASA, public domain).
"""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import lfic
from lfic.demo import ASTRONAUT
from lfic.format.geometry import REGION, SIDE
from lfic.format.geometry import STRIDE as CELL

QUALITIES = (1, 8, 25, 45, 70)
HEAT = np.array([(196, 30, 58), (240, 170, 40), (40, 90, 200)])  # levels 0 (fine), 1, 2 (pooled)
SHOWN, GAP, LABEL = 2, 10, 26


def enlarged(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).resize((SHOWN * SIDE, SHOWN * SIDE), Image.Resampling.BICUBIC)


def heat(face: np.ndarray, levels: np.ndarray) -> Image.Image:
    """The face in grey under its region levels, with a dot for every coefficient that is kept of a channel."""
    level = np.repeat(np.repeat(levels, CELL * REGION, 0), CELL * REGION, 1)[:SIDE, :SIDE]
    grey = face.mean(-1, keepdims=True)
    image = enlarged((0.5 * grey + 0.5 * HEAT[level]).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for y in range(SIDE // CELL):
        for x in range(SIDE // CELL):
            step = 2 ** int(levels[y // REGION, x // REGION])
            if y % step == 0 and x % step == 0:
                right, below = min(x + step, SIDE // CELL), min(y + step, SIDE // CELL)
                centre = SHOWN * CELL * (x + right) / 2, SHOWN * CELL * (y + below) / 2
                draw.circle(centre, 2.5, fill="white")
    for edge in range(CELL * REGION, SIDE, CELL * REGION):
        draw.line([(edge * SHOWN, 0), (edge * SHOWN, SIDE * SHOWN)], fill="white")
        draw.line([(0, edge * SHOWN), (SIDE * SHOWN, edge * SHOWN)], fill="white")
    return image


def main() -> None:
    face = np.asarray(Image.open(ASTRONAUT).convert("RGB"))
    tile = SHOWN * SIDE
    columns = len(QUALITIES) + 1
    size = (columns * (tile + GAP) + GAP, 2 * (tile + LABEL + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)

    def put(column: int, row: int, image: Image.Image, words: str) -> None:
        x, y = GAP + column * (tile + GAP), GAP + row * (tile + LABEL + GAP)
        sheet.paste(image, (x, y))
        draw.text((x, y + tile + 4), words, "black", font)

    put(0, 0, enlarged(face), "original")
    for column, quality in enumerate(QUALITIES, 1):
        data = lfic.encode(face, quality=quality, aligned=True)
        put(column, 0, enlarged(np.asarray(lfic.decode(data))), f"quality {quality}: {len(data)} bytes")
        levels = np.asarray(lfic.probe(data).levels)
        put(column, 1, heat(face, levels), "coefficients kept")
    x, y = GAP, GAP + tile + LABEL + GAP
    for row, (color, words) in enumerate(
        zip(HEAT, ("level 0: all 4 x 4 kept", "level 1: 2 x 2 pooled", "level 2: 4 x 4 pooled"))
    ):
        draw.rectangle([x, y + 30 * row, x + 18, y + 30 * row + 18], tuple(int(c) for c in color))
        draw.text((x + 28, y + 30 * row), words, "black", font)
    sheet.save(pathlib.Path(__file__).parent / "regions.png", optimize=True)


if __name__ == "__main__":
    main()
