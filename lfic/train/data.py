"""Batches of face crops out of one packed file, decoded once into memory."""
import io
import json

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch.nn import functional as F

from ..errors import InvalidInputError

SIDE = 112


class FacePack:
    """All faces of a packed file as uint8 [N, S, S, 3] with S = 112 + 2 * margin."""

    def __init__(self, path):
        with safe_open(path, "np") as file:
            metadata = file.metadata()
            data, offsets = file.get_tensor("bytes"), file.get_tensor("offsets")
            self.source = file.get_tensor("source")
        self.margin = int(metadata["margin"])
        self.names = json.loads(metadata["names"])
        side = SIDE + 2 * self.margin
        self.pixels = np.empty((len(offsets) - 1, side, side, 3), np.uint8)
        for i in range(len(self.pixels)):
            image = np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())))
            if image.shape != (side, side, 3):
                raise InvalidInputError(f"{path}: face {self.names[i]} has shape {image.shape}; expected {(side, side, 3)}")
            self.pixels[i] = image

    def __len__(self):
        return len(self.pixels)


def face_weight(floor):
    """Pixel weights float [1, 1, 112, 112] of an aligned crop: 1 on the face, ``floor`` far from it."""
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    distance = ((x - 56) / 46) ** 2 + ((y - 68) / 54) ** 2
    return (floor + (1 - floor) * torch.sigmoid((1.15 - distance) * 6))[None, None]


def draw_batch(pack, sampling_weights, config, generator):
    """One batch: (pixels float [N, 3, 112, 112], index int64 [N], flipped bool [N], aligned bool [N]).

    Aligned crops sit exactly on the template, so their target embeddings can be kept between epochs.
    """
    count = config.batch
    index = torch.multinomial(sampling_weights, count, replacement=True, generator=generator)
    flipped = torch.rand(count, generator=generator) < 0.5
    aligned = torch.rand(count, generator=generator) >= config.generic
    grey = torch.rand(count, generator=generator) < config.grey
    geometry = torch.rand(count, 3, generator=generator)
    margin, out = pack.margin, []
    for i in range(count):
        face = torch.from_numpy(pack.pixels[int(index[i])]).permute(2, 0, 1).float() / 255
        if aligned[i]:
            face = face[:, margin : margin + SIDE, margin : margin + SIDE]
        else:
            side = face.shape[-1]
            span = int(side * (0.5 + 0.5 * float(geometry[i, 0])))
            top, left = int((side - span) * float(geometry[i, 1])), int((side - span) * float(geometry[i, 2]))
            face = face[:, top : top + span, left : left + span]
            face = F.interpolate(face[None], (SIDE, SIDE), mode="bicubic", antialias=True)[0].clamp(0, 1)
        if flipped[i]:
            face = face.flip(-1)
        if grey[i] and not aligned[i]:
            face = face.mean(0, keepdim=True).expand(3, -1, -1)
        out.append(face)
    return torch.stack(out), index, flipped, aligned
