"""The earlier way to code faces: models of aligned faces learned with linear algebra, coefficients through our coder.

* ``eigenface``: one PCA of whole faces (Sirovich and Kirby 1987; Turk and Pentland 1991).
* ``dictionary``: position-wise bases of overlapping-free blocks, in the manner of Bryt and Elad, "Compression of facial
  images using the K-SVD algorithm", J. Vis. Commun. Image R. 19, 2008: every 16 x 16 block position has its own dictionary, because aligned
  faces look alike there. Here each is a PCA (an orthogonal dictionary), with the components' variances steering how many bits each
  gets: reverse water-filling by one quantiser step for all coefficients.

Both work on YCbCr with the chroma at half size, learn mean, basis and the spread of every coefficient from training faces, quantise with one
step, and write the integers with ``lfic.coder`` under a Laplace table for each spread. A file is the payload and nothing else:
size and model are known to both sides, as in the papers.
"""
import hashlib

import numpy as np
from PIL import Image

from ..errors import InvalidInputError, MissingDependencyError
from .align import SIDE
from .codecs import Codec

SCALES = 48  # Laplace tables, spread in quantiser steps from 0.05 upwards, a factor of 2 ** (1 / 4) apart
REACH = 255


def tables():
    """Tables for Laplace-distributed integers: table k has scale 0.05 * 2 ** (k / 4) steps."""
    from .. import coder

    edges = np.arange(-REACH, REACH + 2) - 0.5
    out = []
    for k in range(SCALES):
        b = 0.05 * 2 ** (k / 4)
        cdf = np.where(edges < 0, 0.5 * np.exp(np.minimum(edges, 0) / b), 1 - 0.5 * np.exp(-np.maximum(edges, 0) / b))
        p = np.diff(cdf)
        p[np.abs(np.arange(-REACH, REACH + 1)) > max(2, int(14 * b))] = 0  # what is rarer than e^-14 escapes
        out.append(p)
    return coder.Tables.from_probabilities(np.array(out), offset=-REACH)


