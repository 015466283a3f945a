"""The draft that becomes the file: on the template or not, as the networks say or improved."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..format.geometry import SIDE
from .draft import Draft, Pictures, Pixels, Transforms, estimate_bits, first_drafts

if TYPE_CHECKING:
    from ..network.load import Model

# Bits with positions / without, of the same symbols: up to it a face stands on the template. By quality, below 20 as
# there; linear in between; by the entropy model of ``Parts.judge``. Of 48 LFW faces on the template 94 to 96 % are
# below it, depending on the quality. With the template's analysis for both ways, files of either way are equally large
# there.
CLEAR = {20: 0.72, 60: 0.81, 80: 0.87, 100: 0.91}


def best_drafts(
    model: Transforms,
    pixels: Sequence[Pixels] | Pictures,
    quality: int | Sequence[int],
    effort: int,
    aligned: bool | None,
) -> list[Draft]:
    """Images of one size -> a draft each; aligned None: on the template where its positions help. Arguments as for
    ``first_drafts``."""
    pixels = model.tensor(pixels)
    if aligned is not None or pixels.shape[-2:] != (SIDE, SIDE):
        best = first_drafts(model, pixels, quality, bool(aligned))
    else:
        best = settled_drafts(model, pixels, quality)
    if effort:
        from .search import improve  # by gradients: torch's

        for way in sorted({(found.aligned, found.quality) for found in best}):
            chosen = [i for i, found in enumerate(best) if (found.aligned, found.quality) == way]
            improved, _ = improve(
                cast("Model", model.of(way[0])), [best[i] for i in chosen], [pixels[i] for i in chosen], effort
            )
            for i, better in zip(chosen, improved, strict=True):
                best[i] = better
    return best


def clear_share(quality: ArrayLike) -> NDArray[np.float64]:
    """Bits with positions / without, up to which a face stands on the template, for each quality."""
    found: NDArray[np.float64] = np.interp(np.asarray(quality, np.float64), list(CLEAR), list(CLEAR.values()))
    return found


def settled_drafts(model: Transforms, pixels: Pictures, quality: int | Sequence[int]) -> list[Draft]:
    """uint8 [N, 3, 112, 112] -> a draft each, aligned where the template's positions help (``clear_share``)."""
    best, judge = first_drafts(model, pixels, quality, True), model.of(True).judge
    clear = clear_share([found.quality for found in best])
    without = [estimate_bits(judge, dataclasses.replace(found, aligned=False)) for found in best]
    beside = [i for i, found in enumerate(best) if estimate_bits(judge, found) > clear[i] * without[i]]
    if beside:
        others = first_drafts(model, pixels[beside], [best[i].quality for i in beside], False)
        for i, other in zip(beside, others, strict=True):
            best[i] = other
    return best
