"""Tables of BD-rates with intervals, and of bytes at round qualities."""

import numpy as np
import pytest

from lfic.evaluate.bdrate import bytes_at
from lfic.evaluate.curves import bd_rates, bytes_at_targets
from lfic.evaluate.points import Point


class Pairs:
    """As much of ``data.Faces`` as the table looks at."""

    def __init__(self, people, generator):
        i = np.arange(0, 2 * people, 2)
        self.pairs = np.concatenate([np.stack([i, i + 1], 1), np.stack([i, (i + 2) % (2 * people)], 1)])
        self.same, self.folds = np.arange(2 * people) < people, np.arange(2 * people) % 4
        self.embeddings = unit(
            np.repeat(generator.normal(size=(people, 16)), 2, 0) + generator.normal(0, 0.7, (2 * people, 16))
        )

    def __len__(self):
        return len(self.embeddings)


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_both_columns_have_intervals():
    """Two codecs of the same quality, one at half the bytes behind 50 bytes of header: -50 % bare, less as whole
    files."""
    generator = np.random.default_rng(0)
    faces, points = Pairs(300, np.random.default_rng(1)), []
    for noise, size in ((1.2, 100), (0.7, 200), (0.4, 400), (0.1, 800)):
        embeddings = {"r": unit(faces.embeddings + noise * generator.normal(0, 0.4, faces.embeddings.shape))}
        whole = np.full(len(faces), size)
        psnr = 30 - 5 * noise + generator.normal(0, 0.1, len(faces))
        points += [
            Point("wide", "", whole + 50, np.full(len(faces), 50), psnr, embeddings),
            Point("narrow", "", whole // 2 + 50, np.full(len(faces), 50), psnr, embeddings),
        ]
    rows = {(r["codec"], r["measure"]): r for r in bd_rates(points, {"r": faces.embeddings}, faces, ["wide"], 60)}
    assert set(rows) == {
        ("narrow", m) for m in ("psnr", "similarity", "accuracy", "tar@1e-2")
    }  # 300 impostors show no 1e-3
    for row in rows.values():
        assert row["bd_rate_without_header_percent"] == pytest.approx(-50)
        assert (
            row["low_without_header_percent"] == pytest.approx(-50) == row["high_without_header_percent"]
        )  # no replicate differs: the curves are one
        assert (
            -50 < row["low_percent"] <= row["bd_rate_percent"] + 1e-9 <= row["high_percent"] + 2e-9 < -30
            and row["replicates"] == 60
        )


def test_bytes_table_reads_between_points_only():
    rows = [
        {
            "codec": codec,
            "recognizer": "r",
            "protocol": "both",
            "bytes": size,
            "accuracy": accuracy,
            "similarity": accuracy,
        }
        for codec, curve in {
            "a": [(100, 0.85), (400, 0.97)],
            "b": [(200, 0.96), (300, 0.985)],
            "uncompressed": [(9999, 0.99)],
        }.items()
        for size, accuracy in curve
    ]
    table = {(e["codec"], e["measure"], e["target"]): e["bytes"] for e in bytes_at_targets(rows)}
    assert table["a", "accuracy", 0.9] == pytest.approx(bytes_at([100, 400], [0.85, 0.97], 0.9))
    assert (
        ("a", "accuracy", 0.98) not in table
        and ("b", "accuracy", 0.95) not in table
        and ("b", "accuracy", 0.98) in table
    )
    assert not any(codec == "uncompressed" or target == 0.99 for codec, _, target in table)
