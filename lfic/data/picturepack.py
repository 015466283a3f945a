"""Packed pictures with landmarks: whole photos in one safetensors file, to be cut at random or aligned.

bytes      uint8 [total]           the pictures as image files, one behind the other
offsets    int64 [N + 1]           where each begins, and where the last ends
source     uint8 [N]               which of the sources each is from
landmarks  float32 [N, 5, 2]       in pixels: left eye, right eye, nose, mouth corners
sizes      int32 [N, 2]            width and height in pixels
metadata                           names (JSON list of N)
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import InvalidInputError
from ..files import follow_umask
from .base import Source


@dataclasses.dataclass
class Picture:
    """A picture to pack: an image file's bytes, its name, landmarks float [5, 2] and (width, height)."""

    data: bytes
    name: str
    landmarks: ArrayLike
    size: tuple[int, int]


class PicturePack(Source):
    """Compressed pictures in memory, all with landmarks; ``face(i)`` aligns one when it is asked for.

    Attributes: ``names``; ``sizes`` int64 [N, 2], width and height; ``source`` int64 [N]; ``landmarks`` float32
    [N, 5, 2].

    Raises:
        InvalidInputError: the file is no such pack.
    """

    def __init__(self, path: str | os.PathLike[str]):
        try:
            with safe_open(path, "np") as file:
                super().__init__(json.loads(file.metadata()["names"]))
                self.data: NDArray[np.uint8] = file.get_tensor("bytes")
                self.offsets: NDArray[np.int64] = file.get_tensor("offsets")
                self.landmarks: NDArray[np.float32] = file.get_tensor("landmarks")
                self.sizes: NDArray[np.int64] = file.get_tensor("sizes").astype(np.int64)
                self._source: NDArray[np.int64] = file.get_tensor("source").astype(np.int64)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"{path} is no file of packed pictures ({error}): python -m lfic.data.pack_pictures writes one"
            ) from None

    @property
    def source(self) -> NDArray[np.int64]:
        """Which of the sources each is from: int64 [N]."""
        return self._source

    def read(self, i: int) -> tuple[bytes, ArrayLike]:
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes(), self.landmarks[i]

    def photo(self, i: int) -> tuple[Image.Image, NDArray[np.float64]]:
        """(PIL image in RGB, landmarks float64 [5, 2])."""
        image, landmarks = self.image(i)
        assert landmarks is not None  # of every picture, see ``read``
        return image, landmarks


def is_picture_pack(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of these, and not one of aligned faces."""
    try:
        with safe_open(path, "np") as file:
            return "sizes" in file.keys()
    except (SafetensorError, OSError):
        return False


def write_picture_pack(path: str | os.PathLike[str], pictures: Sequence[Picture], source: Sequence[int]) -> None:
    """Write a pack of at least one picture; source: a number for each, 0 to 255."""
    blobs = [picture.data for picture in pictures]
    arrays: dict[str, NDArray[Any]] = {
        "bytes": np.frombuffer(b"".join(blobs), np.uint8),
        "offsets": np.cumsum([0] + [len(blob) for blob in blobs]).astype(np.int64),
        "source": np.array(source, np.uint8),
        "landmarks": np.array([picture.landmarks for picture in pictures], np.float32),
        "sizes": np.array([picture.size for picture in pictures], np.int32),
    }
    save_file(arrays, path, metadata={"names": json.dumps([picture.name for picture in pictures])})
    follow_umask(path)
