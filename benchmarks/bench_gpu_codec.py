"""Faces per second of encode_batch and decode_batch, 112 x 112, from and to uint8 tensors on the device, by stage.

    python benchmarks/bench_gpu_codec.py --seconds 45 --out results.csv [--device cuda]

A row is appended to the CSV as soon as it is measured, the most telling first; measuring stops when the time is up, and
what is left gets rows that say so in ``note``, as does what failed.
``stage:`` columns are milliseconds for 1,000 faces with the device waited for after each stage, so that nothing
overlaps there; faces_per_s is measured without that. The faces are one face, shifted, mirrored, brighter and darker.
"""

import argparse
import contextlib
import csv
import os
import pathlib
import platform
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import lfic
from lfic.batch import pieces
from lfic.batch.cores import cores
from lfic.batch.stages import StageClock, clocked
from lfic.codec import Codec
from lfic.format.geometry import SIDE

ASTRONAUT = pathlib.Path(lfic.__file__).parent / "assets" / "astronaut.png"
STAGES = (
    "upload",
    "analysis",
    "levels",
    "quantize",
    "decision",
    "to host",
    "headers",
    "coder",
    "container",
    "grey",
    "synthesis",
    "result",
)
FIELDS = (
    "what",
    "variant",
    "faces",
    "at_once",
    "faces_per_s",
    "bytes",
    "twice",
    "gpu_mib",
    "host_mib",
    *(f"stage:{name}" for name in STAGES),
    "device",
    "cores",
    "python",
    "torch",
    "triton",
    "note",
)
NO_TIME = "not run: no time left"
PLAN = [  # (variant, faces, at once or 0 for the codec's own)
    ("float32", 1_000, 0),
    ("float32", 10_000, 0),
    ("float32, from and to arrays", 10_000, 0),
    ("float16", 10_000, 0),
    ("float32", 10_000, 256),
    ("float32", 10_000, 1024),
    ("float32, tf32 products", 10_000, 0),
    ("bfloat16", 10_000, 0),
    ("float32, cudnn.benchmark", 10_000, 0),
    ("float16, cudnn.benchmark", 10_000, 0),
    ("float32", 10_000, 128),
    ("float32", 10_000, 64),
    ("float32", 100_000, 0),
]


