"""Triton without needing it: what the kernel files share, and whether they can be used here."""

import functools
import importlib.metadata
import importlib.util
import os
from typing import Any


@functools.cache
def has_triton() -> bool:
    """Whether triton is installed; without it everything runs on the CPU all the same."""
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether kernels run under Triton's interpreter (TRITON_INTERPRET=1 when triton was first imported)."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def mend_interpreter() -> None:
    """Let loops of Triton 3.6's interpreter run with NumPy 2.4 and later.

    A scalar is an array of one element there, which NumPy makes an int of no longer; Triton 3.8 squeezes it first.
    """
    if not interpreted():
        return
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def mended(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    if importlib.metadata.version("triton").startswith("3.6."):
        interpreter._patch_lang_tensor = mended
