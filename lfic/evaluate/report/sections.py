"""The report's sections, each from the rows that it shows to HTML; empty where there are none."""

import html
from collections.abc import Mapping, Sequence

from ...format.geometry import SIDE
from ..curves import bytes_at_targets
from ..gallery import Exhibit
from ..heat import MEANING, heat_map
from ..looks import looks_at_bytes
from ..tables import Row
from .tags import cell, data_uri, face_tag, percent, section, table

LOOKS = {  # column -> (title, digits)
    "psnr_db": ("PSNR, dB", 2),
    "ssimulacra2": ("SSIMULACRA2", 1),
    "flip": ("FLIP", 3),
    "color_error": ("colour error", 2),
    "color_error_outside": ("outside the face", 2),
    "grid_pattern": ("grid pattern", 2),
}
SHORT = {
    "accuracy": "accuracy",
    "tar_at_far_0.001": "TAR@1e-3",
    "similarity": "similarity",
    "psnr_db": "PSNR",
    "ssimulacra2": "SSIMULACRA2",
}


def curves(images: Mapping[str, bytes]) -> str:
    """images: of ``plots.plots``."""
    note = (
        "Bytes are whole files. Bands: 1.96 standard errors (accuracy: of the folds' mean; TAR: pairs drawn anew; "
        "similarity and PSNR: of the faces' mean). Dotted: uncompressed. ROC: each codec's measured setting nearest to "
        "as many bytes as its title says."
    )
    shown = "\n".join(f'<img src="{data_uri(data)}" alt="{html.escape(name)}">' for name, data in images.items())
    return section("Curves", note, f"<div class=plots>\n{shown}\n</div>")


def bytes_for_quality(rows: Sequence[Row]) -> str:
    """A table for each judge: a line for each codec, a column for each round quality. rows: of
    ``figures.summarize``."""
    equal, out = bytes_at_targets(rows), []
    if not equal:
        return ""
    for judge in dict.fromkeys(e["recognizer"] for e in equal):
        mine = [e for e in equal if e["recognizer"] == judge]
        heads = list(dict.fromkeys((e["measure"], e["target"]) for e in mine))
        value = {(e["codec"], e["measure"], e["target"]): e["bytes"] for e in mine}
        lines = [
            [html.escape(codec)] + [cell(value.get((codec, *head)), 0) for head in heads]
            for codec in dict.fromkeys(e["codec"] for e in mine)
        ]
        names = [f"{SHORT[measure]} {target:g}" for measure, target in heads]
        out.append(f"<h3>{html.escape(judge)}</h3>" + table(["codec", *names], lines))
    note = "Read off the curves between measured points, never beyond them."
    return section("Bytes for a given quality", note, "".join(out))


def looks_at_equal_bytes(rows: Sequence[Row]) -> str:
    """A table for each number of bytes: a line for each codec, a column for each measure. rows: of
    ``figures.summarize``."""
    equal = looks_at_bytes(rows)
    if not equal:
        return ""
    out = []
    for budget in dict.fromkeys(e["bytes"] for e in equal):
        mine = [e for e in equal if e["bytes"] == budget]
        lines = [[html.escape(e["codec"]), *(cell(e[name], LOOKS[name][1]) for name in LOOKS)] for e in mine]
        out.append(f"<h3>{budget} bytes</h3>" + table(["codec", *(title for title, _ in LOOKS.values())], lines))
    note = (
        f"Means of {equal[0]['faces']:.0f} pictures, linear in log bytes between a codec's settings. PSNR and "
        "SSIMULACRA2: more is better; FLIP, colour error (CIELAB, of 8 x 8 means) and grid pattern (levels of 255 at "
        "periods of 8 and 16 pixels): less is better."
    )
    return section("Looks at equal bytes", note, "".join(out))


def faces_at_equal_bytes(exhibits: Sequence[Exhibit]) -> str:
    """exhibits: of ``gallery.gallery``."""
    if not exhibits:
        return ""
    tables = []
    for shown in exhibits:
        lines = []
        for k, budget in enumerate(shown.budgets):
            line = [f"{budget} bytes", face_tag(shown.original, "uncompressed")]
            for name, cells in shown.codecs.items():
                size, picture = cells[k] or (0, None)
                fits = "does not fit" if picture is None else f"{face_tag(picture, f'{name}, {size} bytes')}{size}"
                line.append(fits)
            lines.append(line)
        tables.append(table(["", "uncompressed", *shown.codecs], lines, "faces"))
    note = "In each line the largest file of every codec that fits; the number is its size."
    crops = all(shown.original.shape[:2] == (SIDE, SIDE) for shown in exhibits)
    return section("Faces at equal bytes" if crops else "Photos at equal bytes", note, "\n".join(tables))


