"""Every codec on real pixels: round trip, rate order, header accounting checked against the formats themselves."""

import io
import struct

import numpy as np
import pytest
from evaluate_faces import crops
from PIL import Image

from lfic import InvalidInputError
from lfic.evaluate.interface import from_function
from lfic.evaluate.peers.avif import avif, avif_header
from lfic.evaluate.peers.jpeg import jpeg, jpeg_header, jpeg_segments, mozjpeg
from lfic.evaluate.peers.jpeg2000 import jpeg2000, jpeg2000_segments
from lfic.evaluate.peers.webp import webp, webp_header
from lfic.evaluate.registry import CODECS

FACES = list(crops(2, 2)[0])


CLASSICAL = {
    "jpeg": ("JPEG", b"\xff\xd8\xff\xdb"),
    "jpeg444": ("JPEG", b"\xff\xd8\xff\xdb"),
    "jpeg-grey": ("JPEG", b"\xff\xd8\xff\xdb"),
    "jpeg-half": ("JPEG", b"\xff\xd8\xff\xdb"),
    "jpeg2000": ("JPEG2000", b"\xff\x4f\xff\x51"),
    "webp": ("WEBP", b"RIFF"),
    "webp-small": ("WEBP", b"RIFF"),
    "jxl": ("JXL", b"\xff\x0a"),
    "avif": ("AVIF", b"\x00\x00\x00"),
    "avif444": ("AVIF", b"\x00\x00\x00"),
    "avif-grey": ("AVIF", b"\x00\x00\x00"),
    "avif-half": ("AVIF", b"\x00\x00\x00"),
    "mozjpeg": ("JPEG", b"\xff\xd8\xff\xdb"),
    "jpeg2000-grey": ("JPEG2000", b"\xff\x4f\xff\x51"),
    "jpeg2000-half": ("JPEG2000", b"\xff\x4f\xff\x51"),
    "jxl-grey": ("JXL", b"\xff\x0a"),
    "jxl-half": ("JXL", b"\xff\x0a"),
}


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((np.float64(a) - b) ** 2))


@pytest.mark.parametrize("name", CLASSICAL)
def test_round_trip_and_rate(name):
    codec = CODECS[name]()
    sizes, quality = [], []
    originals = [np.asarray(Image.fromarray(f).convert("L").convert("RGB")) for f in FACES] if "grey" in name else FACES
    for setting in (codec.settings[0], codec.settings[-2]):
        files = codec.encode(FACES, setting)
        assert files == codec.encode(FACES, setting)  # the same bytes every time
        decoded = codec.decode(files)
        assert all(d.shape == (112, 112, 3) and d.dtype == np.uint8 for d in decoded)
        kind, magic = CLASSICAL[name]
        assert all(f.startswith(magic) and Image.open(io.BytesIO(f)).format == kind for f in files)
        assert all(0 < codec.header(f) < len(f) for f in files)
        sizes.append(np.mean([len(f) for f in files]))
        quality.append(np.mean([psnr(a, b) for a, b in zip(originals, decoded)]))
    assert sizes[0] < sizes[1] and quality[0] < quality[1]
    assert quality[1] > 20


def test_jpeg_is_lean_and_whole():
    codec = jpeg()
    for data in codec.encode(FACES, 20):
        markers = [marker for marker, _, _ in jpeg_segments(data)]
        assert 0xE0 not in markers and markers[-1] == 0xDA and data.endswith(b"\xff\xd9")
        # Headers, tables and scan make up the file: nothing is counted twice or left out.
        tables = sum(e - s for m, s, e in jpeg_segments(data) if m == 0xC4)
        scan = len(data) - 2 - max(e for _, _, e in jpeg_segments(data))
        assert jpeg_header(data) + tables + scan == len(data)
    buffer = io.BytesIO()
    Image.fromarray(FACES[0]).save(buffer, "JPEG", quality=20, optimize=True, subsampling="4:2:0")
    whole, lean = buffer.getvalue(), codec.encode(FACES[:1], 20)[0]
    assert len(whole) - len(lean) == 18
    np.testing.assert_array_equal(codec.decode([whole])[0], codec.decode([lean])[0])


def test_mozjpeg_is_worth_its_name():
    """One sequential scan, and fewer bytes than libjpeg-turbo at equal PSNR; a trellis that is not on would not give
    them."""
    moz, turbo = mozjpeg(), jpeg()
    files = moz.encode(FACES, 26)
    for data in files:
        segments = list(jpeg_segments(data))
        assert [m for m, _, _ in segments].count(0xDA) == 1 and 0xC0 in [m for m, _, _ in segments]
        assert Image.open(io.BytesIO(data)).layer[0][1:3] == (2, 2)
    curve = []
    for q in range(10, 60, 2):
        coded = turbo.encode(FACES, q)
        curve.append(
            (np.mean([psnr(a, b) for a, b in zip(FACES, turbo.decode(coded))]), np.mean([len(f) for f in coded]))
        )
    quality = np.mean([psnr(a, b) for a, b in zip(FACES, moz.decode(files))])
    assert curve[0][0] < quality < curve[-1][0]
    assert np.mean([len(f) for f in files]) < np.interp(quality, *zip(*curve))


def test_jpeg2000_is_a_bare_codestream_without_comment():
    data = jpeg2000().encode(FACES[:1], 60)[0]
    segments = list(jpeg2000_segments(data))
    assert (
        next(m for m, _, _ in segments) == 0xFF51
        and segments[-1][0] == 0xFF93
        and 0xFF64 not in [m for m, _, _ in segments]
    )
    assert b"OpenJPEG" not in data and b"jp2" not in data
    # The tile-part's length field still agrees with the file.
    start = next(s for m, s, _ in segments if m == 0xFF90)
    assert struct.unpack_from(">I", data, start + 6)[0] in (0, len(data) - 2 - start)


def test_colour_transform_pays():
    """Pillow's default leaves OpenJPEG's colour transform out; a table with that would flatter the rivals of JPEG
    2000."""

    def quality(codec):
        return np.mean([psnr(a, b) for a, b in zip(FACES, codec.decode(codec.encode(FACES, 40)))])

    assert quality(jpeg2000()) > quality(jpeg2000(mct=0)) + 0.5


def test_webp_and_avif_headers():
    data = webp().encode(FACES[:1], 30)[0]
    assert data[12:16] == b"VP8 " and webp_header(data) == 30 and data[23:26] == b"\x9d\x01\x2a"
    data = avif((30,), speed=8).encode(FACES[:1], 30)[0]
    at = data.index(b"mdat")
    assert avif_header(data) == at + 4  # mdat is the last box
    assert struct.unpack_from(">I", data, at - 4)[0] == len(data) - at + 4
    with pytest.raises(InvalidInputError, match="box at byte"):
        avif_header(data[:-5])


def test_function_codec():
    codec = from_function("raw", lambda images: ([i.tobytes() for i in images], images), "1")
    files = codec.encode(FACES, "")
    np.testing.assert_array_equal(codec.decode(files), FACES)
