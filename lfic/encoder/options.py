"""The options of encoding by name, as checkers see them; ``Codec.encode_batch`` says what each means."""

from typing import TypedDict


class EncodeOptions(TypedDict, total=False):
    """What ``encode`` takes beside the image."""

    quality: int
    max_bytes: int | None
    min_similarity: float | None
    effort: int
    aligned: bool | None
    checksum: bool
