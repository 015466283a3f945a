"""``lfic.decode``: for a program that decodes one file and ends, the whole chain in C++, without numpy.

Importing numpy takes longer than everything else that a first picture needs, and Pillow half as long: ``decode_png``
does without it. Where the chain in Python
(``lfic.decoder``) is loaded already it is used, and so it is for whatever is not a plain case: bare streams, private
weights, files that are wrong.
"""

import functools
import mmap
import pathlib
import struct
import sys
import zlib
from typing import TYPE_CHECKING

from . import _file

if TYPE_CHECKING:
    from PIL import Image

    from .decoder import DecodedFace
    from .format.bare import Container
    from .format.container import Bytes
    from .format.look import Look

WEIGHTS = pathlib.Path(__file__).parent / "weights"
DECODED_PIXELS = 50_000_000  # as lfic.format.container has it


@functools.cache
def bundled() -> _file.Reader:
    """The bundled models, each loaded for the first file that needs it."""
    return _file.Reader(*(mapped(WEIGHTS / f"{name}.safetensors") for name in ("face-v2", "face-v1")))


def mapped(path: pathlib.Path) -> mmap.mmap:
    """A file's bytes, of which only those that are looked at are read."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def pixels_of(data: "Bytes", max_pixels: int, container: "Container") -> tuple[bytes, int, int, bool] | None:
    """RGB bytes, width, height, whether it is grey; None where the other chain has to decode, or say what is wrong."""
    plain = container == "file" and isinstance(data, (bytes, bytearray, memoryview)) and type(max_pixels) is int
    if plain and 0 < max_pixels < 1 << 63 and "lfic.decoder" not in sys.modules:
        try:
            return bundled().decode(data, max_pixels)
        except (RuntimeError, ValueError, OSError):
            pass
    return None


def decode(
    data: "Bytes", max_pixels: int = DECODED_PIXELS, container: "Container" = "file", look: "Look" = "faithful"
) -> "Image.Image":
    """Bytes -> PIL image, RGB, or L of a grey picture, the size that went in. container: "bare" for a bare stream.
    look: "vivid" is sharper and invents detail: for people who look, never for recognisers.

    Files of private weights need ``load_codec`` of these before. Raises ``LficError`` subclasses for anything else.
    """
    found = pixels_of(data, max_pixels, container) if look == "faithful" else None
    if found is not None:
        from PIL import Image

        pixels, width, height, grey = found
        image = Image.frombytes("RGB", (width, height), pixels)
        return image.getchannel(0) if grey else image
    from . import decoder

    return decoder.decode(data, max_pixels, container, look)


def png(pixels: bytes, width: int, height: int, grey: bool) -> bytes:
    """RGB bytes -> the bytes of a PNG, without Pillow; of a grey picture one channel is kept."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    # Filtered rows of photos hardly repeat: run lengths find what there is, in a third of the time.
    deflate = zlib.compressobj(6, zlib.DEFLATED, 15, 8, zlib.Z_RLE)
    rows = deflate.compress(_file.png_rows(pixels, width, height, grey)) + deflate.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def decode_png(
    data: "Bytes", max_pixels: int = DECODED_PIXELS, container: "Container" = "file"
) -> tuple[bytes, int, int]:
    """Bytes -> the bytes of a PNG, its width and height: of what ``decode`` gives, without Pillow where that works.
    Errors as ``decode``."""
    found = pixels_of(data, max_pixels, container)
    if found is None:
        image = decode(data, max_pixels, container)
        found = image.convert("RGB").tobytes(), image.width, image.height, image.mode == "L"
    pixels, width, height, grey = found
    return png(pixels, width, height, grey), width, height


def decode_faces(
    data: "Bytes", max_pixels: int = DECODED_PIXELS, container: "Container" = "file"
) -> "list[DecodedFace]":
    """``lfic.decoder.decode_faces``."""
    from . import decoder

    return decoder.decode_faces(data, max_pixels, container)
