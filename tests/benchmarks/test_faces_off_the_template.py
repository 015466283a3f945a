"""benchmarks/large_faces.py and levels_by_hand.py on one photo: their tables, what they say of the levels, their
errors."""

import large_faces
import levels_by_hand
import numpy as np
import pytest
from evaluate_faces import write_recognizer
from PIL import Image

from lfic.align import align, template_matrix, warp
from lfic.evaluate import data
from lfic.evaluate.tables import read_csv

LANDMARKS = np.array([[205.0, 101.7], [240.6, 97.4], [225.3, 117.0], [211.6, 139.2], [243.7, 135.5]])
SCALE = 1.9  # of the astronaut's picture, so that her face is larger than the template


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """(folder with one photo, its landmarks' file, a recognizer's file)."""
    import skimage.data

    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    part = Image.fromarray(skimage.data.astronaut()).crop((150, 30, 300, 190))
    points = (LANDMARKS - (150, 30)) * SCALE
    part.resize((round(150 * SCALE), round(160 * SCALE)), Image.Resampling.BICUBIC).save(folder / "images" / "a.png")
    np.savez(folder / "points.npz", names=["a.png"], landmarks=points[None].astype(np.float32))
    return folder / "images", folder / "points.npz", write_recognizer(folder / "tiny.pt")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Where the scripts write to."""
    monkeypatch.setattr("common.RESULTS", tmp_path)
    return tmp_path


def options(photos):
    folder, points, recognizer = photos
    return [str(folder), "--landmarks", str(points), "--recognizer", str(recognizer)]


def test_large_faces(photos, results, capsys):
    chosen = ["--scale", "1.2", "--small", "60", "--large", "20", "60"]
    assert large_faces.main([*options(photos), *chosen]) == 0
    plain, small, coarse, fine = read_csv(results / "large-faces.csv")
    assert (plain["side"], plain["quality"], plain["similarity"]) == (112, "", pytest.approx(1, abs=1e-4))
    assert [row["side"] for row in (small, coarse, fine)] == [112, 224, 224]
    assert small["bytes"] < fine["bytes"] and coarse["bytes"] < fine["bytes"]
    assert fine["ssimulacra2"] > coarse["ssimulacra2"] and fine["psnr_db"] > small["psnr_db"]
    assert plain["psnr_db"] > small["psnr_db"]
    assert "224 pixels, quality 60: " in capsys.readouterr().out


def test_the_square_of_224_covers_what_that_of_112_does(photos):
    folder, points, _ = photos
    faces = data.load_faces([folder], landmarks=points, whole=True)
    matrix = template_matrix(faces.landmarks[0])
    fine = np.asarray(warp(faces.photos[0], large_faces.twice(matrix), 224))
    difference = large_faces.reduced(fine).astype(int) - np.asarray(align(faces.photos[0], faces.landmarks[0]))
    assert np.abs(difference).mean() < 3
    shifted = np.roll(large_faces.reduced(fine), 1, 1).astype(int) - faces.pixels[0]
    assert np.abs(shifted).mean() > 2 * np.abs(difference).mean()  # half a pixel would show


def test_levels_by_hand(photos, results, capsys):
    chosen = ["--rules", "network", "level1", "face1", "--qualities", "30"]
    assert levels_by_hand.main([*options(photos), *chosen]) == 0
    network, level1, face1 = read_csv(results / "levels-by-hand.csv")
    assert [level1[f"level{k}"] for k in range(3)] == [0, 1, 0]
    assert face1["level0"] == 0 and 0 < face1["level1"] < 1
    assert face1["bytes"] != level1["bytes"] and face1["psnr_db"] < level1["psnr_db"] - 1
    assert face1["similarity"] == pytest.approx(level1["similarity"], abs=0.01)
    assert sum(network[f"level{k}"] for k in range(3)) == pytest.approx(1)
    assert "level 1 on the face, 2 elsewhere, quality 30: " in capsys.readouterr().out


def test_regions_of_a_face():
    """A face on 112 pixels in the corner of a larger picture: its regions and no others, fewer with a margin."""
    upright = np.array([[1.0, 0, 64], [0, 1, 32]])
    found = levels_by_hand.on_face((200, 260), upright, 0)
    expected = np.zeros((7, 9), bool)
    expected[1:5, 2:6] = True
    np.testing.assert_array_equal(found, expected)
    assert levels_by_hand.on_face((200, 260), upright, 40).sum() == 4
    levels = levels_by_hand.face_and_rest(0, 1, 2, margins=[40, 0])((200, 260), upright)
    assert np.bincount(levels.ravel()).tolist() == [4, 12, 63 - 16]


@pytest.mark.parametrize("script", [large_faces, levels_by_hand])
def test_what_they_refuse(photos, script, capsys):
    flag = "--small" if script is large_faces else "--qualities"
    for wrong, words in (
        (["--count", "0"], "--count is 0"),
        ([flag, "101"], "allowed are 1 to 100"),
        (["--recognizer", "nowhere.pt"], "nowhere.pt"),
    ):
        with pytest.raises(SystemExit):
            script.main([*options(photos), *wrong])
        assert words in capsys.readouterr().err


def test_faces_that_are_too_small_are_told(photos, capsys):
    with pytest.raises(SystemExit):
        large_faces.main([*options(photos), "--scale", "9"])
    assert "none of the 1 faces is more than 9 times" in capsys.readouterr().err
