"""``lfic.decode``: for a program that decodes one file and ends, the whole chain in C++, without numpy.

Importing numpy takes longer than everything else that a first picture needs. Where the chain in Python
(``lfic.decoder``) is loaded already it is used, and so it is for whatever is not a plain case: bare streams, private
weights, files that are wrong.
"""

import functools
import mmap
import pathlib
import sys
from typing import TYPE_CHECKING

from PIL import Image

from . import _file

if TYPE_CHECKING:
    from .decoder import DecodedFace
    from .format.bare import Container
    from .format.container import Bytes

WEIGHTS = pathlib.Path(__file__).parent / "weights" / "face-v1.safetensors"
DECODED_PIXELS = 50_000_000  # as lfic.format.container has it


@functools.cache
def bundled() -> _file.Reader:
    """The bundled model, loaded once."""
    with open(WEIGHTS, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return _file.Reader(mapped)


def decode(data: "Bytes", max_pixels: int = DECODED_PIXELS, container: "Container" = "file") -> Image.Image:
    """Bytes -> PIL image, RGB, or L of a grey picture, the size that went in. container: "bare" for a bare stream.

    Files of private weights need ``load_codec`` of these before. Raises ``LficError`` subclasses for anything else.
    """
    plain = container == "file" and isinstance(data, (bytes, bytearray, memoryview)) and type(max_pixels) is int
    if plain and max_pixels > 0 and "lfic.decoder" not in sys.modules:
        try:
            pixels, width, height, grey = bundled().decode(data, max_pixels)
        except (RuntimeError, ValueError, OSError):
            pass  # the other chain says what is wrong
        else:
            image = Image.frombytes("RGB", (width, height), pixels)
            return image.getchannel(0) if grey else image
    from . import decoder

    return decoder.decode(data, max_pixels, container)


def decode_faces(
    data: "Bytes", max_pixels: int = DECODED_PIXELS, container: "Container" = "file"
) -> "list[DecodedFace]":
    """``lfic.decoder.decode_faces``."""
    from . import decoder

    return decoder.decode_faces(data, max_pixels, container)
