"""vivid.png: the shipped face in both looks, at three sizes, twice enlarged.

python docs/pictures/vivid.py
"""

import pathlib

from PIL import Image, ImageDraw, ImageFont

import lfic
from lfic.demo import ASTRONAUT

SIDE, LINE = 224, 20
QUALITIES = (12, 25, 45)
HERE = pathlib.Path(__file__).parent


def main() -> None:
    face = Image.open(ASTRONAUT).convert("RGB")  # Eileen Collins, NASA, public domain
    files = [lfic.encode(face, quality=quality) for quality in QUALITIES]
    columns = [("original", face, face)]
    for data in files:
        columns.append((f"{len(data)} bytes", lfic.decode(data), lfic.decode(data, look="vivid")))
    out = Image.new("RGB", (len(columns) * SIDE, 2 * (SIDE + LINE)), "white")
    draw, font = ImageDraw.Draw(out), ImageFont.load_default(14)
    for i, (name, *looks) in enumerate(columns):
        for j, (look, picture) in enumerate(zip(("faithful", "vivid"), looks, strict=True)):
            at = i * SIDE, j * (SIDE + LINE)
            out.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), at)
            draw.text((at[0] + 4, at[1] + SIDE), name if i == 0 else f"{name}, {look}", fill="black", font=font)
    out.save(HERE / "vivid.png", optimize=True)


if __name__ == "__main__":
    main()
