"""Decoding without torch: the same pixels as the codec's, quickly, in little memory."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import decoder
from lfic.errors import ContainerError, WeightsError

GOLDEN = pathlib.Path(__file__).parent / "data" / "golden"


@pytest.mark.parametrize("name", ["face-q40", "photo", "photo-tiny", "wide"])
def test_decode_is_the_codecs(codec, name):
    data = (GOLDEN / f"{name}.lfic").read_bytes()
    found = np.asarray(lfic.decode(data))
    np.testing.assert_array_equal(found, np.asarray(codec.decode(data)))
    np.testing.assert_array_equal(found, decoder.bundled("face-v1").arrays([data], threads=2)[0])


def test_faces_are_the_codecs(codec):
    for name in ("photo", "face-q40", "face-free"):
        data = (GOLDEN / f"{name}.lfic").read_bytes()
        ours, theirs = decoder.decode_faces(data), codec.decode_faces(data)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(np.asarray(a.image), np.asarray(b.image))
            np.testing.assert_array_equal(a.matrix, b.matrix)
            assert a.quality == b.quality


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_decoding_loads_no_torch_and_little_memory():
    code = (
        "import re, sys, lfic\n"
        "image = lfic.decode(open(sys.argv[1], 'rb').read())\n"
        "heavy = [m for m in ('torch', 'safetensors', 'triton', 'scipy') if m in sys.modules]\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "print(*image.size, peak, *heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(GOLDEN / "face-q40.lfic")], capture_output=True, text=True, check=True
    )
    width, height, kilobytes, *heavy = done.stdout.split()
    assert (width, height) == ("112", "112") and heavy == []
    assert int(kilobytes) < 60_000


def test_the_command_loads_no_torch(tmp_path):
    code = (
        "import sys, lfic.cli\n"
        "status = lfic.cli.main(['decode', *sys.argv[1:]])\n"
        "sys.exit(3 if 'torch' in sys.modules else status)"
    )
    out = tmp_path / "face.png"
    subprocess.run([sys.executable, "-c", code, str(GOLDEN / "face-q40.lfic"), "-o", str(out)], check=True)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(GOLDEN / "face-q40.png")))


def test_weights_without_integers_are_refused(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    from lfic.format.weights import digest, load_arrays
    from lfic.network.restored import restored

    arrays, metadata = load_arrays("face-v1")
    kept = {k: v for k, v in restored(arrays).items() if not k.startswith("integers.")}
    path = tmp_path / "floats.safetensors"
    save_file(kept, path, {**metadata, "digest": digest(kept, metadata)})
    with pytest.raises(WeightsError, match="lfic export"):
        decoder.load(path)
    floats = lfic.load_codec(path)  # whoever has torch decodes with the float network
    assert floats.model.integers is None
    data = floats.encode(np.zeros((112, 112, 3), np.uint8))
    assert lfic.decode(data).tobytes() == floats.decode(data).tobytes()  # this process has loaded them
    monkeypatch.setattr(decoder, "private", {})
    with pytest.raises(ContainerError, match="private"):
        lfic.decode(data)
