"""What a decode takes, bytes of memory a pixel and seconds a megapixel: crops, pictures up to 50 megapixels, and photos
with as many layers as a file can have.

    python benchmarks/bounds.py make FOLDER          # writes the files, once; minutes
    python benchmarks/bounds.py measure FOLDER       # decodes each in a process of its own, one thread; prints a table
                                                     # and writes benchmarks/results/bounds.csv

Pictures are coded at quality 100 without pooling, which is what costs most. Memory is the peak above what the process
had after its first decode. Linux.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import time

import numpy as np

from lfic.demo import ASTRONAUT
from lfic.image import open_image, to_rgb

SIDES = ((112, 112), (100, 100), (320, 320), (1000, 1000), (3200, 3200), (7071, 7071))
MANY = 64  # layers of a file
RESULTS = pathlib.Path(__file__).with_name("results") / "bounds.csv"
ONE = """
import json, pathlib, sys, time
from lfic import decoder
small, path = sys.argv[1:]
decoder.decode(pathlib.Path(small).read_bytes())
data = pathlib.Path(path).read_bytes()
status = pathlib.Path("/proc/self/status")
def kilobytes(key):
    return int(next(line for line in status.read_text().splitlines() if line.startswith(key)).split()[1])
pathlib.Path("/proc/self/clear_refs").write_text("5")
before, began = kilobytes("VmRSS"), time.process_time()
picture = decoder.decode(data)
seconds = time.process_time() - began
print(json.dumps({"pixels": picture.width * picture.height, "memory": (kilobytes("VmHWM") - before) * 1024,
                  "seconds": seconds, "bytes": len(data)}))
"""


def tiled(height: int, width: int) -> np.ndarray:
    """The face that ships, side by side, with noise."""
    face = to_rgb(open_image(ASTRONAUT))
    picture = np.tile(face, (-(-height // 112), -(-width // 112), 1))[:height, :width].astype(np.int16)
    noise = np.random.default_rng(0).integers(-6, 7, picture.shape, dtype=np.int16)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def make(folder: pathlib.Path) -> None:
    """Write the files."""
    import lfic
    from lfic.format import layers
    from lfic.format.place import Place

    folder.mkdir(parents=True, exist_ok=True)
    codec = lfic.load_codec()
    for height, width in SIDES:
        data = codec.encode(tiled(height, width), quality=100)
        (folder / f"picture-{height * width:09}.lfic").write_bytes(data)
    for size, side in ((0, 1000), (1, 1000), (2, 1300)):
        background = layers.read(codec.encode(tiled(side, side), quality=100))
        pixels = 112 << size
        stream = layers.read(codec.encode(tiled(pixels, pixels), quality=100, aligned=size == 0))
        # Over the middle, at half of its own size: the boxes may cover the picture eight times.
        place = Place(4096, 4096, 64 * (2 + size), 0)
        layer = layers.Layer(place, stream.background)
        photo = layers.Picture(side, side, background.background, 0, (layer,) * MANY)
        (folder / f"photo-{MANY}-layers-{pixels}.lfic").write_bytes(layers.write(photo))


def measure(folder: pathlib.Path) -> list[dict[str, object]]:
    """Decode every file in a process of its own."""
    paths = sorted(folder.glob("*.lfic"))
    small = next(path for path in paths if path.name == "picture-000012544.lfic")
    rows = []
    for path in paths:
        done = subprocess.run([sys.executable, "-c", ONE, str(small), str(path)], capture_output=True, check=True)
        found = json.loads(done.stdout)
        millions = found["pixels"] / 1e6
        row = {
            "file": path.stem,
            "megapixels": round(millions, 3),
            "file_bytes": found["bytes"],
            "memory_mib": round(found["memory"] / 2**20, 1),
            "bytes_a_pixel": round(found["memory"] / found["pixels"], 1),
            "seconds": round(found["seconds"], 3),
            "seconds_a_megapixel": round(found["seconds"] / millions, 2),
        }
        print("  ".join(f"{value}" for value in row.values()), flush=True)
        rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("make", "measure"))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    args = parser.parse_args()
    began = time.monotonic()
    if args.what == "make":
        make(args.folder)
    else:
        rows = measure(args.folder)
        with open(args.out, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
