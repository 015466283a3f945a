"""torch's settings that hold for a whole process or thread, and that a user's program may have changed: what lfic
computes does not depend on them.

Where one is not at its default, a call puts it back for itself alone. The default dtype is no setting of a thread, so
it is left as it is: tensors are made with a dtype of their own all over lfic.

A process that is forked has none of the threads that torch had started, and would wait for them for ever: it is told.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch

from ..errors import InvalidInputError

P = ParamSpec("P")
R = TypeVar("R")


class Process:
    """Whether lfic has computed in this process, and whether its parent had before it was forked."""

    computed = False
    forked = False

    @classmethod
    def after_fork(cls) -> None:
        cls.forked = cls.forked or cls.computed

    @classmethod
    def begin(cls) -> None:
        """InvalidInputError where torch would wait for threads that stayed behind."""
        if cls.forked and torch.get_num_threads() > 1:
            raise InvalidInputError(
                f"this process was forked from one in which torch computes with {torch.get_num_threads()} threads, "
                "which a fork leaves behind: start processes by spawn, as multiprocessing.get_context('spawn') does, "
                "or call torch.set_num_threads(1) first"
            )
        cls.computed = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Process.after_fork)


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """No inference mode, no autocast, and the CPU as the default device, in this thread until the end."""
    Process.begin()
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def undisturbed(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs under ``defaults``."""

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        with defaults():
            return function(*args, **options)

    return call
