"""The errors that lfic raises: one tree, rooted in LficError, with numbers in the text.

Every message says what was found, what was allowed and, where there is one, the remedy.
"""


class LficError(Exception):
    """Root of every error that lfic raises on purpose."""


class InvalidInputError(LficError, ValueError):
    """An argument has the wrong type, dtype, shape or range."""


class ContainerError(LficError, ValueError):
    """A file's header is not one that this version reads."""


class CorruptStreamError(LficError, ValueError):
    """The payload is damaged: the text gives the byte at which that was noticed."""


class WeightsError(LficError):
    """A weights file is missing, damaged, or of another format."""


class MissingDependencyError(LficError, ImportError):
    """An optional package is needed: the text names it and the command that installs it."""
