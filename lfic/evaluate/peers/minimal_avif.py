"""AVIF without the boxes that can be avoided: the picture in a MinimizedImageBox, as ``avifenc --mini`` writes it.

    ftyp   16 bytes: brand mif3, minor version avif
    mini    8 bytes of box header, then bit by bit: version 2, eight flags, chroma subsampling 2, orientation 3, whether
            sides are large 1, width and height less 1, chroma's place 2, high bit depth 1, whether configuration and
            item are large 2, their sizes, zeros up to a byte; the codec's configuration (av1C), the coded picture

The layout is that of ISO/IEC 23008-12 (third edition) for a still picture of 8 bits without alpha, ICC, Exif and XMP,
in sRGB. Decoders that read it are rare, so a file is put back into the boxes that it came from before it is decoded:
those of a first file of its size, which differ in nothing but sizes.
"""

import struct
from collections.abc import Sequence

from ...errors import InvalidInputError
from ..interface import EvaluatedCodec, Pixels, Setting
from .avif import avif

SUBSAMPLING = {"4:0:0": 0, "4:2:0": 1, "4:2:2": 2, "4:4:4": 3}


def minimal_avif(
    settings: Sequence[int] = (8, 14, 21, 29, 38, 48), speed: int = 4, subsampling: str = "4:2:0"
) -> EvaluatedCodec:
    """The codec ``avif`` with the sizes of minimal files."""
    whole = avif(settings, speed, subsampling)
    frames: dict[tuple[int, int, bytes], bytes] = {}  # width, height, configuration -> a whole file

    def encode(images: Sequence[Pixels], setting: Setting) -> list[bytes]:
        out = []
        for image, data in zip(images, whole.encode(images, setting)):
            height, width = image.shape[:2]
            configuration, payload = parts(data)
            frames.setdefault((width, height, configuration), data)
            out.append(wrap(width, height, configuration, payload, SUBSAMPLING[subsampling]))
        return out

    def decode(files: Sequence[bytes]) -> list[Pixels]:
        whole_files = []
        for data in files:
            width, height, configuration, payload = unwrap(data)
            key = (width, height, configuration)
            if key not in frames:  # of an earlier process
                grey = whole.encode([blank(width, height)], settings[0])[0]
                frames[key] = grey.replace(b"av1C" + parts(grey)[0], b"av1C" + configuration)
            whole_files.append(replaced(frames[key], payload))
        return whole.decode(whole_files)

    return EvaluatedCodec(
        f"{whole.name} minimal",
        whole.settings,
        encode,
        decode,
        lambda data: len(data) - len(unwrap(data)[3]),
        f"{whole.version} mini 1",
        fine_settings=whole.fine_settings,
    )


def blank(width: int, height: int) -> Pixels:
    """A grey picture: uint8 [height, width, 3]."""
    import numpy as np

    return np.full((height, width, 3), 128, np.uint8)


def parts(data: bytes) -> tuple[bytes, bytes]:
    """(codec configuration, coded picture) of an AVIF file of one item."""
    at = data.index(b"av1C") - 4
    size = struct.unpack_from(">I", data, at)[0]
    start, end = span(data)
    return data[at + 8 : at + size], data[start:end]


def span(data: bytes) -> tuple[int, int]:
    """Where the payload of the mdat box lies; it is the last box."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"mdat" and at + size == len(data):
            return at + 8, at + size
        at += max(size, 8)
    raise InvalidInputError(f"an AVIF file of {len(data)} bytes does not end in its mdat box")


def replaced(frame: bytes, payload: bytes) -> bytes:
    """A whole file with another coded picture."""
    start, end = span(frame)
    head = bytearray(frame[:start])
    struct.pack_into(">I", head, start - 8, len(payload) + 8)
    at = head.index(b"iloc") + 4
    old, found = struct.pack(">I", end - start), 0
    while (at := head.find(old, at, head.index(b"iinf"))) >= 0:  # the extent's length
        struct.pack_into(">I", head, at, len(payload))
        found += 1
        at += 4
    if found != 1:
        raise InvalidInputError(f"the item's length stands {found} times in an AVIF file's iloc box")
    return bytes(head) + payload


def wrap(width: int, height: int, configuration: bytes, payload: bytes, subsampling: int) -> bytes:
    """A minimal file."""
    large, large_configuration, large_item = max(width, height) > 128, len(configuration) > 7, len(payload) > 1 << 15
    fields = [(0, 2), (0b00100000, 8), (subsampling, 2), (0, 3), (large, 1)]  # full range is set
    fields += [(width - 1, 15 if large else 7), (height - 1, 15 if large else 7)]
    fields += [(0, 1)] * {1: 2, 2: 1}.get(subsampling, 0)
    fields += [(0, 1), (large_configuration, 1), (large_item, 1)]
    fields += [(len(configuration), 12 if large_configuration else 3), (len(payload) - 1, 28 if large_item else 15)]
    text = "".join(format(int(value), f"0{bits}b") for value, bits in fields)
    text += "0" * (-len(text) % 8)
    body = int(text, 2).to_bytes(len(text) // 8, "big") + configuration + payload
    return struct.pack(">I4s4s4s", 16, b"ftyp", b"mif3", b"avif") + struct.pack(">I4s", 8 + len(body), b"mini") + body


def unwrap(data: bytes) -> tuple[int, int, bytes, bytes]:
    """(width, height, codec configuration, coded picture) of a minimal file."""
    body = data[24:]
    bits = "".join(format(byte, "08b") for byte in body[:24])
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    if data[4:12] != b"ftypmif3" or data[20:24] != b"mini" or take(2) != 0:
        raise InvalidInputError(f"a file of {len(data)} bytes that begins with {data[:12]!r} is no minimal AVIF")
    take(8)
    subsampling = take(2)
    take(3)
    side = 15 if take(1) else 7
    width, height = take(side) + 1, take(side) + 1
    take({1: 2, 2: 1}.get(subsampling, 0) + 1 if subsampling in (1, 2) else 1)
    large_configuration, large_item = take(1), take(1)
    length, item = take(12 if large_configuration else 3), take(28 if large_item else 15) + 1
    start = -(-at // 8)
    if len(body) != start + length + item:
        raise InvalidInputError(f"a minimal AVIF of {len(data)} bytes; its fields say {24 + start + length + item}")
    return width, height, body[start : start + length], body[start + length :]
