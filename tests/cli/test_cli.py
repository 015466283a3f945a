"""The command line: results, exit codes, atomic writes, interruption."""

import io
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic.cli import main


@pytest.fixture
def png(tmp_path, face):
    path = tmp_path / "face.png"
    Image.fromarray(face).save(path)
    return path


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_encode_info_decode(png, tmp_path, capsys):
    assert main(["encode", str(png), "--quality", "40", "--json"]) == 0
    (row,) = lines(capsys)
    out = tmp_path / "face.lfic"
    assert row["file"] == str(out) and row["bytes"] == out.stat().st_size and row["quality"] == 40
    assert main(["info", str(out), "--json"]) == 0
    (info,) = lines(capsys)
    assert info["bytes"] == row["bytes"] and info["size"] == "112x112" and np.array(info["levels"]).shape == (4, 4)
    assert main(["decode", str(out), "-o", str(tmp_path / "back.png")]) == 0
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "back.png")), np.asarray(lfic.decode(out.read_bytes()))
    )
    assert "112x112" in capsys.readouterr().out


def test_a_picture_is_coded_smaller(png, tmp_path, capsys):
    large = tmp_path / "large.png"
    Image.open(png).resize((250, 200), Image.Resampling.BICUBIC).save(large)
    said = {}
    for resolution in ("auto", "full"):
        out = str(tmp_path / f"{resolution}.lfic")
        options = ["--faces", "none", "--quality", "30", "--resolution", resolution]
        assert main(["encode", str(large), "-o", out, "--json", *options]) == 0
        (row,) = lines(capsys)
        assert row["quality"] == 30 and row["size"] == "250x200"
        assert main(["info", out, "--json"]) == 0
        (info,) = lines(capsys)
        assert info["quality"] == 30 and info.get("scale") == row.get("scale")
        said[resolution] = row.get("scale")
    assert said == {"auto": "3/4", "full": None}
    target = tmp_path / "archive"
    assert (
        main(["transcode", str(large), str(target), "--faces", "none", "--quality", "30", "--resolution", "full"]) == 0
    )
    (made,) = target.rglob("*.lfic")
    assert made.read_bytes() == (tmp_path / "full.lfic").read_bytes()


def test_other_process_decodes_the_same(png, tmp_path, face):
    """Encode here, decode there: what a file means does not depend on the process."""
    data = lfic.encode(face, quality=40)
    (tmp_path / "a.lfic").write_bytes(data)
    code = [sys.executable, "-m", "lfic", "decode", str(tmp_path / "a.lfic"), "--json"]
    subprocess.run(code, check=True, cwd=tmp_path, capture_output=True)
    other = np.asarray(Image.open(tmp_path / "a.png"), np.int16)
    assert np.abs(other - np.asarray(lfic.decode(data))).max() <= 1


def test_max_bytes_and_effort(png, tmp_path):
    assert (
        main(
            [
                "encode",
                str(png),
                "--max-bytes",
                "150",
                "--effort",
                "1",
                "--no-checksum",
                "--aligned",
                "-o",
                str(tmp_path / "b.lfic"),
            ]
        )
        == 0
    )
    info = lfic.probe((tmp_path / "b.lfic").read_bytes())
    assert info.bytes <= 150 and info.aligned and not info.checksum


