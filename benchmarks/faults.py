"""The faults of the world, tried on the command line: kills and interrupts at random moments, a full disk, a folder
that can't be written to, no handles left.

    python benchmarks/faults.py kills --count 50     # of each: encode, transcode, train, evaluate
    python benchmarks/faults.py surroundings         # needs root, for file systems of 16 KiB

After each kill the rules are checked: what is there is whole, nothing has a temporary name, no process is left, the
exit status is the promised one. Work that ended before its kill gives what it gives undisturbed, is not counted, and
begins anew; so does the work after all kills, which is done to its end. Training goes on from its newest checkpoint
instead. Prints a row for each kind; exit status 1 where a rule was broken. Linux.
"""

import argparse
import contextlib
import csv
import dataclasses
import hashlib
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

from PIL import Image

import lfic
from lfic.demo import ASTRONAUT
from lfic.train.checkpoint import newest, read_state

LFIC = [sys.executable, "-m", "lfic"]
PICTURES = 400  # so many that coding them takes longer than starting Python
ANY_MOMENT = 5  # every fifth kill may come before there are results
NO_DETECTOR = ("--faces", "none")  # importing it would take most of the time
RUN = ".lfic-run"  # what a bulk run is to go on from
TRAINING = """
[data]
faces = "{faces}"
batch = 2
[network]
channels = 8
widths = [16, 16, 16]
analysis_blocks = [1, 1, 1]
synthesis_blocks = [1, 1, 1]
groups = 4
hidden1 = 32
hidden2 = 16
[schedule]
steps = 100000
[run]
out = "{out}"
threads = 1
save_every = 1
"""
INTERRUPTED = (130, -signal.SIGINT)  # the latter before there is a main() to catch it
KILLED = (-signal.SIGKILL,)
DONE = (0,)  # where the work ended first


# --- what is run -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Work:
    """A command, where its results go, how it goes on after a kill; whether it ends, or which options make it."""

    name: str
    command: list[str]
    out: pathlib.Path
    resume: tuple[str, ...] = ()
    ends: bool = True
    briefly: tuple[str, ...] = ()


