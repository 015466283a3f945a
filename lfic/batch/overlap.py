"""Two kinds of work side by side: the device's, launched by the calling thread, and the host's, in one other thread.

The other thread lives as long as the call, so that a process may fork between calls. On a CPU both kinds want the same
cores: there they take turns, as OpenMP's threads wait for each other for long where other threads take their cores.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

AHEAD = 2  # pieces between the two threads: memory stays flat however many there are

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


def then_elsewhere(
    items: Iterable[T], here: Callable[[T], S], elsewhere: Callable[[S], R], device: torch.device
) -> Iterator[R]:
    """``elsewhere(here(item))`` of each item, in order."""
    if device.type == "cpu":
        yield from (elsewhere(here(item)) for item in items)
        return
    waiting: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(elsewhere, here(item)))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def elsewhere_first(
    items: Iterable[T], elsewhere: Callable[[T], S], here: Callable[[S], R], device: torch.device
) -> Iterator[R]:
    """``here(elsewhere(item))`` of each item, in order."""
    if device.type == "cpu":
        yield from (here(elsewhere(item)) for item in items)
        return
    waiting: collections.deque[concurrent.futures.Future[S]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(elsewhere, item))
                if len(waiting) > AHEAD:
                    yield here(waiting.popleft().result())
            while waiting:
                yield here(waiting.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)
