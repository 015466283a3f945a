"""The page itself: the sections in their order, in the frame of page.html."""

import html
import importlib.resources
import os
import string
from collections.abc import Mapping, Sequence

from ...files import write_atomically
from ..gallery import Exhibit
from ..tables import Row, machine
from . import sections
from .deltas import bd_rate_section
from .plots import plots


def write_page(
    path: str | os.PathLike[str],
    rows: Sequence[Row],
    deltas: Sequence[Row] = (),
    exhibits: Sequence[Exhibit] = (),
    groups: Sequence[Row] = (),
    speed: Sequence[Row] = (),
    note: str = "",
    title: str = "lfic: face verification against bytes",
    images: Mapping[str, bytes] | None = None,
) -> None:
    """Write the page; nothing in it is loaded from elsewhere.

    Args:
        rows: of ``figures.summarize``. deltas: of ``curves.bd_rates``. exhibits: of ``gallery.gallery``.
        groups: of ``groups.group_rows``. speed: of ``speed.measure_speed``. images: of ``plots.plots``; drawn from
            ``rows`` by default.
    """
    parts = [
        sections.curves(plots(rows) if images is None else images),
        bd_rate_section(deltas),
        sections.faces_at_equal_bytes(exhibits),
        sections.region_levels(exhibits),
        sections.bytes_for_quality(rows),
        sections.looks_at_equal_bytes(rows),
        sections.groups(groups),
        sections.speed(speed),
        sections.all_figures(rows),
    ]
    frame = string.Template((importlib.resources.files(__package__) / "page.html").read_text(encoding="utf-8"))
    page = frame.substitute(
        title=html.escape(title),
        note=html.escape(note),
        machine=html.escape(machine()),
        sections="\n".join(filter(None, parts)),
    )
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_atomically(path, page.encode())
