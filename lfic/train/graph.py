"""A whole training step as one CUDA graph: gradient, clipping, optimiser.

The network is small and its steps are short: launching some five thousand kernels one by one takes a GPU's host several
times as long as they run. Captured once and replayed, they cost one launch. Random numbers still follow the seed that
is set before each step. What does not fit into a graph stays outside: data, logs, the average, and the turning of
SOAP's bases.
"""

import dataclasses

import torch

from . import soap

MOVED = ("pixels", "aligned", "quality", "uniform_level", "identity")


class GraphedStep:
    """Steps of a ``Trainer`` on one GPU, captured anew where a run enters another phase. The optimiser must be SOAP and
    have taken a step."""

    def __init__(self, trainer, objective):
        self.trainer, self.objective = trainer, objective
        self.phase = self.before = None
        self.scales = torch.zeros(3, device=trainer.world.device)

    def __call__(self, batch, step, rate):
        """One step on a ``Batch`` on the device.

        Returns (figures: dict of 0-d tensors, valid until the next call; (batch, loss, norm) of the call before,
        numbers, or None): looking at its own loss would stop the host until the device is through.
        """
        trainer = self.trainer
        phase = (self.objective.phase(step), trainer.net.entropy.integers, trainer.frozen)
        if phase != self.phase:
            self.capture(batch, step)
            self.phase = phase
        for name in MOVED:
            getattr(self.batch, name).copy_(getattr(batch, name))
        for _, state, group in self.moving:
            group["lr"] = rate
            state["step"] += 1
        self.scales.copy_(torch.tensor(soap.scales(*self.moving[0][1:])).pin_memory(), non_blocking=True)
        self.graph.replay()
        trainer.optimizer.turn(self.moving)
        return self.figures, self.look(batch)

    def look(self, batch):
        """Have loss and norm of this step brought to the host; those of the last, which have arrived."""
        host, event = torch.empty(2, pin_memory=True), torch.cuda.Event()
        host.copy_(self.judged, non_blocking=True)
        event.record()
        before, self.before = self.before, (batch, host, event)
        return before and self.arrived(before)

    @staticmethod
    def arrived(pending):
        batch, host, event = pending
        event.synchronize()
        return batch, *host.tolist()

    def newest(self):
        """(batch, loss, norm) of the newest step, or None."""
        return self.before and self.arrived(self.before)

    def gradient(self, step):
        loss, figures, _ = self.objective(self.trainer.net, self.batch, step)
        loss.backward()
        figures["norm"] = norm = torch.nn.utils.clip_grad_norm_(self.trainer.parameters, self.trainer.config.clip)
        return loss.detach(), norm, figures

    def capture(self, batch, step):
        """Record a step; parameters and moments stay as they are."""
        self.batch = dataclasses.replace(batch, **{name: getattr(batch, name).clone() for name in MOVED})
        parameters = self.trainer.parameters
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels compile, libraries start, TorchScript settles
            for _ in range(3):
                for parameter in parameters:
                    parameter.grad = None
                self.gradient(step)
        torch.cuda.current_stream().wait_stream(stream)
        self.moving = self.trainer.optimizer.moving()
        for parameter in parameters:
            parameter.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # the thread that pins batches goes on
            loss, norm, self.figures = self.gradient(step)
            self.judged = torch.stack([loss, norm]).float()
            with torch.no_grad():
                for parameter, state, group in self.moving:
                    soap.update(parameter, state, group, *self.scales.unbind())
