"""The earlier way to code faces: models of aligned faces learned with linear algebra, coefficients through our coder.

* ``eigenface``: one PCA of whole faces (Sirovich and Kirby 1987; Turk and Pentland 1991).
* ``dictionary``: position-wise bases of blocks that do not overlap, in the manner of Bryt and Elad, "Compression of
  facial images using the K-SVD algorithm", J. Vis. Commun. Image R. 19, 2008: every 16 x 16 block position has its own
  dictionary, because aligned faces look alike there. Here each is a PCA (an orthogonal dictionary), with the
  components' variances steering how many bits each gets: reverse water-filling by one quantiser step for all
  coefficients.

Both work on YCbCr with the chroma at half size, learn mean, basis and the spread of every coefficient from training
faces, quantise with one step, and write the integers with ``lfic.coder`` under a Laplace table for each spread. A file
is the payload and nothing else: size and model are known to both sides, as in the papers.
"""

import hashlib
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ... import coder
from ...errors import InvalidInputError, MissingDependencyError, WeightsError
from ...files import write_atomically
from ...format.geometry import SIDE
from ...metric.identity import file_sha256
from ..interface import EvaluatedCodec, Pixels
from . import laplace
from .blocks import Floats, blocks, picture, planes, unblocks

Basis = tuple[Floats, Floats, Floats]  # mean [D], basis [K, D], spread [K] of one block


class LinearFaceCodec:
    """Mean, basis and spread of each block position; see the module's text.

    Args:
        side: block side in luma pixels: a divisor of 112, even; 112 for eigenfaces.
        bases: (mean float32 [D], basis float32 [K, D], spread float32 [K]) of every block, in the order of ``blocks``.
    """

    def __init__(self, side: int, bases: Sequence[Basis]) -> None:
        self.side, self.bases, self.tables = side, bases, laplace.tables()
        self.spread = np.concatenate([spread for _, _, spread in bases])
        digest = hashlib.sha256()
        for arrays in self.bases:
            for array in arrays:
                digest.update(array.tobytes())
        self.version = digest.hexdigest()[:16]

    @classmethod
    def learn(cls, pixels: NDArray[np.uint8], side: int, components: int) -> "LinearFaceCodec":
        """From training faces, uint8 [N, 112, 112, 3], aligned, N of a few hundred at least; ``components`` of each
        block are kept at most."""
        try:
            from sklearn.decomposition import PCA
        except ImportError:
            raise MissingDependencyError("this codec is learned with scikit-learn: pip install scikit-learn") from None
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (SIDE, SIDE, 3) or len(pixels) < 8:
            raise InvalidInputError(
                f"training faces are {pixels.dtype} {pixels.shape}; needed are uint8 [N >= 8, {SIDE}, {SIDE}, 3]"
            )
        if side < 2 or side % 2 or SIDE % side:
            raise InvalidInputError(f"block side is {side}; allowed are even divisors of {SIDE}")
        bases = []
        for vectors in blocks(*planes(pixels), side):
            kept = min(components, vectors.shape[1], len(vectors) - 1)
            pca = PCA(kept, svd_solver="randomized" if kept < min(vectors.shape) // 2 else "full", random_state=0).fit(
                vectors
            )
            spread = np.abs(pca.transform(vectors)).mean(0)  # of a Laplace variable: its scale
            bases.append((pca.mean_.astype(np.float32), pca.components_.astype(np.float32), spread.astype(np.float32)))
        return cls(side, bases)

    def save(self, path: str | pathlib.Path, about: dict[str, Any]) -> None:
        """To a .safetensors file, with ``about``, a dict that says what it was learned from."""
        from safetensors.numpy import save

        arrays = {
            f"{k}.{name}": np.ascontiguousarray(array)
            for k, basis in enumerate(self.bases)
            for name, array in zip(("mean", "basis", "spread"), basis)
        }
        write_atomically(
            pathlib.Path(path),
            save(
                arrays,
                metadata={"linear_face_codec": json.dumps({**about, "side": self.side, "blocks": len(self.bases)})},
            ),
        )

    @classmethod
    def load(cls, path: str | pathlib.Path, about: dict[str, Any]) -> "LinearFaceCodec | None":
        """What ``save`` wrote, or None where nothing is or where it was learned from something else."""
        from safetensors import SafetensorError, safe_open

        if not pathlib.Path(path).is_file():
            return None
        try:
            with safe_open(path, "np") as file:
                found = json.loads((file.metadata() or {})["linear_face_codec"])
                if any(found.get(key) != value for key, value in about.items()):
                    return None
                bases = [
                    tuple(file.get_tensor(f"{k}.{name}") for name in ("mean", "basis", "spread"))
                    for k in range(found["blocks"])
                ]
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise WeightsError(
                f"{path} is no learned facial codec ({error}): delete it, and it is learned again"
            ) from None
        return cls(found["side"], bases)

    def encode(self, images: NDArray[np.uint8], step: int) -> list[bytes]:
        """uint8 [112, 112, 3] each -> list of bytes. ``step``: quantiser step in grey levels, the same for every
        coefficient."""
        table, coded = laplace.indexes(self.spread, step)
        vectors = blocks(*planes(images), self.side)
        y = np.concatenate([(v - mean) @ basis.T for v, (mean, basis, _) in zip(vectors, self.bases)], 1)
        # A dead zone of a sixth of a step: rounding towards zero pays for peaked distributions.
        symbols = (np.sign(y) * np.floor(np.abs(y) / step + 1 / 3)).astype(np.int32)
        return [
            coder.encode(np.ascontiguousarray(s[coded]), np.ascontiguousarray(table[coded]), self.tables)
            for s in symbols
        ]

    def decode(self, files: Sequence[bytes], step: int) -> list[Pixels]:
        """The inverse of ``encode`` -> list of uint8 [112, 112, 3]."""
        table, coded = laplace.indexes(self.spread, step)
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

    def codec(self, name: str, settings: Sequence[int]) -> EvaluatedCodec:
        """As an ``EvaluatedCodec``; a file begins with its step, one byte, 1 to 255, counted as header."""
        if not all(isinstance(step, int) and 1 <= step <= 255 for step in settings):
            raise InvalidInputError(
                f"settings of {name} are {settings}; they are quantiser steps, integers from 1 to 255"
            )

        def encode(images: Sequence[Pixels], step: int) -> list[bytes]:
            return [bytes([step]) + data for data in self.encode(np.stack(images), step)]

        def decode(files: Sequence[bytes]) -> list[Pixels]:
            out = []
            for data in files:
                if not data or not data[0]:
                    raise InvalidInputError(
                        f"first byte of a {name} file is {data[:1].hex() or 'missing'}; it is the quantiser step, 1 "
                        "to 255"
                    )
                out += self.decode([data[1:]], data[0])
            return out

        return EvaluatedCodec(
            name,
            tuple(settings),
            encode,
            decode,
            lambda data: 1,
            self.version,
            fine_settings=tuple(range(255, 3, -2)),
        )


