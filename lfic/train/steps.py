"""A step of a run: what the two ways of taking one have in common, and the plain one (the other: graph.py)."""

from collections.abc import Callable
from typing import Protocol

import torch
from safetensors.torch import save_file

from ..errors import LficError
from .batches import Batch
from .loss import Figures, TrainingLoss
from .picture_loss import Pictures
from .state import Trainer


class Stepper(Protocol):
    """Takes the steps of a run.

    ``over``: whether some process of the run was out of time when its newest step began.
    """

    over: bool

    def step(self, batch: Batch, step: int, rate: float) -> Figures:
        """Move the parameters by one step on a ``Batch`` on the device, at a learning rate.

        Returns figures for the log, valid until the next call.

        Raises:
            LficError: the loss or the gradient of this step or of the one before is no number; its batch is kept.
        """

    def settle(self) -> None:
        """Raise what ``step`` would raise for the newest step, so that what it left may be saved."""


class EagerStep:
    """Gradient, clipping, optimisers, one kernel after the other; any device, any number of processes.

    Args:
        late: whether this process is out of time.
        pictures: those of the run, fetched for each step, or None.
    """

    def __init__(
        self,
        trainer: Trainer,
        loss: TrainingLoss,
        late: Callable[[], bool] = lambda: False,
        pictures: Pictures | None = None,
    ):
        self.trainer, self.loss, self.late, self.pictures, self.over = trainer, loss, late, pictures, False
        self.wrap()

    def wrap(self) -> None:
        """Join the gradients of the processes, for the parameters that learn."""
        self.net, self.wrapped = self.trainer.world.wrap(self.trainer.net), self.trainer.entropy_alone

    def step(self, batch: Batch, step: int, rate: float) -> Figures:
        """See ``Stepper``. Nothing moves where a loss or a gradient is no number."""
        trainer, late = self.trainer, self.late()
        if self.wrapped != trainer.entropy_alone:
            self.wrap()
        loss, figures, out = self.loss(self.net, batch, step)
        trainer.optimizer.zero_grad(set_to_none=True)
        (loss * (1 - self.pictures.share) if self.pictures else loss).backward()  # type: ignore[no-untyped-call]
        if self.pictures:
            more, others = self.pictures.backward(self.net, step)
            loss, figures = loss.detach() + more, figures | others
        figures["norm"] = norm = torch.nn.utils.clip_grad_norm_(trainer.parameters, trainer.schedule.clip)
        finite = loss.isfinite() & norm.isfinite()
        adversary = trainer.adversary if self.loss.phase(step).adversarial else None
        if adversary:
            figures["discriminator"] = adversary.backward(out, batch.pixels)
            finite = finite & figures["discriminator"].isfinite()
        broken, self.over = trainer.world.any(~finite, late)
        if broken:
            raise bad_batch(trainer, batch, step, loss.item(), norm.item())
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        trainer.optimizer.step()
        if adversary:
            adversary.step()
        return figures

    def settle(self) -> None:
        """Nothing to raise: ``step`` has looked at its own result."""


def bad_batch(trainer: Trainer, batch: Batch, step: int, loss: float, norm: float) -> LficError:
    """Store the batch of a loss or a gradient that is no number; returns the error."""
    world = trainer.world
    path = trainer.out / ("bad-batch.safetensors" if world.size == 1 else f"bad-batch-{world.rank}.safetensors")
    save_file({"pixels": batch.pixels.cpu().contiguous(), "quality": batch.quality.cpu()}, path)
    return LficError(f"loss is {loss}, its gradient's norm {norm} at step {step}: the batch is in {path}")
