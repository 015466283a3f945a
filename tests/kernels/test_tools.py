"""What stands around the kernels: graphs over buckets of N, launch table, tuning, benchmarks."""

import csv
import types

import pytest
import torch

from lfic.kernels import configs, rap_quantize, rap_quantize_dense, rap_unpool
from lfic.kernels.bench import baselines, bench, eager, tune
from lfic.kernels.graphs import Graphed, bucket


def test_buckets_are_powers_of_two_up_to_the_largest():
    assert [bucket(n, 48) for n in (1, 2, 3, 4, 5, 31, 33, 48)] == [1, 2, 4, 4, 8, 32, 48, 48]


@pytest.mark.parametrize("count", [0, 1, 3, 8, 19])
def test_graphed_calls_give_what_plain_ones_do(count):
    y, levels, gain, step, quality = bench.case((count, 16, 14, 14))
    encode = Graphed(lambda y, levels, quality: rap_quantize(y, levels, gain, quality), largest=8)
    decode = Graphed(lambda symbols, levels, quality: rap_unpool(symbols, levels, step, quality, 14, 14), largest=8)
    symbols, counts = encode(y, levels, quality)
    expected = rap_quantize(y, levels, gain, quality)
    assert torch.equal(symbols, expected[0]) and torch.equal(counts, expected[1])
    assert torch.equal(decode(symbols, levels, quality), rap_unpool(symbols, levels, step, quality, 14, 14))


def test_one_capture_serves_a_bucket_and_results_outlive_the_next_call():
    seen = []
    double = Graphed(lambda x: seen.append(len(x)) or x * 2, largest=8)
    first = double(torch.ones(3, 2))
    double(torch.zeros(4, 2))
    assert first.tolist() == [[2, 2]] * 3 and len(double.captured) == 1 and set(seen) == {4}
    double(torch.zeros(5, 2))
    double(torch.zeros(5, 2, dtype=torch.int64))
    assert len(double.captured) == 3
    with pytest.raises(ValueError, match="rows"):
        double(torch.zeros(5, 2), torch.zeros(4))
    with pytest.raises(ValueError, match="largest"):
        Graphed(lambda x: x, largest=0)


def test_launch_table_has_every_operation_for_every_architecture(monkeypatch):
    operations = {operation for _, operation in configs.TABLE}
    assert {arch for arch, _ in configs.TABLE} >= {80, 90}
    device = torch.device("cuda", 0)
    for present, row in ((80, 80), (86, 80), (90, 90), (120, 90), (75, 80)):
        monkeypatch.setattr(configs, "architecture", lambda index, present=present: present)
        for operation in operations:
            for size in (2, 4):
                assert configs.launch(operation, device, size) == configs.TABLE[row, operation][size == 4]


@pytest.mark.parametrize("channels", [1, 3, 16, 48, 64, 192, 200, 1024])
def test_tiles_are_powers_of_two_that_fit_the_work(channels):
    for regions in (1, 16, 1 << 20):
        rows, block = configs.tile(1024, channels, regions)
        assert rows & (rows - 1) == 0 and block & (block - 1) == 0 and rows * block <= 1024 and rows < 2 * regions + 1


def test_tuning_takes_the_fastest_that_fits_and_prints_a_row_of_the_table():
    times = {c: None if c.warps == 8 else abs(c.elements - 512) + c.warps for c in tune.CANDIDATES}
    best = tune.fastest(times.get)
    assert best == configs.Launch(512, 1)
    line = tune.row(90, "dense", (best, best))
    assert eval("{" + line + "}", {"Launch": configs.Launch}) == {(90, "dense"): (best, best)}
    with pytest.raises(RuntimeError, match="no launch"):
        tune.fastest(lambda c: None)


@pytest.mark.parametrize("grid", [(14, 14), (5, 3), (8, 8)])
def test_baselines_compute_the_same(grid):
    y, levels, gain, step, quality = bench.case((3, 4, *grid))
    ours = rap_quantize_dense(y, levels, gain, step, quality)
    for form in (baselines.pooled_by_layers, baselines.pooled_by_regions, eager.rap_dense):
        for a, b in zip(form(y, levels, gain, step, quality), ours):
            differing = (a - b).abs() > 1e-4  # another order of sums, another side of a half
            assert a.shape == b.shape and differing.float().mean() < 1e-2, form.__name__
    symbols, counts = baselines.encoded_by_scatter(y, levels, gain, quality)
    expected, expected_counts = rap_quantize(y, levels, gain, quality)
    assert torch.equal(counts, expected_counts) and (symbols != expected).float().mean() < 1e-2
    symbols, counts, _ = eager.rap_quantize(y, levels, gain, quality)
    assert torch.equal(symbols, expected) and torch.equal(counts, expected_counts)
    assert torch.equal(
        eager.rap_unpool(symbols, levels, step, quality, *grid), rap_unpool(symbols, levels, step, quality, *grid)
    )


