"""The chain on the shipped weights: sizes, rates, bounds, batches, damage."""

import numpy as np
import pytest
import torch
from likeness import psnr
from own_weights import written
from PIL import Image

import lfic
from lfic import encoding
from lfic.errors import ContainerError, CorruptStreamError, InvalidInputError, LficError
from lfic.format import container
from lfic.network.load import Model

# ------------------------------------------------------------------------------------------------ a face


def test_a_face_comes_back(codec, face):
    data = codec.encode(face, quality=40)
    image = codec.decode(data)
    assert (image.mode, image.size) == ("RGB", (112, 112))
    assert len(data) < 700
    # The mean colour alone gives 11 dB here.
    assert psnr(face, np.broadcast_to(face.mean((0, 1)), face.shape)) < 13
    assert psnr(image, face) > 20


def test_quality_trades_bytes_for_likeness(codec, face):
    sizes, likeness = [], []
    for quality in (1, 25, 50, 75, 100):
        data = codec.encode(face, quality=quality)
        sizes.append(len(data))
        likeness.append(psnr(codec.decode(data), face))
    assert sizes == sorted(sizes) and sizes[-1] > 3 * sizes[0]
    assert likeness == sorted(likeness) and likeness[-1] > likeness[0] + 2


def test_encoding_is_deterministic_and_batches_change_nothing(codec, face):
    faces = [face, face[:, ::-1].copy(), np.roll(face, 9, 0)]
    one_by_one = [codec.encode(f, quality=30) for f in faces]
    together = codec.encode_batch(faces, quality=30)
    # Symbols next to a rounding boundary may fall differently in another batch size; nothing else may differ.
    for a, b in zip(one_by_one, together):
        assert abs(len(a) - len(b)) <= 2
    assert codec.encode_batch(faces, quality=30) == together
    for blob, image in zip(together, codec.decode_batch(together)):
        alone = np.asarray(codec.decode(blob), np.int16)
        assert np.abs(alone - np.asarray(image)).max() <= 1


def test_batch_of_several_sizes(codec, photo):
    images = [photo(112, 112), photo(40, 33), photo(112, 112), photo(9, 300)]
    blobs = codec.encode_batch(images, quality=20)
    for image, out in zip(images, codec.decode_batch(blobs, out="numpy")):
        assert out.shape == image.shape and out.dtype == np.uint8
    assert codec.decode_batch([]) == [] and codec.encode_batch([]) == []


def test_tensor_output(codec, face):
    blobs = codec.encode_batch([face, face[::-1].copy()], quality=20)
    pixels = codec.decode_batch(blobs, out="tensor")
    assert pixels.shape == (2, 3, 112, 112) and pixels.dtype == torch.uint8
    np.testing.assert_array_equal(pixels[1].permute(1, 2, 0), codec.decode_batch(blobs, out="numpy")[1])
    with pytest.raises(InvalidInputError, match="one size"):
        codec.decode_batch([blobs[0], codec.encode(face[:50])], out="tensor")
    with pytest.raises(InvalidInputError, match="jpeg"):
        codec.decode_batch(blobs, out="jpeg")


def test_module_functions(face):
    data = lfic.encode(Image.fromarray(face), quality=10)
    assert lfic.decode(data).size == (112, 112)
    assert lfic.probe(data).quality == 10


