"""Faces from folders, tar shards and parquet files; packing with detection; augmentation."""

import io
import json
import pathlib
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from skimage.data import astronaut
from train_faces import column, config, make_pack, write_toml

from lfic.data import pack as packing
from lfic.data.facepack import MARGIN, FacePack, write_pack
from lfic.data.sources import Joined, open_faces, template_crops
from lfic.errors import InvalidInputError, MissingDependencyError
from lfic.train.augment import Plan, box, render
from lfic.train.config import TrainConfig
from lfic.train.identity import TargetEmbeddings
from lfic.train.loop import run
from lfic.train.sections import DataConfig


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """The same six faces as a pack, folder, two tar shards and a parquet file: folder path, dict of sources."""
    import pyarrow
    from pyarrow import parquet

    folder = tmp_path_factory.mktemp("faces")
    pack = make_pack(folder)
    (folder / "images" / "more").mkdir(parents=True)
    rows = []
    for i, pixels in enumerate(FacePack(pack).pixels):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        (folder / "images" / ("more" if i > 3 else ".") / f"{i}.png").write_bytes(buffer.getvalue())
        with tarfile.open(folder / f"shard-{i // 4}.tar", "a") as tar:
            member = tarfile.TarInfo(f"{i}.png")
            member.size = len(buffer.getvalue())
            tar.addfile(member, io.BytesIO(buffer.getvalue()))
        rows.append({"bytes": buffer.getvalue(), "path": f"{i}.png"})
    parquet.write_table(
        pyarrow.table({"image": rows, "label": list(range(6))}), folder / "train.parquet", row_group_size=2
    )
    return folder, {
        "pack": str(pack),
        "folder": str(folder / "images"),
        "shards": str(folder / "shard-*.tar"),
        "parquet": str(folder / "train.parquet"),
    }


@pytest.fixture(scope="module")
def curve(faces, tmp_path_factory):
    """The losses of a short run on the pack."""
    settings = config(faces[1]["pack"], tmp_path_factory.mktemp("runs"), steps=2)
    run(settings)
    return column(settings.run.out)


@pytest.mark.parametrize("kind", ["folder", "shards", "parquet"])
def test_every_kind_of_source_trains_like_the_pack(faces, curve, kind, tmp_path):
    one, other = open_faces(faces[1]["pack"]), open_faces(faces[1][kind])
    assert len(one) == len(other) == 6
    assert all(np.array_equal(one.face(i), other.face(i)) for i in range(6))
    assert np.array_equal(template_crops(other, [5, 0]), one.pixels[[5, 0], 8:120, 8:120])
    settings = config(faces[1][kind], tmp_path, steps=2, workers=1)  # read in another process than it was opened in
    run(settings)
    assert column(settings.run.out) == curve