def test_benchmark_writes_figures_and_says_what_was_not_run(tmp_path, capsys):
    out, picture = tmp_path / "kernels.csv", tmp_path / "kernels.png"
    arguments = [
        "kernels",
        "--device",
        "cpu",
        "--no-compile",
        "--shape",
        "N1-C64-14x14",
        "--rounds",
        "2",
        "--seconds",
        "0",
    ]
    assert bench.main([*arguments, "--out", str(out), "--plot", str(picture)]) == 0
    assert "encode" in capsys.readouterr().out and picture.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(line for line in out.read_text().splitlines() if not line.startswith("#")))
    measured = [r for r in rows if r["device"] == "cpu" and "compile" not in r["what"]]
    assert {r["operation"] for r in measured} == set(bench.OPERATIONS) and all(float(r["p50_us"]) > 0 for r in measured)
    compiled = [r for r in rows if "compile" in r["what"]]
    assert len(compiled) == 4 and all(r["note"] == "not run" and not r["p50_us"] for r in compiled)
    absent = [r for r in rows if r["device"] == "cuda"]
    assert len(absent) == 45 and all(r["note"] == "not run" and not r["p50_us"] and not r["gb_per_s"] for r in absent)
    with pytest.raises(SystemExit):
        bench.main(["--device", "cpu", "--shape", "N9"])


def test_figures_of_a_gpu_become_rows_and_a_plot(tmp_path, monkeypatch):
    """All of the path but the device: buffers beyond the L2, captures that fail, shares of the copy, CSV, plot."""
    case, captured = bench.case, []
    monkeypatch.setattr(bench, "case", lambda shape, dtype, device, seed: case(shape, dtype, "cpu", seed))
    monkeypatch.setattr(bench, "device_name", lambda device: "some GPU")
    monkeypatch.setattr(
        bench.torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(L2_cache_size=1 << 20)
    )
    monkeypatch.setattr(bench.torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(bench, "copy_time", lambda size, device, sets: [2e-6, 2e-6, 2e-6])

    def timed(functions):
        captured.append(len(functions))
        if functions[0].func is bench.eager.rap_quantize:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        functions[0]()
        return [4e-6, 3e-6, 5e-6]

    monkeypatch.setattr(bench, "timed_in_graph", timed)
    monkeypatch.setattr(bench.baselines, "encoded_by_scatter", bench.eager.rap_quantize)
    shape, found = (2, 16, 14, 14), []
    for operation in bench.OPERATIONS:
        found += bench.measure(operation, "N2-C16-14x14", shape, "fp16", "cuda", {})
    size = bench.moved("dense", shape, torch.float16)
    assert captured[0] == min(64, -(-bench.L2_FACTOR * (1 << 20) // size))
    by = {(r["operation"], r["what"]): r for r in found}
    row = by["dense", "lfic"]
    assert (
        row["device"] == "some GPU"
        and row["percent_of_copy"] == pytest.approx(50)
        and row["gb_per_s"] == pytest.approx(size / 4e-6 / 1e9)
    )
    assert by["dense", "copy"]["percent_of_copy"] == pytest.approx(100) and by["dense", "copy"][
        "times_lfic"
    ] == pytest.approx(0.5)
    assert (
        by["encode", "eager"]["note"].startswith("not run: operation not permitted")
        and by["encode", "eager"]["p50_us"] == ""
    )
    assert by["dense", "best compile"]["note"] == "not run"
    bench.write(tmp_path / "kernels.csv", found)
    bench.plot(tmp_path / "kernels.png", found)
    assert (tmp_path / "kernels.png").read_bytes().startswith(b"\x89PNG") and (
        tmp_path / "kernels.csv"
    ).read_text().count("some GPU") == len(found)
    with pytest.raises(ValueError, match="nothing to plot"):
        bench.plot(tmp_path / "none.png", bench.not_run())


def test_failed_baselines_are_named_not_measured():
    rows = bench.rows(
        "encode",
        "N",
        "fp32",
        "cpu",
        1000,
        {"lfic": [1e-6, 3e-6, 2e-6], "eager": [5e-6] * 3, "eager ": [4e-6] * 3},
        {"best compile": "not run: why"},
    )
    assert {r["what"]: (r["p50_us"], r["note"]) for r in rows} == {
        "lfic": (pytest.approx(2), ""),
        "eager": (pytest.approx(4), ""),
        "best compile": ("", "not run: why"),
    }
    assert rows[1]["times_lfic"] == pytest.approx(2) and rows[0]["gb_per_s"] == pytest.approx(0.5)
