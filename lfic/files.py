"""Files that are written whole or not at all, and never over one another."""

import contextlib
import os
import pathlib
import secrets
import stat
from collections.abc import Callable, Iterable
from typing import TypeAlias

from .errors import InvalidInputError

PathLike: TypeAlias = str | os.PathLike[str]


def write_atomically(path: PathLike, data: bytes, folder: PathLike | None = None) -> None:
    """Write bytes to a temporary name in the same folder, then rename: a reader never sees half a file.

    A link stays one: the file that it points to is replaced, and keeps its permissions. What is no file (a pipe,
    /dev/null) is written to. folder: for the temporary name, on the same disk; the target's own by default.
    """
    path = pathlib.Path(path)
    real = pathlib.Path(os.path.realpath(path))
    there = real.exists()
    if there and not real.is_file():
        real.write_bytes(data)
        return
    # The name is known before the file exists, so that an interrupt between two lines leaves nothing behind either.
    temporary = (real.parent if folder is None else pathlib.Path(folder)) / f".lfic-{secrets.token_hex(6)}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        if there:
            temporary.chmod(stat.S_IMODE(real.stat().st_mode))
        os.replace(temporary, real)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # not the temporary name, which means nothing to anybody
        raise


def follow_umask(path: PathLike) -> None:
    """Give a file that safetensors wrote, for its owner alone, the mode of any other new file."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def distinct_targets(
    sources: Iterable[pathlib.Path], target: Callable[[pathlib.Path], pathlib.Path], remedy: str
) -> dict[pathlib.Path, pathlib.Path]:
    """Where the result of each file goes: {source: target(source)}.

    remedy: what an error tells to do where a result would overwrite a source, such as "give another folder".

    Raises:
        InvalidInputError: two results with one name, or a result with the name of a source, links followed.
    """
    sources = list(sources)
    real_sources = {path.resolve() for path in sources}
    taken: dict[pathlib.Path, pathlib.Path] = {}
    found: dict[pathlib.Path, pathlib.Path] = {}
    for path in sources:
        name = target(path)
        real = name.resolve()
        if real in taken:
            raise InvalidInputError(
                f"{path} and {taken[real]} would both be written to {name}: give them different names or folders"
            )
        if real in real_sources:
            raise InvalidInputError(f"{name} would be overwritten by the result of {path}: {remedy}")
        taken[real] = path
        found[path] = name
    return found
