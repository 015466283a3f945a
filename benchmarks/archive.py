"""Photos to an archive and back, with kills on the way; faces a second and memory.

    python benchmarks/archive.py kills PHOTOS WORK [--count 1000] [--kills 5]
    python benchmarks/archive.py prepare PHOTOS WORK [--count 1536]
    python benchmarks/archive.py rates PHOTOS WORK [--count 1536]
    python benchmarks/archive.py memory PHOTOS WORK [--counts 1000 10000] [--passed-on 100000]

PHOTOS: a folder of pictures of people; WORK: a folder for what is made. ``kills`` makes a folder of mixed photos
(turned ones, EXIF orientations, HEIC, AVIF, TIFF, 16 bits, CMYK, animations, broken and empty files), transcodes it to
parquet and back once in peace and once with kill -9 at random moments, and compares every byte. ``prepare`` makes what
``rates`` reads, so that a quiet machine is needed for the measuring alone. Results are printed as JSON lines and kept
as benchmarks/results/archive-kills.csv, -rates.csv and -memory.csv (-memory-without-torch.csv with --faces none).
"""

import argparse
import hashlib
import io
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
from common import write_csv
from PIL import Image

LFIC = [sys.executable, "-m", "lfic"]


NOTES = {
    "kills": "{count} mixed photos to parquet and back, {jobs} workers; seconds of the clock",
    "rates": "records a second, {count} faces of 112 x 112 at quality 40, by worker processes; photos of 250 x 250",
    "memory": "largest memory of the process that hands out the work, and of a worker; {jobs} workers; 112 x 112 faces",
}
ROWS = []


def say(**row):
    """Print a row of the results, and keep it."""
    ROWS.append(row)
    print(json.dumps(row), flush=True)


def save_as(image, path, suffix, **options):
    image.save(path.with_suffix(suffix), **options)


