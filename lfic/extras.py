"""Packages that lfic works without, and what installs them."""

import contextlib
from collections.abc import Iterator

from .errors import MissingDependencyError

EXTRAS = {"torch": "torch", "triton": "torch", "safetensors": "torch"}  # package -> the extra that has it


def explained(error: ImportError) -> MissingDependencyError | None:
    """What a failed import comes from, if it is one of ``EXTRAS``."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS or isinstance(error, MissingDependencyError):
        return None
    return MissingDependencyError(
        f"this needs {package}, which is not installed: pip install 'lfic[{EXTRAS[package]}]'. Without it lfic "
        "decodes, encodes at effort 0 and reads what files say of themselves",
        name=package,
    )


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Imports inside that fail name the extra: ``MissingDependencyError``, an ImportError as well."""
    try:
        yield
    except ImportError as error:
        told = explained(error)
        if told is None:
            raise
        raise told from None
