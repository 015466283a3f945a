"""Files that are written whole or not at all, and never over one another."""

import contextlib
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from .errors import InvalidInputError

PathLike: TypeAlias = str | os.PathLike[str]


def write_atomically(path: PathLike, data: bytes, folder: PathLike | None = None) -> None:
    """Write bytes to a temporary name in the same folder, then rename: a reader never sees half a file.

    A link stays one: the file that it points to is replaced, and keeps its permissions. What is no file (a pipe,
    /dev/null) is written to. folder: for the temporary name, on the same disk; the target's own by default.
    """
    path = pathlib.Path(path)
    if is_device(path):  # by the name that was given: where a link to a pipe leads, pipe:[123], is no name of a file
        path.write_bytes(data)
        return
    real = pathlib.Path(os.path.realpath(path))
    there = real.exists()
    # A new file gets its name when it is whole, and never has another one. One that takes the place of an older file
    # has another name for a moment; it is known before the file exists, so that an interrupt leaves nothing either.
    temporary = (real.parent if folder is None else pathlib.Path(folder)) / f".lfic-{os.urandom(6).hex()}"
    try:
        if there or not written_nameless(temporary.parent, data, real, None):
            write_under(temporary, data, real)
            os.replace(temporary, real)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # not the temporary name, which means nothing to anybody
        raise


def is_device(path: PathLike) -> bool:
    """Whether a name, links followed, is that of a pipe, a device or anything else that is no file and no folder."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """An OSError that names no file names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_under(temporary: pathlib.Path, data: bytes, real: pathlib.Path) -> None:
    """Write the file that is to take the place of ``real``, with its mode, or where there is none that of the umask."""
    if not written_nameless(temporary.parent, data, temporary, real):
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), stat.S_IMODE(real.stat().st_mode))


def written_nameless(folder: pathlib.Path, data: bytes, path: pathlib.Path, like: pathlib.Path | None) -> bool:
    """Write a file that has no name until it is whole, so that a process that is killed meanwhile leaves nothing.

    folder: on the same disk. like: a file whose mode it gets. Returns whether it is there: False where the system or
    the kind of file system can't, or ``path`` exists. Raises OSError where the data can't be written.
    """
    try:
        nameless = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):
        return False
    with os.fdopen(nameless, "wb") as file:
        file.write(data)
        file.flush()
        if like is not None:
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), stat.S_IMODE(like.stat().st_mode))
        try:
            os.link(f"/proc/self/fd/{nameless}", path, src_dir_fd=nameless, follow_symlinks=True)
        except OSError:  # /proc is not there, for example
            return False
    return True


def follow_umask(path: PathLike) -> None:
    """Give a file that safetensors wrote, for its owner alone, the mode of any other new file."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


FileState: TypeAlias = tuple[str, int, int]


def file_state(path: PathLike) -> FileState:
    """(Real path, time of the last change in nanoseconds, bytes) of a file: what was made of it holds for another of
    the same."""
    real = os.path.realpath(path)
    found = os.stat(real)
    return real, found.st_mtime_ns, found.st_size


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
