"""The discriminator of a run: trained beside the codec, with an optimiser of its own (lfic/metric/adversarial.py)."""

import torch
from torch import nn
from torch.nn import functional as F

from ..format.geometry import LEVELS
from ..metric.adversarial import AdversarialMetric, PatchDiscriminator
from ..network.rap import expand_regions
from .checkpoint import load_tensors, optimizer_state, restore_optimizer, save_tensors


class DiscriminatorLoss(nn.Module):
    """``AdversarialMetric.discriminator_loss`` as a module's forward pass, which is where gradients of processes are
    joined."""

    def __init__(self, metric):
        super().__init__()
        self.metric = metric

    def forward(self, pixels, target, levels):
        return self.metric.discriminator_loss(pixels, target, levels)


class Adversary:
    """``metric``, an ``AdversarialMetric`` for the codec's loss, and what it learns by."""

    def __init__(self, config, world):
        self.metric = AdversarialMetric(
            config.adversarial_loss, config.feature_matching, PatchDiscriminator(config.discriminator_width)
        ).to(world.device)
        self.optimizer = torch.optim.Adam(
            self.metric.parameters(), lr=config.discriminator_learning_rate, betas=(0.5, 0.99)
        )
        self.loss = world.wrap(DiscriminatorLoss(self.metric))

    @staticmethod
    def levels(out):
        """One-hot levels of every cell, float [N, 3, h, w], of a ``TrainingOutput``: regions at the edge may be
        partial."""
        cells = F.one_hot(out.levels.long(), LEVELS).permute(0, 3, 1, 2).to(out.pixels.dtype)
        return expand_regions(cells, *out.features.shape[-2:])

    def backward(self, out, target):
        """The discriminator's gradient; returns its loss, 0-d."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(out.pixels.detach(), target, self.levels(out)).mean()
        loss.backward()
        return loss.detach()

    def step(self):
        """Move the discriminator."""
        self.optimizer.step()

    def _named(self):
        names, parameters = zip(*self.metric.discriminator.named_parameters())
        return self.optimizer, names, parameters

    def save(self, folder):
        """Write discriminator*.safetensors and adversary*.safetensors, its optimiser's moments."""
        save_tensors(self.metric.discriminator.state_dict(), folder, "discriminator")
        save_tensors(optimizer_state(*self._named()), folder, "adversary")

    def load(self, folder):
        """Read them; a checkpoint of a run that had none leaves a fresh discriminator."""
        saved = load_tensors(folder, "discriminator")
        if saved:
            self.metric.discriminator.load_state_dict(saved)
            restore_optimizer(*self._named(), load_tensors(folder, "adversary"))
