"""What is known of a record beside its bytes: a JSON object, whoever wrote it."""

import json
from typing import Any

MOST_DEPTH = 64  # objects and lists in one another; pickle and json give up at some hundreds


def meta_from(text: str | bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: it is none, or one of more than MOST_DEPTH levels.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(f"has more than {MOST_DEPTH} lists and objects in one another") from None
    except ValueError as error:
        raise ValueError(f"is no readable JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"holds {type(found).__name__}; an object is needed")
    if is_deeper(found, MOST_DEPTH):
        raise ValueError(f"has more than {MOST_DEPTH} lists and objects in one another")
    return found


def is_deeper(value: Any, most: int) -> bool:
    """Whether a value has more than so many lists and objects in one another."""
    level = [value]
    for _ in range(most + 1):
        level = [one for one in level if isinstance(one, (dict, list))]
        if not level:
            return False
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return True


def is_text(name: str) -> bool:
    """Whether a name can be written: what is no UTF-8 comes from a file system, half a UTF-16 pair from nowhere."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


NO_TEXT = "the name {!r} has half a UTF-16 pair, which no file's name can have: rename it"
