"""Many files on one machine or on a Ray cluster.

    for result in lfic.bulk.encode_files(paths, "out/", quality=40, workers=4): ...

Every worker is a process with a codec of its own; results come as they are done. With Ray (``pip install "lfic[ray]"``
and ``ray.init`` called) ``executor="ray"`` runs the same work on the cluster, whose nodes see the same paths.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib

from .errors import InvalidInputError, LficError, MissingDependencyError

FILES_AT_ONCE = 32  # per task: enough to use batches, few enough to spread
BATCH_PIXELS = 1 << 20  # of pictures that are coded together: larger ones gain nothing by it and take memory


@dataclasses.dataclass(frozen=True)
class Result:
    """One file: source and target paths, bytes written (0 where it failed), error text or None."""

    source: pathlib.Path
    target: pathlib.Path
    bytes: int
    error: str | None = None


def encode_files(paths, out, workers=None, executor="process", **options):
    """Image files -> .lfic files in folder ``out``. Yields ``Result``.

    options: as for ``Codec.encode_batch``; besides ``recognizer``, the path of a TorchScript face recogniser, for
    ``min_similarity`` and the efforts.
    """
    yield from run(encode_some, paths, out, ".lfic", workers, executor, options)


def decode_files(paths, out, workers=None, executor="process", max_pixels=None):
    """.lfic files -> PNG files in folder ``out``. Yields ``Result``."""
    options = {} if max_pixels is None else {"max_pixels": max_pixels}
    yield from run(decode_some, paths, out, ".png", workers, executor, options)


def targets(paths, out, suffix):
    """(source, target) pairs; two sources for one target are refused."""
    seen = {}
    for path in map(pathlib.Path, paths):
        target = pathlib.Path(out) / (path.stem + suffix)
        if target in seen:
            raise InvalidInputError(
                f"{path} and {seen[target]} would both be written to {target}: give them different names or folders"
            )
        seen[target] = path
    return [(source, target) for target, source in seen.items()]


def run(work, paths, out, suffix, workers, executor, options):
    """Spread ``work(pairs, options) -> list of Result`` over processes or a cluster."""
    pairs = targets(paths, out, suffix)
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
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


def single_thread():
    """One torch thread per process: the processes are the parallelism."""
    import torch

    torch.set_num_threads(1)


def on_ray(work, chunks, options):
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


def encode_some(pairs, options):
    """One task: encode the files, failures are results, too."""
    from .codec import load_codec
    from .image import open_image, to_rgb

    options = dict(options)
    recognizer = options.pop("recognizer", None)
    if recognizer is not None:
        from .metric.identity import load_torchscript

        recognizer = load_torchscript(recognizer)
    codec = load_codec(recognizer=recognizer)
    return together(
        pairs,
        lambda path: to_rgb(open_image(path)),
        lambda images: codec.encode_batch(images, **options),
        lambda image: image.shape[0] * image.shape[1],
    )


def decode_some(pairs, options):
    """One task: decode the files."""
    import io

    from .codec import load_codec
    from .format import layers

    codec = load_codec()

    def png(image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def pixels(blob):
        picture = layers.read(blob, **options)
        return picture.width * picture.height

    return together(
        pairs,
        lambda path: path.read_bytes(),
        lambda blobs: [png(image) for image in codec.decode_batch(blobs, **options)],
        pixels,
    )


def together(pairs, read, work, pixels):
    """``Result`` of each pair: work([read(source), ...]) -> list of bytes, in batches of up to ``BATCH_PIXELS``,
    written atomically.

    A batch that fails is done again file by file, so that one bad file spoils no other.
    """
    results, batch, size = [], [], 0
    for source, target in pairs:
        try:
            item = read(source)
            count = pixels(item)
        except (LficError, OSError) as error:
            results.append(Result(source, target, 0, str(error)))
            continue
        if batch and size + count > BATCH_PIXELS:
            results += finish(batch, work)
            batch, size = [], 0
        batch.append((source, target, item))
        size += count
    return results + finish(batch, work)


def finish(batch, work):
    """``Result`` of each (source, target, what was read)."""
    try:
        return [
            written(source, target, blob)
            for (source, target, _), blob in zip(batch, work([item for _, _, item in batch]))
        ]
    except LficError as error:
        if len(batch) == 1:
            return [Result(*batch[0][:2], 0, str(error))]
        return [result for one in batch for result in finish([one], work)]


def written(source, target, blob):
    """Write a file atomically: ``Result``."""
    from .files import write_atomically

    try:
        write_atomically(target, blob)
        return Result(source, target, len(blob))
    except OSError as error:
        return Result(source, target, 0, str(error))
