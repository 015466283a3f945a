"""The draft that becomes the file: on the template or not, as the networks say or improved."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..format.geometry import SIDE
from ..network.load import Model, Pixels
from .draft import Draft, estimate_bits, first_drafts
from .search import improve

# Bits with positions / without, of the same symbols: below it a face is taken as aligned. By quality, below 20 as
# there; linear in between. Of 128 LFW faces on the template 90 to 99 % are below it, depending on the quality; the
# others go the way that is cheaper.
CLEAR = {20: 0.72, 60: 0.81, 80: 0.87, 100: 0.91}


def best_drafts(model: Model, pixels: Sequence[Pixels], quality: int, effort: int, aligned: bool | None) -> list[Draft]:
    """Images of one size at one quality -> a draft each; aligned None: on the template or not, as costs less."""
    if aligned is not None or pixels[0].shape[:2] != (SIDE, SIDE):
        best = first_drafts(model, pixels, quality, bool(aligned))
    else:
        best = cheaper_drafts(model, pixels, quality)
    if effort:
        for way in {found.aligned for found in best}:
            chosen = [i for i, found in enumerate(best) if found.aligned == way]
            improved, _ = improve(model, [best[i] for i in chosen], [pixels[i] for i in chosen], effort)
            for i, better in zip(chosen, improved, strict=True):
                best[i] = better
    return best


def cheaper_drafts(model: Model, pixels: Sequence[Pixels], quality: int) -> list[Draft]:
    """Images of 112 x 112 -> a draft each, aligned or not as costs less."""
    best = first_drafts(model, pixels, quality, True)
    bits = [estimate_bits(model, found) for found in best]
    # A face that the positions help by so much is on the template: the networks need not run a second time.
    clear = np.interp(quality, list(CLEAR), list(CLEAR.values()))
    without = [estimate_bits(model, dataclasses.replace(found, aligned=False)) for found in best]
    doubtful = [i for i in range(len(best)) if bits[i] > clear * without[i]]
    if doubtful:
        for i, other in zip(doubtful, first_drafts(model, [pixels[i] for i in doubtful], quality, False), strict=True):
            best[i] = min(best[i], other, key=lambda found: estimate_bits(model, found))
    return best
