"""Sources of faces as people have them: repeated and ambiguous names in tar files, broken labels, bad images."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from lfic import InvalidInputError
from lfic.data import pack as packing
from lfic.data.facepack import FacePack, write_pack
from lfic.data.picturepack import Picture, write_picture_pack
from lfic.data.shards import Shards
from lfic.data.sources import open_faces, open_source

POINTS = [[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]]


def png(shade, side=112):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 90, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def label(shift=0.0):
    return json.dumps({"landmarks": [[x + shift, y] for x, y in POINTS]}).encode()


def write_tar(path, members):
    """members: (name, bytes), in that order; a name may come twice."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return str(path)


def shift_of(source, i):
    return round(float(np.asarray(source.image(i)[1])[0, 0] - POINTS[0][0]), 3)


@pytest.mark.parametrize("names", [("1.0", "1.1"), ("J. Smith_0001", "J. Doe_0001")])
def test_labels_go_by_the_whole_stem(tmp_path, names):
    members = [
        (f"{name}{suffix}", data)
        for k, name in enumerate(names)
        for suffix, data in ((".png", png(9)), (".json", label(k)))
    ]
    source = Shards([write_tar(tmp_path / "a.tar", members)])
    assert source.names == [f"{name}.png" for name in names]
    assert [shift_of(source, i) for i in (0, 1)] == [0, 1]


def test_what_lies_beside_a_face_is_none(tmp_path):
    members = [("0001.png", png(1)), ("0001.seg.png", png(2)), ("0001.json", label(3)), ("._0001.png", b"x")]
    source = Shards([write_tar(tmp_path / "a.tar", members)])
    assert source.names == ["0001.png"] and shift_of(source, 0) == 3


def test_webdatasets_key_is_enough_where_one_image_has_it(tmp_path):
    source = Shards([write_tar(tmp_path / "a.tar", [("7.face.png", png(1)), ("7.json", label(2))])])
    assert source.names == ["7.face.png"] and shift_of(source, 0) == 2


def test_a_label_that_could_be_anybodys_is_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("J. Smith.png", png(1)), ("J. Doe.png", png(2)), ("J.json", label())])
    with pytest.raises(InvalidInputError, match=r"a\.tar: the label J\.json could belong to J\. Smith.png or J\. Doe"):
        Shards([path])


def test_of_a_repeated_member_the_last_counts(tmp_path):
    members = [("a.png", png(10)), ("a.json", label(1)), ("a.png", png(200)), ("a.json", label(2))]
    source = Shards([write_tar(tmp_path / "a.tar", members)])
    assert source.names == ["a.png"] and shift_of(source, 0) == 2
    assert np.asarray(source.image(0)[0])[0, 0, 0] == 200


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"{broken", "is no JSON"),
        (b"[1, 2]", "of type list"),
        (b'{"landmarks": {"x": 1}}', "five points|type dict"),
        (b'{"landmarks": "eyes"}', "five points|type str"),
        (b'{"landmarks": [["a", "b"]]}', "five points|type list"),
        (b'{"landmarks": [[1, 2], [3]]}', "five points|type list"),
    ],
)
def test_labels_that_are_none_are_named(tmp_path, text, named):
    source = Shards([write_tar(tmp_path / "a.tar", [("a.png", png(1)), ("a.json", text)])])
    with pytest.raises(InvalidInputError, match=named):
        source.image(0)


def folder_with_bad_images(folder):
    folder.mkdir()
    for k in range(4):
        (folder / f"{k}.png").write_bytes(png(50 * k))
    (folder / "1.png").write_bytes(png(1)[:60])
    (folder / "._2.png").write_bytes(b"resource fork")
    return folder


def table(path, names):
    np.savez(path, names=names, landmarks=np.array([POINTS] * len(names), np.float32))
    return path


def test_one_bad_image_does_not_end_a_pack(tmp_path, capsys):
    folder = folder_with_bad_images(tmp_path / "faces")
    points = table(tmp_path / "p.npz", [f"{k}.png" for k in range(4)])
    out = tmp_path / "out.safetensors"
    assert packing.main([str(out), f"{folder}:{points}"]) == 0
    said = capsys.readouterr()
    assert FacePack(out).names == ["0.png", "2.png", "3.png"]
    assert "1 images that can't be read left out" in said.out and "1.png is no readable image" in said.err
    assert "it/s" not in said.err  # no bar in a log file
    with pytest.raises(InvalidInputError, match=r"1\.png"):
        packing.main([str(out), f"{folder}:{points}", "--strict"])


