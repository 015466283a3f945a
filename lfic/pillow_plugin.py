"""Pillow reads and writes .lfic files after ``import lfic.pillow_plugin``.

    Image.open("a.lfic");  image.save("a.lfic", quality=40);  image.save("a.lfic", max_bytes=300, effort=1)

``save`` takes the options of ``lfic.encode`` and ``model``, a bundled model's name or the path of a weights file. Files
of private weights open once ``lfic.load_codec`` has loaded these. Opening reads the header only; pixels are decoded on
first use, by whichever thread asks first. Damage raises ``DamagedImageError``, which is an ``OSError`` as Pillow's
users expect. Pillow's own bound for decompression bombs holds.

Pillow empties the file that ``save`` writes to before the picture is encoded: where an error must not cost the file
that was there, encode first: ``pathlib.Path("a.lfic").write_bytes(lfic.encode(image, max_bytes=300))``.
"""

import threading
from typing import IO, Any, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from .encoder.options import DEFAULT_MODEL, EncodeOptions
from .errors import ContainerError, CorruptStreamError
from .format import container, layers
from .format.payload import decode_payloads
from .format.probe import known_context

FORMS = (container.VERSION, layers.VERSION, container.GREY)
NO_BOUND = container.MAX_SIDE**2  # Pillow has its own, which it checks once a file is open


class DamagedImageError(CorruptStreamError, UnidentifiedImageError):
    """A file that begins as one of lfic and is damaged."""


def accept(prefix: bytes) -> bool:
    """Whether the first bytes may be those of an lfic file: magic byte and version."""
    return len(prefix) >= 2 and prefix[0] == container.MAGIC and prefix[1] >> 5 & container.FORM in FORMS


class LficImageFile(ImageFile.ImageFile):
    """An .lfic file as Pillow sees it."""

    format = "LFIC"
    format_description = "lfic face image"

    def _open(self) -> None:
        assert self.fp is not None  # Pillow has opened it
        data = self.fp.read()
        try:
            picture = layers.read(data, NO_BOUND)
        except ContainerError as error:
            raise SyntaxError(str(error)) from None  # another plugin's, perhaps
        except CorruptStreamError as error:
            raise DamagedImageError(f"this lfic file is damaged: {error}") from None
        self._data: bytes | None = data
        self._guard = threading.RLock()
        self._size, self._mode = (picture.width, picture.height), "L" if picture.grey else "RGB"
        self.info["quality"] = picture.layers[-1].stream.header.quality if picture.layers else picture.quality
        self.tile = []

    def load(self) -> Any:
        """Decode the pixels, once.

        Raises:
            DamagedImageError: damage that the header does not show.
            ContainerError: a file of private weights that this process has not loaded.
            ValueError: the image is closed.
        """
        with self._guard:
            if self._data is not None:
                from .decoder import decode

                try:
                    self.im = decode(self._data, NO_BOUND).im
                except CorruptStreamError as error:
                    raise DamagedImageError(f"this lfic file is damaged: {error}") from None
                self._data = None
                if self._exclusive_fp and self.fp is not None:
                    self.fp.close()
                self.fp = None
            return Image.Image.load(self)

    def verify(self) -> None:
        """Decode everything but pixels. Pixels can be loaded afterwards.

        Raises:
            DamagedImageError: damage, also where the file has no checksum.
        """
        data = self._data
        if data is None:
            return
        try:
            for stream in layers.read(data, NO_BOUND).streams:
                context = known_context(stream.header)
                if context is None:
                    return
                decode_payloads(context, [(stream.header, memoryview(stream.payload))])
        except CorruptStreamError as error:
            raise DamagedImageError(f"this lfic file is damaged: {error}") from None

    def close(self) -> None:
        """Let go of the file and of the pixels."""
        with self._guard:
            self._data = None
            super().close()


def save(image: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    """What ``Image.save`` calls."""
    from .encoding import encode_with

    options = {key: value for key, value in image.encoderinfo.items() if key in EncodeOptions.__annotations__}
    model = image.encoderinfo.get("model", DEFAULT_MODEL)
    file.write(encode_with(model, image, **cast(EncodeOptions, options)))


Image.register_open(LficImageFile.format, LficImageFile, accept)
Image.register_save(LficImageFile.format, save)
Image.register_extension(LficImageFile.format, ".lfic")
Image.register_mime(LficImageFile.format, "image/x-lfic")
