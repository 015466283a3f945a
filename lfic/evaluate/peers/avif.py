"""AVIF by libaom through libavif."""

import struct
from collections.abc import Sequence

from PIL import features

from ...errors import InvalidInputError
from ..interface import EvaluatedCodec
from .pillow import pillow_codec, require


def avif(
    settings: Sequence[int] = (8, 14, 21, 29, 38, 48),
    speed: int = 4,
    subsampling: str = "4:2:0",
    scale: float = 1.0,
    grey: bool = False,
) -> EvaluatedCodec:
    """AVIF; settings are qualities, ``speed`` 0 is the slowest."""
    require("avif", "AVIF")
    return pillow_codec(
        f"AVIF s{speed}" + ("" if subsampling == "4:2:0" else " " + subsampling),
        settings,
        "AVIF",
        lambda q: {"quality": q, "speed": speed, "subsampling": subsampling, "codec": "aom", "max_threads": 1},
        avif_header,
        f"libavif {features.version('avif')}",
        range(96),
        scale=scale,
        grey=grey,
    )


def avif_header(data: bytes) -> int:
    """Everything but the payload of the mdat box, which holds the coded picture."""
    at, payload = 0, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise InvalidInputError(f"box at byte {at} of an AVIF file has size {size}; the file has {len(data)} bytes")
        payload += size - 8 if kind == b"mdat" else 0
        at += size
    return len(data) - payload
