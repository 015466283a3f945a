"""Bare streams: the byte, what is refused, golden streams, and the chain on them."""

import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_golden import symbols_digest

import lfic
from lfic import encoding
from lfic.errors import ContainerError, CorruptStreamError, InvalidInputError, LficError
from lfic.format import bare, container, layers
from lfic.format.container import CODED_MAP, Header

FOLDER = pathlib.Path(__file__).parents[1] / "data" / "golden-bare"
INDEX = json.loads((FOLDER / "index.json").read_text())


def face(quality=40, model=0):
    return Header(112, 112, quality, CODED_MAP, True, False, model)


# ------------------------------------------------------------------------------------------------ the byte


@pytest.mark.parametrize("quality", [1, 40, 100])
@pytest.mark.parametrize("model", [0, 1])
def test_an_aligned_face_has_one_byte(model, quality):
    assert bare.write(face(quality, model), b"abc") == bytes([100 * model + quality - 1]) + b"abc"


@given(
    st.sampled_from([(112, 112), (105, 112), (40, 3000)]),
    st.integers(1, 100),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([0, 1, 255]),
    st.binary(max_size=20),
)
def test_what_is_written_is_read(size, quality, mode, aligned, model, payload):
    header = bare.bare_header(Header(*size, quality, mode, aligned and size != (40, 3000), True, model))
    picture = bare.read(bare.write(header, payload))
    (stream,) = picture.streams
    assert stream.header == header and bytes(stream.payload) == payload
    assert (picture.width, picture.height, picture.checksum, picture.model) == (*size, False, model)


def test_anything_else_is_a_file():
    for header in (Header(112, 112, 40, 1), Header(37, 211, 9, 3), Header(112, 112, 40, 1, True, model=255)):
        data = bare.write(bare.bare_header(header), b"xyz")
        assert data[0] == container.MAGIC and layers.read(data) == bare.read(data)
        assert len(data) == len(container.write(header, b"xyz")) - 2


def test_a_file_with_a_checksum_is_read_as_well_and_its_damage_noticed():
    whole = container.write(Header(112, 112, 40, 1, True), b"abc")
    assert bare.read(whole).checksum
    with pytest.raises(CorruptStreamError, match="checksum"):
        bare.read(whole[:-1] + b"?")


@given(st.binary(max_size=64))
def test_random_bytes_are_read_or_refused(data):
    try:
        picture = bare.read(data)
    except LficError:
        return
    if data[0] != container.MAGIC:
        assert bare.write(picture.streams[0].header, picture.streams[0].payload) == data


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("first", [200, 204, 251, 253, 255])
def test_other_first_bytes(first):
    with pytest.raises(ContainerError, match=f"starts with byte 0x{first:02X}; allowed are 0x00 to 0xC7"):
        bare.read(bytes([first, 1, 2]))


def test_no_bytes_and_no_bytes_at_all():
    with pytest.raises(CorruptStreamError, match="empty"):
        bare.read(b"")
    with pytest.raises(InvalidInputError, match="str"):
        bare.read("abc")


def test_the_pixel_bound(codec):
    with pytest.raises(ContainerError, match="12544 pixels; allowed are 12543"):
        bare.read(b"\x00abc", 12543)
    with pytest.raises(ContainerError, match="allowed are 100"):
        codec.decode((FOLDER / "wide.bare").read_bytes(), max_pixels=100, container="bare")


@pytest.mark.parametrize("header", [Header(112, 112, 40, CODED_MAP, True), Header(112, 112, 40, 1, True, False)])
def test_headers_that_no_bare_stream_has(header):
    with pytest.raises(InvalidInputError, match="bare stream"):
        bare.write(header, b"")


def test_the_form_is_told_and_only_these_two_are(codec, face):
    data = codec.encode(face, quality=40, container="bare")
    for call in (lfic.decode, lfic.probe, codec.decode, codec.probe, codec.decode_faces):
        with pytest.raises(ContainerError, match="of a bare stream say so"):
            call(data)
        with pytest.raises(InvalidInputError, match="'raw'; allowed are 'file' and 'bare'"):
            call(data, container="raw")
    with pytest.raises(InvalidInputError, match="'raw'"):
        codec.encode(face, container="raw")


