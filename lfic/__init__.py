"""lfic: a face codec for machines that recognise faces and for people who look at them.

    import lfic
    data = lfic.encode(image, quality=40)
    image = lfic.decode(data)

Names are loaded on first use: ``import lfic`` itself takes milliseconds and loads no torch.
"""
import importlib

from .errors import (
    ContainerError,
    CorruptStreamError,
    InvalidInputError,
    LficError,
    MissingDependencyError,
    WeightsError,
)

__version__ = "0.1.0"

_LAZY = {"encode": "codec", "decode": "codec", "load_codec": "codec", "Codec": "codec", "probe": "info", "Info": "info"}

__all__ = [
    "Codec", "ContainerError", "CorruptStreamError", "Info", "InvalidInputError", "LficError", "MissingDependencyError", "WeightsError",
    "coder", "decode", "encode", "load_codec", "probe",
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    if name in ("bulk", "codec", "coder", "container", "evaluate", "faces", "kernels", "metric", "weights_io"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | set(_LAZY))