def training_faces(pack: str | pathlib.Path, count: int) -> NDArray[np.uint8]:
    """Evenly spread aligned crops of a packed file (``lfic.data.pack``): uint8 [count, 112, 112, 3]. Only those are
    decoded."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(pack, "np") as file:
            margin, offsets, data = int(file.metadata()["margin"]), file.get_tensor("offsets"), file.get_slice("bytes")
            index = np.linspace(0, len(offsets) - 2, min(count, len(offsets) - 1)).astype(int)
            whole = [
                np.asarray(Image.open(io.BytesIO(data[int(offsets[i]) : int(offsets[i + 1])].tobytes())).convert("RGB"))
                for i in index
            ]
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise InvalidInputError(
            f"{pack} is no file of packed faces ({error}): python -m lfic.data.pack writes one"
        ) from None
    return np.stack([image[margin : margin + SIDE, margin : margin + SIDE] for image in whole])


def learned(
    name: str, pack: str | pathlib.Path, side: int, components: int, count: int, store: str | pathlib.Path | None
) -> LinearFaceCodec:
    """Learn from a pack's faces, or load what an earlier run learned from the same and left at ``store``."""
    about = {
        "pack": file_sha256(pack) if pathlib.Path(pack).is_file() else "",
        "side": side,
        "components": components,
        "count": count,
    }
    path = store and f"{store}.{name}.safetensors"
    codec = LinearFaceCodec.load(path, about) if path else None
    if codec is None:
        codec = LinearFaceCodec.learn(training_faces(pack, count), side, components)
        if path:
            codec.save(path, about)
    return codec


def eigenface(
    pack: str | pathlib.Path,
    settings: Sequence[int] = (160, 100, 60, 36, 20),
    count: int = 4000,
    store: str | pathlib.Path | None = None,
) -> EvaluatedCodec:
    """Eigenfaces: one PCA of whole faces, up to 1,000 components of luma and 1,000 of chroma.

    ``store``: prefix of a file that keeps what was learned; settings are quantiser steps, from few bytes to many.
    """
    return learned("eigenface", pack, SIDE, 1000, count, store).codec("eigenface", tuple(settings))


def dictionary(
    pack: str | pathlib.Path,
    settings: Sequence[int] = (120, 80, 52, 34, 22),
    count: int = 6000,
    store: str | pathlib.Path | None = None,
) -> EvaluatedCodec:
    """Position-wise dictionaries of 16 x 16 blocks, up to 96 atoms each; the rest as for ``eigenface``."""
    return learned("dictionary", pack, 16, 96, count, store).codec("dictionary", tuple(settings))
