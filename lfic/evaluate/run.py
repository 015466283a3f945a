"""One codec at one setting over all faces: files, decoded pictures, embeddings, figures. Cached, resumable."""

import collections
import concurrent.futures
import csv
import dataclasses
import io
import os
import pathlib
import platform
import sys

import numpy as np
from tqdm import tqdm

from ..errors import InvalidInputError
from ..files import write_atomically
from .cache import Cache, content_key
from .verification import FARS, all_pairs_tar, bootstrap_tar, bootstrap_weights, pair_scores, verify

REPLICATES = 100  # for the standard errors of TARs


@dataclasses.dataclass
class Point:
    """A codec at one setting, measured on N faces.

    Attributes:
        size: int [N], bytes of every whole file. header: int [N], bytes of it that are the same for every face.
        psnr: float [N], dB over RGB, at most 99.
        embeddings: recogniser name -> float32 [N, D] of the decoded pictures.
    """

    codec: str
    setting: str
    size: np.ndarray
    header: np.ndarray
    psnr: np.ndarray
    embeddings: dict


def evaluate_point(codec, setting, faces, recognisers, cache=None, workers=1, progress=True, keys=None):
    """Encode, decode and embed all faces -> Point. What the cache holds is not computed again.

    Args:
        codec: ``lfic.evaluate.codecs.Codec``. setting: one of its settings.
        faces: ``lfic.evaluate.data.Faces``.
        recognisers: list of ``EvalRecogniser``.
        cache: ``Cache``; a fresh one in memory by default.
        workers: threads that encode and decode, where the codec allows threads.
        keys: content keys of ``faces.pixels``, if known.
    """
    cache = cache or Cache()
    keys = keys or [content_key(p) for p in faces.pixels]
    known = cache.files(codec.key(setting))
    have = {r.name: cache.embeddings(r.key, [known[k][3] for k in keys if k in known]) for r in recognisers}
    todo = [
        i for i, k in enumerate(keys) if k not in known or any(known[k][3] not in have[r.name] for r in recognisers)
    ]
    chunks = [todo[i : i + codec.batch] for i in range(0, len(todo), codec.batch)]

    def work(chunk):
        stored = [cache_data.get(keys[i]) for i in chunk]
        fresh = [i for i, data in zip(chunk, stored) if data is None]
        files = iter(codec.encode([faces.pixels[i] for i in fresh], setting) if fresh else [])
        blobs = [data if data is not None else next(files) for data in stored]
        return chunk, blobs, codec.decode(blobs)

    # SQLite belongs to this thread, so what is stored is fetched before the threads start.
    cache_data = {keys[i]: cache.data(codec.key(setting), keys[i]) for i in todo if keys[i] in known}
    bar = tqdm(
        total=len(keys),
        initial=len(keys) - len(todo),
        desc=f"{codec.name} {setting}",
        unit="face",
        disable=not progress,
        file=sys.stderr,
    )
    with bar, concurrent.futures.ThreadPoolExecutor(workers if codec.threads else 1) as pool:
        for chunk, blobs, decoded in ordered(pool, work, chunks, 4 * workers):
            originals = faces.pixels[chunk]
            for i, image in zip(chunk, decoded):
                if image.dtype != np.uint8 or image.shape != faces.pixels[i].shape:
                    raise InvalidInputError(
                        f"{codec.name} decoded {faces.names[i]} to {image.dtype} {image.shape}; expected uint8 "
                        f"{faces.pixels[i].shape}"
                    )
            decoded = np.stack(decoded)
            hashes = [content_key(image) for image in decoded]
            mse = ((decoded.astype(np.float64) - originals) ** 2).mean((1, 2, 3))
            for r in recognisers:  # embeddings first: a file row promises that they exist
                cached = have[r.name]
                new = [j for j, h in enumerate(hashes) if h not in cached]
                if new:
                    vectors = r.embed(decoded[new])
                    rows = [(hashes[j], vector) for j, vector in zip(new, vectors)]
                    cache.put_embeddings(r.key, rows)
                    cached.update(rows)
            rows = [
                (keys[i], bytes(b), int(codec.header(b)), float(m), h) for i, b, m, h in zip(chunk, blobs, mse, hashes)
            ]
            cache.put_files(codec.key(setting), rows)
            known.update({row[0]: (len(row[1]), *row[2:]) for row in rows})
            bar.update(len(chunk))
    rows = [known[k] for k in keys]
    error = np.maximum(np.array([row[2] for row in rows]), 255**2 / 10**9.9)
    return Point(
        codec.name,
        str(setting),
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        10 * np.log10(255**2 / error),
        {r.name: np.stack([have[r.name][row[3]] for row in rows]) for r in recognisers},
    )


def ordered(pool, function, items, ahead):
    """Results of ``function`` in order, with at most ``ahead`` calls waiting, so that memory stays small."""
    waiting = collections.deque()
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


