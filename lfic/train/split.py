"""Several recognisers that share out a batch by its rows: ``DrawnIdentity`` where no shape may depend on a draw.

The rows of a batch are drawn independently of each other, so a fixed part of them is as good as a random one.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..format.geometry import LEVELS
from ..metric.identity import identity_distance
from .batches import Batch
from .identity import Look

Embed = Callable[[Tensor], Tensor]


class SplitIdentity:
    """The first rows are the first recogniser's, the next ones the second's, and so on.

    Args:
        recognizers: pixels float [n, 3, H, W] in 0..1 -> unit embeddings [n, D]; D may differ.
        factors: of each one's distances, as ``DrawnIdentity`` has them.
        shares: of the rows, of sum 1.
    """

    def __init__(self, recognizers: Sequence[Embed], factors: Sequence[float], shares: Sequence[float]):
        self.recognizers, self.factors, self.ends = recognizers, factors, list(itertools.accumulate(shares))

    def parts(self, count: int) -> list[tuple[Embed, float, slice]]:
        """(recogniser, factor, its rows) of a batch of so many."""
        ends = [0, *(round(end * count) for end in self.ends)]
        return [
            (one, factor, slice(first, last))
            for one, factor, first, last in zip(self.recognizers, self.factors, ends, ends[1:])
            if last > first
        ]

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> list[Tensor]:
        """Pixels float [n, 3, H, W] -> each recogniser's embeddings of its rows."""
        return [one(pixels[rows]) for one, _, rows in self.parts(len(pixels))]

    def distances(self, shown: Tensor, wanted: list[Tensor], repeats: int = 1) -> tuple[Tensor, Tensor]:
        """(distances, distances times the recognisers' factors), float [repeats * n].

        shown: float [repeats * n, 3, H, W], the batch once behind the other; wanted: ``embed`` of the originals.
        """
        batches = shown.view(repeats, -1, *shown.shape[1:])
        found, weighted = [], []
        for (one, factor, rows), target in zip(self.parts(batches.shape[1]), wanted):
            mine = batches[:, rows]
            distance = identity_distance(one(mine.flatten(0, 1)), target.repeat(repeats, 1))
            found.append(distance.view(mine.shape[:2]))
            weighted.append(factor * found[-1])
        return torch.cat(found, 1).flatten(), torch.cat(weighted, 1).flatten()

    def regions(self, pixels: Tensor, counts: Tensor, weight: float) -> Callable[[Tensor], Tensor]:
        """As ``Look.regions``: of originals float [n, 3, H, W], of which those count that bool [n] says."""
        wanted = self.embed(pixels)

        def measured(shown: Tensor) -> Tensor:
            return weight * counts.repeat(LEVELS) * self.distances(shown, wanted, LEVELS)[1]

        return measured


class SplitLook(Look):
    """Each face is seen by one of several recognisers, and those that are not aligned weigh nothing: a captured graph
    can do it.

    Args:
        weight: of the identity term.
    """

    def __init__(self, batch: Batch, split: SplitIdentity, weight: float):
        super().__init__(batch)
        self.seen, self.split, self.weight = batch.identity, split, weight
        self.wanted = split.embed(batch.pixels)

    def beside(self, shown: Tensor) -> tuple[Tensor, Tensor]:
        distance, weighted = self.split.distances(shown, self.wanted)
        return distance, self.weight * self.batch.aligned * weighted

    def rows(self, first: int, every: int) -> slice:
        return slice(first, None, every)

    def regions(self, at: Any) -> Callable[[Tensor], Tensor]:
        return self.split.regions(self.batch.pixels[at], self.batch.aligned[at], self.weight)
