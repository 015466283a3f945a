"""The training loop, top to bottom."""

import csv
import datetime
import math
import sys
import time

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from ..data.sources import open_faces
from ..errors import InvalidInputError, LficError
from ..metric.identity import load_recognizer
from .batches import batches
from .graph import GraphedStep
from .objective import Objective, beta, load_recognizers  # noqa: F401  (beta: part of this module's interface)
from .state import Trainer
from .validate import aligned_faces, append_rows, save_sheet, validate
from .world import World


def learning_rate(step, config):
    """Linear warm-up, then half a cosine; another one where the entropy model is trained alone."""
    if step < min(config.warmup, config.entropy_step):
        return config.learning_rate * (step + 1) / config.warmup
    alone = config.entropy_step <= step < config.steps
    first, begin, end = (
        (config.entropy_learning_rate, config.entropy_step, config.steps)
        if alone
        else (config.learning_rate, config.warmup, config.entropy_step)
    )
    done = min(1.0, (step - begin) / max(1, end - begin))
    return config.final_learning_rate + (first - config.final_learning_rate) * 0.5 * (1 + math.cos(math.pi * done))


def run(config, seconds=None):
    """Train until ``config.steps``, or for about ``seconds``; resumes by itself from ``config.out``. Returns the
    ``Trainer``."""
    world = World.join(config.device)
    try:
        return train(config, world, seconds)
    finally:
        world.leave()


def train(config, world, seconds):
    """``run`` in one of the processes of a world."""
    started = time.monotonic()
    if config.batch % world.size:
        raise InvalidInputError(f"batch is {config.batch}: {world.size} processes can't share it evenly")
    if config.graphs and world.size > 1:
        raise InvalidInputError(
            f"graphs is true, but there are {world.size} processes: a captured step serves one GPU alone"
        )
    trainer = Trainer(config, world)
    resumed = trainer.resume()
    faces = open_faces(config.data)
    objective = Objective(config, world, load_recognizers(config, world.device), len(faces), trainer.adversary)
    watch = Watch(trainer, faces) if world.first else None
    if watch:
        print(config.to_json(), flush=True)
        print(f"{'resumed at' if resumed else 'starting at'} step {trainer.step}", flush=True)
    data = batches(faces, config, world, trainer.step)
    net = trainer.net
    shared, alone = world.wrap(net), False
    graphed = GraphedStep(trainer, objective) if config.graphs else None
    log = Log(trainer)
    while trainer.step < config.steps:
        step = trainer.step
        # One seed a step: a resumed run draws what an uninterrupted one would have drawn.
        torch.manual_seed(config.seed * 1_000_003 + step)
        with log.waiting():
            batch = next(data).to(world.device)
        if step >= config.entropy_step and not alone:
            trainer.freeze_transform()
            shared, alone = world.wrap(net), True
        net.entropy.integers = alone or step >= config.integers_from * config.steps
        rate = learning_rate(step, config)
        last = seconds is not None and time.monotonic() - started > seconds
        saves = (step + 1) % config.save_every == 0 or step + 1 == config.steps
        if graphed and step >= config.identity_from and trainer.optimizer.state:
            figures, before = graphed(batch, step, rate)
            before = graphed.newest() if last or saves else before
            if before and not all(map(math.isfinite, before[1:])):
                raise LficError(keep_bad_batch(trainer, *before))
        else:
            figures, last = eager_step(trainer, objective, shared, batch, step, rate, last)
        trainer.step += 1
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(trainer.average, [p.detach() for p in trainer.parameters], 1 - decay)

        log.add(figures)
        if trainer.step % config.log_every == 0:
            log.write(rate)
        if watch:
            watch.look(log)
        if saves or last:
            trainer.save()
        if last:
            break
    if watch:
        watch.bar.close()
    return trainer


def eager_step(trainer, objective, net, batch, step, rate, out_of_time):
    """Gradient, clipping, optimisers: (figures, whether any process is out of time). Nothing moves where a loss or a
    gradient is no number."""
    config, optimizer, adversary = trainer.config, trainer.optimizer, trainer.adversary
    loss, figures, out = objective(net, batch, step)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    figures["norm"] = norm = torch.nn.utils.clip_grad_norm_(trainer.parameters, config.clip)
    judged = objective.judges(step)
    if judged:
        figures["discriminator"] = adversary.backward(out, batch.pixels)
    finite = loss.isfinite() & norm.isfinite() & (figures["discriminator"].isfinite() if judged else True)
    broken, last = trainer.world.any(~finite, out_of_time)
    if broken:
        raise LficError(keep_bad_batch(trainer, batch, loss.item(), norm.item()))
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    if judged:
        adversary.step()
    return figures, last


