"""Pillow reads and writes .lfic files after ``import lfic.pillow_plugin``.

    Image.open("a.lfic");  image.save("a.lfic", quality=40);  image.save("a.lfic", max_bytes=300, effort=1)

``save`` takes the options of ``lfic.encode``. Opening reads the header only; pixels are decoded on first use.
"""

from typing import IO, Any, cast

from PIL import Image, ImageFile

from .encoder.options import EncodeOptions
from .errors import ContainerError, CorruptStreamError
from .format import container, layers


def accept(prefix: bytes) -> bool:
    """Whether the first bytes may be those of an lfic file: magic byte and version."""
    return len(prefix) >= 2 and prefix[0] == container.MAGIC and prefix[1] >> 5 in (container.VERSION, layers.VERSION)


class LficImageFile(ImageFile.ImageFile):
    """An .lfic file as Pillow sees it."""

    format = "LFIC"
    format_description = "lfic face image"

    def _open(self) -> None:
        assert self.fp is not None  # Pillow has opened it
        data = self.fp.read()
        try:
            picture = layers.read(data)
        except (ContainerError, CorruptStreamError) as error:
            raise SyntaxError(str(error)) from None
        self._data: bytes | None = data
        self._size, self._mode = (picture.width, picture.height), "RGB"
        self.info["quality"] = picture.streams[-1].header.quality
        self.tile = []

    def load(self) -> Any:
        if self._data is not None:
            from .codec import decode

            self.im = decode(self._data).im
            self._data = None
            if self._exclusive_fp and self.fp is not None:
                self.fp.close()
            self.fp = None
        return super().load()


def save(image: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    """What ``Image.save`` calls."""
    from .codec import encode

    options = {key: value for key, value in image.encoderinfo.items() if key in EncodeOptions.__annotations__}
    file.write(encode(image, **cast(EncodeOptions, options)))


Image.register_open(LficImageFile.format, LficImageFile, accept)
Image.register_save(LficImageFile.format, save)
Image.register_extension(LficImageFile.format, ".lfic")
Image.register_mime(LficImageFile.format, "image/x-lfic")
