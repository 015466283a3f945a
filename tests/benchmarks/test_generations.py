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


def test_each_generation_is_coded_from_the_one_before(face, tmp_path, monkeypatch):
    """A coder that darkens by two levels each time, and one that changes nothing."""
    monkeypatch.setattr("common.RESULTS", tmp_path)
    steps = {20: 2, 60: 0}

    def darker(at):
        def code(pictures):
            shown = [one - np.minimum(one, steps[at]).astype(np.uint8) for one in pictures]
            return [one.tobytes() for one in shown], shown

        return code

    monkeypatch.setattr(generations, "by_webp", darker)
    chosen = photo_with_landmarks(np.maximum(face, 20), tmp_path)
    assert generations.main([*chosen, "--qualities", "30", "--webp", "20", "60"]) == 0
    rows = [row for row in read_csv(tmp_path / "generations.csv") if row["codec"] == "webp" and row["kind"] == "photo"]
    for row in rows:
        if row["quality"] == 20:
            assert row["psnr_db"] == pytest.approx(20 * np.log10(255 / (2 * row["generation"])), rel=1e-3)
            assert row["generation"] == 1 or row["settled"] == 0
        else:
            assert row["psnr_db"] > 100 and (row["generation"] == 1 or row["settled"] == 1)
    assert len(rows) == 8


def photo_with_landmarks(face, folder):
    """A photo about the face, in a folder of its own, and the options that name both."""
    (folder / "photos").mkdir()
    photo = np.pad(face, ((20, 28), (24, 16), (0, 0)), mode="reflect")
    Image.fromarray(photo).save(folder / "photos" / "one.png")
    table, net = folder / "landmarks.npz", write_recognizer(folder / "r.pt")
    np.savez(table, names=np.array(["one.png"]), landmarks=TEMPLATE_112[None] + [24, 20])
    return [str(folder / "photos"), "--landmarks", str(table), "--recognizer", str(net)]


def test_a_table(face, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.RESULTS", tmp_path)
    chosen = photo_with_landmarks(face, tmp_path)
    assert generations.main([*chosen, "--qualities", "30", "--webp", "20"]) == 0
    rows = read_csv(tmp_path / "generations.csv")
    assert [row["generation"] for row in rows if row["kind"] == "crop" and row["codec"] == "lfic"] == [1, 2, 4, 8]
    assert {row["kind"] for row in rows} == {"crop", "photo"} and {row["codec"] for row in rows} == {"lfic", "webp"}
    assert all(15 < row["psnr_db"] < 60 and row["bytes"] > 50 for row in rows)
    assert "photo, webp, quality 20, generation 8:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        generations.main([*chosen, "--count", "0"])
    assert "needed is 1 or more" in capsys.readouterr().err
