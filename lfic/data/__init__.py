"""Faces and archives of them. ``records``: sources and sinks, one record after the other; ``sources``: faces by number,
as training and evaluation draw them."""

import importlib
from typing import TYPE_CHECKING, Any

from ..extras import needed

if TYPE_CHECKING:
    from .dataset import FaceBatches, FaceDataset, FaceStream
    from .decoding import decode
    from .records import Record, open_sink, open_source

_HOMES = {
    "FaceBatches": "dataset", "FaceDataset": "dataset", "FaceStream": "dataset", "decode": "decoding",
    "Record": "records", "open_sink": "records", "open_source": "records",
}  # fmt: skip
__all__ = ["FaceBatches", "FaceDataset", "FaceStream", "Record", "decode", "open_sink", "open_source"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        with needed():
            return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
