"""Sources of which some images can't be read: a run of hours is not to end at one of them."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from .base import Source

TRIES = 100  # images in a row


class Lenient:
    """A source of faces in which the next readable image stands for one that can't be read.

    Each is said once on stderr, by each process that reads. Attributes: those of the source; ``bad``: number -> why.
    """

    def __init__(self, of: Source) -> None:
        self.of = of
        self.bad: dict[int, str] = {}

    @property
    def names(self) -> Sequence[str]:
        return self.of.names

    @property
    def source(self) -> NDArray[Any]:
        return self.of.source

    def __len__(self) -> int:
        return len(self.of)

    def __getattr__(self, name: str) -> Any:
        if name == "of":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.of, name)

    def face(self, i: int) -> NDArray[np.uint8]:
        """One face on the template with a margin: uint8 [S, S, 3].

        Raises:
            InvalidInputError: neither this one nor any of the next hundred can be read.
        """
        for step in range(min(TRIES, len(self))):
            number = (i + step) % len(self)
            try:
                return self.of.face(number)
            except InvalidInputError as error:
                if number not in self.bad:
                    self.bad[number] = str(error)
                    print(f"left out: {error}", file=sys.stderr)
        raise InvalidInputError(f"{len(self.bad)} images can't be read, the first of them: {self.bad[i]}")