def test_landmarks_align_what_is_read(faces, tmp_path):
    folder = faces[0]
    aligned = FacePack(faces[1]["pack"])
    with np.load(folder / "landmarks.npz") as table:
        points = dict(zip(table["names"].tolist(), table["landmarks"].tolist()))
    with tarfile.open(folder / "faces.tar") as tar, tarfile.open(tmp_path / "labelled.tar", "w") as out:
        for member in tar:
            data = tar.extractfile(member).read()
            label = json.dumps({"landmarks": points[member.name]}).encode()
            for name, content in (
                (member.name, data),
                (member.name.replace(".png", ".json"), label),
                (member.name.replace(".png", ".cls"), b"1"),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                out.addfile(entry, io.BytesIO(content))
    for text in (str(tmp_path / "labelled.tar"), f"{folder}/faces.tar:{folder}/landmarks.npz"):
        found = open_faces(text)
        assert len(found) == 8 and found.face(0).shape == (128, 128, 3)
        for i in range(6):  # the pack went through JPEG
            assert np.abs(found.face(i).astype(int) - aligned.face(i)).mean() < 3


def test_several_sources_are_joined(faces):
    folder, data = faces
    joined = open_faces([data["pack"], data["folder"], f"{folder}/faces.tar:{folder}/landmarks.npz"])
    assert isinstance(joined, Joined) and len(joined) == 20 == len(joined.names)
    assert joined.source.tolist() == [0] * 6 + [1] * 6 + [2] * 8
    alone = open_faces(data["folder"])
    assert np.array_equal(joined.face(6), alone.face(0)) and np.array_equal(joined.face(11), alone.face(5))
    assert joined.face(19).shape == (128, 128, 3)


def test_a_list_of_sources_in_a_configuration(faces, tmp_path):
    settings = config("", tmp_path / "run", steps=1, faces=[faces[1]["pack"], faces[1]["folder"]])
    loaded = TrainConfig.load(write_toml(tmp_path / "run.toml", settings))
    assert loaded == settings and run(loaded).step == 1


def test_sources_that_cannot_be_read_are_named(faces, tmp_path, monkeypatch):
    import pyarrow
    from pyarrow import parquet

    def refused(text, data):
        with pytest.raises(InvalidInputError, match=text):
            open_faces(str(data)).face(0)

    refused("no data", tmp_path / "none.tar")
    refused("folder, or files", faces[0] / "landmarks.npz")
    refused("no faces", tmp_path)
    with tarfile.open(tmp_path / "squeezed.tar", "w:gz") as tar:
        tar.add(faces[0] / "pairs.txt")
    refused("plain tar", tmp_path / "squeezed.tar")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    refused("readable parquet", tmp_path / "broken.parquet")
    parquet.write_table(pyarrow.table({"picture": [b""]}), tmp_path / "other.parquet")
    refused("'picture'", tmp_path / "other.parquet")
    parquet.write_table(pyarrow.table({"image": ["a.png"]}), tmp_path / "text.parquet")
    refused("bytes of an image", tmp_path / "text.parquet")
    parquet.write_table(pyarrow.table({"image": [b"x"]}), tmp_path / "bad.parquet")
    refused("row 0 is no readable image", tmp_path / "bad.parquet")
    buffer = io.BytesIO()
    Image.new("RGB", (90, 112)).save(buffer, "PNG")
    parquet.write_table(pyarrow.table({"image": [buffer.getvalue()]}), tmp_path / "size.parquet")
    refused("90 x 112", tmp_path / "size.parquet")
    parquet.write_table(
        pyarrow.table({"image": [buffer.getvalue()], "landmarks": [[1.0, 2.0]]}), tmp_path / "points.parquet"
    )
    refused("five points", tmp_path / "points.parquet")
    with pytest.raises(InvalidInputError, match="packed already"):
        packing.main([str(tmp_path / "out.safetensors"), faces[1]["pack"]])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="pyarrow"):
        open_faces(faces[1]["parquet"])


def test_packing_finds_faces_itself(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut()).crop((100, 0, 340, 260)).save(tmp_path / "photos" / "astronaut.png")
    Image.new("RGB", (200, 200), "gray").save(tmp_path / "photos" / "nobody.png")
    out = tmp_path / "out.safetensors"
    assert packing.main([str(out), str(tmp_path / "photos")]) == 0
    assert "1 images without a face left out" in capsys.readouterr().out
    pack = FacePack(out)
    assert pack.names == ["astronaut.png"]
    face = pack.face(0)[8:120, 8:120].astype(float)
    # Eyes and mouth lie where the template has them: darker than the cheeks between.
    assert face[45:58, 32:80].mean() < face[62:75, 32:48].mean()


