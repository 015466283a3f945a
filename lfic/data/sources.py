"""Where faces come from: packed files, folders of images, tar shards, parquet files; one of them or several.

    pack.safetensors                 python -m lfic.data.pack wrote it; decoded once into memory (facepack.py)
    pictures.safetensors             python -m lfic.data.pack_pictures wrote it; aligned when read (picturepack.py)
    folder/                          images, at any depth (folder.py)
    shard.tar, shards-*.tar          plain tar files in the WebDataset layout (shards.py)
    data.parquet, train-*.parquet    Hugging Face's layout (parquet.py)
    train.rec                        InsightFace's training sets, with train.idx beside it (insightface.py)

Landmarks are five points in pixels (eyes, nose, mouth corners), [5, 2] or 10 numbers; a face that has them is aligned
when it is read. For folders and tars they may also stand in an .npz (``names``, ``landmarks``), as PATH:LANDMARKS.npz.
Without landmarks images must be aligned crops: squares of 112 pixels and an even margin.
"""

import glob
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..format.geometry import SIDE
from .base import FaceSource, Source
from .facepack import FacePack
from .folder import Folder
from .insightface import Records
from .landmarks import read_landmarks
from .lenient import Lenient
from .parquet import Parquet
from .picturepack import PicturePack, is_picture_pack
from .shards import Shards


class Joined:
    """Several sources, one after the other."""

    def __init__(self, parts: Sequence[FaceSource]):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.names = [name for part in parts for name in part.names]
        kinds, sources = 0, []
        for part in parts:
            sources.append(np.asarray(part.source, np.int64) + kinds)
            kinds = int(sources[-1].max()) + 1
        self.source = np.concatenate(sources)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def face(self, i: int) -> NDArray[np.uint8]:
        """One face, the 112 x 112 template in its middle: uint8 [S, S, 3]."""
        part = int(np.searchsorted(self.ends, i, "right"))
        return self.parts[part].face(i - (int(self.ends[part - 1]) if part else 0))


def open_source(text: str) -> FaceSource:
    """One source by its path, see the module's docstring.

    Raises:
        InvalidInputError: nothing there, nothing in it, or a kind of file that is none of these.
    """
    path, _, npz = text.rpartition(":") if text.endswith(".npz") and ":" in text else (text, "", "")
    found = Folder(path, landmarks_in(npz)) if os.path.isdir(path) else open_files(path, npz)
    if not len(found):
        raise InvalidInputError(f"there are no faces in {text}")
    return found


def open_files(path: str, npz: str) -> FaceSource:
    """Files of one kind: a path, or a pattern with asterisks; npz: the file of their landmarks, or empty."""
    paths = [path] if os.path.isfile(path) else sorted(glob.glob(path)) or [path]
    missing = [one for one in paths if not os.path.isfile(one)]
    if missing:
        raise InvalidInputError(f"no data at {missing[0]}")
    kind = pathlib.Path(path).suffix
    if kind not in (".safetensors", ".tar", ".parquet", ".rec"):
        raise InvalidInputError(f"{path}: data is a folder, or files called .safetensors, .tar, .parquet or .rec")
    if npz and kind != ".tar":
        raise InvalidInputError(f"{path}:{npz}: an .npz of landmarks goes with a folder or with tar files")
    if kind == ".tar":
        return Shards(paths, landmarks_in(npz))
    if kind == ".parquet":
        return Parquet(paths)
    if kind == ".rec":
        return Records(paths[0]) if len(paths) == 1 else Joined([Records(one) for one in paths])
    packs = [PicturePack(one) if is_picture_pack(one) else FacePack(one) for one in paths]
    return packs[0] if len(packs) == 1 else Joined(packs)


def landmarks_in(npz: str) -> dict[str, NDArray[np.floating]] | None:
    """``read_landmarks`` of a file; None where there is none."""
    return read_landmarks(npz) if npz else None


def open_faces(paths: str | Sequence[str], strict: bool = False) -> FaceSource:
    """The faces at a path, or at all of a list of them.

    A face that can't be read is replaced by the next one that can, and that is said on stderr (lenient.py); ``strict``:
    it is an error.
    """
    parts = [open_source(text) for text in ([paths] if isinstance(paths, str) else paths)]
    if not strict:
        parts = [Lenient(part) if isinstance(part, Source) and not is_packed(part) else part for part in parts]
    if not parts:
        raise InvalidInputError("the list of sources is empty: name at least one")
    return parts[0] if len(parts) == 1 else Joined(parts)


def is_packed(part: FaceSource) -> bool:
    """Whether somebody has looked at every image before it was packed."""
    return isinstance(part, PicturePack)


def template_crops(faces: FaceSource, indexes: Iterable[int]) -> NDArray[np.uint8]:
    """Faces on the template without their margin: uint8 [n, 112, 112, 3]."""
    indexes = [int(i) for i in indexes]
    out = np.empty((len(indexes), SIDE, SIDE, 3), np.uint8)
    for row, i in enumerate(indexes):
        face = faces.face(i)
        margin = (len(face) - SIDE) // 2
        out[row] = face[margin : margin + SIDE, margin : margin + SIDE]
    return out
