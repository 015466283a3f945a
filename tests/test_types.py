"""The types that users see: every public name in a file of theirs, and mistakes that a checker is to tell."""

import inspect
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import lfic
from lfic import bulk, coder, errors, kernels, metric

ROOT = pathlib.Path(lfic.__file__).parent.parent

RIGHT = """
import pathlib
from typing import assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import lfic
import lfic.kernels
import lfic.pillow_plugin
from lfic import bulk, coder, errors, evaluate, faces, kernels, metric, qr
from lfic.align import align
from lfic.data import Record, open_sink, open_source
from lfic.kernels import rap_offsets, rap_quantize, rap_quantize_dense, rap_unpool
from lfic.metric.features import normalize_maps

picture = Image.new("RGB", (112, 112))
array = np.zeros((112, 112, 3), np.uint8)
tensor = torch.zeros(3, 112, 112, dtype=torch.uint8)

# ---- lfic

data = assert_type(lfic.encode(picture, quality=40), bytes)
lfic.encode(array, max_bytes=300, effort=1, aligned=True, checksum=False)
lfic.encode(tensor, min_similarity=0.5)
assert_type(lfic.decode(data), Image.Image)
lfic.decode(bytearray(data), max_pixels=1 << 20)
lfic.decode(memoryview(data))
info: lfic.Info = lfic.probe(data)
assert_type(info.levels, NDArray[np.uint8])
sizes: tuple[int, int, int, int, int] = info.width, info.height, info.quality, info.bytes, info.payload_bytes
flags: tuple[bool, bool, str] = info.aligned, info.checksum, info.model

codec: lfic.Codec = lfic.load_codec("face-v1", device="cpu", threads=2)
lfic.load_codec(pathlib.Path("my.safetensors"), device=torch.device("cpu"))
lfic.Codec("face-v1", recognizer=metric.load_torchscript("recognizer.pt"))
assert_type(codec.encode(picture, quality=40), bytes)
blobs = assert_type(codec.encode_batch([picture, array, tensor], quality=40, effort=1), list[bytes])
assert_type(codec.decode(data), Image.Image)
assert_type(codec.decode_batch(blobs), list[Image.Image])
assert_type(codec.decode_batch(blobs, out="numpy"), list[NDArray[np.uint8]])
assert_type(codec.decode_batch(blobs, out="tensor"), torch.Tensor)
assert_type(codec.probe(data), lfic.Info)
assert_type(codec.region_levels(picture, quality=40, aligned=True), NDArray[np.uint8])
assert_type(codec.embed([array, array]), torch.Tensor)
assert_type(codec.encode(picture, faces="auto", background_quality=20), bytes)
assert_type(codec.encode(picture, faces=[np.zeros((5, 2))], face_quality=30), bytes)
assert_type(codec.encode_batch([picture, array], faces=[None, [np.zeros((5, 2))]]), list[bytes])
assert_type(codec.to_bare(data), bytes)
assert_type(qr.capacity(9, "M"), int)
assert_type(lfic.qr.capacity(9), int)
(decoded_face,) = codec.decode_faces(data)
assert_type(decoded_face.image, Image.Image)
assert_type(decoded_face.landmarks, NDArray[np.float64])
assert_type(lfic.probe(data).layers[0].matrix, NDArray[np.float64])

try:
    lfic.decode(b"")
except (lfic.ContainerError, lfic.CorruptStreamError, lfic.InvalidInputError) as error:
    value: ValueError = error
except (lfic.MissingDependencyError, lfic.WeightsError, lfic.LficError) as other:
    text: str = str(other)
tree: list[type[errors.LficError]] = [
    errors.ContainerError, errors.CorruptStreamError, errors.InvalidInputError, errors.LficError,
    errors.MissingDependencyError, errors.WeightsError,
]

# ---- the coder

tables: coder.Tables = coder.Tables.from_probabilities(np.array([[0.1, 0.8, 0.1]]), offset=-1, escape=1e-4)
assert_type(coder.Tables.from_frequencies([(-1, [10, 20]), (0, np.array([1]))]), coder.Tables)
assert_type(coder.Tables.from_state(tables.state()), coder.Tables)
lows: NDArray[np.int32] = tables.lows
starts: NDArray[np.int64] = tables.starts
frequencies: NDArray[np.uint16] = tables.frequencies
count: int = len(tables)
symbols, indexes = np.zeros(4, np.int32), np.zeros(4, np.uint8)
stream = assert_type(coder.encode(symbols, indexes, tables), bytes)
assert_type(coder.decode(stream, indexes, tables), NDArray[np.int32])
streams = assert_type(coder.encode_batch([symbols], [indexes], tables, threads=2), list[bytes])
assert_type(coder.decode_batch(streams, [indexes], tables, threads=2), list[NDArray[np.int32]])
buffer, offsets = coder.encode_packed(np.zeros((2, 4), np.int16), indexes, tables, threads=2)
assert_type(coder.decode_packed(buffer, offsets, indexes, tables), NDArray[np.int32])

bit, bits = coder.AdaptiveBit(), coder.AdaptiveBits(np.array([40000, 9000], np.uint16))
p1: int = bit.p1
some: NDArray[np.uint16] = bits.p1
encoder = coder.RangeEncoder()
encoder.encode(symbols, indexes, tables)
encoder.encode_bit(True, 30000)
encoder.encode_bits(np.array([0, 1], np.uint8), np.array([0, 1], np.uint8), bits)
encoder.encode_adaptive(True, bit)
encoder.encode_bypass(5, 3)
decoder = coder.RangeDecoder(encoder.finish())
assert_type(decoder.decode(indexes, tables), NDArray[np.int32])
assert_type(decoder.decode_bit(30000), bool)
assert_type(decoder.decode_bits(np.array([0, 1], np.uint8), bits), NDArray[np.uint8])
assert_type(decoder.decode_adaptive(bit), bool)
assert_type(decoder.decode_bypass(3), int)
decoder.check_end()
at: int = decoder.position

context: coder.ContextModel = codec.model.context
levels = np.zeros((4, 4), np.uint8)
face = np.zeros(196 * context.channels, np.int16)
payload = assert_type(context.encode(face, levels, 14, 14, 40, True, coded_levels=True), bytes)
found, where = context.decode(payload, 14, 14, 40, True)
assert_type(context.decode_levels(payload, 14, 14, 40, True), NDArray[np.uint8])
index, mean = context.predict(face, levels, 14, 14, 40)
assert_type(context.cost(face, levels, 14, 14, 40), NDArray[np.float32])
payloads = context.encode_batch([(face, levels, 14, 14, 40, True), (face, levels, 14, 14, 40, True, True)], threads=2)
assert_type(context.cost_batch([(face, levels, 14, 14, 40, True)]), list[NDArray[np.float32]])
context.decode_batch([(payloads[0], 14, 14, 40, True, levels), (payloads[1], 14, 14, 40, True, None)], threads=2)
variant: str = context.simd
again: coder.ContextModel = coder.ContextModel({}, tables, "scalar")

# ---- the kernels, under both names

y, quality = torch.zeros(1, 16, 14, 14), torch.tensor([39])
level_map, gain = torch.zeros(1, 4, 4, dtype=torch.uint8), torch.ones(100, 3, 16)
out, counts = rap_quantize(y, level_map, gain, quality)
out, counts, chosen = kernels.rap_quantize(y, level_map, gain, quality, torch.zeros(100, 3, 16, dtype=torch.int16))
assert_type(lfic.kernels.rap_unpool(out, level_map, 1 / gain, quality, 14, 14), torch.Tensor)
assert_type(rap_unpool(out, level_map, 1 / gain, quality, 14, 14, dtype=torch.float16), torch.Tensor)
features, dense = rap_quantize_dense(y, level_map, gain, 1 / gain, quality, seed=torch.tensor([1]))
first, kept = rap_offsets(level_map, 14, 14)

# ---- the metric

pixels = torch.rand(1, 3, 112, 112)
recognizer: metric.Recognizer = metric.Recognizer(torch.nn.Flatten(), size=112, mean=0.5, scale=[1.0, 1.0, 1.0])
for one in (
    metric.load_recognizer("facenet:vggface2"),
    metric.load_bundled(),
    metric.load_exported("recognizer.pt2"),
    metric.load_facenet("vggface2", path="facenet.pt"),
    metric.load_torchscript(pathlib.Path("recognizer.pt"), "cpu", order="BGR"),
):
    assert_type(one, metric.Recognizer)
both = metric.RecognizerEnsemble([recognizer, recognizer], [2.0, 1.0])
embedding, maps = recognizer.describe(pixels)
assert_type(metric.feature_distance(normalize_maps(maps), normalize_maps(maps)), torch.Tensor)
weight = assert_type(metric.landmark_weight(torch.zeros(1, 5, 2), 112, 112), torch.Tensor)
for term in (metric.l1, metric.mse, metric.texture):
    assert_type(term(pixels, pixels, weight), torch.Tensor)
assert_type(metric.ms_ssim(pixels, pixels), torch.Tensor)
discriminator = metric.PatchDiscriminator(width=16)
adversarial = metric.AdversarialMetric("hinge", 1.0, discriminator)
one_hot = torch.zeros(1, 3, 4, 4)
assert_type(adversarial.discriminator_loss(pixels, pixels, one_hot), torch.Tensor)
metric.HybridMetric(recognizer)
metric.HybridMetric([(recognizer, 1.0), recognizer], feature_weight=0.5)
hybrid = metric.HybridMetric(both, pixel="l1", pixel_weight=30.0, adversarial_weight=0.1, adversarial=adversarial)
terms = hybrid.forward(pixels, pixels, weight, levels=one_hot)
parts: list[torch.Tensor] = [terms.total, terms.pixel, terms.identity, terms.features, terms.texture, terms.adversarial]

# ---- faces, alignment, many files, Pillow

for face_found in faces.detect(picture, device="cpu", least_probability=0.9):
    assert_type(face_found, faces.Face)
    crop: Image.Image = face_found.crop
    box: NDArray[np.float32] = face_found.box
    probability: float = face_found.probability
    aligned: Image.Image = align(picture, face_found.landmarks, margin=8)
for result in bulk.encode_files(["a.png", pathlib.Path("b.png")], "out/", workers=4, quality=40, effort=1):
    assert_type(result, bulk.Result)
for result in bulk.decode_files([result.target], pathlib.Path("out"), overwrite=True, max_pixels=1 << 20):
    report: tuple[pathlib.Path, pathlib.Path, int, str | None] = (
        result.source, result.target, result.bytes, result.error
    )
going = bulk.transcode("photos", "faces.parquet", quality=40, resume=True, jobs=2)
assert_type(next(going), bulk.RecordResult)
with open_sink("faces.tar", shard_bytes=1 << 20) as sink:
    for record in open_source("faces.parquet"):
        sink.write(Record(record.key, record.suffix, record.data, record.meta))
picture.save("a.lfic", max_bytes=300)
module = evaluate.__name__
plugin: bool = lfic.pillow_plugin.accept(data[:16])
"""

