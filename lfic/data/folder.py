"""Faces from a folder of images."""

import os
import pathlib
from collections.abc import Mapping

from numpy.typing import ArrayLike

from .base import SUFFIXES, Source


class Folder(Source):
    """The images of a folder, at any depth, in the order of their paths; with a ``table`` those that it names."""

    def __init__(self, path: str | os.PathLike[str], table: Mapping[str, ArrayLike] | None = None):
        self.path = pathlib.Path(path)
        names = sorted(p.relative_to(path).as_posix() for p in self.path.rglob("*") if p.suffix.lower() in SUFFIXES)
        super().__init__([name for name in names if table is None or name in table], table)

    def read(self, i: int) -> tuple[bytes, None]:
        return (self.path / self.names[i]).read_bytes(), None
