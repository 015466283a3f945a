"""Which part of a model codes a stream.

Model 1 has learnt pictures and not template crops: aligned streams of its files are those of model 0, its template.
"""

from typing import Self

from .container import TEMPLATES, Header


class Parts:
    """A model, and perhaps another one that codes its faces on the template. number: what files say of it."""

    number: int
    template: Self | None

    def of(self, aligned: bool) -> Self:
        """What codes pictures that stand on the template, or those that do not."""
        return self.template if aligned and self.template is not None else self

    def part(self, header: Header) -> Self:
        """What a file's stream was coded by."""
        return self.of(header.aligned or header.model != self.number)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the models whose files it reads."""
        return (self.number,) if self.template is None else (self.number, self.template.number)


def coded_by(header: Header) -> int:
    """The number of the model whose networks and entropy model a stream is of."""
    return TEMPLATES.get(header.model, header.model) if header.aligned else header.model
