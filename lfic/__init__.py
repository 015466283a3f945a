"""lfic: a face codec for machines that recognise faces and for people who look at them.

    import lfic
    data = lfic.encode(image, quality=40)
    image = lfic.decode(data)

Names are loaded on first use: ``import lfic`` itself takes milliseconds. Torch is an extra: ``decode``, ``probe`` and
``encode`` at effort 0 work without it, and what needs it says so.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    ContainerError,
    CorruptStreamError,
    InvalidInputError,
    LficError,
    MissingDependencyError,
    WeightsError,
)

if TYPE_CHECKING:
    from . import bulk, coder, evaluate, faces, kernels, metric, qr
    from .codec import Codec, load_codec
    from .encoding import encode
    from .format.probe import Info, probe
    from .reader import decode

__version__ = "0.1.0"

_HOMES = {
    "encode": "encoding",
    "decode": "reader",
    "load_codec": "codec",
    "Codec": "codec",
    "probe": "format.probe",
    "Info": "format.probe",
}
_MODULES = (
    "bulk",
    "codec",
    "coder",
    "data",
    "decoder",
    "encoder",
    "encoding",
    "evaluate",
    "faces",
    "format",
    "kernels",
    "metric",
    "network",
    "qr",
    "reader",
)

__all__ = [
    "Codec",
    "ContainerError",
    "CorruptStreamError",
    "Info",
    "InvalidInputError",
    "LficError",
    "MissingDependencyError",
    "WeightsError",
    "bulk",
    "coder",
    "decode",
    "encode",
    "evaluate",
    "faces",
    "kernels",
    "load_codec",
    "metric",
    "probe",
    "qr",
]


if not TYPE_CHECKING:  # so that a checker tells a misspelt name

    def __getattr__(name: str) -> Any:
        from .extras import needed

        with needed():
            if name in _HOMES:
                return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
            if name in _MODULES:
                return importlib.import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES) | set(_MODULES))