# ------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    "height, width", [(1, 1), (1, 50), (7, 9), (8, 8), (37, 211), (112, 113), (105, 112), (250, 250)]
)
@pytest.mark.parametrize("quality", [3, 60])
def test_any_size_comes_back(codec, photo, height, width, quality):
    image = photo(height, width)
    data = codec.encode(image, quality=quality)
    assert np.asarray(codec.decode(data)).shape == image.shape
    info = codec.probe(data)
    assert (info.width, info.height, info.quality, info.bytes) == (width, height, quality, len(data))
    coded = (-(-side * int(64 * info.scale) // 64) for side in (height, width))
    assert info.levels.shape == tuple(-(-side // 32) for side in coded)


def test_padding_costs_almost_nothing(codec, photo):
    full, cut = photo(112, 112), photo(112, 112)[:105, :105]
    whole = len(codec.encode(full, quality=40, aligned=False))
    assert len(codec.encode(cut, quality=40)) <= whole + 3  # 3 bytes: the size in the header; both have 14 x 14 cells


@pytest.mark.slow
def test_twelve_megapixels(codec, photo):
    resource = pytest.importorskip("resource")  # Windows has none
    image = photo(3000, 4000)
    data = codec.encode(image, quality=15)
    out = np.asarray(codec.decode(data))
    assert out.shape == image.shape
    assert psnr(out, image) > 18
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6 * 2**20  # KiB


# ------------------------------------------------------------------------------------------------ insight


def test_region_levels_are_those_of_the_file(codec, face):
    for quality in (10, 60):
        levels = codec.region_levels(face, quality)
        np.testing.assert_array_equal(levels, codec.probe(codec.encode(face, quality=quality)).levels)
        assert levels.dtype == np.uint8 and levels.max() <= 2


def test_probe_needs_no_pixels(codec, face, monkeypatch):
    data = codec.encode(face, quality=33, checksum=False, aligned=True)
    monkeypatch.setattr(Model, "reconstruct", None)
    info = lfic.probe(data)
    assert (info.width, info.height, info.model, info.quality, info.checksum, info.aligned) == (
        112,
        112,
        "face-v2",
        33,
        False,
        True,
    )
    assert info.bytes == len(data)


# ------------------------------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    "options, text",
    [
        ({"quality": 0}, "quality is 0"),
        ({"quality": 101}, "quality is 101"),
        ({"quality": 40.5}, "40.5"),
        ({"quality": True}, "True"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"effort": 4}, "effort is 4"),
        ({"max_bytes": 9, "min_similarity": 0.5}, "exclude"),
        ({"min_similarity": 0.5, "face_quality": 30}, "face_quality and min_similarity exclude each other"),
        ({"min_similarity": 2}, "min_similarity is 2"),
        ({"min_similarity": "0.5"}, "min_similarity is '0.5'"),
        ({"max_bytes": 300.5}, "max_bytes is 300.5"),
        ({"max_bytes": "300"}, "max_bytes is '300'"),
        ({"effort": True}, "effort is True"),
        ({"effort": 1.0}, "effort is 1.0"),
    ],
)
def test_options_out_of_range(codec, face, options, text):
    with pytest.raises(InvalidInputError, match=text):
        codec.encode(face, **options)


@pytest.mark.parametrize("device", ["bogus", "cuda:97", 1.5])
def test_devices_that_can_not_be_used(device):
    with pytest.raises(InvalidInputError, match="can't be used here"):
        lfic.load_codec(device=device)


def test_one_image_is_no_batch(codec, face):
    with pytest.raises(InvalidInputError, match="use encode"):
        codec.encode_batch(Image.fromarray(face))


def test_what_embed_and_the_detector_take(codec, face, photo):
    """One picture is no list of its rows."""
    assert codec.embed([face, face]).shape == codec.embed(np.stack([face, face])).shape
    for wrong, text in (
        (face, r"embed takes a list of images, .* found a ndarray \(112, 112, 3\): give \[image\]"),
        (Image.fromarray(face), "found one Image: give"),
        ([], "there are none"),
        ([face, photo(120, 90)], r"2 sizes, \(90, 120\) and \(112, 112\) among them"),
        (None, "images is one NoneType"),
    ):
        with pytest.raises(InvalidInputError, match=text):
            codec.embed(wrong)
    pytest.importorskip("facenet_pytorch")
    with pytest.raises(InvalidInputError, match="detect_batch takes a list of images.*: use detect for one photo"):
        lfic.faces.detect_batch(photo(120, 90))
    assert lfic.faces.detect_batch([]) == []


def test_weights_that_change_are_loaded_again(tmp_path, monkeypatch):
    """By a relative path from another folder, and a file that another one replaced; others are loaded once."""
    marks = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "own.safetensors", lambda arrays, told, card=folder: told.update(card=card))
        monkeypatch.chdir(tmp_path / folder)
        codec, integers = lfic.load_codec("own.safetensors"), encoding.load("own.safetensors")
        assert codec.model.weights == integers.weights
        assert codec is lfic.load_codec(tmp_path / folder / "own.safetensors")
        assert integers is encoding.load("own.safetensors")
        marks.append(integers.weights)
    assert marks[0] != marks[1]
    (tmp_path / "a" / "own.safetensors").replace(tmp_path / "b" / "own.safetensors")
    assert lfic.load_codec("own.safetensors").model.weights == encoding.load("own.safetensors").weights == marks[0]


def test_aligned_needs_the_standard_size(codec, photo):
    with pytest.raises(InvalidInputError, match="112 x 112"):
        codec.encode(photo(100, 100), aligned=True)


def test_too_large_images_are_refused_before_work(codec):
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 10_000, 3))
    with pytest.raises(InvalidInputError, match="10000 x 20000"):
        lfic.codec.check_image(10_000, 20_000, None)
    assert huge.nbytes == 600_000_000


