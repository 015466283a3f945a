"""A face through a QR code: every byte, renderings that are blurred, turned and seen aslant, what is refused."""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

import lfic
from lfic import qr
from lfic.cli import main
from lfic.errors import ContainerError, CorruptStreamError, InvalidInputError, MissingDependencyError


@pytest.fixture(scope="module")
def stream(codec, face):
    return codec.encode(face, max_bytes=180, aligned=True, container="bare")


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 199), st.sampled_from(qr.LEVELS))
def test_any_payload_comes_back(payload, first, level):
    data = bytes([first]) + payload
    assume(not qr.is_text(data))
    assert qr.read(qr.make(data, level).image(3)) == [data]


@pytest.mark.parametrize("payload", [b"0123456789" * 5, b"HTTP://A.B/" * 4, "möge".encode() * 9, bytes(60)])
def test_bytes_that_look_like_numbers_or_text_stay_bytes(payload):
    assert qr.read(qr.make(b"\x05" + payload).image()) == [b"\x05" + payload]


@pytest.mark.parametrize("level", qr.LEVELS)
def test_the_version_is_the_smallest_that_holds_it(level):
    for version in (1, 9, 10, 40):
        most = qr.capacity(version, level)
        code = qr.make(bytes(most), level, boost=False)
        assert (code.version, code.level, code.modules) == (version, level, 17 + 4 * version)
        if version < 10:
            assert qr.make(bytes(most + 1), level).version == version + 1
    with pytest.raises(InvalidInputError, match=f"holds {most} at level {level}"):
        qr.make(bytes(most + 1), level)


def test_capacities_are_those_of_the_standard():
    assert [qr.capacity(1, level) for level in qr.LEVELS] == [17, 14, 11, 7]
    assert [qr.capacity(40, level) for level in qr.LEVELS] == [2953, 2331, 1663, 1273]


def photo_of(code, module, angle=0.0, blur=0.0, aslant=0.0, noise=0.0):
    """A picture of a print: the code on grey, turned, seen aslant, blurred and noisy."""
    image = Image.new("L", (code.side(module) + 160,) * 2, 190)
    image.paste(code.image(module), (80, 80))
    image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=190)
    side = image.width
    shift = aslant * side
    quad = (0, 0, shift, side, side - shift, side - shift / 2, side, shift / 3)
    if aslant:
        image = image.transform(image.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC, fillcolor=190)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32) * 0.8 + 20
    pixels += np.random.default_rng(3).normal(0, noise, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"angle": 17},
        {"angle": 180},
        {"angle": -73, "blur": 2},
        {"angle": 33, "blur": 3},
        {"aslant": 0.06},
        {"angle": 8, "blur": 2, "aslant": 0.05, "noise": 12},
    ],
    ids=str,
)
def test_a_photo_of_it_is_read(codec, face, stream, spoilt):
    (data,) = qr.read(photo_of(qr.make(stream), 6, **spoilt))
    assert data == stream
    np.testing.assert_array_equal(
        lfic.decode(data, container="bare"), codec.decode(codec.encode(face, max_bytes=184, aligned=True))
    )


def test_a_stain_is_corrected(stream):
    code = qr.make(stream, "Q")
    image = code.image(6)
    ImageDraw.Draw(image).ellipse((150, 150, 200, 200), fill=0)
    assert qr.read(image) == [stream]


def test_several_codes_and_one_that_is_none_of_ours(stream):
    page = Image.new("L", (900, 1000), 255)
    page.paste(qr.make(stream).image(6), (10, 560))
    page.paste(qr.make(b"\x00abc").image(6), (400, 10))
    page.paste(qr.Code(3, "M", b"", qr.segno().make_qr("https://example.org", error="m")).image(6), (10, 10))
    assert qr.read(page) == [b"\x00abc", stream]


def test_pictures_without_a_face():
    with pytest.raises(InvalidInputError, match="no QR code was found"):
        qr.read(Image.new("RGB", (200, 200), "white"))
    foreign = qr.Code(3, "M", b"", qr.segno().make_qr(b"\xff\xff\xff", mode="byte"))
    with pytest.raises(InvalidInputError, match="no QR code of 1 holds a face: 3 bytes: .*0xFF"):
        qr.read(foreign.image())
    # Their first bytes are those of bare streams.
    for text in ("https://example.org", "BEGIN:VCARD\r\nVERSION:3.0\r\n", "Übung macht den Meister", "hello world"):
        code = qr.Code(3, "M", b"", qr.segno().make_qr(text, error="m", encoding="utf-8", mode="byte"))
        with pytest.raises(InvalidInputError, match=f"no QR code of 1 holds a face: .. bytes: the text '{text[:5]}"):
            qr.read(code.image())


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: qr.make(b"\x00", "X"), "allowed are L, M, Q, H"),
        (lambda: qr.capacity(41), "1 to 40"),
        (lambda: qr.make(b"\x00a").file(".gif"), "use .png"),
        (lambda: qr.make(b"\x00a").image(0), "1 to 100"),
        (lambda: qr.make(b"\x00a").file(dpi=0), "dpi is 0"),
    ],
)
def test_what_is_refused(call, text):
    with pytest.raises(InvalidInputError, match=text):
        call()


