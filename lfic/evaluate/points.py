"""One codec at one setting over all faces: files, decoded pictures, embeddings. Cached, resumable."""

import collections
import concurrent.futures
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import InvalidInputError
from .cache import Cache, Known, content_key
from .data import Faces
from .interface import EvaluatedCodec, Pixels, Setting
from .judges import Judge

Embeddings = dict[str, NDArray[np.float32]]  # name of a judge -> [N, D], or image key -> [D]
Coded = tuple[list[int], list[bytes], list[Pixels]]  # indices of faces, their files, what those decode to
T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass
class Point:
    """A codec at one setting, measured on N faces.

    Attributes:
        size: int [N], bytes of every whole file. header: int [N], bytes of it that are the same for every face.
        psnr: float [N], dB over RGB, at most 99.
        embeddings: name of a judge -> float32 [N, D] of the decoded pictures.
        looks: float64 [M, 6] of a sample of the faces (``looks.MEASURES``), or None where they were not asked for.
        loss: the recognisers in the codec's training. encoder: the one that its encoder looks through, or "".
    """

    codec: str
    setting: str
    size: NDArray[np.integer]
    header: NDArray[np.integer]
    psnr: NDArray[np.float64]
    embeddings: Embeddings
    looks: NDArray[np.float64] | None = None
    loss: str = ""
    encoder: str = ""


def evaluate_point(
    codec: EvaluatedCodec,
    setting: Setting,
    faces: Faces,
    judges: Sequence[Judge],
    cache: Cache | None = None,
    workers: int = 1,
    progress: bool = True,
    keys: Sequence[str] | None = None,
) -> Point:
    """Encode, decode and embed all faces. What the cache holds is not computed again.

    Args:
        setting: one of the codec's.
        cache: a fresh one in memory by default.
        workers: threads that encode and decode, where the codec allows threads.
        keys: content keys of what the codec is given, ``faces.source``, if known.

    Raises:
        InvalidInputError: the codec decoded a face to another type or size.
    """
    cache = cache or Cache()
    keys = keys or [content_key(faces.source(i)) for i in range(len(faces))]
    known = cache.files(codec.key(setting))
    have = {j.name: cache.embeddings(j.key, [known[k][3] for k in keys if k in known]) for j in judges}
    todo = [i for i, k in enumerate(keys) if k not in known or any(known[k][3] not in have[j.name] for j in judges)]
    # SQLite belongs to this thread, so what is stored is fetched before the threads start.
    stored = {i: cache.data(codec.key(setting), keys[i]) for i in todo if keys[i] in known}
    chunks = [todo[i : i + codec.batch] for i in range(0, len(todo), codec.batch)]
    bar = tqdm(
        total=len(keys),
        initial=len(keys) - len(todo),
        desc=f"{codec.name} {setting}",
        unit="face",
        disable=None if progress else True,
        file=sys.stderr,
    )
    with bar, concurrent.futures.ThreadPoolExecutor(workers if codec.threads else 1) as pool:
        work = ordered(pool, lambda chunk: coded(codec, setting, faces, chunk, stored), chunks, 4 * workers)
        for chunk, files, decoded in work:
            check(codec, faces, chunk, decoded)
            crops = np.stack([faces.face(i, image) for i, image in zip(chunk, decoded)])
            hashes = embed(crops, judges, cache, have)  # first: a row of a file promises that they exist
            errors = [((image.astype(np.float64) - faces.source(i)) ** 2).mean() for i, image in zip(chunk, decoded)]
            rows = [
                (keys[i], bytes(data), int(codec.header(data)), float(error), key)
                for i, data, error, key in zip(chunk, files, errors, hashes)
            ]
            cache.put_files(codec.key(setting), rows)
            known.update({key: (len(data), header, error, to) for key, data, header, error, to in rows})
            bar.update(len(chunk))
    return point_of(codec, setting, [known[k] for k in keys], have)


def coded(
    codec: EvaluatedCodec, setting: Setting, faces: Faces, chunk: list[int], stored: dict[int, bytes | None]
) -> Coded:
    """Files of some faces, encoded where they are not stored, and what they decode to."""
    fresh = [i for i in chunk if stored.get(i) is None]
    files = dict(zip(fresh, codec.encode([faces.source(i) for i in fresh], setting) if fresh else []))
    blobs = [files[i] if data is None else data for i in chunk for data in (stored.get(i),)]
    return chunk, blobs, codec.decode(blobs)


def check(codec: EvaluatedCodec, faces: Faces, chunk: list[int], decoded: list[Pixels]) -> None:
    """Refuses pictures that are not of the type and size that went in."""
    for i, image in zip(chunk, decoded):
        if image.dtype != np.uint8 or image.shape != faces.source(i).shape:
            raise InvalidInputError(
                f"{codec.name} decoded {faces.names[i]} to {image.dtype} {image.shape}; expected uint8 "
                f"{faces.source(i).shape}"
            )


def embed(images: NDArray[np.uint8], judges: Sequence[Judge], cache: Cache, have: dict[str, Embeddings]) -> list[str]:
    """Add to ``have`` and to the cache what judges have not embedded yet -> content keys of the images."""
    keys = [content_key(image) for image in images]
    for judge in judges:
        missing = [k for k, key in enumerate(keys) if key not in have[judge.name]]
        if missing:
            rows = [(keys[k], vector) for k, vector in zip(missing, judge.embed(images[missing]))]
            cache.put_embeddings(judge.key, rows)
            have[judge.name].update(rows)
    return keys


def point_of(codec: EvaluatedCodec, setting: Setting, rows: Sequence[Known], have: dict[str, Embeddings]) -> Point:
    """The rows that a cache has of all faces, and the embeddings of the pictures that they name, as arrays."""
    size, header, errors, keys = zip(*rows)
    return Point(
        codec.name,
        str(setting),
        np.array(size),
        np.array(header),
        10 * np.log10(255**2 / np.maximum(np.array(errors), 255**2 / 10**9.9)),
        {name: np.stack([vectors[key] for key in keys]) for name, vectors in have.items()},
        loss=" + ".join(codec.loss),
        encoder=codec.encoder,
    )


def ordered(
    pool: concurrent.futures.Executor, function: Callable[[T], R], items: Sequence[T], ahead: int
) -> Iterator[R]:
    """Results of ``function`` in order, with at most ``ahead`` calls waiting, so that memory stays small."""
    waiting: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error the rest need not run
        for future in waiting:
            future.cancel()


def reference_embeddings(
    faces: Faces, judges: Sequence[Judge], cache: Cache, keys: Sequence[str], progress: bool = True
) -> Embeddings:
    """Embeddings of the uncompressed faces: name of a judge -> float32 [N, D]."""
    out = {}
    for judge in judges:
        known = cache.embeddings(judge.key, keys)
        todo = [i for i, k in enumerate(keys) if k not in known]
        for start in tqdm(
            range(0, len(todo), 64),
            desc=f"uncompressed, {judge.name}",
            disable=None if progress and todo else True,
            file=sys.stderr,
        ):
            part = todo[start : start + 64]
            rows = list(zip([keys[i] for i in part], judge.embed(faces.pixels[part])))
            cache.put_embeddings(judge.key, rows)
            known.update(rows)
        out[judge.name] = np.stack([known[k] for k in keys])
    return out


def uncompressed_point(reference: Embeddings, faces: Faces) -> Point:
    """The point that every codec is held against: no compression, raw pixels."""
    size = np.array([faces.source(i).size for i in range(len(faces))])
    return Point("uncompressed", "", size, np.zeros_like(size), np.full(len(faces), 99.0), reference)
