"""What was computed once: coded files and embeddings, by content, in one SQLite file that survives a kill at any time."""

import hashlib
import pathlib
import sqlite3

import numpy as np

from ..errors import InvalidInputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  codec TEXT, image TEXT, data BLOB, header INTEGER, mse REAL, decoded TEXT, PRIMARY KEY (codec, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS embeddings (
  recogniser TEXT, image TEXT, vector BLOB, PRIMARY KEY (recogniser, image)) WITHOUT ROWID;
"""


def content_key(pixels):
    """Key of one image: hash of its shape and pixels."""
    pixels = np.ascontiguousarray(pixels)
    return hashlib.blake2b(pixels.tobytes(), digest_size=12, salt=repr(pixels.shape).encode()[:16]).hexdigest()


class Cache:
    """Rows of ``files`` and ``embeddings``; ``path`` None keeps them in memory.

    Every ``put`` is one transaction: a run that was killed goes on where it stood, and gives the same numbers.
    """

    def __init__(self, path=None):
        if path is not None:
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = sqlite3.connect(":memory:" if path is None else str(path), timeout=120)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InvalidInputError(
                f"{path} can't be used as a cache ({error}): give another path with --cache, or delete it"
            ) from None

    def files(self, codec):
        """Everything known of one codec at one setting: image key -> (bytes of the file, header bytes, MSE, key of the
        decoded image)."""
        rows = self.db.execute("SELECT image, length(data), header, mse, decoded FROM files WHERE codec = ?", (codec,))
        return {row[0]: row[1:] for row in rows}

    def put_files(self, codec, rows):
        """rows: (image key, data, header bytes, MSE, key of the decoded image)."""
        with self.db:
            self.db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", [(codec, *row) for row in rows]
            )

    def data(self, codec, image):
        """The coded file, or None."""
        row = self.db.execute("SELECT data FROM files WHERE codec = ? AND image = ?", (codec, image)).fetchone()
        return None if row is None else bytes(row[0])

    def embeddings(self, recogniser, images):
        """Known embeddings of some image keys -> dict to float32 [D]."""
        out = {}
        for image in images:
            row = self.db.execute(
                "SELECT vector FROM embeddings WHERE recogniser = ? AND image = ?", (recogniser, image)
            ).fetchone()
            if row is not None:
                out[image] = np.frombuffer(row[0], np.float32)
        return out

    def put_embeddings(self, recogniser, rows):
        """rows: (image key, float32 [D])."""
        with self.db:
            self.db.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                [(recogniser, key, np.asarray(vector, np.float32).tobytes()) for key, vector in rows],
            )

    def close(self):
        self.db.close()
