"""The report's curves: figures over bytes, and ROCs, as PNG files."""

import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import MissingDependencyError
from ...files import write_atomically
from ..data import Faces
from ..points import Embeddings, Point
from ..tables import Row
from ..verification import pair_scores, roc

COLORS = {
    "lfic": "#c2185b",
    "lfic effort 1": "#6d003a",
    "lfic layers": "#ff80ab",
    "JPEG": "#9e6b00",
    "MozJPEG": "#c9a227",
    "JPEG 2000": "#1565c0",
    "WebP": "#2e7d32",
    "WebP 48 px grey": "#66bb6a",
    "WebP 64 px grey": "#a5d6a7",
    "AVIF s4": "#6a1b9a",
    "JPEG XL e7": "#e65100",
    "bmshj2018": "#00838f",
    "dictionary": "#5d4037",
    "eigenface": "#757575",
}
TICKS = (50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000)  # bytes
CLOSE = (750, 1500)  # their figures run into the next ones on an axis that is wider than WIDE times its beginning
WIDE = 15
TITLES = {
    "accuracy": "accuracy",
    "tar_at_far_0.001": "TAR at FAR 1e-3",
    "similarity": "similarity to the uncompressed face",
}
NOT_IN_PERCENT = {
    "psnr_db": "PSNR, dB",
    "similarity": "cosine similarity",
    "ssimulacra2": "SSIMULACRA2 (more is better)",
    "flip": "FLIP (less is better)",
}


def pyplot() -> Any:
    """matplotlib's, drawing to files."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise MissingDependencyError("the report's curves need matplotlib: pip install matplotlib") from None
    return pyplot


def png(figure: Any) -> bytes:
    """The drawn figure as PNG bytes; it is closed."""
    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, format="png")
    pyplot().close(figure)
    return buffer.getvalue()


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def plot(rows: Sequence[Row], measure: str, judge: str, title: str) -> bytes:
    """A curve for each codec of ``measure`` against bytes, with a band of 1.96 standard errors where there is one ->
    PNG bytes."""
    figure, axes = pyplot().subplots(figsize=(6.4, 4.2), dpi=110)
    for k, name in enumerate(dict.fromkeys(r["codec"] for r in rows)):
        mine = [r for r in rows if r["codec"] == name and r["recognizer"] == judge and is_number(r.get(measure))]
        if mine:
            draw(axes, sorted(mine, key=lambda r: r["bytes"]), measure, COLORS.get(name, f"C{k % 10}"))
    axes.set(
        xscale="log",
        xlabel="bytes per face (whole file, mean)",
        title=title,
        ylabel=NOT_IN_PERCENT.get(measure, "%"),
    )
    low, high = axes.get_xlim()
    ticks = [t for t in TICKS if low <= t <= high and (t not in CLOSE or high < WIDE * low)]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    if measure not in NOT_IN_PERCENT:
        axes.set_ylim(top=min(101, axes.get_ylim()[1]), bottom=max(0, axes.get_ylim()[0]))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return png(figure)


def draw(axes: Any, rows: Sequence[Row], measure: str, color: str) -> None:
    """One codec's curve and band; a dotted line for the uncompressed faces."""
    name, scale = rows[0]["codec"], 1 if measure in NOT_IN_PERCENT else 100
    x, y = np.array([r["bytes"] for r in rows]), scale * np.array([r[measure] for r in rows])
    if name == "uncompressed":
        if measure != "psnr_db":
            axes.axhline(y[0], color="black", lw=0.8, ls=":", label=name)
        return
    axes.plot(x, y, marker="o", ms=3.5, lw=2.4 if name.startswith("lfic") else 1.3, color=color, label=name)
    spread = "standard_error" if measure == "accuracy" else f"{measure}_error"
    if all(is_number(r.get(spread)) and np.isfinite(r[spread]) for r in rows):
        e = 1.96 * scale * np.array([r[spread] for r in rows])
        axes.fill_between(x, y - e, y + e, color=color, alpha=0.13, lw=0)


