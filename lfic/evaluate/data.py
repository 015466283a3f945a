"""Faces and pairs: folders, tar files and InsightFace's sets of images, a table of landmarks, a list of pairs.

Images are called by their paths within the source (lfic/data/names.py); a folder that all images of a tar file lie in
is left out. A table of landmarks is an .npz with ``names`` and ``landmarks`` float [N, 5, 2] in pixels. Without one the
images have to be aligned 112 x 112 crops already.
"""

import dataclasses
import functools
import os
import pathlib
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..align import align
from ..data.insightface import Records, read_bin
from ..data.landmarks import landmarks_of, read_landmarks
from ..data.names import Index, is_image, normal, person_of, say_unread, stem_of, unread
from ..data.pairs import read_pairs, ten_folds
from ..errors import InvalidInputError
from ..format.geometry import SIDE
from ..image import open_image, to_rgb
from .crop import cropped
from .interface import Pixels

__all__ = ["Faces", "Pairs", "load_faces", "read_landmarks", "read_pairs", "stem_of"]


@dataclasses.dataclass(frozen=True)
class Faces:
    """Aligned crops and the pairs over them.

    Attributes:
        names: paths within their sources, N of them.
        pixels: uint8 [N, 112, 112, 3], RGB.
        people: the person of every image.
        pairs: int64 [P, 2], indices into ``names``; P may be 0.
        same: bool [P], True where both images show one person.
        folds: int64 [P], fold of each pair.
        missing: what was asked for and could not be used, with the reason.
        photos: where larger pictures are coded, whole or cropped: uint8 [H, W, 3] each, of which ``pixels`` are the
            aligned faces; else empty. landmarks: float [N, 5, 2] in them.
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
        """What a codec is given: the picture, or the aligned face."""
        return self.photos[i] if self.photos else self.pixels[i]

    def face(self, i: int, decoded: Pixels) -> Pixels:
        """The aligned face in what a codec decoded, by the original's landmarks."""
        if not self.photos:
            return decoded
        return np.asarray(align(Image.fromarray(decoded), self.landmarks[i]))


@dataclasses.dataclass(frozen=True)
class Found:
    """Image files of all sources.

    Attributes:
        files: name -> bytes; the first of a name counts.
        people: name -> person, for sources that say so themselves.
        pairs: of a source that has its own (.bin), or None.
        unread: suffix -> number of images for which a package is missing.
    """

    files: dict[str, Callable[[], bytes]] = dataclasses.field(default_factory=dict)
    people: dict[str, str] = dataclasses.field(default_factory=dict)
    pairs: list["Pairs"] = dataclasses.field(default_factory=list)
    unread: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, name: str, read: Callable[[], bytes]) -> None:
        self.files.setdefault(name, read)


def find_images(sources: Iterable[str | os.PathLike[str]]) -> Found:
    """Every image in folders, tar files (compressed ones too), verification sets (.bin) and training sets (.rec), in a
    fixed order."""
    found = Found()
    for source in map(pathlib.Path, sources):
        if source.is_dir():
            of_folder(source, found)
        elif source.suffix == ".bin" and source.is_file():
            of_bin(source, found)
        elif source.suffix == ".rec" and source.is_file():
            records = Records(source)
            for i, name in enumerate(records.names):
                found.add(name, functools.partial(lambda k, of: of.read(k)[0], i, records))
                found.people.setdefault(name, name.partition("/")[0])
        elif source.is_file() and tarfile.is_tarfile(source):
            of_tar(source, found)
        else:
            raise InvalidInputError(
                f"{source} is neither a folder nor a tar file of images, nor one of InsightFace's sets (.bin, .rec)"
            )
    return found


