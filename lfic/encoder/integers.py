"""What drafts are made by where there is no torch: numpy around csrc/network."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..decoder import Decoder
from ..format.geometry import STRIDE

Features = NDArray[np.int16]  # [1, h, w, C]


@dataclasses.dataclass(frozen=True, eq=False)
class Integers(Decoder):
    """Both directions by integers alone (``lfic.encoder.draft.Transforms``); the network has its analysis."""

    def tensor(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Arrays uint8 [H, W, 3] of one size, or an array [N, 3, H, W] -> [N, 3, H, W]."""
        if isinstance(images, np.ndarray):
            return images
        return np.stack(images).transpose(0, 3, 1, 2)

    def drafted(
        self, pixels: NDArray[np.uint8], quality: Sequence[int], aligned: bool, levels: Any = None
    ) -> tuple[list[Features], NDArray[np.uint8], list[NDArray[np.int16]]]:
        """Of pictures uint8 [N, 3, H, W]: features of each, levels uint8 [N, rows, columns], symbols of each."""
        images = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        height, width = images.shape[1:3]
        features = self.network.analyze(images, quality, [aligned] * len(images), 0)
        if levels is None:
            levels = np.stack(
                [
                    self.network.choose_levels(f, height, width, q, aligned)
                    for f, q in zip(features, quality, strict=True)
                ]
            )
        parts = [features[i : i + 1] for i in range(len(features))]
        return parts, levels, self.pooled(parts, levels, quality)

    def pooled(
        self, features: Sequence[Features], levels: NDArray[np.uint8], quality: Sequence[int]
    ) -> list[NDArray[np.int16]]:
        """The symbols of features at levels uint8 [N, rows, columns] and qualities of the caller's."""
        return [
            self.network.pool(f[0], level_map, STRIDE * f.shape[1], STRIDE * f.shape[2], q)
            for f, level_map, q in zip(features, levels, quality, strict=True)
        ]
