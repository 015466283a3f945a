"""The header: every field, every bound, every malformed input by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfic.errors import ContainerError, CorruptStreamError, InvalidInputError, LficError
from lfic.format import container
from lfic.format.container import Header, crc16, leb128, read, read_leb128, write

FACE = Header(112, 112, 40, 3, aligned=True)


def test_a_standard_face_has_five_fixed_bytes():
    assert len(write(FACE, b"")) == 5
    assert len(write(Header(112, 112, 40, 0, checksum=False), b"")) == 3
    assert len(write(Header(37, 211, 40, 0), b"")) == 8


def test_the_bytes_are_those_of_the_specification():
    assert write(FACE, b"\x12\x34")[:-2] == bytes([0xFC, 0b001_11_1_1_0, 40 << 1, 0x12, 0x34])
    assert write(Header(300, 1, 100, 2, checksum=False), b"\x01") == bytes(
        [0xFC, 0b001_10_0_0_1, 200, 0xAB, 0x02, 0x00, 0x01]
    )
    assert write(Header(112, 112, 1, 0, checksum=False, model=255), b"") == bytes(
        [0xFC, 0b001_00_0_0_0, 3, 255, 0, 0, 0, 0]
    )
    private = Header(112, 112, 1, 0, checksum=False, model=255, weights=b"\xab\xcd\x01\x02")
    assert write(private, b"") == bytes([0xFC, 0b001_00_0_0_0, 3, 255, 0xAB, 0xCD, 1, 2])
    assert read(write(private, b""))[0] == private
    with pytest.raises(CorruptStreamError, match="within the digest of its weights"):
        read(write(private, b"")[:-1])
    with pytest.raises(InvalidInputError, match="has 3 bytes; needed are 4"):
        write(Header(112, 112, 1, 0, model=255, weights=b"abc"), b"")


def test_crc_is_crc16_xmodem():
    assert crc16(b"123456789") == 0x31C3


@given(
    st.integers(1, 13_000),
    st.integers(1, 13_000),
    st.integers(1, 100),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(sorted(container.MODELS)),
    st.booleans(),
    st.binary(max_size=40),
)
def test_what_is_written_is_read(width, height, quality, mode, checksum, model, grey, payload):
    header = Header(width, height, quality, mode, False, checksum, model, grey=grey)
    found, rest = read(write(header, payload), container.MAX_PIXELS)
    assert found == header
    assert bytes(rest) == payload


@pytest.mark.parametrize(
    ("model", "grey", "head"),
    [
        (0, False, [0b001_00_0_0_0, 80]),
        (0, True, [0b011_00_0_0_0, 80]),
        (1, False, [0b101_00_0_0_0, 80]),
        (1, True, [0b111_00_0_0_0, 80]),
        (255, False, [0b001_00_0_0_0, 81, 255, 0, 0, 0, 0]),
        (255, True, [0b011_00_0_0_0, 81, 255, 0, 0, 0, 0]),
    ],
)
def test_the_version_says_which_bundled_model_wrote_a_file(model, grey, head):
    assert write(Header(112, 112, 40, 0, checksum=False, model=model, grey=grey), b"") == bytes([0xFC, *head])


@given(st.binary(max_size=64))
def test_random_bytes_are_read_or_refused(data):
    try:
        header, payload = read(data)
    except LficError:
        return
    assert write(header, payload) == data  # canonical: one file, one header


@pytest.mark.parametrize("cut", range(5))
def test_truncated_header(cut):
    with pytest.raises(CorruptStreamError, match="byte"):
        read(write(FACE, b"")[:cut])


def changed(at, value, data=write(Header(300, 200, 40, 1, checksum=False), b"abc")):
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(
    "data, text",
    [
        (b"\x89PNG\r\n\x1a\n", "no lfic file"),
        (changed(1, 0b010_01_0_0_1), "version 2"),
        (changed(1, 0b000_01_0_0_1), "version 0"),
        (changed(1, 0b100_01_0_0_1), "version 4"),
        (changed(1, 0b110_01_0_0_1), "version 6"),
        (changed(1, 0b001_01_1_0_1), "aligned"),
        (changed(2, 0), "quality 0"),
        (changed(2, 101 << 1), "quality 101"),
        (bytes([0xFC, 0x20, 81, 7]), "model 7"),
        (bytes([0xFC, 0x20, 81, 0]), "a model byte of 0, which no encoder writes"),
        (bytes([0xFC, 0x20, 81, 1]), "a model byte of 1, which no encoder writes"),
        (bytes([0xFC, 0xA0, 81, 255, 0, 0, 0, 0]), "standard size 112 x 112 is square"),
        (bytes([0xFC, 0xA1, 81, 111]), "spells out the standard size"),
        (bytes([0xFC, 0xA1, 80, 9, 9]), "both sides of 10 x 10 pixels; one is written of a square"),
        (bytes([0xFC, 0x21, 80, 0x80, 0x00, 0x01]), "needless"),
        (bytes([0xFC, 0x21, 80, 0x80, 0x80, 0x80, 0x01, 0x01]), "more than 3"),
        (bytes([0xFC, 0x21, 80, 111, 111]), "standard size"),
        (bytes([0xFC, 0x21, 80, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0x7F]), "pixels"),
    ],
)
def test_malformed_headers_are_refused_by_name(data, text):
    with pytest.raises(ContainerError, match=text):
        read(data)


@pytest.mark.parametrize(
    "data, text",
    [
        (bytes([0xFC, 0x20, 81]), "model byte"),
        (bytes([0xFC, 0x21, 80]), "width"),
        (bytes([0xFC, 0x21, 80, 0x80]), "width"),
        (bytes([0xFC, 0x21, 80, 5]), "height"),
        (bytes([0xFC, 0x22, 80, 5]), "before its checksum"),
        (write(FACE, b"abc")[:-1] + b"?", "checksum"),
    ],
)
def test_damaged_headers_say_where(data, text):
    with pytest.raises(CorruptStreamError, match=text):
        read(data)


def test_one_side_of_a_square_is_written_by_model_1():
    for width, height, model, size in (
        (224, 224, 1, 2),
        (224, 160, 1, 4),
        (160, 224, 1, 4),
        (64, 64, 1, 1),
        (224, 224, 0, 4),
        (112, 112, 1, 0),
    ):
        header = Header(width, height, 40, 1, model=model, checksum=False)
        data = write(header, b"abc")
        assert len(data) == 3 + size + 3
        assert read(data) == (header, b"abc")


def test_checksum_finds_every_single_byte_error():
    data = write(FACE, bytes(range(100)))
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            try:
                header, _ = read(bytes(damaged))
            except LficError:
                continue
            # The one flag that a checksum can't protect: the one that says there is one.
            assert not header.checksum and at == 1


def test_pixel_bound_is_adjustable_and_checked_first():
    data = write(Header(20_000, 20_000, 40, 0), b"")
    with pytest.raises(ContainerError, match="400000000 pixels; allowed are 50000000"):
        read(data)
    assert read(data, max_pixels=400_000_000)[0].width == 20_000
    for bad in (0, -1, 1.5, None, float("nan"), "9", True):
        with pytest.raises(InvalidInputError, match="max_pixels is"):
            read(data, max_pixels=bad)


def test_thin_pictures_count_as_what_they_cost():
    """A row of pixels takes as much work as sixteen."""
    with pytest.raises(ContainerError, match="costs as much as 6400000"):
        read(write(Header(400_000, 1, 40, 0), b""), max_pixels=1_000_000)
    assert read(write(Header(400_000, 1, 40, 0), b""))[0].height == 1
    assert read(write(Header(4, 4, 40, 0), b""), max_pixels=16)[0].width == 4  # no smaller than a face's cost
    sides = bytes([0xFC, 0b001_00_0_0_1, 80]) + leb128(container.MAX_SIDE) + leb128(0)
    with pytest.raises(ContainerError, match="524289 x 1; allowed are 524288 pixels a side"):
        read(sides)


@pytest.mark.parametrize(
    "header, text",
    [
        (Header(112, 112, 0, 0), "quality is 0"),
        (Header(112, 112, 101, 0), "quality is 101"),
        (Header(0, 5, 40, 0), "0 x 5"),
        (Header(5, container.MAX_SIDE + 1, 40, 0), "pixels a side"),
        (Header(112, 112, 40, 4), "mode is 4"),
        (Header(112, 112, 40, 0, model=9), "model is 9"),
        (Header(113, 112, 40, 0, aligned=True), "aligned"),
    ],
)
def test_what_can_not_be_written_is_refused(header, text):
    with pytest.raises(InvalidInputError, match=text):
        write(header, b"")


def test_only_bytes_are_read():
    with pytest.raises(InvalidInputError, match="str"):
        read("abc")


@given(st.integers(0, (1 << 21) - 1))
def test_leb128(value):
    coded = leb128(value)
    assert read_leb128(coded, 0, "value") == (value, len(coded))
    assert len(coded) <= 3
