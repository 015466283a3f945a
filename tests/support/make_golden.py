"""Write the golden streams of tests/data/golden anew: only for a new format version or a new model.

python tests/support/make_golden.py
"""

import hashlib
import json
import pathlib
import shutil

import numpy as np
from PIL import Image

import lfic
from lfic.demo import ASTRONAUT
from lfic.format import container
from lfic.format.payload import decode_payloads

FOLDER = pathlib.Path(__file__).parents[1] / "data" / "golden"
# name -> (height, width, options)
CASES = {
    "face-q1": (112, 112, {"quality": 1, "aligned": True}),
    "face-q40": (112, 112, {"quality": 40, "aligned": True}),
    "face-q100": (112, 112, {"quality": 100, "aligned": True}),
    "face-free": (112, 112, {"quality": 40, "aligned": False}),
    "face-bare": (112, 112, {"quality": 20, "checksum": False}),
    "face-effort": (112, 112, {"quality": 60, "effort": 3, "aligned": True}),
    "one-pixel": (1, 1, {"quality": 40}),
    "wide": (37, 211, {"quality": 30}),
    "square": (250, 250, {"quality": 10}),
}


def picture(height, width):
    """uint8 [height, width, 3]: the shipped face, repeated and cut."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    return np.tile(face, (-(-height // 112), -(-width // 112), 1))[:height, :width]


def symbols_digest(codec, data):
    """SHA-256 over levels and symbols of a file."""
    ((symbols, levels),) = decode_payloads(codec.model.context, [container.read(data)])
    return hashlib.sha256(levels.tobytes() + np.ascontiguousarray(symbols, "<i2").tobytes()).hexdigest()


def main():
    codec = lfic.load_codec()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    index = {}
    for name, (height, width, options) in CASES.items():
        data = codec.encode(picture(height, width), **options)
        (FOLDER / f"{name}.lfic").write_bytes(data)
        index[name] = {"symbols": symbols_digest(codec, data), "size": [width, height]}
    codec.decode((FOLDER / "face-q40.lfic").read_bytes()).save(FOLDER / "face-q40.png", optimize=True)
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
