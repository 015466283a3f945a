"""The loss of pictures beside that of crops: bits + beta(quality) * distortion, of as many pixels as a crop has.

Identity counts where a face can be seen: original and reconstruction are warped onto the template by the same
similarity, differentiably.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.picturepack import PicturePack
from ..format.geometry import LEVELS, SIDE
from ..metric.chroma import low_chroma
from ..metric.hybrid import HybridMetric
from ..metric.identity import identity_distance
from ..metric.pixel import on_face
from ..network.net import TrainingOutput
from .batches import batches
from .drawn import DrawnIdentity
from .loss import Figures, TrainingLoss
from .pictures import PictureBatch, PictureSteps
from .sections import DataConfig
from .split import SplitIdentity
from .weights import Weights, beta, loss_scale, pixel_weights

# A picture's gradient counts as if its loss were no larger: a face has about 3, a page of text up to 100.
LIMIT = 8.0
FINER = 2  # samples a side of a template's pixel, so that a large face does not alias


def on_template(pixels: Tensor, matrix: Tensor) -> Tensor:
    """Faces of pictures on the template: float [n, 3, H, W] -> [n, 3, 112, 112].

    matrix: float [n, 2, 3], template -> picture. Bilinear, continued by reflection, differentiable in the pixels.
    """
    height, width = pixels.shape[-2:]
    at = (torch.arange(SIDE * FINER, device=pixels.device) + 0.5) / FINER - 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    places = torch.einsum("nij,hwj->nhwi", matrix, torch.stack([x, y, torch.ones_like(x)], -1))
    # grid_sample has the picture in -1..1, edge to edge.
    grid = torch.stack([(2 * places[..., 0] + 1) / width - 1, (2 * places[..., 1] + 1) / height - 1], -1)
    fine = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return F.avg_pool2d(fine, FINER)


def faces_in(matrix: Tensor, height: int, width: int) -> Tensor:
    """How far pixels are on the face: float [n, 1, height, width] in 0..1; matrix as in ``on_template``."""
    a, b = matrix[:, 0, 0, None, None], matrix[:, 1, 0, None, None]  # a similarity: [[a, -b], [b, a]]
    y, x = torch.meshgrid(*(torch.arange(side, device=matrix.device) for side in (height, width)), indexing="ij")
    x, y = x - matrix[:, 0, 2, None, None], y - matrix[:, 1, 2, None, None]
    square = a * a + b * b
    return on_face((a * x + b * y) / square + 0.5, (a * y - b * x) / square + 0.5)[:, None]


class PictureLoss:
    """The loss of a step's pictures.

    Args:
        crops: the loss of the same run's crops, whose weights and recognisers these share.
        count: pictures of a step, over all processes.
    """

    def __init__(self, crops: TrainingLoss, count: int):
        self.crops, self.loss, self.world, self.count = crops, crops.loss, crops.world, count
        self.metric = HybridMetric(texture_weight=crops.loss.texture_weight).to(self.world.device)
        self.looks = crops.drawn
        if self.looks is None and crops.targets is not None:
            self.looks = DrawnIdentity([crops.targets]).to(self.world.device)
        # What a CUDA graph is to capture: no shape depends on which faces are seen.
        self.split = crops.split
        if crops.captured and self.split is None and crops.targets is not None:
            self.split = SplitIdentity([crops.targets.recognizer], [1.0], [1.0])

    def __call__(self, net: nn.Module, batch: PictureBatch, step: int) -> tuple[Tensor, Figures]:
        """(loss, figures) of a batch on the device. net: ``CodecNet``, or what wraps one."""
        phase = self.crops.phase(step)
        looks = self.looks if phase.identity else None
        area = batch.pixels[0, 0].numel() / SIDE**2
        weights = self.weights(batch, area, looks is not None)
        out = self.crops.coded(net, batch, phase)
        if phase.entropy_only:
            loss = (out.bits / weights.scale).mean()
            return loss, {"picture_loss": loss.detach(), "picture_bytes": out.bits.detach().mean() / 8 / area}
        assert out.pixels is not None
        terms = self.metric(out.pixels, batch.pixels, weights.map, pixel_weight=weights.pixel)
        chroma, cosine = low_chroma(out.pixels, batch.pixels), weights.beta.new_full((), float("nan"))
        total = terms.total
        if self.loss.chroma_weight:
            total = total + weights.pixel * self.loss.chroma_weight * chroma
        if looks is not None and self.split:
            wanted = self.split.embed(on_template(batch.pixels, batch.matrix))
            distance, weighted = self.split.distances(on_template(out.pixels, batch.matrix), wanted)
            total = total + self.loss.identity_weight * batch.visible * weighted
            cosine = 1 - (distance * batch.visible).sum() / batch.visible.sum().clamp(min=1)
        elif looks is not None:
            seen, which = batch.visible, self.world.rows(looks.draw(self.count))
            if seen.any():
                distance = self.identity(looks, out.pixels[seen], batch.pixels[seen], batch.matrix[seen], which[seen])
                weighted = self.loss.identity_weight * looks.factors[which[seen]] * distance
                total = total + torch.zeros_like(weights.beta).masked_scatter(seen, weighted)
                cosine = 1 - distance.mean()
        each = (out.bits + weights.beta * total) / weights.scale
        loss = (each * (LIMIT / each.detach()).clamp(max=1)).mean()
        error = (out.pixels - batch.pixels).square().mean()
        figures = {
            "picture_loss": loss,
            "picture_bytes": out.bits.mean() / 8 / area,
            "picture_psnr": -10 * torch.log10(error + 1e-9),
            "picture_cos": cosine,
            "picture_chroma": self.loss.chroma_weight * chroma.mean() / error,  # beside the pixel term
        }
        again, of_generations = self.crops.generations(net, out, batch)
        figures |= {f"picture_{name}": figure for name, figure in of_generations.items()}
        loss = loss + again + self.head_loss(net, out, batch, weights, looks)
        return loss, {name: figure.detach() for name, figure in figures.items()}

    def weights(self, batch: PictureBatch, area: float, identity: bool) -> Weights:
        """What the terms of each picture count; area: how many times as many pixels as a crop it has. What is not face
        counts as in a crop without identity, and ``background_weight`` times where a face is seen."""
        b = beta(batch.quality, self.loss)
        seen = (batch.visible * identity)[:, None, None, None]
        behind = self.loss.pixel_only_weight * torch.where(seen, self.loss.background_weight, 1.0)
        face = faces_in(batch.matrix, *batch.pixels.shape[2:]) * seen
        each = torch.lerp(behind, pixel_weights(batch.quality, self.loss)[:, None, None, None], face)
        mean = each.mean((1, 2, 3))
        return Weights(
            beta=b,
            scale=loss_scale(b, self.loss) * area,
            pixel=area * mean,
            map=each / mean.clamp(min=1e-9)[:, None, None, None],
        )

    def identity(self, looks: DrawnIdentity, shown: Tensor, original: Tensor, matrix: Tensor, which: Tensor) -> Tensor:
        """Distances, float [n], of faces in pictures float [n, 3, H, W]; which: int64 [n], the recogniser of each."""
        with torch.no_grad():
            wanted = on_template(original, matrix)

        def originals(k: int, rows: Tensor) -> Tensor:
            with torch.no_grad():
                return looks.tables[k].recognizer(wanted[rows])

        distances: Tensor = looks(on_template(shown, matrix), which, originals)
        return distances

    def head_loss(
        self,
        net: nn.Module,
        out: TrainingOutput,
        batch: PictureBatch,
        weights: Weights,
        looks: DrawnIdentity | None,
    ) -> Tensor:
        """As ``TrainingLoss.head_loss``, of the first ``level_faces`` pictures: 0-d."""
        if not self.loss.level_faces:
            return out.logits.sum() * 0
        chosen = torch.arange(self.count) < self.loss.level_faces
        at: Tensor | slice = self.world.rows(chosen).nonzero()[:, 0]
        if self.split:
            at = slice(self.loss.level_faces)
        place = self.world.draw((len(out.logits),), device=out.logits.device)
        identity = self.regions(batch, at, looks) if looks is not None else None
        if isinstance(at, Tensor) and not len(at):
            return out.logits.sum() * 0
        losses = self.crops.level_losses(net, out, batch, at, place, weights, identity)
        return losses.sum() * (self.world.size / int(chosen.sum()))

    def regions(self, batch: PictureBatch, at: Tensor | slice, looks: DrawnIdentity) -> Callable[[Tensor], Tensor]:
        """As ``Look.regions``, of the pictures at int64 [n] or a slice: by one of the recognisers, or by all where they
        share out a batch."""
        if self.split:
            matrices = batch.matrix[at]
            originals = on_template(batch.pixels[at], matrices)
            measured = self.split.regions(originals, batch.visible[at], self.loss.identity_weight)
            return lambda shown: measured(on_template(shown, matrices.repeat(LEVELS, 1, 1)))
        table, factor = looks.pick()
        faces = batch.visible[at]
        matrix = batch.matrix[at][faces]
        wanted: Tensor | None = None
        if faces.any():
            with torch.no_grad():
                wanted = table.recognizer(on_template(batch.pixels[at][faces], matrix))

        def distances(shown: Tensor) -> Tensor:
            out, some = shown.new_zeros(len(shown)), faces.repeat(LEVELS)
            if wanted is not None:
                found = table.recognizer(on_template(shown[some], matrix.repeat(LEVELS, 1, 1)))
                distance = identity_distance(found, wanted.repeat(LEVELS, 1))
                out[some] = self.loss.identity_weight * factor * distance
            return out

        return distances


class Pictures:
    """The pictures of a run, step by step; ``share``: of a step's faces that are pictures."""

    def __init__(self, crops: TrainingLoss, data: DataConfig, seed: int, start: int, end: int):
        self.loss, self.world = PictureLoss(crops, data.picture_batch), crops.world
        drawn = PictureSteps(PicturePack(data.pictures), data, seed, self.world)
        self.batches = batches(drawn, start, end)
        self.share = data.picture_batch / (data.picture_batch + data.batch)

    def fetch(self) -> None:
        """Have the next step's pictures on the device."""
        self.batch = next(self.batches).to(self.world.device)

    def backward(self, net: nn.Module, step: int, batch: PictureBatch | None = None) -> tuple[Tensor, Figures]:
        """Add the gradient of a batch, of the fetched one where none is given, weighted by their share: (loss,
        figures)."""
        loss, figures = self.loss(net, batch or self.batch, step)
        whole = loss
        if self.world.size > 1:
            # Processes wait for every parameter's gradient, and pictures have no use for the template's places.
            for parameter in net.parameters():
                whole = whole + (parameter * 0).sum()
        (self.share * whole).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), figures

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of the fetched pictures' pixels."""
        return tuple(self.batch.pixels.shape)
