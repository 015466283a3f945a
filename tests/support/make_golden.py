"""Write the golden streams of tests/data/golden and golden-bare that are not there yet: for a new format version or a
new model. Those that are there stay.

python tests/support/make_golden.py
"""

import hashlib
import json
import pathlib

import numpy as np
from PIL import Image

import lfic
from lfic.demo import ASTRONAUT
from lfic.format.bare import read_as
from lfic.format.grey import without_colour
from lfic.format.payload import decode_payloads

POINTS = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])  # of the shipped face
DATA = pathlib.Path(__file__).parents[1] / "data"
FOLDER, BARE = DATA / "golden", DATA / "golden-bare"
# name -> (height, width, options), of face-v1
CASES = {
    "face-q1": (112, 112, {"quality": 1, "aligned": True}),
    "face-q40": (112, 112, {"quality": 40, "aligned": True}),
    "face-q100": (112, 112, {"quality": 100, "aligned": True}),
    "face-free": (112, 112, {"quality": 40, "aligned": False}),
    "face-bare": (112, 112, {"quality": 20, "checksum": False}),
    "face-effort": (112, 112, {"quality": 60, "effort": 3, "aligned": True}),
    "one-pixel": (1, 1, {"quality": 40}),
    "wide": (37, 211, {"quality": 30}),
    "square": (250, 250, {"quality": 10, "resolution": "full"}),
    "smaller": (200, 250, {"quality": 15}),
    "photo": (200, 333, {"quality": 30, "faces": [POINTS, POINTS * 0.9 + (150, 60)]}),
    "photo-eighths": (200, 333, {"quality": 30, "background_quality": 36, "faces": [POINTS]}),
    "photo-tiny": (600, 700, {"max_bytes": 150}),
    "grey-face": (112, 112, {"quality": 40, "aligned": True}),
    "grey-photo": (200, 333, {"quality": 30, "faces": [POINTS]}),
    "large-faces": (
        340,
        520,
        {
            "quality": 60,
            "background_quality": 20,
            "faces": [POINTS * 3, POINTS * 1.9 + (300, 60), POINTS * 0.8 + (380, 10)],
        },
    ),
}
# Of face-v2: whole pictures, backgrounds, large faces, and faces on the template by its own entropy model.
PICTURES = {
    "v2-one-pixel": (1, 1, {"quality": 40}),
    "v2-free": (112, 112, {"quality": 40, "aligned": False}),
    "v2-wide": (37, 211, {"quality": 30}),
    "v2-square": (250, 250, {"quality": 10, "resolution": "full"}),
    "v2-smaller": (200, 250, {"quality": 15}),
    "v2-top": (100, 75, {"quality": 100, "checksum": False}),
    "v2-photo": (200, 333, {"quality": 30, "faces": [POINTS, POINTS * 0.9 + (150, 60)]}),
    "v2-square-photo": (250, 250, {"quality": 30, "faces": [POINTS]}),
    "v2-grey-wide": (37, 211, {"quality": 30}),
    "v2-grey-photo": (200, 333, {"quality": 30, "faces": [POINTS]}),
    "v2-large-faces": CASES["large-faces"],
    **{f"v2-{name}": CASES[name] for name in ("face-q1", "face-q40", "face-q100", "face-effort", "grey-face")},
}
# Bare streams: the short form, and what is a file as it stands.
BARE_CASES = {
    "face-q1": (112, 112, {"quality": 1, "aligned": True}),
    "face-q40": (112, 112, {"quality": 40, "aligned": True}),
    "face-q100": (112, 112, {"quality": 100, "aligned": True}),
    "face-coarse": (112, 112, {"max_bytes": 45, "aligned": True}),
    "face-free": (112, 112, {"quality": 40, "aligned": False}),
    "wide": (37, 211, {"quality": 30}),
    "photo": (200, 333, {"quality": 30, "faces": [POINTS]}),
}
BARE_PICTURES = {
    f"v2-{name}": BARE_CASES[name] for name in ("face-q1", "face-q40", "face-q100", "face-coarse", "photo")
}


def picture(height, width):
    """uint8 [height, width, 3]: the shipped face, repeated and cut."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    return np.tile(face, (-(-height // 112), -(-width // 112), 1))[:height, :width]


def symbols_digest(codec, data, form="file"):
    """SHA-256 over levels and symbols of a file's streams."""
    picture = read_as(data, 1 << 20, form)
    digest = hashlib.sha256()
    for stream in picture.streams:
        context = codec.model.part(stream.header).context
        ((symbols, levels),) = decode_payloads(context, [(stream.header, memoryview(stream.payload))])
        digest.update(levels.tobytes() + np.ascontiguousarray(symbols, "<i2").tobytes())
    return digest.hexdigest()


def pixels_digest(image):
    """SHA-256 over a decoded picture's pixels."""
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def main():
    for model, files, bare in (("face-v1", CASES, BARE_CASES), ("face-v2", PICTURES, BARE_PICTURES)):
        codec = lfic.load_codec(model)
        write(codec, FOLDER, files, "file", ".lfic")
        write(codec, BARE, bare, "bare", ".bare")
    for name in ("face-q40", "photo", "v2-square", "v2-photo"):
        shown = FOLDER / f"{name}.png"
        if not shown.exists():
            lfic.decode((FOLDER / f"{name}.lfic").read_bytes()).save(shown, optimize=True)


def write(codec, folder, cases, form, suffix):
    """A file for each case that has none, and index.json with the digests of their symbols and pixels."""
    index = json.loads((folder / "index.json").read_text())
    for name, (height, width, options) in cases.items():
        if name in index:
            continue
        pixels = picture(height, width)
        if "grey" in name:
            pixels = without_colour(pixels)
        data = codec.encode(pixels, container=form, **options)
        (folder / f"{name}{suffix}").write_bytes(data)
        shown = pixels_digest(codec.decode(data, container=form))
        index[name] = {"symbols": symbols_digest(codec, data, form), "pixels": shown, "size": [width, height]}
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
