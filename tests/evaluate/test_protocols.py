"""Faces of other layouts: InsightFace's sets, a folder for each person, bad and hidden files; crops with a margin."""

import io
import pickle
import shutil
import time

import numpy as np
import pytest
import skimage.data
from evaluate_faces import crops
from PIL import Image

from lfic import InvalidInputError
from lfic.align import TEMPLATE_112, align
from lfic.data.recordio import Header, RecordWriter, pack
from lfic.evaluate.__main__ import main
from lfic.evaluate.crop import SPANS, cropped
from lfic.evaluate.data import draw_pairs, load_faces
from lfic.evaluate.tables import read_csv

LANDMARKS = np.array([[205.0, 101.7], [240.6, 97.4], [225.3, 117.0], [211.6, 139.2], [243.7, 135.5]])


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def people():
    """Six people of three images each: pixels and PERSON_0001.png names."""
    return crops()


def bin_file(path, people):
    """A verification set of 12 pairs."""
    pixels, _ = people
    files = [png(p) for p in pixels]
    images, same = [], []
    for k in range(6):
        images += [files[3 * k], files[3 * k + 1], files[3 * k], files[(3 * k + 5) % 18]]
        same += [True, False]
    path.write_bytes(pickle.dumps((images, same), protocol=4))
    return path


def test_a_verification_set_brings_its_pairs(people, tmp_path):
    faces = load_faces([bin_file(tmp_path / "lfw.bin", people)])
    assert len(faces) == 24 and len(faces.pairs) == 12 and faces.same.sum() == 6
    assert faces.names[:2] == ["lfw/00000", "lfw/00001"] and faces.pairs[1].tolist() == [2, 3]
    assert len(set(faces.folds.tolist())) == 10 and faces.folds[0] == 0
    np.testing.assert_array_equal(faces.pixels[1], people[0][1])


def test_a_verification_set_from_the_command_line(people, world, tmp_path):
    path = bin_file(tmp_path / "agedb_30.bin", people)
    options = ["--recognizer", str(world[3]), "--codecs", "webp:5/60", "--bootstrap", "0", "--quiet", "--no-report"]
    options += ["--looks", "0", "--cache", str(tmp_path / "c.sqlite"), "--out", str(tmp_path / "out")]
    assert main([str(path), *options]) == 0
    rows = read_csv(tmp_path / "out.csv")
    assert {row["faces"] for row in rows} == {24} and all(0 <= row["accuracy"] <= 1 for row in rows)


def test_a_hostile_verification_set_is_an_error_with_a_name(world, tmp_path, capsys):
    (tmp_path / "evil.bin").write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    assert main([str(tmp_path / "evil.bin"), "--recognizer", str(world[3]), "--quiet"]) == 2
    assert "the opcode GLOBAL is not needed" in capsys.readouterr().err


