"""Pixel terms in RGB: L1, squared error, MS-SSIM, texture; all per picture, of pixels float [N, 3, H, W] in 0..1.

    l1(x, x')      = mean(w |x - x'|)         range 0..1
    mse(x, x')     = mean(w (x - x')**2)      range 0..1
    ms_ssim(x, x') = prod_j cs_j**a_j * l_M**a_M, range 0..1, 1 where the pictures are equal (Wang et al. 2003)
    texture(x, x') = mean(w m |grad(x - x')|**2)   range 0..2, m = s / (s + mean |grad x|**2 around the pixel) in 0..1

w is an optional weight of each pixel, float [N or 1, 1, H, W]; ``landmark_weight`` makes one that is 1 on the face.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from ..arguments import integer, number
from ..errors import InvalidInputError
from ..format.geometry import SIDE

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, table 1
WINDOW, DEVIATION = 11, 1.5  # the Gaussian window of Wang et al. 2004
C1, C2 = 0.01**2, 0.03**2
TEXTURE_THRESHOLD = 1e-4  # squared gradient that masks half: about two grey values a pixel


def check_pair(pixels: Tensor, target: Tensor) -> None:
    """Refuse pictures that are not a pair of float [N, 3, H, W] of one shape."""
    for name, one in (("pixels", pixels), ("target", target)):
        if not isinstance(one, Tensor):
            raise InvalidInputError(f"{name} is a {type(one).__name__}; a float tensor [N, 3, H, W] is needed")
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.shape != target.shape:
        raise InvalidInputError(
            f"pixels have shape {tuple(pixels.shape)} and the target {tuple(target.shape)}; both must be [N, 3, H, W]"
        )
    if not (pixels.is_floating_point() and target.is_floating_point()):
        raise InvalidInputError(f"pixels are {pixels.dtype}, the target {target.dtype}; both must be floats in 0..1")


def check_weight(weight: Tensor, pixels: Tensor) -> None:
    """Refuse what is no weight of each pixel, float [N or 1, 1, H, W]."""
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise InvalidInputError(f"weight is a {type(weight).__name__}; a float tensor [N or 1, 1, H, W] is needed")
    count, _, height, width = pixels.shape
    if weight.ndim != 4 or weight.shape[0] not in (1, count) or tuple(weight.shape[1:]) != (1, height, width):
        raise InvalidInputError(
            f"weight has shape {tuple(weight.shape)}; needed is [{count} or 1, 1, {height}, {width}]"
        )


def weighted_mean(error: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of error [N, 3, H, W] times weight (None: 1): float [N]."""
    if weight is not None:
        check_weight(weight, error)
        error = weight * error
    return error.mean((1, 2, 3))


