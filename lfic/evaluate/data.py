"""Faces and pairs: a folder or tar shards of images, a table of landmarks, a pairs file in LFW's form.

A landmarks table is an .npz with ``names`` (file names) and ``landmarks`` float [N, 5, 2] in pixels. Without one the
images have to be aligned 112 x 112 crops already.
"""

import dataclasses
import functools
import os
import pathlib
import tarfile
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..align import align
from ..data.pairs import read_pairs
from ..errors import InvalidInputError
from ..format.geometry import SIDE
from ..image import open_image, to_rgb
from .interface import Pixels

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
        photos: where whole pictures are coded: uint8 [H, W, 3] each, of which ``pixels`` are the aligned faces; else
            empty. landmarks: float [N, 5, 2] in them.
    """

    names: list[str]
    pixels: NDArray[np.uint8]
    people: list[str]
    pairs: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    missing: list[str] = dataclasses.field(default_factory=list)
    photos: list[Pixels] = dataclasses.field(default_factory=list)
    landmarks: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros((0, 5, 2)))

    def __len__(self) -> int:
        return len(self.names)

    def part(self, which: Sequence[int]) -> "Faces":
        """Some of the faces, without pairs."""
        chosen = list(which)
        return Faces(
            [self.names[i] for i in chosen],
            self.pixels[chosen],
            [self.people[i] for i in chosen],
            np.zeros((0, 2), np.int64),
            np.zeros(0, bool),
            np.zeros(0, np.int64),
            photos=[self.photos[i] for i in chosen] if self.photos else [],
            landmarks=self.landmarks[chosen] if self.photos else self.landmarks,
        )

    def source(self, i: int) -> Pixels:
        """What a codec is given: the whole picture, or the aligned face."""
        return self.photos[i] if self.photos else self.pixels[i]

    def face(self, i: int, decoded: Pixels) -> Pixels:
        """The aligned face in what a codec decoded, by the original's landmarks."""
        if not self.photos:
            return decoded
        return np.asarray(align(Image.fromarray(decoded), self.landmarks[i]))


def open_images(sources: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[str, bytes]]:
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
                    wanted = member.isfile() and pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES
                    if wanted and (file := tar.extractfile(member)):
                        yield name, file.read()
        else:
            raise InvalidInputError(f"{source} is neither a folder nor a tar file of images")


