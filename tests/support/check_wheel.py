"""A wheel just built reads files to the right symbols and pixels; for cibuildwheel, where nothing is installed but what
the wheel asks for.

python check_wheel.py FOLDER_OF_GOLDEN_FILES
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image

import lfic
from lfic.format import layers, weights
from lfic.format.payload import decode_payloads


def main(folder: pathlib.Path) -> None:
    context = weights.context_model(weights.load_arrays("face-v1")[0])
    expected = json.loads((folder / "index.json").read_text())
    for path in sorted(folder.glob("*.lfic")):
        sha = hashlib.sha256()
        for stream in layers.read(path.read_bytes()).streams:
            ((symbols, levels),) = decode_payloads(context, [(stream.header, memoryview(stream.payload))])
            sha.update(levels.tobytes() + symbols.astype("<i2").tobytes())
        assert sha.hexdigest() == expected[path.stem]["symbols"], path.stem
    pictures = sorted(folder.glob("*.png"))
    assert pictures
    for path in pictures:
        shown = lfic.decode(path.with_suffix(".lfic").read_bytes())
        assert np.array_equal(np.asarray(shown), np.asarray(Image.open(path))), path.stem
        assert lfic.probe(lfic.encode(shown, quality=20)).quality == 20
    if os.name == "posix":
        subprocess.run(["dlfic", pictures[0].with_suffix(".lfic"), "-o", "checked.png"], check=True)
        assert np.array_equal(np.asarray(Image.open("checked.png")), np.asarray(Image.open(pictures[0])))
    print("all golden files read")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
