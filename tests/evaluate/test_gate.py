"""Gates for new weights: the same weights pass, worse ones fail, by the measure that they are worse in."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from lfic.evaluate.__main__ import main
from lfic.evaluate.gate import Curve, compare, compare_charts
from lfic.evaluate.tables import read_csv
from lfic.format.weights import digest, load_arrays
from lfic.network.restored import restored


def curve(shift=0.0, bytes_factor=1.0):
    generator = np.random.default_rng(1)
    size = np.array([[100.0], [200.0], [400.0]]) * generator.uniform(0.8, 1.2, 20) * bytes_factor
    psnr = np.array([[22.0], [25.0], [28.0]]) + generator.normal(0, 1, 20) + shift
    energy = np.full((3, 20), 4.0)
    return Curve(size, {"psnr_db": psnr, "pattern_energy": energy})


def test_the_same_curve_passes_and_half_a_decibel_less_fails():
    same = {row["measure"]: row for row in compare(curve(), curve(), 50)}
    assert same["psnr_db"]["difference"] == 0 and same["psnr_db"]["passes"] and same["grid_pattern"]["old"] == 2
    worse = {row["measure"]: row for row in compare(curve(), curve(-0.5), 50)}
    assert worse["psnr_db"]["difference"] == pytest.approx(-0.5) and not worse["psnr_db"]["passes"]
    assert worse["psnr_db"]["high"] < 0 and worse["grid_pattern"]["passes"]
    assert compare(curve(), curve(0.5), 50)[0]["passes"]


def test_the_comparison_is_at_equal_bytes():
    row = compare(curve(), curve(bytes_factor=1.2), 0)[0]  # the same looks for a fifth more bytes
    assert row["difference"] < -0.5 and not row["passes"]


def test_curves_without_a_common_size_do_not_pass():
    assert not compare(curve(), curve(bytes_factor=9), 0)[0]["passes"]


def test_a_pattern_fails_though_the_psnr_is_better():
    lattice = curve(0.2)
    lattice = dataclasses.replace(lattice, values=lattice.values | {"pattern_energy": np.full((3, 20), 9.0)})
    rows = {row["measure"]: row for row in compare(curve(), lattice, 20)}
    assert rows["psnr_db"]["passes"] and not rows["grid_pattern"]["passes"]
    assert rows["grid_pattern"]["difference"] == pytest.approx(1)


def test_charts_have_rows_of_their_own():
    old = {"flat green": {"largest_error": 100.0, "bytes": 600.0}}
    new = {"flat green": {"largest_error": 4.0, "bytes": 620.0}}
    assert [row["passes"] for row in compare_charts(old, new)] == [True, False]


def broken_weights(path):
    """face-v1's float networks with the last layer's colours shifted: every decoded picture is tinted."""
    whole, metadata = load_arrays("face-v1")
    arrays = {key: array for key, array in restored(whole).items() if not key.startswith("integers.")}
    last = [key for key in arrays if key.startswith("net.synthesis") and key.endswith("bias")][-1]
    arrays[last] = arrays[last] + np.linspace(0.3, -0.3, len(arrays[last])).astype(arrays[last].dtype)
    save_file(arrays, path, metadata={**metadata, "digest": digest(arrays, metadata)})
    return path


def test_from_the_command_line(world, tmp_path, capsys):
    _, images, _, recognizer = world
    common = [str(images), "--codecs", "lfic:20/50", "--looks", "3", "--bootstrap", "20", "--quiet"]
    common += ["--cache", str(tmp_path / "cache.sqlite"), "--out", str(tmp_path / "out")]
    broken = str(broken_weights(tmp_path / "broken.safetensors"))
    assert main([*common, "--gate", "face-v1", "face-v1", "--recognizer", str(recognizer)]) == 0
    rows = {row["measure"]: row for row in read_csv(tmp_path / "out-gate.csv")}
    expected = {"psnr_db", "ssimulacra2", "flip", "grid_pattern", "similarity tiny", "flat green: largest_error"}
    assert expected <= set(rows)
    assert all(row["difference"] == 0 for row in rows.values())
    capsys.readouterr()
    assert main([*common, "--gate", "face-v1", broken]) == 1
    assert "FAILS  color_error:" in capsys.readouterr().out
    assert main([*common, "--gate", "face-v1", "face-v1", "--codecs", "webp:1/2"]) == 2
    assert "weights of lfic" in capsys.readouterr().err
    assert main([str(images), "--quiet"]) == 2
    assert "give --recognizer" in capsys.readouterr().err