def test_files_of_other_weights_are_refused(codec, face, tmp_path):
    data = codec.encode(face, quality=5)
    header, payload = container.read(data)
    private = container.write(
        container.Header(112, 112, 5, header.level_mode, header.aligned, True, container.PRIVATE), bytes(payload)
    )
    for decode in (lfic.decode, codec.decode):
        with pytest.raises(ContainerError, match="private"):
            decode(private)
    by_path = lfic.load_codec(lfic.format.weights.weights_path("face-v2"))
    assert by_path.encode(face, quality=5) == data


# ------------------------------------------------------------------------------------------------ damage


def test_truncated_at_every_length(codec, face):
    data = codec.encode(face, quality=10)
    for cut in range(len(data)):
        with pytest.raises((CorruptStreamError, ContainerError)):
            codec.decode(data[:cut])


def test_every_byte_flipped_is_noticed(codec, face):
    data = codec.encode(face, quality=10)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        with pytest.raises(LficError):
            codec.decode(bytes(damaged))


def test_without_a_checksum_damage_gives_an_error_or_an_image_of_the_stated_size(codec, face):
    data = codec.encode(face, quality=8, checksum=False)
    outcomes = {"error": 0, "image": 0}
    damaged = [data[:cut] for cut in range(len(data))]
    for at in range(len(data)):
        for flip in (0xFF, 1 << at % 8):
            damaged.append(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
    for blob in damaged:
        try:
            header, _ = container.read(blob, max_pixels=1 << 20)
            image = codec.decode(blob, max_pixels=1 << 20)
        except LficError:
            outcomes["error"] += 1
        else:
            outcomes["image"] += 1
            assert image.size == (header.width, header.height)
    assert min(outcomes.values()) > 0


def test_bytes_after_the_end_are_noticed(codec, face):
    data = codec.encode(face, quality=8, checksum=False)
    with pytest.raises(CorruptStreamError):
        codec.decode(
            data + b"\x55\xaa" * 5
        )  # the decoder looks 8 bytes ahead: fewer may still be inside the last interval


@pytest.mark.parametrize("data", [b"", b"\xfc", b"GIF89a", "text", None, 7])
def test_other_things_are_refused(codec, data):
    with pytest.raises(LficError):
        codec.decode(data)


def test_threads_share_a_codec(codec, face):
    import concurrent.futures

    expected = codec.encode(face, quality=25)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for data in pool.map(lambda _: codec.encode(face, quality=25), range(8)):
            assert data == expected