def l1(pixels: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error: float [N] in 0..1."""
    check_pair(pixels, target)
    return weighted_mean((pixels - target).abs(), weight)


def mse(pixels: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error: float [N] in 0..1."""
    check_pair(pixels, target)
    return weighted_mean((pixels - target).square(), weight)


def squared_gradient(x: Tensor) -> Tensor:
    """Squared differences to the right and the lower neighbour, added: [N, C, H, W], 0 across the edge."""
    return F.pad(x.diff(dim=3).square(), (0, 1)) + F.pad(x.diff(dim=2).square(), (0, 0, 0, 1))


def texture(pixels: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Squared error of the gradient where the target is smooth: float [N] in 0..2.

    People see an invented pattern on smooth skin and hardly any error in hair: activity of the picture masks errors
    (Daly 1993 and later models of visibility). The squared error of the pixels tells neither apart; this term does.
    """
    check_pair(pixels, target)
    activity = F.avg_pool2d(squared_gradient(target).mean(1, keepdim=True), 5, 1, 2, count_include_pad=False)
    return weighted_mean(TEXTURE_THRESHOLD / (TEXTURE_THRESHOLD + activity) * squared_gradient(pixels - target), weight)


def blur(x: Tensor) -> Tensor:
    """Gaussian window at every place where it fits: [N, C, H, W] -> [N, C, H - 10, W - 10]."""
    at = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    window = torch.exp(-at.square() / (2 * DEVIATION**2))
    window = (window / window.sum()).expand(x.shape[1], 1, 1, -1)
    return F.conv2d(F.conv2d(x, window, groups=x.shape[1]), window.transpose(2, 3), groups=x.shape[1])


def ms_ssim(pixels: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity: float [N] in 0..1.

    Pictures too small for the paper's five scales (shorter side under 176) use as many as fit, their exponents
    scaled to the same sum; at least 11 pixels a side are needed.
    """
    check_pair(pixels, target)
    shorter = min(pixels.shape[-2:])
    if shorter < WINDOW:
        raise InvalidInputError(f"the shorter side has {shorter} pixels; MS-SSIM needs at least {WINDOW}")
    scales = 1
    while scales < len(MS_SSIM_WEIGHTS) and shorter >> scales >= WINDOW:
        scales += 1
    exponents = torch.tensor(MS_SSIM_WEIGHTS[:scales], dtype=pixels.dtype)
    exponents = exponents * (sum(MS_SSIM_WEIGHTS) / exponents.sum())
    value = pixels.new_ones(())
    for scale, exponent in enumerate(exponents.tolist()):
        mean, other = blur(pixels), blur(target)
        variance = blur(pixels.square()) - mean.square()
        other_variance = blur(target.square()) - other.square()
        covariance = blur(pixels * target) - mean * other
        similarity = (2 * covariance + C2) / (variance + other_variance + C2)
        if scale == scales - 1:
            similarity = similarity * (2 * mean * other + C1) / (mean.square() + other.square() + C1)
        # Anticorrelated pictures would give a root of a negative number.
        value = value * similarity.mean((2, 3)).clamp(min=1e-4) ** exponent
        if scale < scales - 1:
            pixels, target = F.avg_pool2d(pixels, 2), F.avg_pool2d(target, 2)
    return value.mean(1)


@functools.cache
def template_weight(floor: float = 0.25) -> Tensor:
    """Pixel weights float [1, 1, 112, 112] of a face on the template: 1 on the face, ``floor`` far from it (not to be
    changed in place)."""
    middles = torch.arange(SIDE, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    return (floor + (1 - floor) * on_face(x, y))[None, None]


def on_face(x: Tensor, y: Tensor) -> Tensor:
    """How far places of the template, in pixels from its left and upper edge, are on its face: 1 to 0."""
    return torch.sigmoid((1.15 - ((x - 56) / 46) ** 2 - ((y - 68) / 54) ** 2) * 6)


def landmark_weight(landmarks: Tensor, height: int, width: int, floor: float = 0.25) -> Tensor:
    """Pixel weights float [N, 1, height, width]: 1 on the face, ``floor`` far from it.

    Args:
        landmarks: float [N, 5, 2], x and y in pixels: left eye, right eye, nose, mouth corners.
        floor: weight of the background, 0..1.

    The face is an ellipse about the mean of the points; its half axes are 1.3 and 1.55 distances between the eyes.
    """
    if not isinstance(landmarks, Tensor):
        raise InvalidInputError(f"landmarks are a {type(landmarks).__name__}; a float tensor [N, 5, 2] is needed")
    height, width = integer("height", height, 1, 1 << 19), integer("width", width, 1, 1 << 19)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2):
        raise InvalidInputError(f"landmarks have shape {tuple(landmarks.shape)}; expected [N, 5, 2]")
    floor = number("floor", floor, 0, 1)
    landmarks = landmarks.float()
    across = landmarks[:, 1] - landmarks[:, 0]
    span = across.norm(dim=1).clamp(min=1e-3)[:, None, None]
    right = across[:, None, None] / span[..., None]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    offset = torch.stack([x, y], -1).to(landmarks) - landmarks.mean(1)[:, None, None]
    along = (offset * right).sum(-1)
    down = offset[..., 1] * right[..., 0] - offset[..., 0] * right[..., 1]
    distance = (along / (1.3 * span)).square() + (down / (1.55 * span)).square()
    return (floor + (1 - floor) * torch.sigmoid((1.15 - distance) * 6))[:, None]
