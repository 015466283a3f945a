"""Pictures without layers are coded smaller below quality 63, unless they are sharp."""

import numpy as np
import pytest
from own_weights import written
from PIL import Image

import lfic
from lfic import encoding
from lfic.encoder.resolution import as_reduced, reduced
from lfic.format import layers
from lfic.format.compose import enlarged, may_shrink, resolution_for, shrunk


@pytest.fixture(scope="module")
def integers():
    return encoding.load("face-v2")


@pytest.fixture
def soft(face):
    """A face that was enlarged: most of its details are none."""
    return np.asarray(Image.fromarray(face).resize((240, 256), Image.Resampling.BICUBIC))


def lost(pixels, reduction):
    """What each of the details left out is worth, by its definition."""
    height, width = pixels.shape[:2]
    again = enlarged(shrunk(pixels, reduction), reduction, width, height)
    return np.square(again.astype(float) - pixels).mean() / (1 - scale(reduction) ** 2)


def scale(reduction):
    n, k = layers.background_scale(reduction)
    return n / 2**k


CHOICES = {16: 3, 20: 3, 21: 2, 31: 2, 32: 1, 62: 1, 63: 0, 100: 0}  # reductions by quality


def test_the_choice_follows_the_quality(soft):
    for quality, reduction in CHOICES.items():
        finer = round(2 / 0.0698 * np.log(1 / scale(reduction)))
        assert resolution_for(soft, quality) == (reduction, quality + finer), quality
    assert resolution_for(soft[:150, :160], 20) == (2, 28)  # 5 / 8 of 150 are less than 112
    assert resolution_for(soft[:130, :160], 20) == (1, 24)


def test_sharp_pictures_stay(soft):
    noise = np.random.default_rng(0).integers(0, 256, (256, 240, 3), dtype=np.uint8)
    assert lost(noise, 1) > 1000 and resolution_for(noise, 15) == (3, 28) and resolution_for(noise, 16) == (0, 16)
    assert resolution_for(noise[:150, :160], 15) == (2, 23)
    found = []
    for blend in (0.02, 0.08, 0.1, 0.12, 0.14, 0.2):
        pixels = np.rint(soft + blend * (noise - 128.0)).clip(0, 255).astype(np.uint8)
        for quality, reduction, sharpest in ((20, 3, 100), (28, 2, 50), (55, 1, 30)):
            at = [r for r in range(reduction, 0, -1) if lost(pixels, r) <= sharpest]
            found.append(resolution_for(pixels, quality)[0])
            assert found[-1] == (at[0] if at else 0)
    assert set(found) == {0, 1, 2, 3}


def test_a_decoded_picture_is_coded_at_the_size_that_its_original_was(integers, soft):
    for quality in (20, 40, 55):
        data = integers.encode(soft, quality=quality)
        shown = lfic.decode(data)
        again = integers.encode(shown, quality=quality)
        assert lfic.probe(again).scale == lfic.probe(data).scale < 1


def test_windows_say_what_the_whole_picture_does(soft, photo):
    """Beyond a million pixels windows are measured."""
    for tile, found in (
        (np.concatenate([soft, soft[:, :16]], 1), (3, 33)),
        (photo(256, 256), resolution_for(photo(256, 256), 20)),
    ):
        large = np.tile(tile, (5, 5, 1))
        assert large.shape[0] * large.shape[1] > 2**20
        assert resolution_for(large, 20) == found == resolution_for(large, 20, threads=2)


@pytest.mark.parametrize("kind", ["integers", "codec"])
def test_the_file_and_what_it_shows(integers, codec, soft, kind):
    coder = integers if kind == "integers" else codec
    auto, full = coder.encode(soft, quality=10), coder.encode(soft, quality=10, resolution="full")
    info = lfic.probe(auto)
    small = reduced(soft, 10)
    assert info.scale == scale(small.reduction) < 1 and (info.width, info.height) == (240, 256)
    assert info.quality == 10 < small.quality and not info.layers and not info.aligned
    assert layers.read(auto).background.header.quality == small.quality == 10 + layers.FINER[small.reduction]
    assert lfic.probe(full).scale == 1 and lfic.probe(full).quality == 10 and len(auto) < len(full)
    stream = coder.encode(small.pixels, quality=small.quality, aligned=False, resolution="full")
    assert as_reduced(stream, small) == auto
    assert len(auto) == len(stream) + small.more_bytes(codec.model)
    shown = np.asarray(lfic.decode(auto))
    behind = np.asarray(lfic.decode(stream))
    assert (shown == enlarged(behind, small.reduction, 240, 256)).all()
    error = [np.square(np.asarray(lfic.decode(data)).astype(float) - soft).mean() for data in (auto, full)]
    assert error[0] < 1.01 * error[1]  # for fewer bytes


def test_batches_make_the_files_of_single_pictures(integers, codec, soft, photo, face):
    pictures = [soft, face, photo(256, 240), soft[:, :, 0:1].repeat(3, 2), soft[:200]]
    for coder in (integers, codec):
        alone = [coder.encode(picture, quality=20) for picture in pictures]
        assert coder.encode_batch(pictures, quality=20) == alone
        assert [lfic.probe(data).scale < 1 for data in alone] == [
            i != 1 and resolution_for(picture, 20)[0] > 0 for i, picture in enumerate(pictures)
        ]
        assert lfic.probe(alone[3]).grey and lfic.decode(alone[3]).mode == "L"
        assert all(lfic.probe(d).scale == 1 for d in coder.encode_batch(pictures, quality=20, resolution="full"))


