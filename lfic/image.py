"""PIL images, arrays and tensors -> RGB arrays; and back."""

import functools
import io
import os
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InvalidInputError
from .files import PathLike

if TYPE_CHECKING:  # a name alone: pictures in arrays need no torch
    from torch import Tensor

ImageLike: TypeAlias = "Image.Image | NDArray[Any] | Tensor"


def to_rgb(image: ImageLike) -> NDArray[np.uint8]:
    """Any image that users have -> uint8 ndarray [H, W, 3], RGB.

    Takes a PIL image of any mode but F (EXIF orientation applied; of an animation its current frame), a uint8 or uint16
    ndarray [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], or a uint8 torch tensor [C, H, W] with C 1, 3 or 4. Transparent
    pixels are composited over white; 16 bits are rounded to 8, and so are PIL's integer modes (I, I;16), whose values
    are taken as 0..65535. Colour profiles are not applied: pixels count as sRGB.

    Raises:
        InvalidInputError: another type, dtype or shape, values out of range, or no pixels.
    """
    if isinstance(image, Image.Image):
        try:
            return _from_pil(image)
        except InvalidInputError:
            raise
        except Exception as error:  # a lazily opened file is read only now, and Pillow's readers raise anything
            raise InvalidInputError(f"Pillow can't turn this {image.mode} image into RGB: {error}") from None
    if _is_tensor(image):
        if image.ndim != 3 or image.shape[0] not in (1, 3, 4) or str(image.dtype) != "torch.uint8":
            raise InvalidInputError(
                f"the tensor is {image.dtype} {tuple(image.shape)}; needed is torch.uint8 [C, H, W] with C 1, 3 or 4"
            )
        image = image.detach().cpu().permute(1, 2, 0).numpy()
    if not isinstance(image, np.ndarray):
        raise InvalidInputError(
            "an image is a PIL image, a uint8 ndarray [H, W, 3] or a uint8 tensor [3, H, W]; found "
            f"{type(image).__name__}"
            + (": open the file with PIL.Image.open first" if isinstance(image, (str, bytes, os.PathLike)) else "")
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.dtype not in (np.uint8, np.uint16):
        raise InvalidInputError(
            f"the array is {image.dtype} {image.shape}; needed is uint8 or uint16 [H, W], [H, W, 1], [H, W, 3] or "
            "[H, W, 4]"
        )
    if image.size == 0:
        raise InvalidInputError(f"the array has shape {image.shape}: an image has at least 1 x 1 pixels")
    if image.dtype == np.uint16:
        image = _to_8_bits(image)
    if image.shape[2] == 4:
        return _from_pil(Image.fromarray(image, "RGBA"))
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _is_tensor(image: object) -> TypeGuard["Tensor"]:
    """Without importing torch, which whoever has a tensor has done."""
    return type(image).__module__.split(".")[0] == "torch"


def _to_8_bits(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _from_pil(image: Image.Image) -> NDArray[np.uint8]:
    if 0 in image.size:
        raise InvalidInputError(f"the image is {image.width} x {image.height}: at least 1 x 1 pixels are needed")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InvalidInputError(
                f"the image has integers from {values.min()} to {values.max()} (mode {image.mode}); allowed are 0 to "
                "65535: scale them first"
            )
        gray = _to_8_bits(values.astype(np.uint16))
        return np.ascontiguousarray(np.repeat(gray[:, :, None], 3, 2))
    if image.mode == "F":
        raise InvalidInputError(
            "the image has floating-point pixels (mode F), whose range is unknown: convert it to 8 bits first"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.array(image.convert("RGB"))


def open_image(path: PathLike, data: bytes | None = None) -> Image.Image:
    """An image file (or ``data``, its bytes, that came from ``path``) -> PIL image, loaded.

    HEIC files need ``pip install "lfic[heif]"``. Of an animation it is the first frame.

    Raises:
        InvalidInputError: there is no such file, it can't be read, or it is no image.
    """
    try:
        try:
            image = Image.open(path if data is None else io.BytesIO(data))
        except UnidentifiedImageError:
            if not is_heif(path, data) or not register_heif():
                raise
            image = Image.open(path if data is None else io.BytesIO(data))
        image.load()
        return image
    except FileNotFoundError:
        raise InvalidInputError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InvalidInputError(f"{path} is a folder: give the files in it") from None
    except UnidentifiedImageError:
        if is_heif(path, data) and not register_heif():
            raise InvalidInputError(f'{path} is a HEIC file: reading it needs pip install "lfic[heif]"') from None
        raise InvalidInputError(f"{path} is no image of a format that Pillow reads") from None
    except Exception as error:  # Pillow's readers raise anything on damaged files
        if isinstance(error, OSError) and error.errno:
            raise InvalidInputError(f"{path} can't be read: {error.strerror}") from None
        raise InvalidInputError(f"{path} is no image that Pillow reads: {error}") from None


@functools.cache
def register_heif() -> bool:
    """Let Pillow read HEIC files by pillow-heif; whether that is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def is_heif(path: PathLike, data: bytes | None) -> bool:
    """Whether a file is of the HEIC family, by its first bytes."""
    if data is None:
        with open(path, "rb") as file:
            data = file.read(12)
    return data[4:8] == b"ftyp" and data[8:12] in (
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"mif1",
        b"msf1",
    )
