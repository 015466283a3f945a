"""Files of every version: a background stream, and face layers that are painted over it. docs/FORMAT.md has diagrams.

Versions 1, 3, 5 and 7 are one stream (container.py). Version 2, or 6 where model 1 wrote it:

    byte 0   0xFC
    byte 1   version (3 bits) | background (1) | layers follow (1) | checksum (1) | model follows; of version 6: square
             (1) | grey (1)
    [255, of private weights, and 4 bytes of their digest] width - 1, height - 1 as LEB128, one of them if square
    background: quality (7) 0 | 00 eighths less (2) halvings (2) level map (2) [length as LEB128] payload
    a layer:    quality (7) another follows (1) | x (13) y (13) scale (9) angle (9) level map (2) size (2)
                [length] payload
    [CRC-16 of all before, big-endian]

The file's last payload has no length: it ends where the file does. A layer has 112 * 2^size pixels a side.
"""

import dataclasses
from collections.abc import Iterator

from ..errors import ContainerError, CorruptStreamError, InvalidInputError
from . import container
from .container import (
    DECODED_PIXELS,
    FORM,
    MAGIC,
    MAX_PIXELS,
    MAX_SIDE,
    Header,
    check_bound,
    crc16,
    leb128,
    read_leb128,
    read_model,
    read_size,
    written_by,
    written_size,
)
from .geometry import SIDE
from .place import LEAST_OCTAVE, OCTAVE, Place

VERSION = 2
MAX_LAYERS = 64
MAX_REDUCTION = 15
# Steps of quality by which a picture that is coded smaller has a finer stream, by reduction: csrc/compose/compose.hpp.
FINER = (0, 4, 8, 13, 20, 24, 28, 33, 40, 44, 48, 53, 60, 63, 68, 73)
MAX_COVER = 8  # the layers' boxes may cover the picture so many times: what painting may cost
MAX_SIZE = 2
LAYER_BYTES = 7
LAYERS = {(SIDE << size, SIDE << size, size == 0) for size in range(MAX_SIZE + 1)}  # width, height, aligned


@dataclasses.dataclass(frozen=True)
class Stream:
    """One coded picture: its header as a version 1 file would have it, and its payload."""

    header: Header
    payload: bytes | memoryview


