"""Pictures, and not only template crops: cut from photos at random (lfic/train/cut.py), never coded as aligned.

They have one size a step, so that they stack. A share of them is synthetic (lfic/train/synthetic.py). What a step sees
is a function of (seed, step) alone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..align import template_matrix
from ..data.picturepack import PicturePack
from ..encoder.background import uncovered
from ..errors import InvalidInputError
from ..format.compose import coverage
from ..format.place import Place
from .batches import Drawn, sampling_weights
from .cut import LARGEST_ZOOM, face_of, photo
from .sections import DataConfig
from .synthetic import synthetic, wall
from .world import World

Pixels = NDArray[np.uint8]  # [height, width, 3]
Landmarks = NDArray[np.float64]  # [5, 2]


@dataclasses.dataclass
class PictureBatch:
    """This process's pictures of a step.

    pixels uint8 [N, 3, H, W] (later float in 0..1); matrix float [N, 2, 3]: template -> picture, in pixels; visible
    bool [N]: its face counts; quality int64 [N] in 1..100; uniform_level int64 [N]: one level for all regions, or -1.
    """

    pixels: Tensor
    matrix: Tensor
    visible: Tensor
    quality: Tensor
    uniform_level: Tensor

    @property
    def aligned(self) -> Tensor:
        """None is on the template: bool [N]."""
        return torch.zeros_like(self.visible)

    def pin_memory(self) -> "PictureBatch":
        return PictureBatch(**{name: tensor.pin_memory() for name, tensor in vars(self).items()})

    def to(self, device: torch.device) -> "PictureBatch":
        """On a device, pixels as float in 0..1."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()}
        moved["pixels"] = moved["pixels"].float() / 255
        return PictureBatch(**moved)


def stacked(pictures: Sequence[tuple[Pixels, Landmarks | None]], quality: Tensor, level: Tensor) -> PictureBatch:
    """Pictures of one size, with the landmarks of their faces or None, as a batch."""
    height, width = pictures[0][0].shape[:2]
    nobody = np.eye(2, 3), False
    faces = [nobody if landmarks is None else face_of(landmarks, height, width) for _, landmarks in pictures]
    return PictureBatch(
        pixels=torch.from_numpy(np.stack([pixels for pixels, _ in pictures])).permute(0, 3, 1, 2),
        matrix=torch.tensor(np.array([matrix for matrix, _ in faces]), dtype=torch.float32),
        visible=torch.tensor([seen for _, seen in faces]),
        quality=quality,
        uniform_level=level,
    )


def without_face(pixels: Pixels, landmarks: Landmarks) -> tuple[Pixels, Landmarks | None]:
    """What a layer leaves of a picture to its background; the picture itself where its face can't be a layer."""
    height, width = pixels.shape[:2]
    try:
        place = Place.nearest(template_matrix(landmarks), width, height)
    except InvalidInputError:
        return pixels, landmarks
    return uncovered(pixels, coverage([place], width, height), 0), None


class PictureSteps(Drawn[PictureBatch]):
    """The pictures of each step."""

    def __init__(self, pack: PicturePack, data: DataConfig, seed: int, world: World):
        super().__init__(data, seed, world)
        self.pack = pack
        self.weights = sampling_weights(pack.source, data.source_floor).double().numpy()

    def __getitem__(self, step: int) -> PictureBatch:
        data, rows, count = self.data, self.world.rows, self.data.picture_batch
        rng = np.random.default_rng([self.seed, step])
        height, width = (int(side) for side in rng.choice(data.picture_sides, 2))
        quality = torch.from_numpy(rng.integers(1, data.quality_highest + 1, count))
        level = np.where(rng.random(count) < data.uniform_share, rng.choice(data.uniform_levels, count), -1)
        large = (self.pack.sizes * LARGEST_ZOOM >= [width, height]).all(1)
        ends = np.cumsum(self.weights * large if large.any() else self.weights)
        numbers = rows(torch.arange(count)).tolist()
        pictures = [self.picture(ends, height, width, np.random.default_rng([self.seed, step, i])) for i in numbers]
        return stacked(pictures, rows(quality), rows(torch.from_numpy(level)))

    def picture(
        self, ends: NDArray[np.float64], height: int, width: int, rng: Generator
    ) -> tuple[Pixels, Landmarks | None]:
        """One picture: (uint8 [height, width, 3], landmarks float64 [5, 2] or None).

        ends: running sums of the photos' frequencies, float64 [photos].
        """
        made, grey = rng.random() < self.data.picture_synthetic, rng.random() < self.data.picture_grey
        pixels, landmarks = (synthetic(height, width, rng) if made else None), None
        if pixels is None:
            index = int(np.searchsorted(ends, rng.random() * ends[-1], "right"))
            pixels, landmarks = photo(self.pack, index, height, width, rng)
            pixels = wall(pixels, landmarks, rng) if made else pixels
            if rng.random() < self.data.picture_uncovered:
                pixels, landmarks = without_face(pixels, landmarks)
        if grey:
            pixels = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))
        return pixels, landmarks
