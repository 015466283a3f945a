"""Pillow opens and saves .lfic files."""

import concurrent.futures
import io
import pathlib

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

import lfic
import lfic.pillow_plugin

GOLDEN = pathlib.Path(__file__).parent / "data" / "golden"


def test_save_and_open(tmp_path, face):
    path = tmp_path / "face.lfic"
    Image.fromarray(face).save(path, quality=20)
    assert path.read_bytes() == lfic.encode(face, quality=20)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size, image.info["quality"]) == ("LFIC", "RGB", (112, 112), 20)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(lfic.decode(path.read_bytes())))
        image.load()  # a second time does nothing
        assert image.resize((10, 10)).size == (10, 10)


def test_options_reach_the_codec(face):
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "LFIC", max_bytes=120, checksum=False)
    assert len(buffer.getvalue()) <= 120
    assert not lfic.probe(buffer.getvalue()).checksum


def test_any_mode_is_saved(face):
    buffer = io.BytesIO()
    Image.fromarray(face).convert("P").save(buffer, "LFIC")
    assert Image.open(buffer).size == (112, 112)


def test_opening_reads_no_pixels_and_loading_notices_damage(face):
    data = bytearray(lfic.encode(face, quality=20, checksum=False))
    damaged = bytes(
        data + b"\x01\x02\x03\x04\x05\x06\x07\x08\x09"
    )  # one more than the zeros that the end of a stream may lack
    image = Image.open(io.BytesIO(damaged))
    with pytest.raises(lfic.CorruptStreamError):
        image.load()


@pytest.mark.parametrize("data", [b"\xfc", b"\xfc\x2e\x00", b"\xfc\x4e\x50", b"\xfc\x2e\x50ab"])
def test_other_files_are_left_to_other_plugins(data):
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data))


def test_versions_that_there_are():
    from lfic.pillow_plugin import accept

    assert [version for version in range(8) if accept(bytes([0xFC, version << 5]))] == [1, 2, 3, 5, 6, 7]


def test_huge_images_are_a_bomb_to_pillow_as_well():
    from lfic.format import container

    data = container.write(container.Header(11_000, 11_000, 40, 0), b"")
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(data))


def test_threads_share_an_opened_image(face):
    data = lfic.encode(face, quality=20)
    expected = np.asarray(lfic.decode(data))
    for _ in range(5):
        image = Image.open(io.BytesIO(data))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _, image=image: np.asarray(image), range(8)):
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.lfic")), ids=lambda path: path.stem)
def test_every_golden_file_verifies(path):
    with Image.open(path) as image:
        image.verify()


def test_verify_then_load_and_close(tmp_path, face):
    path = tmp_path / "a.lfic"
    path.write_bytes(lfic.encode(face, quality=20))
    image = Image.open(path)
    image.verify()
    assert image.load() is not None and image.getpixel((5, 5))
    image.close()
    image.close()
    with Image.open(path) as unread:
        pass
    with pytest.raises(ValueError):
        image.load()
    assert unread.load() is not None  # only the file is let go of: its bytes were read when it was opened


def test_damage_is_an_oserror_with_its_reason(face):
    data = lfic.encode(face, quality=20)
    with pytest.raises(OSError, match="checksum"):  # UnidentifiedImageError is one
        Image.open(io.BytesIO(data[:-1] + bytes([data[-1] ^ 1])))
    bare = lfic.encode(face, quality=60, checksum=False)
    cut = Image.open(io.BytesIO(bare[: len(bare) // 2]))
    with pytest.raises(OSError, match="damaged"):
        cut.verify()
    with pytest.raises(OSError, match="damaged"):
        cut.load()


def test_encoding_first_keeps_the_file_that_was_there(tmp_path, face):
    """Pillow empties a file before its plugin is asked; what the module's text says instead does not."""
    path = tmp_path / "a.lfic"
    path.write_bytes(before := lfic.encode(face))
    with pytest.raises(lfic.LficError):
        path.write_bytes(lfic.encode(Image.fromarray(face), max_bytes=5))
    assert path.read_bytes() == before
    with pytest.raises(lfic.LficError):
        Image.fromarray(face).save(path, max_bytes=5)
    assert path.read_bytes() == b""
    assert "encode first" in lfic.pillow_plugin.__doc__