@dataclasses.dataclass(frozen=True)
class Layer:
    """A face on the template, of 112, 224 or 448 pixels a side, and where it is painted."""

    place: Place
    stream: Stream

    @property
    def size(self) -> int:
        """How often its side is twice the template's, 0 to 2. To the networks only 112 x 112 is on the template."""
        return (self.stream.header.width // SIDE).bit_length() - 1


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a file of any version holds.

    background: of the size that ``reduction`` says, 0 to 15 (``background_size``); None: mid-grey. ``plain``: one
    stream and nothing else, a file of version 1, 3, 5 or 7. grey: shown without colour; headers of its streams say so
    too.
    """

    width: int
    height: int
    background: Stream | None
    reduction: int = 0
    layers: tuple[Layer, ...] = ()
    checksum: bool = True
    model: int = 0
    weights: bytes = b""
    grey: bool = False

    @property
    def plain(self) -> bool:
        return self.background is not None and self.reduction == 0 and not self.layers

    @property
    def quality(self) -> int:
        """Of the picture, or of the background of one with layers; 0 without one."""
        if self.background is None:
            return 0
        return max(self.background.header.quality - (0 if self.layers else FINER[self.reduction]), 1)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The background's, if there is one, then the layers'."""
        return (() if self.background is None else (self.background,)) + tuple(layer.stream for layer in self.layers)


def background_scale(reduction: int) -> tuple[int, int]:
    """A background's sides in parts of the picture's: (n, k) for n / 2^k. Each fourth reduction halves them, those
    between take an eighth, two or three of them away."""
    return 8 - (reduction & 3), 3 + (reduction >> 2)


def background_size(width: int, height: int, reduction: int) -> tuple[int, int]:
    """(width, height) of a background's own pixels."""
    n, k = background_scale(reduction)
    return -(-width * n >> k), -(-height * n >> k)


def write(picture: Picture) -> bytes:
    """File bytes, of a header without layers where the picture is plain.

    Raises:
        InvalidInputError: a field out of range.
    """
    if picture.plain:
        assert picture.background is not None
        return container.write(picture.background.header, bytes(picture.background.payload))
    version, model = written_by(VERSION, picture.model, picture.weights)
    check(picture, InvalidInputError)
    flags = version << 5 | (picture.background is not None) << 4 | bool(picture.layers) << 3
    size, square = written_size(picture.width, picture.height, version)
    flags |= bool(picture.checksum) << 2 | (square or bool(model)) << 1 | bool(picture.grey)
    out = bytearray([MAGIC, flags]) + model + size
    if picture.background is not None:
        header = picture.background.header
        out += bytes(
            [header.quality << 1, (picture.reduction & 3) << 4 | picture.reduction >> 2 << 2 | header.level_mode]
        )
        out += with_length(picture.background, not picture.layers)
    for number, layer in enumerate(picture.layers, 1):
        last = number == len(picture.layers)
        place, header = layer.place, layer.stream.header
        bits = (place.x << 13 | place.y) << 9 | place.scale
        bits = ((bits << 9 | place.angle) << 2 | header.level_mode) << 2 | layer.size
        out.append(header.quality << 1 | (not last))
        out += bits.to_bytes(6, "big") + with_length(layer.stream, last)
    if picture.checksum:
        out += crc16(out).to_bytes(2, "big")
    return bytes(out)


def as_grey(data: bytes) -> bytes:
    """The same file, shown in grey. A bare stream behind one byte stays as it is: it has no room to say so."""
    if not data or data[0] != MAGIC:
        return data
    picture = read(data, MAX_PIXELS)
    background = picture.background
    if background is not None:
        background = Stream(dataclasses.replace(background.header, grey=True), background.payload)
    return write(dataclasses.replace(picture, background=background, grey=True))


def with_length(stream: Stream, last: bool) -> bytes:
    """A payload, after its length where it is not the file's last."""
    payload = bytes(stream.payload)
    return payload if last else leb128(len(payload)) + payload


def read(data: bytes | bytearray | memoryview, max_pixels: int = DECODED_PIXELS) -> Picture:
    """File bytes of any version -> ``Picture``. Every field is checked before memory is taken for pixels.

    Raises:
        ContainerError: no lfic file, an unknown version, model or flag, or a picture larger than ``max_pixels``.
        CorruptStreamError: too short, or the checksum does not match.
    """
    try:
        view = memoryview(data).cast("B")
    except TypeError:
        raise InvalidInputError(f"a file is bytes; found {type(data).__name__}") from None
    if len(view) < 3 or view[0] != MAGIC or view[1] >> 5 & FORM != VERSION:
        header, payload = container.read(view, max_pixels)
        stream = Stream(header, payload)
        written = header.checksum, header.model, header.weights, header.grey
        return Picture(header.width, header.height, stream, 0, (), *written)
    with_background, with_layers, checksum, flag, grey = (bool(view[1] >> k & 1) for k in (4, 3, 2, 1, 0))
    version = view[1] >> 5
    model, weights, at = read_model(view, 2, version, flag)
    width, height, at = read_size(view, at, version, flag)
    check_bound(width, height, max_pixels)
    end = len(view)
    if checksum:
        if end - at < 2:
            raise CorruptStreamError(f"the file ends before its checksum (noticed at byte {end})")
        end -= 2
        stored, found = int.from_bytes(view[end:], "big"), crc16(view[:end])
        if stored != found:
            raise CorruptStreamError(
                f"the checksum is 0x{found:04X}, the file says 0x{stored:04X} (noticed at byte {end})"
            )
    parts = Parts(view, at, end, (checksum, model, weights, grey))
    background, reduction = None, 0
    if with_background:
        background, reduction = parts.background(width, height, with_layers)
    painted = tuple(parts.layers()) if with_layers else ()
    picture = Picture(width, height, background, reduction, painted, checksum, model, weights, grey)
    check(picture, ContainerError)
    return picture


class Parts:
    """Reads the parts of a photo's file one after the other."""

    def __init__(self, data: memoryview, at: int, end: int, written: tuple[bool, int, bytes, bool]) -> None:
        self.data, self.at, self.end = data, at, end
        self.written = written  # checksum, model, weights, grey: what all of the file's streams share

    def header(self, width: int, height: int, quality: int, mode: int, aligned: bool) -> Header:
        return Header(width, height, quality, mode, aligned, *self.written)

    def take(self, count: int, what: str) -> memoryview:
        if self.end - self.at < count:
            raise CorruptStreamError(f"the file ends within its {what} (noticed at byte {self.end})")
        self.at += count
        return self.data[self.at - count : self.at]

    def payload(self, last: bool) -> memoryview:
        if last:
            return self.take(self.end - self.at, "payload")
        length, self.at = read_leb128(self.data[: self.end], self.at, "payload's length")
        return self.take(length, "payload")

    def background(self, width: int, height: int, layers_follow: bool) -> tuple[Stream, int]:
        first, second = self.take(2, "background's description")
        if first & 1 or second >> 6:
            raise ContainerError(f"a bit of the background's description at byte {self.at - 2} is unknown")
        quality, mode = quality_of(first), second & 3
        reduction = (second >> 2 & 3) << 2 | second >> 4
        size = background_size(width, height, reduction)
        return Stream(self.header(*size, quality, mode, False), self.payload(not layers_follow)), reduction

    def layers(self) -> Iterator[Layer]:
        more, count = True, 0
        while more:
            count += 1
            if count > MAX_LAYERS:
                raise ContainerError(f"the file has more than {MAX_LAYERS} layers")
            description = self.take(LAYER_BYTES, "layer's description")
            more, bits = bool(description[0] & 1), int.from_bytes(description[1:], "big")
            if (size := bits & 3) > MAX_SIZE:
                raise ContainerError(
                    f"layer {count} is of a kind that this lfic does not know: a newer lfic may read it"
                )
            place = Place(bits >> 35, bits >> 22 & 0x1FFF, bits >> 13 & 0x1FF, bits >> 4 & 0x1FF)
            side = SIDE << size
            header = self.header(side, side, quality_of(description[0]), bits >> 2 & 3, size == 0)
            yield Layer(place, Stream(header, self.payload(not more)))


def quality_of(byte: int) -> int:
    """The seven upper bits of a description's first byte, checked."""
    quality = byte >> 1
    if not 1 <= quality <= 100:
        raise ContainerError(f"the file has quality {quality}; allowed are 1 to 100")
    return quality


def check(picture: Picture, error: type[ContainerError] | type[InvalidInputError]) -> None:
    """Raise unless a file of version 2 or 6 may be so."""
    width, height = picture.width, picture.height
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise error(f"the picture is {width} x {height}; allowed are 1 to {MAX_SIDE} pixels a side")
    if picture.plain or not picture.streams:
        raise error("a file of version 2 or 6 has face layers, or a background smaller than the picture")
    if not 0 <= picture.reduction <= MAX_REDUCTION:
        raise error(f"the background's reduction is {picture.reduction}; allowed are 0 to {MAX_REDUCTION}")
    if len(picture.layers) > MAX_LAYERS:
        raise error(f"the picture has {len(picture.layers)} layers; allowed are {MAX_LAYERS}")
    covered = 0
    for layer in picture.layers:
        left, top, right, bottom = layer.place.box(width, height)
        covered += (right - left) * (bottom - top)
    if covered > MAX_COVER * width * height:
        raise error(
            f"the layers' boxes have {covered} pixels, {covered / (width * height):.1f} times the picture's; allowed "
            f"are {MAX_COVER} times"
        )
    own = 0
    for number, layer in enumerate(picture.layers, 1):
        header = layer.stream.header
        if (header.width, header.height, header.aligned) not in LAYERS:
            raise error(
                f"layer {number} has {header.width} x {header.height} pixels; allowed are 112 x 112 on the template, "
                "and 224 x 224 and 448 x 448"
            )
        if layer.size == 0:
            continue
        own += header.width * header.height
        if layer.place.scale < least_scale(layer.size):
            raise error(
                f"layer {number} has {header.width} pixels a side and is painted at less than half of them, which no "
                "encoder does"
            )
    if own > MAX_COVER * width * height:
        raise error(
            f"the layers above 112 x 112 have {own} pixels of their own, the picture {width * height}; allowed are "
            f"{MAX_COVER} times as many"
        )


def least_scale(size: int) -> int:
    """The least ``Place.scale`` of a layer of that size above 0: it is painted at half of its pixels or more."""
    return OCTAVE * (size - 1 - LEAST_OCTAVE)
