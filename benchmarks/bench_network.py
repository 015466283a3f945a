"""lfic's integer networks on one core: against themselves in other instruction sets, PyTorch and ONNX Runtime on the
float networks, and other codecs; how time grows with pixels, and what 12 megapixels take; a program that decodes one
face and ends.

    lfic export face-v1 --onnx build/onnx && python benchmarks/bench_network.py --onnx build/onnx

Results: benchmarks/results/network.csv, network-pixels.csv and network-cold.csv. All contestants of a kind take turns,
so that what disturbs one disturbs all; a figure is the median of the rounds. "networks" are the transforms alone,
without files: symbols to pixels, pixels to symbols. Other codecs work as the evaluation uses them (slow, small files;
AVIF at speed 4, JPEG XL at effort 7, WebP at method 6), at the setting in the middle of their scale there.
"""

import argparse
import dataclasses
import functools
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from common import write_csv
from PIL import Image

from lfic import decoder, encoding
from lfic.errors import InvalidInputError
from lfic.format import tensors, weights
from lfic.format.integers import integer_model

FACE = pathlib.Path(decoder.__file__).parent / "assets" / "astronaut.png"  # no torch comes with it
SETS = ("scalar", "avx2", "avxvnni", "avx512", "neon")
PEERS = ("jpeg", "webp", "avif", "jxl")
BATCH, QUALITY, ROUNDS = 64, 40, 9
SAMPLE = 0.04  # seconds at least that a sample takes
SIDES = (112, 224, 448, 896, 1792)
LARGE = (3000, 4000)  # height, width: 12 megapixels

Work = Callable[[], Any]


def faces(count: int) -> np.ndarray:
    """uint8 [N, 112, 112, 3]: one face, shifted, mirrored, brighter and darker."""
    face = np.array(Image.open(FACE).convert("RGB"))
    moved = [np.roll(face, (i % 5 - 2, i % 7 - 3), (0, 1)) for i in range(count)]
    gains = np.linspace(0.7, 1.1, count)[:, None, None, None]
    return np.clip(np.stack([f[:, ::-1] if i % 2 else f for i, f in enumerate(moved)]) * gains, 0, 255).astype(np.uint8)


