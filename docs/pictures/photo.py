"""photo.jpg: a photo at equal bytes, by lfic with a layer for its face, by lfic without, and by WebP.

python docs/pictures/photo.py
"""

import io
import pathlib

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

import lfic

BYTES = 1000
SIDE = 384
HERE = pathlib.Path(__file__).parent


def smallest_webp(photo: Image.Image, max_bytes: int) -> tuple[int, Image.Image]:
    """WebP at the largest quality that fits, or its smallest file: (bytes, picture)."""
    best = b""
    for quality in range(101):
        buffer = io.BytesIO()
        photo.save(buffer, "WEBP", quality=quality, method=6)
        if best and buffer.tell() > max_bytes:
            break
        best = buffer.getvalue()
    return len(best), Image.open(io.BytesIO(best)).convert("RGB")


def main() -> None:
    # Eileen Collins, NASA, public domain.
    photo = Image.fromarray(np.ascontiguousarray(skimage.data.astronaut()[:SIDE, 40 : 40 + SIDE]))
    layers, whole = (lfic.encode(photo, max_bytes=BYTES, faces=faces) for faces in ("auto", None))
    size, webp = smallest_webp(photo, BYTES)
    shown = [
        (f"original, {SIDE} x {SIDE}", photo),
        (f"lfic, face as a layer: {len(layers)} bytes", lfic.decode(layers)),
        (f"lfic, coded whole: {len(whole)} bytes", lfic.decode(whole)),
        (f"WebP: {size} bytes", webp),
    ]
    sheet = Image.new("RGB", (2 * SIDE + 8, 2 * (SIDE + 26)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for k, (text, picture) in enumerate(shown):
        x, y = k % 2 * (SIDE + 8), k // 2 * (SIDE + 26)
        sheet.paste(picture, (x, y))
        pen.text((x + 2, y + SIDE + 4), text, "black", font)
    sheet.save(HERE / "photo.jpg", quality=92, subsampling=0)


if __name__ == "__main__":
    main()
