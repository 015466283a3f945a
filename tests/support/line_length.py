"""Lines that are too long in documents and settings.

    python tests/support/line_length.py [FILE ...]

prints those of the files, or of all of the repository, and fails if there are any.
"""

import pathlib
import sys
from collections.abc import Iterable, Iterator

ROOT = pathlib.Path(__file__).parents[2]
COLUMNS = 120
SUFFIXES = {".md", ".toml", ".yml", ".yaml"}
LEFT_OUT = {".venv", "build", "dist", "site", "data", "runs", "node_modules"}


def documents() -> Iterator[pathlib.Path]:
    """Documents and settings of the repository; hidden folders and built ones are left out."""
    for path in sorted(ROOT.rglob("*")):
        folders = path.relative_to(ROOT).parts[:-1]
        if path.suffix in SUFFIXES and not any(f in LEFT_OUT or f.startswith((".", "build-")) for f in folders):
            yield path


def too_long(paths: Iterable[pathlib.Path]) -> list[str]:
    """ "FILE:LINE: so many columns" of each line that is too long."""
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if len(line) > COLUMNS:
                found.append(f"{path}:{number}: {len(line)} columns; allowed are {COLUMNS}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(too_long(map(pathlib.Path, sys.argv[1:]) if sys.argv[1:] else documents())) or None)
