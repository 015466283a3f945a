"""benchmarks/ablation.py: its variants train from one checkpoint, and their files have the levels that they should
have."""

import sys

import ablation
import numpy as np
import pytest
from train_faces import column, config, make_pack, make_recognizer, write_toml

import lfic
from lfic.train.loop import run


def test_variants_of_one_checkpoint(tmp_path, monkeypatch, capsys):
    pack = make_pack(tmp_path)
    start = config(pack, tmp_path / "start", steps=2)
    run(start)
    toml = write_toml(tmp_path / "base.toml", start)
    common = [
        "--config",
        str(toml),
        "--start",
        f"{start.run.out}/checkpoint",
        "--steps",
        "3",
        "--runs",
        str(tmp_path / "runs"),
    ]
    monkeypatch.setattr(sys, "argv", ["ablation", "train", "level2", "full", *common])
    ablation.main()
    assert set(column(tmp_path / "runs" / "level2", "level2").values()) == {1.0}
    assert column(tmp_path / "runs" / "level2") != column(tmp_path / "runs" / "full")
    faces = np.random.default_rng(1).integers(0, 256, (2, 112, 112, 3), np.uint8)
    codec = ablation.codec_of("level2", tmp_path / "runs")
    files = codec.encode(faces, 50)
    assert np.asarray(codec.decode(files)).shape == faces.shape
    assert {level for file in files for level in lfic.probe(file).levels.ravel().tolist()} == {2}
    shared = ablation.codec_of("level1", tmp_path / "none", f"{tmp_path}/runs/full/weights.safetensors")
    assert {level for file in shared.encode(faces, 50) for level in lfic.probe(file).levels.ravel().tolist()} == {1}
    monkeypatch.setattr(
        sys, "argv", ["ablation", "evaluate", "x.tar", "--pairs", "p", "--recognizer", "r", "--weights", "face-v1"]
    )
    with pytest.raises(SystemExit):
        ablation.main()
    assert "pixels, gan would not differ from full" in capsys.readouterr().err
    monkeypatch.setattr(
        sys, "argv", ["ablation", "evaluate", "x.tar", "--pairs", "p", "--recognizer", "r", "--variants", "searched"]
    )
    with pytest.raises(SystemExit):
        ablation.main()
    assert "needs --encoder-recognizer" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["ablation", "train", "level9", *common])
    with pytest.raises(SystemExit):
        ablation.main()
    assert "no variants ['level9']" in capsys.readouterr().err


def test_searched_levels_cost_less(tmp_path, monkeypatch, face):
    """With the shipped weights and some recogniser in the objective: other levels than the head's, a smaller J."""
    codec = ablation.codec_of("searched", tmp_path, "face-v1", (5,), str(make_recognizer(tmp_path / "eyes.pt")))
    found = []
    monkeypatch.setattr(
        ablation,
        "searched",
        lambda *args, search=ablation.searched: found.append((*args, search(*args))) or found[-1][-1],
    )
    (file,) = codec.encode([face], 5)
    ((net, before, pixels, after),) = found
    assert np.array_equal(lfic.probe(file).levels, after.levels) and not np.array_equal(before.levels, after.levels)
    candidate = ablation.search.Candidate(net.model, before, pixels)
    losses = candidate.losses([(draft.levels, draft.symbols) for draft in (before, after)])
    assert losses[1] < losses[0] - ablation.search.MARGIN


def test_values_at_equal_bytes():
    rows = [{"bytes": 400, "psnr_db": 30.0}, {"bytes": 100, "psnr_db": 20.0}]
    assert ablation.at_bytes(rows, 200, "psnr_db") == pytest.approx(25.0)
    assert ablation.at_bytes(rows, 100, "psnr_db") == 20.0
    assert ablation.at_bytes(rows, 99, "psnr_db") is None and ablation.at_bytes(rows, 401, "psnr_db") is None
