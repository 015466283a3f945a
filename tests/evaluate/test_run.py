"""The whole evaluation on small public pictures: protocol, cache, kill and restart, errors, the command line."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from evaluate_faces import TinyRecognizer, crops, write_folder, write_recognizer
from PIL import Image

from lfic import InvalidInputError, align
from lfic.evaluate import data
from lfic.evaluate.__main__ import main
from lfic.evaluate.arguments import fold_numbers
from lfic.evaluate.cache import Cache, content_key
from lfic.evaluate.figures import summarize
from lfic.evaluate.groups import balanced, group_rows, utkface_groups
from lfic.evaluate.interface import from_function
from lfic.evaluate.judges import load_judge
from lfic.evaluate.own import code_key, weights_key
from lfic.evaluate.peers.webp import webp
from lfic.evaluate.points import evaluate_point, uncompressed_point
from lfic.evaluate.tables import read_csv, write_csv


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    images, pairs = write_folder(folder)
    return folder, images, pairs, write_recognizer(folder / "tiny.pt")


def command(world, out, *more):
    _, images, pairs, recogniser = world
    return [
        str(images),
        "--pairs",
        str(pairs),
        "--recognizer",
        str(recogniser),
        "--quiet",
        "--no-report",
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


def test_two_recognisers_judge_in_one_run(world, tmp_path):
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


def test_cached_faces_are_not_computed_again(world):
    _, images, pairs, recogniser = world
    faces, nets, cache = data.load_faces([images], pairs), [load_judge(recogniser)], Cache()
    calls = []

    def count(pictures):
        calls.append([content_key(p) for p in pictures])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return [p.tobytes()[:100] for p in pictures], [255 - p for p in pictures]

    codec = from_function("negative", count, "1")
    object.__setattr__(codec, "batch", 4)
    with pytest.raises(KeyboardInterrupt):
        evaluate_point(codec, "", faces, nets, cache, progress=False)
    point = evaluate_point(codec, "", faces, nets, cache, progress=False)
    coded = [key for call in calls for key in call]
    keys = [content_key(p) for p in faces.pixels]
    assert [coded.count(k) for k in keys[:4]] == [1] * 4  # stored before the interruption
    assert [coded.count(k) for k in keys[4:8]] == [2] * 4  # interrupted
    assert (point.size == 100).all()
    np.testing.assert_array_equal(point.embeddings["tiny"], nets[0].embed(255 - faces.pixels))


def test_embeddings_do_not_depend_on_their_batch(world):
    net, (pixels, _) = load_judge(world[3]), crops(6, 3)
    together = net.embed(pixels)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(pixels))
    np.testing.assert_array_equal(net.embed(pixels[order]), together[order])
    np.testing.assert_array_equal(net.embed(pixels[3:4])[0], together[3])


def test_a_network_that_cannot_be_optimised_runs_as_it_is(tmp_path):
    """28 is no multiple of 8: the pooling has no optimised form and fails when it runs, not when it is loaded."""
    pixels, _ = crops(2, 1)
    found = load_judge(write_recognizer(tmp_path / "odd.pt", pooled=8)).embed(pixels)
    with torch.inference_mode():
        expected = TinyRecognizer(pooled=8).eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(found, torch.nn.functional.normalize(expected).numpy(), atol=1e-5)


def test_another_recogniser_or_setting_has_another_key(world, tmp_path):
    a = load_judge(world[3])
    assert a.key != load_judge(world[3], order="BGR").key
    assert webp().key(10) != webp().key(20) != webp(method=4).key(20)
    pixels = crops(1, 2)[0]
    assert content_key(pixels[0]) != content_key(pixels[1]) and content_key(pixels[0]) != content_key(
        pixels[0].reshape(-1)
    )


def test_tar_and_folder_are_the_same(world, tmp_path):
    _, images, pairs, _ = world
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        for path in sorted(images.iterdir()):
            tar.add(path, f"deep/{path.name}")
    a, b = data.load_faces([images], pairs), data.load_faces([tmp_path / "faces.tar"], pairs)
    assert a.names == b.names
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert a.folds.tolist() == [0] * 6 + [1] * 6 and a.same.sum() == 6
    one = data.load_faces([images], pairs, folds={1})
    assert len(one.pairs) == 6 and len(one) < len(a)


def test_missing_images_are_named(world, tmp_path):
    _, images, pairs, recogniser = world
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "Person2_0001.png").unlink()
    with pytest.raises(InvalidInputError, match=r"1 of 12 images.*Person2_0001 \(no such image\).*--allow-missing"):
        data.load_faces([tmp_path / "images"], pairs)
    faces = data.load_faces([tmp_path / "images"], pairs, allow_missing=True)
    assert len(faces.pairs) == 10 and faces.missing == ["Person2_0001 (no such image)"]
    np.savez(
        tmp_path / "points.npz", names=np.array(["Person0_0001.png"]), landmarks=np.float32(align.TEMPLATE_112[None])
    )
    with pytest.raises(InvalidInputError, match="no landmarks"):
        data.load_faces([images], pairs, tmp_path / "points.npz")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "line 1"),
        ("x y\n", "line 1"),
        ("1 1\nA 1 2\n", "1 pairs follow"),
        ("1 1\nA 1 2\nA one B 2\n", "pair 2"),
        ("1 1\nA 1 2\nA 1\n", "pair 2"),
    ],
)
def test_bad_pairs_files(tmp_path, text, found):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InvalidInputError, match=found):
        data.read_pairs(tmp_path / "pairs.txt")


def test_names_with_blanks_in_tab_separated_pairs(tmp_path):
    (tmp_path / "pairs.txt").write_text("1\t1\nAnna Maria\t1\t2\nAnna Maria\t1\tOtto\t3\n")
    left, right, same, folds = data.read_pairs(tmp_path / "pairs.txt")
    assert (
        left == ["Anna Maria_0001"] * 2 and right == ["Anna Maria_0002", "Otto_0003"] and same.tolist() == [True, False]
    )


def test_errors_on_the_command_line(world, tmp_path, capsys):
    _, images, pairs, recogniser = world
    for arguments, text in (
        ([str(tmp_path / "none"), "--recognizer", str(recogniser)], "neither a folder nor a tar"),
        ([str(images), "--recognizer", str(tmp_path / "none.pt")], "no recogniser at"),
        ([str(images), "--recognizer", str(recogniser), "--codecs", "gif"], "no codec 'gif'"),
        ([str(images), "--recognizer", str(recogniser), "--codecs", "webp:x"], "give integers"),
        ([str(images), "--recognizer", str(recogniser), "--codecs", "eigenface"], "--train-faces"),
        (
            [str(images), "--recognizer", str(recogniser), "--codecs", "webp", "--pairs", str(pairs), "--folds", "3"],
            "has 1 to 2",
        ),
        ([str(images), "--recognizer", str(recogniser), "--workers", "0"], "--workers is 0"),
    ):
        assert main([*arguments, "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "o")]) == 2
        message = capsys.readouterr().err
        assert text in message and message.startswith("lfic evaluate: ")
    assert fold_numbers("1,3-5") == {0, 2, 3, 4}


def test_a_broken_cache_is_named(tmp_path):
    (tmp_path / "c.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InvalidInputError, match="can't be used as a cache"):
        Cache(tmp_path / "c.sqlite")


def test_without_pairs_and_by_groups(tmp_path):
    pixels, _ = crops(4, 1)
    (tmp_path / "utk").mkdir()
    names = ["5_0_0_20170110.png", "30_1_2_20170110.png", "31_1_2_20170110.png", "70_0_1_20170110.png"]
    for image, name in zip(pixels, names):
        Image.fromarray(image).save(tmp_path / "utk" / name)
    recogniser = write_recognizer(tmp_path / "tiny.pt")
    assert (
        main(
            [
                str(tmp_path / "utk"),
                "--recognizer",
                str(recogniser),
                "--codecs",
                "webp:0/60",
                "--quiet",
                "--no-report",
                "--bootstrap",
                "0",
                "--cache",
                str(tmp_path / "c"),
                "--out",
                str(tmp_path / "o"),
            ]
        )
        == 0
    )
    rows = read_csv(tmp_path / "o-groups.csv")
    assert {r["group"] for r in rows} == {
        "age 0-12",
        "age 20-39",
        "age 60+",
        "male",
        "female",
        "White",
        "Black",
        "Asian",
        "all",
    }
    assert [r["gap"] for r in rows if r["group"] == "all"] == [0, 0]
    assert next(r["faces"] for r in rows if r["group"] == "Asian") == 2
    female = next(r for r in rows if r["group"] == "female" and r["setting"] == "0")
    assert abs(female["gap"]) < 1 and female["bytes"] > 0
    assert utkface_groups("Anna_0001.jpg") == [] and group_rows([], {}, ["a_b.jpg"]) == []


def test_a_balanced_sample():
    generator = np.random.default_rng(0)
    names = [
        f"{age}_{sex}_{race}_{k:04d}.jpg"
        for k, (age, sex, race) in enumerate(
            zip(
                generator.choice([5, 15, 30, 30, 30, 50, 80], 2000),
                generator.integers(0, 2, 2000),
                generator.choice([0, 0, 0, 0, 1, 2, 3, 4], 2000),
            )
        )
    ]
    chosen = balanced([*names, "Anna_0001.jpg", "x.jpg"], 60)
    counts = {}
    for name in chosen:
        for group in utkface_groups(name):
            counts[group] = counts.get(group, 0) + 1
    assert len(counts) == 12 and min(counts.values()) >= 60 and len(chosen) < 700 and len(set(chosen)) == len(chosen)
    assert chosen == balanced(names[::-1], 60)
    few = balanced(["5_0_1_a.jpg", "30_0_0_b.jpg", "31_1_0_c.jpg"], 60)
    assert few == ["30_0_0_b.jpg", "31_1_0_c.jpg", "5_0_1_a.jpg"]


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


def test_errors_of_tars_are_the_spread_over_pairs():
    generator = np.random.default_rng(0)
    same = np.arange(400) % 2 == 0
    embeddings = generator.normal(size=(800, 8)) + np.repeat(generator.normal(size=(400, 8)), 2, 0) * 2
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    pairs = np.stack([np.arange(0, 800, 2), np.arange(0, 800, 2) + 1], 1)
    pairs[~same, 1] = (pairs[~same, 1] + 2) % 800
    faces = data.Faces(
        [""] * 800,
        np.zeros((800, 1, 1, 3), np.uint8),
        [str(k // 2) for k in range(800)],
        pairs,
        same,
        np.arange(400) % 4,
    )
    point = uncompressed_point({"r": embeddings}, faces)
    row = summarize(point, {"r": embeddings}, faces)[0]
    binomial = (row["tar_at_far_0.01"] * (1 - row["tar_at_far_0.01"]) / 200) ** 0.5
    assert row["similarity_error"] < 1e-6 and row["tar_at_far_0.001"] is None and row["tar_at_far_0.001_error"] is None
    assert (
        binomial < row["tar_at_far_0.01_error"] < 6 * binomial
    )  # the threshold moves with the impostors that are drawn


@pytest.mark.parametrize(("angle", "scale"), [(0, 1.0), (20, 2.4), (-35, 0.6)])
def test_alignment_puts_landmarks_on_the_template(angle, scale):
    """Dots painted at the landmarks of a turned and scaled picture appear at the template's points."""
    turn = np.deg2rad(angle)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (align.TEMPLATE_112 - 56) @ matrix.T + [170, 160]
    y, x = np.mgrid[:340, :340]
    picture = np.zeros((340, 340), np.float32)
    for px, py in points:
        picture += 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (1.5 * scale) ** 2))
    crop = np.asarray(align.align(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)), points))[..., 0].astype(
        np.float64
    )
    for px, py in align.TEMPLATE_112:
        top, left = round(py) - 4, round(px) - 4
        window = crop[top : top + 9, left : left + 9]
        gy, gx = np.mgrid[:9, :9]
        assert (window * gx).sum() / window.sum() + left == pytest.approx(px, abs=0.25)
        assert (window * gy).sum() / window.sum() + top == pytest.approx(py, abs=0.25)


def test_similarity_transform_refuses_nonsense():
    with pytest.raises(InvalidInputError, match="coincide"):
        align.similarity_transform(np.ones((5, 2)), align.TEMPLATE_112)
    with pytest.raises(InvalidInputError, match="shapes"):
        align.similarity_transform(np.ones((4, 2)), align.TEMPLATE_112)
    with pytest.raises(InvalidInputError, match="finite"):
        align.similarity_transform(np.full((5, 2), np.nan), align.TEMPLATE_112)
    mirrored = align.TEMPLATE_112 * [-1, 1]
    matrix = align.similarity_transform(mirrored, align.TEMPLATE_112)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_csv_round_trip(tmp_path):
    write_csv(
        tmp_path / "x.csv",
        [{"codec": "a", "setting": 1, "bytes": 12.5, "tar": None}, {"codec": "b", "setting": 2, "eer": 0.25}],
        "two lines\nof notes",
    )
    assert re.match(r"# .*torch .*\n# two lines\n# of notes\ncodec,", (tmp_path / "x.csv").read_text())
    assert read_csv(tmp_path / "x.csv")[0] == {"codec": "a", "setting": "1", "bytes": 12.5, "tar": "", "eer": ""}