def planes(pixels):
    """uint8 [N, 112, 112, 3] RGB -> luma float32 [N, 112, 112], chroma float32 [N, 2, 56, 56]."""
    luma = np.empty((len(pixels), SIDE, SIDE), np.float32)
    chroma = np.empty((len(pixels), 2, SIDE // 2, SIDE // 2), np.float32)
    for i, image in enumerate(pixels):
        y, cb, cr = Image.fromarray(image).convert("YCbCr").split()
        luma[i] = np.asarray(y)
        for j, plane in enumerate((cb, cr)):
            chroma[i, j] = np.asarray(plane.reduce(2))
    return luma, chroma


def picture(luma, chroma):
    """The inverse of ``planes`` for one face -> uint8 [112, 112, 3]."""
    channels = [Image.fromarray(np.clip(np.rint(luma), 0, 255).astype(np.uint8))]
    for plane in chroma:
        small = Image.fromarray(np.clip(np.rint(plane), 0, 255).astype(np.uint8))
        channels.append(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.asarray(Image.merge("YCbCr", channels).convert("RGB"))


def blocks(luma, chroma, side):
    """Vectors of every block position: list of float32 [N, D], luma blocks of ``side`` and chroma blocks of half that."""
    out = []
    for y in range(0, SIDE, side):
        for x in range(0, SIDE, side):
            out.append(luma[:, y : y + side, x : x + side].reshape(len(luma), -1))
    half = side // 2
    for y in range(0, SIDE // 2, half):
        for x in range(0, SIDE // 2, half):
            out.append(chroma[:, :, y : y + half, x : x + half].reshape(len(chroma), -1))
    return out


def unblocks(vectors, side):
    """The inverse of ``blocks`` for one face: list of float [D] -> luma [112, 112], chroma [2, 56, 56]."""
    luma, chroma, items = np.empty((SIDE, SIDE), np.float32), np.empty((2, SIDE // 2, SIDE // 2), np.float32), iter(vectors)
    for y in range(0, SIDE, side):
        for x in range(0, SIDE, side):
            luma[y : y + side, x : x + side] = next(items).reshape(side, side)
    half = side // 2
    for y in range(0, SIDE // 2, half):
        for x in range(0, SIDE // 2, half):
            chroma[:, y : y + half, x : x + half] = next(items).reshape(2, half, half)
    return luma, chroma


class LinearFaceCodec:
    """Mean, basis and spread of each block position; see the module's text.

    Args:
        pixels: training faces, uint8 [N, 112, 112, 3], aligned; N of a few hundred at least.
        side: block side in luma pixels: a divisor of 112, even; 112 for eigenfaces.
        components: components kept of each block at most.
    """

    def __init__(self, pixels, side, components):
        try:
            from sklearn.decomposition import PCA
        except ImportError:
            raise MissingDependencyError("this codec is learned with scikit-learn: pip install scikit-learn") from None
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (SIDE, SIDE, 3) or len(pixels) < 8:
            raise InvalidInputError(f"training faces are {pixels.dtype} {pixels.shape}; needed are uint8 [N >= 8, {SIDE}, {SIDE}, 3]")
        if side < 2 or side % 2 or SIDE % side:
            raise InvalidInputError(f"block side is {side}; allowed are even divisors of {SIDE}")
        self.side, self.bases = side, []
        for vectors in blocks(*planes(pixels), side):
            kept = min(components, vectors.shape[1], len(vectors) - 1)
            pca = PCA(kept, svd_solver="randomized" if kept < min(vectors.shape) // 2 else "full", random_state=0).fit(vectors)
            spread = np.abs(pca.transform(vectors)).mean(0)  # of a Laplace variable: its scale
            self.bases.append((pca.mean_.astype(np.float32), pca.components_.astype(np.float32), spread.astype(np.float32)))
        self.tables = tables()
        digest = hashlib.sha256()
        for arrays in self.bases:
            for array in arrays:
                digest.update(array.tobytes())
        self.version = digest.hexdigest()[:16]

    def indexes(self, step):
        """Table of every coefficient, and whether it is coded at all: a spread far below the step is not."""
        scale = np.concatenate([spread for _, _, spread in self.bases]) / step
        return np.clip(np.rint(4 * np.log2(np.maximum(scale, 1e-9) / 0.05)), 0, SCALES - 1).astype(np.int32), scale > 0.08

    def encode(self, images, step):
        """uint8 [112, 112, 3] each -> list of bytes. ``step``: quantiser step in grey levels, the same for every coefficient."""
        from .. import coder

        table, coded = self.indexes(step)
        vectors = blocks(*planes(images), self.side)
        y = np.concatenate([(v - mean) @ basis.T for v, (mean, basis, _) in zip(vectors, self.bases)], 1)
        # A dead zone of a sixth of a step: rounding towards zero pays for peaked distributions.
        symbols = (np.sign(y) * np.floor(np.abs(y) / step + 1 / 3)).astype(np.int32)
        return [coder.encode(np.ascontiguousarray(s[coded]), np.ascontiguousarray(table[coded]), self.tables) for s in symbols]

    def decode(self, files, step):
        from .. import coder

        table, coded = self.indexes(step)
        out = []
        for data in files:
            y = np.zeros(len(table), np.float32)
            y[coded] = coder.decode(data, np.ascontiguousarray(table[coded]), self.tables) * np.float32(step)
            parts, at = [], 0
            for mean, basis, spread in self.bases:
                parts.append(mean + y[at : at + len(spread)] @ basis)
                at += len(spread)
            out.append(picture(*unblocks(parts, self.side)))
        return out

    def codec(self, name, settings):
        """As a ``Codec``; a file carries its step in one leading byte (index into ``settings``), counted as header."""

        def encode(images, step):
            head = bytes([settings.index(step)])
            return [head + data for data in self.encode(np.stack(images), step)]

        def decode(files):
            out = []
            for data in files:
                if not data or data[0] >= len(settings):
                    raise InvalidInputError(f"first byte of a {name} file is {data[:1].hex() or 'missing'}; allowed are 0 to {len(settings) - 1}")
                out += self.decode([data[1:]], settings[data[0]])
            return out

        return Codec(name, tuple(settings), encode, decode, lambda data: 1, f"{self.version} {settings}")


def training_faces(pack, count):
    """Evenly spread aligned crops of a packed file (``lfic.train.pack``): uint8 [count, 112, 112, 3]."""
    from ..train.data import FacePack

    faces = FacePack(pack)
    index = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)
    margin = faces.margin
    return faces.pixels[index][:, margin : margin + SIDE, margin : margin + SIDE]


def eigenface(pack, settings=(160, 100, 60, 36, 20), count=4000):
    """Eigenfaces: one PCA of whole faces, up to 1,000 components of luma and 1,000 of chroma."""
    return LinearFaceCodec(training_faces(pack, count), SIDE, 1000).codec("eigenface", settings)


def dictionary(pack, settings=(120, 80, 52, 34, 22), count=6000):
    """Position-wise dictionaries of 16 x 16 blocks, up to 96 atoms each."""
    return LinearFaceCodec(training_faces(pack, count), 16, 96).codec("dictionary", settings)
