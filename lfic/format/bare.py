"""Bare streams: an aligned face behind one byte, for QR codes, smart cards and columns of a table.

byte 0   quality - 1         a 112 x 112 face on the template, coded by model 0; then the payload, which begins with a
                             level map
         100 + quality - 1   the same by model 1
         0xFC                anything else: a file as it stands, without a checksum

There is no magic: what a byte string is has to be known. docs/FORMAT.md has the rules.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..errors import ContainerError, CorruptStreamError, InvalidInputError
from . import container, layers
from .container import CODED_MAP, DECODED_PIXELS, MAGIC, Bytes, Header
from .geometry import QUALITIES, SIDE
from .layers import Picture, Stream

SHORT = 2  # models below this one have a byte for an aligned face, at each quality

Container: TypeAlias = Literal["file", "bare"]


def is_short(header: Header) -> bool:
    """Whether one byte says all of it."""
    return header.aligned and (header.width, header.height) == (SIDE, SIDE) and header.model < SHORT


def bare_header(header: Header) -> Header:
    """A stream's header as its bare form has it: no checksum, and in the short form always a coded level map, and no
    word of grey."""
    if not is_short(header):
        return dataclasses.replace(header, checksum=False)
    return dataclasses.replace(header, checksum=False, level_mode=CODED_MAP, grey=False)


def write(header: Header, payload: Bytes) -> bytes:
    """Header, as ``bare_header`` gives it, and payload -> bytes.

    Raises:
        InvalidInputError: a field out of range, a checksum, or a short form without a level map.
    """
    if header != bare_header(header):
        raise InvalidInputError("a bare stream has no checksum, and one of an aligned face begins with a level map")
    whole = container.write(header, payload)
    if not is_short(header):
        return whole
    return bytes([first_byte(header.model, header.quality)]) + bytes(payload)


def first_byte(model: int, quality: int) -> int:
    """Of an aligned face."""
    return model * QUALITIES + quality - 1


def write_all(payloads: Sequence[bytes], qualities: Sequence[int], model: int) -> list[bytes]:
    """The short forms of aligned faces by a model, whose payloads begin with level maps."""
    return [bytes([first_byte(model, q)]) + payload for payload, q in zip(payloads, qualities, strict=True)]


def read(data: Bytes, max_pixels: int = DECODED_PIXELS) -> Picture:
    """Bytes of a bare stream -> ``Picture``. A file, with or without a checksum, is read as such.

    Raises:
        ContainerError: a first byte that no bare stream has, more than ``max_pixels``; and as ``layers.read`` of what
            is a file.
        CorruptStreamError: no bytes.
    """
    try:
        view = memoryview(data).cast("B")
    except TypeError:
        raise InvalidInputError(f"a bare stream is bytes; found {type(data).__name__}") from None
    if not len(view):
        raise CorruptStreamError("the bare stream is empty; it has at least 1 byte (noticed at byte 0)")
    if view[0] == MAGIC:
        return layers.read(view, max_pixels)
    if view[0] >= SHORT * QUALITIES:
        raise ContainerError(
            f"this is no bare stream: it starts with byte 0x{view[0]:02X}; allowed are 0x00 to "
            f"0x{SHORT * QUALITIES - 1:02X}, and 0x{MAGIC:02X} of a file"
        )
    if max_pixels < SIDE * SIDE:
        raise ContainerError(
            f"the image is {SIDE} x {SIDE} = {SIDE * SIDE} pixels; allowed are {max_pixels}: raise max_pixels"
        )
    model, quality = divmod(view[0], QUALITIES)
    header = Header(SIDE, SIDE, quality + 1, CODED_MAP, True, False, model)
    return Picture(SIDE, SIDE, Stream(header, view[1:]), checksum=False, model=model)


def read_as(data: Bytes, max_pixels: int, form: Container) -> Picture:
    """``layers.read`` or ``read``, as ``form`` asks."""
    check_form(form)
    return read(data, max_pixels) if form == "bare" else layers.read(data, max_pixels)


def check_form(form: str) -> None:
    """Raise unless it is one of ``Container``."""
    if form not in ("file", "bare"):
        raise InvalidInputError(f"container is {form!r}; allowed are 'file' and 'bare'")
