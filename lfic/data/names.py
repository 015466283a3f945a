"""What images are called: a path relative to the source that they come from, such as ``Ann_Lee/Ann_Lee_0001.jpg``.

Other files speak of them in their own way: tables of landmarks and lists of pairs give paths or base names, with a
suffix or without one. A name of theirs means the image of exactly that path; else the one whose path is the same
without suffixes; else the only one where either ends in the other at a folder's border. Two such images are an error
that names both.
"""

import pathlib
import re
from collections.abc import Iterable, Sequence

from ..errors import InvalidInputError

# Pillow reads these. Phones write .heic, which Pillow reads with the package pillow-heif.
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".avif"))
PLUGIN = {".heic": "pillow-heif", ".heif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}
NUMBERED = re.compile(r"(.*[^\W\d_].*)_\d{4,}")  # LFW's NAME_0001, in which NAME has a letter


def normal(name: str) -> str:
    """A path with forward slashes and without a leading ``./``."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(parts)


def stem_of(name: str) -> str:
    """A path without the suffix of its last part."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + (base.rsplit(".", 1)[0] or base)


def person_of(name: str, bare: bool = False) -> str:
    """Who is on an image: NAME where it is called NAME_0001 as in LFW; else the folder that it lies in; else what its
    name has before the last underscore. bare: the name has no suffix."""
    path = pathlib.PurePosixPath(normal(name) if bare else stem_of(normal(name)))
    if found := NUMBERED.fullmatch(path.name):
        return found[1]
    return path.parent.name or path.name.rsplit("_", 1)[0]


def is_hidden(name: str) -> bool:
    """Whether a file is no data of its folder's owner: macOS's ``._x.jpg`` and ``__MACOSX``, and hidden ones."""
    return any(part.startswith(".") or part == "__MACOSX" for part in normal(name).split("/"))


def is_image(name: str) -> bool:
    """Whether a file is an image that can be opened, by its suffix."""
    suffix = pathlib.PurePosixPath(name).suffix.lower()
    return not is_hidden(name) and (suffix in SUFFIXES or (suffix in PLUGIN and plugin(suffix)))


def unread(names: Iterable[str]) -> dict[str, int]:
    """How many images there are of each kind that needs a package which is not installed: suffix -> number."""
    out: dict[str, int] = {}
    for name in names:
        suffix = pathlib.PurePosixPath(name).suffix.lower()
        if suffix in PLUGIN and not is_hidden(name) and not plugin(suffix):
            out[suffix] = out.get(suffix, 0) + 1
    return out


def say_unread(counts: dict[str, int]) -> str:
    """One line on images that were left out for want of a package; empty where there are none."""
    return "; ".join(
        f"{count} {suffix} images left out: pip install {PLUGIN[suffix]}" for suffix, count in sorted(counts.items())
    )


def plugin(suffix: str) -> bool:
    """Whether Pillow can read a kind of image that needs a package; it is registered where it is there."""
    try:
        if PLUGIN[suffix] == "pillow-heif":
            from pillow_heif import register_heif_opener

            register_heif_opener()
        else:
            import pillow_jxl  # noqa: F401  (registers itself)
    except ImportError:
        return False
    return True


class Index:
    """Images by what others call them.

    Args:
        names: of the images; equal ones are one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(dict.fromkeys(names))
        self.exact = {normal(name): name for name in self.names}
        self.stems: dict[str, list[str]] = {}
        self.last: dict[str, list[str]] = {}  # stem of the last part -> names
        for name in self.names:
            stem = stem_of(normal(name))
            self.stems.setdefault(stem, []).append(name)
            self.last.setdefault(stem.rpartition("/")[2], []).append(name)

    def find(self, called: str, bare: bool = False) -> str | None:
        """The image that somebody calls so, or None.

        bare: it is called without a suffix, so that a dot in it belongs to the name.

        Raises:
            InvalidInputError: two images could be meant.
        """
        called = normal(called)
        if not bare and called in self.exact:
            return self.exact[called]
        stem = called if bare else stem_of(called)
        found = self.stems.get(stem) or [
            name
            for name in self.last.get(stem.rpartition("/")[2], ())
            if ends_in(stem, stem_of(normal(name))) or ends_in(stem_of(normal(name)), stem)
        ]
        if len(found) > 1:
            raise InvalidInputError(
                f"{called} could be {found[0]} or {found[1]}: call it by the path within its source"
            )
        return found[0] if found else None


def ends_in(path: str, end: str) -> bool:
    """Whether a path ends in another one, at a folder's border."""
    return path == end or path.endswith("/" + end)


def matched(names: Sequence[str], table: Iterable[str], what: str) -> dict[str, str]:
    """Which entry of a table belongs to each image: name -> entry, for those that have one.

    what: what the table is called in errors.

    Raises:
        InvalidInputError: one entry would belong to two images, or two entries to one.
    """
    index = Index(table)
    out: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        try:
            entry = index.find(name)
        except InvalidInputError as error:
            raise InvalidInputError(f"{what}: {error}") from None
        if entry is None:
            continue
        if entry in taken and normal(entry) not in (normal(name), normal(taken[entry])):
            raise InvalidInputError(
                f"{what}: its entry {entry} could belong to {taken[entry]} or {name}: call it by the path within its "
                "source"
            )
        if entry in taken and normal(entry) != normal(name):
            continue  # the other image is called exactly so
        if entry in taken:
            del out[taken[entry]]
        out[name] = entry
        taken[entry] = name
    return out
