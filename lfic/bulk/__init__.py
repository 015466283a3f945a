"""Many faces on one machine: pictures to lfic files and back, between folders, tar shards, parquet and .rec files.

    run = lfic.bulk.transcode("photos/", "faces.parquet", quality=40, resume=True)
    for result in run: ...                      # or run.finish(); run.state says what was done
    for result in lfic.bulk.encode_files(paths, "out/", workers=4, quality=40): ...

Every worker is a process of its own with a codec of its own. A run may be killed at any moment and goes on with
``resume=True``; a worker that is killed is replaced, and its records are done again.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Unpack

from ..arguments import integer, path
from ..data.records import open_source
from ..data.records.folder import FilesSource, FolderSource
from ..data.records.opening import shards_at, taken_by
from ..encoder.options import EncodeOptions
from ..errors import InvalidInputError
from ..files import PathLike
from .faces import FaceFinding
from .pipeline import Result as RecordResult
from .pipeline import Run
from .work import CodecChoice, Transcoding

__all__ = [
    "BulkOptions", "CodecChoice", "FaceFinding", "RecordResult", "Result", "Run", "Transcoding", "decode_files",
    "encode_files", "transcode",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Result:
    """One file: source and target paths, bytes written (0 where it failed), error text or None."""

    source: pathlib.Path
    target: pathlib.Path
    bytes: int
    error: str | None = None


class BulkOptions(EncodeOptions, total=False):
    """What the functions here take beside files and options of the codec.

    Attributes:
        model: bundled model, or the path of a weights file.
        device: of torch.
        recognizer: path of a recogniser's file, for ``min_similarity`` and the efforts; None: the one that ships.
    """

    model: str | None
    device: str
    recognizer: PathLike | None


def transcode(
    source: PathLike | Iterable[PathLike],
    target: PathLike,
    to: str | None = None,
    jobs: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
    strict: bool = False,
    shard_bytes: int = 256 << 20,
    errors: PathLike | None = None,
    max_pixels: int | None = None,
    **options: Unpack[BulkOptions],
) -> Run:
    """Pictures to lfic files and lfic files to pictures, from any source to any target.

    Args:
        source: a folder, shards (``lfic.data.open_source``), or a list of files.
        target: a folder, or a name that ends in .tar, .parquet or .rec.
        to: ".lfic", ".png" or what else Pillow writes; None: each record becomes the other kind, .lfic or .png.
        jobs, resume, overwrite, skip_existing, strict, shard_bytes, errors: see ``Run``.
        max_pixels: of a picture that is decoded.
        options: as for ``Codec.encode_batch``, and ``BulkOptions``.

    Returns:
        a ``Run``, which goes on as its results are taken.

    Raises:
        LficError: before any result, where an argument is wrong.
    """
    choice = CodecChoice(
        options.pop("model", None),
        options.pop("device", "cpu"),
        os.fspath(options.pop("recognizer", None) or "bundled"),
    )
    work = Transcoding(to, choice, dict(options), max_pixels)
    records = open_source(source) if isinstance(source, (str, os.PathLike)) else FilesSource(source)
    if isinstance(records, FolderSource):
        refuse_inside(records.path, pathlib.Path(target))
    elif isinstance(source, (str, os.PathLike)):
        refuse_inside(pathlib.Path(source), pathlib.Path(target))
    name = os.path.abspath(source) if isinstance(source, (str, os.PathLike)) else "a list of files"
    return Run(
        records, name, work, target, jobs=jobs, resume=resume, overwrite=overwrite, skip_existing=skip_existing,
        strict=strict, shard_bytes=shard_bytes, errors=errors,
    )  # fmt: skip


def refuse_inside(source: pathlib.Path, target: pathlib.Path) -> None:
    """A folder that is written to while it is read shows what was just written, and shards that are replaced by what
    was made of them lose what could not be.

    Raises:
        InvalidInputError: the target is the source or lies in it.
    """
    here = source.resolve()
    if not source.is_dir():
        read = {path.resolve() for path in shards_at(str(source))}
        if read & {path.resolve() for path in [target, *taken_by(target)]}:
            raise InvalidInputError(f"{target} is what is read: give another target, and remove {source} afterwards")
    elif here == target.resolve() or here in target.resolve().parents:
        raise InvalidInputError(f"{target} lies in {source}, which is read meanwhile: give a target outside of it")


def encode_files(
    paths: Iterable[PathLike],
    out: PathLike,
    workers: int | None = None,
    overwrite: bool = False,
    **options: Unpack[BulkOptions],
) -> Iterator[Result]:
    """Image files -> .lfic files in folder ``out``, in folders as they lie below the one that holds them all.

    Args:
        paths: the files. Of two whose names differ in the suffix alone both keep it: a.gif.lfic, a.webp.lfic.
        out: folder.
        workers: processes; None: one for each core.
        overwrite: replace files that exist; without it they are errors.
        options: as for ``Codec.encode_batch``, and ``BulkOptions``.

    Returns:
        an iterator over a ``Result`` for each file, in their order.

    Raises:
        LficError: before any result, where an argument is wrong.
    """
    return files(paths, out, ".lfic", workers, overwrite, None, options)


def decode_files(
    paths: Iterable[PathLike],
    out: PathLike,
    workers: int | None = None,
    overwrite: bool = False,
    max_pixels: int | None = None,
) -> Iterator[Result]:
    """.lfic files -> PNG files in folder ``out``; the rest as for ``encode_files``."""
    return files(paths, out, ".png", workers, overwrite, max_pixels, {})


def files(
    paths: Iterable[PathLike],
    out: PathLike,
    suffix: str,
    workers: int | None,
    overwrite: bool,
    max_pixels: int | None,
    options: BulkOptions,
) -> Iterator[Result]:
    """Results by path; the run itself begins here, not with the first of them."""
    source = FilesSource(paths)
    workers = None if workers is None else integer("workers", workers, 1)
    out = path("out", out)
    choice = CodecChoice(
        options.pop("model", None),
        options.pop("device", "cpu"),
        os.fspath(options.pop("recognizer", None) or "bundled"),
    )
    run = Run(
        source, "a list of files", Transcoding(suffix, choice, dict(options), max_pixels), out, jobs=workers,
        overwrite=overwrite, lists=False, keep=False,
    )  # fmt: skip
    targets = dict(zip(source.paths, source.keys, strict=True))
    return (by_path(result, pathlib.Path(out), targets, suffix) for result in run)


def by_path(result: RecordResult, out: pathlib.Path, keys: dict[str, str], suffix: str) -> Result:
    """A record's result as a file's."""
    assert result.path is not None
    target = out.joinpath(*(keys[result.path] + suffix).split("/"))
    return Result(pathlib.Path(result.path), target, sum(size for _, size, _ in result.records), result.error)
