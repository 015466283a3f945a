"""Where faces come from: packed files, folders of images, tar shards, parquet files; one of them or several.

    pack.safetensors                      python -m lfic.data.pack wrote it; decoded once into memory
    folder/                               images, at any depth
    shard.tar, shards-*.tar               plain tar files in the WebDataset layout: KEY.jpg (or .png, .webp), and
    KEY.json with "landmarks" data.parquet, train-*.parquet         Hugging Face's layout: a column "image" of {bytes,
    path}, and one "landmarks"

Landmarks are five points in pixels (eyes, nose, mouth corners), [5, 2] or 10 numbers; a face that has them is aligned
when it is read. For folders and tars they may also stand in an .npz (``names``, ``landmarks``), as PATH:LANDMARKS.npz.
Without landmarks images must be aligned crops: squares of 112 pixels and an even margin.
"""

import glob
import io
import json
import os
import pathlib
import tarfile

import numpy as np
from PIL import Image

from ..align import align
from ..errors import InvalidInputError, MissingDependencyError
from ..format.geometry import SIDE
from .facepack import MARGIN, FacePack

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".ppm", ".bmp")


class Source:
    """Images by number. Subclasses set ``names`` and give ``read(i)`` -> (bytes, landmarks [5, 2] or None).

    ``table``: dict name -> landmarks; images that it lacks are left out.
    """

    table = None

    def __len__(self):
        return len(self.names)

    @property
    def source(self):
        """All from one source: int64 [N] of zeros."""
        return np.zeros(len(self), np.int64)

    def image(self, i):
        """(PIL image in RGB, landmarks float [5, 2] or None)."""
        data, landmarks = self.read(i)
        try:
            image = Image.open(io.BytesIO(data)).convert("RGB")
        except OSError as error:
            raise InvalidInputError(f"{self.names[i]} is no readable image: {error}") from None
        if landmarks is None and self.table is not None:
            landmarks = self.table[self.names[i]]
        if landmarks is None:
            return image, None
        landmarks = np.asarray(landmarks, np.float64)
        if landmarks.size != 10 or not np.isfinite(landmarks).all():
            raise InvalidInputError(
                f"the landmarks of {self.names[i]} are {landmarks.tolist()}; needed are five points, x and y"
            )
        return image, landmarks.reshape(5, 2)

    def face(self, i):
        """One face on the template with a margin: uint8 [S, S, 3]."""
        image, landmarks = self.image(i)
        if landmarks is not None:
            return np.asarray(align(image, landmarks, MARGIN))
        margin = image.width - SIDE
        if image.width != image.height or margin < 0 or margin % 2:
            raise InvalidInputError(
                f"{self.names[i]} has {image.width} x {image.height} pixels and no landmarks: give landmarks, or "
                f"aligned crops of {SIDE} pixels "
                "a side and an even margin; python -m lfic.data.pack finds faces and aligns them"
            )
        return np.asarray(image)


class Folder(Source):
    """The images of a folder, in the order of their paths."""

    def __init__(self, path, table=None):
        self.path, self.table = pathlib.Path(path), table
        names = sorted(p.relative_to(path).as_posix() for p in self.path.rglob("*") if p.suffix.lower() in SUFFIXES)
        self.names = [name for name in names if table is None or name in table]

    def read(self, i):
        return (self.path / self.names[i]).read_bytes(), None


class Shards(Source):
    """Plain tar files; their headers are read at start, a face when it is asked for."""

    def __init__(self, paths, table=None):
        self.paths, self.table, self.files, self.names, self.places = paths, table, {}, [], []
        for number, path in enumerate(paths):
            labels, images = {}, []
            try:
                with tarfile.open(path, "r:") as tar:
                    for member in tar:
                        folder, base = os.path.split(member.name)
                        key, suffix = os.path.join(folder, base.partition(".")[0]), os.path.splitext(base)[1].lower()
                        if suffix == ".json":
                            labels[key] = (member.offset_data, member.size)
                        elif member.isfile() and suffix in SUFFIXES and (table is None or member.name in table):
                            images.append((member.name, key, (member.offset_data, member.size)))
            except tarfile.TarError as error:
                raise InvalidInputError(
                    f"{path} is no plain tar file ({error}); compressed ones can't be read at random"
                ) from None
            self.names += [name for name, _, _ in images]
            self.places += [(number, place, labels.get(key)) for _, key, place in images]

    def _bytes(self, number, place):
        if (os.getpid(), number) not in self.files:  # a descriptor for each process that reads
            self.files[os.getpid(), number] = open(self.paths[number], "rb")
        return os.pread(self.files[os.getpid(), number].fileno(), place[1], place[0])

    def read(self, i):
        number, place, label = self.places[i]
        landmarks = json.loads(self._bytes(number, label)).get("landmarks") if label else None
        return self._bytes(number, place), landmarks


