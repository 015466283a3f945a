"""Commands on photos with faces: found, told, written."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import cli


@pytest.fixture
def photo(tmp_path):
    """A photo of one person, 300 x 300."""
    import skimage.data

    path = tmp_path / "photo.jpg"
    Image.fromarray(skimage.data.astronaut()[:300, 60:360]).save(path, quality=95)
    return path


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_photos_face_becomes_a_layer(photo, capsys):
    assert cli.main(["encode", str(photo), "--max-bytes", "500", "--json"]) == 0
    (row,) = rows(capsys.readouterr().out)
    assert row["faces"] == 1 and row["bytes"] <= 500
    file = str(photo.with_suffix(".lfic"))
    assert cli.main(["info", file, "--json"]) == 0
    (row,) = rows(capsys.readouterr().out)
    assert len(row["faces"]) == 1 and np.shape(row["faces"][0]["matrix"]) == (2, 3) and row["size"] == "300x300"
    assert cli.main(["info", file]) == 0 and "faces 1" in capsys.readouterr().out
    assert cli.main(["decode", file]) == 0
    assert Image.open(photo.with_suffix(".png")).size == (300, 300)


def test_the_faces_alone(photo, tmp_path, capsys):
    file, folder = str(photo.with_suffix(".lfic")), tmp_path / "crops"
    assert cli.main(["encode", str(photo), "--quality", "30", "--background-quality", "5"]) == 0
    capsys.readouterr()
    assert cli.main(["decode", file, "--faces", str(folder), "--json"]) == 0
    (row,) = rows(capsys.readouterr().out)
    (crop,) = row["crops"]
    shown = np.asarray(Image.open(crop["file"]))
    (face,) = lfic.load_codec().decode_faces(photo.with_suffix(".lfic").read_bytes())
    np.testing.assert_array_equal(shown, np.asarray(face.image))
    assert cli.main(["decode", file, "--faces", str(folder)]) == 1  # it is there already
    assert "exists" in capsys.readouterr().err
    assert cli.main(["decode", file, "--faces", str(folder), "-o", "x"]) == 1
    assert "exclude each other" in capsys.readouterr().err


def test_without_the_detector_pictures_are_coded_whole_and_that_is_said(photo, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    lfic.faces.detector.cache_clear()
    assert cli.main(["encode", str(photo), "--quality", "5"]) == 0
    out = capsys.readouterr()
    assert 'pip install "lfic[faces]"' in out.err and "  faces " not in out.out
    lfic.faces.detector.cache_clear()


def test_faces_none(photo, capsys):
    assert cli.main(["encode", str(photo), "--quality", "5", "--faces", "none"]) == 0
    assert "  faces " not in capsys.readouterr().out
    assert lfic.probe(photo.with_suffix(".lfic").read_bytes()).layers == ()
