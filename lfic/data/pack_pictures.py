"""Pack pictures with their landmarks into one safetensors file: read as they are, and aligned for template crops.

    python -m lfic.data.pack_pictures OUT.safetensors SOURCE[:LANDMARKS.npz] ... [--exclude-pairs pairs.txt]
        [--held-out 64] [--webp 90]

Sources are those of lfic.data.pack; images without landmarks are left out, and of files that are the same byte by byte
all but the first. The files are packed as they are, or as WebP (``--webp`` quality), where the pack has to travel.
``--held-out N`` sets aside N people of the first source, with all their pictures: one of each goes into
OUT-unseen.safetensors; OUT-seen.safetensors has as many of those that stay.
"""

import argparse
import hashlib
import io
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import InvalidInputError, LficError
from .base import Source
from .facepack import MOST_SOURCES
from .pairs import people_in_pairs, person_of
from .picturepack import Picture, PicturePack, write_picture_pack
from .sources import open_source

HELD_OUT_SEED = 1


def as_webp(image: Image.Image, quality: int) -> bytes:
    """A picture as a WebP file."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def read_source(
    text: str, excluded: set[str], webp: int | None, known: set[bytes], strict: bool = False
) -> list[Picture]:
    """The pictures of a source that has landmarks.

    Args:
        text: its path, as for ``open_source``.
        excluded: names of people who are left out.
        webp: quality of the WebP files that the pictures become; None: they stay as they are.
        known: digests of files that are left out; it grows by those of this source.
        strict: an image that can't be read is an error; else it is left out, and that is said.
    """
    source = open_source(text)
    if not isinstance(source, Source) or isinstance(source, PicturePack):
        raise InvalidInputError(f"{text} is packed already")
    out = []
    for i in tqdm(range(len(source)), desc=text, disable=None):
        data = source.read(i)[0]
        digest = hashlib.sha256(data).digest()
        first = digest not in known
        known.add(digest)
        if not first or person_of(source.names[i]) in excluded:
            continue
        try:
            image, landmarks = source.image(i)
        except InvalidInputError as error:
            if strict:
                raise
            print(f"left out: {error}", file=sys.stderr)
            continue
        if landmarks is not None:
            out.append(Picture(as_webp(image, webp) if webp else data, source.names[i], landmarks, image.size))
    return out


def held_out(pictures: Sequence[Picture], count: int) -> tuple[list[Picture], list[Picture], list[Picture]]:
    """(kept, unseen, seen) of one source's pictures: ``count`` people leave it, ``count`` who stay are seen; of both
    the first picture of each.

    Raises:
        InvalidInputError: the source shows fewer than twice as many people.
    """
    first: dict[str, Picture] = {}
    for picture in pictures:
        first.setdefault(person_of(picture.name), picture)
    if len(first) < 2 * count:
        raise InvalidInputError(f"the first source shows {len(first)} people; --held-out {count} needs {2 * count}")
    people = sorted(first)
    chosen = [people[i] for i in np.random.default_rng(HELD_OUT_SEED).permutation(len(people))[: 2 * count]]
    away, stay = chosen[:count], chosen[count:]
    kept = [picture for picture in pictures if person_of(picture.name) not in set(away)]
    return kept, [first[name] for name in away], [first[name] for name in stay]


def write(path: str | pathlib.Path, pictures: Sequence[Picture], source: Sequence[int]) -> None:
    """Write a pack, and say so."""
    if not pictures:
        raise InvalidInputError(f"nothing to pack into {path}: there is no picture with landmarks")
    write_picture_pack(path, pictures, source)
    print(f"{len(pictures)} pictures, {sum(len(picture.data) for picture in pictures) / 1e6:.1f} MB -> {path}")


def make_parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="lfic.data.pack_pictures", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("sources", nargs="+", metavar="SOURCE[:LANDMARKS]")
    parser.add_argument("--exclude-pairs", help="leave out every person that this pairs.txt names")
    parser.add_argument("--held-out", type=int, default=0, metavar="N", help="set aside N people of the first source")
    parser.add_argument("--strict", action="store_true", help="stop at an image that can't be read")
    quality: dict[str, Any] = {"type": int, "metavar": "1..100", "choices": range(1, 101)}
    parser.add_argument("--webp", help="pack as WebP of this quality (default: the files as they are)", **quality)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    args = make_parser().parse_args(argv)
    if len(args.sources) > MOST_SOURCES:
        raise InvalidInputError(f"{len(args.sources)} sources; a pack numbers at most {MOST_SOURCES}")
    excluded = people_in_pairs(args.exclude_pairs) if args.exclude_pairs else set()
    known: set[bytes] = set()
    parts = [read_source(text, excluded, args.webp, known, args.strict) for text in args.sources]
    if args.held_out:
        parts[0], unseen, seen = held_out(parts[0], args.held_out)
        out = pathlib.Path(args.out)
        write(out.with_name(f"{out.stem}-unseen.safetensors"), unseen, [0] * len(unseen))
        write(out.with_name(f"{out.stem}-seen.safetensors"), seen, [0] * len(seen))
    numbers = [number for number, part in enumerate(parts) for _ in part]
    write(args.out, [picture for part in parts for picture in part], numbers)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except LficError as error:
        raise SystemExit(f"lfic.data.pack_pictures: {error}") from None
