"""Painting in integers: exact, where it should be, and close to what floats would give."""

import hashlib
import math

import compose_reference as reference
import numpy as np
import pytest
from PIL import Image

import lfic
from lfic.format import compose, place
from lfic.format.layers import background_scale, background_size
from lfic.format.place import Place


def test_tables_are_far_from_a_tie():
    """So that every machine's cosine and power round to the same integers."""
    for value in (
        *(math.cos(2 * math.pi * k / place.ANGLES) * 2**30 for k in range(place.ANGLES)),
        *(2 ** (-j / place.OCTAVE) * 2**30 for j in range(place.OCTAVE)),
    ):
        assert abs(value % 1 - 0.5) > 1e-3
    tables = np.array([*place.COSINE, *place.INVERSE, *reference.CUBIC.ravel(), *reference.RAMP], "<i4")
    assert hashlib.sha256(tables.tobytes()).hexdigest()[:16] == "db1133accf97a911"


def test_weights_sum_to_one():
    assert (reference.CUBIC.sum(1) == 1024).all() and reference.CUBIC[0].tolist() == [0, 1024, 0, 0]
    assert (
        reference.CUBIC[1:, ::-1] == reference.CUBIC[:0:-1]
    ).all()  # a picture mirrored is enlarged to the mirrored one
    assert reference.RAMP[0] == 0 and reference.RAMP[-1] == 256 and (np.diff(reference.RAMP) >= 0).all()


@pytest.mark.parametrize("exponent", [1, 2, 3])  # by which it is halved
@pytest.mark.parametrize("size", [(1, 1), (5, 300), (130, 77), (600, 16)])
def test_enlarging_is_bicubic(photo, exponent, size):
    height, width = size
    small = photo(-(-height >> exponent), -(-width >> exponent))
    found = compose.enlarged(small, 4 * exponent, width, height)
    whole = (small.shape[1] << exponent, small.shape[0] << exponent)
    expected = np.asarray(Image.fromarray(small).resize(whole, Image.Resampling.BICUBIC), np.int16)[:height, :width]
    inner = expected[8:-8, 8:-8]
    assert found.shape == (height, width, 3)
    if inner.size:  # at the edge Pillow renormalises, here the last pixel is repeated
        assert np.abs(found[8:-8, 8:-8] - inner).max() <= 4 and np.abs(found[8:-8, 8:-8] - inner).mean() < 0.5
    flat = np.full_like(small, 77)
    assert (compose.enlarged(flat, 4 * exponent, width, height) == 77).all()


@pytest.mark.parametrize("reduction", [1, 2, 3, 4, 6, 8])
def test_shrinking_is_bicubic(photo, reduction):
    whole = photo(256, 320)
    n, k = background_scale(reduction)
    width, height = background_size(320, 256, reduction)
    found = compose.shrunk(whole, reduction)
    assert found.shape == (height, width, 3)
    at = height * 2**k / n, width * 2**k / n  # what the result shows, which may reach beyond the picture
    padded = np.pad(whole, ((0, math.ceil(at[0]) - 256), (0, math.ceil(at[1]) - 320), (0, 0)), mode="edge")
    box = (0, 0, at[1], at[0])
    expected = np.asarray(Image.fromarray(padded).resize((width, height), Image.Resampling.BICUBIC, box), np.int16)
    inner = np.abs(found - expected)[2:-2, 2:-2]  # at the edge Pillow renormalises, here the last pixel is repeated
    assert inner.max() <= 3 and inner.mean() < 0.3  # Pillow rounds to 8 bits between its passes


def test_what_is_shrunk_and_enlarged_stays_in_its_place(photo):
    whole = photo(200, 240)
    for reduction in range(1, 8):
        again = compose.enlarged(compose.shrunk(whole, reduction), reduction, 240, 200).astype(int)
        errors = {
            (y, x): np.square(again[8:-8, 8:-8] - np.roll(whole, (y, x), (0, 1))[8:-8, 8:-8].astype(int)).mean()
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
        }
        assert min(errors, key=errors.get) == (0, 0), reduction


