"""JPEG 2000 by OpenJPEG."""

import struct
from collections.abc import Iterator, Sequence

from PIL import features

from ..interface import EvaluatedCodec
from .pillow import pillow_codec, require

FINE = tuple(round(300 * 0.97**k, 2) for k in range(110))  # compression ratios


def jpeg2000(
    settings: Sequence[float] = (180, 120, 85, 60, 42, 28), mct: int = 1, scale: float = 1.0, grey: bool = False
) -> EvaluatedCodec:
    """JPEG 2000: bare codestream, 9/7 wavelet, colour transform (``mct``); settings are compression ratios."""
    require("jpg_2000", "JPEG 2000")
    return pillow_codec(
        "JPEG 2000" + ("" if mct or grey else " no-MCT"),
        settings,
        "JPEG2000",
        lambda ratio: {
            "no_jp2": True,
            "quality_mode": "rates",
            "quality_layers": [ratio],
            "irreversible": True,
            "mct": 0 if grey else mct,
        },
        jpeg2000_header,
        f"OpenJPEG {features.version('jpg_2000')}",
        FINE,
        jpeg2000_strip,
        scale,
        grey,
    )


def jpeg2000_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of a codestream's main and tile-part header."""
    at = 2
    while at + 4 <= len(data):
        marker = struct.unpack_from(">H", data, at)[0]
        if marker == 0xFF93:  # start of data
            yield marker, at, at + 2
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield marker, at, end
        at = end


def jpeg2000_strip(data: bytes) -> bytes:
    """Without comments (OpenJPEG writes its name)."""
    for marker, start, end in reversed(list(jpeg2000_segments(data))):
        if marker == 0xFF64:
            data = data[:start] + data[end:]
    return data


def jpeg2000_header(data: bytes) -> int:
    """SOC, EOC and every segment up to the start of data."""
    return 4 + sum(end - start for _, start, end in jpeg2000_segments(data))
