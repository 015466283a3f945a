"""torch's settings that hold for a whole process or thread, and that a user's program may have changed: what lfic
computes does not depend on them.

Where one is not at its default, a call puts it back for itself alone. The default dtype is no setting of a thread, so
it is left as it is: tensors are made with a dtype of their own all over lfic.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """No inference mode, no autocast, and the CPU as the default device, in this thread until the end."""
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
