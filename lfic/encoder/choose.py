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

# Bits with positions / without, of the same symbols: below it a face is taken as aligned. By quality, below 20 as
# there; linear in between. Of 128 LFW faces on the template 90 to 99 % are below it, depending on the quality; the
# others go the way that is cheaper.
CLEAR = {20: 0.72, 60: 0.81, 80: 0.87, 100: 0.91}


def best_drafts(
    model: Transforms,
    pixels: Sequence[Pixels] | Pictures,
    quality: int | Sequence[int],
    effort: int,
    aligned: bool | None,
) -> list[Draft]:
    """Images of one size -> a draft each; aligned None: on the template or not, as costs less. Arguments as for
    ``first_drafts``."""
    pixels = model.tensor(pixels)
    if aligned is not None or pixels.shape[-2:] != (SIDE, SIDE):
        best = first_drafts(model, pixels, quality, bool(aligned))
    else:
        best = cheaper_drafts(model, pixels, quality)
    if effort:
        from .search import improve  # by gradients: torch's

        for way in sorted({(found.aligned, found.quality) for found in best}):
            chosen = [i for i, found in enumerate(best) if (found.aligned, found.quality) == way]
            improved, _ = improve(cast("Model", model), [best[i] for i in chosen], [pixels[i] for i in chosen], effort)
            for i, better in zip(chosen, improved, strict=True):
                best[i] = better
    return best


def clear_share(quality: ArrayLike) -> NDArray[np.float64]:
    """Bits with positions / without, up to which a face is taken as aligned, for each quality."""
    found: NDArray[np.float64] = np.interp(np.asarray(quality, np.float64), list(CLEAR), list(CLEAR.values()))
    return found


def cheaper_drafts(model: Transforms, pixels: Pictures, quality: int | Sequence[int]) -> list[Draft]:
    """uint8 [N, 3, 112, 112] -> a draft each, aligned or not as costs less."""
    best = first_drafts(model, pixels, quality, True)
    bits = [estimate_bits(model, found) for found in best]
    # A face that the positions help by so much is on the template: the networks need not run a second time.
    clear = clear_share([found.quality for found in best])
    without = [estimate_bits(model, dataclasses.replace(found, aligned=False)) for found in best]
    doubtful = [i for i in range(len(best)) if bits[i] > clear[i] * without[i]]
    if doubtful:
        others = first_drafts(model, pixels[doubtful], [best[i].quality for i in doubtful], False)
        for i, other in zip(doubtful, others, strict=True):
            best[i] = min(best[i], other, key=lambda found: estimate_bits(model, found))
    return best
