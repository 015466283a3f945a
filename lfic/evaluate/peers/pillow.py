"""What the codecs that Pillow writes and reads have in common, and their downscaled and grey variants."""

import importlib.metadata
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, features

from ...errors import MissingDependencyError
from ...format.geometry import SIDE
from ..interface import EvaluatedCodec, Pixels, Setting


def pillow_codec(
    name: str,
    settings: Iterable[Setting],
    save: str,
    options: Callable[[Setting], dict[str, Any]],
    header: Callable[[bytes], int],
    version: str,
    fine_settings: Iterable[Setting],
    strip: Callable[[bytes], bytes] | None = None,
    scale: float = 1.0,
    grey: bool = False,
) -> EvaluatedCodec:
    """A codec of Pillow's.

    Args:
        save: Pillow's name of the format. options: setting -> keyword arguments of ``Image.save``.
        strip: takes out of a file what a decoder does not need.
        scale: files hold a picture of this fraction of the size, which the decoder brings back to 112 x 112.
        grey: files hold no colour.
    """

    def encode(images: Sequence[Pixels], setting: Setting) -> list[bytes]:
        out = []
        for pixels in images:
            image = shrink(Image.fromarray(pixels), scale)
            if grey:
                image = image.convert("L")
            buffer = io.BytesIO()
            image.save(buffer, save, **options(setting))
            data = buffer.getvalue()
            out.append(strip(data) if strip else data)
        return out

    def decode(files: Sequence[bytes]) -> list[Pixels]:
        out = []
        for data in files:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            if scale != 1:
                image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            out.append(np.asarray(image))
        return out

    side = round(SIDE * scale)
    name += "" if scale == 1 else f" x{scale:g}" if abs(scale * 100 - round(scale * 100)) < 1e-9 else f" {side} px"
    name += " grey" if grey else ""
    return EvaluatedCodec(name, tuple(settings), encode, decode, header, version, fine_settings=tuple(fine_settings))


def shrink(image: Image.Image, scale: float) -> Image.Image:
    """A fraction of the size with a good filter; the decoder goes back to the full size with a bicubic one."""
    if scale == 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def require(feature: str, name: str) -> None:
    """Raises MissingDependencyError where this Pillow was built without a format."""
    if not features.check(feature):
        raise MissingDependencyError(f"this Pillow has no {name}; install a wheel of pillow>=11.3 from PyPI")


def package_version(name: str) -> str:
    """Version of an installed package, or "unknown"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
