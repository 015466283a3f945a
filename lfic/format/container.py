"""The header of an lfic file: 3 bytes for a 112 x 112 face, 5 with the checksum. docs/FORMAT.md has the diagrams.

byte 0   0xFC
byte 1   version (3 bits): 1, or 3 of a grey picture; 5 and 7 in their place where model 1 wrote it
         | level map (2) | aligned (1) | checksum (1) | size follows (1)
byte 2   quality 1..100 (7 bits) | model follows (1); by model 1: square (1)
[255, of private weights, and 4 bytes of their digest] [width - 1, height - 1 as LEB128, one of them if square] payload
[CRC-16 of all before, big-endian]
"""

import binascii
import dataclasses
import functools
from collections.abc import Sequence
from typing import TypeAlias

from ..arguments import integer
from ..errors import ContainerError, CorruptStreamError, InvalidInputError
from .geometry import ALIGNED_GRID, SIDE, cell_grid

MAGIC = 0xFC
VERSION = 1
GREY = 3  # the version of the same header, of a picture that is shown in grey
FORM = 3  # bits of the version that say which header it is; the bit above them is the model's number: 0 or 1
NAMED = 2  # models from this number on are named by a byte, in versions below 4
CODED_MAP = 3
MODELS = {0: "face-v1", 1: "face-v2", 255: "private"}
FORMER = {1: 0}  # models that code faces on the template by the networks of one before them, and which
PRIVATE = 255  # written by weights of the user's own: only a codec with those can read it
WEIGHTS_BYTES = 4  # of the digest of private weights
MAX_PIXELS = 178_956_970  # that files may have: Pillow's bound for decompression bombs
DECODED_PIXELS = 50_000_000  # that readers take unless told otherwise: some 2 GB and two minutes of one core
MAX_SIDE = 1 << 19  # pixels: 65,536 feature cells, which is what the coder takes
LEAST_SIDE = 16  # the networks' coarsest stride: a smaller side costs as much as this one

Bytes: TypeAlias = bytes | bytearray | memoryview


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of itself.

    level_mode: 0, 1 or 2 = that level everywhere, 3 = the payload starts with a level map. aligned: the face stands on
    the 112 x 112 template, so that positions are meaningful. model: number of the model, see ``MODELS``. weights: the
    first four bytes of the digest of private weights; empty for bundled ones, and where it is not known. grey: the
    picture is shown without colour.
    """

    width: int
    height: int
    quality: int
    level_mode: int
    aligned: bool = False
    checksum: bool = True
    model: int = 0
    weights: bytes = b""
    grey: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Feature cells (rows, columns)."""
        return cell_grid(self.height, self.width)


def write(header: Header, payload: Bytes) -> bytes:
    """Header and payload bytes -> file bytes.

    Raises:
        InvalidInputError: a field out of range.
    """
    return closed(opening(header) + payload, header.checksum)


def write_all(
    payloads: Sequence[bytes],
    qualities: Sequence[int],
    level_modes: Sequence[int],
    width: int,
    height: int,
    aligned: bool,
    checksum: bool,
    model: int,
    weights: bytes = b"",
) -> list[bytes]:
    """``write`` for pictures of one size, whose quality and level-map mode differ."""
    known = {
        (quality, mode): opening(Header(width, height, quality, mode, aligned, checksum, model, weights))
        for quality, mode in set(zip(qualities, level_modes, strict=True))
    }
    return [
        closed(known[quality, mode] + payload, checksum)
        for payload, quality, mode in zip(payloads, qualities, level_modes, strict=True)
    ]


def closed(data: bytes, checksum: bool) -> bytes:
    """A file without its checksum -> the file."""
    return data + binascii.crc_hqx(data, 0).to_bytes(2, "big") if checksum else data


def opening(header: Header) -> bytes:
    """The bytes before the payload, checked."""
    version, model = written_by(GREY if header.grey else VERSION, header.model, header.weights)
    if not 1 <= header.quality <= 100:
        raise InvalidInputError(f"quality is {header.quality}; allowed are 1 to 100")
    if header.level_mode not in (0, 1, 2, CODED_MAP):
        raise InvalidInputError(f"the level-map mode is {header.level_mode}; allowed are 0 to 3")
    if header.aligned and header.grid != (ALIGNED_GRID, ALIGNED_GRID):
        raise InvalidInputError(
            f"only grids of 14 x 14 cells can be aligned; {header.width} x {header.height} pixels have "
            f"{header.grid[0]} x {header.grid[1]}"
        )
    if not (1 <= header.width <= MAX_SIDE and 1 <= header.height <= MAX_SIDE):
        raise InvalidInputError(
            f"the image is {header.width} x {header.height}; allowed are 1 to {MAX_SIDE} pixels a side"
        )
    explicit = (header.width, header.height) != (SIDE, SIDE)
    flags = version << 5 | header.level_mode << 3 | bool(header.aligned) << 2 | bool(header.checksum) << 1 | explicit
    size, square = written_size(header.width, header.height, version) if explicit else (b"", False)
    return bytes([MAGIC, flags, header.quality << 1 | (square or bool(model))]) + model + size


