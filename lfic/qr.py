"""A face in a QR code and back: ``pip install "lfic[qr]"``.

    code = lfic.qr.make(lfic.encode(face, max_bytes=180, container="bare"))
    code.image(module=8).save("code.png")
    data = lfic.qr.read(Image.open("photo of it.jpg"))[0]
    face = lfic.decode(data, container="bare")

The code holds a bare stream in byte mode and nothing else. segno writes it (QR Code Model 2, ISO/IEC 18004), zxing-cpp
reads it.
"""

import dataclasses
import io
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from .arguments import shown
from .errors import InvalidInputError, MissingDependencyError
from .format import bare
from .format.container import MAX_PIXELS, Bytes
from .image import ImageLike, to_rgb

Level: TypeAlias = Literal["L", "M", "Q", "H"]
LEVELS = ("L", "M", "Q", "H")  # 7, 15, 25 and 30 per cent of the code may be damaged
VERSIONS = 40
QUIET = 4  # modules of white around a code, as ISO/IEC 18004 asks
INCH = 25.4  # mm
LEAST_TEXT = 8  # bytes; what is shorter may be either
SHARPER = ImageFilter.UnsharpMask(3, 200, 0)  # finds codes that are blurred by up to half a module


@dataclasses.dataclass(frozen=True, eq=False)
class Code:
    """A QR code. version: 1 to 40. level: of its error correction, at least the one that was asked for. data: the bare
    stream in it."""

    version: int
    level: str
    data: bytes
    symbol: Any

    @property
    def modules(self) -> int:
        """Of a side, without the quiet zone: 21 to 177."""
        return 17 + 4 * self.version

    def side(self, module: int) -> int:
        """Pixels of a side, quiet zone and all, where a module has ``module`` of them."""
        return (self.modules + 2 * QUIET) * module

    def image(self, module: int = 8) -> Image.Image:
        """PIL image, mode L, with the quiet zone; module: pixels of a module's side, 1 to 100."""
        return Image.open(io.BytesIO(self.file(".png", module))).convert("L")

    def file(self, suffix: str = ".png", module: int = 8, dpi: int = 300) -> bytes:
        """The bytes of a .png, .svg, .pdf or .eps file; dpi: what a PNG says of its size in print.

        Raises:
            InvalidInputError: another suffix, or module or dpi out of range.
        """
        kind = suffix.lower().removeprefix(".")
        if kind not in ("png", "svg", "pdf", "eps"):
            raise InvalidInputError(
                f"a QR code can't be written as {suffix or 'a file without a suffix'}; use .png, .svg, .pdf or .eps"
            )
        if not 1 <= module <= 100:
            raise InvalidInputError(f"a module of {module} pixels; allowed are 1 to 100")
        if not 1 <= dpi <= 9600:
            raise InvalidInputError(f"dpi is {dpi}; allowed are 1 to 9600")
        options = {"dpi": dpi} if kind == "png" else {}
        buffer: Any = io.StringIO() if kind == "eps" else io.BytesIO()
        self.symbol.save(buffer, kind=kind, scale=module, border=QUIET, **options)
        written: str | bytes = buffer.getvalue()
        return written.encode() if isinstance(written, str) else written


def capacity(version: int, level: Level = "M") -> int:
    """Bytes that a code of a version holds at a level of correction.

    Raises:
        InvalidInputError: no such version or level.
    """
    consts = segno().consts
    if not 1 <= version <= VERSIONS:
        raise InvalidInputError(f"a QR code has version 1 to {VERSIONS}; found {version}")
    bits: int = consts.SYMBOL_CAPACITY[version][getattr(consts, f"ERROR_LEVEL_{checked(level)}")]
    return (bits - 4 - (8 if version <= 9 else 16)) // 8  # the mode's four bits, the count's eight or sixteen


def make(data: Bytes, level: Level = "M", boost: bool = True) -> Code:
    """A bare stream -> the code of the smallest version that holds it.

    level: of error correction, "L", "M", "Q" or "H". boost: a higher one where the version has room for it.

    Raises:
        InvalidInputError: no such level, or more bytes than the largest version holds.
        ContainerError, CorruptStreamError: the bytes are no bare stream.
    """
    data = bytes(data)
    bare.read(data)
    most = capacity(VERSIONS, level)
    if len(data) > most:
        raise InvalidInputError(
            f"{len(data)} bytes; a QR code holds {most} at level {level}: encode with max_bytes, or take a lower level"
        )
    symbol = segno().make_qr(data, error=level.lower(), mode="byte", boost_error=boost)
    return Code(symbol.version, symbol.error, data, symbol)


def read(image: ImageLike) -> list[bytes]:
    """The bare streams in a picture's QR codes, at any angle: list of bytes, the topmost first.

    Codes that hold something else are passed over, texts for example.

    Raises:
        InvalidInputError: there is no QR code, or none of them holds a bare stream.
    """
    gray = Image.fromarray(to_rgb(image)).convert("L")
    codes = codes_in(gray) or codes_in(gray.filter(SHARPER))
    codes.sort(key=lambda code: (code.position.top_left.y, code.position.top_left.x))
    found, others = [], []
    for code in codes:
        data = bytes(code.bytes)
        if is_text(data):
            others.append(f"{len(data)} bytes: the text {shown(data.decode())}")
            continue
        try:
            bare.read(data, MAX_PIXELS)
            found.append(data)
        except ValueError as error:
            others.append(f"{len(data)} bytes: {error}")
    if not codes:
        raise InvalidInputError("no QR code was found: the picture may be too coarse, cut, or very blurred")
    if not found:
        raise InvalidInputError(f"no QR code of {len(codes)} holds a face: {'; '.join(others)}")
    return found


def is_text(data: bytes) -> bool:
    """Whether bytes are a text, in UTF-8: a face of 50 bytes is one less than once in 10^12 times."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return len(data) >= LEAST_TEXT and all(sign.isprintable() or sign in "\t\r\n" for sign in text)


def codes_in(gray: Image.Image) -> list[Any]:
    """What zxing-cpp finds in a picture of mode L."""
    found: list[Any] = zxing().read_barcodes(np.asarray(gray), formats=zxing().BarcodeFormat.QRCode)
    return found


def checked(level: str) -> str:
    """A level of correction that there is."""
    if level not in LEVELS:
        raise InvalidInputError(f"the level is {level!r}; allowed are {', '.join(LEVELS)}")
    return level


def segno() -> Any:
    """The package that writes codes."""
    try:
        import segno
    except ImportError:
        raise MissingDependencyError('writing QR codes needs segno: pip install "lfic[qr]"') from None
    return segno


def zxing() -> Any:
    """The package that reads codes."""
    try:
        import zxingcpp
    except ImportError:
        raise MissingDependencyError('reading QR codes needs zxing-cpp: pip install "lfic[qr]"') from None
    return zxingcpp
