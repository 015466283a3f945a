"""Doctests in running text become blocks of code on the site: Markdown would read ``>>>`` as three quotations."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^ *>>> .*\n(?:^(?! *$).*\n)*)+", re.MULTILINE)


class Doctests(griffe.Extension):
    """A griffe extension: every object's docstring passes through here before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with a fence around each example that does not stand in an Examples section."""
    return EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}```\n", text + "\n").rstrip()
