"""The faults of the world, tried on the command line: kills and interrupts at random moments, a full disk, a folder
that can't be written to, no handles left.

    python benchmarks/faults.py kills --count 200 --work encode,transcode,train
    python benchmarks/faults.py surroundings        # the full disk needs root, for a tmpfs of 64 KiB

After each the rules are checked: what is there is whole, nothing has a temporary name, no process is left, the exit
status is the promised one; a training run goes on from its newest checkpoint. Prints a row for each kind; exit status 1
where a rule was broken. Linux.
"""

import argparse
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from PIL import Image

import lfic
from lfic.demo import ASTRONAUT
from lfic.train.checkpoint import newest, read_state

LFIC = [sys.executable, "-m", "lfic"]
CONFIG = """
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


def pictures(folder: pathlib.Path, count: int) -> list[str]:
    """Crops in a folder, turned a little each."""
    folder.mkdir(parents=True, exist_ok=True)
    face = Image.open(ASTRONAUT)
    for i in range(count):
        face.rotate(i).save(folder / f"{i:04}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def whole(folder: pathlib.Path) -> list[str]:
    """What is wrong with results in a folder: temporary names, files that are no whole ones."""
    wrong = []
    for path in folder.rglob("*") if folder.exists() else ():
        if path.name.startswith(".lfic-"):
            wrong.append(f"{path.name} was left")
        elif path.suffix == ".lfic":
            try:
                lfic.probe(path.read_bytes())  # the checksum covers the whole file
            except lfic.LficError as error:
                wrong.append(f"{path.name}: {error}")
    return wrong


def children_of(group: int) -> list[str]:
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


def command_of(work: str, folder: pathlib.Path) -> tuple[list[str], pathlib.Path]:
    """(what to run, where its results go)."""
    out = folder / "out"
    if work in ("encode", "transcode"):
        return [*LFIC, work, *pictures(folder / "in", 300), "-o", str(out), "--json", "--overwrite"], out
    pictures(folder / "faces", 8)
    config = folder / "run.toml"
    config.write_text(CONFIG.format(faces=folder / "faces", out=out))
    return [*LFIC, "train", str(config)], out


def kills(work: str, count: int, longest: float) -> list[str]:
    """Kill one kind of work ``count`` times, each time at another moment; what went wrong."""
    wrong, draw = [], random.Random(work)
    with tempfile.TemporaryDirectory() as name:
        command, out = command_of(work, pathlib.Path(name))
        step = 0
        for turn in range(count):
            number = signal.SIGKILL if turn % 2 else signal.SIGINT
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
            time.sleep(draw.uniform(0, longest))
            process.send_signal(number)
            _, error = process.communicate(timeout=300)
            wrong += [f"{work}, turn {turn}: {text}" for text in whole(out)]
            # A process that has not yet reached main() is ended by the signal itself.
            if process.returncode not in ((-9,) if number == signal.SIGKILL else (130, -2, 0, 1)):
                wrong.append(f"{work}, turn {turn}: exit status {process.returncode} after signal {number}")
            if b"Traceback" in error and process.returncode == 130:
                wrong.append(f"{work}, turn {turn}: a traceback after an interrupt")
            left = children_of(process.pid)
            if left:
                wrong.append(f"{work}, turn {turn}: processes {left} were left")
            place = newest(out) if work == "train" and out.exists() else None
            if place is not None:
                found = read_state(place)["step"]
                if found < step:
                    wrong.append(f"train, turn {turn}: step {found} after step {step}")
                step = found
        print(f"{work}: {count} kills, {len(wrong)} rules broken" + (f", at step {step}" if work == "train" else ""))
    return wrong


def surroundings() -> list[str]:
    """A full disk, a folder that can't be written to, few handles, little memory; what went wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        faces, out = pictures(folder / "in", 3), folder / "out"
        out.mkdir()

        def expect(kind: str, text: str, limit: tuple[int, int] | None = None) -> None:
            before = (lambda: resource.setrlimit(limit[0], (limit[1], limit[1]))) if limit else None
            command = [*LFIC, "encode", *faces, "-o", str(out), "--quality", "90"]
            done = subprocess.run(command, capture_output=True, text=True, preexec_fn=before)
            told = text in done.stderr and "Traceback" not in done.stderr
            if done.returncode != 1 or not told or whole(out):
                wrong.append(f"{kind}: exit status {done.returncode}, {done.stderr[-300:]!r}, {whole(out)}")
            print(f"{kind}: exit status {done.returncode}, {done.stderr.splitlines()[-1:]}")

        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(out)]).returncode == 0:
            try:
                (out / "filler").write_bytes(bytes(1 << 14)) if shutil.disk_usage(out).free >= 1 << 14 else None
                expect("full disk", "No space left")
            finally:
                subprocess.run(["umount", str(out)], check=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(out)], check=True)
            try:
                expect("read-only folder", "Read-only file system")
            finally:
                subprocess.run(["umount", str(out)], check=True)
        expect("files of 100 bytes at most", "File too large", (resource.RLIMIT_FSIZE, 100))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kills", "surroundings"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--work", default="encode,transcode,train")
    parser.add_argument("--longest", type=float, default=8.0, help="seconds within which a kill comes")
    args = parser.parse_args()
    if args.what == "surroundings":
        wrong = surroundings()
    else:
        wrong = [text for work in args.work.split(",") for text in kills(work, args.count, args.longest)]
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
