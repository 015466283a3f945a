"""The pictures of a batch, wherever they lie: what is on the device stays there."""

from collections.abc import Callable, Sequence
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import LficError
from ..format.grey import is_grey
from ..image import ImageLike, to_rgb
from ..network.load import Pixels

TOGETHER = 1024  # pictures that are looked at together


class Pictures:
    """Images of any sizes, checked once.

    Args:
        images: PIL images, uint8 ndarrays [H, W, 3], uint8 tensors [3, H, W]; or one uint8 tensor [N, 3, H, W] or one
            uint8 ndarray [N, H, W, 3]. Tensors may lie on any device.
        device: where the networks run.
        check: (width, height) of each; raises for a picture that can't be coded.
        failed: (index, error) for one that is none. It may raise; else the picture is left out.

    Attributes: ``sizes``, (height, width) of each, (0, 0) where it failed; ``indexes`` of those that did not.
    """

    def __init__(
        self,
        images: Sequence[ImageLike] | Tensor | NDArray[np.uint8],
        device: torch.device,
        check: Callable[[int, int], None],
        failed: Callable[[int, LficError], None],
    ) -> None:
        self.device = device
        self.batch: Tensor | None = None
        self.parts: list[Pixels | Tensor | None] = []
        if isinstance(images, Tensor) and fits(images, check):
            self.batch = images.detach()
            height, width = images.shape[2:]
            self.sizes = [(height, width)] * len(images)
        else:
            self.sizes = []
            for i, image in enumerate(images):
                try:
                    part = image.detach() if is_ready(image) else to_rgb(image)
                    height, width = part.shape[1:] if isinstance(part, Tensor) else part.shape[:2]
                    check(width, height)
                except LficError as error:
                    failed(i, error)
                    self.parts.append(None)
                    self.sizes.append((0, 0))
                    continue
                self.parts.append(part)
                self.sizes.append((height, width))
        self.indexes = [i for i, size in enumerate(self.sizes) if size != (0, 0)]

    def __len__(self) -> int:
        return len(self.sizes)

    def tensor(self, indexes: Sequence[int]) -> Tensor:
        """Pictures of one size: uint8 [N, 3, H, W] on the device.

        What lies on the host is gathered in one pinned buffer for a GPU: a copy of other memory may wait for all that
        was launched before it, and each tensor of a list would be a copy of its own.
        """
        if self.batch is not None:
            first, last = indexes[0], indexes[-1] + 1
            if last - first == len(indexes):
                found = self.batch[first:last]
                if self.away(found) and not (found.is_pinned() and found.is_contiguous()):
                    found = torch.empty_like(found, pin_memory=self.device.type == "cuda").copy_(found)
            else:
                among = torch.tensor(indexes)
                if self.batch.is_cuda:
                    among = among.pin_memory().to(self.batch.device, non_blocking=True)
                room = on_host((len(indexes), *self.batch.shape[1:]), self.device) if self.away(self.batch) else None
                found = torch.index_select(self.batch, 0, among, out=room)
            return found.to(self.device, non_blocking=True)
        parts = [self.parts[i] for i in indexes]
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if len(tensors) == len(parts):
            if all(self.away(part) for part in tensors):
                room = on_host((len(tensors), *tensors[0].shape), self.device)
                return torch.stack(tensors, out=room).to(self.device, non_blocking=True)
            return torch.stack([part.to(self.device, non_blocking=True) for part in tensors])
        arrays = [self.array(i) for i in indexes]
        stacked = on_host((len(arrays), *arrays[0].shape), self.device)
        np.stack(arrays, out=stacked.numpy())
        return stacked.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def away(self, tensor: Tensor) -> bool:
        """Whether a tensor has to go from the host to the device."""
        return tensor.device.type == "cpu" and self.device.type != "cpu"

    def grey(self) -> list[int]:
        """The indexes of pictures whose red, green and blue are the same everywhere."""
        if self.batch is None:
            return [i for i in self.indexes if self.is_grey(self.parts[i])]
        found: list[int] = []
        for first in range(0, len(self.batch), TOGETHER):
            part = self.batch[first : first + TOGETHER]
            same = (part[:, :1] == part[:, 1:]).flatten(1).all(1)
            found += (torch.nonzero(same)[:, 0] + first).tolist()
        return found

    @staticmethod
    def is_grey(part: Pixels | Tensor | None) -> bool:
        """Whether a picture has no colour."""
        if isinstance(part, Tensor):
            return bool((part[:1] == part[1:]).all())
        return part is not None and is_grey(part)

    def array(self, index: int) -> Pixels:
        """One picture: uint8 [H, W, 3] on the host."""
        part = self.batch[index] if self.batch is not None else self.parts[index]
        assert part is not None
        return to_rgb(part) if isinstance(part, Tensor) else part


def on_host(shape: Sequence[int], device: torch.device) -> Tensor:
    """Empty uint8 memory of the host, pinned where a GPU is to copy it."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")


def fits(images: Tensor, check: Callable[[int, int], None]) -> bool:
    """Whether a tensor of four axes is taken as one; else its pictures are, and each has its error."""
    if not (is_readable(images) and images.shape[1] == 3):
        return False
    height, width = images.shape[2:]
    try:
        check(width, height)
    except LficError:
        return False
    return True


def is_ready(image: object) -> TypeGuard[Tensor]:
    """Whether an image is a tensor that the networks take as it is."""
    return isinstance(image, Tensor) and is_readable(image) and image.ndim == 3 and image.shape[0] == 3


def is_readable(tensor: Tensor) -> bool:
    """Whether a tensor has bytes that lie in memory: none is sparse or on the device "meta"."""
    return tensor.dtype == torch.uint8 and tensor.layout == torch.strided and not tensor.is_meta and tensor.numel() > 0
