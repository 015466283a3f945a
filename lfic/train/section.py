"""A section of a training configuration: a frozen dataclass that checks its values when it is made."""

import dataclasses
import types
import typing
from typing import Any, ClassVar

from ..errors import InvalidInputError


@dataclasses.dataclass(frozen=True)
class Section:
    """What all sections share. Subclasses set ``section``, their name in a file, and check values in ``check``."""

    section: ClassVar[str]

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not fits(value, hints[field.name]):
                raise self.refusal(field.name, f"it must be {described(hints[field.name])}")
        self.check()

    def check(self) -> None:
        """Raise ``refusal`` where a value is not allowed; types are right already."""

    def refusal(self, name: str, allowed: str) -> InvalidInputError:
        """The error for a value: what was found, then ``allowed``, a clause that says what may stand there."""
        return InvalidInputError(f"[{self.section}] {name} is {getattr(self, name)!r}; {allowed}")

    def at_least(self, bound: float, *names: str) -> None:
        """Refuse what is below a bound, or no number."""
        for name in names:
            if not getattr(self, name) >= bound:
                raise self.refusal(name, f"it must be at least {bound}")

    def above(self, bound: float, *names: str) -> None:
        """Refuse what is not above a bound; no number passes, and ends the run at its first loss."""
        for name in names:
            if getattr(self, name) <= bound:
                raise self.refusal(name, f"it must be above {bound}")

    def shares(self, *names: str) -> None:
        """Refuse what is not in 0..1."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise self.refusal(name, "it must be a share, from 0 to 1")

    def one_of(self, name: str, *allowed: str) -> None:
        """Refuse what is none of a few words."""
        if getattr(self, name) not in allowed:
            raise self.refusal(name, f"allowed are {' and '.join(map(repr, allowed))}")


UNIONS = (types.UnionType, typing.Union)
NAMES = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}


def fits(value: Any, hint: Any) -> bool:
    """Has a value, as a TOML or JSON file gives it, the type of an annotation? A whole number is a number as well."""
    if typing.get_origin(hint) is list:
        return isinstance(value, list) and all(fits(entry, typing.get_args(hint)[0]) for entry in value)
    if typing.get_origin(hint) in UNIONS:
        return any(fits(value, one) for one in typing.get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is hint


def described(hint: Any) -> str:
    """An annotation in words."""
    if typing.get_origin(hint) is list:
        return f"a list of {NAMES[typing.get_args(hint)[0]].split(' ', 1)[1]}s"
    if typing.get_origin(hint) in UNIONS:
        return " or ".join(map(described, typing.get_args(hint)))
    return NAMES[hint]