def test_a_training_set_and_pairs_drawn_from_it(people, world, tmp_path):
    pixels, _ = people
    path = tmp_path / "train.rec"
    with RecordWriter(path) as out:
        out.write(0, pack(Header((19.0, 25.0)), b""))
        for k, picture in enumerate(pixels):
            out.write(k + 1, pack(Header((k // 3, 0.0), k + 1), png(picture)))
        for person in range(6):
            out.write(19 + person, pack(Header((3 * person + 1.0, 3 * person + 4.0), person), b""))
    faces = load_faces([path], draw=10)
    assert len(faces) == 18 and faces.people.count("2") == 3 and faces.same.sum() == 10 and len(faces.pairs) == 20
    for (i, j), same in zip(faces.pairs, faces.same):
        assert (faces.people[i] == faces.people[j]) == same
    again = load_faces([path], draw=10)
    np.testing.assert_array_equal(faces.pairs, again.pairs)
    options = ["--recognizer", str(world[3]), "--codecs", "webp:5/60", "--bootstrap", "0", "--quiet", "--no-report"]
    options += ["--looks", "0", "--cache", str(tmp_path / "c.sqlite"), "--out", str(tmp_path / "out")]
    assert main([str(path), "--draw-pairs", "10", *options]) == 0
    assert "accuracy" in read_csv(tmp_path / "out.csv")[0]


def test_more_pairs_than_there_are():
    """All of them, at once: what 9 images of 3 people have."""
    names = [f"{k}" for k in range(9)]
    began = time.monotonic()
    found = draw_pairs(names, [name for person in "abc" for name in person * 3], 1_000_000)
    assert found.same.sum() == 9 and len(found.same) == 36 and time.monotonic() - began < 5
    many = draw_pairs([f"{k}" for k in range(4000)], [f"{k // 4}" for k in range(4000)], 5000)
    assert found.folds.max() == 9 and many.same.sum() == 5000 == len(many.same) // 2


def test_pairs_of_people_with_one_image_each_are_refused():
    with pytest.raises(InvalidInputError, match="of whom 0 have two"):
        draw_pairs(["a", "b"], ["x", "y"], 3)


@pytest.fixture
def folders(people, tmp_path):
    """VGGFace2's layout: n000000/0001_01.png and so on."""
    for k, picture in enumerate(people[0]):
        folder = tmp_path / "faces" / f"n{k // 3:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{k % 3 + 1:04d}_01.png")
    return tmp_path / "faces"


def test_a_folder_for_each_person(folders, tmp_path):
    (tmp_path / "pairs.txt").write_text(
        "n000000/0001_01.png n000000/0002_01.png 1\r\nn000001/0001_01.png n000002/0001_01.png 0\r\n"
    )
    faces = load_faces([folders], tmp_path / "pairs.txt")
    assert faces.names[0] == "n000000/0001_01.png" and faces.people == ["n000000", "n000000", "n000001", "n000002"]
    assert faces.pairs.tolist() == [[0, 1], [2, 3]] and faces.same.tolist() == [True, False]
    assert len(load_faces([folders])) == 18  # a/1.png and b/1.png are two faces


def test_a_name_that_could_be_two_images_is_refused(folders, tmp_path):
    (tmp_path / "pairs.txt").write_text("0001_01.png 0002_01.png 1\nn000001/0001_01.png 0003_01.png 0\n")
    with pytest.raises(InvalidInputError, match=r"0001_01 could be n00000\d/0001_01.png or n00000\d"):
        load_faces([folders], tmp_path / "pairs.txt")


def test_bad_and_hidden_files_are_left_out_and_listed(folders, tmp_path, world, capsys):
    (folders / "n000000" / "._0001_01.png").write_bytes(b"resource fork")
    bad = folders / "n000001" / "0002_01.png"
    bad.write_bytes(bad.read_bytes()[:200])
    (folders / "n000001" / "0003_01.png").write_bytes(b"no picture")
    shutil.copy(folders / "n000002" / "0001_01.png", folders / "n000002" / "phone.heic.txt")
    faces = load_faces([folders])
    assert len(faces) == 16 and len(faces.missing) == 2
    assert "n000001/0002_01.png can't be read as an image" in faces.missing[0]
    with pytest.raises(InvalidInputError, match=r"n000001/0002_01\.png"):
        load_faces([folders], strict=True)
    lines = "n000001/0001_01.png n000001/0002_01.png 1\nn000001/0001_01 n000002/0001_01 0\n"
    (tmp_path / "pairs.txt").write_text(lines)
    with pytest.raises(InvalidInputError, match=r"1 of 3 images.*n000001/0002_01 \(n000001/0002_01.png can't be read"):
        load_faces([folders], tmp_path / "pairs.txt")
    assert len(load_faces([folders], tmp_path / "pairs.txt", allow_missing=True).pairs) == 1
    options = ["--recognizer", str(world[3]), "--codecs", "webp:5", "--bootstrap", "0", "--quiet", "--no-report"]
    options += ["--looks", "0", "--cache", str(tmp_path / "c.sqlite"), "--out", str(tmp_path / "out")]
    assert main([str(folders), *options]) == 0
    assert "2 images left out: n000001/0002_01.png can't be read" in capsys.readouterr().err
    assert main([str(folders), *options, "--strict"]) == 2


def test_images_without_landmarks_are_listed(folders, tmp_path):
    """A run without pairs measures the others, and says which it left out."""
    names = sorted(path.relative_to(folders).as_posix() for path in folders.rglob("*.png"))
    np.savez(tmp_path / "points.npz", names=names[2:], landmarks=np.tile(TEMPLATE_112, (len(names) - 2, 1, 1)))
    faces = load_faces([folders], landmarks=tmp_path / "points.npz")
    assert faces.names == names[2:]
    assert faces.missing == [f"{name} (no landmarks)" for name in names[:2]]


@pytest.mark.parametrize("suffix", ["tiff", "avif"])
def test_other_kinds_of_images_are_read(people, tmp_path, suffix):
    (tmp_path / "faces").mkdir()
    Image.fromarray(people[0][0]).save(tmp_path / "faces" / f"a.{suffix}")
    assert len(load_faces([tmp_path / "faces"])) == 1


@pytest.mark.parametrize("side", [160, 224])
def test_crops_have_a_margin_and_the_same_face(side):
    picture = skimage.data.astronaut()
    crop, points = cropped(picture, LANDMARKS, side)
    assert crop.shape == (side, side, 3)
    scale = side / SPANS[side]
    # On the template the eyes are 35.2 pixels apart, and the crop's middle is that of a detector's box.
    assert np.hypot(*(points[1] - points[0])) == pytest.approx(35.24 * scale, rel=0.05)
    left = 55 - SPANS[side] / 2
    np.testing.assert_allclose(points.mean(0), ((TEMPLATE_112.mean(0) + 0.5) - [left, left + 9]) * scale - 0.5, atol=1)
    direct = np.asarray(align(Image.fromarray(picture), LANDMARKS)).astype(int)
    assert np.abs(np.asarray(align(Image.fromarray(crop), points)) - direct).mean() < 3
    assert SPANS[side] > 112


def test_crops_from_the_command_line(world, tmp_path, capsys):
    picture = skimage.data.astronaut()
    (tmp_path / "photos").mkdir()
    names = [f"Person{k}_0001.png" for k in range(3)]
    for k, name in enumerate(names):
        Image.fromarray(np.roll(picture, 5 * k, 0)).save(tmp_path / "photos" / name)
    np.savez(tmp_path / "p.npz", names=names, landmarks=np.stack([LANDMARKS + np.array([0, 5 * k]) for k in range(3)]))
    options = [str(tmp_path / "photos"), "--landmarks", str(tmp_path / "p.npz"), "--recognizer", str(world[3])]
    options += ["--codecs", "lfic-layers:20,lfic:20,webp:20", "--bootstrap", "0", "--quiet", "--no-report", "--looks"]
    options += ["1", "--cache", str(tmp_path / "c.sqlite"), "--out", str(tmp_path / "out")]
    assert main([*options, "--crop", "160"]) == 0
    rows = {row["codec"]: row for row in read_csv(tmp_path / "out.csv")}
    assert rows["uncompressed"]["bytes"] == 160 * 160 * 3
    assert set(rows) == {"uncompressed", "lfic", "lfic layers", "WebP"} and rows["WebP"]["ssimulacra2"] < 100
    assert "crops of 160 pixels" in (tmp_path / "out.csv").read_text().splitlines()[1]
    assert main([*options, "--crop", "160", "--whole"]) == 2
    assert "two sizes" in capsys.readouterr().err
