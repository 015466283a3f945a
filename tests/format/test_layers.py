"""Files of version 2: fields survive, damage is told, and nothing is taken on trust."""

import contextlib
import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from lfic import ContainerError, CorruptStreamError, InvalidInputError, LficError
from lfic.format import layers
from lfic.format.container import MODELS, Header, crc16, leb128
from lfic.format.layers import Layer, Picture, Stream, background_size, read, write
from lfic.format.place import Place

PLACES = st.builds(Place, st.integers(0, 8191), st.integers(0, 8191), st.integers(0, 320), st.integers(0, 511))


@st.composite
def pictures(draw):
    width = draw(st.integers(1, 4000))
    height = width if draw(st.booleans()) else draw(st.integers(1, 4000))
    checksum, model, grey = draw(st.booleans()), draw(st.sampled_from(sorted(MODELS))), draw(st.booleans())

    def stream(size, aligned):
        header = Header(*size, draw(st.integers(1, 100)), draw(st.integers(0, 3)), aligned, checksum, model, grey=grey)
        return Stream(header, draw(st.binary(max_size=300)))

    def face(place):
        size = draw(st.sampled_from([k for k in range(3) if k == 0 or place.scale >= layers.least_scale(k)]))
        return Layer(place, stream((112 << size, 112 << size), size == 0))

    reduction = draw(st.integers(0, 15))
    painted = tuple(face(place) for place in draw(st.lists(PLACES, max_size=4)))
    behind = stream(background_size(width, height, reduction), False) if draw(st.booleans()) else None
    if behind is None:
        reduction = 0
    picture = Picture(width, height, behind, reduction, painted, checksum, model, grey=grey)
    hypothesis.assume(picture.streams and not picture.plain)
    boxes = [place.place.box(width, height) for place in painted]
    hypothesis.assume(sum((r - x) * (b - y) for x, y, r, b in boxes) <= layers.MAX_COVER * width * height)
    own = sum(one.stream.header.width**2 for one in painted if one.size)
    hypothesis.assume(own <= layers.MAX_COVER * width * height)
    return picture


@hypothesis.given(pictures())
def test_what_is_written_is_read(picture):
    found = read(write(picture))
    plain = lambda s: None if s is None else (s.header, bytes(s.payload))  # noqa: E731
    assert plain(found.background) == plain(picture.background)
    assert [(x.place, plain(x.stream)) for x in found.layers] == [(x.place, plain(x.stream)) for x in picture.layers]
    assert dataclasses.replace(found, background=None, layers=()) == dataclasses.replace(
        picture, background=None, layers=()
    )


@hypothesis.given(pictures(), st.data())
def test_damage_is_an_error_of_ours_or_another_picture(picture, data):
    blob = bytearray(write(picture))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    if picture.checksum:
        blob[-2:] = crc16(blob[:-2]).to_bytes(2, "big")  # as an attacker would
    with contextlib.suppress(LficError):
        read(bytes(blob))


def example(**changes):
    header = Header(125, 125, 20, 1, False, False)
    face = Header(112, 112, 40, 1, True, False)
    painted = (Layer(Place(4000, 4100, 200, 3), Stream(face, b"face")), Layer(Place(9, 8, 10, 500), Stream(face, b"x")))
    return dataclasses.replace(Picture(250, 249, Stream(header, b"behind"), 4, painted, False, 0), **changes)


def test_every_cut_is_told():
    blob = write(example(checksum=True))
    for end in range(len(blob)):
        with pytest.raises((CorruptStreamError, ContainerError)):
            read(blob[:end])


def test_a_file_has_one_form():
    plain = Picture(250, 249, Stream(Header(250, 249, 20, 1, False, False), b"whole"), checksum=False)
    assert write(plain)[1] >> 5 == 1  # a version 1 file: no second way to write it
    blob = bytearray(write(example(layers=())))
    blob[6 + 1] &= 0b11  # the reduction becomes 0: now it says what version 1 says
    with pytest.raises(ContainerError, match="has face layers"):
        read(bytes(blob))
    with pytest.raises(InvalidInputError, match="has face layers"):
        write(example(background=None, layers=()))


@pytest.mark.parametrize(
    ("at", "bits", "message"),
    [
        (6, 1, "a bit of the background's description"),
        (7, 0x80, "a bit of the background's description"),
        (15 + 6, 3, "of a kind that this lfic does not know"),
    ],
)
def test_unknown_bits_are_refused(at, bits, message):
    blob = bytearray(write(example()))
    blob[at] |= bits
    with pytest.raises(ContainerError, match=message):
        read(bytes(blob))


@pytest.mark.parametrize(
    ("version", "model", "message"),
    [
        (2, 0, "a model byte of 0"),
        (2, 1, "a model byte of 1"),
        (2, 7, "needs model 7"),
    ],
)
def test_model_bytes_that_no_encoder_writes(version, model, message):
    blob = bytearray(write(example(model=255)))
    assert blob[1] >> 5 == 2 and blob[2] == 255
    blob[1], blob[2] = blob[1] & 0x1F | version << 5, model
    with pytest.raises(ContainerError, match=message):
        read(bytes(blob))


