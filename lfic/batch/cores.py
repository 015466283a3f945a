"""How many threads a batch is coded by."""

import functools
import os
import pathlib
import sys

CGROUP = pathlib.Path("/sys/fs/cgroup/cpu.max")  # "quota period" of a container, or "max period"


@functools.cache
def cores() -> int:
    """Cores that this process may use: its affinity, and what a container's quota comes to, at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    try:
        quota, period = CGROUP.read_text().split()[:2]
        count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or one without a quota
        pass
    return min(count, 256)


def coder_threads(threads: int) -> int:
    """``threads``, or for 0 one a core; one where torch was told to use one, as in the workers of a process pool."""
    torch = sys.modules.get("torch")
    return threads or (1 if torch is not None and torch.get_num_threads() == 1 else cores())
