"""csrc/compose against the numpy reference: the same integers, whatever the sizes, places and threads."""

import resource

import compose_reference as reference
import numpy as np
import pytest

import lfic
from lfic.format import compose
from lfic.format.layers import background_size
from lfic.format.place import Place

SIZES = ((1, 1), (1, 300), (130, 3), (64, 65), (150, 220))


@pytest.mark.parametrize("reduction", range(16))
@pytest.mark.parametrize("size", SIZES)
def test_enlarging(reduction, size):
    height, width = size
    rng = np.random.default_rng(height)
    small = rng.integers(0, 256, (*background_size(width, height, reduction)[::-1], 3), dtype=np.uint8)
    small[rng.random(small.shape[:2]) < 0.4] = 255  # overshoots are clamped
    expected = reference.enlarged(small, reduction, width, height)
    for threads in (1, 3):
        assert (compose.enlarged(small, reduction, width, height, threads) == expected).all()


@pytest.mark.parametrize("reduction", range(1, 16))
@pytest.mark.parametrize("size", SIZES)
def test_shrinking(reduction, size):
    rng = np.random.default_rng(size[1])
    whole = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    whole[rng.random(size) < 0.4] = 255
    expected = reference.shrunk(whole, reduction)
    for threads in (1, 3):
        assert (compose.shrunk(whole, reduction, threads) == expected).all()
    flat = np.full_like(whole, 201)
    assert (compose.shrunk(flat, reduction) == 201).all()


def places(count, seed):
    """Any that the format can say, and the ends of every field."""
    rng = np.random.default_rng(seed)
    out = [Place(*(int(rng.integers(0, n)) for n in (8192, 8192, 512, 512))) for _ in range(count)]
    return [*out, Place(0, 0, 0, 0), Place(8191, 8191, 511, 511), Place(0, 8191, 511, 128), Place(4096, 4096, 159, 256)]


@pytest.mark.parametrize("size", SIZES)
def test_painting_and_coverage(face, size):
    height, width = size
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 2, (112, 112, 3), dtype=np.uint8) * 255
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    for number, place in enumerate(places(8, height)):
        template = noise if number % 2 else face
        expected, found = picture.copy(), picture.copy()
        reference.paint(expected, template, place)
        compose.paint(found, template, place, threads=1 + number % 3)
        assert (found == expected).all(), place
        assert (compose.coverage([place], width, height) == reference.coverage([place], width, height)).all()
    for size in (1, 2):
        template = np.ascontiguousarray(np.kron(face, np.ones((1 << size, 1 << size, 1), np.uint8)))
        template ^= rng.integers(0, 64, template.shape, dtype=np.uint8)
        for place in places(4, size):
            expected, found = picture.copy(), picture.copy()
            reference.paint(expected, template, place)
            compose.paint(found, template, place, threads=size)
            assert (found == expected).all(), place
    several = places(3, 5)
    assert (compose.coverage(several, width, height) == reference.coverage(several, width, height)).all()


def test_a_large_photo_takes_no_memory_beside_itself(face):
    """12 megapixels, a background of an eighth and a face over all of it."""
    width, height = 4000, 3000
    small = np.ascontiguousarray(np.resize(face, (375, 500, 3)))
    place = Place(4096, 4096, 500, 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = compose.compose(small, 12, [(face, place)], width, height)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kilobytes
    assert grown < 60_000
    where, u, v = reference.template_coordinates(place, width, height)
    rows, columns = (slice(1500 - w.start, 1600 - w.start) for w in where)
    u, v = u[rows, columns], v[rows, columns]
    alpha = reference.opacity(u, v)[..., None]
    colour = reference.sampled(face, u.ravel(), v.ravel(), place.halvings()).reshape(100, 100, 3)
    behind = reference.enlarged(small[:225], 12, width, 1600)[1500:, 1500:1600].astype(int)  # rows behind are not seen
    assert (found[1500:1600, 1500:1600] == (behind * (256 - alpha) + colour * alpha + 128) >> 8).all()


def test_what_painting_refuses(face):
    place = Place(1, 2, 3, 4)
    picture = np.zeros((20, 30, 3), np.uint8)
    for wrong in (face[:100], face.astype(np.int32), face[:, :, :2], "face"):
        with pytest.raises(lfic.InvalidInputError):
            compose.paint(picture, wrong, place)
    for wrong in (picture[:, ::2], picture.astype(np.int16), picture[:, :, 0], np.zeros((20, 30, 4), np.uint8)):
        with pytest.raises(lfic.InvalidInputError):
            compose.paint(wrong, face, place)
    picture.flags.writeable = False
    with pytest.raises(lfic.InvalidInputError, match="writable"):
        compose.paint(picture, face, place)
    for wrong in (Place(8192, 0, 0, 0), Place(0, -1, 0, 0), Place(0, 0, 512, 0), Place(0, 0, 0, 600)):
        with pytest.raises(lfic.InvalidInputError, match="place"):
            compose.paint(np.zeros((20, 30, 3), np.uint8), face, wrong)
    with pytest.raises(lfic.InvalidInputError, match=r"\(5, 5, 3\)"):
        compose.enlarged(face, 8, 20, 20)
    with pytest.raises(lfic.InvalidInputError, match="reduction"):
        compose.enlarged(face, 16, 20, 20)
