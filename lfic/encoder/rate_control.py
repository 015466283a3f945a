"""The quality that a bound asks for: at most so many bytes, or at least so much likeness."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..format.geometry import cell_grid, region_grid
from ..network.load import Model, Pixels
from .choose import best_drafts
from .draft import Draft, files, first_drafts

DEFAULT_QUALITY = 40  # where searches start, too


def last_true(holds: Callable[[int], bool], start: int, low: int = 1, high: int = 100) -> int:
    """The last of low..high for which ``holds`` (true up to a point, false after it), or low - 1.

    Strides that double lead away from ``start``, then the gap is halved. The answer has been tried, and so has its
    successor.
    """
    best, bad, stride = low - 1, high + 1, 4
    at = start
    while best + 1 < bad:
        if holds(at):
            best = at
        else:
            bad = at
        if bad == high + 1:
            at, stride = min(best + stride, high), stride * 2
        elif best == low - 1:
            at, stride = max(bad - stride, low), stride * 2
        else:
            at = (best + bad) // 2
    return best


def largest_quality(
    model: Model,
    pixels: Pixels,
    max_bytes: int,
    effort: int,
    aligned: bool | None,
    checksum: bool,
    bare: bool = False,
) -> bytes:
    """The file of the largest quality that has at most ``max_bytes``.

    Where not even quality 1 fits, every region is pooled to level 2 and the search starts again.

    Raises:
        InvalidInputError: that is too large as well.
    """
    found: dict[tuple[int, int], tuple[bytes, bool]] = {}

    def fits(quality: int, effort: int, aligned: bool | None) -> bool:
        best = best_drafts(model, [pixels], quality, effort, aligned)[0]
        found[quality, effort] = files(model, [best], checksum, bare=bare)[0], best.aligned
        return len(found[quality, effort][0]) <= max_bytes

    # The way (aligned or not) is settled once, in the middle of the scale.
    fits(DEFAULT_QUALITY, 0, aligned)
    way = found[DEFAULT_QUALITY, 0][1]
    best = last_true(lambda quality: fits(quality, 0, way), DEFAULT_QUALITY)
    if effort:  # its files are somewhat smaller or larger: search on from there
        best = last_true(lambda quality: fits(quality, effort, way), best or 1)
    if best:
        return found[best, effort][0]
    # Even quality 1 is too large: pool everything as coarsely as it goes, and search again.
    regions = region_grid(*cell_grid(*pixels.shape[:2]))
    coarsest = torch.full((1, *regions), 2, dtype=torch.uint8, device=model.device)
    blobs: dict[int, bytes] = {}

    def coarse_fits(quality: int) -> bool:
        drafts = first_drafts(model, [pixels], quality, way, coarsest)
        blobs[quality] = files(model, drafts, checksum, bare=bare)[0]
        return len(blobs[quality]) <= max_bytes

    best = last_true(coarse_fits, 1)
    if not best:
        raise InvalidInputError(
            f"max_bytes is {max_bytes}, but the smallest file of this image has {len(blobs[1])} bytes: allow more, or "
            "shrink the image"
        )
    return blobs[best]


def smallest_file(
    model: Model,
    pixels: Pixels,
    min_similarity: float,
    effort: int,
    aligned: bool | None,
    checksum: bool,
    bare: bool = False,
) -> bytes:
    """The file of the smallest quality that is at least that like the original (``Model.similarity``).

    Raises:
        InvalidInputError: not even quality 100 reaches it.
    """
    target, found = model.embed([pixels]), {}

    def fails(quality: int) -> bool:
        best = best_drafts(model, [pixels], quality, effort, aligned)[0]
        found[quality] = files(model, [best], checksum, bare=bare)[0]
        return float(model.similarity([shown(model, best)], target)) < min_similarity

    quality = last_true(fails, DEFAULT_QUALITY) + 1
    if quality > 100:
        raise InvalidInputError(
            f"min_similarity is {min_similarity}, which not even quality 100 reaches for this image"
        )
    return found[quality]


def shown(model: Model, draft: Draft) -> NDArray[np.uint8]:
    """What the file of a draft will show: uint8 [H, W, 3]."""
    face = draft.symbols, draft.levels
    pixels = model.reconstruct([face], [draft.quality], [draft.aligned], draft.height, draft.width)
    out: NDArray[np.uint8] = pixels[0].permute(1, 2, 0).contiguous().cpu().numpy()
    return out
