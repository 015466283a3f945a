"""Names that a run has given to files: on disk, as a run may have more of them than fit into memory."""

import contextlib
import errno
import hashlib
import pathlib
import sqlite3
from collections.abc import Iterable, Iterator

from ..errors import InvalidInputError

FILE = "names.db"
KEPT = frozenset((FILE, f"{FILE}-journal"))  # of a run that goes on


class Names:
    """The names of one run; it alone has the file open, see ``Manifest``.

    Args:
        folder: where they are kept.
        records: that the run has done for good; names of later ones are forgotten.

    Raises:
        InvalidInputError: the file is damaged.
        OSError: it can't be written.
    """

    def __init__(self, folder: pathlib.Path, records: int) -> None:
        self.path = folder / FILE
        try:
            # The manifest's lock keeps others away, and not every disk of a network has locks for SQLite.
            self.base = sqlite3.connect(f"{self.path.absolute().as_uri()}?nolock=1", uri=True, check_same_thread=False)
            self.base.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing by it
            self.base.execute(
                "CREATE TABLE IF NOT EXISTS names (digest BLOB PRIMARY KEY, record INTEGER) WITHOUT ROWID"
            )
            self.base.execute("DELETE FROM names WHERE record >= ?", (records,))
            self.base.commit()
        except sqlite3.OperationalError as error:  # a full disk, for example
            raise OSError(errno.EIO, str(error), str(self.path)) from None
        except sqlite3.DatabaseError as error:
            raise InvalidInputError(f"{self.path} is damaged ({error}): start afresh with --overwrite") from None

    def __contains__(self, name: str) -> bool:
        return self.base.execute("SELECT 1 FROM names WHERE digest = ?", (digest(name),)).fetchone() is not None

    def add(self, names: Iterable[str], records: int) -> None:
        """Names that were given after so many records.

        Raises:
            OSError: the disk is full.
        """
        rows = [(digest(name), records) for name in names]
        with self._as_files_fail():
            self.base.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", rows)

    def commit(self) -> None:
        """Keep what was added; errors as ``add``."""
        with self._as_files_fail():
            self.base.commit()

    @contextlib.contextmanager
    def _as_files_fail(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise OSError(errno.EIO, str(error), str(self.path)) from None

    def close(self) -> None:
        """Let go of the file."""
        self.base.close()


def digest(name: str) -> bytes:
    """Of a name, whatever characters it has."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