@pytest.mark.parametrize(
    ("reduction", "threads", "message"),
    [(-1, 1, "the reduction is -1"), (16, 1, "the reduction is 16"), (1, 300, "threads is 300")],
)
def test_bad_shrinking(photo, reduction, threads, message):
    with pytest.raises(lfic.InvalidInputError, match=message):
        compose.shrunk(photo(32, 32), reduction, threads)
    with pytest.raises(lfic.InvalidInputError, match=r"picture has shape \(32, 32\)"):
        compose.shrunk(photo(32, 32)[:, :, 0], 1)


def catmull_rom(picture, y, x):
    """A float picture [H, W, 3] at positions y, x float [n], by the cubic's own definition."""
    out = 0
    for dy in (-1, 0, 1, 2):
        for dx in (-1, 0, 1, 2):
            weight = 1
            for c, d in ((y, dy), (x, dx)):
                t = np.abs(c - np.floor(c) - d)
                near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
                weight = weight * np.where(t <= 1, near, np.where(t < 2, far, 0))
            out = out + weight[:, None] * picture[np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx]
    return np.clip(out, 0, 255)


@pytest.mark.parametrize("where", [Place(4057, 4116, 216, 24), Place(3000, 5000, 160, 490), Place(4096, 4000, 300, 0)])
def test_a_layer_lies_where_its_matrix_says(face, where):
    """The middle of a painted face against the float transform of it."""
    canvas = np.full((300, 400, 3), 90, np.uint8)
    compose.paint(canvas, face, where)
    inverse = np.linalg.inv(np.vstack([where.matrix(400, 300), [0, 0, 1]]))
    rows, columns = np.indices((300, 400)).reshape(2, -1)
    x, y, _ = inverse @ np.stack([columns, rows, np.ones_like(rows)])
    inside = (np.minimum(x, y) > 12) & (np.maximum(x, y) < 99)
    expected = catmull_rom(face.astype(float), y[inside], x[inside])
    assert len(expected) > 3000
    difference = np.abs(canvas.reshape(-1, 3)[inside] - expected)
    assert difference.mean() < 0.5 and difference.max() < 3  # phases are rounded down to 1/64
    untouched = compose.coverage([where], 400, 300) == 256
    assert (canvas[untouched] == 90).all() and untouched.any()


@pytest.mark.parametrize("scale", [0, 40, 128, 159, 160, 192, 300, 511])
@pytest.mark.parametrize("angle", [0, 5, 128, 300])
def test_paint_stays_in_its_box_and_covers_its_middle(face, scale, angle):
    where = Place(5000, 3000, scale, angle)
    canvas = np.zeros((200, 333, 3), np.uint8)
    compose.paint(canvas, np.maximum(face, 1), where)
    left, top, right, bottom = where.box(333, 200)
    outside = np.ones((200, 333), bool)
    outside[top:bottom, left:right] = False
    assert (canvas[outside] == 0).all()
    x, y = (int(c) >> 16 for c in where.centre(333, 200))
    assert (canvas[y, x] > 0).all()
    hidden = compose.coverage([where], 333, 200) == 0
    flat = np.full((112, 112, 3), 200, np.uint8)
    compose.paint(canvas, flat, where)
    assert (canvas[hidden] == 200).all()


def test_a_small_face_does_not_alias(face):
    """An eighth of the size: a checkerboard becomes grey, not a pattern."""
    board = ((np.indices((112, 112)).sum(0) % 2) * 255).astype(np.uint8)[:, :, None].repeat(3, 2)
    canvas = np.zeros((60, 60, 3), np.uint8)
    where = Place(4096, 4096, 10, 31)
    compose.paint(canvas, board, where)
    hidden = compose.coverage([where], 60, 60) == 0
    assert hidden.sum() > 30 and np.abs(canvas[hidden].astype(int) - 128).max() <= 2


def test_the_same_integers_as_ever(face):
    """Digests of what this painted when the format was fixed."""
    canvas = compose.enlarged(face[:50, :63], 8, 250, 199)
    compose.paint(canvas, face, Place(3000, 5000, 190, 500))
    compose.paint(canvas, face[:, ::-1], Place(7000, 2000, 70, 40))
    assert hashlib.sha256(canvas.tobytes()).hexdigest()[:16] == "593247290bf0ee25"
