"""Which part of a model codes a stream.

Model 1 has learnt pictures and not template crops: aligned streams of its files are coded by the networks of model 0,
the former, with an entropy model of its own.
"""

from typing import Self

from .container import Header


class Parts:
    """A model, and perhaps another part of it that codes its faces on the template.

    number: what files say of it. template: what codes aligned streams of its files where that is another part. former:
    the model before it whose networks that part has; it codes that one's files, and tells which faces stand on the
    template, as its entropy model knows them with positions and without.
    """

    number: int
    template: Self | None
    former: Self | None

    def of(self, aligned: bool) -> Self:
        """What codes pictures that stand on the template, or those that do not."""
        return self.template if aligned and self.template is not None else self

    def part(self, header: Header) -> Self:
        """What a file's stream was coded by."""
        if header.model != self.number and self.former is not None:
            return self.former
        return self.of(header.aligned)

    @property
    def judge(self) -> Self:
        """What tells whether a face of this part stands on the template."""
        return self if self.former is None else self.former

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the models whose files it reads."""
        return (self.number,) if self.former is None else (self.number, self.former.number)
