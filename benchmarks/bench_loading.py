"""Faces a second into a training loop: .lfic beside JPEG and PNG of the same faces, from tar shards.

python benchmarks/bench_loading.py [SOURCE [FACES]]

SOURCE is what lfic.data.sources opens (the shipped face, shifted, where there is none). Each format has its own tar;
it is read by a DataLoader of 0, 1 and 2 workers in batches of 64, and once without decoding. Median of five epochs.
"""

import io
import pathlib
import sys
import tempfile
import time

import numpy as np
import torch
from common import write_csv
from PIL import Image
from torch.utils.data import DataLoader

import lfic
from lfic.data import FaceDataset, FaceStream, Record, open_sink
from lfic.demo import ASTRONAUT

EPOCHS = 5
BATCH = 64


def crops(source: str | None, count: int) -> list[np.ndarray]:
    """uint8 [112, 112, 3] each."""
    if source is None:
        face = np.array(Image.open(ASTRONAUT).convert("RGB"))
        return [np.roll(face, i % 31 - 15, 1) for i in range(count)]
    from lfic.data.sources import open_faces, template_crops

    faces = open_faces(source)
    return list(template_crops(faces, np.linspace(0, len(faces) - 1, count).astype(int)))


def files(pixels: list[np.ndarray], kind: str) -> list[bytes]:
    """Pictures in a format: "lfic 40" is quality 40."""
    if kind.startswith("lfic"):
        return lfic.load_codec().encode_batch(pixels, quality=int(kind.split()[1]))
    out = []
    for array in pixels:
        buffer = io.BytesIO()
        options = {} if kind == "png" else {"quality": int(kind.split()[1])}
        Image.fromarray(array).save(buffer, kind.split()[0], **options)
        out.append(buffer.getvalue())
    return out


def epoch(dataset: object, workers: int) -> float:
    """Seconds of one epoch, the workers' start not counted."""
    context = "spawn" if workers else None
    shared = isinstance(dataset, FaceStream)
    loader = DataLoader(
        dataset, BATCH, num_workers=workers, multiprocessing_context=context, persistent_workers=bool(workers),
        **({} if shared else {"shuffle": True}),
    )  # fmt: skip
    for _ in loader:  # the codec is loaded, the files are in the page cache
        pass
    times = []
    for _ in range(EPOCHS):
        began = time.perf_counter()
        for _ in loader:
            pass
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def main(source: str | None, count: int) -> None:
    torch.set_num_threads(1)
    pixels = crops(source, count)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("lfic 10", "lfic 40", "jpeg 75", "jpeg 95", "png"):
            blobs = files(pixels, kind)
            path = pathlib.Path(folder) / f"{kind.replace(' ', '-')}.tar"
            with open_sink(path) as sink:
                for i, blob in enumerate(blobs):
                    sink.write(Record(f"{i:06}", "." + kind.split()[0].replace("jpeg", "jpg"), blob, {"label": i % 10}))
            size = sum(map(len, blobs)) / count
            rates = {f"{w}_workers": count / epoch(FaceDataset(path), w) for w in (0, 1, 2)}
            rates["stream"] = count / epoch(FaceStream(path), 0)
            rates["bytes_alone"] = count / epoch(FaceDataset(path, decode=False), 0)
            rows.append(
                {"format": kind, "bytes_per_face": size, "tar_bytes_per_face": path.stat().st_size / count, **rates}
            )
            print(rows[-1], flush=True)
    write_csv("loading", rows, f"{count} faces, batches of {BATCH}, median of {EPOCHS} epochs; faces a second")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 1024)