def test_tensors_and_efforts(codec, soft):
    torch = pytest.importorskip("torch")
    stack = torch.from_numpy(np.stack([soft, soft[::-1]])).permute(0, 3, 1, 2)
    assert codec.encode_batch(stack, quality=20) == [
        codec.encode(soft, quality=20),
        codec.encode(soft[::-1], quality=20),
    ]
    better = codec.encode(soft, quality=20, effort=1)
    assert lfic.probe(better).scale == lfic.probe(codec.encode(soft, quality=20)).scale < 1


@pytest.mark.parametrize("bound", [150, 200, 500, 3000])
def test_bounds_of_bytes(integers, codec, soft, bound):
    for coder in (integers, codec):
        data = coder.encode(soft, max_bytes=bound)
        full = coder.encode(soft, max_bytes=bound, resolution="full")
        assert len(data) <= bound and lfic.decode(data).size == (240, 256)
        assert lfic.probe(full).scale == 1 and len(full) <= bound
        assert (lfic.probe(data).scale < 1) == (bound < 3000)
        if bound < 3000:
            finer = layers.read(data).background.header.quality + 1
            small = reduced(soft, lfic.probe(full).quality)
            assert scale(small.reduction) == lfic.probe(data).scale
            stream = coder.encode(small.pixels, quality=finer, aligned=False, resolution="full")
            assert len(stream) + small.more_bytes(codec.model) > bound  # one quality more would not fit


@pytest.mark.parametrize("size", [(250, 251), (251, 250), (250, 250), (128, 128), (300, 128)])
def test_what_a_smaller_picture_adds_is_known(codec, face, size):
    """Of a square one side is written: either picture may be one, and the smaller of 112 x 112 says nothing."""
    pixels = np.asarray(Image.fromarray(face).resize(size[::-1], Image.Resampling.BICUBIC))
    for quality in (10, 50):
        small = reduced(pixels, quality)
        assert small is not None
        stream = codec.encode(small.pixels, quality=small.quality, aligned=False, resolution="full")
        whole = as_reduced(stream, small)
        assert layers.read(whole).width == size[1] and len(whole) == len(stream) + small.more_bytes(codec.model)
        assert len(codec.encode(pixels, max_bytes=len(whole))) <= len(whole)


def test_a_picture_that_fits_at_no_quality(integers, codec, photo):
    pixels = photo(400, 420)
    for coder in (integers, codec):
        data = coder.encode(pixels, max_bytes=100)
        assert len(data) <= 100 and lfic.probe(data).scale < 0.5 and lfic.probe(data).quality == 1
        with pytest.raises(lfic.InvalidInputError, match="the smallest file of this image has"):
            coder.encode(pixels, max_bytes=100, resolution="full")


def test_efforts_under_a_bound(codec, soft):
    data = codec.encode(soft, max_bytes=300, effort=1)
    assert len(data) <= 300 and lfic.probe(data).scale < 1


def test_a_bound_of_likeness_keeps_the_size(codec, soft):
    assert lfic.probe(codec.encode(soft, min_similarity=0.2)).scale == 1


def test_one_bad_picture_among_them(codec, soft, photo):
    found = codec.encode_batch([soft, "no", photo(256, 256), soft[::-1]], quality=[20, 20, 80, 90], errors="return")
    assert isinstance(found[1], lfic.LficError)
    assert [lfic.probe(found[i]).scale < 1 for i in (0, 2, 3)] == [True, False, False]
    assert found[0] == codec.encode(soft, quality=20)


def test_a_smaller_picture_may_have_the_standard_size(integers, codec, face):
    pixels = np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC))
    small = reduced(pixels, 60)
    assert small.pixels.shape == (112, 112, 3)
    data = integers.encode(pixels, quality=60)
    stream = integers.encode(small.pixels, quality=small.quality, aligned=False)
    assert as_reduced(stream, small) == data and len(data) == len(stream) + small.more_bytes(codec.model)
    assert not layers.read(data).background.header.aligned and lfic.decode(data).size == (128, 128)


def test_private_weights(soft, tmp_path):
    private = lfic.Codec(written(tmp_path / "own.safetensors"))
    for options in ({"quality": 20}, {"max_bytes": 300}):
        data = private.encode(soft, **options)
        assert lfic.probe(data).scale < 1 and layers.read(data).weights == private.model.weights
        assert private.decode(data).size == (240, 256) and len(data) <= options.get("max_bytes", 1000)


def test_faces_and_small_pictures_stay(integers, face):
    blurred = np.asarray(Image.fromarray(face).resize((28, 28)).resize((112, 112)))
    for aligned in (None, True, False):
        assert lfic.probe(integers.encode(blurred, quality=10, aligned=aligned)).scale == 1
    for size in ((1, 1), (16, 300), (112, 200), (126, 126)):  # 7 / 8 of 126 are less than 112
        assert lfic.probe(integers.encode(np.full((*size, 3), 90, np.uint8), quality=5)).scale == 1
    assert not may_shrink(127, 126, 30) and may_shrink(127, 127, 30) and not may_shrink(500, 500, 63)


def test_bare_streams(integers, soft):
    data = integers.encode(soft, quality=20, container="bare")
    assert lfic.probe(data, container="bare").scale < 1
    whole = lfic.decode(integers.encode(soft, quality=20))
    assert (np.asarray(lfic.decode(data, container="bare")) == np.asarray(whole)).all()


def test_a_bad_resolution_is_refused(integers, codec, soft):
    for coder in (integers, codec):
        for call in (lambda c: c.encode(soft, resolution="half"), lambda c: c.encode_batch([], resolution="half")):
            with pytest.raises(lfic.InvalidInputError, match="resolution is 'half'; allowed are 'auto' and 'full'"):
                call(coder)
        with pytest.raises(lfic.InvalidInputError, match="resolution is 'half'"):
            coder.encode_batch([], resolution="half", max_bytes=200)
