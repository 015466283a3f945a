"""WebP by libwebp."""

import struct
from collections.abc import Sequence

from PIL import features

from ...errors import InvalidInputError
from ..interface import EvaluatedCodec
from .pillow import pillow_codec, require


def webp(
    settings: Sequence[int] = (0, 4, 10, 20, 36, 60), method: int = 6, scale: float = 1.0, grey: bool = False
) -> EvaluatedCodec:
    """WebP, lossy, slowest method (always 4:2:0)."""
    require("webp", "WebP")
    return pillow_codec(
        "WebP",
        settings,
        "WEBP",
        lambda q: {"quality": q, "method": method},
        webp_header,
        f"libwebp {features.version('webp')} m{method}",
        range(96),
        scale=scale,
        grey=grey,
    )


def webp_header(data: bytes) -> int:
    """RIFF header, chunk header(s) and VP8's frame header (RFC 6386, 9.1)."""
    at = 12
    while data[at : at + 4] != b"VP8 ":
        if at + 8 > len(data):
            raise InvalidInputError("no VP8 chunk in a lossy WebP file")
        at += 8 + (struct.unpack_from("<I", data, at + 4)[0] + 1) // 2 * 2
    return at + 8 + 10