def test_only_bare_streams_become_codes():
    with pytest.raises(ContainerError, match="no bare stream"):
        qr.make(b"\xff\xd8\xff")
    with pytest.raises(CorruptStreamError, match="empty"):
        qr.make(b"")


def test_without_the_extra(monkeypatch):
    for name, call in (("segno", lambda: qr.make(b"\x00a")), ("zxingcpp", lambda: qr.read(Image.new("L", (9, 9))))):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingDependencyError, match=r"lfic\[qr\]"):
            call()


def test_files_in_print(stream):
    code = qr.make(stream)
    image = Image.open(io.BytesIO(code.file(".png", 4, 600)))
    assert image.size == (code.side(4),) * 2 and round(image.info["dpi"][0]) == 600
    assert code.file(".svg").lstrip().startswith(b"<?xml") and code.file(".pdf").startswith(b"%PDF")
    assert code.file(".eps").startswith(b"%!PS")


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def png(tmp_path, face):
    Image.fromarray(face).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def test_qr_and_scan(png, tmp_path, capsys, codec):
    assert (
        main(["qr", str(png), "-o", str(tmp_path / "code.png"), "--max-bytes", "150", "--level", "L", "--effort", "0"])
        == 0
    )
    said = capsys.readouterr().out
    assert "version 7" in said and "modules 45x45" in said and "module_mm 0.677" in said
    photo_of_it = Image.open(tmp_path / "code.png").convert("L").rotate(9, fillcolor=255, expand=True)
    photo_of_it.filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "seen.jpg", quality=80)
    assert main(["scan", str(tmp_path / "seen.jpg"), "-o", str(tmp_path / "seen.bare")]) == 0
    data = (tmp_path / "seen.bare").read_bytes()
    assert len(data) <= 150
    assert main(["scan", str(tmp_path / "seen.jpg")]) == 0
    found = Image.open(tmp_path / "seen.face.png")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(codec.decode(data, container="bare")))


def test_a_version_is_filled(png, tmp_path, capsys):
    assert main(["qr", str(png), "--version", "10", "--effort", "0", "-o", str(tmp_path / "code.svg")]) == 0
    said = capsys.readouterr().out
    assert "version 10" in said and (tmp_path / "code.svg").read_bytes().lstrip().startswith(b"<?xml")
    assert qr.capacity(10) - 15 <= int(said.split("bytes ")[1].split()[0]) <= qr.capacity(10)


def test_files_become_codes_as_they_are(tmp_path, codec, face, capsys):
    whole = codec.encode(face, quality=20, aligned=True)
    (tmp_path / "a.lfic").write_bytes(whole)
    (tmp_path / "b.bare").write_bytes(codec.encode(face, quality=20, aligned=True, container="bare"))
    for name in ("a.lfic", "b.bare"):
        assert main(["qr", str(tmp_path / name), "-o", str(tmp_path / "code.png")]) == 0
        (data,) = qr.read(Image.open(tmp_path / "code.png"))
        assert data == (tmp_path / "b.bare").read_bytes()
    assert main(["qr", str(tmp_path / "a.lfic"), "--version", "2", "-o", str(tmp_path / "code.png")]) == 1
    assert "asked for is 2" in capsys.readouterr().err


def test_without_torch(png, tmp_path, codec, face):
    """Pictures at effort 0, which is said; files as they are."""
    whole = codec.encode(face, quality=20, aligned=True)
    (tmp_path / "a.lfic").write_bytes(whole)
    (tmp_path / "b.bare").write_bytes(codec.to_bare(whole))

    support = str(pathlib.Path(__file__).parent / "support")

    def run(*arguments):
        code = "import no_torch, sys; from lfic.cli import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-c", code, "qr", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join((support, os.environ.get("PYTHONPATH", "")))},
            cwd=tmp_path,
        )

    done = run("face.png", "a.lfic", "b.bare", "-o", "codes")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "effort 0" in done.stderr and "lfic[torch]" in done.stderr
    best = codec.encode(face, max_bytes=180, aligned=True, container="bare")
    for name, data in (("face", best), ("a", codec.to_bare(whole)), ("b", codec.to_bare(whole))):
        assert qr.read(Image.open(tmp_path / "codes" / f"{name}.qr.png")) == [data]
    done = run("face.png", "--effort", "1")
    assert done.returncode == 1 and "lfic[torch]" in done.stderr and not (tmp_path / "face.qr.png").exists()


