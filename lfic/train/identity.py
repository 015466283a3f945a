"""Through whose eyes a step looks: the recognisers of a run, and what they are shown of a batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..format.geometry import LEVELS
from ..metric.identity import Recognizer, RecognizerEnsemble, identity_distance, load_recognizer
from .batches import Batch
from .sections import LossConfig

Recognizers = Recognizer | RecognizerEnsemble


def load_recognizers(loss: LossConfig, device: torch.device | str) -> Recognizers | None:
    """The recogniser of the identity term, or several as one; None where there is none."""
    names = [loss.recognizer] if isinstance(loss.recognizer, str) else loss.recognizer
    if not any(names):
        return None
    found = [load_recognizer(name, device) for name in names]
    return found[0] if len(found) == 1 else RecognizerEnsemble(found, loss.recognizer_weights or None)


class TargetEmbeddings:
    """Embeddings of the originals; those of plain aligned crops are computed when first asked for, and kept.

    Args:
        faces: how many the data has.
    """

    def __init__(self, recognizer: Callable[[Tensor], Tensor], faces: int):
        self.recognizer = recognizer
        self.known = torch.zeros(faces, 2, dtype=torch.bool)
        self.table: Tensor | None = None

    @torch.no_grad()
    def __call__(self, pixels: Tensor, index: Tensor, flipped: Tensor, plain: Tensor) -> Tensor:
        """Pixels float [n, 3, H, W]; index int64, flipped bool, plain bool [n], on the CPU -> float [n, D]."""
        side = flipped.long()
        fresh = ~plain | ~self.known[index, side]
        embedding = None
        if fresh.any():
            embedding = self._describe(pixels[fresh.to(pixels.device)])
            if self.table is None:
                self.table = torch.zeros(*self.known.shape, embedding.shape[1], device=pixels.device)
            keep = plain[fresh]
            self.table[index[fresh][keep], side[fresh][keep]] = embedding[keep.to(pixels.device)]
            self.known[index[fresh][keep], side[fresh][keep]] = True
        assert self.table is not None  # the first call finds nothing known
        out = self.table[index, side]
        if embedding is not None and not plain.all():
            out[~plain] = embedding[~plain[fresh]]
        return out

    def _describe(self, pixels: Tensor) -> Tensor:
        """Sums depend on the size of a batch in their last bits. One by one, a resumed run finds the same; a GPU
        promises no such thing."""
        if pixels.is_cuda:
            return self.recognizer(pixels)
        return torch.cat([self.recognizer(one[None]) for one in pixels])


class Look:
    """What the recognisers see of a batch. This one: nothing, as before the identity term begins.

    ``seen`` bool [N]: the faces that count in the figures.
    """

    def __init__(self, batch: Batch):
        self.batch = batch
        self.seen = torch.zeros_like(batch.identity)

    def terms(self) -> dict[str, Any]:
        """Arguments of ``HybridMetric``: seen, embedding, identity_weight."""
        return {"seen": self.seen}

    def beside(self, shown: Tensor) -> tuple[Tensor, Tensor] | None:
        """(distances, weighted ones), float [N], of reconstructions float [N, 3, 112, 112], where the metric does not
        measure them; None where it does."""
        return None

    def rows(self, first: int, every: int) -> Tensor | slice:
        """An index of every so many faces of the batch."""
        return torch.arange(first, len(self.seen), every)

    def regions(self, at: Any) -> Callable[[Tensor], Tensor] | None:
        """A function for ``region_costs``: how far reconstructions are from faces ``at``, an index of ``rows``."""
        return None


def described(batch: Batch, targets: TargetEmbeddings, at: Tensor) -> Tensor:
    """Embeddings of a batch's originals at bool or int64 indexes, on the CPU: float [n, D]."""
    return targets(batch.pixels[at], batch.index[at], batch.flipped[at], batch.plain[at])


def region_distances(batch: Batch, targets: TargetEmbeddings, weight: float, at: Tensor) -> Callable[[Tensor], Tensor]:
    """``Look.regions`` of one recogniser, whose distances count ``weight`` times; at: int64 [n], on the CPU."""
    aligned = batch.aligned[at]
    known = at[aligned.cpu()]
    originals = described(batch, targets, known) if len(known) else None

    def distances(shown: Tensor) -> Tensor:
        out, some = shown.new_zeros(len(shown)), aligned.repeat(LEVELS)
        if originals is not None:
            out[some] = weight * identity_distance(targets.recognizer(shown[some]), originals.repeat(LEVELS, 1))
        return out

    return distances


class SeenLook(Look):
    """The recognisers see the faces that the batch has chosen.

    Args:
        weight: of the identity term.
        described: False where the metric describes the originals itself, or is not asked.
    """

    def __init__(self, batch: Batch, targets: TargetEmbeddings, weight: float, described: bool):
        super().__init__(batch)
        self.seen, self.targets, self.weight, self.described = batch.identity, targets, weight, described

    def originals(self, at: Tensor) -> Tensor:
        """Embeddings of the originals at bool or int64 indexes, on the CPU."""
        return described(self.batch, self.targets, at)

    def terms(self) -> dict[str, Any]:
        known = self.described and bool(self.seen.any())
        return {"seen": self.seen, "embedding": self.originals(self.seen.cpu()) if known else None}

    def regions(self, at: Any) -> Callable[[Tensor], Tensor]:
        return region_distances(self.batch, self.targets, self.weight, at)


class WholeLook(Look):
    """The recognisers see every face, and those that are not aligned weigh nothing: no look at a tensor and no shape
    that depends on one, so that a captured graph can do it."""

    def __init__(self, batch: Batch, recognizer: Callable[[Tensor], Tensor], weight: float):
        super().__init__(batch)
        self.seen, self.recognizer, self.weight = batch.identity, recognizer, weight
        with torch.no_grad():
            self.embedding = recognizer(batch.pixels)

    def terms(self) -> dict[str, Any]:
        return {"embedding": self.embedding, "identity_weight": self.weight * self.batch.aligned}

    def rows(self, first: int, every: int) -> slice:
        return slice(first, None, every)

    def regions(self, at: Any) -> Callable[[Tensor], Tensor]:
        def distances(shown: Tensor) -> Tensor:
            distance: Tensor = identity_distance(self.recognizer(shown), self.embedding[at].repeat(LEVELS, 1))
            return self.weight * self.batch.aligned[at].repeat(LEVELS) * distance

        return distances
