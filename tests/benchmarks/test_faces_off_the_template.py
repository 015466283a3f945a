"""benchmarks/large_faces.py, levels_by_hand.py and level_map.py on one photo: their tables, what they say of the
levels, their errors."""

import large_faces
import level_map
import levels_by_hand
import numpy as np
import pytest
from evaluate_faces import write_recognizer
from PIL import Image

from lfic.align import align, template_matrix, warp
from lfic.codec import load_codec
from lfic.encoder.draft import estimate_bits, first_drafts
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
    assert [row["at_landmarks"] for row in (level1, face1)] == [1, 1] and level1["elsewhere"] == 1
    assert 1 < face1["elsewhere"] < 2  # parts of the face hold no landmark


def test_savings_against_the_best_uniform_level():
    """Bytes at equal measure: between the points by logarithms, of the cheapest level, nothing beyond them."""

    def row(levels, size, similarity, psnr, at=1):
        return {"levels": levels, "quality": at, "bytes": size, "similarity": similarity, "psnr_db": psnr}

    level1, level2 = levels_by_hand.UNIFORM["level1"], levels_by_hand.UNIFORM["level2"]
    rows = [row(level1, 100, 0.4, 20), row(level1, 400, 0.8, 30), row(level2, 110, 0.3, 22), row(level2, 220, 0.5, 24)]
    rows += [row("the network's levels", 150, 0.6, 23), row("the network's levels", 150, 0.9, 19)]
    levels_by_hand.add_savings(rows)
    middle, outside = rows[-2:]
    assert middle["bytes_at_similarity_pct"] == pytest.approx(-25)  # level 1 takes 200, level 2 does not get there
    assert middle["bytes_at_psnr_db_pct"] == pytest.approx(100 * (150 / (100 * 4**0.3) - 1))  # level 2 takes 156
    assert outside["bytes_at_similarity_pct"] is None  # no level gets there
    assert outside["bytes_at_psnr_db_pct"] == pytest.approx(50)  # no file of a level has so little: the smallest, 100
    assert rows[0]["bytes_at_similarity_pct"] is None
    alone = [row("the network's levels", 150, 0.6, 23)]
    levels_by_hand.add_savings(alone)
    assert list(alone[0]) == ["levels", "quality", "bytes", "similarity", "psnr_db"]
    finer = [row(level1, 100, 0.4, 20, 20), row(level1, 400, 0.8, 30, 40), row("the network's levels", 90, 0.3, 25)]
    levels_by_hand.add_savings(finer)
    assert finer[2]["bytes_at_similarity_pct"] is None  # level 1 at quality 10 might do
    assert finer[2]["bytes_at_psnr_db_pct"] == pytest.approx(-55)


def test_level_map(photos, results, tmp_path, capsys):
    folder, points, _ = photos
    picture = tmp_path / "map.png"
    chosen = ["--landmarks", str(points), "--qualities", "5", "40", "--picture", str(picture)]
    assert level_map.main([str(folder), *chosen]) == 0
    coarse, fine = read_csv(results / "level-map.csv")
    assert (coarse["quality"], fine["quality"]) == (5, 40)
    assert coarse["bits_a_pixel_at_landmarks"] < fine["bits_a_pixel_at_landmarks"]
    assert fine["bits_a_pixel_at_landmarks"] > fine["bits_a_pixel_elsewhere"] > 0
    assert Image.open(picture).width > 300
    assert "quality 5, level_at_landmarks " in capsys.readouterr().out


@pytest.mark.parametrize("size", [(96, 128), (100, 75), (16, 270)])
def test_bits_of_regions_are_those_of_the_picture(size):
    """Partial regions too, whatever their level."""
    rng = np.random.default_rng(4)
    pixels = np.kron(rng.integers(0, 256, (9, 17, 3)), np.ones((16, 16, 1), int)).astype(np.uint8)[: size[0], : size[1]]
    codec = load_codec("face-v2", recognizer=None)
    rows, columns = -(-size[0] // 32), -(-size[1] // 32)
    levels = rng.integers(0, 3, (1, rows, columns)).astype(np.uint8)
    (draft,) = first_drafts(codec.model, [pixels], 30, False, levels)
    found = level_map.bits_a_pixel(codec, draft)
    tall = np.minimum(32, size[0] - 32 * np.arange(rows))
    wide = np.minimum(32, size[1] - 32 * np.arange(columns))
    symbols = codec.model.context.cost(draft.symbols, draft.levels, *draft.grid, 30, False).sum()
    assert (found * tall[:, None] * wide).sum() == pytest.approx(symbols, rel=1e-5)
    assert estimate_bits(codec.model, draft) >= symbols
    assert level_map.kept(draft).sum() * 96 == draft.symbols.size


def test_regions_that_hold_landmarks():
    points = np.array([[0.0, 0.0], [31.9, 64.0], [95.9, 40.0], [400.0, -5.0], [64.0, 64.0]])
    expected = np.zeros((3, 4), bool)
    expected[0, 0] = expected[2, 0] = expected[1, 2] = expected[0, 3] = expected[2, 2] = True
    np.testing.assert_array_equal(levels_by_hand.holding(points, (3, 4)), expected)


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