def reference_embeddings(faces, recognisers, cache, keys, progress=True):
    """Embeddings of the uncompressed faces: recogniser name -> float32 [N, D]."""
    out = {}
    for r in recognisers:
        known = cache.embeddings(r.key, keys)
        todo = [i for i, k in enumerate(keys) if k not in known]
        for start in tqdm(
            range(0, len(todo), 64), desc=f"uncompressed, {r.name}", disable=not progress or not todo, file=sys.stderr
        ):
            part = todo[start : start + 64]
            rows = list(zip([keys[i] for i in part], r.embed(faces.pixels[part])))
            cache.put_embeddings(r.key, rows)
            known.update(rows)
        out[r.name] = np.stack([known[k] for k in keys])
    return out


def summarise(point, reference, faces, all_pairs=True):
    """Figures of a Point as flat rows, one per recogniser and protocol: list of dicts.

    Protocol "both": both images of a pair are compressed; "gallery": the first is, against an uncompressed second.
    ``..._error`` are standard errors: of a mean over faces, and of a TAR where the pairs are drawn anew.
    """
    rows = []
    weights = bootstrap_weights(faces.same, faces.folds, REPLICATES) if len(faces.pairs) else None
    root = max(1, len(point.size)) ** 0.5
    for name, embeddings in point.embeddings.items():
        original = reference[name]
        similarity = np.einsum("nd,nd->n", embeddings.astype(np.float64), original.astype(np.float64))
        base = {
            "codec": point.codec,
            "setting": point.setting,
            "recogniser": name,
            "faces": len(point.size),
            "bytes": point.size.mean(),
            "bytes_without_header": (point.size - point.header).mean(),
            "bytes_median": float(np.median(point.size)),
            "bytes_p95": float(np.percentile(point.size, 95)),
            "psnr_db": point.psnr.mean(),
            "psnr_db_error": point.psnr.std() / root,
            "similarity": similarity.mean(),
            "similarity_error": similarity.std() / root,
            "similarity_p5": float(np.percentile(similarity, 5)),
        }
        for protocol, right in (("both", embeddings), ("gallery", original)) if len(faces.pairs) else ():
            scores = pair_scores(embeddings, right, faces.pairs)
            result = verify(scores, faces.same, faces.folds)
            row = {
                **base,
                "protocol": protocol,
                "accuracy": result.accuracy,
                "standard_error": result.standard_error,
                "eer": result.eer,
            }
            row |= {f"tar_at_far_{far:g}": value for far, value in result.tar.items()}
            row |= {
                f"tar_at_far_{far:g}_error": None
                if value is None
                else bootstrap_tar(scores, faces.same, weights, far).std()
                for far, value in result.tar.items()
            }
            if all_pairs:
                row |= {
                    f"all_pairs_tar_at_far_{far:g}": value
                    for far, value in all_pairs_tar(embeddings, right, faces.people, FARS).items()
                }
            rows.append(row)
        if not len(faces.pairs):
            rows.append({**base, "protocol": "similarity"})
    return rows


def uncompressed_point(reference, faces):
    """The row that every codec is held against: no compression, raw pixels."""
    size = np.full(len(faces), faces.pixels[0].size)
    return Point("uncompressed", "", size, np.zeros_like(size), np.full(len(faces), 99.0), reference)


def machine():
    """One line about the machine and the libraries, for the head of a result file."""
    import PIL
    import torch

    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (
        f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, numpy {np.__version__}, "
        f"torch {torch.__version__}, Pillow {PIL.__version__}"
    )


def write_csv(path, rows, note=""):
    """Rows of dicts to a CSV file, written whole or not at all; comment lines (#) give machine and note."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    for line in [machine(), *filter(None, note.splitlines())]:
        text.write(f"# {line}\n")
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: f"{v:.6g}" if isinstance(v, (float, np.floating)) else ("" if v is None else v) for k, v in row.items()}
        )
    write_atomically(path, text.getvalue().encode())


def earlier_rows(path, codecs, recognisers, faces):
    """Rows of an earlier run's CSV for codecs that are not measured now, and recognisers that are; they must be of as
    many faces."""
    measured, judges = {"uncompressed", *(codec.name for codec in codecs)}, {r.name for r in recognisers}
    try:
        rows = read_csv(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--earlier {path} can't be read: {error}") from None
    lacking = {
        "codec",
        "setting",
        "recogniser",
        "faces",
        "bytes",
        "bytes_without_header",
        "psnr_db",
        "similarity",
        "protocol",
    } - set(rows[0] if rows else ())
    if lacking:
        raise InvalidInputError(f"{path} is no table of an evaluation: it lacks {', '.join(sorted(lacking))}")
    rows = [row for row in rows if row["codec"] not in measured and row["recogniser"] in judges]
    if any(row["faces"] != len(faces) for row in rows):
        raise InvalidInputError(
            f"{path} was measured on {rows[0]['faces']:.0f} faces, this run has {len(faces)}: they can't be compared"
        )
    return rows


def read_csv(path):
    """Rows of a file that ``write_csv`` wrote, numbers as numbers."""

    def number(text):
        try:
            return float(text)
        except ValueError:
            return text

    with open(path, newline="", encoding="utf-8") as file:
        return [
            {
                k: number(v)
                if k not in ("codec", "setting", "recogniser", "protocol", "group", "measure", "anchor")
                else v
                for k, v in row.items()
            }
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        ]
