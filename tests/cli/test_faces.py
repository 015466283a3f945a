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


def test_crops_of_two_files_of_one_name(photo, tmp_path, capsys):
    """They would replace each other's: nothing is written."""
    assert cli.main(["encode", str(photo), "--quality", "30"]) == 0
    files = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        files.append(str(tmp_path / name / "a.lfic"))
        (tmp_path / name / "a.lfic").write_bytes(photo.with_suffix(".lfic").read_bytes())
    crops = tmp_path / "crops"
    assert cli.main(["decode", *files, "--faces", str(crops), "--overwrite"]) == 1
    assert "would both be written to" in capsys.readouterr().err and not crops.exists()


def test_previews_replace_nothing(photo, tmp_path, capsys):
    """Neither the photos, whatever is asked for, nor other files without --overwrite."""
    pytest.importorskip("facenet_pytorch")
    before, out = photo.read_bytes(), str(tmp_path / "out")
    beside = ["faces", str(photo), "--preview", str(photo.parent), "--overwrite"]
    assert cli.main([*beside, "-o", out]) == 1
    assert "is the photo itself" in capsys.readouterr().err + (tmp_path / "out.errors.jsonl").read_text()
    assert photo.read_bytes() == before
    other = tmp_path / "shown" / "photo.jpg"
    other.parent.mkdir()
    other.write_bytes(b"mine")
    command = ["faces", str(photo), "--preview", str(other.parent), "-o"]
    assert cli.main([*command, str(tmp_path / "second")]) == 1 and other.read_bytes() == b"mine"
    assert cli.main([*command, str(tmp_path / "third"), "--overwrite"]) == 0 and other.read_bytes() != b"mine"
    assert cli.main([*command, str(tmp_path / "fourth"), "--resume"]) == 0  # its own preview is no other file


def test_a_face_replaces_no_file_that_is_read(photo, tmp_path, capsys):
    pytest.importorskip("facenet_pytorch")
    assert cli.main(["encode", str(photo), "--quality", "30"]) == 0
    data = photo.with_suffix(".lfic").read_bytes()
    for name in ("a", "a-1"):
        (tmp_path / f"{name}.lfic").write_bytes(data)
    files = [str(tmp_path / f"{name}.lfic") for name in ("a", "a-1")]
    assert cli.main(["faces", *files, "-o", str(tmp_path), "--overwrite"]) == 1
    assert "where a face of another file may replace it" in capsys.readouterr().err
    assert (tmp_path / "a-1.lfic").read_bytes() == data


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
