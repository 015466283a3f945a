"""Packed faces: aligned crops of many people in one safetensors file, as lfic.data.pack writes it."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from safetensors import safe_open

from ..errors import InvalidInputError
from ..format.geometry import SIDE

MARGIN = 8  # pixels around the template that a pack keeps on every side, for crops that move


class FacePack:
    """All faces of a packed file as uint8 [N, S, S, 3] with S = 112 + 2 * margin, decoded once into memory."""

    def __init__(self, path):
        with safe_open(path, "np") as file:
            metadata = file.metadata()
            data, offsets = file.get_tensor("bytes"), file.get_tensor("offsets")
            self.source = file.get_tensor("source")
        self.margin = int(metadata["margin"])
        self.names = json.loads(metadata["names"])
        side = SIDE + 2 * self.margin
        self.pixels = np.empty((len(offsets) - 1, side, side, 3), np.uint8)

        def decode(i):
            image = np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())))
            if image.shape != (side, side, 3):
                raise InvalidInputError(
                    f"{path}: face {self.names[i]} has shape {image.shape}; expected {(side, side, 3)}"
                )
            self.pixels[i] = image

        with ThreadPoolExecutor(
            os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
        ) as pool:  # decoders let go of the lock
            for _ in pool.map(decode, range(len(self.pixels))):
                pass

    def __len__(self):
        return len(self.pixels)

    def face(self, i):
        """One face with its margin: uint8 [S, S, 3]."""
        return self.pixels[i]
