"""Where a training step's time goes: whole steps, and each part alone, forward and backward, on what a step hands it.

Parts and whole are measured in turns, so that other work on the machine slows all alike; medians, but for the optimiser
(a mean over ten steps, since every tenth may do more). On one thread of a CPU the process's own time counts, so that
other work is left out as well.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..data.sources import open_faces
from .batches import Steps, batches
from .config import TrainConfig
from .loop import make_loss
from .state import Trainer
from .world import World

T = TypeVar("T")


def tensors_in(value: Any) -> list[Tensor]:
    """All float tensors with a gradient in what a part gave."""
    if isinstance(value, (tuple, list)):
        return [tensor for one in value for tensor in tensors_in(one)]
    return [value] if isinstance(value, Tensor) and value.requires_grad else []


class Clock:
    """Seconds of calls, by name."""

    def __init__(self, device: torch.device, threads: int):
        self.device = device
        self.seconds: dict[str, list[float]] = {}
        self.kind = "CPU time" if device.type == "cpu" and threads == 1 else "wall time"
        self.now = time.process_time if self.kind == "CPU time" else time.perf_counter

    def wait(self) -> None:
        """Until the device is through."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time(self, name: str, function: Callable[[], T]) -> T:
        """What a function gives, timed."""
        self.wait()
        began = self.now()
        out = function()
        self.wait()
        self.seconds.setdefault(name, []).append(self.now() - began)
        return out

    def part(self, name: str, module: Callable[..., Any], inputs: Sequence[Any]) -> None:
        """A part alone: forward, and backward from a sum of its results."""
        own = [
            x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) and x.is_floating_point() else x
            for x in inputs
        ]

        def both() -> None:
            torch.autograd.backward([t.sum() for t in tensors_in(module(*own))])

        self.time(name, both)

    def found(self) -> dict[str, float]:
        """Seconds of a step, by part."""
        return {
            name: statistics.mean(s) if name == "optimiser" else statistics.median(s)
            for name, s in self.seconds.items()
        }


def inputs_of(modules: Mapping[str, nn.Module], function: Callable[[], object]) -> dict[str, tuple[Any, ...]]:
    """What each module is called with by a function, by name."""
    seen: dict[str, tuple[Any, ...]] = {}

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda _, inputs: seen.__setitem__(name, inputs))

    hooks = [watch(name, module) for name, module in modules.items()]
    try:
        function()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


class Measured:
    """A run at the step that it has reached, its parts callable one by one."""

    def __init__(self, config: TrainConfig, world: World):
        self.config, self.world = config, world
        self.trainer = trainer = Trainer(config, world)
        trainer.resume()
        trainer.step = min(max(trainer.step, config.schedule.identity_from), config.schedule.steps - 1)
        trainer.prepare()
        faces = open_faces(config.data.faces)
        self.loss = make_loss(config, trainer, len(faces))
        self.drawn = Steps(faces, config.data, config.loss.identity_share, config.run.seed, world)
        self.batch = next(batches(self.drawn, trainer.step, config.schedule.steps)).to(world.device)
        net = trainer.net
        self.parts = {
            "analysis": net.analysis,
            "level head": net.level_head,
            "entropy model": net.entropy,
            "synthesis": net.synthesis,
        }

    def codec(self) -> None:
        """The network alone, forward and backward."""
        phase = self.loss.phase(self.trainer.step)
        out = self.loss.coded(self.trainer.net, self.batch, phase)
        torch.autograd.backward([t.sum() for t in tensors_in([out.pixels, out.bits, out.logits])])

    def gradient(self) -> None:
        """All of a step but the optimiser."""
        self.trainer.net.zero_grad(set_to_none=True)
        loss, _, out = self.loss(self.trainer.net, self.batch, self.trainer.step)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.trainer.adversary and self.loss.phase(self.trainer.step).adversarial:
            self.trainer.adversary.backward(out, self.batch.pixels)

    def optimise(self) -> None:
        """Clipping, optimiser, average."""
        trainer = self.trainer
        torch.nn.utils.clip_grad_norm_(trainer.parameters, trainer.schedule.clip)
        trainer.optimizer.step()
        torch._foreach_lerp_(trainer.average, [p.detach() for p in trainer.parameters], 0.01)

    def entropy(self, *inputs: Any) -> Tensor:
        """The entropy model, bits included."""
        net = self.trainer.net
        mean, log_scale = net.entropy(*inputs)
        bits: Tensor = net.entropy.bits(mean.detach().round(), mean, log_scale)
        return bits

    def recognizer(self) -> tuple[Callable[..., Any], Tensor] | None:
        """(the recogniser as the loss calls it, the pixels that it sees); None where nobody looks."""
        phase, seen = self.loss.phase(self.trainer.step), self.batch.pixels[self.batch.identity]
        recognizer = self.loss.metric.recognizer
        if not phase.identity or phase.entropy_only or not len(seen) or recognizer is None:
            return None
        return recognizer.describe if self.config.loss.feature_weight else recognizer, seen


