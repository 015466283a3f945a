"""Points and their figures: nothing is computed twice, and spreads are what they say."""

import numpy as np
import pytest
from evaluate_faces import crops

from lfic import InvalidInputError
from lfic.evaluate import data
from lfic.evaluate.cache import Cache, content_key
from lfic.evaluate.figures import summarize
from lfic.evaluate.interface import from_function
from lfic.evaluate.judges import load_judge
from lfic.evaluate.peers.webp import webp
from lfic.evaluate.points import evaluate_point, uncompressed_point


def test_cached_faces_are_not_computed_again(world):
    _, images, pairs, recognizer = world
    faces, nets, cache = data.load_faces([images], pairs), [load_judge(recognizer)], Cache()
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


def test_another_recognizer_or_setting_has_another_key(world, tmp_path):
    a = load_judge(world[3])
    assert a.key != load_judge(world[3], order="BGR").key
    assert webp().key(10) != webp().key(20) != webp(method=4).key(20)
    pixels = crops(1, 2)[0]
    assert content_key(pixels[0]) != content_key(pixels[1]) and content_key(pixels[0]) != content_key(
        pixels[0].reshape(-1)
    )


def test_a_broken_cache_is_named(tmp_path):
    (tmp_path / "c.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InvalidInputError, match="can't be used as a cache"):
        Cache(tmp_path / "c.sqlite")


def test_a_damaged_cache_is_set_aside_and_made_anew(tmp_path, capsys):
    path = tmp_path / "c.sqlite"
    cache = Cache(path)
    cache.put_files("webp", [(f"image{i}", bytes(2000), 30, 1.0, "x") for i in range(40)])
    cache.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = Cache(path)
    assert again.files("webp") == {} and "is damaged" in capsys.readouterr().err
    again.put_files("webp", [("image", b"data", 30, 1.0, "x")])
    again.close()
    assert (tmp_path / "c.sqlite.damaged").read_bytes() == whole[: len(whole) // 2]
    assert set(Cache(path).files("webp")) == {"image"} and not capsys.readouterr().err