class Parquet(Source):
    """Parquet files; their compressed images are held in memory."""

    def __init__(self, paths):
        try:
            from pyarrow import compute, concat_tables, parquet, types
            from pyarrow.lib import ArrowException
        except ImportError:
            raise MissingDependencyError('reading parquet files needs pyarrow: pip install "lfic[parquet]"') from None
        tables = []
        for path in paths:
            try:
                columns = parquet.read_schema(path).names
                if "image" not in columns:
                    raise InvalidInputError(f"{path} has the columns {columns}; needed is 'image'")
                tables.append(
                    parquet.read_table(path, columns=[name for name in ("image", "landmarks") if name in columns])
                )
            except (ArrowException, OSError) as error:
                raise InvalidInputError(f"{path} is no readable parquet file: {error}") from None
        table = concat_tables(tables)
        self.images, self.landmarks = table["image"], table["landmarks"] if "landmarks" in table.column_names else None
        self.names = [f"row {i}" for i in range(table.num_rows)]
        if types.is_struct(self.images.type) and "path" in [field.name for field in self.images.type]:
            paths = compute.struct_field(self.images, "path").to_pylist()
            self.names = [path or name for path, name in zip(paths, self.names)]

    def read(self, i):
        image = self.images[i].as_py()
        data = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(data, bytes):
            raise InvalidInputError(
                f"{self.names[i]}: the column 'image' holds {type(data).__name__}; needed are the bytes of an image "
                "file"
            )
        return data, None if self.landmarks is None else self.landmarks[i].as_py()


class Joined:
    """Several sources, one after the other."""

    def __init__(self, parts):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.names = [name for part in parts for name in part.names]
        kinds, sources = 0, []
        for part in parts:
            sources.append(np.asarray(part.source, np.int64) + kinds)
            kinds = int(sources[-1].max()) + 1
        self.source = np.concatenate(sources)

    def __len__(self):
        return int(self.ends[-1])

    def face(self, i):
        part = int(np.searchsorted(self.ends, i, "right"))
        return self.parts[part].face(i - (int(self.ends[part - 1]) if part else 0))


def open_source(text):
    """One source by its path, see the module's docstring."""
    path, _, npz = text.rpartition(":") if text.endswith(".npz") and ":" in text else (text, "", "")
    table = None
    if npz:
        with np.load(npz, allow_pickle=False) as file:
            table = dict(zip(file["names"].tolist(), file["landmarks"]))
    if os.path.isdir(path):
        found = Folder(path, table)
    else:
        paths = sorted(glob.glob(path)) or [path]
        missing = [one for one in paths if not os.path.isfile(one)]
        if missing:
            raise InvalidInputError(f"no data at {missing[0]}")
        kind = pathlib.Path(path).suffix
        if kind not in (".safetensors", ".tar", ".parquet"):
            raise InvalidInputError(f"{path}: data is a folder, or files called .safetensors, .tar or .parquet")
        if npz and kind != ".tar":
            raise InvalidInputError(f"{text}: an .npz of landmarks goes with a folder or with tar files")
        if kind == ".safetensors":
            found = FacePack(paths[0]) if len(paths) == 1 else Joined([FacePack(one) for one in paths])
        else:
            found = Shards(paths, table) if kind == ".tar" else Parquet(paths)
    if not len(found):
        raise InvalidInputError(f"there are no faces in {text}")
    return found


def open_faces(data):
    """The faces that a configuration's ``data`` names: a path, or a list of them."""
    parts = [open_source(text) for text in ([data] if isinstance(data, str) else data)]
    if not parts:
        raise InvalidInputError("data is an empty list")
    return parts[0] if len(parts) == 1 else Joined(parts)


def template_crops(faces, indexes):
    """Faces on the template without their margin: uint8 [n, 112, 112, 3]."""
    out = np.empty((len(indexes), SIDE, SIDE, 3), np.uint8)
    for row, i in enumerate(indexes):
        face = faces.face(int(i))
        margin = (len(face) - SIDE) // 2
        out[row] = face[margin : margin + SIDE, margin : margin + SIDE]
    return out
