"""Curves as pictures: bands and ROCs."""

import io

import numpy as np
from PIL import Image

from lfic.evaluate.data import Faces
from lfic.evaluate.points import Point
from lfic.evaluate.report.plots import plot, plot_roc, rocs
from lfic.evaluate.verification import pair_scores, roc


def test_bands_surround_their_curves():
    """What the spread covers is tinted, as wide as it says: a wide band has more coloured pixels than a narrow one."""

    def tinted(error, measure, field):
        rows = [
            {"codec": "lfic", "recognizer": "r", "bytes": size, measure: value, field: error}
            for size, value in ((100, 0.5), (300, 0.7), (900, 0.8))
        ]
        image = np.asarray(Image.open(io.BytesIO(plot(rows, measure, "r", "t"))).convert("RGB")).astype(int)
        return (np.abs(image - (0.13 * np.array([0xC2, 0x18, 0x5B]) + 0.87 * 255)).max(2) < 6).mean()

    for measure, field in (
        ("accuracy", "standard_error"),
        ("tar_at_far_0.001", "tar_at_far_0.001_error"),
        ("similarity", "similarity_error"),
    ):
        assert tinted(0.0, measure, field) < 0.01 < tinted(0.03, measure, field) < tinted(0.06, measure, field)


def test_roc_of_the_setting_nearest_to_the_bytes():
    """The curve is that of the pairs' scores, codec by codec; impostors that score as high as genuine pairs bend it."""
    identity = np.eye(8, dtype=np.float32)
    original = identity[[0, 0, 1, 1, 2, 2, 3, 3]]
    blurred = original + 0.9 * identity[[0, 4, 0, 4, 5, 0, 5, 0]]
    blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
    pairs, same = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7]]), np.arange(8) < 4
    faces = Faces([""] * 8, np.zeros((8, 112, 112, 3), np.uint8), [""] * 8, pairs, same, np.zeros(8, np.int64))
    points = [
        Point("c", str(size), np.full(8, size), np.zeros(8), np.zeros(8), {"r": vectors})
        for size, vectors in ((100, original), (290, blurred), (900, original))
    ]
    plain, curve = rocs(points, {"r": original}, faces)
    assert (plain["codec"], curve["codec"], curve["setting"], curve["bytes"]) == ("uncompressed", "c", "290", 290)
    far, tar, _ = roc(pair_scores(blurred, blurred, pairs), same)
    np.testing.assert_array_equal(curve["far"], far)
    np.testing.assert_array_equal(curve["tar"], tar)
    assert plain["tar"][plain["far"] == 0].max() == 1 > curve["tar"][curve["far"] == 0].max()
    assert np.asarray(Image.open(io.BytesIO(plot_roc([plain, curve], "t")))).std() > 0
    assert (
        rocs(points, {"r": original}, Faces([""] * 8, faces.pixels, [""] * 8, pairs[:0], same[:0], faces.folds[:0]))
        == []
    )
