"""Faces from a folder of images."""

import os
import pathlib
from collections.abc import Mapping

from numpy.typing import ArrayLike

from .base import Source
from .names import is_image, unread


class Folder(Source):
    """The images of a folder, at any depth, in the order of their paths; with a ``table`` those that it names."""

    def __init__(self, path: str | os.PathLike[str], table: Mapping[str, ArrayLike] | None = None):
        self.path = pathlib.Path(path)
        names = sorted(p.relative_to(path).as_posix() for p in self.path.rglob("*") if p.is_file())
        super().__init__([name for name in names if is_image(name)], table, str(path))
        self.unread = unread(names)

    def read(self, i: int) -> tuple[bytes, None]:
        return (self.path / self.names[i]).read_bytes(), None
