r"""A training leg on a machine that is there for a few minutes: one or two runs, fitted to the time that there is.

    PYTHONPATH=. python benchmarks/train_leg.py --seconds 450 --out OUT --start face-v2 [--second-seconds 60]
    PYTHONPATH=. python benchmarks/train_leg.py --seconds 450 --out OUT --first configs/face-v1/11-analysis.toml \
        --second "" --start face-v1

Reads the configurations, by default face-v2's last two, and what they name in data/; makes the pack of crops that they
name of the packed pictures, with all cores. A configuration for a CPU gets what a GPU needs: captured steps, more
pictures and crops in each, in its own proportion, processes that make them. The first run begins with as many steps as
it takes to know their pace, and goes on with as many as fit; the second begins with what the first leaves. What the
runs leave goes to OUT: the averaged networks, in all their parts, and the logs.
"""

import argparse
import csv
import json
import multiprocessing
import pathlib
import shutil
import sys
import time
import traceback

from lfic.align import align
from lfic.data.facepack import MARGIN, write_pack
from lfic.data.pack import compressed
from lfic.data.picturepack import PicturePack
from lfic.train.config import TrainConfig
from lfic.train.loop import run

PACE_STEPS = 120  # before their number is settled, at the first rate
PACE_SECONDS = 150  # of which compilations and captures take most
PACED = {"log_every": 10}
RESERVE = 20  # seconds for starting anew, captures and files
ON_CUDA = {
    "data": {"workers": 13},
    "run": {"device": "cuda", "graphs": True, "threads": 4, "log_every": 50, "save_every": 1000},
}

PICTURES_ON_CUDA = 64  # in each step, and crops in proportion
LARGE_STEP = 512  # pictures and crops, where a step can't be captured

pack: PicturePack


def crop(i: int) -> bytes:
    """Picture i on the template, as a JPEG file."""
    image, landmarks = pack.photo(i)
    return compressed(align(image, landmarks, MARGIN), 97, None)


def make_crops(config: TrainConfig) -> None:
    """Write the pack of crops that a configuration names, of its pictures."""
    global pack
    pack = PicturePack(config.data.pictures)
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool() as pool:
        crops = pool.map(crop, range(len(pack)), chunksize=32)
    sources = [f"source {number}" for number in range(int(pack.source.max()) + 1)]
    write_pack(str(config.data.faces), crops, pack.names, pack.source.tolist(), sources)
    print(f"{len(crops)} crops in {time.monotonic() - began:.1f} s", flush=True)


def on_cuda(config: TrainConfig) -> TrainConfig:
    """A configuration for a CPU with what a GPU needs; one for a GPU as it is."""
    if config.run.device == "cuda":
        return config
    if not config.data.pictures:
        return config.changed(**ON_CUDA)
    total = PICTURES_ON_CUDA * (1 + config.data.batch / config.data.picture_batch)
    return config.changed(**ON_CUDA).changed(data=shared(config, round(total)))


def shared(config: TrainConfig, total: int) -> dict[str, int]:
    """``total`` crops and pictures in a configuration's own proportion, as its [data] says it."""
    if not config.data.pictures:
        return {"batch": total}
    pictures = round(total * config.data.picture_batch / (config.data.batch + config.data.picture_batch))
    return {"batch": total - pictures, "picture_batch": pictures}


def pace(folder: pathlib.Path, batch: int) -> float:
    """Steps a second, by the fastest line of a run's log: the first ones have compilations and captures in them. batch:
    faces of a step."""
    with open(folder / "log.csv", newline="") as file:
        return max(float(row["faces_per_s"]) for row in csv.DictReader(file)) / batch


def keep(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Copy what a run has left."""
    for name in ("log.csv", "checkpoint/state.json"):
        if (folder / name).is_file():
            shutil.copy(folder / name, out / f"{folder.name}-{pathlib.Path(name).name}")
    for part in (folder / "checkpoint").glob("average*.safetensors"):
        shutil.copy(part, out / f"{folder.name}-{part.name}")


def main() -> int:
    """Command line: see the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, required=True, help="for all of it")
    parser.add_argument("--second-seconds", type=float, default=60, help="of those, for the second run (default 60)")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--first", default="configs/face-v2/2-longer.toml", help="configuration of the first run")
    parser.add_argument("--start", help="what the first run begins with, in the place of its configuration's")
    parser.add_argument("--second", default="configs/face-v2/3-generations.toml", help="of the second; empty: none")
    parser.add_argument("--device", default="cuda", help="cuda (default), or cpu to rehearse")
    parser.add_argument("--small", action="store_true", help="few faces a step, to rehearse")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    args.out.mkdir(parents=True, exist_ok=True)
    configs = [TrainConfig.load(path) for path in (args.first, args.second) if path]
    if args.start:
        configs[0] = configs[0].changed(network={"start": args.start})
    if len(configs) == 1:
        args.second_seconds = 0
    if args.device == "cuda":
        configs = [on_cuda(one) for one in configs]
    else:
        configs = [one.changed(run={"device": "cpu", "graphs": False, "log_every": 2}) for one in configs]
    if args.small:
        small = {"batch": 6, "picture_batch": 2, "workers": 1}
        configs = [one.changed(data=small, loss={"level_faces": 1}) for one in configs]
    first, *others = configs
    start = first.network.start
    if start and ("/" in start or start.endswith(".safetensors")) and not pathlib.Path(start).exists():
        parser.error(f"the first run begins with {start}, which is not here: give --start, as --start face-v2")
    others = [one.changed(network={"start": f"{first.run.out}/checkpoint"}) for one in others]
    if first.data.faces != first.data.pictures:
        make_crops(first)
    folder = pathlib.Path(first.run.out)
    stop = end - args.second_seconds - RESERVE
    constant = {"integers_from": 1.0, "final_learning_rate": first.schedule.learning_rate}
    paced = first.changed(run=PACED, schedule={"steps": PACE_STEPS, **constant})
    try:
        trainer = run(paced, PACE_SECONDS)
    except Exception:
        if not first.run.graphs:
            raise
        traceback.print_exc()  # a step that can't be captured still trains, in larger batches for fewer launches
        first = first.changed(run={"graphs": False}, data=shared(first, LARGE_STEP))
        shutil.rmtree(folder, ignore_errors=True)
        trainer = run(first.changed(run=PACED), PACE_SECONDS)
    faces = first.data.batch + first.data.picture_batch
    rate = pace(folder, faces)
    steps = trainer.step + int(rate * max(0.0, stop - time.monotonic() - RESERVE))
    print(f"{rate:.2f} steps/s after {trainer.step}: {steps} in all", flush=True)
    run(first.changed(schedule={"steps": steps}), stop + RESERVE / 2 - time.monotonic())
    keep(folder, args.out)
    try:
        for second in others:
            run(second, end - 6 - time.monotonic())
            keep(pathlib.Path(second.run.out), args.out)
    except Exception:  # the first run's network is worth having without it
        traceback.print_exc()
    print(json.dumps({"left": round(end - time.monotonic(), 1)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