def test_augmentation_is_what_the_plan_says():
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    face = np.asarray(coarse.resize((128, 128), Image.Resampling.BICUBIC))
    settings = DataConfig(batch=400, generic=0.3, grey=0.2, jitter=5.0, jitter_scale=0.1, jpeg=0.3)
    generator = torch.Generator().manual_seed(0)
    plan = Plan.draw(torch.ones(1), settings, generator)
    plan.draw_changes(settings, generator)
    share = {
        name: float(value.float().mean())
        for name, value in (("grey", plan.grey), ("moved", plan.moved), ("jpeg", plan.jpeg > 0))
    }
    assert share == {
        "grey": pytest.approx(0.2, abs=0.06),
        "moved": pytest.approx(0.5, abs=0.08),
        "jpeg": pytest.approx(0.3, abs=0.08),
    }
    assert set(plan.jpeg.tolist()) <= {0, *range(40, 96)}
    seen = set()
    for i in range(60):
        left, top, right, bottom = box(128, 8, plan, i)
        assert 0 <= left < right <= 128 and 0 <= top < bottom <= 128
        assert right - left == pytest.approx(bottom - top) and (plan.aligned[i] or right - left >= 64)
        out = render(face, plan, i)
        assert out.shape == (112, 112, 3) and out.dtype == np.uint8
        middle = face[8:120, 8:120][:, :: -1 if plan.flipped[i] else 1]
        assert np.array_equal(out, middle) == bool(plan.plain[i])
        if plan.grey[i]:
            assert np.ptp(out.astype(int), axis=2).max() == 0
        seen.add((bool(plan.aligned[i]), bool(plan.plain[i]), bool(plan.grey[i]), bool(plan.jpeg[i])))
    assert len(seen) > 6


def test_no_augmentation_leaves_aligned_faces_plain():
    settings = DataConfig(batch=50, grey=0.0)
    generator = torch.Generator().manual_seed(0)
    plan = Plan.draw(torch.ones(3), settings, generator)
    plan.draw_changes(settings, generator)
    assert torch.equal(plan.plain, plan.aligned) and not plan.aligned.all()


def test_embeddings_of_untouched_faces_alone_are_kept():
    calls = []

    def recognizer(pixels):
        calls.append(len(pixels))
        return pixels.mean((2, 3))

    targets = TargetEmbeddings(recognizer, 4)
    pixels = torch.rand(4, 3, 8, 8)
    index, flipped, plain = (
        torch.tensor([0, 1, 1, 2]),
        torch.tensor([False, False, True, False]),
        torch.tensor([True, True, True, False]),
    )
    for expected in (4, 1):  # the second time only the one that was changed
        calls.clear()
        assert torch.equal(targets(pixels, index, flipped, plain), pixels.mean((2, 3))) and sum(calls) == expected


def test_faces_packed_as_webp(tmp_path):
    """Fewer bytes, and the same faces but for what WebP loses."""
    jpeg, webp = make_pack(tmp_path), tmp_path / "webp.safetensors"
    source = f"{tmp_path}/faces.tar:{tmp_path}/landmarks.npz"
    assert packing.main([str(webp), source, "--exclude-pairs", str(tmp_path / "pairs.txt"), "--webp", "82"]) == 0
    one, two = FacePack(jpeg), FacePack(webp)
    assert (
        one.names == two.names
        and one.pixels.shape == two.pixels.shape
        and webp.stat().st_size < pathlib.Path(jpeg).stat().st_size
    )
    assert np.abs(one.pixels.astype(int) - two.pixels).mean() < 8


def test_a_pack_is_read_as_it_was_written(tmp_path):
    """The layout of the file: crops, names, and which source each is from."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 112 + 2 * MARGIN, 112 + 2 * MARGIN, 3), np.uint8)
    crops = []
    for one in pixels:
        buffer = io.BytesIO()
        Image.fromarray(one).save(buffer, "PNG")
        crops.append(buffer.getvalue())
    write_pack(tmp_path / "p.safetensors", crops, ["a", "b", "c"], [0, 1, 1], ["x.tar", "y"])
    pack = FacePack(tmp_path / "p.safetensors")
    assert np.array_equal(pack.pixels, pixels) and pack.names == ["a", "b", "c"]
    assert pack.source.tolist() == [0, 1, 1] and pack.margin == MARGIN and len(pack) == 3
    with pytest.raises(InvalidInputError, match="257 sources; a pack numbers at most 256"):
        write_pack(tmp_path / "q.safetensors", [], [], [], ["s"] * 257)
    assert not (tmp_path / "q.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"no safetensors", None])
def test_what_is_no_pack_is_named(tmp_path, content):
    path = tmp_path / "other.safetensors"
    if content is None:
        save_file({"x": np.zeros(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"other.safetensors is no file of packed faces .*lfic.data.pack"):
        open_faces(str(path))
