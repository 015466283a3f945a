"""Whole pictures: what is compressed is the picture, what is judged its face."""

import numpy as np
import pytest
from PIL import Image

from lfic import InvalidInputError
from lfic.align import align
from lfic.evaluate import data
from lfic.evaluate.__main__ import main
from lfic.evaluate.cache import Cache, content_key
from lfic.evaluate.figures import summarize
from lfic.evaluate.interface import from_function
from lfic.evaluate.judges import load_judge
from lfic.evaluate.points import evaluate_point, reference_embeddings
from lfic.evaluate.tables import read_csv

LANDMARKS = np.array([[205.0, 101.7], [240.6, 97.4], [225.3, 117.0], [211.6, 139.2], [243.7, 135.5]])


@pytest.fixture
def photos(tmp_path):
    """Six photos of one person, cut from one picture, of three sizes; their landmarks; two pairs."""
    import skimage.data

    picture, names, points = skimage.data.astronaut(), [], []
    (tmp_path / "photos").mkdir()
    for k in range(6):
        left, top, side = 100 + 7 * k, 10 + 3 * k, 200 + 20 * (k // 2)
        name = f"Person{k // 2}_{k % 2 + 1:04d}.png"
        shade = (picture[top : top + side, left : left + side] * (0.6 + 0.1 * (k // 2))).astype(np.uint8)
        Image.fromarray(shade).save(tmp_path / "photos" / name)
        names.append(name)
        points.append(LANDMARKS - (left, top))
    np.savez(tmp_path / "points.npz", names=names, landmarks=np.array(points, np.float32))
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("1\t2\nPerson0\t1\t2\nPerson1\t1\t2\nPerson0\t1\tPerson1\t2\nPerson1\t1\tPerson2\t2\n")
    return tmp_path / "photos", pairs, tmp_path / "points.npz"


def test_the_judge_sees_the_face_of_what_was_decoded(photos, world):
    folder, pairs, points = photos
    _, _, _, recognizer = world
    faces = data.load_faces([folder], pairs, points, allow_missing=True, whole=True)
    assert [p.shape[0] for p in faces.photos] == [200, 200, 220, 220, 240] and len(faces) == 5
    judge, given = load_judge(recognizer), []

    def darker(pictures):
        given.extend(pictures)
        return [content_key(p).encode() for p in pictures], [p // 2 for p in pictures]

    point = evaluate_point(from_function("darker", darker, "1"), "", faces, [judge], progress=False)
    assert sorted(p.shape for p in given) == sorted(p.shape for p in faces.photos)
    crops = [align(Image.fromarray(p // 2), faces.landmarks[i]) for i, p in enumerate(faces.photos)]
    np.testing.assert_allclose(point.embeddings[judge.name], judge.embed(np.stack(crops)), atol=1e-5)
    reference = reference_embeddings(faces, [judge], Cache(), [content_key(p) for p in faces.pixels], False)
    row = summarize(point, reference, faces)[0]
    assert row["bytes"] == 24 and 0 <= row["accuracy"] <= 1
    with pytest.raises(InvalidInputError, match="give a table of landmarks"):
        data.load_faces([folder], pairs, whole=True)


def test_from_the_command_line(photos, world, tmp_path, capsys):
    folder, pairs, points = photos
    _, _, _, recognizer = world
    common = [str(folder), "--pairs", str(pairs), "--landmarks", str(points), "--recognizer", str(recognizer)]
    common += ["--allow-missing", "--bootstrap", "0", "--quiet", "--out", str(tmp_path / "out"), "--looks", "1"]
    common += ["--pictures", "1"]
    common += ["--cache", str(tmp_path / "cache.sqlite")]
    assert main([*common, "--whole", "--codecs", "lfic:5,lfic-full:5,lfic-layers:5,webp:10"]) == 0
    rows = {row["codec"]: row for row in read_csv(tmp_path / "out.csv") if row["protocol"] == "both"}
    assert set(rows) == {"uncompressed", "lfic", "lfic full", "lfic layers", "WebP"}
    assert rows["lfic layers"]["bytes"] < rows["lfic"]["bytes"] < rows["lfic full"]["bytes"]
    assert rows["lfic full"]["bytes"] < rows["WebP"]["bytes"]
    page = (tmp_path / "out.html").read_text()
    assert "against bytes, photos" in page and "ROC near 1000 bytes" in page and "2000 bytes" in page
    assert "Photos at equal bytes" in page and 'class="faces" style="--columns: 5"' in page  # all columns are in sight
    assert page.count('<img class="face"') > 10 and "Looks at equal bytes" not in page  # one setting each
    assert main([*common, "--codecs", "lfic-layers:5"]) == 2
    assert "give --whole" in capsys.readouterr().err