def mixed_photos(photos, folder, count):
    """A folder of ``count`` files of many kinds in sub-folders, whose base names are the same in each."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    sources = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for i in range(count):
        source = sources[i % len(sources)]
        path = folder / f"part{i // 50:03}" / f"{i % 50:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = i % 25
        image = Image.open(source).convert("RGB")
        if kind < 12:
            shutil.copy(source, path.with_suffix(source.suffix.lower()))
        elif kind < 15:
            image.transpose(list(Image.Transpose)[2 + kind - 12]).save(path, quality=95)
        elif kind == 15:
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
        elif kind == 16:
            save_as(image, path, ".heic", quality=90)
        elif kind == 17:
            save_as(image, path, ".avif", quality=80)
        elif kind == 18:
            save_as(image, path, ".tif", compression="tiff_lzw")
        elif kind == 19:
            gray = np.asarray(image.convert("L")).astype(np.uint16) * 257
            save_as(Image.fromarray(gray), path, ".png")
        elif kind == 20:
            image.convert("CMYK").save(path, quality=95)
        elif kind == 21:
            save_as(image, path, ".gif", save_all=True, append_images=[image.rotate(5)])
        elif kind == 22:
            save_as(image, path, ".webp", exif=b"junk", quality=90)
        elif kind == 23:
            path.write_bytes(source.read_bytes()[:500])
        else:
            path.write_bytes(b"")


def digest(path):
    """A digest of a file, or of all files of a folder; not of what a run keeps for itself."""
    whole = hashlib.sha256()
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and ".lfic-run" not in p.parts)
    )
    for file in files:
        whole.update(file.relative_to(path.parent).as_posix().encode())
        whole.update(file.read_bytes())
    return len(files), whole.hexdigest()


def workers_of(process):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"worker import main; main({process})".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def run(*arguments, kill_after=None):
    """Run a command; (exit code or None where it was killed, seconds)."""
    began = time.monotonic()
    process = subprocess.Popen([*LFIC, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(kill_after), time.monotonic() - began
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(1)
        assert not workers_of(process.pid), "workers outlive their parent"
        return None, time.monotonic() - began


def kills(args):
    photos = args.work / "mixed"
    if not photos.exists():
        mixed_photos(args.photos, photos, args.count)
    say(photos=sum(p.is_file() for p in photos.rglob("*")))
    choice = random.Random(1)
    digests = {}
    seconds = {}
    for name, there, back in (("whole", 0, 0), ("killed", (args.kills + 1) // 2, args.kills // 2)):
        folder = args.work / name
        folder.mkdir()
        steps = (
            ("there", photos, folder / "faces.parquet", there, ["--quality", 40, "--shard-bytes", "100k"]),
            ("back", folder / "faces.parquet", folder / "back", back, []),
        )
        for step, source, target, number, options in steps:
            command = ["transcode", source, target, "--jobs", args.jobs, "--resume", *options]
            # A start takes seconds in which nothing is done: the moments lie behind it, spread over an undisturbed run.
            spread = seconds.get(step, 0)
            for _ in range(number):
                code, took = run(*command, kill_after=5 + choice.uniform(0, max(1, spread / (number + 1))))
                records = state(target)
                say(step=step, run=name, killed=code is None, after=round(took, 1), records=records)
            code, took = run(*command)
            seconds.setdefault(step, took)
            say(step=step, run=name, code=code, seconds=round(took, 1), records=state(target))
        listed = [path for path in folder.iterdir() if path.suffix in (".parquet", ".jsonl")]
        digests[name] = sorted((path.name, digest(path)[1]) for path in listed), digest(folder / "back")
    say(equal=digests["whole"] == digests["killed"], files=digests["whole"][1][0], shards=len(digests["whole"][0]))
    return 0 if digests["whole"] == digests["killed"] else 1


def state(target):
    folder = target / ".lfic-run" if target.suffix == "" else target.with_name(f".{target.name}.lfic-run")
    path = folder / "manifest.json"
    return json.loads(path.read_text())["records"] if path.exists() else 0


def make_crops(photos, path, count):
    """A tar shard of aligned PNG crops: the middle of each photo at 112 x 112; photos repeat where they are too few."""
    from lfic.data import Record, open_sink

    sources = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    crops = []
    for source in sources[:count]:
        image = Image.open(source).convert("RGB")
        side = min(image.size) * 0.5
        x, y = image.width / 2, image.height / 2
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        buffer = io.BytesIO()
        image.resize((112, 112), Image.Resampling.BICUBIC, box).save(buffer, "PNG", compress_level=1)
        crops.append(buffer.getvalue())
    with open_sink(path, shard_bytes=1 << 40, replace=True) as sink:
        for i in range(count):
            sink.write(Record(f"{i:07}", ".png", crops[i % len(crops)]))


def prepare(args):
    make_crops(args.photos, args.work / "crops.tar", args.count)
    make_crops(args.photos, args.work / "few.tar", args.count // 16)
    photos = args.work / "photos"
    photos.mkdir(exist_ok=True)
    for path in sorted(p for p in args.photos.iterdir() if p.is_file())[: args.count // 12]:
        shutil.copy(path, photos)


def timed(source, target, jobs, work, overwrite=True):
    """Records a second of a run, once each worker's first portion is there: starting them is not counted."""
    from lfic.bulk import Run
    from lfic.data import open_source

    with Run(open_source(source), "timed", work, target, jobs=jobs, overwrite=overwrite) as going:
        while going.state.records < jobs * work.at_once():
            next(going)
        began, first = time.monotonic(), going.state.records
        going.finish()
        return (going.state.records - first) / (time.monotonic() - began)


