"""One self-contained HTML page: curves with confidence bands, BD-rates, pictures at equal bytes, heat maps, groups,
speed."""

import base64
import html
import io
import pathlib
import statistics
import time

import numpy as np
from PIL import Image

from ..errors import MissingDependencyError
from ..files import write_atomically
from .bdrate import bytes_table
from .verification import pair_scores, roc

BUDGETS = (150, 300, 600, 1000)
PAPER = {"JPEG 2000": 71.41, "WebP": 48.28, "bmshj2018": 52.67}  # arXiv 1812.10067: bit-rate saved, per cent
COLOURS = {
    "lfic": "#c2185b",
    "lfic effort 1": "#6d003a",
    "JPEG": "#9e6b00",
    "MozJPEG": "#c9a227",
    "JPEG 2000": "#1565c0",
    "WebP": "#2e7d32",
    "AVIF s4": "#6a1b9a",
    "JPEG XL e7": "#e65100",
    "bmshj2018": "#00838f",
    "dictionary": "#5d4037",
    "eigenface": "#757575",
}
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #eee;white-space:nowrap;font-size:.85rem}
th{background:#f6f6f6;position:sticky;top:0}td:first-child,th:first-child{text-align:left}img.face{width:112px;height:112px;image-rendering:auto;display:block}
.faces{margin-bottom:1.5rem}.faces td,.faces th{text-align:center;vertical-align:top;font-size:.75rem;color:#555}.faces td:first-child{text-align:left}.note{color:#666;font-size:.88rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}summary{cursor:pointer;color:#06c;margin:.8rem 0}div.scroll{overflow-x:auto}.plots{display:flex;flex-wrap:wrap;gap:.5rem}.plots img{width:calc(50% - .5rem);min-width:320px}
"""


# ---- pictures at equal bytes


def largest_that_fits(codec, image, budget, settings):
    """The best of a codec's settings whose file has at most ``budget`` bytes.

    Args:
        image: uint8 [H, W, 3]. settings: from few bytes to many.

    Returns:
        (file, decoded image uint8 [H, W, 3]), or None where even the smallest file is too large.
    """
    best, low, high = None, 0, len(settings) - 1
    while low <= high:  # bytes rise with the setting
        middle = (low + high) // 2
        data = codec.encode([image], settings[middle])[0]
        if len(data) <= budget:
            best, low = data, middle + 1
        else:
            high = middle - 1
    return None if best is None else (best, codec.decode([best])[0])


def fine_settings(codec):
    """Settings between and beyond the measured ones, in steps small enough to come close to a budget."""
    first = codec.settings[0]
    if isinstance(first, str) or len(codec.settings) < 2:
        return list(codec.settings)
    if codec.name.startswith("JPEG 2000"):  # compression ratios
        return [round(300 * 0.97**k, 2) for k in range(110)]
    if codec.name.startswith("lfic"):
        return list(range(1, 101))
    if codec.name.startswith(("JPEG", "MozJPEG", "WebP", "AVIF")):
        return list(range(1 if codec.name.startswith(("JPEG", "MozJPEG")) and "XL" not in codec.name else 0, 96))
    if codec.name in ("eigenface", "dictionary"):  # quantiser steps
        return list(range(255, 3, -2))
    return list(codec.settings)


def pictures(codecs, faces, budgets=BUDGETS, level_maps=True):
    """Faces side by side at equal bytes.

    Args:
        faces: list of uint8 [112, 112, 3].

    Returns:
        One entry a face: {"original": image, "codecs": {name: [(bytes, image) or None for each budget]},
        "levels": {quality: uint8 [rows, columns]} from codecs that have ``region_levels``}.
    """
    out = []
    for face in faces:
        entry = {"original": face, "codecs": {}, "levels": {}}
        for codec in codecs:
            cells = [largest_that_fits(codec, face, budget, fine_settings(codec)) for budget in budgets]
            entry["codecs"][codec.name] = [cell and (len(cell[0]), cell[1]) for cell in cells]
            if level_maps and codec.region_levels is not None and not entry["levels"]:
                entry["levels"] = {q: codec.region_levels(face, q) for q in codec.settings}
        out.append(entry)
    return out


def heat_map(face, levels):
    """The face with its regions tinted by level: none (16 coefficients), yellow (4), red (1) -> uint8 [H, W, 3]."""
    tint = np.array([[255, 255, 255], [255, 214, 80], [230, 70, 60]], np.float32)[levels]
    tint = tint.repeat(32, 0).repeat(32, 1)[: face.shape[0], : face.shape[1]]
    grey = face.astype(np.float32).mean(2, keepdims=True)
    out = np.where(
        (levels.repeat(32, 0).repeat(32, 1)[: face.shape[0], : face.shape[1], None] > 0),
        0.55 * tint + 0.45 * grey,
        face,
    )
    out[::32, :] = out[:, ::32] = 255
    return np.clip(out, 0, 255).astype(np.uint8)


# ---- speed


def measure_speed(codecs, faces, repeats=5):
    """Milliseconds of CPU time a face, medians over ``repeats`` passes: list of dicts codec, setting, bytes, encode_ms,
    decode_ms.

    Every codec is told to use one thread, so this is the time on one core, and it stays what it is on a busy machine.
    """
    rows = []
    faces = list(faces)
    for codec in codecs:
        setting = codec.settings[len(codec.settings) // 2]
        files = codec.encode(faces, setting)
        codec.decode(files)
        encode, decode = [], []
        for _ in range(repeats):
            start = time.process_time()
            codec.encode(faces, setting)
            middle = time.process_time()
            codec.decode(files)
            encode.append(middle - start)
            decode.append(time.process_time() - middle)
        rows.append(
            {
                "codec": codec.name,
                "setting": setting,
                "bytes": statistics.fmean(map(len, files)),
                "encode_ms": 1e3 * statistics.median(encode) / len(faces),
                "decode_ms": 1e3 * statistics.median(decode) / len(faces),
            }
        )
    return rows


# ---- the page


def pyplot():
    """matplotlib's, drawing to files."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise MissingDependencyError("the report's curves need matplotlib: pip install matplotlib") from None
    return pyplot


def png(figure):
    """The drawn figure as PNG bytes; it is closed."""
    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, format="png")
    pyplot().close(figure)
    return buffer.getvalue()


def plot(rows, measure, recogniser, title):
    """A curve for each codec of ``measure`` against bytes, with a band of 1.96 standard errors where there is one ->
    PNG bytes."""
    figure, axes = pyplot().subplots(figsize=(6.4, 4.2), dpi=110)
    scale = 1 if measure == "psnr_db" or measure == "similarity" else 100
    names = list(dict.fromkeys(r["codec"] for r in rows))
    for k, name in enumerate(names):
        mine = sorted(
            (
                r
                for r in rows
                if r["codec"] == name and r["recogniser"] == recogniser and isinstance(r.get(measure), (int, float))
            ),
            key=lambda r: r["bytes"],
        )
        if not mine:
            continue
        x, y = np.array([r["bytes"] for r in mine]), scale * np.array([r[measure] for r in mine])
        colour = COLOURS.get(name, f"C{k % 10}")
        if name == "uncompressed":
            if measure != "psnr_db":
                axes.axhline(y[0], color="black", lw=0.8, ls=":", label=name)
            continue
        axes.plot(x, y, marker="o", ms=3.5, lw=2.4 if name.startswith("lfic") else 1.3, color=colour, label=name)
        spread = "standard_error" if measure == "accuracy" else f"{measure}_error"
        if all(isinstance(r.get(spread), (int, float)) and np.isfinite(r[spread]) for r in mine):
            e = 1.96 * scale * np.array([r[spread] for r in mine])
            axes.fill_between(x, y - e, y + e, color=colour, alpha=0.13, lw=0)
    axes.set(
        xscale="log",
        xlabel="bytes per face (whole file, mean)",
        title=title,
        ylabel={"psnr_db": "PSNR, dB", "similarity": "cosine similarity"}.get(measure, "%"),
    )
    ticks = [
        t
        for t in (50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000)
        if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]
    ]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    if scale == 100:
        axes.set_ylim(top=min(101, axes.get_ylim()[1]), bottom=max(0, axes.get_ylim()[0]))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return png(figure)


