"""A batch in pieces that the networks take at once: pictures of one size each."""

from collections.abc import Iterator, Sequence

import torch

from ..format.geometry import SIDE

PIXELS_AT_ONCE = {"cpu": 16 * SIDE**2, "cuda": 512 * SIDE**2}  # more falls out of a CPU core's cache
# A GPU's batch comes in so many pieces at least, so that its two kinds of work overlap, but in none of fewer faces.
PIECES, FACES = 4, 64


def pieces(
    sizes: Sequence[tuple[int, int]], device: torch.device, among: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Lists of indexes of one (height, width) each; ``among``: which of ``sizes`` count, all by default."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for i in range(len(sizes)) if among is None else among:
        by_size.setdefault(sizes[i], []).append(i)
    for (height, width), indexes in by_size.items():
        bound = PIXELS_AT_ONCE["cpu" if device.type == "cpu" else "cuda"]
        if device.type != "cpu":
            bound = min(bound, max(FACES * SIDE**2, -(-len(indexes) // PIECES) * height * width))
        step = max(1, bound // (height * width))
        for start in range(0, len(indexes), step):
            yield indexes[start : start + step]
