"""``lfic evaluate`` on small public pictures: the same numbers twice, after a kill, beside another run; its errors."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import torch
from evaluate_faces import TinyRecognizer, write_recognizer

from lfic.evaluate.__main__ import main
from lfic.evaluate.arguments import fold_numbers
from lfic.evaluate.cache import Cache
from lfic.evaluate.own import code_key, weights_key
from lfic.evaluate.registry import CODECS
from lfic.evaluate.selection import ALLOWED
from lfic.evaluate.tables import read_csv, write_csv


def command(world, out, *more):
    _, images, pairs, recognizer = world
    return [
        str(images),
        "--pairs",
        str(pairs),
        "--recognizer",
        str(recognizer),
        "--quiet",
        "--no-report",
        "--looks",
        "2",
        "--bootstrap",
        "30",
        "--anchor",
        "WebP,JPEG",
        "--codecs",
        "webp:0/20/60,jpeg:5/20/50",
        "--cache",
        str(out) + ".sqlite",
        "--out",
        str(out),
        *more,
    ]


def figures(path):
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_command_line_gives_the_same_numbers_twice(world, tmp_path, capsys):
    assert main(command(world, tmp_path / "a")) == 0
    assert "WebP 20:" in capsys.readouterr().out
    assert main(command(world, tmp_path / "b", "--workers", "2")) == 0
    assert figures(tmp_path / "a.csv") == figures(tmp_path / "b.csv")
    assert figures(tmp_path / "a-bdrate.csv") == figures(tmp_path / "b-bdrate.csv")
    before = Cache(tmp_path / "a.sqlite").db.total_changes
    assert main(command(world, tmp_path / "a")) == 0  # from the cache
    assert figures(tmp_path / "a.csv") == figures(tmp_path / "b.csv") and before == 0
    rows = read_csv(tmp_path / "a.csv")
    assert {r["codec"] for r in rows} == {"uncompressed", "WebP", "JPEG"} and {r["protocol"] for r in rows} == {
        "both",
        "gallery",
    }
    top = next(r for r in rows if r["codec"] == "uncompressed")
    assert top["similarity"] == 1 and top["bytes"] == 112 * 112 * 3
    webp = [r for r in rows if r["codec"] == "WebP" and r["protocol"] == "both"]
    assert webp[0]["bytes"] < webp[1]["bytes"] < webp[2]["bytes"] and webp[0]["similarity"] < webp[2]["similarity"]
    assert all(r["bytes"] - r["bytes_without_header"] == 30 for r in webp)


def test_rows_of_an_earlier_run_stand_for_codecs_that_are_not_measured(world, tmp_path, capsys):
    assert main(command(world, tmp_path / "a")) == 0
    assert main(command(world, tmp_path / "b", "--codecs", "webp:0/20/60", "--earlier", str(tmp_path / "a.csv"))) == 0
    assert sorted(figures(tmp_path / "a.csv")) == sorted(figures(tmp_path / "b.csv"))
    whole, part = (read_csv(tmp_path / f"{name}-bdrate.csv") for name in "ab")
    key = ("codec", "anchor", "measure", "recognizer")
    known = {tuple(row[k] for k in key): row for row in whole}
    assert len(part) == len(whole) > 4
    for row in part:
        for column in ("bd_rate_percent", "bd_rate_without_header_percent", "overlap_from"):
            # Rows have six digits.
            value = known[tuple(row[k] for k in key)][column]
            assert row[column] == value or row[column] == pytest.approx(value, rel=1e-3, abs=0.02, nan_ok=True)
    assert not any("low_percent" in row and isinstance(row["low_percent"], float) for row in part)
    write_csv(tmp_path / "fewer.csv", [{**row, "faces": 7} for row in read_csv(tmp_path / "a.csv")])
    write_csv(tmp_path / "other.csv", [{"codec": "JPEG", "bytes": 3}])
    for name, text in (
        ("fewer", "measured on 7 faces"),
        ("other", "no table of an evaluation"),
        ("nothing", "nothing.csv"),
    ):
        assert (
            main(command(world, tmp_path / "c", "--codecs", "webp:0/20/60", "--earlier", str(tmp_path / f"{name}.csv")))
            == 2
        )
        assert text in capsys.readouterr().err


def test_two_recognizers_judge_in_one_run(world, tmp_path):
    """Each has its own rows, the same as alone; one that is added later costs no new files."""
    folder, _, _, first = world
    second = write_recognizer(tmp_path / "other.pt", pooled=14)
    assert main(command(world, tmp_path / "both", "--recognizer", str(second))) == 0
    assert main(command(world, tmp_path / "later")) == 0
    with sqlite3.connect(tmp_path / "later.sqlite") as db:
        before = db.execute("SELECT codec, image, data FROM files ORDER BY 1, 2").fetchall()
        embedded = db.execute("SELECT count(*) FROM embeddings").fetchone()[0]
    assert main(command(world, tmp_path / "later", "--recognizer", str(second))) == 0
    with sqlite3.connect(tmp_path / "later.sqlite") as db:
        assert before == db.execute("SELECT codec, image, data FROM files ORDER BY 1, 2").fetchall()
        assert db.execute("SELECT count(*) FROM embeddings").fetchone()[0] == 2 * embedded
    assert figures(tmp_path / "both.csv") == figures(tmp_path / "later.csv")
    assert figures(tmp_path / "both-bdrate.csv") == figures(tmp_path / "later-bdrate.csv")
    rows = read_csv(tmp_path / "both.csv")
    assert {r["recognizer"] for r in rows} == {"tiny", "other"}
    tiny, other = ([r["similarity"] for r in rows if r["recognizer"] == name] for name in ("tiny", "other"))
    assert len(tiny) == len(other) == 14 and tiny != other


def test_two_runs_share_a_cache(world, tmp_path):
    """Two processes write into one file at the same time; both end with the numbers of a run alone."""
    assert main(command(world, tmp_path / "alone")) == 0
    shared = ["--cache", str(tmp_path / "shared.sqlite")]
    runs = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "lfic.evaluate", *command(world, tmp_path / name, *shared)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("left", "right")
    ]
    for process in runs:
        errors = process.communicate(timeout=240)[1]
        assert process.returncode == 0, errors
    for name in ("left", "right"):
        assert figures(tmp_path / f"{name}.csv") == figures(tmp_path / "alone.csv")
        assert figures(tmp_path / f"{name}-bdrate.csv") == figures(tmp_path / "alone-bdrate.csv")
    with sqlite3.connect(tmp_path / "shared.sqlite") as db:
        assert db.execute("SELECT count(*) FROM files").fetchone()[0] == 6 * 12


def test_killed_and_started_again(world, tmp_path):
    """SIGKILL in the middle of a run; the second run goes on and ends with the numbers of an undisturbed one."""
    assert main(command(world, tmp_path / "whole")) == 0
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "lfic.evaluate", *command(world, tmp_path / "cut")],
        stdout=subprocess.DEVNULL,
    )
    deadline, stored = time.monotonic() + 120, 0
    while process.poll() is None and time.monotonic() < deadline and stored == 0:
        if os.path.exists(tmp_path / "cut.sqlite"):
            try:
                with sqlite3.connect(f"file:{tmp_path}/cut.sqlite?mode=ro", uri=True) as db:
                    stored = db.execute("SELECT count(*) FROM files").fetchone()[0]
            except sqlite3.OperationalError:  # not created yet
                stored = 0
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert stored > 0 and not (tmp_path / "cut-bdrate.csv").exists()
    assert main(command(world, tmp_path / "cut")) == 0
    assert figures(tmp_path / "cut.csv") == figures(tmp_path / "whole.csv")
    assert figures(tmp_path / "cut-bdrate.csv") == figures(tmp_path / "whole-bdrate.csv")


def test_errors_on_the_command_line(world, tmp_path, capsys):
    _, images, pairs, recognizer = world
    for arguments, text in (
        ([str(tmp_path / "none"), "--recognizer", str(recognizer)], "neither a folder nor a tar"),
        ([str(images), "--recognizer", str(tmp_path / "none.pt")], "no recogniser at"),
        ([str(images), "--recognizer", str(recognizer), "--codecs", "gif"], "no codec 'gif'"),
        ([str(images), "--recognizer", str(recognizer), "--codecs", "webp:x"], "give integers"),
        ([str(images), "--recognizer", str(recognizer), "--codecs", "eigenface"], "--train-faces"),
        (
            [str(images), "--recognizer", str(recognizer), "--codecs", "webp", "--pairs", str(pairs), "--folds", "3"],
            "has 1 to 2",
        ),
        ([str(images), "--recognizer", str(recognizer), "--workers", "0"], "--workers is 0"),
    ):
        assert main([*arguments, "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "o")]) == 2
        message = capsys.readouterr().err
        assert text in message and message.startswith("lfic evaluate: ")
    assert fold_numbers("1,3-5") == {0, 2, 3, 4}


def test_lfic_at_an_effort(world, tmp_path, capsys):
    """Its own row for each effort, its own place in the cache, and the code is part of the key."""
    assert main(command(world, tmp_path / "o", "--codecs", "lfic:30,lfic@1:30", "--bootstrap", "0")) == 0
    rows = [r for r in read_csv(tmp_path / "o.csv") if r["protocol"] == "both"]
    assert [r["codec"] for r in rows] == ["uncompressed", "lfic", "lfic effort 1"]
    with sqlite3.connect(tmp_path / "o.sqlite") as db:
        keys = {row[0] for row in db.execute("SELECT DISTINCT codec FROM files")}
    assert len(keys) == 2 and all(code_key() in key and weights_key("face-v1") in key for key in keys)
    # An encoder that looks through a recogniser writes other files, under another key; that network doesn't judge them.
    seeing = tmp_path / "seeing.pt"  # the judge's network in another file, so that what it sees is what the judge sees
    torch.jit.script(TinyRecognizer().eval()).save(str(seeing), _extra_files={"note": "a copy"})
    assert (
        main(
            command(
                world,
                tmp_path / "p",
                "--codecs",
                "lfic:30/60,lfic@1:30/60,jpeg:20/50",
                "--recognizer",
                str(seeing),
                "--encoder-recognizer",
                str(seeing),
                "--cache",
                str(tmp_path / "o.sqlite"),
            )
        )
        == 0
    )
    assert "lfic effort 1 is not judged by seeing" in capsys.readouterr().err
    judged = read_csv(tmp_path / "p.csv")
    assert (
        {r["recognizer"] for r in judged if r["codec"] == "lfic effort 1"}
        == {"tiny"}
        < {r["recognizer"] for r in judged if r["codec"] == "lfic"}
        == {"tiny", "seeing"}
    )
    deltas = read_csv(tmp_path / "p-bdrate.csv")
    assert {(r["codec"], r["recognizer"]) for r in deltas if r["measure"] == "similarity" and r["codec"] != "JPEG"} == {
        ("lfic", "tiny"),
        ("lfic", "seeing"),
        ("lfic effort 1", "tiny"),
    }
    looking = next(
        r for r in judged if r["protocol"] == "both" and r["codec"] == "lfic effort 1" and r["setting"] == "30"
    )
    assert looking["similarity"] > rows[2]["similarity"]
    with sqlite3.connect(tmp_path / "o.sqlite") as db:
        efforts = {
            row[0]
            for row in db.execute(
                "SELECT DISTINCT codec FROM files WHERE codec LIKE 'lfic effort 1%' AND codec LIKE '%|30'"
            )
        }
        assert len(efforts) == 2
    capsys.readouterr()
    assert main(command(world, tmp_path / "o", "--codecs", "webp@2:30")) == 2
    assert "lfic alone has an effort" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--codecs", "webp:20/300"], "a setting of webp is 300; allowed are 0 to 100"),
        (["--codecs", "jpeg444:0"], "a setting of jpeg444 is 0; allowed are 1 to 100"),
        (["--codecs", "lfic:0"], "a setting of lfic is 0; allowed are 1 to 100"),
        (["--codecs", "jpeg2000-half:0"], "a setting of jpeg2000-half is 0; allowed are 1 to"),
        (["--codecs", "webp-grey-48", "--crop", "160"], "codec webp-grey-48 is one of aligned faces"),
        (["--codecs", "avif-half", "--whole"], "codec avif-half is one of aligned faces"),
        (["--codecs", "webp:20,jpeg:30,webp:40"], "--codecs names WebP twice"),
        (["--limit", "0"], "--limit is 0; allowed are 1 and more"),
        (["--per-group", "-1"], "--per-group is -1; allowed are 1 and more"),
        (["--pictures", "-1"], "--pictures is -1; allowed are 0 and more"),
    ],
)
def test_settings_and_numbers_out_of_range(world, tmp_path, capsys, options, words):
    """They are told before the work begins."""
    assert main(command(world, tmp_path / "a", *options)) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.csv").exists()


def test_anchors_that_nobody_measured_are_told(world, tmp_path, capsys):
    assert main(command(world, tmp_path / "a", "--codecs", "webp:20", "--looks", "0", "--anchor", "Webp")) == 0
    assert "no BD-rates: --anchor is 'Webp', the codecs here WebP" in capsys.readouterr().err


def test_every_codec_says_which_settings_it_takes():
    for name in CODECS:
        assert any(name.startswith(beginning) for beginning in ALLOWED), name
