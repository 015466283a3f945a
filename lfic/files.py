"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
import secrets


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes to a temporary name in the same folder, then rename: a reader never sees half a file.

    A link stays one: the file that it points to is replaced. What is no file (a pipe, /dev/null) is written to.
    """
    path = pathlib.Path(path)
    real = pathlib.Path(os.path.realpath(path))
    if real.exists() and not real.is_file():
        real.write_bytes(data)
        return
    # The name is known before the file exists, so that an interrupt between two lines leaves nothing behind either.
    temporary = real.with_name(f".lfic-{secrets.token_hex(6)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, real)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = os.fspath(path)  # not the temporary name, which means nothing to anybody
        raise
