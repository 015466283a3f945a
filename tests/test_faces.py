"""Detection and alignment, or a clear error without the optional package."""

import sys

import numpy as np
import pytest

import lfic
from lfic import faces


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    faces.detector.cache_clear()
    with pytest.raises(lfic.MissingDependencyError, match=r"lfic\[faces\]"):
        faces.detect(np.zeros((50, 50, 3), np.uint8))


def test_the_astronaut_is_found(face):
    import skimage.data

    faces.detector.cache_clear()
    found = faces.detect(skimage.data.astronaut())
    assert len(found) == 1 and found[0].probability > 0.99
    left, right = found[0].landmarks[0], found[0].landmarks[1]
    assert 15 < right[0] - left[0] < 80
    # The shipped crop was made this way.
    assert np.abs(np.asarray(found[0].crop, np.int16) - face).mean() < 2
    for shape in ((1, 1, 3), (300, 19, 3), (20, 20, 3)):
        assert faces.detect(np.zeros(shape, np.uint8)) == []
    assert faces.detect(np.full((80, 80, 3), 200, np.uint8)) == []


def test_large_photos_are_searched_at_a_smaller_size(monkeypatch):
    """Places are those of the photo itself."""
    import skimage.data

    photo = skimage.data.astronaut()[:300, 60:360]
    (small,) = faces.detect(photo)
    monkeypatch.setattr(faces, "MOST_PIXELS", 300 * 300 * 3 // 2)
    large = np.repeat(np.repeat(photo, 3, 0), 3, 1)
    assert faces.shrunk(large).shape == (367, 367, 3)
    (found,) = faces.detect(large)
    np.testing.assert_allclose((found.landmarks + 0.5) / 3 - 0.5, small.landmarks, atol=2.5)
    np.testing.assert_allclose((found.box + 0.5) / 3 - 0.5, small.box, atol=4)


def test_photos_of_one_size_are_searched_together(monkeypatch):
    import skimage.data

    photo = skimage.data.astronaut()[:300, 60:360]
    alone = faces.detect(photo)[0]
    together = faces.detect_batch([photo, np.zeros((50, 60, 3), np.uint8), photo[:, ::-1], photo])
    assert [len(found) for found in together] == [1, 0, 1, 1]
    np.testing.assert_allclose(together[3][0].landmarks, alone.landmarks, atol=0.01)
    np.testing.assert_array_equal(np.asarray(together[0][0].crop), np.asarray(together[3][0].crop))


def test_turned_photos_are_found_where_they_are_seen():
    import skimage.data

    photo = skimage.data.astronaut()[:300, 60:340]
    (upright,) = faces.detect(photo)
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(photo, quarters))
        (found,) = faces.detect(turned, turned=True)
        np.testing.assert_allclose(found.landmarks, turned_points(upright.landmarks, quarters), atol=0.01)
        box = turned_points(upright.box.reshape(2, 2), quarters)
        np.testing.assert_allclose(found.box, [*box.min(0), *box.max(0)], atol=0.01)
        assert np.abs(np.asarray(found.crop, np.int16) - np.asarray(upright.crop)).max() <= 2


def turned_points(points, quarters, height=300, width=280):
    """Points of a photo in np.rot90(photo, quarters)."""
    for _ in range(quarters):
        points = np.stack([points[:, 1], width - 1 - points[:, 0]], 1)
        height, width = width, height
    return points


def test_a_device_that_is_not_there_is_named():
    faces.detector.cache_clear()
    with pytest.raises(lfic.InvalidInputError, match="'bogus'"):
        faces.detect(np.zeros((50, 50, 3), np.uint8), device="bogus")


def test_a_template_that_reaches_far_beyond_the_picture_is_reflected():
    from lfic.align import align

    small = np.full((50, 50, 3), 90, np.uint8)
    crop = align(small, np.array([[2, 2], [47, 2], [25, 25], [5, 47], [45, 47]], np.float64))
    assert np.asarray(crop).min() == np.asarray(crop).max() == 90


def test_a_face_of_a_large_photo_takes_the_memory_of_the_face():
    """The photo is not copied for each face."""
    import tracemalloc

    from lfic.align import align

    photo = np.zeros((2000, 3000, 3), np.uint8)
    points = np.array([[100, 100], [140, 100], [120, 125], [105, 145], [135, 145]], np.float64)
    tracemalloc.start()
    align(photo, points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < photo.nbytes / 4