def pictures(folder: pathlib.Path, count: int) -> list[str]:
    """Crops in a folder, turned a little each."""
    folder.mkdir(parents=True, exist_ok=True)
    face = Image.open(ASTRONAUT)
    for i in range(count):
        face.rotate(i / 2).save(folder / f"{i:04}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def write_recognizer(path: pathlib.Path) -> None:
    """A network that makes 16 numbers of a face, for an evaluation whose figures nobody reads."""
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(147, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is announced to end one day
        torch.jit.script(layers.eval()).save(str(path))


def encode(folder: pathlib.Path) -> Work:
    out = folder / "out"
    command = [*LFIC, "encode", *pictures(folder / "in", PICTURES), "-o", str(out), "--overwrite", *NO_DETECTOR]
    return Work("encode", command, out)


def transcode(folder: pathlib.Path) -> Work:
    out = folder / "out"
    pictures(folder / "in", PICTURES)
    command = [*LFIC, "transcode", str(folder / "in"), str(out), "--jobs", "2", *NO_DETECTOR]
    return Work("transcode", command, out, ("--resume",))


def train(folder: pathlib.Path) -> Work:
    out = folder / "out"
    pictures(folder / "faces", 8)
    config = folder / "run.toml"
    config.write_text(TRAINING.format(faces=folder / "faces", out=out))
    return Work("train", [*LFIC, "train", str(config)], out, ends=False, briefly=("--seconds", "1"))


def evaluate(folder: pathlib.Path) -> Work:
    out = folder / "out"
    out.mkdir()
    people = 4
    faces = pictures(folder / "faces", 2 * people)
    for i, path in enumerate(faces):
        os.rename(path, folder / "faces" / f"Person{i // 2}_{i % 2 + 1:04}.png")
    lines = [f"2\t{people // 2}"]
    for fold in range(2):
        members = range(fold * people // 2, (fold + 1) * people // 2)
        lines += [f"Person{p}\t1\t2" for p in members]
        lines += [f"Person{p}\t1\tPerson{(p + 1) % people}\t2" for p in members]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    write_recognizer(folder / "tiny.pt")
    command = [*LFIC, "evaluate", str(folder / "faces"), "--pairs", str(folder / "pairs.txt")]
    command += ["--recognizer", str(folder / "tiny.pt"), "--codecs", "lfic:5/20/40,webp:0/20/60", "--anchor", "WebP"]
    command += ["--bootstrap", "20", "--looks", "2", "--no-report", "--quiet", "--workers", "2"]
    return Work("evaluate", [*command, "--cache", str(out / "cache.sqlite"), "--out", str(out / "result")], out)


WORKS: dict[str, Callable[[pathlib.Path], Work]] = {
    work.__name__: work for work in (encode, transcode, train, evaluate)
}


# --- rules -----------------------------------------------------------------------------------------------------------


def whole(folder: pathlib.Path) -> list[str]:
    """What is wrong with results in a folder: temporary names, files that are no whole ones."""
    wrong = []
    for path in folder.rglob("*") if folder.exists() else ():
        if path.name.startswith(".lfic-") and path.name != RUN:
            wrong.append(f"{path.name} was left")
        elif path.suffix == ".lfic":
            try:
                lfic.probe(path.read_bytes())  # the checksum covers the whole file
            except lfic.LficError as error:
                wrong.append(f"{path.name}: {error}")
        elif path.suffix == ".csv":
            lines = [row for row in csv.reader(path.read_text().splitlines()) if row and not row[0].startswith("#")]
            if not lines or len({len(row) for row in lines}) != 1:
                wrong.append(f"{path.name} is no whole table")
        elif path.suffix == ".sqlite":
            with contextlib.closing(sqlite3.connect(path)) as db:
                (found,) = db.execute("PRAGMA integrity_check").fetchone()
            if found != "ok":
                wrong.append(f"{path.name}: {found}")
    return wrong


def digests(folder: pathlib.Path) -> dict[str, str]:
    """What is in the results of a finished run, without times and the cache."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".lfic", ".csv"):
            lines = path.read_bytes().splitlines(keepends=True)
            kept = lines if path.suffix == ".lfic" else [line for line in lines if not line.startswith(b"#")]
            found[str(path.relative_to(folder))] = hashlib.sha256(b"".join(kept)).hexdigest()
    return found


def members_of(group: int) -> list[str]:
    """Processes of a group that still run."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def orphans_of(group: int, seconds: float = 20) -> list[str]:
    """Processes of a group that do not end by themselves."""
    until = time.monotonic() + seconds
    while (left := members_of(group)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


# --- kills -----------------------------------------------------------------------------------------------------------


def start(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
    """The command in a group of its own, where SIGINT does what it does at a terminal."""
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def processor_time(group: int) -> float:
    """Seconds that the processes of a group and those that they waited for have computed."""
    ticks = 0
    for pid in members_of(group):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def undisturbed(work: Work) -> tuple[float, float, dict[str, str]]:
    """(seconds of processor time until there are results, and until the work ends; the results); training ends when it
    has saved a few times."""
    begins = taken = 0.0
    process = start(work.command)
    while process.poll() is None:
        taken = max(taken, processor_time(process.pid))
        begins = begins or taken * bool(results(work))
        if not work.ends and work.out.exists() and (place := newest(work.out)) and read_state(place)["step"] >= 8:
            process.kill()
        time.sleep(0.02)
    _, error = process.communicate()
    if work.ends and process.returncode:
        raise SystemExit(f"{work.name} fails by itself: {error.decode()[-500:]}")
    return begins, taken, digests(work.out)


def results(work: Work) -> int:
    """How much there is in the folder of the results, without what a bulk run goes on from."""
    return sum(not name.startswith(".") for name in os.listdir(work.out)) if work.out.exists() else 0


def empty(folder: pathlib.Path) -> None:
    """Take away what is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def kills(make: Callable[[pathlib.Path], Work], most: int, seconds: float) -> list[str]:
    """Kill one kind of work ``most`` times, or for so many seconds, each time at another moment; what went wrong."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as name:
        begins, longest, expected = undisturbed(make(pathlib.Path(first)))
        work = make(pathlib.Path(name))
        draw, until = random.Random(work.name), time.monotonic() + seconds
        count = begun = finished = step = 0
        while count < most and time.monotonic() < until:
            number = signal.SIGKILL if count % 2 else signal.SIGINT
            # Of processor time: other work on the machine may stand in between. Work that goes on where it stood is
            # killed when it has made so many files of those that are left.
            moment, files = draw.uniform(begins if count % ANY_MOMENT else 0, longest), float("inf")
            if work.resume and count % ANY_MOMENT and (there := results(work)) < len(expected):
                moment, files = float("inf"), draw.randint(there + 1, len(expected))
            process, taken = start([*work.command, *work.resume]), 0.0
            while process.poll() is None and taken < moment and results(work) < files:
                taken = max(taken, processor_time(process.pid))
                time.sleep(0.02)
            process.send_signal(number)
            _, error = process.communicate(timeout=300)
            where = f"{work.name}, kill {count}"
            wrong += [f"{where}: {text}" for text in whole(work.out)]
            if process.returncode not in (KILLED if number == signal.SIGKILL else INTERRUPTED) + DONE:
                wrong.append(f"{where}: exit status {process.returncode} after signal {number}: {error[-300:]!r}")
            if b"Traceback" in error and process.returncode == 130:
                wrong.append(f"{where}: a traceback after an interrupt: {error[-300:]!r}")
            wrong += [f"{where}: process {left} was left" for left in orphans_of(process.pid)]
            if work.name == "train" and work.out.exists() and (place := newest(work.out)) is not None:
                found = read_state(place)["step"]
                wrong += [f"{where}: step {found} after step {step}"] if found < step else []
                step = found
            if process.returncode == 0:
                finished += 1
                if not work.resume:  # the machine is faster than it was at first
                    begins, longest = (value * min(1, taken / longest) for value in (begins, longest))
                wrong += [f"{where}: the end differs from an undisturbed run"] if digests(work.out) != expected else []
                empty(work.out)
            else:
                count += 1
                begun += results(work) > 0
        if work.ends:
            end = start([*work.command, *work.resume])
            _, error = end.communicate(timeout=600)
            if end.returncode or digests(work.out) != expected:
                wrong.append(f"{work.name}: the end differs from an undisturbed run: {error[-300:]!r}")
        what = f"; training stands at step {step}" if work.name == "train" else "; then the same results"
        print(
            f"{work.name}: {count} kills within {longest:.1f} s of processor time, first results after {begins:.1f} s; "
            f"{begun} with results there; {finished} runs ended first; {len(wrong)} rules broken{what}",
            flush=True,
        )
    return wrong


# --- surroundings ----------------------------------------------------------------------------------------------------


class Mounted:
    """A file system in a folder, as long as the block lasts; 16 KiB large."""

    def __init__(self, folder: pathlib.Path, options: str) -> None:
        self.folder, self.options = folder, options

    def __enter__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size=16k,{self.options}", "none", str(self.folder)]
        subprocess.run(command, check=True)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


def tried(
    kind: str, work: Work, texts: tuple[str, ...], limit: tuple[int, int] | None = None, may_succeed: bool = False
) -> list[str]:
    """Run the work where it can't succeed: an exit status of 1 or 2, a line that says why, nothing half-written."""

    def before() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if limit:
            resource.setrlimit(limit[0], (limit[1], limit[1]))

    done = subprocess.run(work.command, capture_output=True, text=True, preexec_fn=before, timeout=300)
    said = done.stderr + done.stdout
    succeeded = may_succeed and done.returncode == 0
    wrong = []
    if done.returncode not in (1, 2) and not succeeded:
        wrong.append(f"exit status {done.returncode}")
    if "Traceback" in said:
        wrong.append("a traceback")
    if not succeeded and not any(text in said for text in texts):
        wrong.append("nothing said of it")
    wrong += [text for text in whole(work.out) if not text.endswith("of 16384 bytes")]
    last = (done.stderr.strip().splitlines() or [""])[-1]
    print(f"{work.name}, {kind}: exit status {done.returncode}, {last[:160]!r}", flush=True)
    return [f"{work.name}, {kind}: {text}: {said[-400:]!r}" for text in wrong]


def surroundings(make: Callable[[pathlib.Path], Work]) -> list[str]:
    """A full disk, a folder that can't be written to, small files, few handles; what went wrong."""
    wrong: list[str] = []
    full = ("No space left", "disk is full", "disk I/O error")
    with tempfile.TemporaryDirectory() as name:
        work = make(pathlib.Path(name))
        with Mounted(work.out, "rw"):
            (work.out / "filler").write_bytes(bytes(shutil.disk_usage(work.out).free))
            wrong += tried("full disk", work, full)
        with Mounted(work.out, "ro"):
            wrong += tried("read-only folder", work, ("Read-only file system", "unable to open database", "readonly"))
    with tempfile.TemporaryDirectory() as name:
        work = make(pathlib.Path(name))
        limit = (resource.RLIMIT_FSIZE, 100)
        wrong += tried("files of 100 bytes at most", work, ("File too large", *full), limit)
    for handles in (4, 5, 6, 8, 12):  # Python itself needs four
        with tempfile.TemporaryDirectory() as name:
            work = make(pathlib.Path(name))
            work.command += work.briefly
            wrong += tried(
                f"{handles} handles",
                work,
                ("Too many open files", "unable to open database"),
                (resource.RLIMIT_NOFILE, handles),
                may_succeed=True,
            )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("kills", "surroundings"))
    parser.add_argument("--count", type=int, default=50, help="kills of each work")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each work, at most about so many")
    parser.add_argument("--work", default=",".join(WORKS))
    args = parser.parse_args()
    wrong = []
    for name in args.work.split(","):
        wrong += (
            surroundings(WORKS[name]) if args.what == "surroundings" else kills(WORKS[name], args.count, args.seconds)
        )
    print("\n".join(wrong) or "no rule was broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
