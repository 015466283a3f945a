"""Faces and pairs: a folder or tar shards of images, a table of landmarks, a pairs file in LFW's form.

A landmarks table is an .npz with ``names`` (file names) and ``landmarks`` float [N, 5, 2] in pixels. Without one the
images have to be aligned 112 x 112 crops already.
"""

import dataclasses
import io
import pathlib
import tarfile

import numpy as np
from PIL import Image

from ..align import align
from ..data.pairs import read_pairs
from ..errors import InvalidInputError
from ..format.geometry import SIDE

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"}


@dataclasses.dataclass(frozen=True)
class Faces:
    """Aligned crops and the pairs over them.

    Attributes:
        names: file names, N of them.
        pixels: uint8 [N, 112, 112, 3], RGB.
        people: the person of every image.
        pairs: int64 [P, 2], indices into ``names``; P may be 0.
        same: bool [P], True where both images show one person.
        folds: int64 [P], fold of each pair.
        missing: what was asked for and could not be used, with the reason.
    """

    names: list
    pixels: np.ndarray
    people: list
    pairs: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    missing: list = dataclasses.field(default_factory=list)

    def __len__(self):
        return len(self.names)


def open_images(sources):
    """Yield (file name, bytes) of every image in folders and tar files (compressed ones too), in a fixed order."""
    for source in sources:
        source = pathlib.Path(source)
        if source.is_dir():
            for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
                yield path.name, path.read_bytes()
        elif source.is_file() and tarfile.is_tarfile(source):
            with tarfile.open(source) as tar:
                for member in tar:
                    name = pathlib.PurePosixPath(member.name).name
                    if member.isfile() and pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES:
                        yield name, tar.extractfile(member).read()
        else:
            raise InvalidInputError(f"{source} is neither a folder nor a tar file of images")


def load_faces(sources, pairs=None, landmarks=None, limit=None, allow_missing=False, folds=None, choose=None):
    """Read, align and pair.

    Args:
        sources: folders or tar files.
        pairs: a pairs file; without one every image is taken and there are no pairs.
        landmarks: .npz as described above; without one the images must be 112 x 112 crops.
        limit: at most so many images (without pairs only), evenly spread.
        allow_missing: leave out pairs whose image or landmarks are missing, instead of an error; ``missing`` lists
            them.
        choose: function, list of usable file names -> those to take (without pairs only), applied before ``limit``.
        folds: take only these folds of the pairs, numbers from 0.

    Raises:
        InvalidInputError: names what is missing.
    """
    wanted = None
    if pairs is not None:
        left, right, same, numbers = read_pairs(pairs)
        if folds is not None:
            keep = np.isin(numbers, list(folds))
            if not keep.any() or not set(folds) <= set(numbers.tolist()):
                raise InvalidInputError(
                    f"folds {sorted(k + 1 for k in folds)} were asked for; {pairs} has 1 to {numbers.max() + 1}"
                )
            left, right = ([name for name, k in zip(side, keep) if k] for side in (left, right))
            same, numbers = same[keep], numbers[keep]
        wanted = dict.fromkeys(left + right)
    points = None
    if landmarks is not None:
        with np.load(landmarks, allow_pickle=False) as table:
            if not {"names", "landmarks"} <= set(table.files):
                raise InvalidInputError(f"{landmarks} holds {table.files}; needed are 'names' and 'landmarks'")
            points = dict(zip(table["names"].tolist(), table["landmarks"]))
    found, reasons = {}, {}
    for name, data in open_images(sources):
        stem = name.rsplit(".", 1)[0]
        if (wanted is not None and stem not in wanted) or name in found:
            continue
        if points is not None and name not in points:
            reasons[stem] = "no landmarks"
            continue
        found[name] = data
    names = sorted(found)
    if choose is not None and pairs is None:
        names = sorted(choose(names))
    if limit is not None and pairs is None and limit < len(names):
        names = [names[i] for i in np.linspace(0, len(names) - 1, limit).astype(int)]
    stems = {name.rsplit(".", 1)[0]: i for i, name in enumerate(names)}
    missing = (
        []
        if wanted is None
        else [f"{stem} ({reasons.get(stem, 'no such image')})" for stem in wanted if stem not in stems]
    )
    if missing and not allow_missing:
        listed = ", ".join(missing[:12]) + (f" and {len(missing) - 12} more" if len(missing) > 12 else "")
        raise InvalidInputError(
            f"{len(missing)} of {len(wanted)} images that {pairs} names can't be used: {listed}. "
            "Add their folder or tar file, or leave their pairs out with --allow-missing"
        )
    if not names:
        raise InvalidInputError(f"no usable image in {', '.join(map(str, sources))}")
    pixels = np.empty((len(names), SIDE, SIDE, 3), np.uint8)
    for i, name in enumerate(names):
        try:
            image = Image.open(io.BytesIO(found[name])).convert("RGB")
        except OSError as error:
            raise InvalidInputError(f"{name} can't be read as an image: {error}") from None
        if points is not None:
            image = align(image, points[name])
        elif image.size != (SIDE, SIDE):
            raise InvalidInputError(
                f"{name} is {image.width} x {image.height}; without a landmarks file images must be aligned {SIDE} x "
                f"{SIDE} crops"
            )
        pixels[i] = np.asarray(image)
    people = [name.rsplit(".", 1)[0].rsplit("_", 1)[0] for name in names]
    if pairs is None:
        return Faces(
            names, pixels, people, np.zeros((0, 2), np.int64), np.zeros(0, bool), np.zeros(0, np.int64), missing
        )
    keep = np.array([a in stems and b in stems for a, b in zip(left, right)])
    index = np.array([[stems[a], stems[b]] for a, b, k in zip(left, right, keep) if k], np.int64).reshape(-1, 2)
    return Faces(names, pixels, people, index, same[keep], numbers[keep], missing)
