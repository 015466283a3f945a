"""What changes in the course of a run, as a function of the step alone."""

import dataclasses
import math

from .sections import ScheduleConfig


@dataclasses.dataclass(frozen=True)
class Phase:
    """What a step's loss depends on, its batch aside.

    explore: probability that a region's level is drawn at random. hard: rates of rounded symbols. identity: the
    recognisers look. adversarial: the discriminator learns and judges. entropy_only: the entropy model learns alone.
    """

    explore: float
    hard: bool
    identity: bool
    adversarial: bool
    entropy_only: bool


def phase_of(step: int, schedule: ScheduleConfig) -> Phase:
    """The phase of a step, of a run that has recognisers and a discriminator."""
    entropy_only = step >= schedule.entropy_step
    return Phase(
        explore=0.5 if step < schedule.explore_until else schedule.explore,
        hard=entropy_only or step >= schedule.hard_from * schedule.steps,
        identity=step >= schedule.identity_from,
        adversarial=schedule.adversarial_from <= step < schedule.entropy_step,
        entropy_only=entropy_only,
    )


def learning_rate(step: int, schedule: ScheduleConfig) -> float:
    """Linear warm-up, then half a cosine; another one where the entropy model is trained alone."""
    if step < min(schedule.warmup, schedule.entropy_step):
        return schedule.learning_rate * (step + 1) / schedule.warmup
    if schedule.entropy_step <= step < schedule.steps:
        first, begin, end = schedule.entropy_learning_rate, schedule.entropy_step, schedule.steps
    else:
        first, begin, end = schedule.learning_rate, schedule.warmup, schedule.entropy_step
    done = min(1.0, (step - begin) / max(1, end - begin))
    last = schedule.final_learning_rate
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * done))


def averaging(step: int, schedule: ScheduleConfig) -> float:
    """Decay of the moving average after a step: shorter at first, so that the beginning is forgotten soon."""
    return min(schedule.ema, (1 + step) / (10 + step))


def seed_of(step: int, seed: int) -> int:
    """One seed a step: a resumed run draws what an uninterrupted one would have drawn."""
    return seed * 1_000_003 + step