def read(data: Bytes, max_pixels: int = DECODED_PIXELS) -> tuple[Header, memoryview]:
    """File bytes -> (Header, payload memoryview). Every field is checked, the pixel bound before anything is allocated.

    Raises:
        ContainerError: no lfic file, an unknown version, model or flag, or an image larger than ``max_pixels``.
        CorruptStreamError: too short, or the checksum does not match.
    """
    if (whole := usual(data, max_pixels)) is not None:
        return whole
    try:
        data = memoryview(data).cast("B")
    except TypeError:
        raise InvalidInputError(f"a file is bytes; found {type(data).__name__}") from None
    if len(data) < 3:
        raise CorruptStreamError(
            f"the file has {len(data)} bytes; an lfic file has at least 3 (noticed at byte {len(data)})"
        )
    if data[0] != MAGIC:
        raise ContainerError(
            f"this is no lfic file: it starts with byte 0x{data[0]:02X}, not 0x{MAGIC:02X} (of a bare stream "
            "say so: container='bare', or --bare)"
        )
    version, level_mode = data[1] >> 5, data[1] >> 3 & 3
    aligned, checksum, explicit = bool(data[1] & 4), bool(data[1] & 2), bool(data[1] & 1)
    if version & FORM not in (VERSION, GREY):
        raise ContainerError(
            f"the file has format version {version}; this lfic reads versions 1 to 3 and 5 to 7: a newer lfic may "
            "read it"
        )
    quality, flag = data[2] >> 1, bool(data[2] & 1)
    if not 1 <= quality <= 100:
        raise ContainerError(f"the file has quality {quality}; allowed are 1 to 100")
    model, weights, at = read_model(data, 3, version, flag)
    width = height = SIDE
    if explicit:
        width, height, at = read_size(data, at, version, flag)
        if (width, height) == (SIDE, SIDE):
            raise ContainerError(f"the file spells out the standard size {SIDE} x {SIDE}, which no encoder does")
    elif version > FORM and flag:
        raise ContainerError(f"the file says that a picture of the standard size {SIDE} x {SIDE} is square")
    check_bound(width, height, max_pixels)
    header = Header(width, height, quality, level_mode, aligned, checksum, model, weights, version & FORM == GREY)
    if aligned and header.grid != (ALIGNED_GRID, ALIGNED_GRID):
        raise ContainerError(
            f"the file says that a {width} x {height} image is aligned; only grids of 14 x 14 cells are"
        )
    end = len(data)
    if checksum:
        if end - at < 2:
            raise CorruptStreamError(f"the file ends before its checksum (noticed at byte {end})")
        end -= 2
        stored, found = int.from_bytes(data[end:], "big"), crc16(data[:end])
        if stored != found:
            raise CorruptStreamError(
                f"the checksum is 0x{found:04X}, the file says 0x{stored:04X} (noticed at byte {end})"
            )
    return header, data[at:end]


def written_size(width: int, height: int, version: int) -> tuple[bytes, bool]:
    """How a header says a picture's size: (bytes, whether one side stands for both, as it does by model 1)."""
    square = version > FORM and width == height
    return leb128(width - 1) + (b"" if square else leb128(height - 1)), square


def read_size(data: memoryview, at: int, version: int, flag: bool) -> tuple[int, int, int]:
    """(width, height, position after them). flag: by model 1, whether one side stands for both."""
    width, at = read_leb128(data, at, "width")
    if version > FORM and flag:
        return width + 1, width + 1, at
    height, at = read_leb128(data, at, "height")
    if version > FORM and width == height:
        raise ContainerError(
            f"the file spells out both sides of {width + 1} x {height + 1} pixels; one is written of a square"
        )
    return width + 1, height + 1, at