def profile(config: TrainConfig, repeats: int = 5) -> dict[str, float]:
    """Print and return the table: dict of part -> seconds of a step, ``faces_per_s`` and ``data`` (making a batch)
    among them.

    The run's newest checkpoint is used where there is one; nothing is written to disk. One process.
    """
    world = World.join(config.run.device)
    run, clock = Measured(config, world), Clock(world.device, config.run.threads)
    run.gradient()  # embeddings of the originals are known from here on, as in all but a run's first epoch
    inputs = inputs_of(run.parts, run.codec)
    looking = run.recognizer()
    for _ in range(repeats):
        clock.time("data", lambda: run.drawn[run.trainer.step])
        clock.time("gradient", run.gradient)
        clock.time("codec", run.codec)
        for name in inputs:
            # No gradient reaches the pixels, and none the analysis where the transform is frozen.
            clock.part(name, run.entropy if name == "entropy model" else run.parts[name], inputs[name])
        if looking:
            recognizer, pixels = looking
            clock.part("recogniser", recognizer, [pixels.clone().requires_grad_(True)])
    run.gradient()
    with torch.no_grad():
        run.optimise()  # a fresh optimiser makes its state in its first step
        for _ in range(10):
            clock.time("optimiser", run.optimise)
    found = clock.found()
    if world.first:
        report(found, config, run.trainer.step, clock.kind)
    world.leave()
    return found | {"faces_per_s": config.data.batch / whole_step(found, config.data.workers)}


def whole_step(found: Mapping[str, float], workers: int) -> float:
    """Seconds of a step; workers make batches ahead of time."""
    return found["gradient"] + found["optimiser"] + (0 if workers else found["data"])


def report(found: Mapping[str, float], config: TrainConfig, step: int, kind: str) -> None:
    """Print the table of ``profile``."""
    workers, batch = config.data.workers, config.data.batch
    whole = whole_step(found, workers)
    inside = [name for name in found if name not in ("data", "gradient", "codec", "optimiser", "recogniser")]
    rows = [(name, found[name]) for name in inside]
    rows.append(("RAP, quantisation", found["codec"] - sum(found[name] for name in inside)))
    if "recogniser" in found:
        rows.append(("recogniser", found["recogniser"]))
    rows.append(("other terms", found["gradient"] - found["codec"] - found.get("recogniser", 0)))
    rows.append(("optimiser", found["optimiser"]))
    if not workers:
        rows.append(("data", found["data"]))
    print(
        f"step {step}, batch {batch}, {config.run.device}, {config.run.precision}, {config.run.threads} threads, "
        f"{kind}: {batch / whole:.1f} faces/s"
    )
    for name, seconds in rows:
        print(f"{name:<20}{seconds * 1e3:>10.1f} ms{100 * seconds / whole:>7.1f} %")
    print(f"{'whole':<20}{whole * 1e3:>10.1f} ms")
    if workers:
        print(f"a batch takes {found['data'] * 1e3:.1f} ms to make, ahead of time in {workers} processes")
