"""Several recognisers of which each face is seen by one.

What a face costs stays that of one, and the mean gradient is that of all: with weights w (of sum 1) and the
probabilities p of being drawn, recogniser k's distance counts w_k / p_k times, on average sum_k w_k d_k.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..metric.identity import identity_distance
from .batches import Batch
from .identity import Look, TargetEmbeddings, region_distances
from .world import World


class DrawnIdentity(nn.Module):
    """See the module's docstring.

    Args:
        tables: a ``TargetEmbeddings`` for each recogniser.
        weights: positive numbers, one for each; None or empty: equal.
        shares: how often each is drawn, positive numbers; None or empty: equally often.
    """

    factors: Tensor

    def __init__(
        self,
        tables: Sequence[TargetEmbeddings],
        weights: Sequence[float] | None = None,
        shares: Sequence[float] | None = None,
    ):
        super().__init__()
        self.tables = list(tables)
        equal = [1.0] * len(self.tables)
        relative = torch.tensor(list(weights or equal), dtype=torch.float32)
        often = torch.tensor(list(shares or equal), dtype=torch.float32)
        self.shares = often / often.sum()
        self.register_buffer("factors", relative / relative.sum() / self.shares, persistent=False)

    def draw(self, count: int) -> Tensor:
        """Which recogniser sees each face: int64 [count]. How many see one is its share, up to a face."""
        order, offset = torch.rand(count).argsort(), torch.rand(1)
        place = (torch.arange(count) + offset) / count
        which = torch.searchsorted(self.shares.cumsum(0), place, right=True).clamp(max=len(self.shares) - 1)
        return torch.zeros_like(which).scatter_(0, order, which).to(self.factors.device)

    def pick(self) -> tuple[TargetEmbeddings, float]:
        """One recogniser for all faces: (its ``TargetEmbeddings``, the factor of its distances)."""
        k = int(self.draw(1))
        return self.tables[k], float(self.factors[k])

    def forward(self, shown: Tensor, which: Tensor, originals: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Identity distances, float [n]; ``factors[which]`` times these are an unbiased estimate of the weighted mean.

        Args:
            shown: reconstructions on the template, float [n, 3, H, W] in 0..1. which: int64 [n].
            originals: (number of a recogniser, rows bool [n]) -> the originals' embeddings there.
        """
        out = shown.new_zeros(len(shown))
        for k, table in enumerate(self.tables):
            rows = which == k
            if rows.any():
                out[rows] = identity_distance(table.recognizer(shown[rows]), originals(k, rows))
        return out


class DrawnLook(Look):
    """One of several recognisers, drawn for each, sees the faces that the batch has chosen.

    Args:
        weight: of the identity term. share: of the aligned faces that are seen, which weigh more by as much.
    """

    def __init__(self, batch: Batch, drawn: DrawnIdentity, weight: float, share: float, world: World):
        super().__init__(batch)
        self.seen, self.drawn, self.weight, self.share = batch.identity, drawn, weight, share
        self.which = world.rows(drawn.draw(len(batch.pixels) * world.size))

    def beside(self, shown: Tensor) -> tuple[Tensor, Tensor]:
        batch, seen = self.batch, self.seen
        known = seen.cpu()
        index, flipped, plain, pixels = batch.index[known], batch.flipped[known], batch.plain[known], batch.pixels[seen]

        def originals(k: int, rows: Tensor) -> Tensor:
            at = rows.cpu()
            return self.drawn.tables[k](pixels[rows], index[at], flipped[at], plain[at])

        distance = self.drawn(shown[seen], self.which[seen], originals)
        nothing = torch.zeros_like(batch.pixels[:, 0, 0, 0])
        weighted = self.drawn.factors[self.which[seen]] * distance
        weight = self.weight / self.share
        return nothing.masked_scatter(seen, distance), weight * nothing.masked_scatter(seen, weighted)

    def regions(self, at: Any) -> Callable[[Tensor], Tensor]:
        table, factor = self.drawn.pick()
        return region_distances(self.batch, table, self.weight * factor, at)
