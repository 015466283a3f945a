"""The training loop, top to bottom."""

import time

import torch

from ..data.sources import open_faces
from ..errors import InvalidInputError
from .batches import Steps, batches
from .config import TrainConfig
from .graph import GraphedStep
from .identity import load_recognizers
from .log import Log
from .loss import TrainingLoss
from .picture_loss import Pictures
from .schedule import learning_rate, seed_of
from .state import Trainer
from .steps import EagerStep, Stepper
from .watch import Watch
from .world import World


def run(config: TrainConfig, seconds: float | None = None) -> Trainer:
    """Train until ``[schedule] steps``, or for about ``seconds``; resumes by itself from ``[run] out``. Returns the
    ``Trainer``.

    Raises:
        LficError: data, weights or a machine that the configuration needs and that are not there; a loss or a gradient
            that is no number.
    """
    world = World.join(config.run.device)
    try:
        return train(config, world, seconds)
    finally:
        world.leave()


def train(config: TrainConfig, world: World, seconds: float | None) -> Trainer:
    """``run`` in one of the processes of a world."""
    started = time.monotonic()
    check_sharing(config, world)
    trainer = Trainer(config, world)
    resumed = trainer.resume()
    faces = open_faces(config.data.faces)
    loss = make_loss(config, trainer, len(faces))
    watch = Watch(trainer, config.run, faces) if world.first else None
    if watch:
        print(config.told(), flush=True)
        place = f"{'resumed at' if resumed else 'starting at'} step {trainer.step} of {config.schedule.steps}"
        print(f"{place}; {len(faces)} faces; a line every {config.run.log_every} steps", flush=True)
    drawn = Steps(faces, config.data, config.loss.identity_share, config.run.seed, world)
    data = batches(drawn, trainer.step, config.schedule.steps)
    pictures: Pictures | None = None
    if config.data.pictures:
        pictures = Pictures(loss, config.data, config.run.seed, trainer.step, config.schedule.steps)

    def late() -> bool:
        return seconds is not None and time.monotonic() - started > seconds

    stepper: Stepper = (GraphedStep if config.run.graphs else EagerStep)(trainer, loss, late, pictures)
    log = Log(trainer, config.data.batch + (config.data.picture_batch if pictures else 0))
    first, began = trainer.step, time.monotonic()
    saved = began
    while trainer.step < config.schedule.steps and not stepper.over:
        step = trainer.step
        torch.manual_seed(seed_of(step, config.run.seed))
        with log.waiting():
            batch = next(data).to(world.device)
            if pictures:
                pictures.fetch()
        trainer.prepare()
        rate = learning_rate(step, config.schedule)
        log.add(stepper.step(batch, step, rate))
        saves = (step + 1) % config.run.save_every == 0 or step + 1 == config.schedule.steps or stepper.over
        saves |= bool(config.run.save_seconds) and time.monotonic() - saved > config.run.save_seconds
        if saves:
            stepper.settle()
        trainer.advance()
        if watch and step == first:
            watch.say(f"step {trainer.step} took {time.monotonic() - began:.1f} s")
        if trainer.step % config.run.log_every == 0:
            log.write(rate)
        if watch:
            watch.look(log)
        if saves:
            trainer.save()
            saved = time.monotonic()
    if watch:
        watch.close()
    return trainer


def check_sharing(config: TrainConfig, world: World) -> None:
    """Refuse what several processes can't do."""
    if config.data.batch % world.size:
        raise InvalidInputError(
            f"[data] batch is {config.data.batch}: {world.size} processes can't share it evenly; take a multiple"
        )
    if config.data.pictures and config.data.picture_batch % world.size:
        raise InvalidInputError(
            f"[data] picture_batch is {config.data.picture_batch}: {world.size} processes can't share it evenly; "
            "take a multiple"
        )
    if config.run.graphs and world.size > 1:
        raise InvalidInputError(
            f"[run] graphs is true, but there are {world.size} processes: a captured step serves one GPU alone"
        )


def make_loss(config: TrainConfig, trainer: Trainer, faces: int) -> TrainingLoss:
    """The loss of a run whose data has so many faces."""
    return TrainingLoss(
        config.loss,
        config.schedule,
        trainer.world,
        load_recognizers(config.loss, trainer.world.device),
        faces,
        trainer.adversary,
        config.run.precision,
        config.run.graphs,
    )
