"""What a search by gradients took goes back to the system.

Pictures of many sizes leave free blocks in malloc's heap that fit no tensor of the next one. malloc returns them only
where it is told to: without that a process that codes pictures of any size grows for hours, although nothing is kept.
Pictures of one size fill the blocks of the last ones, which is why only another size is worth the time.
"""

import ctypes
import functools
import sys
from collections.abc import Callable


@functools.lru_cache(maxsize=1)  # an entry is the last size: a call with the same one does nothing
def return_after(pictures: int, rows: int, columns: int) -> None:
    """Give free memory back after a search over so many pictures of rows x columns regions, where the last one was over
    another number or size. A few milliseconds; no effect with a C library other than glibc."""
    trim = malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def malloc_trim() -> Callable[[int], int] | None:
    """glibc's function, or None with another C library."""
    if sys.platform != "linux":
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
