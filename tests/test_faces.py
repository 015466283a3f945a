"""Detection and alignment, or a clear error without the optional package."""

import sys

import numpy as np
import pytest

import lfic
from lfic import faces


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    faces.detector.cache_clear()
    with pytest.raises(lfic.MissingDependencyError, match=r"lfic\[facenet\]"):
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
