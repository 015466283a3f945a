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
from lfic.format import layers
from lfic.format.payload import decode_payloads

POINTS = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])  # of the shipped face
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
    "photo": (200, 333, {"quality": 30, "faces": [POINTS, POINTS * 0.9 + (150, 60)]}),
    "photo-tiny": (600, 700, {"max_bytes": 150}),
}


def picture(height, width):
    """uint8 [height, width, 3]: the shipped face, repeated and cut."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    return np.tile(face, (-(-height // 112), -(-width // 112), 1))[:height, :width]


def symbols_digest(codec, data):
    """SHA-256 over levels and symbols of a file's streams."""
    coded = [(stream.header, memoryview(stream.payload)) for stream in layers.read(data).streams]
    found = decode_payloads(codec.model.context, coded)
    parts = [levels.tobytes() + np.ascontiguousarray(symbols, "<i2").tobytes() for symbols, levels in found]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def pixels_digest(image):
    """SHA-256 over a decoded picture's pixels."""
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def main():
    codec = lfic.load_codec()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    index = {}
    for name, (height, width, options) in CASES.items():
        data = codec.encode(picture(height, width), **options)
        (FOLDER / f"{name}.lfic").write_bytes(data)
        shown = pixels_digest(codec.decode(data))
        index[name] = {"symbols": symbols_digest(codec, data), "pixels": shown, "size": [width, height]}
    for name in ("face-q40", "photo"):
        codec.decode((FOLDER / f"{name}.lfic").read_bytes()).save(FOLDER / f"{name}.png", optimize=True)
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
