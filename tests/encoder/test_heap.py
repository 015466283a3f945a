"""A search by gradients returns to the system what it took."""

import ctypes
import os
import pathlib

import pytest

from lfic.encoder import heap

with_glibc = pytest.mark.skipif(heap.malloc_trim() is None, reason="another C library has no malloc_trim")


def resident() -> float:
    """MiB of this process."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture
def trims(monkeypatch):
    """What malloc_trim was called with, in its place."""
    calls = []
    monkeypatch.setattr(heap, "malloc_trim", lambda: calls.append)
    heap.return_after.cache_clear()
    yield calls
    heap.return_after.cache_clear()


def test_only_another_size_is_worth_the_time(codec, photo, trims):
    for height, width, expected in ((64, 64, 1), (64, 64, 1), (64, 40, 1), (96, 40, 2), (64, 64, 3)):
        codec.encode(photo(height, width), quality=30, effort=1)
        assert trims == [0] * expected, (height, width)  # 64 x 40 has the same regions as 64 x 64


def test_without_effort_nothing_is_given_back(codec, photo, trims):
    codec.encode(photo(64, 64), quality=30)
    assert trims == []


@with_glibc
def test_free_blocks_between_others_go_back():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    size, kept = 2**16, 16
    blocks = [libc.malloc(size) for _ in range(1024)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for i, block in enumerate(blocks):
        if i % kept:
            libc.free(block)
    full = resident()
    heap.return_after.cache_clear()
    heap.return_after(1, 1, 1)
    after = resident()
    for block in blocks[::kept]:
        libc.free(block)
    assert full - after > 40  # of the 60 MiB that were free
