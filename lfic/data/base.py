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

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".ppm", ".bmp")


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
        table: name -> landmarks [5, 2] in pixels, for sources that have them in a file of their own; or None.
    """

    def __init__(self, names: Sequence[str], table: Mapping[str, ArrayLike] | None = None):
        self.names, self.table = names, table

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
        points = np.asarray(landmarks, np.float64)
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
