"""What all sources of faces have in common."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..align import align
from ..errors import InvalidInputError
from ..format.geometry import SIDE
from ..image import open_image, to_rgb
from .facepack import MARGIN
from .names import matched


class FaceSource(Protocol):
    """Faces by number, as a run draws them: a pack, a source, or several joined."""

    @property
    def names(self) -> Sequence[str]:
        """What each is called where it comes from."""

    @property
    def source(self) -> NDArray[Any]:
        """Which of the sources each is from: integers [N], from 0 up."""

    def __len__(self) -> int: ...

    def face(self, i: int) -> NDArray[np.uint8]:
        """One face, the 112 x 112 template in its middle: uint8 [S, S, 3]."""


class Source(abc.ABC):
    """Images by number, read when they are asked for.

    Args:
        names: what each is called.
        table: name -> landmarks [5, 2] in pixels, for sources that have them in a file of their own, by paths or base
            names (names.py); images without an entry are left out. Or None.
        where: what the source is called in errors.

    Attributes:
        kept: of each image its number among ``names`` as they were given.
        unread: suffix -> number of images that were left out because a package is missing.
    """

    def __init__(self, names: Sequence[str], table: Mapping[str, ArrayLike] | None = None, where: str = "landmarks"):
        self.names, self.table = names, table
        self.kept: Sequence[int] = range(len(names))
        self.unread: dict[str, int] = {}
        if table is not None:
            entries = matched(names, table, where)
            self.kept = [i for i, name in enumerate(names) if name in entries]
            self.names = [names[i] for i in self.kept]
            self.table = {name: table[entry] for name, entry in entries.items()}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def source(self) -> NDArray[np.int64]:
        """All from one source: int64 [N] of zeros."""
        return np.zeros(len(self), np.int64)

    @abc.abstractmethod
    def read(self, i: int) -> tuple[bytes, ArrayLike | None]:
        """(an image file's bytes, its landmarks or None)."""

    def image(self, i: int) -> tuple[Image.Image, NDArray[np.float64] | None]:
        """(PIL image in RGB, upright, landmarks float [5, 2] or None, in the upright picture).

        Raises:
            InvalidInputError: no readable image, or landmarks that are not five points.
        """
        data, landmarks = self.read(i)
        try:
            image = Image.fromarray(to_rgb(open_image(self.names[i], data)))
        except InvalidInputError as error:
            raise InvalidInputError(f"{self.names[i]} is no readable image: {error}") from None
        if landmarks is None and self.table is not None:
            landmarks = self.table[self.names[i]]
        if landmarks is None:
            return image, None
        try:
            points = np.asarray(landmarks, np.float64)
        except (TypeError, ValueError):
            raise InvalidInputError(
                f"the landmarks of {self.names[i]} are of type {type(landmarks).__name__}; needed are five points, x "
                "and y"
            ) from None
        if points.size != 10 or not np.isfinite(points).all():
            raise InvalidInputError(
                f"the landmarks of {self.names[i]} are {points.tolist()}; needed are five points, x and y"
            )
        return image, points.reshape(5, 2)

    def face(self, i: int) -> NDArray[np.uint8]:
        """One face on the template with a margin: uint8 [S, S, 3]."""
        image, landmarks = self.image(i)
        if landmarks is not None:
            return np.asarray(align(image, landmarks, MARGIN))
        margin = image.width - SIDE
        if image.width != image.height or margin < 0 or margin % 2:
            raise InvalidInputError(
                f"{self.names[i]} has {image.width} x {image.height} pixels and no landmarks: give landmarks, or "
                f"aligned crops of {SIDE} pixels "
                "a side and an even margin; python -m lfic.data.pack finds faces and aligns them"
            )
        return np.asarray(image)