def picture(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3] with a face's detail everywhere."""
    face = np.array(Image.open(FACE).convert("RGB"))
    return np.tile(face, (-(-height // 112), -(-width // 112), 1))[:height, :width].copy()


def integers(simd: str) -> encoding.Encoder | None:
    """The shipped model by an instruction set; None where this machine lacks it."""
    arrays, metadata, _ = tensors.read(weights.weights_path("face-v1"))
    try:
        networks = integer_model(arrays, simd)
    except (InvalidInputError, decoder.WeightsError):
        return None
    assert networks is not None
    return encoding.Encoder(weights.context_model(arrays), networks, weights.model_number(metadata))


def in_turns(works: dict[str, Work], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each."""
    repeats, found = {}, {name: [] for name in works}
    for name, work in works.items():
        work()
        began = time.perf_counter()
        work()
        repeats[name] = max(1, int(SAMPLE / (time.perf_counter() - began)))
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            for _ in range(repeats[name]):
                work()
            found[name].append((time.perf_counter() - began) / repeats[name])
    return {name: statistics.median(times) for name, times in found.items()}


def plain_files(model: encoding.Encoder, images: Sequence[np.ndarray]) -> list[bytes]:
    """Files of a batch by one thread: all pictures through the networks together, then all through the coder."""
    from lfic.batch.rows import written
    from lfic.encoder.rate_control import in_rows

    coded = model.network.encode([(image, QUALITY, True) for image in images], 1)
    quality = np.full(len(images), QUALITY, np.int64)
    rows, levels = in_rows([symbols for symbols, _ in coded]), np.stack([levels for _, levels in coded])
    return written(model, rows, levels, quality, (112, 112), True, False, True, 1)[0]


def contestants(count: int, onnx: pathlib.Path | None) -> dict[str, dict[str, Work]]:
    """Kind of work -> name -> work on ``count`` faces."""
    import torch

    import lfic
    from lfic.evaluate.registry import CODECS

    torch.set_num_threads(1)
    images = list(faces(count))
    works: dict[str, dict[str, Work]] = {"decode": {}, "encode": {}, "networks, decode": {}, "networks, encode": {}}
    codec = lfic.load_codec("face-v1", threads=1)
    blobs = codec.encode_batch(images, quality=QUALITY, aligned=True)
    fields = codec.model.integers
    assert fields is not None
    coded = [(*both, 112, 112, QUALITY, True) for both in fields.encode([(image, QUALITY, True) for image in images])]
    for simd in SETS:
        model = integers(simd)
        if model is None:
            continue
        name = f"lfic, {simd}"
        works["decode"][name] = lambda m=model: m.arrays(blobs)
        works["encode"][name] = lambda m=model: plain_files(m, images)
        assert works["encode"][name]() == blobs
        works["networks, decode"][name] = lambda m=model: m.network.synthesize(coded, 1)
        works["networks, encode"][name] = lambda m=model: m.network.encode([(i, QUALITY, True) for i in images], 1)
    works["decode"]["lfic, load_codec()"] = lambda: codec.decode_batch(blobs, out="numpy")
    works["encode"]["lfic, load_codec()"] = lambda: codec.encode_batch(images, quality=QUALITY, aligned=True)

    floats = lfic.Codec("face-v1", threads=1)
    floats.model = dataclasses.replace(codec.model, integers=None, unit=None)
    works["decode"]["lfic, torch float32"] = lambda: floats.decode_batch(blobs, out="numpy")
    works["encode"]["lfic, torch float32"] = lambda: floats.encode_batch(images, quality=QUALITY, aligned=True)
    pixels = floats.model.tensor(images)
    q, a = floats.model.conditions(QUALITY, True, count)
    symbols = torch.from_numpy(np.stack([s for s, *_ in coded]))
    levels = torch.from_numpy(np.stack([one[1] for one in coded]))

    def by_torch() -> Any:
        with floats.model.computing():
            y = floats.model.analyze(pixels, q, a)
            return floats.model.pooled([y], floats.model.region_levels(y, q, a).numpy(), [QUALITY] * count)

    works["networks, encode"]["torch float32"] = by_torch
    works["networks, decode"]["torch float32"] = lambda: floats.model.shown(symbols, levels, q, a, 112, 112)
    if onnx is not None:
        by_onnx(works, onnx, np.stack(images), symbols.numpy(), levels.numpy())
    for key in PEERS:
        peer = CODECS[key]()
        setting = peer.settings[len(peer.settings) // 2]
        files = peer.encode(images, setting)
        works["encode"][peer.name] = lambda p=peer, s=setting: p.encode(images, s)
        works["decode"][peer.name] = lambda p=peer, f=files: p.decode(f)
    return works


def by_onnx(
    works: dict[str, dict[str, Work]], folder: pathlib.Path, images: np.ndarray, symbols: np.ndarray, levels: np.ndarray
) -> None:
    """ONNX Runtime on what ``lfic export --onnx`` wrote."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    analysis, synthesis = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ("analysis", "synthesis")
    )
    count = len(images)
    said = {"quality": np.full(count, QUALITY), "aligned": np.full(count, True)}
    grid = np.zeros((14, 14), np.uint8)

    def encode() -> Any:
        pixels = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
        return analysis.run(None, {"pixels": pixels} | said)

    def decode() -> Any:
        (shown,) = synthesis.run(None, {"symbols": symbols, "levels": levels, "grid": grid} | said)
        return np.rint(shown * 255).astype(np.uint8)

    name = f"ONNX Runtime {onnxruntime.__version__}, float32"
    works["networks, encode"][name], works["networks, decode"][name] = encode, decode


def against_others(onnx: pathlib.Path | None) -> list[dict[str, Any]]:
    """Rows of network.csv; ``ratio``: of the time to that of lfic's best instruction set."""
    rows = []
    for count in (1, BATCH):
        for kind, works in contestants(count, onnx).items():
            if count > 1:  # they take too long for what is known of them
                works = {name: work for name, work in works.items() if "scalar" not in name}
            times = in_turns(works, ROUNDS if count == 1 else 5)
            own = min(seconds for name, seconds in times.items() if name.startswith("lfic, ") and "torch" not in name)
            for name, seconds in times.items():
                rows.append(
                    {"what": kind, "by": name, "faces": count, "ms_per_face": 1000 * seconds / count,
                     "ratio": seconds / own}
                )  # fmt: skip
                print(f"{kind:18} {name:34} {count:3} faces  {1000 * seconds / count:8.3f} ms  {seconds / own:6.2f}")
    return rows


CHILD = """
import re, sys, time
sys.path.insert(0, {folder!r})
from bench_network import picture
from lfic import decoder, encoding
way, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
if way == "encode":
    model, image = encoding.load("face-v1"), picture(height, width)
    before = peak(); began = time.perf_counter()
    model.encode(image, quality=40)
else:
    data = open(sys.argv[4], "rb").read()
    model = decoder.bundled("face-v1")
    before = peak(); began = time.perf_counter()
    model.arrays([data], threads=1)
print(time.perf_counter() - began, before, peak())
"""


def by_pixels(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of network-pixels.csv: a process each, one core."""
    model = encoding.load("face-v1")
    assert model is not None
    rows = []
    for height, width in [*((side, side) for side in SIDES), LARGE]:
        path = folder / f"{height}x{width}.lfic"
        path.write_bytes(model.encode(picture(height, width), quality=QUALITY, resolution="full"))
        for way in ("decode", "encode"):
            found = []
            for _ in range(5 if height < 1000 else 1 if height > 2000 else 3):
                code = CHILD.format(folder=str(pathlib.Path(__file__).parent))
                args = [sys.executable, "-c", code, way, str(height), str(width), str(path)]
                if hasattr(os, "sched_setaffinity"):
                    core = {max(os.sched_getaffinity(0))}
                    ready = lambda core=core: os.sched_setaffinity(0, core)  # noqa: E731
                else:
                    ready = None
                done = subprocess.run(args, capture_output=True, text=True, check=True, preexec_fn=ready)
                found.append([float(value) for value in done.stdout.split()])
            seconds = statistics.median(one[0] for one in found)
            rows.append(
                {"what": way, "width": width, "height": height, "megapixels": width * height / 1e6, "seconds": seconds,
                 "ns_per_pixel": 1e9 * seconds / (width * height), "mb_before": found[0][1], "mb_peak": found[0][2]}
            )  # fmt: skip
            print(re.sub(r"[{}']", "", str(rows[-1])))
    return rows


def from_cold(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of network-cold.csv: whole processes that decode one face and end."""
    image = Image.fromarray(faces(1)[0])
    image.save(folder / "face.webp", quality=30, method=6)
    model = encoding.load("face-v1")
    assert model is not None
    (folder / "face.lfic").write_bytes(model.encode(image, quality=QUALITY))
    source, target = str(folder / "face.lfic"), str(folder / "face.png")
    commands = {
        "python, nothing": [sys.executable, "-c", "pass"],
        "python, import numpy": [sys.executable, "-c", "import numpy"],
        "lfic.decode": [sys.executable, "-c", f"import lfic; lfic.decode(open({source!r}, 'rb').read())"],
        "lfic decode": [sys.executable, "-m", "lfic", "decode", source, "-o", target],
    }
    if shutil.which("dlfic"):
        commands["dlfic"] = ["dlfic", source, "-o", target]
    if shutil.which("dwebp"):
        commands["dwebp"] = ["dwebp", "-quiet", str(folder / "face.webp"), "-o", target]

    def run(name: str) -> None:
        subprocess.run(commands[name], stdout=subprocess.DEVNULL, check=True)

    times = in_turns({name: functools.partial(run, name) for name in commands}, 15)
    peak = "import re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    told = {
        "lfic.decode": commands["lfic.decode"][2],
        "lfic decode": f"import lfic.cli; lfic.cli.main(['decode', {source!r}, '-o', {target!r}])",
    }
    rows: list[dict[str, Any]] = []
    for name, seconds in times.items():
        row = {"what": name, "ms": 1000 * seconds, "times_dwebp": "", "mb_peak": ""}
        if "dwebp" in times:
            row["times_dwebp"] = seconds / times["dwebp"]
        if name in told:
            done = subprocess.run([sys.executable, "-c", f"{told[name]}\n{peak}"], capture_output=True, text=True)
            row["mb_peak"] = int(done.stdout.split()[-1]) / 1024
        rows.append(row)
    for row in rows:
        print(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="The integer networks against others, on one core.")
    parser.add_argument("--onnx", type=pathlib.Path, help="folder that `lfic export face-v1 --onnx` wrote")
    parser.add_argument("--only", choices=("others", "pixels", "cold"), help="one of the tables")
    args = parser.parse_args()
    if args.only == "others" or args.only is None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        note = "one core; medians; 112 x 112 faces, quality 40; ratio: to lfic's fastest in the same run"
        write_csv("network", against_others(args.onnx), note)
    with tempfile.TemporaryDirectory() as folder:
        if args.only in ("cold", None):
            note = "medians of whole processes that decode one 112 x 112 face to a picture; files are cached"
            write_csv("network-cold", from_cold(pathlib.Path(folder)), note)
        if args.only in ("pixels", None):
            note = "one core; whole files at quality 40; mb_before: the process with the model loaded"
            write_csv("network-pixels", by_pixels(pathlib.Path(folder)), note)


if __name__ == "__main__":
    main()