def test_several_files_and_one_that_fails(png, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    out = tmp_path / "out"
    assert main(["encode", str(bad), str(png), "-o", str(out), "--json"]) == 1
    rows = lines(capsys)
    assert "error" in rows[0] and rows[1]["bytes"] > 0
    assert sorted(p.name for p in out.iterdir()) == ["face.lfic"]


def test_a_folder_that_is_not_there_yet(png, tmp_path):
    assert main(["encode", str(png), "-o", f"{tmp_path}/new/"]) == 0
    assert (tmp_path / "new" / "face.lfic").is_file()


def test_what_exists_is_replaced_only_where_that_was_said(png, tmp_path, face, capsys):
    """Encode and decode beside the photo would put the decoded picture in the photo's place."""
    before = png.read_bytes()
    assert main(["encode", str(png), "--quality", "5"]) == 0
    assert main(["decode", str(tmp_path / "face.lfic")]) == 1
    assert "exists" in capsys.readouterr().err and png.read_bytes() == before
    assert main(["transcode", str(tmp_path / "face.lfic"), "-o", str(tmp_path)]) == 1
    assert png.read_bytes() == before
    small = (tmp_path / "face.lfic").read_bytes()
    assert main(["encode", str(png), "--quality", "60"]) == 1 and (tmp_path / "face.lfic").read_bytes() == small
    assert main(["encode", str(png), "--quality", "60", "-o", str(tmp_path / "face.lfic")]) == 0
    assert main(["decode", str(tmp_path / "face.lfic"), "--overwrite"]) == 0
    assert (tmp_path / "face.lfic").read_bytes() != small and png.read_bytes() != before


def test_standard_input_and_output(png, tmp_path):
    def run(*arguments, data):
        return subprocess.run(
            [sys.executable, "-m", "lfic", *arguments], input=data, capture_output=True, cwd=tmp_path, check=True
        ).stdout

    data = run("encode", "-", "--quality", "20", data=png.read_bytes())
    assert lfic.probe(data).quality == 20
    picture = run("decode", "-", "-o", "-", data=data)
    assert Image.open(io.BytesIO(picture)).size == (112, 112)
    assert json.loads(run("info", "-", "--json", data=data))["bytes"] == len(data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["face.png"]


def test_progress_on_a_terminal(png, tmp_path, capsys, monkeypatch):
    other = tmp_path / "other.png"
    other.write_bytes(png.read_bytes())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["encode", str(png), str(other), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr()
    assert "2/2" in text.err and len(text.out.splitlines()) == 2


def test_transcode_both_ways(png, tmp_path):
    assert main(["transcode", str(png), "-o", str(tmp_path / "x"), "--quality", "10"]) == 0
    assert main(["transcode", str(tmp_path / "x" / "face.lfic"), "-o", str(tmp_path / "y")]) == 0
    assert Image.open(tmp_path / "y" / "face.png").size == (112, 112)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["decode", "none.lfic"], "none.lfic"),
        (["info", "none.lfic"], "none.lfic"),
        (["encode", "none.png"], "no file"),
    ],
)
def test_missing_files(arguments, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["encode"],
        ["encode", "a.png", "--quality", "0"],
        ["encode", "a.png", "--quality", "5", "--max-bytes", "6"],
        ["encode", "a.png", "--effort", "9"],
        ["encode", "a.png", "--max-bytes", "-3"],
    ],
)
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["encode", "{folder}"], "is a folder"),
        (["encode", "."], "is a folder"),
        (["decode", "{folder}"], "is a folder"),
        (["info", "{folder}"], "is a folder: give the files in it"),
        (["encode", "{png}", "{folder}/b.png", "-o", "{png}"], "is a file"),
        (["encode", "{png}", "-o", "{folder}/none/a.lfic"], "{folder}/none/a.lfic: No such file"),
        (["encode", "{png}", "--device", "bogus"], "bogus"),
        (["encode", "-", "{png}"], "one file alone"),
        (["demo", "{png}", "-o", "{png}"], "overwritten"),
        (["decode", "{lfic}", "-o", "{folder}/a.psd"], "writes no .psd"),
        (["transcode", "{lfic}", "{folder}/a.png"], "overwritten"),
    ],
)
def test_mistakes_are_named_without_a_traceback(arguments, text, png, face, tmp_path, capsys):
    (tmp_path / "a.lfic").write_bytes(lfic.encode(face, quality=1))
    names = {"folder": tmp_path, "png": png, "lfic": tmp_path / "a.lfic"}
    assert main([a.format(**names) for a in arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and text.format(**names) in lines[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.lfic", "face.png"]


@pytest.mark.parametrize("name", ["other.png", "new.JPG", "new.heic", "new.lfic", "new.bare", "new", "new.v2"])
def test_encode_writes_no_file_that_is_called_like_a_picture(name, png, tmp_path, capsys):
    (tmp_path / "other.png").write_bytes(before := png.read_bytes())
    refused = name.lower().endswith(("png", "jpg", "heic"))
    assert main(["encode", str(png), "-o", str(tmp_path / name), "--quality", "5"]) == refused
    assert ("is the name of a picture" in capsys.readouterr().err) == refused
    assert (tmp_path / "other.png").read_bytes() == before
    assert (tmp_path / name).exists() == (not refused or name == "other.png")


@pytest.mark.parametrize("bare", [[], ["--bare"]])
def test_a_picture_given_to_decode_is_called_one(bare, png, tmp_path, face, capsys):
    assert main(["decode", str(png), *bare]) == 1
    told = capsys.readouterr().err
    assert f"{png}: this is no " in told and "overwritten" not in told
    png.write_bytes(lfic.encode(face, quality=5, aligned=True, container="bare" if bare else "file"))
    assert main(["decode", str(png), *bare]) == 1
    assert "would be overwritten" in capsys.readouterr().err


def test_qualities_of_layers_and_of_the_background_have_names_of_their_own(tmp_path, photo, capsys):
    landmarks = [[92.5, 105.9], [125.7, 105.9], [110.4, 124.2], [96.9, 142.8], [123.0, 142.8]]
    data = lfic.encode(photo(300, 420), faces=[landmarks], face_quality=63, background_quality=20)
    (tmp_path / "a.lfic").write_bytes(data)
    assert main(["info", str(tmp_path / "a.lfic")]) == 0
    said = capsys.readouterr().out
    behind = lfic.probe(data).quality
    assert f"  face_quality 63  background_quality {behind}  " in said and "  quality" not in said
    assert main(["info", str(tmp_path / "a.lfic"), "--json"]) == 0
    (row,) = lines(capsys)
    assert row["quality"] == behind and [one["quality"] for one in row["faces"]] == [63]


def test_clashing_names_are_refused(png, tmp_path, capsys):
    other = tmp_path / "sub" / "face.jpg"
    other.parent.mkdir()
    Image.open(png).save(other)
    assert main(["encode", str(png), str(other), "-o", str(tmp_path / "out")]) == 1
    assert "both be written" in capsys.readouterr().err


def test_a_result_never_overwrites_its_source(tmp_path, face, capsys):
    path = tmp_path / "face.lfic"
    path.write_bytes(lfic.encode(face, quality=5))
    assert main(["encode", str(path)]) == 1
    assert "overwritten" in capsys.readouterr().err


def test_damaged_file_leaves_nothing_behind(tmp_path, face, capsys):
    data = lfic.encode(face, quality=5)
    (tmp_path / "bad.lfic").write_bytes(data[:-3])
    assert main(["decode", str(tmp_path / "bad.lfic")]) == 1
    assert "checksum" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.lfic"]


def test_unknown_format_to_decode_to(tmp_path, face, capsys):
    (tmp_path / "a.lfic").write_bytes(lfic.encode(face, quality=5))
    assert main(["decode", str(tmp_path / "a.lfic"), "-o", str(tmp_path / "a.xyz")]) == 1
    assert ".xyz" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_leaves_no_half_file(tmp_path, face):
    files = []
    for i in range(400):
        path = tmp_path / "in" / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(face, i, 1)).save(path)
        files.append(str(path))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "lfic", "encode", *files, "-o", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a test run in the background inherits an ignored SIGINT
    )
    process.stdout.readline()  # the first one is done
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted" in error and "Traceback" not in error
    written = list(out.iterdir())
    assert 1 <= len(written) < 400
    for path in written:
        assert path.suffix == ".lfic" and lfic.decode(path.read_bytes()).size == (112, 112)


def test_demo(tmp_path, capsys):
    out = tmp_path / "demo.png"
    assert main(["demo", "-o", str(out), "--max-bytes", "400", "--effort", "0"]) == 0
    text = capsys.readouterr().out
    for name in ("lfic", "JPEG", "WebP", "JPEG 2000", "AVIF", "JPEG XL"):
        assert name in text
    image = np.asarray(Image.open(out))
    assert image.shape[0] > 400 and image.shape[1] > 900 and image.std() > 30
    row = next(line for line in text.splitlines() if line.startswith("lfic ")).split()
    assert int(row[1]) <= 400 and float(row[2]) > 18


def test_demo_without_an_optional_codec(tmp_path, capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pillow_jxl" else find(name, *rest)
    )
    assert main(["demo", "-o", str(tmp_path / "d.png"), "--effort", "0"]) == 0
    text = capsys.readouterr().out
    assert "JPEG XL is left out" in text and "pillow-jxl-plugin" in text and "AVIF" in text


def test_demo_on_a_photo(png, tmp_path, capsys):
    assert main(["demo", str(png), "-o", str(tmp_path / "d.png"), "--effort", "0"]) == 0
    assert "as it is" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "export", "evaluate", "bench"])
