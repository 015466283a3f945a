"""Detection and alignment: a photo -> its faces as 112 x 112 crops on the template that recognisers are trained with.

The detector is MTCNN (Zhang et al. 2016) as facenet-pytorch ships it; an optional dependency:
``pip install "lfic[faces]"``.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .align import template_matrix, warp
from .arguments import images_of, number
from .errors import InvalidInputError, MissingDependencyError
from .image import ImageLike, to_rgb

LEAST_FACE = 20  # pixels: the smallest face that MTCNN looks for
# A larger photo is shrunk before it is searched, whose time and memory grow with the pixels: of 24 megapixels faces
# below 70 pixels are not found. Landmarks lose nothing by it: MTCNN finds them in crops of 48 x 48.
MOST_PIXELS = 2_000_000
# MTCNN finds a face in one lying photo of four, too, and puts the landmarks in wrong places; of 60 upright LFW photos
# the surest face is above this in 57, of those turned by 90, 180 or 270 degrees in none.
SURE = 0.999
BATCH_PIXELS = 1_000_000  # of photos that are searched together


@dataclasses.dataclass(frozen=True)
class Face:
    """One face: box float32 [4] (left, top, right, bottom), landmarks float32 [5, 2] (eyes, nose, mouth corners), in
    pixels of the photo as it is seen (a camera's orientation applied), x right and y down; probability 0..1; crop: PIL
    image, 112 x 112, RGB."""

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    probability: float
    crop: Image.Image


@functools.lru_cache(maxsize=4)
def detector(device: str = "cpu") -> Any:
    """facenet-pytorch's MTCNN; its weights ship with it.

    Raises:
        MissingDependencyError: it is not installed, or not with the torchvision that torch needs.
        InvalidInputError: a device that torch can't use here.
    """
    try:
        from facenet_pytorch import MTCNN
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not match torch
        raise MissingDependencyError(
            f"detecting faces needs facenet-pytorch and the torchvision of your torch ({type(error).__name__}: "
            f'{error}): pip install "lfic[faces]"'
        ) from None
    try:
        return MTCNN(keep_all=True, min_face_size=LEAST_FACE, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(f"device {device!r} can't be used here: {reason}; 'cpu' always works") from None


def can_detect() -> bool:
    """Whether the detector is installed and can be loaded."""
    try:
        detector()
    except MissingDependencyError:
        return False
    return True


def is_installed() -> bool:
    """Whether the detector's package is there; it is not loaded."""
    return importlib.util.find_spec("facenet_pytorch") is not None


def detect(image: ImageLike, device: str = "cpu", least_probability: float = 0.9, turned: bool = False) -> list[Face]:
    """Faces of a photo, the largest first: list of ``Face``; empty where there is none.

    Args:
        image: as for ``lfic.encode``. Above two megapixels it is searched at a smaller size.
        device: of torch.
        least_probability: of a face, 0 to 1.
        turned: where no face is found for sure, look at the photo turned by a quarter to either side, and upside down,
            and take what the surest face says.

    Raises:
        MissingDependencyError: facenet-pytorch is not installed.
    """
    return detect_batch([image], device, least_probability, turned)[0]


def detect_batch(
    images: Sequence[ImageLike], device: str = "cpu", least_probability: float = 0.9, turned: bool = False
) -> list[list[Face]]:
    """``detect`` for several photos, those of one size together."""
    least_probability = number("least_probability", least_probability, 0, 1)
    photos = [to_rgb(image) for image in images_of("detect_batch", images, "use detect for one photo")]
    found = search(photos, device, least_probability)
    if turned:
        doubtful = [i for i, places in enumerate(found) if surest(places) < SURE]
        some = [photos[i] for i in doubtful]
        for i, places in zip(doubtful, search_turned(some, [found[i] for i in doubtful], device, least_probability)):
            found[i] = places
    return [
        sorted(
            (Face(box, points, p, warp(photo, template_matrix(points))) for box, points, p in places),
            key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])),
        )
        for photo, places in zip(photos, found, strict=True)
    ]


Place = tuple[NDArray[np.float32], NDArray[np.float32], float]  # box, landmarks, probability


def search(photos: Sequence[NDArray[np.uint8]], device: str, least_probability: float) -> list[list[Place]]:
    """Where the faces of uint8 [H, W, 3] are."""
    found: list[list[Place]] = [[] for _ in photos]
    small = [shrunk(photo) for photo in photos]
    for indexes in alike(small):
        boxes, probabilities, landmarks = detector(device).detect(np.stack([small[i] for i in indexes]), landmarks=True)
        for i, *places in zip(indexes, boxes, probabilities, landmarks, strict=True):
            if places[0] is None:
                continue
            height, width = photos[i].shape[:2]
            scale = np.array([width / small[i].shape[1], height / small[i].shape[0]])
            for box, p, points in zip(*places, strict=True):
                if p >= least_probability:
                    box = np.asarray(box, np.float64).reshape(2, 2)
                    points = np.asarray(points, np.float64)
                    found[i].append(
                        (
                            enlarged(box, scale).astype(np.float32).ravel(),
                            enlarged(points, scale).astype(np.float32),
                            float(p),
                        )
                    )
    return found


def enlarged(points: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a shrunk picture in the picture itself; integers are pixel centres in both."""
    out: NDArray[np.float64] = (points + 0.5) * scale - 0.5
    return out


def shrunk(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo of at most MOST_PIXELS, uint8 [h, w, 3]."""
    height, width = photo.shape[:2]
    factor = (height * width / MOST_PIXELS) ** 0.5
    if factor <= 1:
        return photo
    size = max(1, round(width / factor)), max(1, round(height / factor))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX, reducing_gap=2.0))


def alike(photos: Sequence[NDArray[np.uint8]]) -> Iterator[list[int]]:
    """Indexes of photos of one size, together as many as BATCH_PIXELS; not those in which no face could be."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for i, photo in enumerate(photos):
        height, width = photo.shape[:2]
        if min(height, width) >= LEAST_FACE:  # MTCNN fails where not one scale of its pyramid is left
            sizes.setdefault((height, width), []).append(i)
    for (height, width), indexes in sizes.items():
        step = max(1, BATCH_PIXELS // (height * width))
        for start in range(0, len(indexes), step):
            yield indexes[start : start + step]


def surest(places: Sequence[Place]) -> float:
    """The largest probability; 0 where there is no face."""
    return max((p for _, _, p in places), default=0.0)


def search_turned(
    photos: Sequence[NDArray[np.uint8]], upright: Sequence[list[Place]], device: str, least_probability: float
) -> list[list[Place]]:
    """``search`` in photos turned by a quarter, three quarters and half a turn: of each what the surest face says,
    among them what was found ``upright``."""
    best = list(upright)
    for quarters in (1, 3, 2):
        turned = [np.ascontiguousarray(np.rot90(photo, quarters)) for photo in photos]
        for i, places in enumerate(search(turned, device, least_probability)):
            if surest(places) > surest(best[i]):
                best[i] = [turned_back(place, quarters, photos[i].shape[0], photos[i].shape[1]) for place in places]
    return best


def turned_back(place: Place, quarters: int, height: int, width: int) -> Place:
    """A place in np.rot90(photo, quarters) -> in the photo of ``height`` x ``width``."""
    box, landmarks, p = place

    def back(points: NDArray[np.float32]) -> NDArray[np.float32]:
        x, y = points[:, 0], points[:, 1]
        found = {1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}[quarters]
        return np.stack(found, 1).astype(np.float32)

    corners = back(box.reshape(2, 2))
    return np.concatenate([corners.min(0), corners.max(0)]), back(landmarks), p
