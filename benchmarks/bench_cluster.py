"""Memory of lfic transcode --ray over many faces, on a local Ray of two CPUs; and faces a second.

python benchmarks/bench_cluster.py [FACES]

Shards of FACES JPEG crops (20,000; repeats of the shipped face, shifted) become .lfic in parquet. All processes of the
cluster are watched; what counts is their private memory and the object store's, at a quarter of the run and at its end.
"""

import io
import os
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np
from common import write_csv
from PIL import Image

from lfic.bulk import Transcoding
from lfic.bulk.cluster import run_on_ray
from lfic.data.records import Record, open_sink
from lfic.demo import ASTRONAUT

CPUS = 2
STORE = 200 << 20  # bytes of the object store


def write_faces(path: pathlib.Path, count: int) -> None:
    """Shards of JPEG crops."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    crops = []
    for shift in range(64):
        buffer = io.BytesIO()
        Image.fromarray(np.roll(face, shift % 16 - 8, 1)).save(buffer, "JPEG", quality=90)
        crops.append(buffer.getvalue())
    with open_sink(path, 8 << 20) as sink:
        for i in range(count):
            sink.write(Record(f"{i // 1000:04}/{i:07}", ".jpg", crops[i % 64], {"label": i // 20}))


def family(root: int) -> set[int]:
    """A process and all below it."""
    parents = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
    found, more = set(), {root}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in found} - found
    return found


def private(process: int) -> int:
    """Bytes of memory that a process shares with no other; the object store is shared."""
    try:
        _, resident, shared = map(int, pathlib.Path(f"/proc/{process}/statm").read_text().split()[:3])
    except OSError:
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


class Watch(threading.Thread):
    """Megabytes of this process and all below it, every second: (private memory of all, entries done)."""

    def __init__(self, done: pathlib.Path) -> None:
        super().__init__(daemon=True)
        self.done, self.rows, self.over = done, [], threading.Event()

    def run(self) -> None:
        while not self.over.wait(1):
            total = sum(private(process) for process in family(os.getpid()))
            self.rows.append((time.monotonic(), total / 1e6, len(list(self.done.glob("*.json")))))


def main(count: int) -> None:
    import ray

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_faces(folder / "faces.tar", count)
        ray.init("local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False, object_store_memory=STORE)
        ray.data.DataContext.get_current().enable_progress_bars = False
        watch = Watch(folder / ".out.parquet.lfic-run" / "done")
        watch.start()
        done = run_on_ray(
            folder / "faces.tar", Transcoding(encoding={"quality": 20}), folder / "out.parquet", address=None,
            jobs=CPUS, shard_bytes=100_000,
        )  # fmt: skip
        watch.over.set()
        size = sum(path.stat().st_size for path in folder.glob("out*.parquet"))
    last = max(row[2] for row in watch.rows)
    working = [row for row in watch.rows if row[2]]  # the codec is loaded and the first shard written
    quarter = [mb for _, mb, entries in working if entries <= last / 4 + 1]
    end = [mb for _, mb, entries in working if entries >= last * 3 / 4]
    row = {
        "faces": count,
        "written": done.written,
        "failed": done.failed,
        "seconds": done.seconds,
        "faces_per_second": count / (working[-1][0] - working[0][0]) * (1 - working[0][2] / last),
        "bytes_per_face": size / max(1, done.written),
        "mb_first_quarter": float(np.median(quarter)),
        "mb_last_quarter": float(np.median(end)),
        "mb_peak": max(mb for _, mb, _ in watch.rows),
    }
    print(row)
    write_csv("cluster", [row], f"a local Ray of {CPUS} CPUs; memory of all its processes, without the object store")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
