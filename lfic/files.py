"""Files that are written whole or not at all, and never over one another."""

import contextlib
import os
import pathlib
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
    temporary = (real.parent if folder is None else pathlib.Path(folder)) / f".lfic-{os.urandom(6).hex()}"
    try:
        write_under(temporary, data, real)
        os.replace(temporary, real)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # not the temporary name, which means nothing to anybody
        raise


def write_under(temporary: pathlib.Path, data: bytes, real: pathlib.Path) -> None:
    """Write the file that is to take the place of ``real``, with its mode, or where there is none that of the umask.

    Where the system can, it has no name until it is whole: a process that is killed meanwhile leaves nothing.
    """
    try:
        nameless = os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):  # another system, another kind of file system
        nameless = None
    with open(temporary, "xb") if nameless is None else os.fdopen(nameless, "wb") as file:
        file.write(data)
        file.flush()
        with contextlib.suppress(OSError):
            os.fchmod(file.fileno(), stat.S_IMODE(real.stat().st_mode))
        if nameless is not None:
            try:
                os.link(f"/proc/self/fd/{nameless}", temporary, src_dir_fd=nameless, follow_symlinks=True)
            except OSError:  # /proc is not there, for example
                with open(temporary, "xb") as other:
                    other.write(data)


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
    real_sources = {os.path.realpath(path) for path in sources}
    taken: dict[str, pathlib.Path] = {}
    found: dict[pathlib.Path, pathlib.Path] = {}
    for path in sources:
        name = target(path)
        real = os.path.realpath(name)  # of a loop of links, which has no end, what it can tell
        if real in taken:
            raise InvalidInputError(
                f"{path} and {taken[real]} would both be written to {name}: give them different names or folders"
            )
        if real in real_sources:
            raise InvalidInputError(f"{name} would be overwritten by the result of {path}: {remedy}")
        taken[real] = path
        found[path] = name
    return found