def rocs(points: Sequence[Point], reference: Embeddings, faces: Faces, around: int = 300) -> list[Row]:
    """ROC curves at about equal bytes: every codec's setting whose mean file is nearest to ``around`` bytes, and the
    uncompressed faces.

    Returns:
        Rows codec, setting, recognizer, bytes, far, tar (float64 [T] each; both images compressed); empty without
        pairs.
    """
    if not len(faces.pairs):
        return []
    out = []
    for name, original in reference.items():
        shown = [("uncompressed", "", faces.pixels[0].nbytes, original)]
        judged = [p for p in points if name in p.embeddings]
        for codec in dict.fromkeys(p.codec for p in judged):
            nearest = min((p for p in judged if p.codec == codec), key=lambda p: abs(np.log(p.size.mean() / around)))
            shown.append((codec, nearest.setting, nearest.size.mean(), nearest.embeddings[name]))
        for codec, setting, size, embeddings in shown:
            far, tar, _ = roc(pair_scores(embeddings, embeddings, faces.pairs), faces.same)
            out.append({"codec": codec, "setting": setting, "recognizer": name, "bytes": size, "far": far, "tar": tar})
    return out


def plot_roc(curves: Sequence[Row], title: str) -> bytes:
    """TAR against FAR on a logarithmic axis, one line for each of ``rocs``' curves -> PNG bytes."""
    figure, axes = pyplot().subplots(figsize=(6.4, 4.2), dpi=110)
    for k, curve in enumerate(curves):
        plain = curve["codec"] == "uncompressed"
        axes.step(
            curve["far"],
            100 * curve["tar"],
            where="post",
            label=curve["codec"] if plain else f"{curve['codec']}, {curve['bytes']:.0f} bytes",
            color="#888" if plain else COLORS.get(curve["codec"], f"C{k % 10}"),
            linestyle=":" if plain else "-",
            linewidth=2.2 if curve["codec"].startswith("lfic") else 1.3,
        )
    axes.set_xscale("log")
    axes.set(
        xlim=(min(c["far"][c["far"] > 0].min() for c in curves), 1),
        ylim=(0, 101),
        xlabel="false accept rate",
        ylabel="true accept rate, %",
        title=title,
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return png(figure)


def plots(rows: Iterable[Row], curves: Sequence[Row] = (), around: int = 300) -> dict[str, bytes]:
    """Every plot of the page: title -> PNG bytes. rows: of ``figures.summarize``; curves: of ``rocs``, near ``around``
    bytes."""
    both, out = [r for r in rows if r["protocol"] in ("both", "similarity")], {}
    for judge in dict.fromkeys(r["recognizer"] for r in both):
        for measure, name in TITLES.items():
            if any(is_number(r.get(measure)) for r in both if r["codec"] != "uncompressed"):
                title = f"{judge}: {name}"
                out[title] = plot(both, measure, judge, title)
        mine = [c for c in curves if c["recognizer"] == judge]
        if mine:
            title = f"{judge}: ROC near {around} bytes"
            out[title] = plot_roc(mine, title)
    if both:
        out["PSNR"] = plot(both, "psnr_db", both[0]["recognizer"], "PSNR")
        for measure, name in (("ssimulacra2", "SSIMULACRA2"), ("flip", "FLIP")):
            if any(is_number(r.get(measure)) for r in both):
                out[name] = plot(both, measure, both[0]["recognizer"], name)
    return out


def write_plots(prefix: str | pathlib.Path, images: Mapping[str, bytes]) -> list[pathlib.Path]:
    """``plots`` as files, PREFIX-TITLE.png -> their paths."""
    paths = []
    for title, data in images.items():
        words = "".join(c if c.isalnum() else " " for c in title.lower()).split()
        paths.append(pathlib.Path(f"{prefix}-{'-'.join(words)}.png"))
        write_atomically(paths[-1], data)
    return paths