def region_levels(exhibits: Sequence[Exhibit]) -> str:
    """Heat maps of the exhibits that have level maps."""
    shown = [e for e in exhibits if e.levels]
    if not shown:
        return ""
    qualities = list(shown[0].levels)
    lines = [
        [face_tag(e.original), *(face_tag(heat_map(e.original, e.levels[quality])) for quality in qualities)]
        for e in shown
    ]
    heads = ["face", *(f"quality {quality}" for quality in qualities)]
    note = f"Coefficients a channel and region: 16, 4 and 1 ({MEANING})."
    return section("Region levels", note, table(heads, lines, "faces"))


def groups(rows: Sequence[Row]) -> str:
    """A table for each judge: a line for each group, a column for each codec and setting. rows: of
    ``groups.group_rows``."""
    if not rows:
        return ""
    out = []
    for judge in dict.fromkeys(row["recognizer"] for row in rows):
        value = {(r["codec"], r["setting"], r["group"]): r for r in rows if r["recognizer"] == judge}
        columns = list(dict.fromkeys((codec, setting) for codec, setting, _ in value))
        heads = [
            f"{codec} {setting}, {cell(value[codec, setting, 'all']['bytes'], 0)} bytes" for codec, setting in columns
        ]
        lines = [
            [html.escape(name), *(likeness(value[codec, setting, name]) for codec, setting in columns)]
            for name in dict.fromkeys(row["group"] for row in rows)
        ]
        out.append(f"<h3>{html.escape(judge)}</h3>" + table(["group", *heads], lines))
    counts = {row["group"]: row["faces"] for row in rows}
    note = (
        "Mean similarity to the uncompressed face, and in brackets its distance from the mean of all these faces with "
        "its standard error. Groups and faces of each: "
        + html.escape(", ".join(f"{group} {count:.0f}" for group, count in counts.items()))
        + "."
    )
    return section("Groups", note, "\n".join(out))


def likeness(row: Row) -> str:
    """A group's similarity, and how far it is from the mean of all."""
    text = f"{row['similarity']:.3f}"
    if row["group"] == "all":
        return text
    return f"{text} ({row['gap']:+.3f} ± {row['standard_error'] or float('nan'):.3f})"


def speed(rows: Sequence[Row]) -> str:
    """rows: of ``speed.measure_speed``."""
    if not rows:
        return ""
    lines = [
        [
            html.escape(row["codec"]),
            html.escape(str(row["setting"])),
            cell(row["bytes"], 0),
            cell(row["encode_ms"]),
            cell(row["decode_ms"]),
        ]
        for row in rows
    ]
    note = "Milliseconds of one core's time a face, median."
    return section("Speed", note, table(["codec", "setting", "bytes", "encode", "decode"], lines))


def all_figures(rows: Sequence[Row]) -> str:
    """rows: of ``figures.summarize``."""
    heads = [
        "codec",
        "setting",
        "judge",
        "in the loss",
        "in the encoder",
        "protocol",
        "bytes",
        "no header",
        "PSNR",
        "SSIMULACRA2",
        "FLIP",
        "similarity",
        "accuracy, %",
        "TAR@1e-2",
        "TAR@1e-3",
        "all pairs TAR@1e-4",
        "EER, %",
    ]
    lines = []
    for r in rows:
        error = f" ± {percent(r['standard_error'])}" if isinstance(r.get("standard_error"), float) else ""
        lines.append(
            [
                html.escape(r["codec"]),
                html.escape(str(r["setting"])),
                html.escape(r["recognizer"]),
                cell(r.get("loss")),
                cell(r.get("encoder")),
                r["protocol"],
                cell(r["bytes"], 0),
                cell(r["bytes_without_header"], 0),
                cell(r["psnr_db"]),
                cell(r.get("ssimulacra2"), 1),
                cell(r.get("flip"), 3),
                cell(r["similarity"], 4),
                percent(r.get("accuracy")) + error,
                percent(r.get("tar_at_far_0.01"), 1),
                percent(r.get("tar_at_far_0.001"), 1),
                percent(r.get("all_pairs_tar_at_far_0.0001"), 1),
                percent(r.get("eer")),
            ]
        )
    details = f"<details><summary>Every codec at every setting</summary>\n{table(heads, lines)}</details>"
    return section("All figures", "", details)
