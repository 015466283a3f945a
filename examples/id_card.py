"""An identity card whose QR code holds the face, a photo of it on a table, and the face read from that photo.

    python examples/id_card.py [FACE]

FACE is an aligned crop of 112 x 112 pixels. Writes id-card.png (85.6 x 54 mm at 300 dpi), id-card-photo.jpg and
id-card-face.png into the working directory. The QR code needs an extra: pip install "lfic[qr]".

Whoever reads the code needs no network and no database. That the card is genuine is another matter: real cards hold a
signature as well, see docs/guides/qr.md.
"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import lfic
from lfic.demo import ASTRONAUT

CARD = (1011, 638)  # ID-1 of ISO/IEC 7810 at 300 dpi
CODE = 420  # pixels that the code may take of it: 36 mm
INK, PAPER, BLUE = (30, 34, 44), (247, 246, 240), (32, 70, 130)


def make_card(face: Image.Image) -> tuple[Image.Image, lfic.qr.Code]:
    """A card, and the code on it."""
    data = lfic.encode(face, max_bytes=180, effort=1, aligned=True, container="bare")
    code = lfic.qr.make(data)
    card = Image.new("RGB", CARD, PAPER)
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, CARD[0], 96), fill=BLUE)
    draw.text((36, 24), "REPUBLIC OF EXAMPLE", PAPER, ImageFont.load_default(42))
    card.paste(face.resize((300, 300), Image.Resampling.LANCZOS), (36, 132))
    rows = (("Name", "Ada Example"), ("Born", "1 January 1990"), ("Number", "EX 0042"))
    for number, (label, value) in enumerate(rows):
        draw.text((36 + 192 * number, 468), label, BLUE, ImageFont.load_default(22))
        draw.text((36 + 192 * number, 498), value, INK, ImageFont.load_default(24))
    image = code.image(module=CODE // code.side(1))
    card.paste(image, (CARD[0] - image.width - 30, 120))
    said = f"{len(data)} bytes, version {code.version}-{code.level}"
    draw.text((CARD[0] - image.width - 10, 130 + image.height), said, INK, ImageFont.load_default(22))
    return card, code


def photo_of(card: Image.Image) -> Image.Image:
    """What a telephone sees: the card turned, aslant, a little out of focus, in uneven light and with noise."""
    width, height = 1400, 1000
    table = Image.new("RGB", (width, height), (122, 96, 70))
    corners = [(190, 240), (1165, 110), (1255, 720), (230, 890)]  # where the card's corners lie in the photo
    seen = card.transform((width, height), Image.Transform.PERSPECTIVE, perspective(corners), Image.Resampling.BICUBIC)
    mask = Image.new("L", CARD, 255).transform((width, height), Image.Transform.PERSPECTIVE, perspective(corners))
    table.paste(seen, (0, 0), mask)
    pixels = np.asarray(table.filter(ImageFilter.GaussianBlur(1.5)), np.float32)
    light = np.linspace(1.05, 0.7, width)[None, :, None]
    pixels = pixels * light + np.random.default_rng(7).normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def perspective(corners: list[tuple[int, int]]) -> list[float]:
    """Pillow's eight coefficients from the photo's pixels to the card's, whose corners lie at ``corners``."""
    rows, targets = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (CARD[0], 0), CARD, (0, CARD[1]))):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        targets += [u, v]
    return np.linalg.solve(np.array(rows, float), targets).tolist()


def main(path: str) -> None:
    face = Image.open(path).convert("RGB")
    card, code = make_card(face)
    card.save("id-card.png", dpi=(300, 300))
    print(f"id-card.png: {len(code.data)} bytes in a code of version {code.version}, level {code.level}")
    photo_of(card).save("id-card-photo.jpg", quality=85)
    (data,) = lfic.qr.read(Image.open("id-card-photo.jpg"))
    found = lfic.decode(data, container="bare")
    found.save("id-card-face.png")
    codec = lfic.load_codec()
    likeness = float(codec.model.similarity([np.asarray(found)], codec.embed([face])))
    print(f"id-card-face.png: read from the photo, {likeness:.2f} like the portrait (1 is the same, 0 a stranger)")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ASTRONAUT))
