"""From a batch to the number that is minimised: bits + beta(quality) * distortion."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..format.geometry import LEVELS, SIDE
from ..metric.chroma import low_chroma
from ..metric.hybrid import HybridMetric, MetricTerms
from ..metric.identity import RecognizerEnsemble
from ..metric.pixel import template_weight
from ..network.net import TrainingOutput
from .adversary import Adversary
from .batches import Batch
from .drawn import DrawnIdentity, DrawnLook
from .generation import generation_error
from .identity import Look, Recognizers, SeenLook, TargetEmbeddings, WholeLook
from .levels import level_loss, region_costs
from .pictures import PictureBatch
from .schedule import Phase, phase_of
from .sections import LossConfig, ScheduleConfig
from .split import SplitIdentity, SplitLook
from .weights import Weights, beta, loss_scale, pixel_weights
from .world import World

Figures = dict[str, Tensor]  # what is logged of a step: tensors without dimensions


class TrainingLoss:
    """The loss of a step.

    Args:
        recognizer: as for ``HybridMetric``, or None.
        faces: how many the data has.
        adversary: ``Adversary``, or None.
        precision: of the transforms, "float32" or "bfloat16".
        captured: whether a CUDA graph is to capture it: then nothing depends on what is in a tensor.
    """

    def __init__(
        self,
        loss: LossConfig,
        schedule: ScheduleConfig,
        world: World,
        recognizer: Recognizers | None,
        faces: int,
        adversary: Adversary | None = None,
        precision: str = "float32",
        captured: bool = False,
    ):
        self.loss, self.schedule, self.world, self.adversary = loss, schedule, world, adversary
        self.precision, self.captured = precision, captured
        self.drawn: DrawnIdentity | None = None
        self.split: SplitIdentity | None = None
        if loss.recognizer_shares:
            assert isinstance(recognizer, RecognizerEnsemble)  # of as many, see ``LossConfig.check_shares``
            tables = [TargetEmbeddings(one, faces) for one in recognizer.recognizers]
            drawn = DrawnIdentity(tables, loss.recognizer_weights, loss.recognizer_shares)
            if captured:
                self.split = SplitIdentity(list(recognizer.recognizers), drawn.factors.tolist(), drawn.shares.tolist())
            self.drawn = drawn.to(world.device)
        self.metric = HybridMetric(
            None if self.drawn else recognizer,
            pixel_weight=loss.pixel_weight,
            identity_weight=None if self.drawn or recognizer is None else loss.identity_weight / loss.identity_share,
            adversarial=adversary.metric if adversary else None,
            feature_weight=loss.feature_weight / loss.identity_share if recognizer is not None else 0,
            texture_weight=loss.texture_weight,
        ).to(world.device)
        self.targets = TargetEmbeddings(recognizer, faces) if recognizer is not None else None
        self.weight_map = template_weight(loss.face_floor).to(world.device)
        self.everywhere = torch.ones(1, 1, SIDE, SIDE, device=world.device)

    def phase(self, step: int) -> Phase:
        """The phase of a step, with what this run has."""
        phase = phase_of(step, self.schedule)
        return dataclasses.replace(
            phase,
            identity=phase.identity and self.targets is not None,
            adversarial=phase.adversarial and self.adversary is not None,
        )

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The precision of the transforms."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.world.device.type, torch.bfloat16)

    def __call__(self, net: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Figures, TrainingOutput]:
        """(loss, figures, what the network gave) of a batch on the device. net: ``CodecNet``, or what wraps one."""
        phase = self.phase(step)
        weights = self.weights(batch, phase)
        out = self.coded(net, batch, phase)
        if phase.entropy_only:
            loss = (out.bits / weights.scale).mean()
            return loss, self.figures(loss, out), out
        look = self.look(batch, phase)
        if self.schedule.levels_only:
            loss = self.head_loss(net, out, batch, weights, look)
            return loss, self.figures(loss, out), out
        terms = self.metric(
            out.pixels,
            batch.pixels,
            weights.map,
            self.adversary.levels(out) if self.adversary and phase.adversarial else None,
            pixel_weight=weights.pixel,
            adversarial_weight=self.loss.adversarial_weight if phase.adversarial else 0,
            **look.terms(),
        )
        assert out.pixels is not None
        terms = self.beside(terms, out.pixels, batch, weights, look)
        loss = ((out.bits + weights.beta * terms.total) / weights.scale).mean()
        beside, figures = self.generations(net, out, batch)
        beside = beside + self.head_loss(net, out, batch, weights, look)
        return loss + beside, self.figures(loss, out, terms, look.seen) | figures, out

    def generations(self, net: nn.Module, out: TrainingOutput, batch: Batch | PictureBatch) -> tuple[Tensor, Figures]:
        """What decoded pictures that are coded again add to the loss, 0-d, and how much it is."""
        weight, count = self.loss.generation_weight, min(self.loss.generation_faces, len(batch.pixels))
        if not weight:
            return out.bits.new_zeros(()), {}
        with self.autocast():
            error = generation_error(net, out, batch.quality, batch.aligned, count)
        loss = weight * error.mean()
        return loss, {"generation": loss.detach()}

    def weights(self, batch: Batch, phase: Phase) -> Weights:
        """What the terms of each face count."""
        aligned, b = batch.aligned, beta(batch.quality, self.loss)
        b = torch.where(aligned, b * self.loss.crop_beta, b)
        pixel = pixel_weights(batch.quality, self.loss)
        return Weights(
            beta=b,
            scale=loss_scale(b, self.loss),
            pixel=torch.where(aligned & phase.identity, pixel, self.loss.pixel_only_weight),
            map=torch.where(aligned[:, None, None, None], self.weight_map, self.everywhere),
        )

    def beside(self, terms: MetricTerms, shown: Tensor, batch: Batch, weights: Weights, look: Look) -> MetricTerms:
        """The metric's terms, and with them those that it does not have: chroma, and recognisers that are drawn."""
        total, identity = terms.total, terms.identity
        apart = look.beside(shown)
        if apart is not None:
            identity, total = apart[0], total + apart[1]
        if self.loss.chroma_weight:
            total = total + weights.pixel * self.loss.chroma_weight * low_chroma(shown, batch.pixels)
        return dataclasses.replace(terms, total=total, identity=identity)

    def coded(self, net: nn.Module, batch: Batch | PictureBatch, phase: Phase) -> TrainingOutput:
        """The network's pass over a batch; its pixels are None where no term looks at them."""
        with self.autocast():
            out: TrainingOutput = net(
                batch.pixels,
                batch.quality,
                batch.aligned,
                phase.explore,
                batch.uniform_level,
                phase.hard,
                self.world.draw,
                not (phase.entropy_only or self.schedule.levels_only),
            )
        return out

    def look(self, batch: Batch, phase: Phase) -> Look:
        """What the recognisers see of a batch."""
        if self.targets is None or not phase.identity:
            return Look(batch)
        if self.split:
            return SplitLook(batch, self.split, self.loss.identity_weight)
        if self.captured:
            return WholeLook(batch, self.targets.recognizer, self.loss.identity_weight)
        if self.drawn:
            return DrawnLook(batch, self.drawn, self.loss.identity_weight, self.loss.identity_share, self.world)
        described = not (self.loss.feature_weight or self.schedule.levels_only)
        return SeenLook(batch, self.targets, self.loss.identity_weight, described)

    def head_loss(self, net: nn.Module, out: TrainingOutput, batch: Batch, weights: Weights, look: Look) -> Tensor:
        """How far the head's choice is from the measured best in a region of ``level_faces`` faces of the step: 0-d."""
        count = len(batch.pixels)
        every = max(1, count * self.world.size // max(1, self.loss.level_faces))
        first = -self.world.rank * count % every
        if not self.loss.level_faces:
            return out.logits.sum() * 0
        # Random numbers are drawn even where this process has no such face: all are to go on alike.
        place = self.world.draw((count,), device=out.logits.device)
        at = look.rows(min(first, count), every)
        identity = look.regions(at)
        if first >= count:
            return out.logits.sum() * 0
        # Processes average their gradients: those of few measured faces are not to count more.
        measured = len(range(0, count * self.world.size, every))
        return self.level_losses(net, out, batch, at, place, weights, identity).sum() * (self.world.size / measured)

    def level_losses(
        self,
        net: nn.Module,
        out: TrainingOutput,
        batch: Batch | PictureBatch,
        at: Tensor | slice,
        place: Tensor,
        weights: Weights,
        identity: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        """The head's losses in one region of each of n faces: float [n].

        Args:
            at: an index of those in the batch. place: float [N] in 0..1, which region it is of each of all.
            identity: as for ``region_costs``.
        """
        # What the encoder will choose: levels drawn at random would have lost much of the person before the region is
        # looked at.
        levels = out.logits[at].detach().argmax(1).to(torch.uint8)
        regions = levels[0].numel()
        region = (place[at] * regions).long().clamp(max=regions - 1)
        codec: Any = getattr(net, "module", net)  # what DistributedDataParallel wraps
        with self.autocast():
            costs = region_costs(
                codec,
                out.features[at].detach(),
                levels,
                region,
                batch.pixels[at],
                batch.quality[at],
                batch.aligned[at],
                weights.map[at],
                weights.beta[at],
                weights.pixel[at],
                self.loss.texture_weight,
                identity,
            )
        return level_loss(out.logits[at], region, costs, weights.scale[at])

    def figures(
        self, loss: Tensor, out: TrainingOutput, terms: MetricTerms | None = None, seen: Tensor | None = None
    ) -> Figures:
        """What is logged, nan where nothing was measured. loss: without the head's."""
        nothing = loss.new_full((), float("nan"))
        figures = {"loss": loss, "bytes": out.bits.mean() / 8, "psnr": nothing, "cos": nothing}
        figures |= {f"level{level}": (out.levels == level).float().mean() for level in range(1, LEVELS)}
        if self.loss.feature_weight:
            figures["features"] = nothing
        if self.loss.generation_weight:
            figures["generation"] = nothing
        if self.adversary:
            figures |= {"adversarial": nothing, "discriminator": nothing}
        if terms is not None and seen is not None:
            count = seen.sum().clamp(min=1)
            measured = {
                "psnr": -10 * torch.log10(terms.pixel.mean() + 1e-9),
                "cos": 1 - (terms.identity * seen).sum() / count,
                "features": terms.features.sum() / count,
                "adversarial": terms.adversarial.mean(),
            }
            figures |= {name: figure for name, figure in measured.items() if name in figures}
        return {name: figure.detach() for name, figure in figures.items()}
