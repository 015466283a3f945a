"""Faces and archives of them. ``records``: sources and sinks, one record after the other; ``sources``: faces by number,
as training and evaluation draw them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import Record, open_sink, open_source

__all__ = ["Record", "open_sink", "open_source"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import records

        return getattr(records, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