def rates(args):
    from lfic.bulk import FaceFinding, Transcoding
    from lfic.data import open_source

    crops, coded, photos = args.work / "crops.tar", args.work / "coded.tar", args.work / "photos"
    few = args.work / "few.tar"
    if not (crops.exists() and few.exists() and photos.is_dir()):
        prepare(args)
    steps = (
        ("encode at effort 1", few, "few-coded.tar", Transcoding(encoding={"quality": 40, "effort": 1})),
        ("encode, tar to tar", crops, "coded.tar", Transcoding(encoding={"quality": 40})),
        ("decode, tar to tar of PNG", coded, "decoded.tar", Transcoding()),
        ("decode, tar to files of PNG", coded, "decoded", Transcoding()),
        ("find faces in photos, encode them", photos, "faces.tar", FaceFinding()),
    )
    for step, source, target, work in steps:
        found = {f"{jobs}_jobs": timed(source, args.work / target, jobs, work) for jobs in (1, 2)}
        say(step=step, **found)
    for suffix in ("tar", "parquet", "rec", ""):
        target = args.work / f"read.{suffix}".rstrip(".")
        timed(coded, target, 2, Transcoding(".lfic"))
        began = time.monotonic()
        count = sum(len(record.data) > 0 for record in open_source(target))
        say(step=f"read records of {suffix or 'folder'}", **{"1_jobs": count / (time.monotonic() - began)})


def peak_of(process):
    """Largest memory of a process so far, in MB."""
    try:
        for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def memory(args):
    for count in args.counts:
        crops, coded = args.work / f"crops-{count}.tar", args.work / f"coded-{count}.parquet"
        decoded = args.work / f"decoded-{count}"
        make_crops(args.photos, crops, count)
        faces = ["--faces", args.faces]
        watched(count, crops, coded, ["--quality", "40", *faces], args.jobs)
        watched(count, coded, decoded, faces, args.jobs)
        watched(count, decoded, args.work / f"pictures-{count}.tar", ["--to", "png", *faces], args.jobs)
        crops.unlink()
    for count in args.passed_on:
        files = args.work / f"lfic-{count}.tar"
        make_files(args.photos, files, count)
        for name in (f"passed-on-{count}.parquet", f"passed-on-{count}", f"passed-on-{count}.tar"):
            watched(count, files, args.work / name, ["--to", "lfic"], args.jobs)
            files = args.work / name


def make_files(photos, path, count):
    """A tar shard of lfic files, of 64 different faces."""
    from lfic import load_codec
    from lfic.data import Record, open_sink, open_source

    few = path.with_name("few-crops.tar")
    make_crops(photos, few, 64)
    pictures = [np.asarray(Image.open(io.BytesIO(record.data))) for record in open_source(few)]
    files = load_codec().encode_batch(pictures, quality=40)
    with open_sink(path, shard_bytes=1 << 40, replace=True) as sink:
        for i in range(count):
            sink.write(Record(f"{i // 1000:04}/{i:07}", ".lfic", files[i % len(files)], {"label": i // 1000}))


def watched(count, source, target, options, jobs):
    """Transcode, and say how much memory the processes took at most."""
    command = [*LFIC, "transcode", source, target, "--jobs", jobs, "--overwrite", *options]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks, done = {}, threading.Event()

    def watch():
        while not done.wait(0.2):
            for number in (process.pid, *workers_of(process.pid)):
                peaks[number] = max(peaks.get(number, 0), peak_of(number))

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.monotonic()
    code = process.wait()
    done.set()
    thread.join()
    parent = peaks.pop(process.pid, 0)
    say(
        faces=count, step=target.name, code=code, seconds=round(time.monotonic() - began, 1),
        parent_mb=round(parent), worker_mb=round(max(peaks.values(), default=0)),
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("kills", "prepare", "rates", "memory"))
    parser.add_argument("photos", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--faces", default="auto", help="as lfic transcode has it; none: workers load no torch")
    parser.add_argument("--counts", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--passed-on", type=int, nargs="*", default=[], help="counts of lfic files that no step codes")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    args.count = args.count or (1000 if args.what == "kills" else 1536)
    args.work.mkdir(parents=True, exist_ok=True)
    work = {"kills": kills, "prepare": prepare, "rates": rates, "memory": memory}[args.what]
    code = work(args)
    if ROWS:
        # Workers without torch have a table of their own.
        without = "-without-torch" if args.what == "memory" and args.faces == "none" else ""
        write_csv(f"archive-{args.what}{without}", ROWS, NOTES[args.what].format(count=args.count, jobs=args.jobs))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
