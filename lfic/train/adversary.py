"""The discriminator of a run: trained beside the codec, with an optimiser of its own (lfic/metric/adversarial.py)."""

import pathlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..format.geometry import LEVELS
from ..metric.adversarial import AdversarialMetric, PatchDiscriminator
from ..network.net import TrainingOutput
from ..network.rap import expand_regions
from .checkpoint import load_tensors, optimizer_state, restore_optimizer, save_tensors
from .sections import LossConfig
from .world import World


class DiscriminatorLoss(nn.Module):
    """``AdversarialMetric.discriminator_loss`` as a module's forward pass, which is where gradients of processes are
    joined."""

    def __init__(self, metric: AdversarialMetric):
        super().__init__()
        self.metric = metric

    def forward(self, pixels: Tensor, target: Tensor, levels: Tensor) -> Tensor:
        loss: Tensor = self.metric.discriminator_loss(pixels, target, levels)
        return loss


class Adversary:
    """``metric``, an ``AdversarialMetric`` for the codec's loss, and what it learns by."""

    def __init__(self, loss: LossConfig, world: World):
        self.metric = AdversarialMetric(
            loss.adversarial_loss, loss.feature_matching, PatchDiscriminator(loss.discriminator_width)
        ).to(world.device)
        self.optimizer = torch.optim.Adam(
            self.metric.parameters(), lr=loss.discriminator_learning_rate, betas=(0.5, 0.99)
        )
        self.loss = world.wrap(DiscriminatorLoss(self.metric))

    @staticmethod
    def levels(out: TrainingOutput) -> Tensor:
        """One-hot levels of every cell, float [N, 3, h, w], of a ``TrainingOutput``: regions at the edge may be
        partial."""
        cells = F.one_hot(out.levels.long(), LEVELS).permute(0, 3, 1, 2).to(out.features.dtype)
        expanded: Tensor = expand_regions(cells, *out.features.shape[-2:])
        return expanded

    def backward(self, out: TrainingOutput, target: Tensor) -> Tensor:
        """The discriminator's gradient; returns its loss, 0-d. ``out`` has pixels."""
        assert out.pixels is not None
        self.optimizer.zero_grad(set_to_none=True)
        loss: Tensor = self.loss(out.pixels.detach(), target, self.levels(out)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def step(self) -> None:
        """Move the discriminator."""
        self.optimizer.step()

    def _named(self) -> tuple[torch.optim.Optimizer, list[str], list[nn.Parameter]]:
        named = list(self.metric.discriminator.named_parameters())
        return self.optimizer, [name for name, _ in named], [parameter for _, parameter in named]

    def save(self, folder: pathlib.Path) -> None:
        """Write discriminator*.safetensors and adversary*.safetensors, its optimiser's moments."""
        save_tensors(self.metric.discriminator.state_dict(), folder, "discriminator")
        save_tensors(optimizer_state(*self._named()), folder, "adversary")

    def load(self, folder: pathlib.Path) -> None:
        """Read them; a checkpoint of a run that had none leaves a fresh discriminator."""
        saved = load_tensors(folder, "discriminator")
        if saved:
            self.metric.discriminator.load_state_dict(saved)
            moments = load_tensors(folder, "adversary")
            if moments:  # none before its first step
                restore_optimizer(*self._named(), moments)