def test_no_codec_is_loaded_for_files(tmp_path, stream, monkeypatch):
    def refuse(*_):
        raise AssertionError("a codec was loaded")

    (tmp_path / "a.bare").write_bytes(stream)
    for name in ("encoder_for", "load_codec"):
        monkeypatch.setattr(f"lfic.cli.qr.{name}", refuse)
    assert main(["qr", str(tmp_path / "a.bare")]) == 0
    assert qr.read(Image.open(tmp_path / "a.qr.png")) == [stream]


def test_bounds_of_files_that_are_used_as_they_are(tmp_path, codec, face, stream, capsys):
    bare, code = tmp_path / "a.bare", tmp_path / "code.png"
    bare.write_bytes(stream)
    (tmp_path / "b.lfic").write_bytes(codec.encode(face, quality=40, aligned=True))
    for path, bound, text in (
        (bare, ["--max-bytes", "50"], f"of {len(stream)} bytes; --max-bytes allows 50"),
        (tmp_path / "b.lfic", ["--max-bytes", "50"], "--max-bytes allows 50"),
        (bare, ["--quality", "5"], "--quality is for pictures"),
    ):
        assert main(["qr", str(path), *bound, "-o", str(code)]) == 1
        assert text in capsys.readouterr().err and not code.exists()
    assert main(["qr", str(bare), "--max-bytes", str(len(stream)), "-o", str(code)]) == 0


def test_targets_are_looked_at_before_anything_is_loaded(png, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("a codec was loaded")

    monkeypatch.setattr("lfic.cli.qr.encoder_for", refuse)
    for out, text in (("c.gif", "as .gif; use .png"), ("c", "without a suffix"), ("none/c.png", "there is no folder")):
        assert main(["qr", str(png), "-o", str(tmp_path / out)]) == 1
        assert text in capsys.readouterr().err
    assert main(["qr", str(tmp_path / "none" / "a.png")]) == 1
    assert "there is no file" in capsys.readouterr().err
    monkeypatch.setattr("os.access", lambda *_: False)
    assert main(["qr", str(png)]) == 1
    assert "takes no files" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["png", "lfic"])
def test_standard_input_and_output(kind, png, tmp_path, codec, face):
    def run(*arguments, data):
        command = [sys.executable, "-m", "lfic", *arguments]
        return subprocess.run(command, input=data, capture_output=True, cwd=tmp_path, check=True).stdout

    whole = codec.encode(face, quality=20, aligned=True)
    code = run("qr", "-", "--effort", "0", data=whole if kind == "lfic" else png.read_bytes())
    (data,) = qr.read(Image.open(io.BytesIO(code)))
    if kind == "lfic":
        assert data == codec.to_bare(whole)
    read = Image.open(io.BytesIO(run("scan", "-", data=code)))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(codec.decode(data, container="bare")))
    assert [path.name for path in tmp_path.iterdir()] == ["face.png"]


def test_a_photos_largest_face(tmp_path, capsys):
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg")
    Image.new("RGB", (200, 150), "gray").save(tmp_path / "empty.jpg")
    assert (
        main(
            [
                "qr",
                str(tmp_path / "photo.jpg"),
                str(tmp_path / "empty.jpg"),
                "--effort",
                "0",
                "-o",
                str(tmp_path / "codes"),
            ]
        )
        == 1
    )
    assert "no face was found" in capsys.readouterr().err
    assert len(qr.read(Image.open(tmp_path / "codes" / "photo.qr.png"))) == 1


def test_scan_of_several(tmp_path, stream, capsys):
    page = Image.new("L", (1000, 520), 255)
    page.paste(qr.make(stream).image(6), (10, 10))
    page.paste(qr.make(stream).image(6), (510, 10))
    page.save(tmp_path / "page.png")
    assert main(["scan", str(tmp_path / "page.png"), "--json"]) == 0
    assert sorted(path.name for path in tmp_path.glob("*face-*.png")) == ["page.face-1.png", "page.face-2.png"]


def test_a_version_that_is_too_small_is_told_in_its_own_words(png, tmp_path, capsys):
    assert main(["qr", str(png), "--version", "1", "--effort", "0", "-o", str(tmp_path / "code.png")]) == 1
    said = capsys.readouterr().err
    assert "version 1 at level M holds 14 bytes" in said and "give a larger --version" in said
    assert not (tmp_path / "code.png").exists()