def rocs(points, reference, faces, around=300):
    """ROC curves at about equal bytes: every codec's setting whose mean file is nearest to ``around`` bytes, and the
    uncompressed faces.

    Returns:
        List of dicts codec, setting, recogniser, bytes, far, tar (float64 [T] each; both images compressed); empty
        without pairs.
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
            out.append({"codec": codec, "setting": setting, "recogniser": name, "bytes": size, "far": far, "tar": tar})
    return out


def plot_roc(curves, title):
    """TAR against FAR on a logarithmic axis, one line for each of ``rocs``' curves -> PNG bytes."""
    figure, axes = pyplot().subplots(figsize=(6.4, 4.2), dpi=110)
    for k, curve in enumerate(curves):
        plain = curve["codec"] == "uncompressed"
        label = curve["codec"] if plain else f"{curve['codec']}, {curve['bytes']:.0f} bytes"
        axes.step(
            curve["far"],
            100 * curve["tar"],
            where="post",
            label=label,
            color="#888" if plain else COLOURS.get(curve["codec"], f"C{k % 10}"),
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


def figures(rows, curves=()):
    """Every plot of the page: title -> PNG bytes. rows: of ``run.summarise``; curves: of ``rocs``."""
    both, out = [r for r in rows if r["protocol"] in ("both", "similarity")], {}
    for recogniser in dict.fromkeys(r["recogniser"] for r in both):
        for measure, name in (
            ("accuracy", "accuracy"),
            ("tar_at_far_0.001", "TAR at FAR 1e-3"),
            ("similarity", "similarity to the uncompressed face"),
        ):
            if any(isinstance(r.get(measure), (int, float)) for r in both if r["codec"] != "uncompressed"):
                title = f"{recogniser}: {name}"
                out[title] = plot(both, measure, recogniser, title)
        mine = [c for c in curves if c["recogniser"] == recogniser]
        if mine:
            title = f"{recogniser}: ROC near 300 bytes"
            out[title] = plot_roc(mine, title)
    if both:
        out["PSNR"] = plot(both, "psnr_db", both[0]["recogniser"], "PSNR")
    return out


def write_figures(prefix, images):
    """``figures`` as files, PREFIX-TITLE.png -> their paths."""
    paths = []
    for title, data in images.items():
        words = "".join(c if c.isalnum() else " " for c in title.lower()).split()
        paths.append(pathlib.Path(f"{prefix}-{'-'.join(words)}.png"))
        write_atomically(paths[-1], data)
    return paths


def data_uri(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def face_tag(pixels, text=""):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return (
        f'<img class="face" src="{data_uri(buffer.getvalue())}" alt="{html.escape(text)}" title="{html.escape(text)}">'
    )


def cell(value, digits=2):
    if value is None or value == "" or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, (float, np.floating)) else html.escape(str(value))


def html_table(heads, lines, css=""):
    head = "".join(f"<th>{html.escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in line) + "</tr>" for line in lines)
    return f'<div class="scroll"><table class="{css}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def percent(value, digits=2):
    return cell(100 * value, digits) if isinstance(value, (int, float)) else "–"


def with_interval(delta, column):
    """A BD-rate and its interval: "-50.0 [-55.0, -45.0]"."""
    low, high = (delta.get(f"{end}{column}_percent") for end in ("low", "high"))
    known = isinstance(low, float) and np.isfinite(low)
    return cell(delta[f"bd_rate{column}_percent"], 1) + (f" [{cell(low, 1)}, {cell(high, 1)}]" if known else "")


def delta_section(deltas):
    """BD-rates as a table, the paper's three figures beside those that they match."""
    lines = []
    for d in sorted(
        deltas, key=lambda d: (not d["codec"].startswith("lfic"), d["codec"], d["measure"], d["recogniser"])
    ):
        scale = 100 if d["measure"].startswith(("acc", "tar")) else 1
        span = (
            "no overlap"
            if d["overlap_from"] is None
            else f"{cell(scale * d['overlap_from'])} to {cell(scale * d['overlap_to'])}"
        )
        paper = PAPER.get(d["anchor"]) if d["codec"].startswith("lfic") and d["measure"] == "accuracy" else None
        lines.append(
            [
                html.escape(d["codec"]),
                html.escape(d["anchor"]),
                d["measure"],
                html.escape(d["recogniser"]),
                with_interval(d, ""),
                with_interval(d, "_without_header"),
                span,
                f"−{paper}" if paper else "",
            ]
        )
    return html_table(
        [
            "codec",
            "against",
            "at equal",
            "recogniser",
            "bytes, % [95 %]",
            "without headers, % [95 %]",
            "over",
            "the paper's",
        ],
        lines,
    )


def delta_matrices(deltas, measures=("accuracy", "similarity")):
    """BD-rates over whole files at a glance, a table for each recogniser and measure: codecs in lines, those compared
    with in columns; the paper's below."""
    out, names = [], {"accuracy": "equal accuracy", "similarity": "equal similarity"}
    anchors = list(dict.fromkeys(d["anchor"] for d in deltas))
    for recogniser in dict.fromkeys(d["recogniser"] for d in deltas if d["recogniser"]):
        for measure in measures:
            value = {
                (d["codec"], d["anchor"]): d
                for d in deltas
                if d["measure"] == measure and d["recogniser"] == recogniser
            }
            codecs = sorted(dict.fromkeys(codec for codec, _ in value), key=lambda c: not c.startswith("lfic"))
            lines = [
                [html.escape(c)] + [with_interval(value[c, a], "") if (c, a) in value else "" for a in anchors]
                for c in codecs
            ]
            if not lines:
                continue
            if measure == "accuracy":
                lines.append(
                    ["<i>the paper's codec, on its data</i>"] + [f"−{PAPER[a]}" if a in PAPER else "" for a in anchors]
                )
            out.append(
                f"<h3>{html.escape(recogniser)}, {names[measure]}: per cent of bytes against</h3>"
                + html_table(["codec", *anchors], lines)
            )
    return "".join(out)


def bytes_section(equal):
    """``bdrate.bytes_table`` as a table for each recogniser: a line for each codec, a column for each quality."""
    out, names = [], {"accuracy": "accuracy", "tar_at_far_0.001": "TAR@1e-3", "similarity": "similarity"}
    for recogniser in dict.fromkeys(e["recogniser"] for e in equal):
        mine = [e for e in equal if e["recogniser"] == recogniser]
        heads = list(dict.fromkeys((e["measure"], e["target"]) for e in mine))
        value = {(e["codec"], e["measure"], e["target"]): e["bytes"] for e in mine}
        lines = [
            [html.escape(codec)] + [cell(value.get((codec, *head)), 0) for head in heads]
            for codec in dict.fromkeys(e["codec"] for e in mine)
        ]
        out.append(
            f"<h3>{html.escape(recogniser)}</h3>"
            + html_table(["codec"] + [f"{names[m]} {t:g}" for m, t in heads], lines)
        )
    return "".join(out)


def group_sections(groups):
    """A table for each recogniser: a line for each group, a column for each codec and setting."""
    out, names = [], list(dict.fromkeys(g["group"] for g in groups))
    for recogniser in dict.fromkeys(g["recogniser"] for g in groups):
        value = {(g["codec"], g["setting"], g["group"]): g for g in groups if g["recogniser"] == recogniser}
        columns = list(dict.fromkeys((codec, setting) for codec, setting, _ in value))
        heads = [
            f"{codec} {setting}, {cell(value[codec, setting, 'all']['bytes'], 0)} bytes" for codec, setting in columns
        ]
        lines = []
        for name in names:
            mine = [value[codec, setting, name] for codec, setting in columns]
            lines.append(
                [html.escape(name)]
                + [
                    f"{g['similarity']:.3f}"
                    + ("" if name == "all" else f" ({g['gap']:+.3f} ± {g['standard_error'] or float('nan'):.3f})")
                    for g in mine
                ]
            )
        out.append(f"<h3>{html.escape(recogniser)}</h3>" + html_table(["group", *heads], lines))
    return out


def write(
    path,
    rows,
    deltas=(),
    faces=(),
    groups=(),
    speed=(),
    note="",
    title="lfic: face verification against bytes",
    images=None,
):
    """Write the page; nothing in it is loaded from elsewhere.

    Args:
        rows: of ``run.summarise``. deltas: of ``bdrate.table``. faces: of ``pictures``. groups: of ``group_rows``.
        speed: of ``measure_speed``. images: of ``figures``; drawn from ``rows`` by default.
    """
    from .run import machine

    out = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
        f"content='width=device-width'><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><p "
        f"class=note>{html.escape(note)}<br>{html.escape(machine())}</p>"
    ]
    out.append(
        "<h2>Curves</h2><p class=note>Bytes are whole files. Bands: 1.96 standard errors (accuracy: of the folds' "
        "mean; TAR: pairs drawn anew; similarity and PSNR: of the faces' mean). "
        "Dotted: uncompressed. ROC: each codec's measured setting nearest to 300 bytes.</p><div class=plots>"
    )
    out += [
        f'<img src="{data_uri(data)}" alt="{html.escape(name)}">'
        for name, data in (figures(rows) if images is None else images).items()
    ]
    out.append("</div>")
    if deltas:
        out.append(
            "<h2>BD-rate: bytes at equal quality</h2><p class=note>Negative: fewer bytes than the codec compared "
            "with. Only over the qualities that both reach; "
            "95 % intervals by drawing the pairs anew.</p>"
            + delta_matrices(deltas)
            + f"<details><summary>All {len(deltas)} BD-rates: other measures, without headers, "
            f"ranges</summary>{delta_section(deltas)}</details>"
        )
    equal = bytes_table(rows)
    if equal:
        out.append(
            "<h2>Bytes for a given quality</h2><p class=note>Read off the curves between measured points, never "
            "beyond them.</p>" + bytes_section(equal)
        )
    if faces:
        out.append(
            "<h2>Faces at equal bytes</h2><p class=note>In each line the largest file of every codec that fits; the "
            "number is its size.</p>"
        )
        for entry in faces:
            lines = [
                [f"{budget} bytes", face_tag(entry["original"], "uncompressed")]
                + [
                    f"{face_tag(cells[k][1], f'{name}, {cells[k][0]} bytes')}{cells[k][0]}"
                    if cells[k]
                    else "does not fit"
                    for name, cells in entry["codecs"].items()
                ]
                for k, budget in enumerate(BUDGETS)
            ]
            out.append(html_table(["", "uncompressed", *entry["codecs"]], lines, "faces"))
        if any(entry["levels"] for entry in faces):
            out.append(
                "<h2>Region levels</h2><p class=note>Untinted: 16 coefficients a channel and region; yellow: 4; red: "
                "1.</p>"
            )
            qualities = list(next(e["levels"] for e in faces if e["levels"]))
            out.append(
                html_table(
                    ["face"] + [f"quality {q}" for q in qualities],
                    [
                        [face_tag(e["original"])]
                        + [face_tag(heat_map(e["original"], e["levels"][q])) for q in qualities]
                        for e in faces
                        if e["levels"]
                    ],
                    "faces",
                )
            )
    if groups:
        out.append(
            "<h2>Groups</h2><p class=note>Mean similarity to the uncompressed face, and in brackets its distance "
            "from the mean of all these faces with its standard error. "
            "Groups and faces of each: "
            + html.escape(", ".join(f"{g} {n:.0f}" for g, n in {g["group"]: g["faces"] for g in groups}.items()))
            + ".</p>"
        )
        out += group_sections(groups)
    if speed:
        out.append("<h2>Speed</h2><p class=note>Milliseconds of one core's time a face, median.</p>")
        out.append(
            html_table(
                ["codec", "setting", "bytes", "encode", "decode"],
                [
                    [
                        html.escape(s["codec"]),
                        html.escape(str(s["setting"])),
                        cell(s["bytes"], 0),
                        cell(s["encode_ms"]),
                        cell(s["decode_ms"]),
                    ]
                    for s in speed
                ],
            )
        )
    out.append("<h2>All figures</h2><details><summary>Every codec at every setting</summary>")
    lines = [
        [
            html.escape(r["codec"]),
            html.escape(str(r["setting"])),
            html.escape(r["recogniser"]),
            r["protocol"],
            cell(r["bytes"], 0),
            cell(r["bytes_without_header"], 0),
            cell(r["psnr_db"]),
            cell(r["similarity"], 4),
            percent(r.get("accuracy"))
            + (f" ± {percent(r['standard_error'])}" if isinstance(r.get("standard_error"), float) else ""),
            percent(r.get("tar_at_far_0.01"), 1),
            percent(r.get("tar_at_far_0.001"), 1),
            percent(r.get("all_pairs_tar_at_far_0.0001"), 1),
            percent(r.get("eer")),
        ]
        for r in rows
    ]
    out.append(
        html_table(
            [
                "codec",
                "setting",
                "recogniser",
                "protocol",
                "bytes",
                "no header",
                "PSNR",
                "similarity",
                "accuracy, %",
                "TAR@1e-2",
                "TAR@1e-3",
                "all pairs TAR@1e-4",
                "EER, %",
            ],
            lines,
        )
        + "</details></html>"
    )
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "\n".join(out).encode())