def faces_on(device: torch.device, count: int) -> Tensor:
    """uint8 [count, 3, 112, 112]."""
    face = np.array(Image.open(ASTRONAUT).convert("RGB"))
    moved = [np.roll(face, (i % 5 - 2, i % 7 - 3), (0, 1)) for i in range(140)]
    moved = [f[:, ::-1] if i % 2 else f for i, f in enumerate(moved)]
    gains = np.linspace(0.7, 1.1, len(moved))[:, None, None, None]
    few = torch.from_numpy(np.clip(np.stack(moved) * gains, 0, 255).astype(np.uint8)).permute(0, 3, 1, 2).to(device)
    return few.repeat(-(-count // len(few)), 1, 1, 1)[:count]


@contextlib.contextmanager
def setting(variant: str, at_once: int) -> Iterator[None]:
    """torch and the codec as a variant wants them."""
    before = dict(pieces.PIXELS_AT_ONCE), pieces.PIECES
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    try:
        if at_once:
            pieces.PIXELS_AT_ONCE.update(dict.fromkeys(("cpu", "cuda"), at_once * SIDE**2))
            pieces.PIECES = 1
        torch.set_float32_matmul_precision("high" if "tf32" in variant else precision)
        torch.backends.cudnn.benchmark = "cudnn.benchmark" in variant
        yield
    finally:
        pieces.PIXELS_AT_ONCE.update(before[0])
        pieces.PIECES = before[1]
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark = benchmark


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device waited for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def best_of(work: Callable[[], object], device: torch.device, deadline: float) -> float:
    """The better of up to three calls within half a second or what is left."""
    best, until = seconds_of(work, device), min(deadline, time.perf_counter() + 0.5)
    for _ in range(2):
        if time.perf_counter() > until:
            break
        best = min(best, seconds_of(work, device))
    return best


def by_stage(work: Callable[[], object], device: torch.device, count: int) -> dict[str, float]:
    """Milliseconds for 1,000 faces by stage, one after the other."""
    with clocked(StageClock(device)) as clock:
        work()
    return {f"stage:{name}": round(value * 1e6 / count, 3) for name, value in clock.seconds.items()}


def machine(device: torch.device) -> dict[str, object]:
    """What every row says of where it was measured."""
    try:
        import triton

        version = triton.__version__
    except ImportError:
        version = ""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    return {
        "device": name,
        "cores": cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": version,
    }


class Rows:
    """Appends to a CSV, whose first row are the names."""

    def __init__(self, path: pathlib.Path, device: torch.device) -> None:
        self.path, self.always, self.written = path, machine(device), 0
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(",".join(FIELDS) + "\n")

    def add(self, row: dict[str, object]) -> None:
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, FIELDS, lineterminator="\n").writerow(row | self.always)
        self.written += 1
        print({key: value for key, value in row.items() if not key.startswith("stage:")}, flush=True)


def not_run(variant: str, count: int, at_once: int, note: str) -> list[dict[str, object]]:
    """Rows of both directions without figures."""
    said = {"variant": variant, "faces": count, "at_once": at_once or "auto", "note": note}
    return [{"what": what} | said for what in ("encode", "decode")]


def measure(codec: Codec, faces: Tensor, variant: str, at_once: int, rows: Rows, deadline: float) -> None:
    """Both directions: two rows."""
    device, count = faces.device, len(faces)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    arrays = "arrays" in variant
    images: Any = list(faces.permute(0, 2, 3, 1).contiguous().cpu().numpy()) if arrays else faces
    out: Any = "numpy" if arrays else "tensor"
    data: list[bytes] = codec.encode_batch(images[: 4 * max(512, at_once)])  # kernels and libraries are ready then
    codec.decode_batch(data, out=out)
    for what in ("encode", "decode"):
        if what == "encode":

            def work() -> None:
                data[:] = codec.encode_batch(images)

        else:

            def work() -> None:
                codec.decode_batch(data, out=out)

        taken = best_of(work, device, deadline)
        stages = by_stage(work, device, count) if count <= 10_000 and time.perf_counter() < deadline else {}
        rows.add(
            {
                "what": what,
                "variant": variant,
                "faces": count,
                "at_once": at_once or "auto",
                "faces_per_s": round(count / taken, 1),
                "bytes": round(sum(map(len, data)) / count, 1),
                "twice": second_passes(codec, faces) if what == "encode" and count <= 1_000 else "",
                "gpu_mib": torch.cuda.max_memory_allocated(device) >> 20 if device.type == "cuda" else "",
                "host_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
                **stages,
            }
        )


def second_passes(codec: Codec, faces: Tensor) -> float | str:
    """Which share of the faces was coded without positions as well; "" where integers stand in for the analyses and
    neither runs."""
    seen = 0

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    nets = {id(part): part.net for part in (codec.model.of(True), codec.model.of(False))}.values()
    analyses = [analysis for net in nets for analysis in (net.analysis, net.pictures) if analysis is not None]
    hooks = [analysis.register_forward_pre_hook(count) for analysis in analyses]
    try:
        codec.encode_batch(faces)
    finally:
        for hook in hooks:
            hook.remove()
    return round(seen / len(faces) - 1, 4) if seen else ""


def agreement(codec: Codec, faces: Tensor) -> bool:
    """Whether what the device wrote decodes on the CPU to the same picture, to a level or two."""
    data = codec.encode_batch(faces)
    here = codec.decode_batch(data, out="tensor").cpu().int()
    there = lfic.load_codec(device="cpu").decode_batch(data, out="tensor").int()
    worst, differing = int((here - there).abs().max()), float((here != there).float().mean())
    print(f"pixels against the CPU's: at most {worst} levels apart, {differing:.4%} differ", flush=True)
    return worst <= 2


def launches(codec: Codec, faces: Tensor, path: pathlib.Path) -> None:
    """The kernels that take longest, both ways, as a text beside the CSV."""
    from torch.profiler import ProfilerActivity, profile

    data = codec.encode_batch(faces)
    text = ""
    for name, work in (
        ("encode", lambda: codec.encode_batch(faces)),
        ("decode", lambda: codec.decode_batch(data, out="tensor")),
    ):
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            work()
            torch.cuda.synchronize(faces.device)
        events = sorted(found.key_averages(), key=lambda event: -event.self_device_time_total)
        total = sum(event.self_device_time_total for event in events)
        text += f"{name} of {len(faces)} faces: {total / 1000:.2f} ms on the device; us, calls, kernel\n"
        text += "".join(f"{e.self_device_time_total:10.1f} {e.count:6d}  {e.key[:140]}\n" for e in events[:30])
    path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=45, help="after so long no further row is begun (default 45)")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="CSV; rows are appended")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="of the coder; default: one a core")
    parser.add_argument("--most", type=int, default=1_000_000, help="leave out rows of more faces")
    args = parser.parse_args()
    deadline, device = time.perf_counter() + args.seconds, torch.device(args.device)
    if device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())
    threads, rows, wrong = args.threads or cores(), Rows(args.out, device), list[str]()
    print(f"{rows.always} {threads} threads of {os.cpu_count()}", flush=True)
    for number, (variant, count, at_once) in enumerate(PLAN):
        if count > args.most:
            continue
        expected = 2.5 * count / 20_000 if number and device.type == "cuda" else 0.0  # at the speed that is hoped for
        if time.perf_counter() + expected > deadline:
            for row in not_run(variant, count, at_once, NO_TIME):
                rows.add(row)
            continue
        precision = variant.split(",")[0]
        codec = lfic.load_codec(device=device, threads=threads, precision=precision)  # type: ignore[arg-type]
        faces, already = faces_on(device, count), rows.written
        with setting(variant, at_once):
            try:
                if number == 0 and not agreement(codec, faces[:128]):
                    wrong.append("the device's pixels are not the CPU's")
                measure(codec, faces, variant, at_once, rows, deadline)
                if number == 1 and device.type == "cuda":
                    launches(codec, faces[:2048], args.out.with_suffix(".txt"))
            except Exception as error:  # the other rows are worth having
                wrong.append(f"{variant}, {count} faces: {type(error).__name__}: {error}")
                print(wrong[-1], flush=True)
                note = f"not run: {type(error).__name__}: {(str(error) or '-').splitlines()[0][:80]}"
                for row in not_run(variant, count, at_once, note)[rows.written - already :]:
                    rows.add(row)
        del faces
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
