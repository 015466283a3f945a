"""Grey pictures: a flag in the file, and no colour in what is shown."""

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import decoder
from lfic.format import layers
from lfic.format.grey import is_grey, without_colour


@pytest.fixture(scope="module")
def grey_face(face):
    return without_colour(face)


def kinds(face, photo, landmarks):
    """(pixels without colour, options) of every kind of file."""
    picture = without_colour(photo(90, 140))
    tall = without_colour(np.tile(face, (2, 2, 1)))
    return [
        (without_colour(face), {"quality": 30, "aligned": True}),
        (without_colour(face), {"quality": 30}),
        (without_colour(face), {"max_bytes": 120}),
        (without_colour(face), {"quality": 50, "effort": 1, "checksum": False}),
        (picture, {"quality": 40}),
        (picture, {"max_bytes": 90}),
        (tall, {"quality": 30, "faces": [landmarks]}),
    ]


def test_grey_in_grey_out(codec, face, photo):
    landmarks = [[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]]
    for pixels, options in kinds(face, photo, landmarks):
        data = codec.encode(pixels, **options)
        colour = bytearray(data)
        info = lfic.probe(data)
        assert info.grey and layers.read(data).grey, options
        shown = codec.decode(data)
        assert shown.mode == "L" and shown.size == (pixels.shape[1], pixels.shape[0])
        (array,) = codec.decode_batch([data], out="numpy")
        assert array.shape == pixels.shape and is_grey(array)
        np.testing.assert_array_equal(array[:, :, 0], np.asarray(shown))
        np.testing.assert_array_equal(np.asarray(decoder.decode(data)), np.asarray(shown))
        np.testing.assert_array_equal(codec.decode_batch([data], out="tensor")[0].permute(1, 2, 0).numpy(), array)
        assert all(is_grey(np.asarray(one.image)) for one in codec.decode_faces(data))
        assert len(colour) == len(data)


def test_what_the_flag_is_worth(codec, grey_face):
    """The picture of the same file with the flag taken out is farther from the original, and has colour."""
    data = codec.encode(grey_face, quality=30, aligned=True, checksum=False)
    assert data[1] >> 5 == 7
    plain = bytes([data[0], data[1] & 0x1F | 5 << 5]) + data[2:]
    with_flag, without = codec.decode_batch([data, plain], out="numpy")
    np.testing.assert_array_equal(with_flag, without_colour(without))
    assert not is_grey(without)

    def error(shown):
        return ((shown.astype(float) - grey_face) ** 2).mean()

    assert error(with_flag) < error(without)


def test_every_way_to_give_a_grey_picture(codec, grey_face):
    import torch

    expected = codec.encode(grey_face, quality=30)
    tensor = torch.from_numpy(grey_face).permute(2, 0, 1)
    for image in (
        Image.fromarray(grey_face[:, :, 0]),
        Image.fromarray(grey_face),
        tensor,
        Image.fromarray(grey_face[:, :, 0]).convert("LA"),
    ):
        assert codec.encode(image, quality=30) == expected
    batch = torch.stack([tensor, tensor])
    assert [lfic.probe(data).grey for data in codec.encode_batch(batch, quality=30)] == [True, True]


def test_colour_stays(codec, face, grey_face):
    almost = grey_face.copy()
    almost[50, 71, 2] ^= 1
    batch = codec.encode_batch([face, grey_face, almost], quality=40)
    assert [lfic.probe(data).grey for data in batch] == [False, True, False]
    shown = codec.decode_batch(batch)
    assert [image.mode for image in shown] == ["RGB", "L", "RGB"]
    np.testing.assert_array_equal(np.asarray(shown[0]), np.asarray(codec.decode(batch[0])))


def test_pillow_sees_a_grey_picture(codec, grey_face, tmp_path):
    import lfic.pillow_plugin  # noqa: F401

    path = tmp_path / "a.lfic"
    Image.fromarray(grey_face[:, :, 0]).save(path, quality=30)
    with Image.open(path) as image:
        assert image.mode == "L" and image.size == (112, 112)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(codec.decode(path.read_bytes())))


def test_a_short_bare_stream_has_no_room_for_it(codec, grey_face):
    data = codec.encode(grey_face, quality=30, aligned=True, container="bare")
    assert data[0] < 200 and codec.decode(data, container="bare").mode == "RGB"
    free = codec.encode(grey_face, quality=30, aligned=False, container="bare")
    assert codec.decode(free, container="bare").mode == "L"
    assert codec.to_bare(codec.encode(grey_face, quality=30, aligned=True)) == data