def of_folder(folder: pathlib.Path, found: Found) -> None:
    """Add a folder's images, called by their paths in it."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    count(found, names)
    for name in filter(is_image, names):
        found.add(name, (folder / name).read_bytes)


def of_tar(path: pathlib.Path, found: Found) -> None:
    """Add a tar file's images, called by their paths in it, less the folder that they all lie in."""
    plain = is_plain_tar(path)
    files: dict[str, Callable[[], bytes]] = {}
    names = []
    with tarfile.open(path) as tar:
        for member in tar:
            name = normal(member.name)
            names.append(name)
            if not (member.isfile() and is_image(name)):
                continue
            # Of a member that is there twice the last counts, as for tar itself.
            if plain:
                files[name] = functools.partial(read_span, path, member.offset_data, member.size)
            elif file := tar.extractfile(member):
                files[name] = functools.partial(bytes, file.read())
    count(found, names)
    common = os.path.commonpath([os.path.dirname(name) for name in files]) if files else ""
    for name, read in files.items():
        found.add(name[len(common) + 1 :] if common else name, read)


def is_plain_tar(path: pathlib.Path) -> bool:
    """Whether a tar file is not compressed, so that a member can be read where it lies."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.TarError:
        return False


def read_span(path: pathlib.Path, offset: int, size: int) -> bytes:
    """Some bytes of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def of_bin(path: pathlib.Path, found: Found) -> None:
    """Add a verification set: images NAME/00000 and so on, and its pairs in ten folds."""
    images, same = read_bin(path)
    names = [f"{path.stem}/{k:05d}" for k in range(len(images))]
    for name, data in zip(names, images):
        found.add(name, functools.partial(bytes, data))
    found.pairs.append(Pairs(names[::2], names[1::2], same, ten_folds(len(same))))


def count(found: Found, names: Iterable[str]) -> None:
    """Add to the number of images that no package here reads."""
    for suffix, number in unread(names).items():
        found.unread[suffix] = found.unread.get(suffix, 0) + number


def load_faces(
    sources: Sequence[str | os.PathLike[str]],
    pairs: str | os.PathLike[str] | None = None,
    landmarks: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    folds: Collection[int] | None = None,
    choose: Callable[[list[str]], list[str]] | None = None,
    whole: bool = False,
    side: int | None = None,
    draw: int = 0,
    strict: bool = False,
) -> Faces:
    """Read, align and pair.

    Args:
        sources: folders, tar files, or InsightFace's sets.
        pairs: a list of pairs; without one every image is taken, and there are no pairs but those of a .bin file.
        landmarks: .npz as described above; without one the images must be 112 x 112 crops.
        limit: at most so many images (without pairs only), evenly spread.
        allow_missing: leave out pairs whose image or landmarks are missing, instead of an error; ``missing`` lists
            them.
        folds: take only these folds of the pairs, numbers from 0.
        choose: function, list of usable file names -> those to take (without pairs only), applied before ``limit``.
        whole: keep the pictures as well, which codecs are then given; needs landmarks.
        side: codecs are given crops of so many pixels a side (crop.py); needs landmarks.
        draw: make so many pairs of one person and of two out of the people's images, in ten folds (without pairs only).
        strict: an image that can't be read is an error; else it is left out and listed in ``missing``.

    Raises:
        InvalidInputError: names what is missing.
    """
    if (whole or side) and landmarks is None:
        raise InvalidInputError("whole pictures are measured at their faces: give a table of landmarks")
    found = find_images(sources)
    names, reasons = list(found.files), {}
    points = None
    if landmarks is not None:
        points = landmarks_of(names, read_landmarks(landmarks), str(landmarks))
        reasons = {name: "no landmarks" for name in names if name not in points}
    protocol = protocol_of(pairs, folds, found)
    if protocol is not None:
        protocol, wanted = protocol.named(Index(names))
        names = [name for name in names if name in wanted]
    missing = [f"{name} (no such image)" for name in protocol.lost] if protocol else []
    names = sorted(name for name in names if name not in reasons)
    if protocol is None:
        missing += [f"{name} ({reason})" for name, reason in reasons.items()] if names else []
        names = sorted(choose(names)) if choose is not None else names
        if limit is not None and limit < len(names):
            names = [names[i] for i in np.linspace(0, len(names) - 1, limit).astype(int)]
    faces: dict[str, Face] = {}
    for name in names:
        try:
            given = None if points is None else points[name]
            faces[name] = Face.read(name, found.files[name](), given, whole, side)
        except InvalidInputError as error:
            if strict:
                raise
            reasons[name] = str(error)
            if protocol is None:
                missing.append(str(error))
    if protocol is not None:
        missing += [f"{stem_of(name)} ({reasons[name]})" for name in protocol.stems if name in reasons]
    if missing and protocol and not allow_missing:
        listed = ", ".join(missing[:12]) + (f" and {len(missing) - 12} more" if len(missing) > 12 else "")
        total = len(protocol.stems) + len(protocol.lost)
        raise InvalidInputError(
            f"{len(missing)} of {total} images that {pairs or 'the verification set'} names can't be used: {listed}. "
            "Add their folder or tar file, or leave their pairs out with --allow-missing"
        )
    if note := say_unread(found.unread):
        missing.append(note)
    if not faces:
        why = f": {missing[0]}" if missing else next((f": {name} has {why}" for name, why in reasons.items()), "")
        raise InvalidInputError(f"no usable image in {', '.join(map(str, sources))}{why}")
    names = list(faces)
    people = [found.people.get(name) or person_of(name) for name in names]
    if protocol is None and draw:
        protocol = draw_pairs(names, people, draw)
    index, same, numbers = (protocol or Pairs.none()).among({name: i for i, name in enumerate(names)})
    pixels = np.stack([face.pixels for face in faces.values()])
    photos = [face.photo for face in faces.values() if face.photo is not None]
    there = np.stack([face.landmarks for face in faces.values()]) if photos else np.zeros((0, 5, 2))
    return Faces(names, pixels, people, index, same, numbers, missing, photos, there)


