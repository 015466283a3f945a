"""The scripts for a GPU on a machine without one: rows of what had no time left, a profiler's lists, shares of time."""

import copy
import csv
import dataclasses
import pathlib
import re

import bench_gpu_codec
import gpu_passes
import pytest
import torch

from lfic.kernels.bench import bench

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_passes_that_had_no_time_left_are_rows(tmp_path, capsys):
    out = tmp_path / "passes.csv"
    gpu_passes.main(["--device", "cpu", "--out", str(out)])
    gpu_passes.main(["--device", "cpu", "--out", str(out), "--seconds", "-1"])
    found = rows(out)
    assert [r["call"] for r in found] == [*gpu_passes.CALLS] * 4
    half = len(found) // 2
    assert all(float(r["p50_us"]) > 0 and not r["note"] for r in found[:half])
    assert all(not r["p50_us"] and r["note"] == "not run: no time left" for r in found[half:])


def test_a_profiler_lists_what_training_does(tmp_path):
    gpu_passes.main(["--device", "cpu", "--seconds", "-1", "--profile", str(tmp_path / "profile.txt")])
    text = (tmp_path / "profile.txt").read_text()
    assert text.count("host: ") == 2 and "lfic::rap_dense_backward" in text and "N2-C16-8x8 fp16" in text
    gpu_passes.main(["--device", "cpu", "--once"])


def test_passes_are_compiled_ahead(capsys):
    assert gpu_passes.main(["--device", "cpu", "--warm", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(gpu_passes.CALLS) * len(gpu_passes.DTYPES)
    assert all(line.endswith(" s") and "Error" not in line for line in lines)


def test_a_codec_that_had_time_is_measured_by_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_gpu_codec, "PLAN", [("float32", 4, 0)])
    out = tmp_path / "codec.csv"
    monkeypatch.setattr("sys.argv", ["x", "--device", "cpu", "--out", str(out)])
    bench_gpu_codec.main()
    found = rows(out)
    assert [r["what"] for r in found] == ["encode", "decode"]
    assert all(float(r["faces_per_s"]) > 0 and float(r["stage:coder"]) > 0 and not r["note"] for r in found)


def test_a_codec_that_had_no_time_left_has_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_gpu_codec, "PLAN", [("float32", 4, 0), ("float16", 10, 64)])
    out = tmp_path / "codec.csv"
    monkeypatch.setattr("sys.argv", ["x", "--device", "cpu", "--seconds", "-1", "--out", str(out)])
    bench_gpu_codec.main()
    found = rows(out)
    assert [(r["what"], r["variant"], r["faces"], r["at_once"]) for r in found] == [
        (what, *said) for said in (("float32", "4", "auto"), ("float16", "10", "64")) for what in ("encode", "decode")
    ]
    assert all(r["note"] == "not run: no time left" and not r["faces_per_s"] and r["torch"] for r in found)

    def failing(*arguments):
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setattr(bench_gpu_codec, "agreement", failing)
    monkeypatch.setattr(bench_gpu_codec, "PLAN", bench_gpu_codec.PLAN[:1])
    monkeypatch.setattr("sys.argv", ["x", "--device", "cpu", "--out", str(tmp_path / "failed.csv")])
    with pytest.raises(SystemExit, match="out of memory"):
        bench_gpu_codec.main()
    assert [r["note"] for r in rows(tmp_path / "failed.csv")] == ["not run: RuntimeError: out of memory"] * 2


def test_second_passes_are_seen_in_both_analyses(codec):
    faces = bench_gpu_codec.faces_on(torch.device("cpu"), 3)
    assert bench_gpu_codec.second_passes(codec, faces) == ""  # a CPU's analysis is by integers
    floats = copy.copy(codec)
    template = dataclasses.replace(codec.model.template, integers=None, unit=None)
    floats.model = dataclasses.replace(codec.model, integers=None, unit=None, template=template)
    plain = bench_gpu_codec.second_passes(floats, faces)
    assert plain in (0, round(1 / 3, 4), round(2 / 3, 4), 1)
    net = copy.deepcopy(codec.model.net)
    net.pictures = copy.deepcopy(net.analysis)
    floats.model = dataclasses.replace(floats.model, net=net)
    assert bench_gpu_codec.second_passes(floats, faces) == plain
    assert not net.analysis._forward_pre_hooks and not net.pictures._forward_pre_hooks


def test_shares_of_the_suite_fit_into_its_time():
    text = (ROOT / "benchmarks" / "gpu_suite.sh").read_text()
    shares = dict(re.findall(r"(?:^|\s)(?:step|pytest) ([\w-]+) (\d+) ", text))
    warm = {"warm-lfic", "warm-passes", "warm-baselines"}  # while tests run
    beside = {"build", "tests-new", "tests-exact"} | warm  # the tests: in the place of "tests" where time is short
    whole = sum(int(seconds) for name, seconds in shares.items() if name not in beside)
    said = re.search(r"add up to (\d+)", text)
    assert said and int(said[1]) == whole <= 270
    warming = sum(int(shares[name]) for name in warm)
    tests = int(shares["tests"]) + int(shares["tests-plain"])
    assert whole + max(0, warming - tests) <= 270
    assert {"bandwidth", "passes", "contention", "ncu"} <= set(shares)
    assert int(shares["tests"]) == int(shares["tests-new"]) + int(shares["tests-exact"])
    assert list(shares).index("bandwidth") < list(shares).index("tests")


@pytest.mark.parametrize("name", ["gpu-kernels.csv", "gpu-codec.csv", "gpu-passes.csv"])
def test_results_of_a_gpu_say_what_was_not_run(name):
    """Whatever the suite would have measured has a row: figures, or words."""
    found = rows(RESULTS / name)
    figure = {"gpu-kernels.csv": "p50_us", "gpu-codec.csv": "faces_per_s", "gpu-passes.csv": "p50_us"}[name]
    assert all(bool(r[figure]) != r["note"].startswith("not run: ") for r in found)
    if name == "gpu-codec.csv":
        expected = {
            (what, variant, str(faces), str(at_once or "auto"))
            for variant, faces, at_once in bench_gpu_codec.PLAN
            for what in ("encode", "decode")
        }
        assert {(r["what"], r["variant"], r["faces"], r["at_once"]) for r in found} == expected
    elif name == "gpu-passes.csv":
        expected = {(n, d, c) for n in gpu_passes.NAMES for d in gpu_passes.DTYPES for c in gpu_passes.CALLS}
        assert {(r["shape"], r["dtype"], r["call"]) for r in found} == expected
    else:
        expected = {
            (o, s, d, w) for o in bench.OPERATIONS for s in bench.SHAPES for d in bench.DTYPES for w in ("lfic", "copy")
        }
        assert expected <= {(r["operation"], r["shape"], r["dtype"], r["what"]) for r in found}
