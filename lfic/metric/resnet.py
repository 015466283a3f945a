"""The recogniser that ships with lfic: dlib's face recognition network (Davis King, 2017), with 29 convolutions.

Its weights are in the public domain; it was trained with a metric loss on faces of FaceScrub, VGG and the web, without
the people of LFW. lfic/weights/dlib-resnet.md says where they are from and what 8 bits cost.

    template 112 x 112 -> its own crop, 150 x 150 -> 7 x 7 / 2, max pool -> blocks at 32, 64, 128 and 256 channels
    -> mean -> 128 numbers of unit length
"""

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import WeightsError
from ..format.geometry import SIDE
from ..format.weights import FOLDER, digest

FORMAT = "lfic-resnet-1"
STAGES = (
    (32, 3, False),
    (64, 4, True),
    (128, 3, True),
    (256, 3, True),
    (256, 1, True),
)  # channels, blocks, halved first
OUTPUTS = 128
CROP_SIDE = 150
PAD = 40  # pixels that the template is continued by, by reflection
BOX = (47.04, 62.02, 144.17, 159.15)  # of the padded template: left, top, right, bottom
MEAN = (122.782, 117.001, 104.298)
UNLIKE = 0.838  # mean cosine similarity of 19,900 pairs of different people of LFW


class Convolution(nn.Module):
    """3 x 3 or 7 x 7; the batch normalisation behind it is part of its weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convolution(x)
        return out


class ResidualBlock(nn.Module):
    """relu(conv(relu(conv(x))) + x); halved: the shortcut is averaged 2 x 2 and has zeros for its new channels."""

    def __init__(self, inputs: int, channels: int, halved: bool) -> None:
        super().__init__()
        self.first = Convolution(inputs, channels, 3, 2 if halved else 1, 0 if halved else 1)
        self.second = Convolution(channels, channels, 3, 1, 1)
        self.halved = halved

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        if self.halved:
            x = F.avg_pool2d(x, 2, 2)
            rows, columns = max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3])
            y = F.pad(y, (0, columns - y.shape[3], 0, rows - y.shape[2]))
            x = F.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2], 0, y.shape[1] - x.shape[1]))
        return F.relu(y + x)


class FaceResNet(nn.Module):
    """Aligned RGB float [N, 3, 112, 112] in 0..255 -> embeddings float [N, 128] of unit length."""

    grid: Tensor
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.enter = Convolution(3, STAGES[0][0], 7, 2, 0)
        blocks, inputs = [], STAGES[0][0]
        for channels, count, halved in STAGES:
            for k in range(count):
                blocks.append(ResidualBlock(inputs, channels, halved and k == 0))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(inputs, OUTPUTS, bias=False)
        side = SIDE + 2 * PAD
        steps = (torch.arange(CROP_SIDE, dtype=torch.float32) + 0.5) / CROP_SIDE
        x, y = ((low + steps * (high - low)) / side * 2 - 1 for low, high in (BOX[::2], BOX[1::2]))
        grid = torch.stack([x.expand(CROP_SIDE, -1), y[:, None].expand(-1, CROP_SIDE)], 2)
        self.register_buffer("grid", grid[None], persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN, dtype=torch.float32)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        padded = F.pad(pixels, (PAD,) * 4, mode="reflect")
        grid = self.grid.to(padded.dtype).expand(len(padded), -1, -1, -1)
        crop = F.grid_sample(padded, grid, mode="bicubic", padding_mode="border", align_corners=False)
        x = (crop.clamp(0, 255) - self.mean) / 256
        x = self.blocks(F.max_pool2d(F.relu(self.enter(x)), 3, 2))
        return F.normalize(self.out(x.mean((2, 3))), dim=1)


def load_resnet(path: str | os.PathLike[str] | None = None) -> FaceResNet:
    """The network with its shipped weights (8 bits each), in eval mode.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = FOLDER / "dlib-resnet.safetensors" if path is None else path
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in list(file.keys())}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"the bundled recogniser {path} can't be read: {error}; install lfic anew") from None
    if metadata.get("format") != FORMAT or digest(arrays) != metadata.get("digest"):
        raise WeightsError(f"the bundled recogniser {path} is damaged; install lfic anew")
    network, state = FaceResNet(), {}
    for name, parameter in network.state_dict().items():
        value = arrays[name]
        if value.dtype == np.uint8:
            low, step = arrays[f"{name}.low"], arrays[f"{name}.step"]
            value = low + step * value.astype(np.float32)
        state[name] = torch.from_numpy(value.astype(np.float32)).view(parameter.shape)
    network.load_state_dict(state)
    return network.float().eval()


def eight_bits(weight: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """A tensor float32 [outputs, ...] in uint8, with a lowest value and a step for each output: "", ".low", ".step"."""
    flat = weight.reshape(len(weight), -1)
    low, high = flat.min(1, keepdims=True), flat.max(1, keepdims=True)
    step = np.maximum((high - low) / 255, 1e-12).astype(np.float32)
    index = np.rint((flat - low) / step).clip(0, 255).astype(np.uint8)
    shape = (-1, *[1] * (weight.ndim - 1))
    return {"": index.reshape(weight.shape), ".low": low.reshape(shape), ".step": step.reshape(shape)}