@dataclasses.dataclass(frozen=True)
class Face:
    """An image as it is measured: the aligned face uint8 [112, 112, 3]; where codecs are given more than that, the
    picture and its landmarks float [5, 2]."""

    pixels: Pixels
    photo: Pixels | None
    landmarks: NDArray[np.float64]

    @classmethod
    def read(cls, name: str, data: bytes, points: NDArray[np.floating] | None, whole: bool, side: int | None) -> "Face":
        """Open an image file; InvalidInputError names it where that fails."""
        try:
            image = to_rgb(open_image(name, data))
        except InvalidInputError as error:
            raise InvalidInputError(f"{name} can't be read as an image: {error}") from None
        if points is None:
            if image.shape[:2] != (SIDE, SIDE):
                raise InvalidInputError(
                    f"{name} is {image.shape[1]} x {image.shape[0]}; without a landmarks file images must be aligned "
                    f"{SIDE} x {SIDE} crops"
                )
            return cls(image, None, np.zeros((5, 2)))
        there = np.asarray(points, np.float64)
        if not np.isfinite(there).all():
            raise InvalidInputError(f"{name} has landmarks that are no finite numbers")
        if side:
            image, there = cropped(image, there, side)
        aligned = np.asarray(align(Image.fromarray(image), there))
        return cls(aligned, image if whole or side else None, there)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of a protocol by the names of their images: left and right [P], same bool [P], folds int64 [P]; lost: those
    of which there is no image."""

    left: list[str]
    right: list[str]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    lost: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Pairs":
        """A list of pairs; names without suffix."""
        return cls(*read_pairs(path))

    @classmethod
    def none(cls) -> "Pairs":
        """No pairs at all."""
        return cls([], [], np.zeros(0, bool), np.zeros(0, np.int64))

    def of_folds(self, folds: Collection[int], path: object) -> "Pairs":
        """Some folds of them."""
        keep = np.isin(self.folds, list(folds))
        if not keep.any() or not set(folds) <= set(self.folds.tolist()):
            raise InvalidInputError(
                f"folds {sorted(k + 1 for k in folds)} were asked for; {path} has 1 to {self.folds.max() + 1}"
            )
        left, right = ([name for name, k in zip(side, keep) if k] for side in (self.left, self.right))
        return Pairs(left, right, self.same[keep], self.folds[keep])

    def named(self, index: Index) -> tuple["Pairs", set[str]]:
        """(the same pairs by the images' own names, those images); names of no image stay as they are."""
        called: dict[str, str | None] = {}
        for name in [*self.left, *self.right]:
            if name not in called:
                called[name] = name if name in index.exact else index.find(name, bare=True)
        lost = tuple(name for name, image in called.items() if image is None)
        left, right = ([called[name] or name for name in side] for side in (self.left, self.right))
        return Pairs(left, right, self.same, self.folds, lost), {image for image in called.values() if image}

    @functools.cached_property
    def stems(self) -> dict[str, None]:
        """Every image that is not lost once, in the order of the pairs."""
        lost = set(self.lost)
        return {name: None for name in self.left + self.right if name not in lost}

    def among(self, names: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
        """Those pairs of which both images are there -> (indices [P, 2], same [P], folds [P])."""
        keep = np.array([a in names and b in names for a, b in zip(self.left, self.right)], bool)
        index = [[names[a], names[b]] for a, b, k in zip(self.left, self.right, keep) if k]
        return np.array(index, np.int64).reshape(-1, 2), self.same[keep], self.folds[keep]


def protocol_of(pairs: str | os.PathLike[str] | None, folds: Collection[int] | None, found: Found) -> Pairs | None:
    """The pairs that were asked for, or those that a source brings."""
    if pairs is not None:
        protocol = Pairs.read(pairs)
    elif not found.pairs:
        return None
    elif len(found.pairs) > 1:
        raise InvalidInputError(f"{len(found.pairs)} verification sets: measure one at a time")
    else:
        protocol = found.pairs[0]
    return protocol if folds is None else protocol.of_folds(folds, pairs or "the set")


def draw_pairs(names: Sequence[str], people: Sequence[str], count: int) -> Pairs:
    """Pairs of one person and of two, ``count`` of each at most, the same in every run, in ten folds.

    Raises:
        InvalidInputError: nobody has two images, or there is one person.
    """
    generator = np.random.default_rng(1)
    members: dict[str, list[int]] = {}
    for i, person in enumerate(people):
        members.setdefault(person, []).append(i)
    several = [images for images in members.values() if len(images) > 1]
    if not several or len(members) < 2:
        raise InvalidInputError(
            f"pairs can't be drawn from {len(names)} images of {len(members)} people, of whom {len(several)} have two"
        )
    drawn: dict[tuple[int, int], bool] = {}
    order = list(members.values())
    of_one = sum(len(images) * (len(images) - 1) // 2 for images in several)
    of_two = len(names) * (len(names) - 1) // 2 - of_one
    for same, there in ((True, of_one), (False, of_two)):
        tries, end = 0, len(drawn) + min(count, there)
        while len(drawn) < end and tries < 20 * count:
            tries += 1
            if same:
                i, j = generator.choice(several[generator.integers(len(several))], 2, replace=False)
            else:
                one, other = generator.choice(len(order), 2, replace=False)
                i, j = (generator.choice(order[k]) for k in (one, other))
            drawn[min(int(i), int(j)), max(int(i), int(j))] = same
    kinds = np.array(list(drawn.values()))
    folds = np.zeros(len(drawn), np.int64)
    for kind in (True, False):
        folds[kinds == kind] = ten_folds(int((kinds == kind).sum()))
    pairs = list(drawn)
    return Pairs([names[i] for i, _ in pairs], [names[j] for _, j in pairs], kinds, folds)


def open_images(sources: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of every image in the sources, in a fixed order."""
    for name, read in find_images(sources).files.items():
        yield name, read()
