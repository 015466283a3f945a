"""Every face of a photo in so many bytes, written beside it as .lfic and as the PNG that comes back.

    python examples/shrink.py PHOTO [BYTES]

It needs the face detector: pip install "lfic[faces]".
"""

import pathlib
import sys

from PIL import Image

import lfic
from lfic.faces import detect


def main(photo: str, max_bytes: int = 300) -> None:
    path = pathlib.Path(photo)
    faces = detect(Image.open(path))
    if not faces:
        sys.exit(f"{path}: no face was found")
    for number, face in enumerate(faces):
        data = lfic.encode(face.crop, max_bytes=max_bytes, aligned=True)
        out = path.with_name(f"{path.stem}-{number}.lfic")
        out.write_bytes(data)
        lfic.decode(data).save(out.with_suffix(".png"))
        print(f"{out}: {len(data)} bytes, quality {lfic.probe(data).quality}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
