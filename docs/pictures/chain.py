"""Draws chain.svg: what happens to a face between pixels and bytes, both ways.

python docs/pictures/chain.py
"""

from svg import INK, PALE, line, rectangle, text, write

WIDE, HIGH, STEP = 150, 62, 182
DOWN = (
    ("pixels", "112 x 112 RGB"),
    ("analysis", "network"),
    ("features", "14 x 14 x 96"),
    ("pool, quantise", "levels, gains"),
    ("symbols", "integers"),
    ("range coder", "context model"),
    ("file", "50 to 1,500 bytes"),
)
UP = (
    ("pixels", "112 x 112 RGB"),
    ("synthesis", "network"),
    ("features", "14 x 14 x 96"),
    ("unpool, scale", "levels, steps"),
    ("symbols", "the same integers"),
    ("range decoder", "context model"),
    ("file", "50 to 1,500 bytes"),
)


def row(top: float, boxes: tuple[tuple[str, str], ...], back: bool) -> list[str]:
    parts = []
    for i, (name, note) in enumerate(boxes):
        x = 24 + i * STEP
        data = i % 2 == 0
        exact = i >= 4
        fill = "#e3eafb" if exact else "#fdf1dc"
        parts.append(rectangle(x, top, WIDE, HIGH, fill, PALE if data else INK, rx="28" if data else "6"))
        parts.append(text(x + WIDE / 2, top + 27, name, 16, font_weight="bold" if not data else "normal"))
        parts.append(text(x + WIDE / 2, top + 47, note, 12.5, PALE))
        if i:
            ends = (x - STEP + WIDE + 3, x - 3)
            start, end = reversed(ends) if back else ends
            parts.append(line(start, top + HIGH / 2, end, top + HIGH / 2, arrow=True))
    return parts


if __name__ == "__main__":
    parts = [text(24, 30, "encode", 15, PALE, "start"), text(24, 160, "decode", 15, PALE, "start")]
    parts += row(42, DOWN, back=False) + row(172, UP, back=True)
    parts += [
        rectangle(24, 258, 18, 18, "#fdf1dc", PALE),
        text(52, 272, "floating point", 13, anchor="start"),
        rectangle(180, 258, 18, 18, "#e3eafb", PALE),
        text(208, 272, "integers: the same on every machine", 13, anchor="start"),
    ]
    write("chain.svg", 2 * 24 + 6 * STEP + WIDE, 294, parts)
