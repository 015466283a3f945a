"""Laplace-distributed integers for ``lfic.coder``: one table for each spread."""

import numpy as np
from numpy.typing import NDArray

from ... import coder
from .blocks import Floats

SCALES = 48  # tables, spread in quantiser steps from 0.05 upwards, a factor of 2 ** (1 / 4) apart
REACH = 255


def tables() -> coder.Tables:
    """Tables for Laplace-distributed integers: table k has scale 0.05 * 2 ** (k / 4) steps."""
    edges = np.arange(-REACH, REACH + 2) - 0.5
    out = []
    for k in range(SCALES):
        b = 0.05 * 2 ** (k / 4)
        cdf = np.where(edges < 0, 0.5 * np.exp(np.minimum(edges, 0) / b), 1 - 0.5 * np.exp(-np.maximum(edges, 0) / b))
        p = np.diff(cdf)
        p[np.abs(np.arange(-REACH, REACH + 1)) > max(2, int(14 * b))] = 0  # what is rarer than e^-14 escapes
        out.append(p)
    made: coder.Tables = coder.Tables.from_probabilities(np.array(out), offset=-REACH)
    return made


def indexes(spread: Floats, step: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Table of every coefficient, and whether it is coded at all: a spread far below the step is not."""
    scale = spread / step
    table = np.clip(np.rint(4 * np.log2(np.maximum(scale, 1e-9) / 0.05)), 0, SCALES - 1)
    return table.astype(np.int32), scale > 0.08
