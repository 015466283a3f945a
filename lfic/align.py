"""Alignment: warp a photo so that five landmarks fall on the template that face recognisers are trained with.

The similarity transform is the least-squares solution of Umeyama, "Least-squares estimation of transformation
parameters between two point patterns", IEEE PAMI 13(4), 1991.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from .errors import InvalidInputError
from .format.geometry import SIDE
from .image import ImageLike, to_rgb

# Left eye, right eye, nose, left and right mouth corner (as seen in the picture), x right, y down, pixels of a
# 112 x 112 crop: the template of ArcFace (Deng et al., CVPR 2019).
TEMPLATE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Rotation, uniform scale and shift that map ``source`` [K, 2] onto ``target`` [K, 2] with least squared error.

    Returns:
        float64 [2, 3]; a reflection is never returned.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise InvalidInputError(
            f"points have shapes {source.shape} and {target.shape}; needed are two arrays [K, 2] with K >= 2"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InvalidInputError("a landmark is not a finite number")
    center_source, center_target = source.mean(0), target.mean(0)
    s, t = source - center_source, target - center_target
    with np.errstate(over="ignore"):
        spread = (s**2).sum()
    if spread < 1e-9:
        raise InvalidInputError(
            f"all {len(source)} landmarks coincide at {center_source.tolist()}: no scale can be found"
        )
    if not spread < 1e18:
        raise InvalidInputError("the landmarks lie a thousand million pixels apart: no picture has so many")
    u, d, vt = np.linalg.svd(t.T @ s)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    matrix = (d * sign).sum() / spread * (u * sign @ vt)
    return np.concatenate([matrix, (center_target - matrix @ center_source)[:, None]], 1)


def align(image: Image.Image, landmarks: ArrayLike, margin: int = 0) -> Image.Image:
    """Warp a picture so that its landmarks fall on the template.

    Args:
        image: PIL.Image, any mode.
        landmarks: float [5, 2], pixels (x right, y down; integers are pixel centres), in the template's order.
        margin: pixels of surroundings kept on every side.

    Returns:
        PIL.Image, RGB, 112 + 2 * margin pixels a side. Where the template reaches beyond the picture, the picture is
        continued by reflection. Bicubic; a face that shrinks below 3/4 is warped at twice the size and box-filtered,
        so that it does not alias.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != TEMPLATE_112.shape:
        raise InvalidInputError(f"landmarks have shape {landmarks.shape}; needed are five points [5, 2]")
    if not 0 <= margin <= 4 * SIDE:
        raise InvalidInputError(f"margin is {margin}; allowed are 0 to {4 * SIDE} pixels")
    return warp(image, template_matrix(landmarks, margin), SIDE + 2 * margin)


def template_matrix(landmarks: ArrayLike, margin: int = 0) -> NDArray[np.float64]:
    """From the template's pixels to the picture's: the inverse of what takes landmarks float [5, 2] onto it, [2, 3].

    The least squares are those of the template's points: in the other direction faces would come out smaller.
    """
    forward = similarity_transform(landmarks, TEMPLATE_112 + margin)
    out: NDArray[np.float64] = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))[:2]
    return out


def warp(image: ImageLike, matrix: ArrayLike, side: int = SIDE) -> Image.Image:
    """The square that a similarity transform takes into a picture.

    Args:
        image: as for ``lfic.encode``; a camera's orientation is applied first.
        matrix: float [2, 3], from the square's pixels to the picture's; integers are pixel centres on both sides.
        side: of the square, in pixels.

    Returns:
        PIL.Image, RGB, side x side. Beyond its edges the picture is continued by reflection. Bicubic; where the square
        has fewer pixels than three quarters of what it covers, it is warped at a multiple of its size and box-filtered,
        so that it does not alias. Only the part that is covered is copied.
    """
    pixels = to_rgb(image)
    m = np.asarray(matrix, np.float64)
    factor = 1
    while np.hypot(*m[:, 0]) * 0.75 > factor:
        factor *= 2
    # PIL maps output pixel centres (x + 0.5) to input coordinates; the matrix puts pixel centres at integers.
    linear = m[:, :2] / factor
    shift = m[:, 2] + 0.5 - m[:, :2] @ np.full(2, 0.5)
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ m[:, :2].T + shift
    left, top = np.floor(corners.min(0)).astype(int) - 3  # bicubic looks two pixels farther
    right, bottom = np.ceil(corners.max(0)).astype(int) + 3
    part = reflected(pixels, top, bottom, left, right)
    inverse = np.concatenate([linear, (shift - (left, top))[:, None]], 1)
    out = Image.fromarray(part).transform(
        (side * factor,) * 2, Image.Transform.AFFINE, tuple(inverse.ravel()), Image.Resampling.BICUBIC
    )
    return out.reduce(factor) if factor > 1 else out


def reflected(pixels: NDArray[np.uint8], top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
    """Rows top..bottom - 1 and columns left..right - 1 of a picture that goes on by reflection: uint8 [H, W, 3]."""
    rows, columns = (
        mirror(np.arange(first, last), length)
        for first, last, length in ((top, bottom, pixels.shape[0]), (left, right, pixels.shape[1]))
    )
    return np.ascontiguousarray(pixels[rows][:, columns])


def mirror(at: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Positions outside 0..length - 1 -> those that they mirror, the edge pixel not repeated."""
    period = max(1, 2 * (length - 1))
    at = np.abs(at) % period
    return np.where(at < length, at, period - at)
