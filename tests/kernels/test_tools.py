"""What stands around the kernels: graphs over buckets of N, launch table, tuning, benchmarks."""

import concurrent.futures
import csv
import itertools
import time
import types

import pytest
import torch

from lfic.kernels import configs, rap_quantize, rap_quantize_dense, rap_unpool
from lfic.kernels.bench import baselines, bench, eager, tune, warm
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


def test_graphs_are_dropped_beyond_a_bound_and_threads_take_turns():
    double = Graphed(lambda x: x * 2, largest=8, captures=2)
    for width in (1, 2, 1, 3):
        double(torch.ones(1, width))
    assert [inputs[1][0][0] for inputs in double.captured] == [1, 3]  # the one of 2 was used longest ago
    slow = Graphed(lambda x: (time.sleep(0.002), x * 2)[1], largest=8)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: slow(torch.full((2, 3), float(i))), range(20)))
    assert [f[0, 0].item() for f in found] == [2.0 * i for i in range(20)]


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
    for each, count in ((1, 1), (16, 1), (16, 256), (256, 64), (1 << 20, 1)):
        regions, block, warps, registers = configs.tile(configs.Launch(1024, 4, 128), channels, count, each)
        assert regions & (regions - 1) == 0 and block & (block - 1) == 0 and regions * block <= 1024
        assert regions < 2 * each + 1 and 1 <= warps <= 4 and registers == 128
        # As many programs as fill a large device, unless the tiles are as small as they get.
        programs = count * -(-each // regions) * -(-channels // block)
        assert programs >= configs.FILL or regions * block <= 64


def test_work_is_spread_over_parts_of_an_image():
    device = torch.device("cpu")
    configs.spread.cache_clear()
    for count, each in ((1, 1), (2, 16), (64, 256), (1, 1 << 20)):
        parts, tile = configs.spread("dense", count, 48, each, device, 4, False)
        assert (parts - 1) * tile.regions < each <= parts * tile.regions
        few, same = configs.spread("dense", count, 48, each, device, 4, True)
        assert same == tile and 1 <= few <= parts and (few == 1 or few * count <= configs.PROGRAMS)


def test_large_work_keeps_the_launch_of_the_table():
    assert configs.tile(configs.Launch(1024, 4), 192, 256, 16) == (16, 64, 4, None)
    assert configs.tile(configs.Launch(1024, 4), 192, 64, 256) == (16, 64, 4, None)
    assert configs.tile(configs.Launch(1024, 4), 192, 1, 16) == (1, 64, 1, None)
    # Narrow accesses, whose addresses would spill: few elements, as many warps.
    assert configs.tile(configs.Launch(1024, 4), 193, 256, 16) == (4, 32, 4, None)
    assert configs.tile(configs.Launch(256, 4), 1, 256, 16) == (4, 16, 4, None)


def test_tuning_takes_what_is_fastest_over_all_shapes_and_prints_a_row_of_the_table():
    times = {c: [abs(c.elements - 512) + c.warps, 0.5 if c.registers else 2.0] for c in tune.CANDIDATES}
    times[configs.Launch(512, 2)] = [0.1, None]  # did not fit one of the shapes
    best = tune.fastest(times)
    assert best == configs.Launch(512, 2, 128)
    line = tune.row(90, "dense", (best, configs.Launch(256, 4)))
    assert eval("{" + line + "}", {"Launch": configs.Launch}) == {(90, "dense"): (best, configs.Launch(256, 4))}
    with pytest.raises(RuntimeError, match="no launch"):
        tune.fastest({c: [None] for c in tune.CANDIDATES})


def test_a_candidate_stands_in_the_table_for_its_measurement_alone():
    before, fill = dict(configs.TABLE), configs.FILL
    with tune.Placed("dense", configs.Launch(256, 1)):
        assert configs.TABLE[90, "dense"][0] == configs.Launch(256, 1) and configs.FILL == 0
        assert configs.TABLE[90, "unpool"] == before[90, "unpool"]
    assert before == configs.TABLE and fill == configs.FILL


@pytest.mark.parametrize("operation", tune.OPERATIONS)
def test_tuning_calls_every_operation_of_the_table(operation):
    for call in tune.calls(operation, "N2-C16-8x8", torch.float32, "cpu", 2):
        call()


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


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_benchmark_appends_figures_as_they_come(tmp_path, capsys):
    out, picture = tmp_path / "kernels.csv", tmp_path / "kernels.png"
    arguments = ["kernels", "--device", "cpu", "--shape", "N2-C16-9x7", "--rounds", "2", "--seconds", "0", "--copy"]
    arguments += ["--no-compile", "--refcheck", "--out", str(out)]
    assert bench.main([*arguments, "--plot", str(picture)]) == 0
    assert "quantize" in capsys.readouterr().out and picture.read_bytes().startswith(b"\x89PNG")
    rows = table(out)
    own = [r for r in rows if r["what"] == "lfic"]
    assert [r["operation"] for r in own] == list(bench.OPERATIONS) and all(r["check"] == "exact" for r in own)
    measured = [r for r in rows if "compile" not in r["what"]]
    assert all(float(r["p20_us"]) <= float(r["p50_us"]) <= float(r["p80_us"]) for r in measured)
    assert all(r["torch"] == torch.__version__ and r["machine"] and r["when"] for r in rows)
    absent = [r for r in rows if "compile" in r["what"]]
    assert len(absent) == 4 and all(r["note"] == "not run" and not r["p50_us"] for r in absent)
    # A second run goes on in the same file, and may be held against the first.
    assert bench.main([*arguments, "--ops", "dense", "--dtype", "fp16", "fp32", "--compare", str(out)]) == 0
    assert "->" in capsys.readouterr().out and len(table(out)) > len(rows)
    assert out.read_text().count("p50_us") == 1
    alone = tmp_path / "copy.csv"
    assert bench.main(["--device", "cpu", "--only-copy", "--out", str(alone)]) == 0
    assert {r["operation"] for r in table(alone)} == {"copy"} and all(r["gb_per_s"] for r in table(alone))
    for wrong in ("N9", "N0-C1-1x1"):
        with pytest.raises(SystemExit):
            bench.main(["--device", "cpu", "--shape", wrong])


def test_buffers_are_four_times_the_cache(monkeypatch):
    """Whatever N is, up to the largest caches that there are."""
    device = types.SimpleNamespace(L2_cache_size=0)
    monkeypatch.setattr(bench.torch.cuda, "get_device_properties", lambda _: device)
    for device.L2_cache_size in (m << 20 for m in (6, 40, 50, 60, 96, 128)):
        for operation, name in itertools.product(bench.OPERATIONS, bench.SHAPES):
            for dtype in bench.DTYPES.values():
                size = bench.moved(operation, bench.shape_of(name), dtype)
                assert bench.sets_for(size, "cuda") * size >= bench.L2_FACTOR * device.L2_cache_size
        for size in bench.COPY_SIZES:
            assert bench.sets_for(size, "cuda") * size >= bench.L2_FACTOR * device.L2_cache_size


def test_a_figure_stays_where_a_later_run_had_no_time(tmp_path):
    settings = {"seconds": 0.0, "shapes": ["N1-C16-4x4"], "compile": False, "operations": ["dense"], "whats": ["lfic"]}
    figures = bench.run("cpu", 1, **settings)
    late = bench.run("cpu", 1, deadline=-1.0, **settings)
    for order in ((figures, late), (late, figures)):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.csv"
        for rows in order:
            bench.append(path, rows)
        (one,) = bench.read(path)
        assert one["p50_us"] > 0 and one["note"] == ""


def test_a_run_stops_at_its_deadline_and_survives_what_fails(monkeypatch):
    settings = {"seconds": 0.0, "shapes": ["N1-C16-4x4"], "compile": False}
    told = []
    late = bench.run("cpu", 1, deadline=-1.0, dtypes=["fp32", "bf16"], report=told.append, **settings)
    assert told == late and {(r["operation"], r["dtype"]) for r in late if r["what"] == "lfic"} == {
        (operation, dtype) for operation in bench.OPERATIONS for dtype in ("fp32", "bf16")
    }
    assert all(r["note"] == "not run: no time left" and r["p50_us"] == "" and r["bytes"] for r in late)
    assert not any("compile" in r["what"] for r in late) and any(r["what"] == "eager" for r in late)
    measure = bench.measure

    def failing(operation, *arguments):
        if operation == "dense":
            raise RuntimeError("out of memory\nmore")
        return measure(operation, *arguments)

    monkeypatch.setattr(bench, "measure", failing)
    found = bench.run("cpu", 1, operations=["dense", "quantize"], **settings)
    assert found[0]["note"] == "not run: RuntimeError: out of memory" and found[0]["p50_us"] == ""
    assert found[1]["operation"] == "quantize" and found[1]["p50_us"] > 0


def test_a_result_that_differs_is_told(monkeypatch):
    monkeypatch.setattr(bench, "checked", lambda *arguments: "3 differ")
    arguments = ["--device", "cpu", "--shape", "N1-C16-4x4", "--ops", "dense", "--no-compile", "--seconds", "0"]
    assert bench.main([*arguments, "--refcheck"]) == 1


def test_rows_of_a_gpu_that_is_not_there_say_so():
    rows = bench.not_run()
    assert len(rows) == 45 and all(r["note"] == "not run" and r["p50_us"] == "" for r in rows)


def test_figures_of_a_gpu_become_rows_and_plots(tmp_path, monkeypatch):
    """All of the path but the device: buffers beyond the L2, captures that fail, shares of the copy, CSV, plots."""
    case, captured = bench.case, []
    monkeypatch.setattr(bench, "case", lambda shape, dtype, device, seed=0: case(shape, dtype, "cpu", seed))
    monkeypatch.setattr(bench, "device_name", lambda device: "cpu" if device == "cpu" else "some GPU")
    bench.surroundings.cache_clear()
    monkeypatch.setattr(
        bench.torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(L2_cache_size=1 << 17)
    )
    monkeypatch.setattr(bench, "recovered", lambda: None)
    monkeypatch.setattr(bench, "copy_time", lambda size, device, sets: [2e-6, 2e-6, 2e-6])
    monkeypatch.setattr(bench, "host_time", lambda functions: 7e-6)
    monkeypatch.setattr(bench, "peak", lambda function: 1.5)
    monkeypatch.setattr(bench, "clock", lambda device: 1980)

    def timed(functions, seconds=0.1):
        captured.append(len(functions))
        if functions[0].func is bench.eager.rap_quantize:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        functions[0](), functions[-1]()
        return [4e-6, 3e-6, 5e-6]

    monkeypatch.setattr(bench, "timed_in_graph", timed)
    monkeypatch.setattr(bench.baselines, "encoded_by_scatter", bench.eager.rap_quantize)
    shape, found = (2, 16, 14, 14), []
    for operation in bench.OPERATIONS:
        found += bench.measure(operation, "N2-C16-14x14", "fp16", "cuda", {})
    size = bench.moved("dense", shape, torch.float16)
    assert captured[0] == -(-bench.L2_FACTOR * (1 << 17) // size) > 1
    by = {(r["operation"], r["what"]): r for r in found}
    row = by["dense", "lfic"]
    assert row["device"] == "some GPU" and row["clock_mhz"] == 1980 and row["peak_mb"] == 1.5
    assert row["percent_of_copy"] == pytest.approx(50) and row["host_us"] == pytest.approx(7)
    assert row["gb_per_s"] == pytest.approx(size / 4e-6 / 1e9)
    copy = by["dense", "copy"]
    assert copy["percent_of_copy"] == pytest.approx(100) and copy["times_lfic"] == pytest.approx(0.5)
    failed = by["quantize", "eager"]
    assert failed["note"].startswith("not run: operation not permitted") and failed["p50_us"] == ""
    assert by["dense", "best compile"]["note"] == "not run"
    found.append(bench.row("dense", "N2-C16-14x14", "fp32", "cpu", "lfic", [1e-3]))
    bench.append(tmp_path / "kernels.csv", found)
    pictures = bench.plot(tmp_path / "kernels.png", bench.read(tmp_path / "kernels.csv"))
    assert [p.name for p in pictures] == ["kernels-some-gpu.png", "kernels-cpu.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    with pytest.raises(ValueError, match="nothing to plot"):
        bench.plot(tmp_path / "none.png", bench.not_run())
    bench.surroundings.cache_clear()


def test_of_several_forms_of_a_baseline_the_fastest_counts():
    new = lambda what, times, **more: bench.row("quantize", "N1-C16-4x4", "fp32", "cpu", what, times, **more)  # noqa: E731
    rows = bench.related(
        [
            new("lfic", [1e-6, 3e-6, 2e-6]),
            new("eager", [5e-6] * 3),
            new("eager ", [4e-6] * 3),
            new("best compile", (), note="not run: why"),
            new("best compile ", [6e-6] * 3),
        ]
    )
    assert {r["what"]: (r["p50_us"], r["note"]) for r in rows} == {
        "lfic": (pytest.approx(2), ""),
        "eager": (pytest.approx(4), ""),
        "best compile": (pytest.approx(6), ""),
    }
    assert rows[1]["times_lfic"] == pytest.approx(2)


def test_inputs_of_one_measurement_are_slices_of_one_batch():
    for operation in bench.OPERATIONS:
        sets = bench.arguments(operation, (2, 16, 5, 3), torch.float32, "cpu", 3)
        whole = bench.arguments(operation, (6, 16, 5, 3), torch.float32, "cpu")[0]
        for i, one in enumerate(whole):
            if (
                isinstance(one, torch.Tensor) and len(one) == 6 and (operation != "backward" or i)
            ):  # a gradient is drawn
                assert torch.equal(torch.cat([given[i] for given in sets]), one)


@pytest.mark.slow
def test_a_pool_compiles_and_ends_in_time(capfd):
    arguments = ["--device", "cpu", "--shape", "N2-C16-4x4", "--dtype", "fp32", "--workers", "1"]
    assert warm.main([*arguments, "--ops", "dense", "quantize", "--seconds", "120"]) == 0
    assert capfd.readouterr().out.count(" lfic ") == 2
    began = time.monotonic()
    assert warm.main([*arguments, "--seconds", "0.1"]) == 0
    assert time.monotonic() - began < 10 and "no time left" in capfd.readouterr().err
