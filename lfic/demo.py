"""``lfic demo``: one face through lfic and through five codecs at the same bytes, as one picture and one table."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .codec import DEFAULT_MODEL, Codec, load_codec
from .errors import InvalidInputError, MissingDependencyError
from .evaluate.budget import largest_that_fits
from .evaluate.heat import MEANING, heat_map
from .evaluate.registry import CODECS
from .files import write_atomically
from .format.geometry import SIDE
from .image import open_image, to_rgb
from .metric.identity import load_recognizer

Pixels: TypeAlias = NDArray[np.uint8]  # [112, 112, 3]
Shown: TypeAlias = tuple[str, int, Pixels]  # a codec's name, bytes of its file, what it decodes to

SHOWN = 2  # times enlarged
PEERS = {"JPEG": "jpeg", "WebP": "webp", "JPEG 2000": "jpeg2000", "AVIF": "avif", "JPEG XL": "jxl"}
SCALES = {"avif": range(1, 101), "jpeg2000": [round(1000 * 0.985**i) for i in range(380)]}  # 0 to 100 for the others
ASTRONAUT = pathlib.Path(__file__).parent / "assets" / "astronaut.png"


def run(
    path: str | pathlib.Path | None = None,
    out: str | pathlib.Path = "lfic-demo.png",
    max_bytes: int = 300,
    recognizer: str | pathlib.Path = "bundled",
    effort: int = 0,
    device: str = "cpu",
    model: str | pathlib.Path | None = None,
) -> int:
    """Write the picture, print the table; returns the exit code.

    Args:
        path: photo; None: an astronaut. max_bytes: of every codec's file. recognizer: what the table's last column is
            measured with, and what lfic's efforts look through: "bundled", or a TorchScript file. model: a bundled
            model's name or a weights file; None: the default.
    """
    if path is not None and pathlib.Path(path).resolve() == pathlib.Path(out).resolve():
        raise InvalidInputError(f"{path} would be overwritten by the demo's picture: give another -o")
    codec = load_codec(model or DEFAULT_MODEL, device, load_recognizer(str(recognizer), device))
    face, aligned, note = find_face(path)
    data = codec.encode(face, max_bytes=max_bytes, effort=effort, aligned=aligned)
    (decoded,) = codec.decode_batch([data], out="numpy")
    rows = [("original", face.nbytes, face), ("lfic", len(data), decoded)]
    for name, key in PEERS.items():
        try:
            rows.append((name, *at_most(key, face, len(data))))
        except MissingDependencyError as error:
            note += f"\n{name} is left out: {error}"
    similarity = identity(codec, face, rows)
    buffer = io.BytesIO()
    draw(rows, codec.probe(data).levels, face, len(data)).save(buffer, "PNG", optimize=True)
    write_atomically(out, buffer.getvalue())
    print(f"Every codec gets at most {len(data)} bytes. The face: {note}\n")
    print(table(rows, face, len(data), similarity))
    print(f"\n{out}: the same faces side by side, and where lfic keeps detail ({MEANING})")
    return 0


def find_face(path: str | pathlib.Path | None) -> tuple[Pixels, bool | None, str]:
    """(uint8 [112, 112, 3], whether it stands on the template (None: not known), where it comes from)."""
    if path is None:
        return to_rgb(open_image(ASTRONAUT)), True, "Eileen Collins, NASA, public domain"
    image = Image.fromarray(to_rgb(open_image(path)))
    if image.size == (SIDE, SIDE):
        return np.asarray(image), None, f"{path}, as it is"
    try:
        from .faces import detect

        found = detect(image)
        if not found:
            raise InvalidInputError(f"no face was found in {path}: give another photo, or a crop of 112 x 112 pixels")
        return np.asarray(found[0].crop), True, f"{path}, its largest face aligned by MTCNN"
    except MissingDependencyError:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        crop = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
        return (
            np.asarray(crop),
            False,
            f'{path}, its middle square (pip install "lfic[faces]" finds and aligns the face)',
        )


def at_most(key: str, face: Pixels, max_bytes: int) -> tuple[int, Pixels]:
    """The best file of a codec with at most ``max_bytes``, or its smallest one: (bytes, decoded uint8 [H, W, 3])."""
    codec, scale = CODECS[key](), SCALES.get(key, range(101))
    found = largest_that_fits(codec, face, max_bytes, scale)
    if found is None:
        data = codec.encode([face], scale[0])[0]
        found = data, codec.decode([data])[0]
    return len(found[0]), found[1]


def psnr(a: Pixels, b: Pixels) -> float:
    """dB over RGB."""
    error = ((a.astype(np.float64) - b) ** 2).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def identity(codec: Codec, face: Pixels, rows: Sequence[Shown]) -> dict[str, float]:
    """Likeness with the original, by name: 1 is the same picture, 0 another person."""
    target = codec.embed([face])
    return {name: float(codec.model.similarity([image], target)) for name, _, image in rows}


def table(rows: Sequence[Shown], face: Pixels, budget: int, similarity: Mapping[str, float]) -> str:
    """Text: codec, bytes, PSNR, similarity."""
    lines = [f"{'codec':<10} {'bytes':>6} {'PSNR dB':>8}" + (f" {'identity':>9}" if similarity else "")]
    for name, size, image in rows:
        line = (
            f"{name:<10} {size:>6} {psnr(image, face):>8.2f}" if name != "original" else f"{name:<10} {size:>6} {'':>8}"
        )
        line += f" {similarity[name]:>9.3f}" if similarity else ""
        lines.append(line + ("   its smallest file" if size > budget and name != "original" else ""))
    return "\n".join(lines)


def draw(rows: Sequence[Shown], levels: NDArray[np.uint8], face: Pixels, budget: int) -> Image.Image:
    """Two rows of four pictures with captions."""
    cells = [
        (
            name,
            f"{size} bytes" if name != "original" else f"{size} bytes, raw",
            Image.fromarray(image),
            size > budget and name != "original",
        )
        for name, size, image in rows
    ]
    cells.insert(
        2, ("lfic: region levels", "pooled: yellow 2 x 2, blue 4 x 4", Image.fromarray(heat_map(face, levels)), False)
    )
    side, margin, caption = SIDE * SHOWN, 12, 40
    font = ImageFont.load_default(15)
    sheet = Image.new("RGB", (4 * (side + margin) + margin, 2 * (side + caption + margin) + margin), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (name, text, image, over) in enumerate(cells):
        x, y = margin + i % 4 * (side + margin), margin + i // 4 * (side + caption + margin)
        sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC), (x, y))
        pen.text((x, y + side + 3), name, "black", font)
        pen.text(
            (x, y + side + 20), text + (" (its smallest)" if over else ""), (180, 0, 0) if over else (90, 90, 90), font
        )
    return sheet
