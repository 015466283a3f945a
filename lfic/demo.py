"""``lfic demo``: one face through lfic and through five codecs at the same bytes, as one picture and one table."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .errors import InvalidInputError, MissingDependencyError
from .files import PathLike, write_atomically
from .format.geometry import SIDE
from .image import open_image, to_rgb

if TYPE_CHECKING:
    from .codec import Codec

Pixels: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Row: TypeAlias = tuple[str, int, Pixels]  # name, bytes, picture

SHOWN = 2  # times enlarged
PEERS = {"JPEG": "jpeg", "WebP": "webp", "JPEG 2000": "jpeg2000", "AVIF": "avif", "JPEG XL": "jxl"}
HEAT = ((196, 30, 58), (240, 170, 40), (40, 90, 200))  # levels 0 (fine, dear), 1, 2 (pooled, cheap)
ASTRONAUT = pathlib.Path(__file__).parent / "assets" / "astronaut.png"


def run(
    path: PathLike | None = None,
    out: PathLike = "lfic-demo.png",
    max_bytes: int = 300,
    recognizer: str | None = None,
    effort: int | None = None,
    device: str = "cpu",
) -> int:
    """Write the picture, print the table; returns the exit code. recognizer: path of a TorchScript file."""
    from .codec import load_codec

    judge = None
    if recognizer is not None:
        from .metric.identity import load_torchscript

        judge = load_torchscript(recognizer, device)
    if path is not None and pathlib.Path(path).resolve() == pathlib.Path(out).resolve():
        raise InvalidInputError(f"{path} would be overwritten by the demo's picture: give another -o")
    if effort is None:  # without a recogniser an effort would trade likeness for pixels
        effort = 0 if recognizer is None else 2
    codec = load_codec(device=device, recognizer=judge)
    face, aligned, note = find_face(path)
    data = codec.encode(face, max_bytes=max_bytes, effort=effort, aligned=aligned)
    decoded = np.asarray(codec.decode(data))
    rows: list[Row] = [("original", face.nbytes, face), ("lfic", len(data), decoded)]
    for name, key in PEERS.items():
        try:
            rows.append((name, *at_most(key, face, len(data))))
        except MissingDependencyError as error:
            note += f"\n{name} is left out: {error}"
    similarity = identity(codec, face, rows) if recognizer is not None else {}
    buffer = io.BytesIO()
    draw(rows, codec.probe(data).levels, face, len(data)).save(buffer, "PNG", optimize=True)
    write_atomically(out, buffer.getvalue())
    print(f"Every codec gets at most {len(data)} bytes. The face: {note}\n")
    print(table(rows, face, len(data), similarity))
    print(
        f"\n{out}: the same faces side by side, and where lfic keeps detail (red: fine, yellow: pooled 2 x 2, blue: "
        "4 x 4)"
    )
    return 0


def find_face(path: PathLike | None) -> tuple[Pixels, bool | None, str]:
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
            f'{path}, its middle square (pip install "lfic[facenet]" finds and aligns the face)',
        )


def at_most(key: str, face: Pixels, max_bytes: int) -> tuple[int, Pixels]:
    """The best file of a codec with at most max_bytes, or its smallest one: (bytes, decoded uint8 [H, W, 3])."""
    from .evaluate.codecs import CODECS

    codec = cast(Any, CODECS)[key]()
    scale = (
        [round(1000 * 0.985**i) for i in range(380)]
        if key == "jpeg2000"
        else list(range(0 if key != "avif" else 1, 101))
    )
    low, high, best = 0, len(scale) - 1, None
    while low <= high:
        middle = (low + high) // 2
        data = codec.encode([face], scale[middle])[0]
        if len(data) <= max_bytes:
            best, low = data, middle + 1
        else:
            high = middle - 1
    if best is None:
        best = codec.encode([face], scale[0])[0]
    return len(best), codec.decode([best])[0]


def psnr(a: Pixels, b: Pixels) -> float:
    """dB over RGB."""
    error = ((a.astype(np.float64) - b) ** 2).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def identity(codec: "Codec", face: Pixels, rows: Sequence[Row]) -> dict[str, float]:
    """Cosine similarity of identity embeddings with the original, by name."""
    target = codec.embed([face])
    return {name: float((codec.embed([image]) * target).sum()) for name, _, image in rows}


def table(rows: Sequence[Row], face: Pixels, budget: int, similarity: Mapping[str, float]) -> str:
    """Text: codec, bytes, PSNR, similarity."""
    lines = [f"{'codec':<10} {'bytes':>6} {'PSNR dB':>8}" + (f" {'identity':>9}" if similarity else "")]
    for name, size, image in rows:
        line = (
            f"{name:<10} {size:>6} {psnr(image, face):>8.2f}" if name != "original" else f"{name:<10} {size:>6} {'':>8}"
        )
        line += f" {similarity[name]:>9.3f}" if similarity else ""
        lines.append(line + ("   its smallest file" if size > budget and name != "original" else ""))
    return "\n".join(lines)


def heat_map(levels: NDArray[np.uint8], face: Pixels) -> Image.Image:
    """The face in grey under the region levels' colours: PIL image."""
    colors = np.array(HEAT, np.float64)[levels]
    colors = colors.repeat(32, 0).repeat(32, 1)[: face.shape[0], : face.shape[1]]
    gray = face.mean(2, keepdims=True)
    return Image.fromarray((0.55 * gray + 0.45 * colors).astype(np.uint8))


def draw(rows: Sequence[Row], levels: NDArray[np.uint8], face: Pixels, budget: int) -> Image.Image:
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
    cells.insert(2, ("lfic: region levels", "pooled: yellow 2 x 2, blue 4 x 4", heat_map(levels, face), False))
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