def test_one_bad_image_does_not_end_a_run(tmp_path, capsys):
    folder = folder_with_bad_images(tmp_path / "faces")
    faces = open_faces(str(folder))
    np.testing.assert_array_equal(faces.face(1), faces.face(2))  # the next one stands for it
    faces.face(1)
    assert capsys.readouterr().err.count("left out: 1.png") == 1 and list(faces.bad) == [1]
    assert len(pickle.loads(pickle.dumps(faces))) == 4  # a loader's workers get it
    with pytest.raises(InvalidInputError, match=r"1\.png"):
        open_faces(str(folder), strict=True).face(1)
    for path in folder.glob("*.png"):
        path.write_bytes(b"none")
    with pytest.raises(InvalidInputError, match="4 images can't be read"):
        open_faces(str(folder)).face(0)


def test_one_table_of_landmarks_serves_pack_and_evaluate(tmp_path):
    from lfic.evaluate.data import load_faces

    folder = tmp_path / "set" / "a"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(png(9, 150))
    for names in (["1.png"], ["a/1.png"], ["set/a/1.png"]):
        points = table(tmp_path / "p.npz", names)
        assert open_source(f"{folder.parent}:{points}").names == ["a/1.png"]
        assert load_faces([folder.parent], landmarks=points).names == ["a/1.png"]


def test_ambiguous_landmarks_are_named(tmp_path):
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.png").write_bytes(png(9))
    points = table(tmp_path / "p.npz", ["1.png"])
    with pytest.raises(InvalidInputError, match=r"could belong to a/1.png or b/1.png"):
        open_source(f"{tmp_path / 'set'}:{points}")


def test_too_many_sources_are_refused_before_the_work(tmp_path):
    with pytest.raises(InvalidInputError, match="257 sources; a pack numbers at most 256"):
        packing.main([str(tmp_path / "o.safetensors"), *["nowhere"] * 257])


def test_parquet_files_of_two_schemas_are_named(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    image = [{"bytes": png(1), "path": "a.png"}]
    parquet.write_table(pyarrow.table({"image": image, "landmarks": [POINTS]}), tmp_path / "p-0.parquet")
    parquet.write_table(pyarrow.table({"image": image, "landmarks": ["x"]}), tmp_path / "p-1.parquet")
    with pytest.raises(InvalidInputError, match=r"p-1.parquet has the columns image .*landmarks \(string\)"):
        open_source(str(tmp_path / "p-*.parquet"))


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_packs_follow_the_umask(tmp_path, mask):
    import torch

    from lfic.train.checkpoint import save_tensors

    before = os.umask(mask)
    try:
        write_pack(tmp_path / "a.safetensors", [png(1, 128)], ["a"], [0], ["s"])
        write_picture_pack(tmp_path / "b.safetensors", [Picture(png(1), "a", POINTS, (112, 112))], [0])
        save_tensors({"x": torch.zeros(3)}, tmp_path, "c")
    finally:
        os.umask(before)
    for name in "abc":
        assert (tmp_path / f"{name}.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("module", ["lfic.data.pack", "lfic.data.pack_pictures"])
def test_a_mistake_is_one_line(tmp_path, module):
    command = [sys.executable, "-m", module, "out.safetensors", "nowhere"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert found.returncode == 1 and found.stderr == f"{module}: no data at nowhere\n"


@pytest.mark.parametrize("module", ["lfic.data.pack", "lfic.data.pack_pictures", "lfic.evaluate", "lfic.train"])
def test_python_without_docstrings(module):
    found = subprocess.run([sys.executable, "-OO", "-m", module, "--help"], capture_output=True, text=True, check=False)
    assert found.returncode == 0 and "usage" in found.stdout, found.stderr


def test_a_copy_of_a_shard_is_read_in_another_process(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.png", png(7)), ("a.json", label())])
    source = Shards([path])
    source.image(0)
    shutil.copy(path, tmp_path / "b.tar")
    assert len(open_faces([path, str(tmp_path / "b.tar")])) == 2