WRONG = """
import lfic
from lfic import bulk, coder

lfic.encod(b"")
size: str = lfic.probe(b"").width
coder.encode([1, 2], [0, 0], lfic.probe(b""))
lfic.load_codec().decode_batch([b""], out="jpeg")
lfic.encode(lfic.decode(b""), qualty=40)
bulk.encode_files(["a.png"], "out", workers="two")
"""
MISTAKES = [  # line, code
    (5, "attr-defined"),
    (6, "assignment"),
    (7, "arg-type"),
    (7, "arg-type"),
    (7, "arg-type"),
    (8, "call-overload"),
    (9, "call-arg"),
    (10, "arg-type"),
]


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """(arguments, folder to run in) -> the finished process; its runs share a cache."""
    cache = tmp_path_factory.mktemp("mypy-cache")

    def run(*arguments, cwd):
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-error-summary", *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True)

    return run


def test_the_users_file_has_every_public_name():
    names = {f"lfic.{name}" for name in lfic.__all__ if not inspect.ismodule(getattr(lfic, name))}
    for module in (coder, kernels, metric):
        names |= {f"{module.__name__.removeprefix('lfic.')}.{name}" for name in module.__all__}
    names |= {f"errors.{name}" for name, value in vars(errors).items() if inspect.isclass(value)}
    names |= {f"codec.{name}" for name in vars(lfic.Codec) if not name.startswith("_")}
    names |= {f"bulk.{function.__name__}" for function in (bulk.encode_files, bulk.decode_files, bulk.Result)}
    used = set(re.findall(r"\w+\.\w+", RIGHT)) | {f"kernels.{name}" for name in re.findall(r"rap_\w+", RIGHT)}
    assert not sorted(names - used)
    modules = {name for name in lfic.__all__ if inspect.ismodule(getattr(lfic, name))}
    assert modules <= {name.split(".")[0] for name in used}


@pytest.mark.slow
def test_right_uses_pass_the_strict_checker(mypy, tmp_path):
    (tmp_path / "right.py").write_text(RIGHT)
    done = mypy("--strict", "right.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_wrong_uses_are_told(mypy, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    done = mypy("--strict", "wrong.py", cwd=tmp_path)
    found = re.findall(r"^wrong\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert [(int(line), code) for line, code in found] == MISTAKES, done.stdout + done.stderr


@pytest.mark.slow
def test_the_package_passes_its_own_settings(mypy):
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("not a source tree")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["strict"] is True
    done = mypy(cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
