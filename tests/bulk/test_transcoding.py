"""What workers do to records, here in one process: pictures of every kind to lfic files and back; and the command."""

import io
import json

import numpy as np
import pytest
from bulk_work import run
from PIL import Image

import lfic
from lfic import cli
from lfic.bulk import Transcoding
from lfic.cli.encoding import printable
from lfic.data import Record, open_source
from lfic.image import open_image


def file_of(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures(face):
    """A record of each kind of picture that users have, by its name."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    image = Image.fromarray(face)
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(np.asarray(face).astype(np.uint16)[:, :, 0] * 257)
    files = {
        "a.jpg": file_of(image, "JPEG", quality=95),
        "turned.jpg": file_of(image, "JPEG", exif=exif),
        "b.heic": file_of(image, "HEIF", quality=90),
        "c.avif": file_of(image, "AVIF", quality=90),
        "d.tif": file_of(image, "TIFF"),
        "e.png": file_of(wide, "PNG"),
        "f.jpg": file_of(image.convert("CMYK"), "JPEG"),
        "g.gif": file_of(image, "GIF", save_all=True, append_images=[image.rotate(9), image.rotate(20)]),
    }
    return [Record(name.partition(".")[0], "." + name.partition(".")[2], data) for name, data in files.items()]


def test_every_kind_of_picture_as_encode_has_it(pictures):
    work = Transcoding(encoding={"quality": 30})
    work.prepare()
    broken = [
        Record("empty", ".jpg", b""),
        Record("cut", ".jpg", pictures[0].data[:300]),
        Record("text", ".png", b"no picture"),
        Record("gone", ".png", path="/nowhere/a.png"),
        Record("wrong", ".png", b"", error="it is wrong"),
    ]
    outcomes = work([*pictures, *broken])
    for record, outcome in zip(pictures, outcomes):
        (made,) = outcome.records
        assert made.name == record.key + ".lfic"
        shown = np.asarray(lfic.decode(made.data)).astype(int)
        alone = lfic.encode(open_image(record.name, record.data), quality=30)
        assert np.abs(shown - np.asarray(lfic.decode(alone))).max() <= 1
    assert {r.key: o.note for r, o in zip(pictures, outcomes) if o.note} == {"g": "the first of 3 frames"}
    errors = {record.key: outcome.error for record, outcome in zip(broken, outcomes[len(pictures) :])}
    assert all(errors.values()) and "/nowhere/a.png" in errors["gone"] and errors["wrong"] == "it is wrong"


def test_back_and_through(face, codec):
    blob = codec.encode(face, quality=30)
    damaged = blob[:-3] + bytes([blob[-3] ^ 255]) + blob[-2:]
    records = [Record("a", ".lfic", blob, {"label": 3}), Record("b", ".lfic", damaged), Record("c", ".lfic", b"")]
    back = Transcoding()
    back.prepare()
    good, bad, empty = back(records)
    (made,) = good.records
    assert made.name == "a.png" and made.meta == {"label": 3}
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(made.data))), np.asarray(codec.decode(blob)))
    assert "checksum" in bad.error and "0 bytes" in empty.error
    assert back.weight(records[0]) == 2 * 112 * 112 and back.weight(records[2]) == 0
    through = Transcoding(".lfic")
    through.prepare()
    assert through(records[:1])[0].records[0].data == blob  # as it is
    jpeg = Transcoding(".jpg", max_pixels=100)
    jpeg.prepare()
    too_large, picture = jpeg([records[0], Record("d", ".png", made.data)])
    assert "raise max_pixels" in too_large.error and picture.records[0].data[:2] == b"\xff\xd8"
    with pytest.raises(lfic.InvalidInputError, match="writes no .psd"):
        Transcoding(".psd")


def test_photos_to_parquet_and_back_by_two_commands(pictures, tmp_path, capsys):
    for folder in ("x", "y/z"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for record in pictures[:3]:
            (tmp_path / "in" / folder / record.name).write_bytes(record.data)
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    target, back = tmp_path / "faces.parquet", tmp_path / "back"
    assert cli.main(["transcode", str(tmp_path / "in"), str(target), "--quality", "20", "--jobs", "1"]) == 1
    out = capsys.readouterr()
    assert "6 files" in out.out and "1 failed" in out.out and "bad.png" in out.err
    assert json.loads((tmp_path / "faces.parquet.errors.jsonl").read_text())["source"] == "bad.png"
    assert [r.key for r in open_source(target)] == [f"{f}/{k}" for f in ("x", "y/z") for k in ("a", "b", "turned")]
    assert cli.main(["transcode", str(target), "-o", str(back), "--json", "--jobs", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["file"] for row in rows} == {r.key + ".png" for r in open_source(target)}
    for record in open_source(target):
        shown = np.asarray(Image.open(back / f"{record.key}.png")).astype(int)
        assert np.abs(shown - np.asarray(lfic.decode(record.data))).max() <= 1
    assert cli.main(["transcode", str(target), str(back), "--resume"]) == 0
    assert "done already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["{in}", "{in}/out"], "lies in"),
        (["{in}", "{out}.parquet", "--skip-existing"], "needs a folder"),
        (["none", "{out}"], "nothing at"),
        (["{in}", "{lfic}", "{out}", "--resume", "--overwrite"], "exclude each other"),
        (["{in}", "{out}.tar", "--to", "psd", "--jobs", "1"], "writes no .psd"),
    ],
)
def test_mistakes_of_the_command(arguments, text, tmp_path, face, capsys):
    (tmp_path / "in").mkdir()
    Image.fromarray(face).save(tmp_path / "in" / "a.png")
    (tmp_path / "b.lfic").write_bytes(lfic.encode(face, quality=1))
    names = {"in": tmp_path / "in", "out": tmp_path / "out", "lfic": tmp_path / "b.lfic"}
    assert cli.main(["transcode", *(a.format(**names) for a in arguments)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert text in lines[-1] and len(lines) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.lfic", "in"]


def test_names_that_are_no_utf_8(tmp_path):
    """Told as far as they can be, and kept as they are."""
    name = b"a\xff".decode("utf-8", "surrogateescape")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{name}.png").write_bytes(b"abc")
    for target in ("out", "out.tar", "out.parquet", "out.rec"):
        (result,) = run(tmp_path / "in", tmp_path / target, jobs=1)
        assert result.error is None and printable(result.source) == "a\\xff.png"
        (record,) = open_source(tmp_path / target)
        assert record.key == ("a\\xff" if target == "out.parquet" else name) and record.data == b"cba"


def test_heic_without_its_package_is_named(pictures, monkeypatch):
    from lfic import image

    heic = next(record for record in pictures if record.suffix == ".heic")
    monkeypatch.setattr(image, "_registered", lambda module: False)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    with pytest.raises(lfic.InvalidInputError, match=r"HEIC.*lfic\[heif\]"):
        open_image("a.heic", heic.data)