def test_other_commands_reach_their_packages(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
def test_a_closed_standard_output_is_told(tmp_path, face):
    (tmp_path / "a.lfic").write_bytes(lfic.encode(face, quality=5))
    command = f"{sys.executable} -m lfic info {tmp_path}/a.lfic >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.startswith("lfic: the standard output is closed")


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"lfic {lfic.__version__}\n"


def test_bare_streams(png, tmp_path, capsys):
    assert main(["encode", str(png), "--bare", "--max-bytes", "100", "--json"]) == 0
    (row,) = lines(capsys)
    bare = tmp_path / "face.bare"
    assert row["file"] == str(bare) and row["bytes"] == bare.stat().st_size <= 100
    assert row["quality"] == bare.read_bytes()[0] - 99
    assert main(["info", str(bare), "--bare", "--json"]) == 0
    assert lines(capsys)[0]["quality"] == row["quality"]
    assert main(["decode", str(bare), "--bare", "-o", str(tmp_path / "back.png")]) == 0
    assert Image.open(tmp_path / "back.png").size == (112, 112)
    assert main(["decode", str(bare), "--bare", "--faces", str(tmp_path / "crops")]) == 0
    assert (tmp_path / "crops" / "face-1.png").is_file()
    capsys.readouterr()
    assert main(["decode", str(bare), "-o", str(tmp_path / "no.png")]) == 1 and "--bare" in capsys.readouterr().err


def test_a_folder_is_led_to_transcode(png, tmp_path, capsys):
    for command in ("encode", "decode"):
        assert main([command, str(tmp_path)]) == 1
        assert f"lfic transcode {tmp_path} TARGET" in capsys.readouterr().err
    assert main(["transcode", str(png), str(tmp_path / "out"), "--jobs", "1", "--max-bytes", "200"]) == 0
    assert (tmp_path / "out" / f"{png.stem}.lfic").stat().st_size <= 200


def test_what_exists_is_passed_over_where_that_was_said(png, tmp_path, capsys):
    other = tmp_path / "other.png"
    other.write_bytes(png.read_bytes())
    out = tmp_path / "out"
    assert main(["encode", str(png), "-o", f"{out}/", "--quality", "5"]) == 0
    before = (out / "face.lfic").read_bytes()
    capsys.readouterr()
    assert main(["encode", str(png), str(other), "-o", str(out), "--skip-existing", "--json"]) == 0
    rows = lines(capsys)
    assert rows[0] == {"file": str(out / "face.lfic"), "skipped": "exists"} and rows[1]["bytes"] > 0
    assert (out / "face.lfic").read_bytes() == before and (out / "other.lfic").is_file()
    assert main(["decode", str(out / "face.lfic"), "-o", str(png), "--skip-existing"]) == 0
    assert png.read_bytes() == other.read_bytes()
    with pytest.raises(SystemExit):
        main(["encode", str(png), "--overwrite", "--skip-existing"])


def test_two_faces_of_a_scan_fit_no_stream(tmp_path, capsys, codec, face):
    stream = codec.encode(face, max_bytes=180, aligned=True, container="bare")
    page = Image.new("L", (1000, 520), 255)
    for left in (10, 510):
        page.paste(lfic.qr.make(stream).image(6), (left, 10))
    page.save(tmp_path / "page.png")
    assert main(["scan", str(tmp_path / "page.png"), "-o", "-"]) == 1
    said = capsys.readouterr()
    assert not said.out and "page.png has codes of 2 faces, and standard output takes one: give -o FILE.png" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["page.png"]
    assert main(["scan", str(tmp_path / "page.png"), "-o", str(tmp_path / "FILE.png")]) == 0
    assert sorted(path.name for path in tmp_path.glob("FILE*")) == ["FILE-1.png", "FILE-2.png"]