def keep_bad_batch(trainer, batch, loss, norm):
    """Store the batch of a loss or a gradient (numbers) that is none; returns the message."""
    path = trainer.out / (
        "bad-batch.safetensors" if trainer.world.size == 1 else f"bad-batch-{trainer.world.rank}.safetensors"
    )
    save_file({"pixels": batch.pixels.cpu().contiguous(), "quality": batch.quality.cpu()}, path)
    return f"loss is {loss}, its gradient's norm {norm} at step {trainer.step}: the batch is in {path}"


class Log:
    """Means of the figures since the last line, over all processes; the first process writes them to log.csv."""

    def __init__(self, trainer):
        self.trainer, self.path = trainer, trainer.out / "log.csv"
        self.row = {}
        self.restart()

    def restart(self):
        self.sums, self.count, self.began, self.waited = None, 0, time.perf_counter(), 0.0

    def waiting(self):
        """A context whose time counts as waiting for data."""
        return Waiting(self)

    def add(self, figures):
        """One step's figures, 0-d tensors; they stay on the device."""
        self.names = list(figures)
        values = torch.stack([figure.detach().double() for figure in figures.values()])
        self.sums = values if self.sums is None else self.sums + values
        self.count += 1

    def write(self, rate):
        """A line in the file and on the screen."""
        trainer, config = self.trainer, self.trainer.config
        means = trainer.world.mean(self.sums / self.count).tolist()
        elapsed = time.perf_counter() - self.began
        trainer.seconds += elapsed
        self.row = {"step": trainer.step, **{name: round(mean, 5) for name, mean in zip(self.names, means)}, "lr": rate}
        self.row |= {"faces_per_s": round(self.count * config.batch / elapsed, 2), "seconds": round(trainer.seconds, 1)}
        self.row["wait"] = round(self.waited / elapsed, 4)
        if trainer.world.first:
            left = (config.steps - trainer.step) * elapsed / self.count
            tqdm.write(
                " ".join(f"{k}={v}" for k, v in self.row.items()) + f" left={datetime.timedelta(seconds=round(left))}"
            )
            sys.stdout.flush()  # into a file lines would wait for a full buffer
            append_log(self.path, self.row)
        self.restart()


class Waiting:
    def __init__(self, log):
        self.log = log

    def __enter__(self):
        self.began = time.perf_counter()

    def __exit__(self, *error):
        self.log.waited += time.perf_counter() - self.began


def append_log(path, row):
    """Add a row; a file with other columns, from an earlier version or other settings, is kept under another name."""
    if path.exists():
        with open(path, newline="") as file:
            if next(csv.reader(file), None) != list(row):
                path.rename(path.with_name(f"log-before-{row['step']}.csv"))
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if fresh:
            writer.writeheader()
        writer.writerow(row)


class Watch:
    """What the first process shows of a run: progress bar, validation, sheets of samples."""

    def __init__(self, trainer, faces):
        self.trainer, config, device = trainer, trainer.config, trainer.world.device
        self.held_out = (
            aligned_faces(open_faces(config.validation), config.validation_faces).to(device)
            if config.validation
            else None
        )
        self.judge = load_recognizer(config.validation_recognizer, device) if config.validation_recognizer else None
        self.samples = aligned_faces(faces, 4).to(device) if self.held_out is None else self.held_out[:4]
        self.bar = tqdm(
            total=config.steps, initial=trainer.step, unit="step", disable=None
        )  # silent where there is no terminal

    def look(self, log):
        """After a step."""
        trainer, config = self.trainer, self.trainer.config
        if log.count == 0:
            self.bar.set_postfix(
                {k: log.row[k] for k in ("loss", "bytes", "psnr", "cos", "faces_per_s")}, refresh=False
            )
        self.bar.update()
        if self.held_out is not None and trainer.step % config.validate_every == 0:
            append_rows(
                trainer.out / "validation.csv",
                trainer.step,
                validate(trainer.averaged_net(), self.held_out, self.judge),
            )
        if trainer.step % config.sample_every == 0:
            save_sheet(trainer.out / "samples" / f"{trainer.step:07d}.png", trainer.averaged_net(), self.samples)
