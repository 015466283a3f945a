"""Photos to faces: found, cut out, encoded; layers copied; here in one process, and once as the command."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic import cli
from lfic.bulk import FaceFinding
from lfic.data import Record, open_source
from lfic.decoder import decode_faces


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A photo of one person as it is, turned by EXIF and by its pixels; one of nobody; one that is none."""
    import skimage.data

    folder = tmp_path_factory.mktemp("photos") / "in"
    (folder / "deep").mkdir(parents=True)
    photo = Image.fromarray(skimage.data.astronaut()[:300, 60:360])
    photo.save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "deep" / "a.jpg", quality=100, subsampling=0, exif=exif)
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "lying.png")
    Image.new("RGB", (200, 180), (30, 90, 160)).save(folder / "nobody.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="module")
def found(files, tmp_path_factory):
    preview = tmp_path_factory.mktemp("preview")
    work = FaceFinding(encoding={"max_bytes": 300}, preview=str(preview))
    work.prepare()
    records = list(open_source(files))
    return {record.name: outcome for record, outcome in zip(records, work(records))}, preview


def test_a_record_for_each_face(found, files):
    outcomes, preview = found
    (made,) = outcomes["a.png"].records
    assert made.name == "a-1.lfic" and len(made.data) <= 300
    (face,) = lfic.faces.detect(Image.open(files / "a.png"))
    assert made.meta["source"] == "a.png" and made.meta["face"] == 1
    np.testing.assert_allclose(made.meta["box"], face.box, atol=0.01)
    np.testing.assert_allclose(made.meta["landmarks"], face.landmarks, atol=0.01)
    assert made.meta["probability"] == pytest.approx(face.probability, abs=1e-5)
    info = lfic.probe(made.data)
    assert (info.width, info.height, info.aligned) == (112, 112, True)
    shown = np.asarray(lfic.decode(made.data)).astype(int)
    assert np.abs(shown - np.asarray(face.crop)).mean() < 12
    assert Image.open(preview / "a.jpg").size == (300, 300) and Image.open(preview / "nobody.jpg").size == (200, 180)
    assert outcomes["nobody.png"].records == () and outcomes["nobody.png"].note == "no face"
    assert "broken.jpg" in outcomes["broken.jpg"].error


def test_turned_photos(found):
    """By EXIF: the same face at the same place. By its pixels: the place is that of the photo as it is seen."""
    outcomes, _ = found
    upright, by_exif, lying = (outcomes[name].records[0].meta for name in ("a.png", "deep/a.jpg", "lying.png"))
    np.testing.assert_allclose(by_exif["landmarks"], upright["landmarks"], atol=1.5)
    x, y = np.transpose(upright["landmarks"])
    np.testing.assert_allclose(lying["landmarks"], np.stack([y, 299 - x], 1), atol=0.02)
    left, top, right, bottom = upright["box"]
    np.testing.assert_allclose(lying["box"], [top, 299 - right, bottom, 299 - left], atol=0.02)


def test_layers_are_copied(files, codec):
    data = codec.encode(Image.open(files / "a.png"), faces="auto", quality=40)
    (face,) = codec.decode_faces(data)
    crop = codec.encode(face.image, quality=20, aligned=True)
    whole = codec.encode(Image.open(files / "nobody.png"), quality=20)
    work = FaceFinding()
    work.prepare()
    layered, single, picture, damaged = work(
        [
            Record("p", ".lfic", data),
            Record("c", ".lfic", crop),
            Record("w", ".lfic", whole),
            Record("d", ".lfic", b"x"),
        ]
    )
    (made,) = layered.records
    assert made.data[-2 - lfic.probe(data).layers[0].payload_bytes : -2] in data  # the payload, before a checksum
    assert lfic.probe(made.data).model == lfic.probe(crop).model == "face-v2"  # as an encoder writes it
    np.testing.assert_array_equal(np.asarray(codec.decode(made.data)), np.asarray(face.image))
    np.testing.assert_allclose(made.meta["landmarks"], face.landmarks, atol=0.01)
    assert "probability" not in made.meta
    assert single.records[0].data == crop
    assert picture.note == "no face" and not picture.error and damaged.error
    assert layered.note is None and single.note is None


def test_large_layers_are_copied():
    """Those of face-v2's own networks, and of face-v1's: each as an encoder writes it."""
    data = (pathlib.Path(__file__).parents[1] / "data" / "golden" / "v2-large-faces.lfic").read_bytes()
    work = FaceFinding()
    work.prepare()
    (outcome,) = work([Record("p", ".lfic", data)])
    assert [lfic.probe(made.data).aligned for made in outcome.records] == [False, False, True]
    for made, face in zip(outcome.records, decode_faces(data), strict=True):
        info = lfic.probe(made.data)
        assert made.data[1] >> 5 == 5 and info.model == "face-v2"
        np.testing.assert_array_equal(np.asarray(lfic.decode(made.data)), np.asarray(face.image))


def test_faces_of_files_that_were_coded_smaller_are_found(files, codec):
    data = codec.encode(Image.open(files / "a.png"), quality=20)
    assert lfic.probe(data).scale < 1
    work = FaceFinding()
    work.prepare()
    (outcome,) = work([Record("a", ".lfic", data)])
    assert len(outcome.records) >= 1 and not outcome.error and not outcome.note


def test_options_without_effect_on_layers_are_told(files, codec):
    data = codec.encode(Image.open(files / "a.png"), faces="auto", quality=40)
    for work in (FaceFinding(crop="square"), FaceFinding(margin=9), FaceFinding(encoding={"max_bytes": 300})):
        work.prepare()
        (layered,) = work([Record("p", ".lfic", data)])
        assert layered.records and "no effect on them" in layered.note


@pytest.mark.parametrize("crop", ["template", "square"])
def test_margins_and_squares(files, crop):
    work = FaceFinding(encoding={"quality": 20}, crop=crop, margin=24)
    work.prepare()
    (outcome,) = work([Record("a", ".png", path=str(files / "a.png"))])
    shown = lfic.decode(outcome.records[0].data)
    assert shown.size == (160, 160) and lfic.probe(outcome.records[0].data).scale == 1
    (face,) = lfic.faces.detect(Image.open(files / "a.png"))
    if crop == "square":
        left, top, right, bottom = face.box
        side = max(right - left, bottom - top) / 112 * 160
        x, y = (left + right) / 2 + 0.5, (top + bottom) / 2 + 0.5
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        expected = Image.open(files / "a.png").resize((160, 160), Image.Resampling.BICUBIC, box)
    else:
        expected = lfic.align.align(Image.open(files / "a.png"), face.landmarks, 24)
    cut = work._cut(np.asarray(Image.open(files / "a.png")), face).astype(int)  # what was encoded
    assert np.abs(cut - np.asarray(expected)).mean() < 2
    assert np.abs(np.asarray(shown) - cut).mean() < 16  # quality 20


def test_wrong_settings():
    for options, text in (
        ({"crop": "round"}, "crop is 'round'"),
        ({"margin": -1}, "margin is -1"),
        ({"least_probability": 2}, "least_probability is 2"),
        ({"margin": 8, "encoding": {"min_similarity": 0.5}}, "on the template"),
        ({"encoding": {"quality": 0}}, "quality is 0"),
    ):
        with pytest.raises(lfic.InvalidInputError, match=text):
            FaceFinding(**options).prepare()


def test_the_command(files, tmp_path, capsys):
    target = tmp_path / "faces.parquet"
    assert cli.main(["faces", str(files), "-o", str(target), "--quality", "30", "--json", "--jobs", "1"]) == 1
    out = capsys.readouterr()
    rows = [json.loads(line) for line in out.out.splitlines()]
    assert {row["source"]: row["face"] for row in rows if "face" in row} == {
        "a.png": 1,
        "deep/a.jpg": 1,
        "lying.png": 1,
    }
    assert "3 faces" in out.err and "1 failed" in out.err
    assert [json.loads(line) for line in (tmp_path / "faces.parquet.notes.jsonl").read_text().splitlines()] == [
        {"source": "nobody.png", "note": "no face"}
    ]
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(target)
    assert table.column_names == ["image", "source", "face", "box", "landmarks", "probability", "meta"]
    assert table["source"].to_pylist() == ["a.png", "deep/a.jpg", "lying.png"]
    with pytest.raises(SystemExit):
        cli.main(["faces", str(files)])
    assert cli.main(["faces", str(files), "-o", str(files / "out")]) == 1
    assert "lies in" in capsys.readouterr().err
