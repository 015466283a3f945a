"""Many files on one machine or on a Ray cluster.

    for result in lfic.bulk.encode_files(paths, "out/", quality=40, workers=4): ...

Every worker is a process with a codec of its own; results come as they are done. With Ray (``pip install "lfic[ray]"``
and ``ray.init`` called) ``executor="ray"`` runs the same work on the cluster, whose nodes see the same paths.
"""

import concurrent.futures
import dataclasses
import io
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Unpack

from .encoder.options import EncodeOptions
from .errors import InvalidInputError, LficError, MissingDependencyError
from .files import PathLike, distinct_targets, write_atomically

if TYPE_CHECKING:  # a name alone: torch is loaded by the workers
    from PIL import Image

FILES_AT_ONCE = 32  # per task: enough to use batches, few enough to spread
BATCH_PIXELS = 1 << 20  # of pictures that are coded together: larger ones gain nothing by it and take memory

Executor: TypeAlias = Literal["process", "ray"]
Pair: TypeAlias = tuple[pathlib.Path, pathlib.Path]  # source, target
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Result:
    """One file: source and target paths, bytes written (0 where it failed), error text or None."""

    source: pathlib.Path
    target: pathlib.Path
    bytes: int
    error: str | None = None


class BulkOptions(EncodeOptions, total=False):
    """What ``encode_files`` takes beside the files; recognizer: path of a TorchScript face recogniser."""

    recognizer: PathLike | None


Work: TypeAlias = Callable[[Sequence[Pair], dict[str, Any]], list[Result]]


def encode_files(
    paths: Iterable[PathLike],
    out: PathLike,
    workers: int | None = None,
    executor: Executor = "process",
    **options: Unpack[BulkOptions],
) -> Iterator[Result]:
    """Image files -> .lfic files in folder ``out``. Yields ``Result``.

    workers: processes; None: one a core. options: as for ``Codec.encode_batch``; besides ``recognizer``, the path of a
    TorchScript face recogniser, for ``min_similarity`` and the efforts.

    Raises:
        InvalidInputError: two files would have one target, a target is one of the sources, or no such executor.
        MissingDependencyError: executor="ray" without Ray.
    """
    yield from run(encode_some, paths, out, ".lfic", workers, executor, dict(options))


def decode_files(
    paths: Iterable[PathLike],
    out: PathLike,
    workers: int | None = None,
    executor: Executor = "process",
    max_pixels: int | None = None,
) -> Iterator[Result]:
    """.lfic files -> PNG files in folder ``out``. Yields ``Result``; workers and errors as for ``encode_files``."""
    options = {} if max_pixels is None else {"max_pixels": max_pixels}
    yield from run(decode_some, paths, out, ".png", workers, executor, options)


# --- spreading the work ----------------------------------------------------------------------------------------------


def run(
    work: Work,
    paths: Iterable[PathLike],
    out: PathLike,
    suffix: str,
    workers: int | None,
    executor: str,
    options: dict[str, Any],
) -> Iterator[Result]:
    """Spread ``work(pairs, options) -> list of Result`` over processes or a cluster."""
    folder = pathlib.Path(out)
    targets = distinct_targets(
        map(pathlib.Path, paths), lambda path: folder / (path.stem + suffix), "give another folder"
    )
    pairs = list(targets.items())
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [pairs[i : i + FILES_AT_ONCE] for i in range(0, len(pairs), FILES_AT_ONCE)]
    workers = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    if executor == "ray":
        yield from on_ray(work, chunks, options)
    elif executor != "process":
        raise InvalidInputError(f"executor is {executor!r}; allowed are 'process' and 'ray'")
    elif workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield from work(chunk, options)
    else:
        # spawn: torch's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=single_thread) as pool:
            for future in concurrent.futures.as_completed([pool.submit(work, chunk, options) for chunk in chunks]):
                yield from future.result()


def single_thread() -> None:
    """One torch thread per process: the processes are the parallelism."""
    import torch

    torch.set_num_threads(1)


def on_ray(work: Work, chunks: Sequence[Sequence[Pair]], options: dict[str, Any]) -> Iterator[Result]:
    """The same on a Ray cluster that ``ray.init`` has joined."""
    try:
        import ray
    except ImportError:
        raise MissingDependencyError('executor="ray" needs Ray: pip install "lfic[ray]"') from None
    task = ray.remote(work)
    waiting = [task.remote(chunk, options) for chunk in chunks]
    while waiting:
        done, waiting = ray.wait(waiting)
        yield from ray.get(done[0])


# --- one task --------------------------------------------------------------------------------------------------------


def encode_some(pairs: Sequence[Pair], options: dict[str, Any]) -> list[Result]:
    """One task: encode the files, failures are results, too."""
    from .codec import load_codec
    from .image import open_image, to_rgb

    options = dict(options)
    recognizer = options.pop("recognizer", None)
    if recognizer is not None:
        from .metric.identity import load_torchscript

        recognizer = load_torchscript(recognizer)
    codec = load_codec(recognizer=recognizer)
    return in_batches(
        pairs,
        lambda path: to_rgb(open_image(path)),
        lambda images: codec.encode_batch(images, **options),
        lambda image: image.shape[0] * image.shape[1],
    )


def decode_some(pairs: Sequence[Pair], options: dict[str, Any]) -> list[Result]:
    """One task: decode the files."""
    from .codec import load_codec
    from .format import layers

    codec = load_codec()

    def pixels(blob: bytes) -> int:
        picture = layers.read(blob, **options)
        return picture.width * picture.height

    return in_batches(
        pairs,
        lambda path: path.read_bytes(),
        lambda blobs: [png(image) for image in codec.decode_batch(blobs, **options)],
        pixels,
    )


def png(image: "Image.Image") -> bytes:
    """The bytes of an image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def in_batches(
    pairs: Sequence[Pair],
    read: Callable[[pathlib.Path], T],
    work: Callable[[list[T]], Sequence[bytes]],
    pixels: Callable[[T], int],
) -> list[Result]:
    """``Result`` of each pair: work([read(source), ...]) -> list of bytes, in batches of up to ``BATCH_PIXELS``,
    written atomically."""
    results: list[Result] = []
    batch: list[tuple[Pair, T]] = []
    size = 0
    for source, target in pairs:
        try:
            item = read(source)
            count = pixels(item)
        except (LficError, OSError) as error:
            results.append(Result(source, target, 0, str(error)))
            continue
        if batch and size + count > BATCH_PIXELS:
            results += work_and_write(batch, work)
            batch, size = [], 0
        batch.append(((source, target), item))
        size += count
    return results + work_and_write(batch, work)


def work_and_write(batch: list[tuple[Pair, T]], work: Callable[[list[T]], Sequence[bytes]]) -> list[Result]:
    """``Result`` of each ((source, target), what was read). A batch that fails is done again file by file, so that one
    bad file spoils no other."""
    try:
        blobs = work([item for _, item in batch])
    except LficError as error:
        if len(batch) == 1:
            return [Result(*batch[0][0], 0, str(error))]
        return [result for one in batch for result in work_and_write([one], work)]
    return [write(source, target, blob) for ((source, target), _), blob in zip(batch, blobs)]


def write(source: pathlib.Path, target: pathlib.Path, blob: bytes) -> Result:
    """Write a file atomically; a failure is a result, too."""
    try:
        write_atomically(target, blob)
    except OSError as error:
        return Result(source, target, 0, str(error))
    return Result(source, target, len(blob))
