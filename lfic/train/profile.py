"""Where a training step's time goes: whole steps, and each part alone, forward and backward, on what a step hands it.

Parts and whole are measured in turns, so that other work on the machine slows all alike; medians, but for the optimiser
(a mean over ten steps, since every tenth may do more). On one thread of a CPU the process's own time counts, so that
other work is left out as well.
"""

import statistics
import time

import torch

from ..data.sources import open_faces
from .batches import Steps, batches
from .objective import Objective, load_recognizers
from .state import Trainer
from .world import World


def tensors_in(value):
    """All float tensors with a gradient in what a part gave."""
    values = value if isinstance(value, (tuple, list)) else [value]
    return [
        t
        for v in values
        for t in (tensors_in(v) if isinstance(v, (tuple, list)) else [v])
        if isinstance(t, torch.Tensor) and t.requires_grad
    ]


class Clock:
    """Seconds of calls, by name."""

    def __init__(self, device, threads):
        self.device, self.seconds = device, {}
        self.kind = "CPU time" if device.type == "cpu" and threads == 1 else "wall time"
        self.now = time.process_time if self.kind == "CPU time" else time.perf_counter

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time(self, name, function):
        self.wait()
        began = self.now()
        out = function()
        self.wait()
        self.seconds.setdefault(name, []).append(self.now() - began)
        return out

    def part(self, name, module, inputs):
        """A part alone: forward, and backward from a sum of its results."""
        inputs = [
            x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) and x.is_floating_point() else x
            for x in inputs
        ]

        def both():
            results = tensors_in(module(*inputs))
            torch.autograd.backward([t.sum() for t in results])

        self.time(name, both)


def inputs_of(modules, function):
    """(what ``function`` gives, dict of name -> what each module was called with)."""
    seen, hooks = {}, []
    for name, module in modules.items():
        hooks.append(module.register_forward_pre_hook(lambda m, inputs, name=name: seen.__setitem__(name, inputs)))
    try:
        return function(), seen
    finally:
        for hook in hooks:
            hook.remove()


def profile(config, repeats=5):
    """Print and return the table: dict of part -> seconds of a step, ``faces_per_s`` and ``data`` (making a batch)
    among them.

    The run's newest checkpoint is used where there is one; nothing is written to disk. One process.
    """
    world = World.join(config.device)
    trainer = Trainer(config, world)
    trainer.resume()
    faces, net = open_faces(config.data), trainer.net
    step = min(max(trainer.step, config.identity_from), config.steps - 1)
    objective = Objective(config, world, load_recognizers(config, world.device), len(faces), trainer.adversary)
    net.entropy.integers = step >= config.integers_from * config.steps
    if step >= config.entropy_step:
        trainer.freeze_transform()
    making = Steps(faces, config, world)
    batch = next(batches(faces, config, world, step)).to(world.device)
    clock = Clock(world.device, config.threads)

    def codec():
        with objective.autocast():
            out = net(
                batch.pixels,
                batch.quality,
                batch.aligned,
                config.explore,
                batch.uniform_level,
                False,
                world.draw,
                step < config.entropy_step,
            )
        torch.autograd.backward([t.sum() for t in (out.pixels, out.bits) if t is not None and t.requires_grad])

    def step_gradient():
        net.zero_grad(set_to_none=True)
        loss, _, out = objective(net, batch, step)
        loss.backward()
        if objective.judges(step):
            trainer.adversary.backward(out, batch.pixels)

    def optimise():
        torch.nn.utils.clip_grad_norm_(trainer.parameters, config.clip)
        trainer.optimizer.step()
        torch._foreach_lerp_(trainer.average, [p.detach() for p in trainer.parameters], 0.01)

    def entropy(*inputs):
        mean, log_scale = net.entropy(*inputs)
        return net.entropy.bits(mean.detach().round(), mean, log_scale)

    parts = {
        "analysis": net.analysis,
        "level head": net.level_head,
        "entropy model": net.entropy,
        "synthesis": net.synthesis,
    }
    step_gradient()  # embeddings of the originals are known from here on, as in all but a run's first epoch
    _, inputs = inputs_of(parts, codec)
    seen = batch.pixels[batch.identity]
    recognizer = (
        objective.metric.recognizer
        if len(seen) and step >= config.identity_from and step < config.entropy_step
        else None
    )
    for _ in range(repeats):
        clock.time("data", lambda: making[step])
        clock.time("gradient", step_gradient)
        clock.time("codec", codec)
        for name in inputs:
            # No gradient reaches the pixels, and none the analysis where the transform is frozen.
            clock.part(name, entropy if name == "entropy model" else parts[name], inputs[name])
        if recognizer is not None:
            pixels = seen.clone().requires_grad_(True)
            clock.part("recogniser", recognizer.describe if config.feature_weight else recognizer, [pixels])
    step_gradient()
    with torch.no_grad():
        optimise()  # a fresh optimiser makes its state in its first step
        for _ in range(10):
            clock.time("optimiser", optimise)
    found = {
        name: statistics.mean(s) if name == "optimiser" else statistics.median(s) for name, s in clock.seconds.items()
    }
    if world.first:
        report(found, config, step, clock.kind)
    world.leave()
    return found | {
        "faces_per_s": config.batch
        / (found["gradient"] + found["optimiser"] + (0 if config.workers else found["data"]))
    }


def report(found, config, step, kind):
    """Print the table of ``profile``."""
    whole = found["gradient"] + found["optimiser"] + (0 if config.workers else found["data"])
    inside = [name for name in found if name not in ("data", "gradient", "codec", "optimiser", "recogniser")]
    rows = [(name, found[name]) for name in inside]
    rows.append(("RAP, quantisation", found["codec"] - sum(found[name] for name in inside)))
    if "recogniser" in found:
        rows.append(("recogniser", found["recogniser"]))
    rows.append(("other terms", found["gradient"] - found["codec"] - found.get("recogniser", 0)))
    rows.append(("optimiser", found["optimiser"]))
    if not config.workers:
        rows.append(("data", found["data"]))
    print(
        f"step {step}, batch {config.batch}, {config.device}, {config.precision}, {config.threads} threads, {kind}: "
        f"{config.batch / whole:.1f} faces/s"
    )
    for name, seconds in rows:
        print(f"{name:<20}{seconds * 1e3:>10.1f} ms{100 * seconds / whole:>7.1f} %")
    print(f"{'whole':<20}{whole * 1e3:>10.1f} ms")
    if config.workers:
        print(f"a batch takes {found['data'] * 1e3:.1f} ms to make, ahead of time in {config.workers} processes")
