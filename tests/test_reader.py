"""A program that decodes one file: the same picture by C++ alone, without numpy, and the same errors."""

import json
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

import lfic
from lfic import decoder, reader
from lfic.format.container import DECODED_PIXELS

GOLDEN = pathlib.Path(__file__).parent / "data" / "golden"


def run(code, *args):
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_pixels_are_the_decoders(photo, tmp_path):
    """Golden files of all kinds, and a large picture in tiles."""
    (tmp_path / "tiles.lfic").write_bytes(lfic.encode(photo(1700, 1600), quality=20))
    paths = [*sorted(GOLDEN.glob("*.lfic")), tmp_path / "tiles.lfic"]
    code = """
import hashlib, json, pathlib, sys, lfic
from lfic.errors import LficError
found = {}
for name in sys.argv[1:]:
    data = pathlib.Path(name).read_bytes()
    image = lfic.decode(data)
    found[name] = image.mode, image.size, hashlib.sha256(image.tobytes()).hexdigest()
print(json.dumps([found, "numpy" in sys.modules]))
"""
    found, numpy = json.loads(run(code, *paths))
    assert not numpy and len(found) == len(paths)
    import hashlib

    for path in paths:
        image = decoder.decode(path.read_bytes())
        assert isinstance(image, Image.Image)
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        assert found[str(path)] == [image.mode, list(image.size), digest], path.stem


def test_threads_that_need_other_models_at_once():
    """Crops are decoded by one model and pictures by another, each made for the first file that needs it."""
    names = ["face-q40", "v2-wide", "v2-photo", "photo", "face-q1", "v2-square", "v2-free", "face-bare"] * 4
    code = """
import hashlib, pathlib, sys, threading, lfic
files = [pathlib.Path(name).read_bytes() for name in sys.argv[1:]]
found, together = [None] * len(files), threading.Barrier(len(files))
def work(i):
    together.wait()
    found[i] = hashlib.sha256(lfic.decode(files[i]).tobytes()).hexdigest()
threads = [threading.Thread(target=work, args=(i,)) for i in range(len(files))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*found)
"""
    index = json.loads((GOLDEN / "index.json").read_text())
    found = run(code, *(GOLDEN / f"{name}.lfic" for name in names)).split()
    assert found == [index[name]["pixels"] for name in names]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_the_first_picture_takes_little_memory():
    code = """
import re, sys, lfic
lfic.decode(open(sys.argv[1], "rb").read())
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
    assert int(run(code, GOLDEN / "face-q40.lfic")) < 50_000


def test_the_command_needs_no_numpy(tmp_path):
    code = """
import sys, lfic.cli
status = lfic.cli.main(["decode", sys.argv[1], "-o", sys.argv[2]])
sys.exit(3 if "numpy" in sys.modules else status)
"""
    run(code, GOLDEN / "face-q40.lfic", tmp_path / "face.png")
    assert Image.open(tmp_path / "face.png").tobytes() == Image.open(GOLDEN / "face-q40.png").tobytes()


@pytest.mark.parametrize(
    "change",
    ["data[:-3]", "data[:20] + b'\\x00' + data[21:]", "b''", "b'text'", "memoryview(data)[::2]", "None", "'x'"],
)
def test_errors_are_the_decoders(change):
    data = (GOLDEN / "face-q40.lfic").read_bytes()
    with pytest.raises(lfic.LficError) as expected:
        decoder.decode(eval(change, {"data": data}))
    code = f"""
import sys, lfic
data = open(sys.argv[1], "rb").read()
try:
    lfic.decode({change})
except lfic.LficError as error:
    print(type(error).__name__, error, sep="|", end="")
"""
    assert run(code, GOLDEN / "face-q40.lfic") == f"{type(expected.value).__name__}|{expected.value}"


def test_bounds():
    assert reader.DECODED_PIXELS == DECODED_PIXELS
    code = """
import sys, lfic
data = open(sys.argv[1], "rb").read()
for bound in (100, 0, -1):
    try:
        lfic.decode(data, bound)
    except (lfic.ContainerError, lfic.InvalidInputError) as error:
        print("refused")
print(lfic.decode(data, 112 * 112).size)
"""
    assert run(code, GOLDEN / "face-q40.lfic").splitlines() == ["refused"] * 3 + ["(112, 112)"]


def test_another_process_may_load_the_chain_in_python_first():
    code = """
import sys, lfic, lfic.decoder
print(lfic.decode(open(sys.argv[1], "rb").read()).size, lfic.reader.bundled.cache_info().currsize)
"""
    assert run(code, GOLDEN / "face-q40.lfic") == "(112, 112) 0\n"
