"""benchmarks/looks.py: the distance of two sets of pictures, and its table."""

import looks
import numpy as np
import pytest
from evaluate_faces import write_recognizer
from PIL import Image

from lfic.evaluate.tables import read_csv


def test_the_distance_of_two_gaussians():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((4000, 3)) * [1.0, 2.0, 0.5]
    assert looks.frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert looks.frechet(one, one + np.array([3.0, 0, 4.0])) == pytest.approx(25, rel=1e-6)
    assert looks.frechet(one, 2 * one) == pytest.approx((one.std(0) ** 2).sum() + (one.mean(0) ** 2).sum(), rel=1e-2)
    turned = rng.standard_normal((4000, 3)) @ np.diag([2.0, 1.0, 0.5])
    assert looks.frechet(one, turned) == pytest.approx(2, rel=0.15)  # (1 - 2)² twice, whatever the order of the axes


def test_a_table_and_a_sheet(face, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.RESULTS", tmp_path)
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, pixels in enumerate((face, face[:, ::-1], 255 - face, face // 2)):
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{i}.png")
    chosen = ["--count", "4", "--pictures", "1", "--qualities", "20", "--sheet", str(tmp_path / "sheet.png")]
    assert looks.main([str(folder), "--recognizer", str(write_recognizer(tmp_path / "tiny.pt")), *chosen]) == 0
    halves, faithful, vivid = read_csv(tmp_path / "looks.csv")
    assert (halves["look"], faithful["look"], vivid["look"]) == ("original", "faithful", "vivid")
    assert faithful["bytes"] == vivid["bytes"] and faithful["psnr_db"] > vivid["psnr_db"]
    assert Image.open(tmp_path / "sheet.png").size == (4 * 112, 3 * 112)
    assert "quality 20, vivid:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        looks.main([str(folder), "--recognizer", "none.pt", "--count", "3"])
    assert "needed is 4 or more" in capsys.readouterr().err
