"""A whole training step as one CUDA graph: gradient, clipping, optimiser.

The network is small and its steps are short: launching some five thousand kernels one by one takes a GPU's host several
times as long as they run. Captured once and replayed, they cost one launch. Random numbers still follow the seed that
is set before each step. What does not fit into a graph stays outside: data, logs, the average, and the turning of
SOAP's bases.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import soap
from .batches import ON_DEVICE, Batch
from .loss import Figures, TrainingLoss
from .state import Trainer
from .steps import EagerStep, bad_batch


@dataclasses.dataclass
class Pending:
    """A step whose loss and gradient's norm are on their way to the host: float [2], there once ``event`` is over."""

    batch: Batch
    step: int
    judged: Tensor
    event: torch.cuda.Event


class GraphedStep:
    """Steps on one GPU, captured anew where a run enters another phase; see ``lfic.train.steps.Stepper``.

    The optimiser must be SOAP. Steps before the identity term, and the optimiser's first one, are eager ones. A step
    looks at the result of the one before: looking at its own would stop the host until the device is through.
    """

    def __init__(self, trainer: Trainer, loss: TrainingLoss, late: Callable[[], bool] = lambda: False):
        assert isinstance(trainer.optimizer, soap.Soap)
        self.trainer, self.loss, self.late, self.over = trainer, loss, late, False
        self.optimizer = trainer.optimizer
        self.eager = EagerStep(trainer, loss, late)
        self.phase: Any = None  # in which the graph was captured
        self.pending: Pending | None = None
        self.scales = torch.zeros(3, device=trainer.world.device)

    def step(self, batch: Batch, step: int, rate: float) -> Figures:
        """See ``Stepper``."""
        if step < self.trainer.schedule.identity_from or not self.optimizer.state:
            figures = self.eager.step(batch, step, rate)
            self.over = self.eager.over
            return figures
        self.over = self.late()
        phase = (self.loss.phase(step), self.trainer.net.entropy.integers, self.trainer.frozen)
        if phase != self.phase:
            self.capture(batch, step)
            self.phase = phase
        self.replay(batch, rate)
        before, self.pending = self.pending, self.look(batch, step)
        self.judge(before)
        return self.figures

    def settle(self) -> None:
        """See ``Stepper``; waits for the device."""
        self.judge(self.pending)

    def replay(self, batch: Batch, rate: float) -> None:
        """Run the graph on a batch."""
        for name in ON_DEVICE:
            getattr(self.batch, name).copy_(getattr(batch, name))
        for _, state, group in self.moving:
            group["lr"] = rate
            state["step"] += 1
        self.scales.copy_(torch.tensor(soap.scales(*self.moving[0][1:])).pin_memory(), non_blocking=True)
        self.graph.replay()
        self.optimizer.turn(self.moving)

    def look(self, batch: Batch, step: int) -> Pending:
        """Have loss and norm of this step brought to the host."""
        host = torch.empty(2, pin_memory=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        host.copy_(self.judged, non_blocking=True)
        event.record()
        return Pending(batch, step, host, event)

    def judge(self, pending: Pending | None) -> None:
        """Raise where the loss or the norm of a step is no number."""
        if pending:
            pending.event.synchronize()
            loss, norm = pending.judged.tolist()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise bad_batch(self.trainer, pending.batch, pending.step, loss, norm)

    def gradient(self, step: int) -> tuple[Tensor, Tensor, Figures]:
        """Gradient of the captured batch, clipped: (loss, norm, figures)."""
        loss, figures, _ = self.loss(self.trainer.net, self.batch, step)
        loss.backward()  # type: ignore[no-untyped-call]
        figures["norm"] = norm = torch.nn.utils.clip_grad_norm_(self.trainer.parameters, self.trainer.schedule.clip)
        return loss.detach(), norm, figures

    def capture(self, batch: Batch, step: int) -> None:
        """Record a step; parameters and moments stay as they are."""
        self.batch = dataclasses.replace(batch, **{name: getattr(batch, name).clone() for name in ON_DEVICE})
        parameters = self.trainer.parameters
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels compile, libraries start, TorchScript settles
            for _ in range(3):
                for parameter in parameters:
                    parameter.grad = None
                self.gradient(step)
        torch.cuda.current_stream().wait_stream(stream)
        self.moving = self.optimizer.moving()
        for parameter in parameters:
            parameter.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # the thread that pins batches goes on
            loss, norm, self.figures = self.gradient(step)
            self.judged = torch.stack([loss, norm]).float()
            with torch.no_grad():
                for parameter, state, group in self.moving:
                    soap.update(parameter, state, group, *self.scales.unbind())
