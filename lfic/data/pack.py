"""Find and align faces, and pack them into one safetensors file that a training run decodes into memory.

    python -m lfic.data.pack OUT.safetensors SOURCE[:LANDMARKS.npz] ... [--exclude-pairs pairs.txt] [--webp 82]

A source is a folder, a tar or a parquet file (lfic/data/sources.py), with the landmarks in it or in an .npz (``names``,
``landmarks`` float32 [N, 5, 2] in pixels). Images without any go through the face detector (lfic.faces), which takes
the largest face of each. A face is warped by the similarity transform of its five points onto the 112 x 112 template,
plus MARGIN pixels on every side for crop jitter, and stored as JPEG (``--jpeg`` quality, 4:4:4), or as WebP (``--webp``
quality): a quarter of the bytes, where the pack has to travel.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..align import align
from ..errors import InvalidInputError, LficError
from .base import Source
from .facepack import MARGIN, MOST_SOURCES, write_pack
from .names import say_unread
from .pairs import people_in_pairs, person_of
from .sources import open_source


def find_landmarks(image: Image.Image) -> NDArray[np.float32] | None:
    """Landmarks [5, 2] of the largest face, by the detector; None where it finds none."""
    from ..faces import detect

    faces = detect(image)
    return faces[0].landmarks if faces else None


def compressed(crop: Image.Image, jpeg: int, webp: int | None) -> bytes:
    """A crop as an image file: WebP of that quality where one is given, otherwise JPEG."""
    buffer = io.BytesIO()
    if webp:
        crop.save(buffer, "WEBP", quality=webp, method=6)
    else:
        crop.save(buffer, "JPEG", quality=jpeg, subsampling=0)
    return buffer.getvalue()


def make_parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="lfic.data.pack", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("sources", nargs="+", metavar="SOURCE[:LANDMARKS]")
    parser.add_argument("--exclude-pairs", help="leave out every person that this pairs.txt names")
    parser.add_argument("--strict", action="store_true", help="stop at an image that can't be read")
    quality: dict[str, Any] = {"type": int, "metavar": "1..100", "choices": range(1, 101)}
    parser.add_argument("--jpeg", default=95, help="JPEG quality of the packed crops (default 95)", **quality)
    parser.add_argument("--webp", help="WebP quality; then they are no JPEG files", **quality)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    args = make_parser().parse_args(argv)
    if len(args.sources) > MOST_SOURCES:
        raise InvalidInputError(
            f"{len(args.sources)} sources; a pack numbers at most {MOST_SOURCES}: several tar files are one source as "
            "'shards-*.tar'"
        )
    excluded = people_in_pairs(args.exclude_pairs) if args.exclude_pairs else set()
    left_out: set[str] = set()
    crops: list[bytes] = []
    names: list[str] = []
    numbers: list[int] = []
    bad: list[str] = []
    faceless = 0
    for number, text in enumerate(args.sources):
        source = open_source(text)
        if not isinstance(source, Source):
            raise InvalidInputError(f"{text} is packed already")
        if note := say_unread(source.unread):
            print(f"{text}: {note}", file=sys.stderr)
        for i in tqdm(range(len(source)), desc=text, disable=None):
            name = source.names[i]
            if person_of(name) in excluded:
                left_out.add(person_of(name))
                continue
            try:
                image, known = source.image(i)
            except InvalidInputError as error:
                if args.strict:
                    raise
                bad.append(str(error))
                continue
            landmarks = find_landmarks(image) if known is None else known
            if landmarks is None:
                faceless += 1
                continue
            crops.append(compressed(align(image, landmarks, MARGIN), args.jpeg, args.webp))
            names.append(name)
            numbers.append(number)
    if bad:
        print("\n".join(["left out:", *bad]), file=sys.stderr)
    if not crops:
        raise InvalidInputError(f"nothing to pack into {args.out}: no image with a face could be read")
    write_pack(args.out, crops, names, numbers, [text.rpartition("/")[2] for text in args.sources])
    print(
        f"{len(crops)} faces, {sum(map(len, crops)) / 1e6:.1f} MB -> {args.out}"
        + (f"; {len(bad)} images that can't be read left out" if bad else "")
        + (f"; {faceless} images without a face left out" if faceless else "")
        + (f"; {len(left_out)} of {len(excluded)} people of the pairs were there and left out" if excluded else "")
    )
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except LficError as error:
        raise SystemExit(f"lfic.data.pack: {error}") from None
