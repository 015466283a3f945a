"""Every public callable, found by walking ``__all__``, with arguments that are wrong in every usual way: it does its
work, or says what was found and what is allowed in an error of lfic's."""

import collections
import inspect
import pathlib

import numpy as np
import pytest
import torch

import lfic
from lfic import arguments, coder, errors, metric
from lfic.errors import InvalidInputError, LficError

PIXELS = torch.zeros(1, 3, 16, 16)
FACE = np.zeros((8, 8, 3), np.uint8)
TABLES = coder.Tables.from_probabilities([[0.4, 0.6]])
ONES = np.ones(2, np.int32)

# Wrong for nearly every argument; where one is right, the call does its work.
WRONG = {
    "None": None,
    "object": object(),
    "text": "text",
    "bytes": b"\xfc\x2e\x50ab",
    "negative": -1,
    "huge": 10**30,
    "nan": float("nan"),
    "infinite": float("inf"),
    "fraction": 1.5,
    "true": True,
    "list": [],
    "dict": {"a": 1},
    "no numbers": [object()],
    "empty array": np.zeros((0,), np.uint8),
    "shape": np.zeros((2, 3, 5, 7), np.float32),
    "array of nan": np.full((3,), np.nan),
    "tensor": torch.zeros(2, 2),
    "path": pathlib.Path("nowhere"),
}


def recognizer():
    return metric.Recognizer(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()), size=8)


def cases(codec):
    """Name -> (callable, arguments that are right)."""
    data = codec.encode(FACE, quality=1)
    symbols, levels = np.zeros(codec.model.context.channels, np.int16), np.zeros((1, 1), np.uint8)
    stream = coder.encode(ONES * 0, ONES * 0, TABLES)
    both = {"pixels": PIXELS, "target": PIXELS}
    context = codec.model.context
    return {
        "lfic.encode": (
            lfic.encode,
            {
                "image": FACE,
                "quality": 1,
                "max_bytes": None,
                "min_similarity": None,
                "effort": 0,
                "aligned": None,
                "checksum": True,
                "faces": None,
                "face_quality": None,
                "background_quality": None,
            },
        ),
        "lfic.decode": (lfic.decode, {"data": data, "max_pixels": 1000}),
        "lfic.probe": (lfic.probe, {"data": data, "max_pixels": 1000}),
        "lfic.load_codec": (
            lfic.load_codec,
            {"name": "face-v1", "device": "cpu", "recognizer": None, "threads": 1},
        ),
        "lfic.Codec.encode_batch": (codec.encode_batch, {"images": [FACE], "quality": 1}),
        "lfic.Codec.decode_batch": (codec.decode_batch, {"blobs": [data], "out": "numpy", "max_pixels": 1000}),
        "lfic.Codec.decode_faces": (codec.decode_faces, {"data": data, "max_pixels": 1000}),
        "lfic.Codec.region_levels": (codec.region_levels, {"image": FACE, "quality": 1, "aligned": None}),
        "lfic.Codec.probe": (codec.probe, {"data": data, "max_pixels": 1000}),
        "coder.encode": (coder.encode, {"symbols": ONES, "indexes": ONES * 0, "tables": TABLES}),
        "coder.decode": (coder.decode, {"data": stream, "indexes": ONES * 0, "tables": TABLES}),
        "coder.encode_batch": (
            coder.encode_batch,
            {"symbols": [ONES], "indexes": [ONES * 0], "tables": TABLES, "threads": 1},
        ),
        "coder.decode_batch": (
            coder.decode_batch,
            {"data": [stream], "indexes": [ONES * 0], "tables": TABLES, "threads": 1},
        ),
        "coder.encode_packed": (
            coder.encode_packed,
            {"symbols": ONES[None], "indexes": ONES * 0, "tables": TABLES, "threads": 1},
        ),
        "coder.decode_packed": (
            coder.decode_packed,
            {"data": stream, "offsets": np.array([0, len(stream)]), "indexes": ONES * 0, "tables": TABLES},
        ),
        "coder.AdaptiveBit": (coder.AdaptiveBit, {"p1": 9}),
        "coder.AdaptiveBits": (coder.AdaptiveBits, {"p1": np.ones(2, np.uint16)}),
        "coder.RangeEncoder": (coder.RangeEncoder, {}),
        "coder.RangeEncoder.encode": (
            lambda **options: coder.RangeEncoder().encode(**options),
            {"symbols": ONES, "indexes": ONES * 0, "tables": TABLES},
        ),
        "coder.RangeEncoder.encode_bypass": (
            lambda **options: coder.RangeEncoder().encode_bypass(**options),
            {"value": 1, "count": 2},
        ),
        "coder.RangeDecoder": (coder.RangeDecoder, {"data": stream}),
        "coder.Tables": (
            coder.Tables,
            {"lows": TABLES.lows, "starts": TABLES.starts, "frequencies": TABLES.frequencies},
        ),
        "coder.Tables.from_probabilities": (
            coder.Tables.from_probabilities,
            {"p": [[0.5, 0.5]], "offset": 0, "escape": 0.1},
        ),
        "coder.Tables.from_frequencies": (coder.Tables.from_frequencies, {"tables": [(0, [1, 2])]}),
        "coder.Tables.from_state": (coder.Tables.from_state, {"state": TABLES.state()}),
        "coder.ContextModel": (coder.ContextModel, {"arrays": {}, "tables": TABLES, "simd": "auto"}),
        "coder.ContextModel.encode": (
            context.encode,
            {"symbols": symbols, "levels": levels, "h": 1, "w": 1, "quality": 9, "aligned": False},
        ),
        "coder.ContextModel.decode": (
            context.decode,
            {"data": stream, "h": 1, "w": 1, "quality": 9, "aligned": False, "levels": levels},
        ),
        "metric.AdversarialMetric": (metric.AdversarialMetric, {"loss": "lsgan", "feature_matching": 0.0}),
        "metric.HybridMetric": (
            metric.HybridMetric,
            {"recognizers": None, "pixel": "mse", "pixel_weight": 1.0, "texture_weight": 0.0},
        ),
        "metric.HybridMetric.forward": (metric.HybridMetric(), {**both, "weight": torch.ones(1, 1, 16, 16)}),
        "metric.PatchDiscriminator": (metric.PatchDiscriminator, {"width": 4}),
        "metric.Recognizer": (
            metric.Recognizer,
            {
                "network": torch.nn.Flatten(),
                "size": 8,
                "mean": 0.0,
                "scale": 1.0,
                "order": "RGB",
                "name": "a",
                "unlike": 0.0,
            },
        ),
        "metric.RecognizerEnsemble": (
            metric.RecognizerEnsemble,
            {"recognizers": [recognizer(), recognizer()], "weights": [1.0, 2.0]},
        ),
        "metric.feature_distance": (metric.feature_distance, {"maps": [PIXELS], "target": [PIXELS]}),
        "metric.l1": (metric.l1, {**both, "weight": torch.ones(1, 1, 16, 16)}),
        "metric.mse": (metric.mse, {**both, "weight": None}),
        "metric.ms_ssim": (metric.ms_ssim, both),
        "metric.texture": (metric.texture, both),
        "metric.landmark_weight": (
            metric.landmark_weight,
            {"landmarks": torch.zeros(1, 5, 2), "height": 9, "width": 9, "floor": 0.2},
        ),
        "metric.load_bundled": (metric.load_bundled, {}),
        "metric.load_exported": (metric.load_exported, {"path": "nowhere.pt2"}),
        "metric.load_facenet": (metric.load_facenet, {"name": "none"}),
        "metric.load_recognizer": (metric.load_recognizer, {"text": "nowhere.pt"}),
        "metric.load_torchscript": (metric.load_torchscript, {"path": "nowhere.pt"}),
    }


