"""Draws order.svg, the coding order of an aligned face, and context.svg, what a cell's symbols are told from.

    python docs/pictures/order.py

The levels are those that face-v1 chooses for lfic/assets/astronaut.png at quality 1.
"""

from svg import INK, LEVELS, PALE, PAPER, line, rectangle, text, write

GRID, REGION = 14, 4  # cells of a 112 x 112 face a side; cells of a region a side
FACE = ((2, 2, 2, 2), (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 0))
CELL = 40  # units of the drawing


def kept(levels: tuple[tuple[int, ...], ...]) -> list[tuple[int, int, int]]:
    """(row, column, level) of the kept cells in coding order."""
    cells = []
    for top in range(0, GRID, REGION):
        for left in range(0, GRID, REGION):
            level = levels[top // REGION][left // REGION]
            for y in range(top, min(top + REGION, GRID), 2**level):
                cells += [(y, x, level) for x in range(left, min(left + REGION, GRID), 2**level)]
    return cells


def draw_order() -> None:
    edge, parts = 24, []
    for number, (y, x, level) in enumerate(kept(FACE)):
        wide, high = (min(2**level, GRID - x) * CELL, min(2**level, GRID - y) * CELL)
        left, top = edge + x * CELL, edge + y * CELL
        parts.append(rectangle(left, top, wide, high, LEVELS[level], PAPER, fill_opacity="0.32", stroke_width="2"))
        parts.append(text(left + wide / 2, top + high / 2 + 5, str(number), 15))
    parts += [line(edge, edge + y * CELL, edge + GRID * CELL, edge + y * CELL) for y in (0, 4, 8, 12, 14)]
    parts += [line(edge + x * CELL, edge, edge + x * CELL, edge + GRID * CELL) for x in (0, 4, 8, 12, 14)]
    x = edge + GRID * CELL + 40
    for row, (level, words) in enumerate(
        (
            (0, "level 0: every cell is kept"),
            (1, "level 1: one of 2 x 2"),
            (2, "level 2: one of 4 x 4"),
        )
    ):
        parts.append(rectangle(x, 40 + 40 * row, 24, 24, LEVELS[level], PAPER, fill_opacity="0.32"))
        parts.append(text(x + 36, 57 + 40 * row, words, 15, anchor="start"))
    notes = (
        f"{len(kept(FACE))} of {GRID * GRID} cells are kept.",
        "Black lines bound the regions of 4 x 4 cells;",
        "those at the right and below are partial.",
        "Regions follow each other row by row,",
        "kept cells in a region as well,",
        "and in a cell its channels, 0 to 95.",
    )
    parts += [text(x, 200 + 24 * row, words, 15, anchor="start") for row, words in enumerate(notes)]
    write("order.svg", 2 * edge + GRID * CELL + 350, 2 * edge + GRID * CELL, parts)


def draw_context() -> None:
    parts, edge, cell = [], 24, 64
    names = {(0, 0): "NW", (0, 1): "N", (0, 2): "NE", (1, 0): "W", (1, 1): "?"}
    for y in range(3):
        for x in range(4):
            known = y == 0 or (y == 1 and x == 0)
            fill = LEVELS[2] if (y, x) in names and known else "#dddddd" if known else PAPER
            left, top = edge + x * cell, edge + y * cell
            parts.append(rectangle(left, top, cell, cell, fill, PALE, fill_opacity="0.35"))
            if (y, x) in names:
                parts.append(text(left + cell / 2, top + cell / 2 + 6, names[y, x], 17))
    parts.append(rectangle(edge + cell, edge + cell, cell, cell, "none", LEVELS[0], stroke_width="3"))
    boxes = (
        (340, 24, 190, 52, "level, quality, place"),
        (340, 108, 190, 52, "first layer: 128 integers"),
        (580, 108, 230, 52, "six groups of 16 channels"),
        (580, 192, 230, 52, "a mean and a scale each"),
        (860, 192, 150, 52, "one of 320 tables"),
    )
    for x, y, wide, high, words in boxes:
        parts.append(rectangle(x, y, wide, high, "#f4f4f4", INK, rx="6"))
        parts.append(text(x + wide / 2, y + high / 2 + 5, words, 15))
    parts += [
        line(edge + 4 * cell + 6, 134, 336, 134, arrow=True),
        line(435, 76, 435, 104, arrow=True),
        line(530, 134, 576, 134, arrow=True),
        line(695, 160, 695, 188, arrow=True),
        line(810, 218, 856, 218, arrow=True),
        text(695, 92, "each sees the groups before it", 13, PALE),
        text(edge, edge + 3 * cell + 22, "blue: decoded and used; red: the cell in turn", 13, PALE, "start"),
    ]
    write("context.svg", 1040, 270, parts)


if __name__ == "__main__":
    draw_order()
    draw_context()
