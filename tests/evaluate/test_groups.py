"""Groups by UTKFace's file names."""

import numpy as np
from evaluate_faces import crops, write_recognizer
from PIL import Image

from lfic.evaluate.__main__ import main
from lfic.evaluate.groups import balanced, group_rows, utkface_groups
from lfic.evaluate.tables import read_csv


def test_without_pairs_and_by_groups(tmp_path):
    pixels, _ = crops(4, 1)
    (tmp_path / "utk").mkdir()
    names = ["5_0_0_20170110.png", "30_1_2_20170110.png", "31_1_2_20170110.png", "70_0_1_20170110.png"]
    for image, name in zip(pixels, names):
        Image.fromarray(image).save(tmp_path / "utk" / name)
    recognizer = write_recognizer(tmp_path / "tiny.pt")
    assert (
        main(
            [
                str(tmp_path / "utk"),
                "--recognizer",
                str(recognizer),
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
