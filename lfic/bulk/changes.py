"""What differs between the settings of a run that was stopped and of the one that is to go on with it, in words."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InvalidInputError


def refuse_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise InvalidInputError where two runs' settings, names to texts, are not the same."""
    found = [
        f"{name} was {was.get(name, 'not there')}, now it is {now.get(name, 'not there')}"
        for was, now in [(options_of(before), options_of(after))]
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
    if found:
        raise InvalidInputError(
            f"the run to resume had other settings: {'; '.join(found)}. Give the same, or start afresh with --overwrite"
        )


def options_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each setting by name; of what is the text of a dataclass its name and its fields, and so on within them."""
    out: dict[str, str] = {}
    for name, value in settings.items():
        try:
            node = ast.parse(value, mode="eval").body if isinstance(value, str) else None
            parts = dict(fields(node, name)) if isinstance(node, ast.Call) else {}
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            parts = {}
        out |= parts or {name: repr(value)}
    return out


def fields(node: ast.expr, name: str) -> Iterator[tuple[str, str]]:
    """(Name, text) of what is called ``name``; of a call and of a table of names their fields, and so on in these."""
    if isinstance(node, ast.Call) and not node.args and all(field.arg for field in node.keywords):
        yield name, ast.unparse(node.func)
        for field in node.keywords:
            yield from fields(field.value, str(field.arg))
    elif isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        for key, value in zip(node.keys, node.values, strict=True):
            yield from fields(value, str(key.value) if isinstance(key, ast.Constant) else name)
    else:
        yield name, ast.unparse(node)
