"""Batches of face crops: drawn step by step from a seed, so that a resumed run sees what an uninterrupted one would
have seen."""

import dataclasses

import numpy as np
import torch

from .augment import Plan, render


def sampling_weights(source, floor):
    """Relative frequency of each face, float [N]; source int [N] says where it comes from.

    Sources of fewer faces are drawn as often as if they had at least the share ``floor`` of the largest one's.
    """
    source = torch.as_tensor(source).long()
    counts = torch.bincount(source).float()
    return (torch.maximum(counts, counts.max() * floor) / counts)[source]


@dataclasses.dataclass
class Batch:
    """This process's faces of a step.

    pixels uint8 [N, 3, 112, 112] (later float in 0..1), index int64 [N] into the data, flipped bool [N], aligned bool
    [N]: on the template; plain bool [N]: aligned and untouched, so that the embedding may be kept; quality int64 [N] in
    1..100; uniform_level int64 [N]: one level for all regions, or -1; identity bool [N]: the recogniser sees it.
    """

    pixels: torch.Tensor
    index: torch.Tensor
    flipped: torch.Tensor
    aligned: torch.Tensor
    plain: torch.Tensor
    quality: torch.Tensor
    uniform_level: torch.Tensor
    identity: torch.Tensor

    def pin_memory(self):
        return Batch(**{name: tensor.pin_memory() for name, tensor in vars(self).items()})

    def to(self, device):
        """On a device, pixels as float in 0..1. ``index``, ``flipped`` and ``plain`` stay: only the table of embeddings
        reads them."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("pixels", "aligned", "quality", "uniform_level", "identity")
        }
        moved["pixels"] = moved["pixels"].float() / 255
        return dataclasses.replace(self, **moved)


class Steps(torch.utils.data.Dataset):
    """The batch of each step, a function of (seed, step) alone: what a process draws is its rows of the whole batch."""

    def __init__(self, faces, config, world):
        self.faces, self.config, self.world = faces, config, world
        self.weights = sampling_weights(faces.source, config.source_floor)

    def __len__(self):
        return self.config.steps

    def __getitem__(self, step):
        config, rows = self.config, self.world.rows
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        plan = Plan.draw(self.weights, config, generator)
        quality = torch.randint(1, config.quality_highest + 1, (config.batch,), generator=generator)
        uniform = torch.where(
            torch.rand(config.batch, generator=generator) < config.uniform_share,
            torch.tensor(config.uniform_levels)[
                torch.randint(0, len(config.uniform_levels), (config.batch,), generator=generator)
            ],
            -1,
        )
        # The recogniser costs more than the codec: a random share of the faces, weighted up, gives the same gradient on
        # average.
        identity = plan.aligned & (torch.rand(config.batch, generator=generator) < config.identity_share)
        plan.draw_more(config, generator)
        pixels = [
            render(self.faces.face(int(plan.index[i])), plan, i) for i in rows(torch.arange(config.batch)).tolist()
        ]
        pixels = torch.from_numpy(np.stack(pixels)).permute(
            0, 3, 1, 2
        )  # channels last in memory, as the network wants them
        whole = (plan.index, plan.flipped, plan.aligned, plan.plain, quality, uniform, identity)
        return Batch(pixels, *map(rows, whole))


def batches(faces, config, world, start):
    """The batches of steps ``start`` to the end, made ahead by ``config.workers`` processes (0: none, when they are
    asked for)."""
    workers = config.workers
    return iter(
        torch.utils.data.DataLoader(
            Steps(faces, config, world),
            batch_size=None,
            sampler=range(start, config.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="fork" if workers else None,  # shares the faces' memory
            pin_memory=world.device.type == "cuda",
        )
    )