# What has tests of its own: values that nobody calls, modules, and what other files walk through.
ELSEWHERE = {"lfic.Info", "lfic.Codec"} | {f"lfic.{name}" for name in vars(errors)}


def test_every_public_callable_is_tried(codec):
    found = set()
    for module in (lfic, coder, metric):
        for name in module.__all__:
            if callable(getattr(module, name)) and not inspect.ismodule(getattr(module, name)):
                found.add(f"{module.__name__.rpartition('.')[2]}.{name}")
    assert found - ELSEWHERE <= set(cases(codec))


def test_wrong_arguments_are_answered_in_words(codec):
    outcomes, wrong = collections.Counter(), []
    for name, (call, right) in cases(codec).items():
        try:
            call(**right)
        except LficError:
            assert name in ("coder.ContextModel", "lfic.load_codec") or "nowhere" in str(right) or "none" in str(right)
        for argument in right:
            for kind, value in WRONG.items():
                try:
                    call(**{**right, argument: value})
                    outcomes["done"] += 1
                except LficError as error:
                    outcomes["refused"] += 1
                    assert len(str(error)) > 15, (name, argument, kind)
                except Exception as error:
                    # The extension module's TypeError lists what a function takes.
                    if not (isinstance(error, TypeError) and "incompatible" in str(error)):
                        wrong.append(f"{name}({argument}={kind}) raised {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
    assert outcomes["refused"] > 5 * outcomes["done"], outcomes


@pytest.mark.parametrize("make", [np.int64, np.uint8, np.array, torch.tensor])
def test_numbers_of_numpy_and_torch_are_numbers(codec, make):
    data = codec.encode(FACE, quality=make(20), effort=make(0))
    assert data == codec.encode(FACE, quality=20)
    assert codec.decode(data, max_pixels=make(100)).size == FACE.shape[1::-1]


def test_single_things_are_no_lists(codec):
    for one in ("a.png", b"ab", pathlib.Path("a"), {"a": 1}, bytearray(2), 5, None):
        with pytest.raises(InvalidInputError, match="a list is needed"):
            codec.decode_batch(one)
        with pytest.raises(InvalidInputError, match="names is one .*a list is needed"):
            arguments.sequence_of("names", one)
    assert arguments.sequence_of("names", (x for x in "ab")) == ["a", "b"]


def test_metrics_tell_pixels_of_another_range_and_what_is_missing():
    with pytest.raises(InvalidInputError, match="divide them by 255"):
        metric.HybridMetric()(PIXELS, PIXELS + 128)
    with pytest.raises(InvalidInputError, match="there is no recogniser"):
        metric.HybridMetric(identity_weight=1.0)
    assert metric.HybridMetric(recognizer()).identity_weight == 1.0 and metric.HybridMetric().identity_weight == 0.0
