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
import json

import numpy as np
from safetensors.numpy import save_file
from tqdm import tqdm

from ..align import align
from ..errors import InvalidInputError
from .facepack import MARGIN
from .pairs import people_in_pairs, person_of
from .sources import Source, open_source


def landmarks_of(image):
    """Landmarks [5, 2] of the largest face, by the detector; None where it finds none."""
    from ..faces import detect

    faces = detect(image)
    return faces[0].landmarks if faces else None


def main(argv=None):
    parser = argparse.ArgumentParser(prog="lfic.data.pack", description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("sources", nargs="+", metavar="SOURCE[:LANDMARKS]")
    parser.add_argument("--exclude-pairs", help="leave out every person that this pairs.txt names")
    parser.add_argument(
        "--jpeg",
        type=int,
        default=95,
        metavar="1..100",
        choices=range(1, 101),
        help="JPEG quality of the packed crops (default 95)",
    )
    parser.add_argument(
        "--webp", type=int, metavar="1..100", choices=range(1, 101), help="WebP quality; then they are no JPEG files"
    )
    args = parser.parse_args(argv)

    excluded = people_in_pairs(args.exclude_pairs) if args.exclude_pairs else set()
    blobs, names, sources, faceless = [], [], [], 0
    for number, text in enumerate(args.sources):
        source = open_source(text)
        if not isinstance(source, Source):
            raise InvalidInputError(f"{text} is packed already")
        for i in tqdm(range(len(source)), desc=text):
            name = source.names[i]
            if person_of(name) in excluded:
                continue
            image, landmarks = source.image(i)
            if landmarks is None:
                landmarks = landmarks_of(image)
            if landmarks is None:
                faceless += 1
                continue
            buffer = io.BytesIO()
            crop = align(image, landmarks, MARGIN)
            if args.webp:
                crop.save(buffer, "WEBP", quality=args.webp, method=6)
            else:
                crop.save(buffer, "JPEG", quality=args.jpeg, subsampling=0)
            blobs.append(buffer.getvalue())
            names.append(name)
            sources.append(number)
    offsets = np.cumsum([0] + [len(b) for b in blobs]).astype(np.int64)
    save_file(
        {"bytes": np.frombuffer(b"".join(blobs), np.uint8), "offsets": offsets, "source": np.array(sources, np.uint8)},
        args.out,
        metadata={
            "names": json.dumps(names),
            "margin": str(MARGIN),
            "sources": json.dumps([s.rpartition("/")[2] for s in args.sources]),
        },
    )
    print(
        f"{len(blobs)} faces, {offsets[-1] / 1e6:.1f} MB -> {args.out}"
        + (f"; {faceless} images without a face left out" if faceless else "")
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
