"""Files that list what failed in a run and what there is to say of it."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidInputError
from ..files import naming

FIRST = b'{"source": '  # every line begins so


class Log:
    """A file of JSON lines that is as long as the manifest says. A list of an earlier run gives way to it; behind
    anything else lines are added, and nothing of it is lost. Without a line there is no file.

    Nothing is touched before ``begin``. What is no file, such as /dev/null or a pipe, is written to.

    Args:
        path: the file; None: nothing is kept.
        length: bytes of it that count.
        replace: take a file that is no such list.

    Raises:
        InvalidInputError: a file that is no such list is there, or a folder.
    """

    def __init__(self, path: pathlib.Path | None, length: int = 0, replace: bool = False) -> None:
        self.path, self.length = path, length
        if path is not None and path.is_dir():
            raise InvalidInputError(f"{path} is a folder; a list of errors is a file: give another name")
        if length or path is None or not path.is_file() or is_list(path):
            return
        if not replace:
            raise InvalidInputError(
                f"{path} exists and is no list of an earlier run: give another name by --errors, or --overwrite, and "
                "lines are added to it"
            )
        self.length = path.stat().st_size

    def begin(self) -> None:
        """Take away what does not count."""
        if self.path is None or not self.path.is_file():
            self.length = 0
            return
        size = self.path.stat().st_size
        self.length = min(self.length, size)
        if size > self.length:
            os.truncate(self.path, self.length)
            if not self.length:
                self.path.unlink()

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write lines; ``length`` is then what the manifest has to say."""
        if rows and self.path is not None:
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
            if self.length and not ends_with_a_line(self.path):
                data = b"\n" + data
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with naming(self.path), open(self.path, "ab") as file:
                file.write(data)
            self.length += len(data)


def is_list(path: pathlib.Path) -> bool:
    """Whether a file is a list as ``Log`` writes it; the last line may be cut off."""
    with open(path, "rb") as file:
        return all(is_line(line) for line in file)


def is_line(line: bytes) -> bool:
    """Whether a line is one of a list, or begins like one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return not line.endswith(b"\n") and (line.startswith(FIRST) or FIRST.startswith(line))
    return isinstance(found, dict) and found.keys() in ({"source", "error"}, {"source", "note"})


def ends_with_a_line(path: pathlib.Path) -> bool:
    """Whether what is added begins a new line."""
    if not path.is_file():
        return True
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
