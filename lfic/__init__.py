"""lfic: a face codec for machines that recognise faces and for people who look at them."""
from .errors import (  # noqa: F401
    ContainerError, CorruptStreamError, InvalidInputError, LficError, MissingDependencyError, WeightsError,
)

__version__ = "0.1.0"
