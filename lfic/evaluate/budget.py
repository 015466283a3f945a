"""The largest file of a codec within a number of bytes."""

from collections.abc import Sequence

from .interface import EvaluatedCodec, Pixels, Setting


def largest_that_fits(
    codec: EvaluatedCodec, image: Pixels, budget: int, settings: Sequence[Setting] | None = None
) -> tuple[bytes, Pixels] | None:
    """The best of a codec's settings whose file has at most ``budget`` bytes, found by bisection.

    Args:
        image: uint8 [H, W, 3].
        settings: from few bytes to many; those of ``fine_settings`` by default.

    Returns:
        (file, decoded image uint8 [H, W, 3]), or None where even the smallest file is too large.
    """
    settings = fine_settings(codec) if settings is None else settings
    best, low, high = None, 0, len(settings) - 1
    while low <= high:  # bytes rise with the setting
        middle = (low + high) // 2
        data = codec.encode([image], settings[middle])[0]
        if len(data) <= budget:
            best, low = data, middle + 1
        else:
            high = middle - 1
    return None if best is None else (best, codec.decode([best])[0])


def fine_settings(codec: EvaluatedCodec) -> Sequence[Setting]:
    """Settings between and beyond the measured ones; where somebody asked for a single one, that alone."""
    return codec.settings if len(codec.settings) < 2 else codec.fine_settings or codec.settings
