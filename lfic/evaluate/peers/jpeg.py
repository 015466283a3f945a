"""JPEG by libjpeg-turbo and by MozJPEG."""

import importlib.util
import pathlib
import struct
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import features

from ...errors import InvalidInputError, MissingDependencyError
from ..interface import EvaluatedCodec, Pixels
from .pillow import package_version, pillow_codec

FINE = tuple(range(1, 96))  # above 95 files grow and nothing else


def jpeg(
    settings: Sequence[int] = (3, 5, 7, 10, 15, 24, 40),
    subsampling: str = "4:2:0",
    scale: float = 1.0,
    grey: bool = False,
) -> EvaluatedCodec:
    """JPEG by libjpeg-turbo: fitted Huffman tables, sequential (smaller than progressive here), no JFIF segment."""
    return pillow_codec(
        "JPEG" + ("" if subsampling == "4:2:0" else " " + subsampling),
        settings,
        "JPEG",
        lambda q: {"quality": q, "optimize": True, "subsampling": subsampling},
        jpeg_header,
        f"libjpeg-turbo {features.version('libjpeg_turbo')}",
        FINE,
        jpeg_strip,
        scale,
        grey,
    )


def mozjpeg(settings: Sequence[int] = (5, 8, 14, 26, 38)) -> EvaluatedCodec:
    """MozJPEG through jpeglib: trellis quantisation, its own tables, 4:2:0. Its progressive scans are then written as
    one sequential scan with fitted Huffman tables, from the same coefficients, which is some 7 % smaller at this size.
    jpeglib's choice of a library is global, so calls take turns."""
    if importlib.util.find_spec("jpeglib") is None:
        raise MissingDependencyError("MozJPEG needs jpeglib: pip install jpeglib")
    import jpeglib

    def encode(images: Sequence[Pixels], quality: int) -> list[bytes]:
        out = []
        with tempfile.TemporaryDirectory() as folder:
            first, second = f"{folder}/progressive.jpg", f"{folder}/sequential.jpg"
            for pixels in images:
                jpeglib.version.set("mozjpeg403")
                image = jpeglib.from_spatial(np.ascontiguousarray(pixels))
                image.samp_factor = "4:2:0"
                image.write_spatial(first, qt=quality, flags=["+FORCE_BASELINE"])
                jpeglib.version.set("turbo130")
                jpeglib.read_dct(first).write_dct(second, flags=["+OPTIMIZE_CODING", "-PROGRESSIVE_MODE"])
                out.append(jpeg_strip(pathlib.Path(second).read_bytes()))
        return out

    version = f"mozjpeg 4.0.3 jpeglib {package_version('jpeglib')}"
    return EvaluatedCodec(
        "MozJPEG",
        tuple(settings),
        encode,
        jpeg().decode,
        jpeg_header,
        version,
        threads=False,
        fine_settings=FINE,
    )


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of a JPEG file's segments; a scan's entropy-coded bytes are not part of any."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise InvalidInputError(f"byte {at} of a JPEG file is {data[at]:#x}; a marker (0xff) was expected")
        marker = data[at + 1]
        if marker == 0xD9:
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield marker, at, end
        at = end
        if marker == 0xDA:  # skip the scan: up to the next marker that is neither a stuffed 0xff nor a restart
            while at + 1 < len(data) and not (
                data[at] == 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7
            ):
                at += 1


def jpeg_strip(data: bytes) -> bytes:
    """Without APPn and comment segments: a decoder needs neither for a YCbCr or grey picture."""
    drop = [(start, end) for marker, start, end in jpeg_segments(data) if 0xE0 <= marker <= 0xEF or marker == 0xFE]
    for start, end in reversed(drop):
        data = data[:start] + data[end:]
    return data


def jpeg_header(data: bytes) -> int:
    """SOI, EOI and all segments but the Huffman tables, which are fitted to each picture."""
    return 4 + sum(end - start for marker, start, end in jpeg_segments(data) if marker != 0xC4)