def written_by(form: int, model: int, weights: bytes) -> tuple[int, bytes]:
    """How a header says which model wrote it: (version, bytes). Of models 0 and 1 the version tells, of others a byte,
    and of private weights their digest behind it, zeros if not known."""
    if model not in MODELS:
        raise InvalidInputError(f"the model is {model}; known are {known_models()}")
    if model < NAMED:
        return model << FORM.bit_length() | form, b""
    if model != PRIVATE:
        return form, bytes([model])
    if len(weights) not in (0, WEIGHTS_BYTES):
        raise InvalidInputError(f"the digest of the weights has {len(weights)} bytes; needed are {WEIGHTS_BYTES}")
    return form, bytes([model]) + (weights or bytes(WEIGHTS_BYTES))


def read_model(data: memoryview, at: int, version: int, flag: bool) -> tuple[int, bytes, int]:
    """(model, digest of private weights, empty where there is none, position after what says so). flag: in versions 1
    to 3, whether a byte does."""
    if version > FORM or not flag:
        return version >> FORM.bit_length(), b"", at
    if len(data) <= at:
        raise CorruptStreamError(f"the file ends before its model byte (noticed at byte {at})")
    if data[at] < NAMED:
        raise ContainerError(
            f"the file has a model byte of {data[at]}, which no encoder writes: such a byte names models from {NAMED} "
            "on, and the version tells those below"
        )
    model, at = data[at], at + 1
    if model not in MODELS:
        raise ContainerError(f"the file needs model {model}, which this lfic lacks; known are {known_models()}")
    if model != PRIVATE:
        return model, b"", at
    if len(data) < at + WEIGHTS_BYTES:
        raise CorruptStreamError(f"the file ends within the digest of its weights (noticed at byte {len(data)})")
    weights = bytes(data[at : at + WEIGHTS_BYTES])
    return PRIVATE, weights if any(weights) else b"", at + WEIGHTS_BYTES


def check_bound(width: int, height: int, max_pixels: int) -> None:
    """ContainerError where decoding would cost more than the caller allows, before anything is allocated."""
    max_pixels = integer("max_pixels", max_pixels, 1)
    if max(width, height) > MAX_SIDE:
        raise ContainerError(f"the picture is {width} x {height}; allowed are {MAX_SIDE} pixels a side")
    work = max(width, LEAST_SIDE) * max(height, LEAST_SIDE)
    if width * height > max_pixels or work > max(max_pixels, SIDE * SIDE):
        thin = (
            "" if work == width * height else f", and costs as much as {work} (a side counts as {LEAST_SIDE} at least)"
        )
        raise ContainerError(
            f"the image is {width} x {height} = {width * height} pixels{thin}; allowed are {max_pixels}: raise "
            "max_pixels if you trust it"
        )


def usual(data: object, max_pixels: int = DECODED_PIXELS) -> tuple[Header, memoryview] | None:
    """``read`` of bytes that are a sound 112 x 112 face of a bundled model with a checksum; None for anything else."""
    if type(data) is not bytes or type(max_pixels) is not int or max_pixels < SIDE**2 or len(data) < 5:
        return None
    header = usual_header(data[:3])
    if header is None or binascii.crc_hqx(data, 0):  # a CRC over what ends with it is 0
        return None
    return header, memoryview(data)[3:-2]


@functools.lru_cache(maxsize=2048)
def usual_header(first: bytes) -> Header | None:
    """The header of a 112 x 112 face of a bundled model with a checksum, from the three bytes that are all of it; None
    for any other file. Most files are such; thousands of them a second are read at the cost of a look-up."""
    if len(first) < 3 or first[0] != MAGIC or first[1] >> 5 & FORM != VERSION or first[1] & 3 != 2 or first[2] & 1:
        return None
    if not 1 <= first[2] >> 1 <= 100:
        return None
    return Header(SIDE, SIDE, first[2] >> 1, first[1] >> 3 & 3, bool(first[1] & 4), model=first[1] >> 7)


def known_models() -> str:
    """For messages."""
    return ", ".join(f"{k} ({v})" for k, v in sorted(MODELS.items()))


def crc16(data: Bytes) -> int:
    """CRC-16/XMODEM (CCITT polynomial 0x1021, start 0)."""
    return binascii.crc_hqx(bytes(data), 0)


def leb128(value: int) -> bytes:
    """Little-endian base 128, seven bits a byte."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_leb128(data: memoryview, at: int, name: str) -> tuple[int, int]:
    """(value, position after it); at most three bytes, no needless zero byte at the end."""
    value = 0
    for i in range(3):
        if at + i >= len(data):
            raise CorruptStreamError(f"the file ends within its {name} (noticed at byte {at + i})")
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if i and byte == 0:
                raise ContainerError(f"the {name} is written with a needless byte at {at + i}")
            return value, at + i + 1
    raise ContainerError(f"the {name} takes more than 3 bytes at byte {at}")
