"""PIL images, arrays and tensors -> RGB arrays; and back."""
import numpy as np
from PIL import Image, ImageOps

from .errors import InvalidInputError


def to_rgb(image):
    """Any image that users have -> uint8 ndarray [H, W, 3], RGB.

    Takes a PIL image of any mode (EXIF orientation applied), a uint8 or uint16 ndarray [H, W], [H, W, 1], [H, W, 3] or
    [H, W, 4], or a uint8 torch tensor [C, H, W]. Transparent pixels are composited over white; 16 bits are rounded to 8.

    Raises:
        InvalidInputError: another type, dtype or shape, or no pixels.
    """
    if isinstance(image, Image.Image):
        try:
            return _from_pil(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(f"Pillow can't turn this {image.mode} image into RGB: {error}") from None
    if type(image).__module__.split(".")[0] == "torch":
        if image.ndim != 3 or image.shape[0] not in (1, 3, 4) or str(image.dtype) != "torch.uint8":
            raise InvalidInputError(f"the tensor is {image.dtype} {tuple(image.shape)}; needed is torch.uint8 [C, H, W] with C 1, 3 or 4")
        image = image.detach().cpu().permute(1, 2, 0).numpy()
    if not isinstance(image, np.ndarray):
        raise InvalidInputError(f"an image is a PIL image, a uint8 ndarray [H, W, 3] or a uint8 tensor [3, H, W]; found {type(image).__name__}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.dtype not in (np.uint8, np.uint16):
        raise InvalidInputError(f"the array is {image.dtype} {image.shape}; needed is uint8 or uint16 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]")
    if image.size == 0:
        raise InvalidInputError(f"the array has shape {image.shape}: an image has at least 1 x 1 pixels")
    if image.dtype == np.uint16:
        image = _to_8_bits(image)
    if image.shape[2] == 4:
        return _from_pil(Image.fromarray(image, "RGBA"))
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _to_8_bits(values):
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _from_pil(image):
    if 0 in image.size:
        raise InvalidInputError(f"the image is {image.width} x {image.height}: at least 1 x 1 pixels are needed")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = _to_8_bits(np.clip(np.asarray(image), 0, 65535).astype(np.uint16))
        return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, 2))
    if image.mode == "F":
        raise InvalidInputError("the image has floating-point pixels (mode F), whose range is unknown: convert it to 8 bits first")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.array(image.convert("RGB"))


def open_image(path):
    """Open an image file; a clear error where it is none."""
    try:
        image = Image.open(path)
        image.load()
        return image
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidInputError(f"there is no file {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"{path} is no image that Pillow reads: {error}") from None
