"""What was computed once: coded files, embeddings and looks, by content, in one SQLite file that survives a kill at
any time."""

import hashlib
import os
import pathlib
import sqlite3
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError

# Files of this schema are kept for long: its names stay, in the spelling that they have.
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  codec TEXT, image TEXT, data BLOB, header INTEGER, mse REAL, decoded TEXT, PRIMARY KEY (codec, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS embeddings (
  recogniser TEXT, image TEXT, vector BLOB, PRIMARY KEY (recogniser, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (
  codec TEXT, image TEXT, version TEXT, vector BLOB, PRIMARY KEY (codec, image, version)) WITHOUT ROWID;
"""
Known = tuple[int, int, float, str]  # bytes of the file, header bytes, MSE, key of the decoded image


def content_key(pixels: NDArray[Any]) -> str:
    """Key of one image: hash of its shape and pixels."""
    pixels = np.ascontiguousarray(pixels)
    return hashlib.blake2b(pixels.tobytes(), digest_size=12, salt=repr(pixels.shape).encode()[:16]).hexdigest()


PATIENCE = 120  # seconds that a run waits for another one's transaction


def write_ahead(db: sqlite3.Connection) -> None:
    """Turn on write-ahead logging. While another process does the same to a new file, SQLite answers at once that it is
    busy, whatever the connection's timeout."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > end:
                raise
        time.sleep(0.05)


def opened(path: str | os.PathLike[str] | None) -> sqlite3.Connection:
    """The database, whole; in memory where ``path`` is None. Raises sqlite3.DatabaseError."""
    db = sqlite3.connect(":memory:" if path is None else str(path), timeout=PATIENCE)
    try:
        write_ahead(db)
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(SCHEMA)
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            error = sqlite3.DatabaseError(found)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def set_aside(path: pathlib.Path) -> pathlib.Path:
    """Rename a database and what belongs to it; returns its place."""
    aside = path.with_name(path.name + ".damaged")
    for suffix in ("", "-wal", "-shm"):
        if (part := path.with_name(path.name + suffix)).exists():
            part.replace(aside.with_name(aside.name + suffix))
    return aside


class Cache:
    """Rows of ``files``, ``embeddings`` and ``looks``; ``path`` None keeps them in memory.

    Every ``put`` is one transaction: a run that was killed goes on where it stood, and gives the same numbers.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        if path is not None:
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = opened(path)
        except sqlite3.DatabaseError as error:
            if path is None or getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_CORRUPT:
                raise InvalidInputError(
                    f"{path} can't be used as a cache ({error}): give another path with --cache, or delete it"
                ) from None
            aside = set_aside(pathlib.Path(path))
            print(f"{path} is damaged ({error}): it is kept as {aside}, and all is measured anew", file=sys.stderr)
            self.db = opened(path)

    def files(self, codec: str) -> dict[str, Known]:
        """Everything known under the key of a codec at a setting: image key -> ``Known``."""
        rows = self.db.execute("SELECT image, length(data), header, mse, decoded FROM files WHERE codec = ?", (codec,))
        return {row[0]: row[1:] for row in rows}

    def put_files(self, codec: str, rows: Iterable[tuple[str, bytes, int, float, str]]) -> None:
        """rows: (image key, data, header bytes, MSE, key of the decoded image)."""
        with self.db:
            self.db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", [(codec, *row) for row in rows]
            )

    def data(self, codec: str, image: str) -> bytes | None:
        """The coded file, or None."""
        row = self.db.execute("SELECT data FROM files WHERE codec = ? AND image = ?", (codec, image)).fetchone()
        return None if row is None else bytes(row[0])

    def embeddings(self, judge: str, images: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Known embeddings of some image keys, under a judge's key -> dict to float32 [D]."""
        out = {}
        for image in images:
            row = self.db.execute(
                "SELECT vector FROM embeddings WHERE recogniser = ? AND image = ?", (judge, image)
            ).fetchone()
            if row is not None:
                out[image] = np.frombuffer(row[0], np.float32)
        return out

    def put_embeddings(self, judge: str, rows: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
        """rows: (image key, float32 [D])."""
        with self.db:
            self.db.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                [(judge, key, np.asarray(vector, np.float32).tobytes()) for key, vector in rows],
            )

    def looks(self, codec: str, image: str, version: str) -> NDArray[np.float64] | None:
        """What is known of the looks of an image at a codec's setting, float64 [M], or None."""
        row = self.db.execute(
            "SELECT vector FROM looks WHERE codec = ? AND image = ? AND version = ?", (codec, image, version)
        ).fetchone()
        return None if row is None else np.frombuffer(row[0], np.float64)

    def put_looks(self, codec: str, image: str, version: str, looks: NDArray[np.float64]) -> None:
        """Keep one image's looks."""
        with self.db:
            self.db.execute(
                "INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)", (codec, image, version, looks.tobytes())
            )

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()
