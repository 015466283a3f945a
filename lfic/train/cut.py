"""Pictures cut from photos at random scale, place and rotation, and where their faces then are."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from ..align import TEMPLATE_112, similarity_transform
from ..data.picturepack import PicturePack
from ..metric.pixel import template_weight

LARGEST_ZOOM = 1.25  # more would teach what enlarged pictures look like
ROTATED, ANGLE = 0.5, 20.0  # share of the pictures that are rotated; by how many degrees at most
CENTERED = 0.75  # share of the pictures that are cut about the face
SMALLEST_FACE = 0.35  # of the template's size: below, a recogniser says little
INSIDE = 0.75  # share of the face that must lie in the picture for its identity to count
MIRRORED = [1, 0, 2, 4, 3]  # the landmarks' order in a mirrored picture
FACE_SIZE = np.array([92.0, 108.0])  # width and height of a face on the template
# Its places there: every eighth pixel of those that count fully, float [K, 2].
FACE_GRID = 8
FACE = np.argwhere(template_weight(0.0)[0, 0, ::FACE_GRID, ::FACE_GRID].numpy() > 0.5)[:, ::-1] * float(FACE_GRID)


def cut(pixels: NDArray[np.uint8], matrix: NDArray[np.float64], height: int, width: int) -> NDArray[np.uint8]:
    """The part of a picture, uint8 [H, W, 3], that a similarity shows: uint8 [height, width, 3].

    matrix: float [2, 3], source -> output, centres of pixels at integers. The picture is continued by reflection;
    bicubic, where it shrinks at several times the size and box-filtered, as in ``lfic.align.warp``.
    """
    factor = min(4, max(1, math.ceil(1 / np.hypot(*matrix[:, 0]) - 0.34)))
    half_out, half_in = np.eye(3), np.eye(3)
    half_out[:2, 2], half_in[:2, 2] = -0.5 * factor, 0.5  # Pillow has centres at halves
    inverse = half_in @ np.linalg.inv(np.vstack([matrix * factor, [0, 0, 1]])) @ half_out
    corners = np.array([[x, y, 1] for x in (0, width * factor) for y in (0, height * factor)]) @ inverse[:2].T
    low, high = -corners.min(0), corners.max(0) - pixels.shape[1::-1]
    beyond = float(max(*low, *high))
    if beyond > 0.01:
        pad = max(0, math.ceil(beyond) + 3)
        pixels = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
        inverse[:2, 2] += pad
    size, numbers = (width * factor, height * factor), tuple(inverse[:2].ravel())
    out = Image.fromarray(pixels).transform(size, Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC)
    return np.asarray(out.reduce(factor) if factor > 1 else out)


def placed(
    size: tuple[int, int], landmarks: NDArray[np.float64], height: int, width: int, rng: Generator
) -> NDArray[np.float64]:
    """A random similarity, float64 [2, 3], that shows a part of a picture, of size (width, height), as asked."""
    least, most, centered = max(width / size[0], height / size[1]), LARGEST_ZOOM, rng.random() < CENTERED
    if centered:  # then the face is to fit as well
        scale = np.hypot(*similarity_transform(TEMPLATE_112, landmarks)[:, 0])
        most = min(most, *(np.array([width, height]) / FACE_SIZE / scale))
    zoom = math.exp(rng.uniform(math.log(least), math.log(max(least, most))))
    angle = math.radians(rng.uniform(-ANGLE, ANGLE)) if rng.random() < ROTATED else 0.0
    half = np.array([width, height]) / (2 * zoom)
    room = np.array([half, np.array(size) - half]) - 0.5  # where the middle may lie
    middle = room[0] + rng.random(2) * (room[1] - room[0])
    if centered:
        middle = np.clip(landmarks.mean(0) + rng.uniform(-0.5, 0.5, 2) * half, *room)
    turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.concatenate([turn, (np.array([width - 1, height - 1]) / 2 - turn @ middle)[:, None]], 1)


def photo(
    pack: PicturePack, i: int, height: int, width: int, rng: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Picture i of a pack, cut at random: (uint8 [height, width, 3], landmarks float64 [5, 2] there)."""
    image, points = pack.photo(i)
    matrix = placed(image.size, points, height, width, rng)
    pixels = cut(np.asarray(image), matrix, height, width)
    points = points @ matrix[:, :2].T + matrix[:, 2]
    if rng.random() < 0.5:
        pixels, points = pixels[:, ::-1], (points * [-1, 1] + [width - 1, 0])[MIRRORED]
    return pixels, points


def face_of(landmarks: NDArray[np.float64], height: int, width: int) -> tuple[NDArray[np.float64], bool]:
    """(matrix float64 [2, 3], template -> picture; whether the face counts: not too small, most of it inside)."""
    matrix = similarity_transform(TEMPLATE_112, landmarks)
    scale = float(np.hypot(*matrix[:, 0]))
    at = FACE @ matrix[:, :2].T + matrix[:, 2]
    inside = float(((at > -0.5) & (at < np.array([width, height]) - 0.5)).all(1).mean())
    return matrix, scale >= SMALLEST_FACE and inside >= INSIDE
