"""benchmarks/generations.py: what it counts, and its table."""

import generations
import numpy as np
import pytest
from evaluate_faces import write_recognizer
from PIL import Image

from lfic.align import TEMPLATE_112
from lfic.evaluate.tables import read_csv


def test_psnr():
    black = np.zeros((4, 4, 3), np.uint8)
    assert generations.psnr(black, black + 5) == pytest.approx(20 * np.log10(255 / 5))
    assert generations.psnr(black, black) > 100


def test_a_table(face, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.RESULTS", tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = np.pad(face, ((20, 28), (24, 16), (0, 0)), mode="reflect")
    Image.fromarray(photo).save(folder / "one.png")
    np.savez(tmp_path / "landmarks.npz", names=np.array(["one.png"]), landmarks=TEMPLATE_112[None] + [24, 20])
    chosen = ["--landmarks", str(tmp_path / "landmarks.npz"), "--recognizer", str(write_recognizer(tmp_path / "r.pt"))]
    assert generations.main([str(folder), *chosen, "--qualities", "30", "--webp", "20"]) == 0
    rows = read_csv(tmp_path / "generations.csv")
    assert [row["generation"] for row in rows if row["kind"] == "crop" and row["codec"] == "lfic"] == [1, 2, 4, 8]
    assert {row["kind"] for row in rows} == {"crop", "photo"} and {row["codec"] for row in rows} == {"lfic", "webp"}
    assert all(0 <= row["settled"] <= 1 for row in rows if row["generation"] > 1)
    assert all(row["similarity"] < 1.001 and 15 < row["psnr_db"] < 60 for row in rows)
    assert "photo, webp, quality 20, generation 8:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        generations.main([str(folder), *chosen, "--count", "0"])
    assert "needed is 1 or more" in capsys.readouterr().err
