"""Triton without needing it: what the kernel files share, and whether they can be used here."""

import functools
import importlib.util
import os


@functools.cache
def has_triton() -> bool:
    """Whether triton is installed; without it everything runs on the CPU all the same."""
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether kernels run under Triton's interpreter (TRITON_INTERPRET=1 when triton was first imported)."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"
