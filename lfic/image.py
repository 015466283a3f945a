"""The one way in which lfic opens pictures: files, PIL images, arrays and tensors -> RGB arrays.

open_image(path)  an image file -> PIL image, loaded
to_rgb(image)     whatever users have -> uint8 [H, W, 3], upright, over white, sRGB
notes(image)      what of a file does not reach the codec, in words
"""

import contextlib
import functools
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import InvalidInputError
from .files import PathLike
from .format.container import MAX_PIXELS, MAX_SIDE

if TYPE_CHECKING:  # a name alone: pictures in arrays need no torch
    from PIL.ImageCms import ImageCmsTransform
    from torch import Tensor

ImageLike: TypeAlias = "Image.Image | NDArray[Any] | Tensor"

ORIENTATION = 0x0112  # the EXIF tag
TURNS = {  # its values: how the stored picture is turned to stand upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SAME = 2  # levels: a profile that moves no colour farther is sRGB, and its pixels are left alone
SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # of a profile -> the mode of its pixels


def to_rgb(image: ImageLike) -> NDArray[np.uint8]:
    """Any image that users have -> uint8 ndarray [H, W, 3], RGB.

    Takes a PIL image of any mode but F (turned as its EXIF says; colours of an ICC profile become sRGB; of an animation
    its current frame), a uint8 or uint16 ndarray [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], or a uint8 torch tensor
    [C, H, W] with C 1, 3 or 4. Transparent pixels are composited over white; 16 bits are rounded to 8, and so are PIL's
    integer modes (I, I;16), whose values are taken as 0..65535. Damaged metadata counts as none.

    Raises:
        InvalidInputError: another type, dtype or shape, values out of range, or no pixels.
    """
    if isinstance(image, Image.Image):
        try:
            return _from_pil(image)
        except InvalidInputError:
            raise
        except Exception as error:  # a lazily opened file is read only now, and Pillow's readers raise anything
            raise InvalidInputError(
                f"Pillow can't turn this {image.mode} image into RGB: {error or type(error).__name__}"
            ) from None
    if _is_tensor(image):
        image = _from_tensor(image)
    if not isinstance(image, np.ndarray):
        raise InvalidInputError(
            "an image is a PIL image, a uint8 ndarray [H, W, 3] or a uint8 tensor [3, H, W]; found "
            f"{type(image).__name__}"
            + (": open the file with PIL.Image.open first" if isinstance(image, (str, bytes, os.PathLike)) else "")
        )
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.dtype not in (np.uint8, np.uint16):
        raise InvalidInputError(
            f"the array is {image.dtype} {image.shape}; needed is uint8 or uint16 [H, W], [H, W, 1], [H, W, 3] or "
            "[H, W, 4]"
        )
    if image.size == 0:
        raise InvalidInputError(f"the array has shape {image.shape}: an image has at least 1 x 1 pixels")
    check_size(image.shape[1], image.shape[0])
    if image.dtype == np.uint16:
        image = _to_8_bits(image)
    if image.shape[2] == 4:
        return _over_white(Image.fromarray(image))
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def open_image(path: PathLike, data: bytes | None = None) -> Image.Image:
    """An image file (or ``data``, its bytes, that came from ``path``) -> PIL image, loaded; of an animation the first
    frame.

    Raises:
        InvalidInputError: there is no such file, it can't be read, it is no image, or a larger one than files hold.
    """
    try:
        image = _identified(path if data is None else io.BytesIO(data))
        check_size(*image.size)
        image.load()
        return image
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise InvalidInputError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InvalidInputError(f"{path} is a folder: give the files in it") from None
    except UnidentifiedImageError:
        raise InvalidInputError(f"{path} is no image of a format that Pillow reads{_missing(path, data)}") from None
    except Image.DecompressionBombError as error:
        raise InvalidInputError(f"{path}: {error}; shrink the picture or cut it") from None
    except Exception as error:  # Pillow's readers raise anything on damaged files
        if isinstance(error, OSError) and error.errno:
            raise InvalidInputError(f"{path} can't be read: {error.strerror}") from None
        raise InvalidInputError(f"{path} is no image that Pillow reads: {error or type(error).__name__}") from None


def notes(image: Image.Image) -> list[str]:
    """What of an opened file does not reach the codec, or reaches it changed: a sentence for each, maybe none."""
    said = []
    with contextlib.suppress(Exception):  # a damaged count of frames
        frames = int(getattr(image, "n_frames", 1))
        if frames > 1:
            said.append(f"it has {frames} frames; the first is taken")
    profile = image.info.get("icc_profile")
    if profile:
        change = _profile_change(profile, _profiled_mode(image))
        said.append(
            "its colour profile can't be used and is left out"
            if change is False
            else "its colour profile is turned into sRGB"
            if change
            else "its colour profile, sRGB, is left out"
        )
    return said


def check_size(width: int, height: int) -> None:
    """Refuse what no file can hold."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InvalidInputError(
            f"the image is {width} x {height}; allowed are {MAX_PIXELS} pixels and {MAX_SIDE} a side: "
            "shrink it or cut it"
        )


# --- files -----------------------------------------------------------------------------------------------------------

# Formats that Pillow reads with a plugin: first bytes, from which byte on; name; module that registers it; what
# installs that.
PLUGINS = (
    *(
        (b"ftyp" + brand, 4, "HEIC", "pillow_heif", 'pip install "lfic[heif]" (pillow-heif)')
        for brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
    ),
    *((b"ftyp" + brand, 4, "AVIF", "", "pip install --upgrade pillow") for brand in (b"avif", b"avis")),
    (b"\xff\x0a", 0, "JPEG XL", "pillow_jxl", 'pip install "lfic[eval]"'),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL", "pillow_jxl", 'pip install "lfic[eval]"'),
)


def _identified(file: PathLike | io.BytesIO) -> Image.Image:
    """``Image.open``, with the plugin that the format needs where one is installed."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        plugin = _plugin_of(_head(file))
        if plugin is None or not plugin[1] or not _registered(plugin[1]):
            raise
        if isinstance(file, io.BytesIO):
            file.seek(0)
        return Image.open(file)


def _head(file: PathLike | io.BytesIO) -> bytes:
    if isinstance(file, io.BytesIO):
        return file.getvalue()[:16]
    with open(file, "rb") as opened:
        return opened.read(16)


def _plugin_of(head: bytes) -> tuple[str, str, str] | None:
    """(format, module, installing command) of a file that begins so."""
    for start, at, name, module, command in PLUGINS:
        if head[at:].startswith(start):
            return name, module, command
    return None


@functools.cache
def _registered(module: str) -> bool:
    """Import a plugin of Pillow's, so that it reads its format; whether it is installed."""
    try:
        plugin = importlib.import_module(module)
    except ImportError:
        return False
    if module == "pillow_heif":
        plugin.register_heif_opener()
    return True


def _missing(path: PathLike, data: bytes | None) -> str:
    """What reads the format, where that is known."""
    with contextlib.suppress(OSError):
        plugin = _plugin_of(_head(path) if data is None else data[:16])
        if plugin and (not plugin[1] or not _registered(plugin[1])):
            return f": it is {plugin[0]}, which {plugin[2]} makes readable"
    return ""


# --- tensors ---------------------------------------------------------------------------------------------------------


def _is_tensor(image: object) -> TypeGuard["Tensor"]:
    """Without importing torch, which whoever has a tensor has done."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _from_tensor(image: "Tensor") -> NDArray[np.uint8]:
    if image.ndim != 3 or image.shape[0] not in (1, 3, 4) or str(image.dtype) != "torch.uint8":
        raise InvalidInputError(
            f"the tensor is {image.dtype} {tuple(image.shape)}; needed is torch.uint8 [C, H, W] with C 1, 3 or 4"
        )
    try:
        plain = image.detach().cpu().as_subclass(sys.modules["torch"].Tensor)
        out: NDArray[np.uint8] = plain.permute(1, 2, 0).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, on the device "meta", ...
        raise InvalidInputError(
            f"the tensor's pixels can't be read ({str(error).splitlines()[0]}): give a dense one with data"
        ) from None
    return out


# --- PIL images ------------------------------------------------------------------------------------------------------


def _from_pil(image: Image.Image) -> NDArray[np.uint8]:
    if 0 in image.size:
        raise InvalidInputError(f"the image is {image.width} x {image.height}: at least 1 x 1 pixels are needed")
    check_size(*image.size)
    image.load()
    turn = TURNS.get(_orientation(image))
    profile, transparent = image.info.get("icc_profile"), image.info.get("transparency")
    if turn is not None:
        image = image.transpose(turn)
    if image.mode == "F":
        raise InvalidInputError(
            "the image has floating-point pixels (mode F), whose range is unknown: convert it to 8 bits first"
        )
    alpha: Image.Image | None = None
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InvalidInputError(
                f"the image has integers from {values.min()} to {values.max()} (mode {image.mode}); allowed are 0 to "
                "65535: scale them first"
            )
        if isinstance(transparent, int):  # the one grey value that is seen through
            alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
        image = Image.fromarray(_to_8_bits(values.astype(np.uint16)))
    elif image.has_transparency_data:
        if isinstance(transparent, tuple) and max(transparent) > 255:  # of 16 bits, while Pillow gives 8 of the pixels
            image = image.copy()
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    image = _srgb(image, profile)
    if alpha is None:
        return np.array(image)
    image.putalpha(alpha)
    return _over_white(image)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where the metadata are damaged, which Pillow's readers raise anything on."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _over_white(image: Image.Image) -> NDArray[np.uint8]:
    """RGBA -> uint8 [H, W, 3]."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.array(Image.alpha_composite(white, image).convert("RGB"))


def _to_8_bits(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


# --- colour profiles -------------------------------------------------------------------------------------------------


def _profiled_mode(image: Image.Image) -> str:
    """The mode in which a profile is applied to an image's pixels."""
    if image.mode in ("CMYK", "LAB"):
        return image.mode
    return "L" if image.mode in ("1", "L", "LA", "La", "I") or image.mode.startswith("I;16") else "RGB"


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image without transparency -> mode RGB, its colours those of sRGB."""
    mode = _profiled_mode(image)
    change = _profile_change(profile, mode) if profile else None
    if not change:
        return image.convert("RGB")
    from PIL import ImageCms

    out = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), change)
    assert out is not None  # a copy was asked for
    return out


@functools.lru_cache(maxsize=16)
def _profile_change(profile: bytes, mode: str) -> "ImageCmsTransform | Literal[False] | None":
    """What turns pixels of a mode into sRGB; None where the profile is sRGB; False where it can't be used: it is
    damaged, or of another kind of pixels."""
    try:
        from PIL import ImageCms

        found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if SPACES.get(found.profile.xcolor_space.strip()) != mode:
            return False
        change = ImageCms.buildTransform(
            found,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode != "RGB":
            return change
        steps = np.linspace(0, 255, 16).round().astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(64, 64, 3)
        moved = ImageCms.applyTransform(Image.fromarray(colours), change)
        return None if np.abs(np.asarray(moved, np.int16) - colours).max() <= SAME else change
    except Exception:  # the colour engine raises many kinds on damaged profiles, and may be missing in Pillow
        return False
