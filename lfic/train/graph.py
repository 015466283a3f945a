"""A whole training step as one CUDA graph: gradient, clipping, optimiser.

The network is small and its steps are short: launching some five thousand kernels one by one takes a GPU's host several
times as long as they run. Captured once and replayed, they cost one launch. Random numbers still follow the seed that
is set before each step. What does not fit into a graph stays outside: data, logs, the average, and the turning of
SOAP's bases. Pictures beside the crops differ in size from step to step: each size has a graph of its own.
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
from .picture_loss import Pictures
from .pictures import PictureBatch
from .state import Trainer
from .steps import EagerStep, bad_batch


@dataclasses.dataclass
class Pending:
    """A step whose loss and gradient's norm are on their way to the host: float [2], there once ``event`` is over."""

    batch: Batch
    step: int
    judged: Tensor
    event: torch.cuda.Event


@dataclasses.dataclass
class Captured:
    """A step as a graph: what it reads, and what it leaves.

    judged: float [2], loss and the gradient's norm. moving: what the optimiser moves.
    """

    batch: Batch
    pictures: PictureBatch | None
    graph: Any = None
    figures: Figures = dataclasses.field(default_factory=dict)
    judged: Tensor | None = None
    moving: list[soap.Moving] = dataclasses.field(default_factory=list)


class GraphedStep:
    """Steps on one GPU, captured anew where a run enters another phase; see ``lfic.train.steps.Stepper``.

    The optimiser must be SOAP. Steps before the identity term, and the optimiser's first one, are eager ones. A step
    looks at the result of the one before: looking at its own would stop the host until the device is through.
    """

    def __init__(
        self,
        trainer: Trainer,
        loss: TrainingLoss,
        late: Callable[[], bool] = lambda: False,
        pictures: Pictures | None = None,
    ):
        assert isinstance(trainer.optimizer, soap.Soap)
        self.trainer, self.loss, self.late, self.pictures, self.over = trainer, loss, late, pictures, False
        self.optimizer = trainer.optimizer
        self.eager = EagerStep(trainer, loss, late, pictures)
        self.phase: Any = None  # in which the graphs were captured
        self.graphs: dict[Any, Captured] = {}
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
            self.graphs.clear()
            self.phase = phase
        size = self.pictures.size if self.pictures else None
        if size not in self.graphs:
            self.graphs[size] = self.capture(batch, step)
        captured = self.graphs[size]
        self.replay(captured, batch, rate)
        before, self.pending = self.pending, self.look(captured, batch, step)
        self.judge(before)
        return captured.figures

    def settle(self) -> None:
        """See ``Stepper``; waits for the device."""
        self.judge(self.pending)

    def replay(self, captured: Captured, batch: Batch, rate: float) -> None:
        """Run a graph on a batch, and on the pictures that were fetched."""
        for name in ON_DEVICE:
            getattr(captured.batch, name).copy_(getattr(batch, name))
        if self.pictures and captured.pictures:
            for name, tensor in vars(self.pictures.batch).items():
                getattr(captured.pictures, name).copy_(tensor)
        for _, state, group in captured.moving:
            group["lr"] = rate
            state["step"] += 1
        self.scales.copy_(torch.tensor(soap.scales(*captured.moving[0][1:])).pin_memory(), non_blocking=True)
        captured.graph.replay()
        self.optimizer.turn(captured.moving)

    def look(self, captured: Captured, batch: Batch, step: int) -> Pending:
        """Have loss and norm of this step brought to the host."""
        assert captured.judged is not None
        host = torch.empty(2, pin_memory=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        host.copy_(captured.judged, non_blocking=True)
        event.record()
        return Pending(batch, step, host, event)

    def judge(self, pending: Pending | None) -> None:
        """Raise where the loss or the norm of a step is no number."""
        if pending:
            pending.event.synchronize()
            loss, norm = pending.judged.tolist()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise bad_batch(self.trainer, pending.batch, pending.step, loss, norm)

    def gradient(self, captured: Captured, step: int) -> tuple[Tensor, Tensor, Figures]:
        """Gradient of the captured batch, clipped: (loss, norm, figures)."""
        loss, figures, _ = self.loss(self.trainer.net, captured.batch, step)
        if self.pictures and captured.pictures:
            (loss * (1 - self.pictures.share)).backward()  # type: ignore[no-untyped-call]
            more, others = self.pictures.backward(self.trainer.net, step, captured.pictures)
            loss, figures = loss.detach() + more, figures | others
        else:
            loss.backward()  # type: ignore[no-untyped-call]
        figures["norm"] = norm = torch.nn.utils.clip_grad_norm_(self.trainer.parameters, self.trainer.schedule.clip)
        return loss.detach(), norm, figures

    def inputs(self, batch: Batch) -> Captured:
        """Copies of a batch and of the fetched pictures, which stay where they are."""
        pictures = self.pictures.batch if self.pictures else None
        return Captured(
            dataclasses.replace(batch, **{name: getattr(batch, name).clone() for name in ON_DEVICE}),
            pictures and PictureBatch(**{name: tensor.clone() for name, tensor in vars(pictures).items()}),
        )

    def capture(self, batch: Batch, step: int) -> Captured:
        """Record a step; parameters and moments stay as they are."""
        captured = self.inputs(batch)
        parameters = self.trainer.parameters
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels compile, libraries start, TorchScript settles
            for _ in range(3):
                for parameter in parameters:
                    parameter.grad = None
                self.gradient(captured, step)
        torch.cuda.current_stream().wait_stream(stream)
        captured.moving = self.optimizer.moving()
        for parameter in parameters:
            parameter.grad = None
        captured.graph = torch.cuda.CUDAGraph()
        # The thread that pins batches goes on.
        with torch.cuda.graph(captured.graph, capture_error_mode="thread_local"):
            loss, norm, captured.figures = self.gradient(captured, step)
            captured.judged = torch.stack([loss, norm]).float()
            with torch.no_grad():
                for parameter, state, group in captured.moving:
                    soap.update(parameter, state, group, *self.scales.unbind())
        return captured