def load_faces(
    sources: Sequence[str | os.PathLike[str]],
    pairs: str | os.PathLike[str] | None = None,
    landmarks: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    folds: Collection[int] | None = None,
    choose: Callable[[list[str]], list[str]] | None = None,
    whole: bool = False,
) -> Faces:
    """Read, align and pair.

    Args:
        sources: folders or tar files.
        pairs: a pairs file; without one every image is taken and there are no pairs.
        landmarks: .npz as described above; without one the images must be 112 x 112 crops.
        limit: at most so many images (without pairs only), evenly spread.
        allow_missing: leave out pairs whose image or landmarks are missing, instead of an error; ``missing`` lists
            them.
        folds: take only these folds of the pairs, numbers from 0.
        choose: function, list of usable file names -> those to take (without pairs only), applied before ``limit``.
        whole: keep the pictures as well, which codecs are then given; needs landmarks.

    Raises:
        InvalidInputError: names what is missing.
    """
    if whole and landmarks is None:
        raise InvalidInputError("whole pictures are measured at their faces: give a table of landmarks")
    protocol = None if pairs is None else Pairs.read(pairs, folds)
    points = None if landmarks is None else read_landmarks(landmarks)
    found, reasons = usable(sources, protocol.stems if protocol else None, points)
    names = sorted(found)
    if protocol is None:
        names = sorted(choose(names)) if choose is not None else names
        if limit is not None and limit < len(names):
            names = [names[i] for i in np.linspace(0, len(names) - 1, limit).astype(int)]
    stems = {stem_of(name): i for i, name in enumerate(names)}
    missing = [
        f"{stem} ({reasons.get(stem, 'no such image')})"
        for stem in (protocol.stems if protocol else ())
        if stem not in stems
    ]
    if protocol and missing and not allow_missing:
        listed = ", ".join(missing[:12]) + (f" and {len(missing) - 12} more" if len(missing) > 12 else "")
        raise InvalidInputError(
            f"{len(missing)} of {len(protocol.stems)} images that {pairs} names can't be used: {listed}. "
            "Add their folder or tar file, or leave their pairs out with --allow-missing"
        )
    if not names:
        raise InvalidInputError(f"no usable image in {', '.join(map(str, sources))}")
    pixels = np.empty((len(names), SIDE, SIDE, 3), np.uint8)
    for i, name in enumerate(names):
        pixels[i] = crop(name, found[name], None if points is None else points[name])
    people = [stem_of(name).rsplit("_", 1)[0] for name in names]
    index, same, numbers = (protocol or Pairs.none()).among(stems)
    if not (whole and points):
        return Faces(names, pixels, people, index, same, numbers, missing)
    photos = [to_rgb(open_image(name, found[name])) for name in names]
    there = np.stack([np.asarray(points[name], np.float64) for name in names])
    return Faces(names, pixels, people, index, same, numbers, missing, photos, there)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of a protocol by the names of their images, without suffix: left and right [P], same bool [P], folds
    int64 [P]."""

    left: list[str]
    right: list[str]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]

    @classmethod
    def read(cls, path: str | os.PathLike[str], folds: Collection[int] | None) -> "Pairs":
        """A pairs file, or some of its folds."""
        left, right, same, numbers = read_pairs(path)
        if folds is None:
            return cls(left, right, same, numbers)
        keep = np.isin(numbers, list(folds))
        if not keep.any() or not set(folds) <= set(numbers.tolist()):
            raise InvalidInputError(
                f"folds {sorted(k + 1 for k in folds)} were asked for; {path} has 1 to {numbers.max() + 1}"
            )
        left, right = ([name for name, k in zip(side, keep) if k] for side in (left, right))
        return cls(left, right, same[keep], numbers[keep])

    @classmethod
    def none(cls) -> "Pairs":
        """No pairs at all."""
        return cls([], [], np.zeros(0, bool), np.zeros(0, np.int64))

    @functools.cached_property
    def stems(self) -> dict[str, None]:
        """Every image once, in the order of the pairs."""
        return dict.fromkeys(self.left + self.right)

    def among(self, stems: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Those pairs of which both images are there -> (indices [P, 2], same [P], folds [P])."""
        keep = np.array([a in stems and b in stems for a, b in zip(self.left, self.right)], bool)
        index = [[stems[a], stems[b]] for a, b, k in zip(self.left, self.right, keep) if k]
        return np.array(index, np.int64).reshape(-1, 2), self.same[keep], self.folds[keep]


def stem_of(name: str) -> str:
    """A file's name without its suffix."""
    return name.rsplit(".", 1)[0]


def read_landmarks(path: str | os.PathLike[str]) -> dict[str, NDArray[np.floating]]:
    """File name -> landmarks [5, 2]."""
    with np.load(path, allow_pickle=False) as table:
        if not {"names", "landmarks"} <= set(table.files):
            raise InvalidInputError(f"{path} holds {table.files}; needed are 'names' and 'landmarks'")
        return dict(zip(table["names"].tolist(), table["landmarks"]))


def usable(
    sources: Sequence[str | os.PathLike[str]], stems: Container[str] | None, points: Container[str] | None
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Files that are wanted and have landmarks, where those are asked for; the first of a name counts.

    Returns:
        (file name -> bytes, stem -> why it can't be used).
    """
    found: dict[str, bytes] = {}
    reasons = {}
    for name, data in open_images(sources):
        if (stems is not None and stem_of(name) not in stems) or name in found:
            continue
        if points is not None and name not in points:
            reasons[stem_of(name)] = "no landmarks"
            continue
        found[name] = data
    return found, reasons


def crop(name: str, data: bytes, points: NDArray[np.floating] | None) -> Pixels:
    """A file as an aligned face, uint8 [112, 112, 3]."""
    try:
        image = Image.fromarray(to_rgb(open_image(name, data)))
    except InvalidInputError as error:
        raise InvalidInputError(f"{name} can't be read as an image: {error}") from None
    if points is not None:
        image = align(image, points)
    elif image.size != (SIDE, SIDE):
        raise InvalidInputError(
            f"{name} is {image.width} x {image.height}; without a landmarks file images must be aligned {SIDE} x "
            f"{SIDE} crops"
        )
    return np.asarray(image)
