"""Detection and alignment: a photo -> its faces as 112 x 112 crops on the template that recognisers are trained with.

The detector is MTCNN (Zhang et al. 2016) as facenet-pytorch ships it; an optional dependency:
``pip install "lfic[facenet]"``.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .arguments import number
from .errors import MissingDependencyError
from .image import ImageLike, to_rgb

LEAST_FACE = 20  # pixels: the smallest face that MTCNN looks for


@dataclasses.dataclass(frozen=True)
class Face:
    """One face: box float32 [4] (left, top, right, bottom), landmarks float32 [5, 2] (eyes, nose, mouth corners), in
    pixels of the photo, x right and y down; probability 0..1; crop: PIL image, 112 x 112, RGB."""

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    probability: float
    crop: Image.Image


@functools.lru_cache(maxsize=4)
def detector(device: str = "cpu") -> Any:
    """facenet-pytorch's MTCNN; its weights ship with it."""
    try:
        from facenet_pytorch import MTCNN
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not match torch
        raise MissingDependencyError(
            f"detecting faces needs facenet-pytorch and the torchvision of your torch ({type(error).__name__}: "
            f'{error}): pip install "lfic[facenet]"'
        ) from None
    return MTCNN(keep_all=True, min_face_size=LEAST_FACE, device=device)


def can_detect() -> bool:
    """Whether the detector is installed and can be loaded."""
    try:
        detector()
    except MissingDependencyError:
        return False
    return True


def detect(image: ImageLike, device: str = "cpu", least_probability: float = 0.9) -> list[Face]:
    """Faces of a photo, the largest first: list of ``Face``; empty where there is none.

    image: as for ``lfic.encode``. Raises MissingDependencyError without facenet-pytorch.
    """
    from .align import align

    least_probability = number("least_probability", least_probability, 0, 1)
    photo = Image.fromarray(to_rgb(image))
    if min(photo.size) < LEAST_FACE:  # MTCNN fails where not one scale of its pyramid is left
        return []
    boxes, probabilities, landmarks = detector(device).detect(photo, landmarks=True)
    if boxes is None:
        return []
    faces = [
        Face(np.asarray(box, np.float32), np.asarray(points, np.float32), float(p), align(photo, points))
        for box, p, points in zip(boxes, probabilities, landmarks)
        if p >= least_probability
    ]
    return sorted(faces, key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])))
