"""Alignment puts landmarks on the template, and refuses what can't be aligned."""

import io

import numpy as np
import pytest
from PIL import Image

from lfic import InvalidInputError, align


@pytest.mark.parametrize(("angle", "scale"), [(0, 1.0), (20, 2.4), (-35, 0.6)])
def test_alignment_puts_landmarks_on_the_template(angle, scale):
    """Dots painted at the landmarks of a turned and scaled picture appear at the template's points."""
    turn = np.deg2rad(angle)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (align.TEMPLATE_112 - 56) @ matrix.T + [170, 160]
    y, x = np.mgrid[:340, :340]
    picture = np.zeros((340, 340), np.float32)
    for px, py in points:
        picture += 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (1.5 * scale) ** 2))
    crop = np.asarray(align.align(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)), points))[..., 0].astype(
        np.float64
    )
    for px, py in align.TEMPLATE_112:
        top, left = round(py) - 4, round(px) - 4
        window = crop[top : top + 9, left : left + 9]
        gy, gx = np.mgrid[:9, :9]
        assert (window * gx).sum() / window.sum() + left == pytest.approx(px, abs=0.25)
        assert (window * gy).sum() / window.sum() + top == pytest.approx(py, abs=0.25)


def test_similarity_transform_refuses_nonsense():
    with pytest.raises(InvalidInputError, match="coincide"):
        align.similarity_transform(np.ones((5, 2)), align.TEMPLATE_112)
    with pytest.raises(InvalidInputError, match="shapes"):
        align.similarity_transform(np.ones((4, 2)), align.TEMPLATE_112)
    with pytest.raises(InvalidInputError, match="finite"):
        align.similarity_transform(np.full((5, 2), np.nan), align.TEMPLATE_112)
    mirrored = align.TEMPLATE_112 * [-1, 1]
    matrix = align.similarity_transform(mirrored, align.TEMPLATE_112)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_a_turned_photo_is_aligned_upright(face):
    """Landmarks are those of the picture as it is seen: a camera's orientation is applied to the pixels first."""
    upright = np.full((200, 180, 3), 90, np.uint8)
    upright[40:152, 30:142] = face
    points = align.TEMPLATE_112 + np.array([30, 40])
    stored = Image.fromarray(np.rot90(upright).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    found = align.align(Image.open(buffer), points)
    assert np.abs(np.asarray(found, int) - face).mean() < 2


def test_sixteen_bits_are_aligned_as_they_are_encoded():
    deep = Image.fromarray(np.full((150, 150), 30000, np.uint16))
    assert np.asarray(align.align(deep, align.TEMPLATE_112 + 10))[20:90, 20:90].mean() == pytest.approx(117, abs=1)


@pytest.mark.parametrize("side", [50, 112])
def test_beyond_the_picture_it_goes_on_by_reflection(side):
    """Landmarks that fill a small picture: nothing of the crop is black."""
    bright = Image.fromarray(np.full((side, side, 3), 200, np.uint8))
    spread = (align.TEMPLATE_112 - 56) * (side / 40) + side / 2
    assert (np.asarray(align.align(bright, spread)) == 200).all()
