"""What depends on the quality, 1 to 100, exponentially."""

from typing import TypeVar

T = TypeVar("T")


def exponential(low: float, high: float, quality: T) -> T:
    """From ``low`` at quality 1 to ``high`` at quality 100, both above 0; quality: a number, ndarray or tensor."""
    return low * (high / low) ** ((quality - 1) / 99)  # type: ignore[operator, no-any-return]