def test_one_side_of_a_square_is_written_by_model_1():
    """Both of other pictures, and in version 2."""
    wide, square = (dataclasses.replace(example(model=1), width=width, height=300) for width in (301, 300))
    old = dataclasses.replace(example(), width=300, height=300)
    assert len(write(square)) == len(write(wide)) - 2 == len(write(old)) - 2
    for picture in (wide, square, old):
        assert read(write(picture)).width == picture.width and read(write(picture)).height == 300
    blob = bytearray(write(square))
    assert blob[1] & 2 and blob[2:4] == leb128(299)
    blob[1] ^= 2
    blob[2:4] = leb128(299) * 2
    with pytest.raises(ContainerError, match="both sides of 300 x 300 pixels; one is written of a square"):
        read(bytes(blob))


def test_how_a_photo_names_its_model():
    with pytest.raises(CorruptStreamError, match="within the digest of its weights"):
        read(write(example(model=255))[:6])
    with pytest.raises(InvalidInputError, match="the model is 9"):
        write(example(model=9))
    assert write(example(model=1))[1] >> 5 == 6 and write(example(model=1))[2:4] == write(example())[2:4]


def test_bounds():
    blob = write(example())
    with pytest.raises(ContainerError, match=r"250 x 249 = 62250 pixels; allowed are 62249"):
        read(blob, 62249)
    wide = Layer(Place(4096, 4096, 511, 0), example().layers[0].stream)
    assert len(read(write(example(layers=(wide,) * 8))).layers) == 8  # each covers the picture once
    with pytest.raises(InvalidInputError, match=r"9\.0 times the picture's; allowed are 8 times"):
        write(example(layers=(wide,) * 9))
    with pytest.raises(InvalidInputError, match="65 layers; allowed are 64"):
        write(example(layers=(dataclasses.replace(wide, place=Place(0, 0, 0, 0)),) * 65))


def layer(scale, side, aligned=False):
    return Layer(Place(4096, 4096, scale, 0), Stream(Header(side, side, 60, 1, aligned, False), b"x"))


def test_large_layers():
    found = read(write(example(layers=(layer(192, 224), layer(100, 112, True), layer(300, 448)))))
    assert [one.size for one in found.layers] == [1, 0, 2]
    assert [one.stream.header.aligned for one in found.layers] == [False, True, False]
    for wrong, words in (
        (layer(191, 224), "layer 1 has 224 pixels a side and is painted at less than half of them"),
        (layer(255, 448), "layer 1 has 448 pixels a side and is painted at less than half of them"),
        (layer(300, 448, True), "layer 1 has 448 x 448 pixels; allowed are 112 x 112 on the template"),
        (layer(300, 112), "layer 1 has 112 x 112 pixels; allowed are 112 x 112 on the template"),
        (layer(300, 896), "layer 1 has 896 x 896 pixels; allowed are 112 x 112 on the template"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            write(example(layers=(wrong,)))
    blob = bytearray(write(example(layers=(layer(150, 112, True),))))
    blob[15 + 6] |= 1
    with pytest.raises(ContainerError, match="painted at less than half"):
        read(bytes(blob))
    small = example(width=100, height=100, background=None, layers=(layer(260, 448),))
    with pytest.raises(InvalidInputError, match="have 200704 pixels of their own, the picture 10000; allowed are 8"):
        write(small)


def test_quality_zero_is_refused():
    blob = bytearray(write(example()))
    blob[6] = 0
    with pytest.raises(ContainerError, match="quality 0"):
        read(bytes(blob))


@hypothesis.given(st.floats(0.126, 31), st.floats(-7, 7), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_the_nearest_place_is_near(size, turn, x, y):
    width, height = 1000, 700
    linear = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([x * width, y * height])
    matrix = np.concatenate([linear, (centre - 0.5 - linear @ np.full(2, 55.5))[:, None]], 1)
    place = Place.nearest(matrix, width, height)
    corners = np.array([[0, 0, 1], [111, 0, 1], [0, 111, 1], [111, 111, 1]])
    miss = np.abs(corners @ (place.matrix(width, height) - matrix).T).max()
    assert miss <= 0.1 + size * 79 * (2 ** (0.5 / 64) - 1 + np.pi / 512)  # half a step of each


def test_places_that_can_not_be_are_refused():
    here = np.array([[1.0, 0, 0], [0, 1, 0]])
    with pytest.raises(InvalidInputError, match="outside the 40 x 40 picture"):
        Place.nearest(here, 40, 40)
    with pytest.raises(InvalidInputError, match=r"a face of 11\.2 pixels can't be a layer; allowed are 14 to 3584"):
        Place.nearest(here * 0.1, 400, 400)
