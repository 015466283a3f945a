"""Figures, pictures and tables as HTML."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..interface import Pixels


def data_uri(data: bytes, kind: str = "png") -> str:
    """A picture's bytes as an address."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def face_tag(pixels: Pixels, text: str = "") -> str:
    """A face as an image, ``text`` in its place where pictures are not shown."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    text = html.escape(text)
    return f'<img class="face" src="{data_uri(buffer.getvalue())}" alt="{text}" title="{text}">'


def cell(value: Any, digits: int = 2) -> str:
    """A figure or a text for a table; a dash for what is missing."""
    if value is None or value == "" or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}f}".replace("-", "−")
    return html.escape(str(value))


def percent(value: Any, digits: int = 2) -> str:
    """A fraction as per cent."""
    return cell(100 * value, digits) if isinstance(value, (int, float)) else "–"


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], css: str = "") -> str:
    """heads: texts. lines: cells, HTML already. css: "faces" makes pictures narrow enough for all columns."""
    head = "".join(f"<th>{html.escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in line) + "</tr>" for line in lines)
    style = f' class="{css}" style="--columns: {len(heads) - 1}"' if css else ""
    return f'<div class="scroll"><table{style}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, note: str, body: str) -> str:
    """A heading, a paragraph that says what follows, and what follows, HTML already."""
    return f"<h2>{title}</h2>" + (f"<p class=note>{note}</p>" if note else "") + body
