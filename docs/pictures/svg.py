"""A few shapes of SVG, enough for the drawings of this folder."""

import pathlib
from html import escape

INK, PALE, PAPER = "#222222", "#8a8a8a", "#ffffff"
LEVELS = ("#c41e3a", "#f0aa28", "#285ac8")  # of region levels 0 (fine), 1, 2 (pooled): as in the demo's maps


def rectangle(
    x: float, y: float, width: float, height: float, fill: str = "none", stroke: str = INK, **more: str
) -> str:
    """A box with its upper left corner at x, y; ``more`` are SVG attributes, an underscore for each hyphen."""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}" stroke="{stroke}"{attributes(more)}/>'
    )


def line(x1: float, y1: float, x2: float, y2: float, stroke: str = INK, arrow: bool = False, **more: str) -> str:
    """A line, with a head at its second end if ``arrow``."""
    head = ' marker-end="url(#arrow)"' if arrow else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{stroke}"{head}{attributes(more)}/>'


def text(x: float, y: float, words: str, size: float = 13, fill: str = INK, anchor: str = "middle", **more: str) -> str:
    """Words whose baseline is at y."""
    where = f'x="{x}" y="{y}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
    return f"<text {where}{attributes(more)}>{escape(words)}</text>"


def attributes(more: dict[str, str]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())


def write(name: str, width: float, height: float, parts: list[str]) -> None:
    """A drawing on white paper, beside this file."""
    head = (
        '<marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,1 L10,5 L0,9 z" fill="{INK}"/></marker>'
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f"<defs>{head}</defs>",
        rectangle(0, 0, width, height, PAPER, "none"),
        *parts,
        "</svg>",
    ]
    (pathlib.Path(__file__).parent / name).write_text("\n".join(lines) + "\n")
