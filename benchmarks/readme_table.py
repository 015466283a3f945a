"""README's table of bytes saved, from the tables that ``lfic evaluate`` wrote.

    python benchmarks/readme_table.py           prints it
    python benchmarks/readme_table.py --write   puts it into README.md, between its two marks

A column for each table of BD-rates in ``benchmarks/results``; the judge takes no part in training and encoding.
"""

import argparse
import pathlib
from collections.abc import Sequence

from lfic.evaluate.tables import Row, read_csv

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS_OF_TEXT = 120
JUDGE = "mobilefacenet-casia"
MARKS = ("<!-- table: python benchmarks/readme_table.py --write -->", "<!-- end of the table -->")
ANCHORS = {
    "JPEG 2000": "JPEG 2000",
    "WebP": "WebP",
    "AVIF s4": "AVIF",
    "JPEG XL e7": "JPEG XL",
    "bmshj2018": "bmshj2018, a neural codec",
}
COLUMNS = (  # title, table, codec
    ("crops, effort 0", "verification", "lfic"),
    ("crops, effort 1", "effort-dlib", "lfic effort 1"),
    ("crops of 160", "crops-160", "lfic layers"),
    ("crops of 224", "crops-224", "lfic layers"),
    ("photos, effort 0", "photos", "lfic layers"),
)


def number(value: float) -> str:
    """With a minus sign and one digit."""
    return f"{value:.1f}".replace("-", "−")


def cell(rows: Sequence[Row], codec: str, anchor: str) -> str:
    """A BD-rate at equal accuracy, with its interval where it has one, or nothing."""
    for row in rows:
        wanted = {"codec": codec, "anchor": anchor, "measure": "accuracy", "recognizer": JUDGE}
        if all(row[key] == value for key, value in wanted.items()) and isinstance(row["bd_rate_percent"], float):
            ends = [row[f"{end}_percent"] for end in ("low", "high")]
            known = all(isinstance(end, float) for end in ends)
            interval = f" [{', '.join(map(number, ends))}]" if known else ""
            return number(row["bd_rate_percent"]) + interval
    return ""


def table(results: pathlib.Path = RESULTS) -> str:
    """The table in Markdown; columns whose file is not there are left out."""
    columns = [
        (title, read_csv(path), codec)
        for title, name, codec in COLUMNS
        if (path := results / f"{name}-bdrate.csv").is_file()
    ]
    lines = [line(["against", *(title for title, _, _ in columns)]), "|---" * (len(columns) + 1) + "|"]
    lines += [
        line([name, *(cell(rows, codec, anchor) for _, rows, codec in columns)]) for anchor, name in ANCHORS.items()
    ]
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """A line of a table; where it would be longer than a document's lines may be, without blanks beside its bars."""
    padded = "|" + "".join(f" {text} |" if text else " |" for text in cells)
    return padded if len(padded) <= COLUMNS_OF_TEXT else "|" + "".join(f"{text}|" for text in cells)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into README.md")
    args = parser.parse_args(argv)
    if not args.write:
        print(table())
        return 0
    path = ROOT / "README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    _, found, after = rest.partition(MARKS[1])
    if not found:
        raise SystemExit(f"{path} lacks the marks {MARKS[0]} and {MARKS[1]}")
    path.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
