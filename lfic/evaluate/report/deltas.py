"""The report's section of BD-rates: at a glance, and all of them."""

import html
from collections.abc import Sequence

import numpy as np

from ..tables import Row
from .tags import cell, section, table

PAPER = {"JPEG 2000": 71.41, "WebP": 48.28, "bmshj2018": 52.67}  # arXiv 1812.10067: bit-rate saved, per cent


def bd_rate_section(deltas: Sequence[Row]) -> str:
    """deltas: of ``curves.bd_rates``."""
    if not deltas:
        return ""
    note = (
        "Negative: fewer bytes than the codec compared with. Only over the qualities that both reach; 95 % intervals "
        "by drawing the pairs anew."
    )
    details = (
        f"<details><summary>All {len(deltas)} BD-rates: other measures, without headers, ranges</summary>"
        f"{delta_table(deltas)}</details>"
    )
    return section("BD-rate: bytes at equal quality", note, delta_matrices(deltas) + details)


def with_interval(delta: Row, column: str) -> str:
    """A BD-rate and its interval: "−50.0 [−55.0, −45.0]"."""
    low, high = (delta.get(f"{end}{column}_percent") for end in ("low", "high"))
    known = isinstance(low, float) and np.isfinite(low)
    return cell(delta[f"bd_rate{column}_percent"], 1) + (f" [{cell(low, 1)}, {cell(high, 1)}]" if known else "")


def delta_matrices(deltas: Sequence[Row], measures: Sequence[str] = ("accuracy", "similarity")) -> str:
    """BD-rates over whole files at a glance, a table for each judge and measure: codecs in lines, those compared with
    in columns; the paper's below."""
    out = []
    anchors = list(dict.fromkeys(d["anchor"] for d in deltas))
    for judge in dict.fromkeys(d["recognizer"] for d in deltas if d["recognizer"]):
        for measure in measures:
            mine = [d for d in deltas if d["measure"] == measure and d["recognizer"] == judge]
            value = {(d["codec"], d["anchor"]): d for d in mine}
            codecs = sorted(dict.fromkeys(codec for codec, _ in value), key=lambda c: not c.startswith("lfic"))
            lines = [
                [html.escape(c)] + [with_interval(value[c, a], "") if (c, a) in value else "" for a in anchors]
                for c in codecs
            ]
            if not lines:
                continue
            if measure == "accuracy":
                saved = [f"−{PAPER[a]}" if a in PAPER else "" for a in anchors]
                lines.append(["<i>the paper's codec, on its data</i>", *saved])
            out.append(
                f"<h3>{html.escape(judge)}, equal {measure}: per cent of bytes against</h3>"
                + table(["codec", *anchors], lines)
            )
    return "".join(out)


def delta_table(deltas: Sequence[Row]) -> str:
    """All BD-rates in one table, the paper's three figures beside those that they match."""
    heads = [
        "codec",
        "against",
        "at equal",
        "judge",
        "in the loss",
        "in the encoder",
        "bytes, % [95 %]",
        "without headers, % [95 %]",
        "over",
        "the paper's",
    ]
    lines = []
    for d in sorted(
        deltas, key=lambda d: (not d["codec"].startswith("lfic"), d["codec"], d["measure"], d["recognizer"])
    ):
        scale = 100 if d["measure"].startswith(("acc", "tar")) else 1
        known = d["overlap_from"] is not None
        paper = PAPER.get(d["anchor"]) if d["codec"].startswith("lfic") and d["measure"] == "accuracy" else None
        lines.append(
            [
                html.escape(d["codec"]),
                html.escape(d["anchor"]),
                d["measure"],
                html.escape(d["recognizer"]),
                cell(d.get("loss")),
                cell(d.get("encoder")),
                with_interval(d, ""),
                with_interval(d, "_without_header"),
                f"{cell(scale * d['overlap_from'])} to {cell(scale * d['overlap_to'])}" if known else "no overlap",
                f"−{paper}" if paper else "",
            ]
        )
    return table(heads, lines)