# ------------------------------------------------------------------------------------------------ the chain


def test_a_face_comes_back_the_same_in_fewer_bytes(codec, face):
    for quality in (1, 40, 100):
        whole = codec.encode(face, quality=quality, aligned=True)
        data = codec.encode(face, quality=quality, aligned=True, container="bare")
        assert len(data) in (len(whole) - 4, len(whole) - 3)  # a map that the header said may take a byte
        np.testing.assert_array_equal(lfic.decode(data, container="bare"), codec.decode(whole))
        assert codec.decode_faces(data, container="bare")[0].quality == quality
    info = lfic.probe(data, container="bare")
    assert (info.quality, info.aligned, info.checksum, info.bytes) == (100, True, False, len(data))
    np.testing.assert_array_equal(info.levels, codec.probe(whole).levels)


def test_it_is_decided_alike_what_stands_on_the_template(face):
    """Of faces in doubt, by integers and by torch."""
    images = [np.roll(face, (shift, 2 * shift), (0, 1)) for shift in range(2, 26, 2)]
    for codec in (encoding.load("face-v2"), lfic.load_codec(recognizer=None)):
        files = codec.encode_batch(images, quality=10)
        for image, data in zip(images, files, strict=True):
            short = codec.encode(image, quality=10, container="bare")
            assert lfic.probe(short, container="bare").aligned == lfic.probe(data).aligned
    assert len({lfic.probe(data).aligned for data in files}) == 2


def test_bounds_count_the_bare_bytes(codec, face):
    data = codec.encode(face, max_bytes=120, aligned=True, container="bare")
    more = codec.encode(face, quality=codec.probe(data, container="bare").quality + 1, aligned=True, container="bare")
    assert len(data) <= 120 < len(more)
    least = codec.encode(face, max_bytes=45, aligned=True, container="bare")
    assert len(least) <= 45 and (codec.probe(least, container="bare").levels == 2).all()


def test_batches_of_both_forms(codec, face, photo):
    blobs = codec.encode_batch([face, photo(40, 33)], quality=30, container="bare")
    blobs.append(codec.encode(face, quality=30))
    assert [image.size for image in codec.decode_batch(blobs, container="bare")] == [(112, 112), (33, 40), (112, 112)]


def test_min_similarity(recognizing_codec, face):
    data = recognizing_codec.encode(face, min_similarity=0.9, aligned=True, container="bare")
    whole = recognizing_codec.encode(face, min_similarity=0.9, aligned=True)
    assert data[0] - 99 == recognizing_codec.probe(whole).quality


def test_damage_gives_an_error_or_a_face(codec, face):
    data = codec.encode(face, quality=8, aligned=True, container="bare")
    refused = 0
    for at in range(0, len(data), 3):
        for blob in (data[:at], data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]):
            try:
                assert codec.decode(blob, container="bare").size == (112, 112)
            except LficError:
                refused += 1
    assert refused > 10


# ------------------------------------------------------------------------------------------------ golden streams


@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_those_of_the_day_it_was_written(codec, name):
    data = (FOLDER / f"{name}.bare").read_bytes()
    assert symbols_digest(codec, data, "bare") == INDEX[name]["symbols"]
    assert list(codec.decode(data, container="bare").size) == INDEX[name]["size"]


def test_the_set_is_whole():
    assert len(INDEX) == 12 and {p.stem for p in FOLDER.glob("*.bare")} == set(INDEX)


@pytest.mark.parametrize(
    "options", [{"quality": 40}, {"max_bytes": 52}, {"quality": 5}, {"quality": 40, "aligned": False}]
)
def test_a_file_becomes_a_bare_stream_of_the_same_symbols(codec, face, photo, options):
    options = {"aligned": True, **options}
    whole = codec.encode(face, **options)
    data = codec.to_bare(whole)
    assert symbols_digest(codec, data, "bare") == symbols_digest(codec, whole)
    assert codec.to_bare(data, "bare") == data
    points = np.array([[138, 52], [173, 51], [156, 72], [141, 92], [171, 92]])
    layered = codec.encode(photo(200, 300), faces=[points])
    assert codec.to_bare(layered) == codec.encode(photo(200, 300), faces=[points], checksum=False)
