"""A batch in pieces that the networks take at once: pictures of one size each."""

from collections.abc import Iterator, Sequence

import torch

from ..format.geometry import SIDE

PIXELS_AT_ONCE = {"cpu": 16 * SIDE**2, "cuda": 512 * SIDE**2}  # more falls out of a CPU core's cache


def pieces(
    sizes: Sequence[tuple[int, int]], device: torch.device, among: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Lists of indexes of one (height, width) each; ``among``: which of ``sizes`` count, all by default."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for i in range(len(sizes)) if among is None else among:
        by_size.setdefault(sizes[i], []).append(i)
    bound = PIXELS_AT_ONCE["cpu" if device.type == "cpu" else "cuda"]
    for (height, width), indexes in by_size.items():
        step = max(1, bound // (height * width))
        for start in range(0, len(indexes), step):
            yield indexes[start : start + step]
