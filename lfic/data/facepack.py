"""Packed faces: aligned crops of many people in one safetensors file.

bytes    uint8 [total]    the crops as image files, one behind the other
offsets  int64 [N + 1]    where each begins, and where the last ends
source   uint8 [N]        which of the sources each is from
metadata                  names (JSON list of N), margin (pixels around the template), sources (JSON list)
"""

import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import InvalidInputError
from ..files import follow_umask
from ..format.geometry import SIDE

MARGIN = 8  # pixels around the template that a pack keeps on every side, for crops that move
MOST_SOURCES = 256  # a source's number is a byte


class FacePack:
    """All faces of a packed file, decoded once into memory.

    Attributes: ``pixels`` uint8 [N, S, S, 3] with S = 112 + 2 * ``margin``; ``names``; ``source`` uint8 [N].

    Raises:
        InvalidInputError: the file is no pack, or holds a face of another size.
    """

    def __init__(self, path: str | os.PathLike[str]):
        data, offsets = self._read(path)
        side = SIDE + 2 * self.margin
        self.pixels = np.empty((len(offsets) - 1, side, side, 3), np.uint8)

        def decode(i: int) -> None:
            image = np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())))
            if image.shape != (side, side, 3):
                raise InvalidInputError(
                    f"{path}: face {self.names[i]} has shape {image.shape}; expected {(side, side, 3)}"
                )
            self.pixels[i] = image

        with ThreadPoolExecutor(usable_cores()) as pool:  # decoders let go of the lock
            for _ in pool.map(decode, range(len(self.pixels))):
                pass

    def _read(self, path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata()
                self.margin = int(metadata["margin"])
                self.names: list[str] = json.loads(metadata["names"])
                self.source: NDArray[np.uint8] = file.get_tensor("source")
                return file.get_tensor("bytes"), file.get_tensor("offsets")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"{path} is no file of packed faces ({error}): python -m lfic.data.pack writes one"
            ) from None

    def __len__(self) -> int:
        return len(self.pixels)

    def face(self, i: int) -> NDArray[np.uint8]:
        """One face with its margin: uint8 [S, S, 3]."""
        face: NDArray[np.uint8] = self.pixels[i]
        return face


def write_pack(
    path: str | os.PathLike[str],
    crops: Sequence[bytes],
    names: Sequence[str],
    source: Sequence[int],
    sources: Sequence[str],
) -> None:
    """Write a pack.

    Args:
        crops: image files of 112 + 2 * MARGIN pixels a side, the template in the middle.
        names: what each is called. source: which of ``sources`` each is from.
        sources: what those are called, at most 256.
    """
    if len(sources) > MOST_SOURCES:
        raise InvalidInputError(f"{len(sources)} sources; a pack numbers at most {MOST_SOURCES}: join some of them")
    arrays: dict[str, NDArray[Any]] = {
        "bytes": np.frombuffer(b"".join(crops), np.uint8),
        "offsets": np.cumsum([0] + [len(crop) for crop in crops]).astype(np.int64),
        "source": np.array(source, np.uint8),
    }
    metadata = {"names": json.dumps(list(names)), "margin": str(MARGIN), "sources": json.dumps(list(sources))}
    save_file(arrays, path, metadata=metadata)
    follow_umask(path)


def usable_cores() -> int | None:
    """How many cores this process may use; None where that can't be told."""
    return os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
