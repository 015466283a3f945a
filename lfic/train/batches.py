"""Batches of face crops: drawn step by step from a seed, so that a resumed run sees what an uninterrupted one would
have seen."""

import dataclasses
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor

from ..data.base import FaceSource
from .augment import Plan, render
from .schedule import seed_of
from .sections import DataConfig
from .world import World

T_co = TypeVar("T_co", covariant=True)


def sampling_weights(source: ArrayLike, floor: float) -> Tensor:
    """Relative frequency of each face, float [N]; source int [N] says where it comes from.

    Sources of fewer faces are drawn as often as if they had at least the share ``floor`` of the largest one's.
    """
    numbers = torch.as_tensor(source).long()
    counts = torch.bincount(numbers).float()
    return (torch.maximum(counts, counts.max() * floor) / counts)[numbers]


@dataclasses.dataclass
class Batch:
    """This process's faces of a step.

    pixels uint8 [N, 3, 112, 112] (later float in 0..1), index int64 [N] into the data, flipped bool [N], aligned bool
    [N]: on the template; plain bool [N]: aligned and untouched, so that the embedding may be kept; quality int64 [N] in
    1..100; uniform_level int64 [N]: one level for all regions, or -1; identity bool [N]: the recogniser sees it.
    """

    pixels: Tensor
    index: Tensor
    flipped: Tensor
    aligned: Tensor
    plain: Tensor
    quality: Tensor
    uniform_level: Tensor
    identity: Tensor

    def pin_memory(self) -> "Batch":
        return Batch(**{name: tensor.pin_memory() for name, tensor in vars(self).items()})

    def to(self, device: torch.device) -> "Batch":
        """On a device, pixels as float in 0..1. ``index``, ``flipped`` and ``plain`` stay: only the table of embeddings
        reads them."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ON_DEVICE}
        moved["pixels"] = moved["pixels"].float() / 255
        return dataclasses.replace(self, **moved)


ON_DEVICE = ("pixels", "aligned", "quality", "uniform_level", "identity")  # what a step computes with


class Drawn(torch.utils.data.Dataset[T_co]):
    """What a run draws for each step, a function of (seed, step) alone: a process draws its rows of the whole."""

    def __init__(self, data: DataConfig, seed: int, world: World):
        self.data, self.seed, self.world = data, seed, world


class Steps(Drawn[Batch]):
    """The batch of each step.

    Args:
        identity_share: share of the aligned faces that the recogniser sees.
    """

    def __init__(self, faces: FaceSource, data: DataConfig, identity_share: float, seed: int, world: World):
        super().__init__(data, seed, world)
        self.faces, self.identity_share = faces, identity_share
        self.weights = sampling_weights(faces.source, data.source_floor)

    def __getitem__(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(seed_of(step, self.seed))
        plan = Plan.draw(self.weights, self.data, generator)
        quality = torch.randint(1, self.data.quality_highest + 1, (self.data.batch,), generator=generator)
        uniform = self.uniform_levels(generator)
        # The recogniser costs more than the codec: a random share of the faces, weighted up, gives the same gradient on
        # average.
        identity = plan.aligned & (torch.rand(self.data.batch, generator=generator) < self.identity_share)
        plan.draw_changes(self.data, generator)
        whole = (plan.index, plan.flipped, plan.aligned, plan.plain, quality, uniform, identity)
        return Batch(self.pixels(plan), *map(self.world.rows, whole))

    def uniform_levels(self, generator: Generator) -> Tensor:
        """The level of all regions of a face, or -1: int64 [batch]."""
        levels, batch = torch.tensor(self.data.uniform_levels), self.data.batch
        uniform = torch.rand(batch, generator=generator) < self.data.uniform_share
        return torch.where(uniform, levels[torch.randint(0, len(levels), (batch,), generator=generator)], -1)

    def pixels(self, plan: Plan) -> Tensor:
        """This process's crops of a plan: uint8 [N, 3, 112, 112], channels last in memory, as the network wants
        them."""
        rows = self.world.rows(torch.arange(self.data.batch)).tolist()
        crops = [render(self.faces.face(int(plan.index[i])), plan, i) for i in rows]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def batches(drawn: Drawn[T_co], start: int, end: int) -> Iterator[T_co]:
    """What is drawn for steps ``start`` to ``end``, made ahead by as many processes as ``[data] workers`` says (0:
    none, when they are asked for)."""
    workers = drawn.data.workers
    return iter(
        torch.utils.data.DataLoader(
            drawn,
            batch_size=None,
            sampler=range(start, end),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="fork" if workers else None,  # shares the faces' memory
            pin_memory=drawn.world.device.type == "cuda",
        )
    )
