"""Draws tile.svg: what a region keeps at its three levels, and the row of coding order that a small image fills.

python docs/pictures/tile.py
"""

from svg import INK, LEVELS, PALE, line, rectangle, text, write

CELL, REGION = 34, 4
IMAGE = ((0, 1), (2, 1))  # levels of 7 x 6 cells: the right and bottom regions are partial
HEIGHT, WIDTH = 7, 6


def kept(top: int, left: int, tall: int, wide: int, level: int) -> list[tuple[int, int, int, int]]:
    """(row, column, rows, columns) of the footprints of a region, in raster order."""
    side = 1 << level
    return [
        (top + y, left + x, min(side, tall - y), min(side, wide - x))
        for y in range(0, tall, side)
        for x in range(0, wide, side)
    ]


def footprints(cells: list[tuple[int, int, int, int]], x: float, y: float, color: str, first: int) -> list[str]:
    parts = []
    for i, (row, column, tall, wide) in enumerate(cells):
        box = (x + column * CELL + 2, y + row * CELL + 2, wide * CELL - 4, tall * CELL - 4)
        parts.append(rectangle(*box, color, "none", fill_opacity="0.25", rx="5"))
        parts.append(rectangle(x + column * CELL + 2, y + row * CELL + 2, CELL - 4, CELL - 4, "none", color, rx="5"))
        parts.append(text(x + column * CELL + CELL / 2, y + row * CELL + CELL / 2 + 5, str(first + i), 13))
    return parts


def draw() -> None:
    parts = []
    for level, words in enumerate(("level 0 keeps 16", "level 1 keeps 4 means", "level 2 keeps 1 mean")):
        x = 24 + level * 176
        parts += footprints(kept(0, 0, REGION, REGION, level), x, 40, LEVELS[level], 0)
        parts.append(text(x + REGION * CELL / 2, 28, words, 14))
    left, top, number = 580, 40, 0
    parts.append(text(left + WIDTH * CELL / 2, 28, "7 x 6 cells, four regions", 14))
    row: list[str] = []
    for region_y, levels in enumerate(IMAGE):
        for region_x, level in enumerate(levels):
            y, x = region_y * REGION, region_x * REGION
            cells = kept(y, x, min(REGION, HEIGHT - y), min(REGION, WIDTH - x), level)
            parts += footprints(cells, left, top, LEVELS[level], number)
            number += len(cells)
            row += [LEVELS[level]] * len(cells)
    row += ["#ffffff"] * (HEIGHT * WIDTH - number)
    step = 780 / len(row)
    for i, color in enumerate(row):
        opacity = "0.25" if i < number else "1"
        parts.append(rectangle(24 + i * step, 330, step, 26, color, PALE, fill_opacity=opacity))
        parts.append(text(24 + (i + 0.5) * step, 348, str(i) if i < number else "0", 10, INK if i < number else PALE))
    parts.append(
        text(24, 318, "its row in coding order: C symbols a slot, counts says how many hold", 14, anchor="start")
    )
    parts.append(text(24 + number * step, 378, "zeros, or undefined (tail=False)", 13, PALE, "start"))
    parts.append(line(24 + number * step, 362, 24 + number * step, 384, PALE))
    write("tile.svg", 828, 396, parts)


if __name__ == "__main__":
    draw()
