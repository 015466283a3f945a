from typing_extensions import Buffer

class Reader:
    """What decodes of a weights file, and of that of the model before it; their digests are checked. Safe to use from
    several threads."""

    def __init__(self, weights: Buffer, former: Buffer) -> None: ...
    def decode(self, data: Buffer, max_pixels: int, threads: int = 0) -> tuple[bytes, int, int, bool]:
        """A file -> (RGB bytes, width, height, whether it is grey); raises RuntimeError or ValueError."""

def png_rows(pixels: Buffer, width: int, height: int, grey: bool) -> bytes:
    """RGB bytes -> the filtered rows of a PNG, before they are deflated; of grey pictures the first channel."""
