"""Tables of landmarks: an .npz with ``names`` and ``landmarks`` [N, 5, 2], in pixels of each image."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from .names import matched


def read_landmarks(path: str | os.PathLike[str]) -> dict[str, NDArray[np.floating]]:
    """Name -> landmarks [5, 2], as they stand in the file.

    Raises:
        InvalidInputError: the file can't be read, lacks an array, or holds something else than names and five points
            of each.
    """
    try:
        with np.load(path, allow_pickle=False) as table:
            if not hasattr(table, "files") or not {"names", "landmarks"} <= set(table.files):
                held = getattr(table, "files", "one array")
                raise InvalidInputError(f"{path} holds {held}; needed are 'names' and 'landmarks'")
            names, points = table["names"], table["landmarks"]
    except InvalidInputError:
        raise
    except OSError as error:
        raise InvalidInputError(f"{path} is no table of landmarks: {error}") from None
    except Exception:  # numpy raises anything on files that are none of its own, or hold objects
        raise InvalidInputError(
            f"{path} is no table of landmarks: needed is an .npz file with arrays of texts and numbers, as "
            "numpy.savez(path, names=names, landmarks=landmarks) writes it; Python objects in it are not read"
        ) from None
    fits = names.ndim == 1 and points.shape == (len(names), 5, 2) and points.dtype.kind in "fiu"
    if not fits or names.dtype.kind not in "US":
        raise InvalidInputError(
            f"{path}: names are {names.dtype} {names.shape}, landmarks {points.dtype} {points.shape}; needed are texts "
            "[N] and numbers [N, 5, 2]"
        )
    texts = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names.tolist()]
    return dict(zip(texts, points))


def landmarks_of(
    names: Sequence[str], table: dict[str, NDArray[np.floating]], what: str
) -> dict[str, NDArray[np.floating]]:
    """Landmarks of the images that a table has, under the images' own names. Names may be paths or base names on either
    side (names.py)."""
    return {name: table[entry] for name, entry in matched(names, table, what).items()}
