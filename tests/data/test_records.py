"""Sources and sinks of records: every kind gives back what it took, streams, and is read by its own tools."""

import io
import itertools
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

import lfic
from lfic.data import Record, open_sink, open_source
from lfic.data.numbered import index_of
from lfic.data.records.folder import distinct_keys
from lfic.data.records.tar import escape, unescape

SMALL = 150  # bytes of a shard: two of the files below
TARGETS = ["out", "out.tar", "out.parquet", "out.rec"]


@pytest.fixture(scope="module")
def blobs(codec, face):
    return codec.encode_batch([np.roll(face, i, 1) for i in range(6)], quality=10)


@pytest.fixture
def records(blobs):
    """Names of the kinds that break archives: same base names, dots, spaces, signs, letters beyond ASCII."""
    keys = ["a/0000", "b/0000", "b/J. Smith%2E_0001", "b/J. Doe_0001", "ü/日本", "z.y/w"]
    return [Record(key, ".lfic", blob, {"label": i}) for i, (key, blob) in enumerate(zip(keys, blobs))]


def comparable(records):
    return sorted((r.name, r.data, json.dumps(r.meta, sort_keys=True)) for r in records)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("shard_bytes", [1 << 20, SMALL])
def test_what_goes_in_comes_out(name, shard_bytes, records, tmp_path):
    with open_sink(tmp_path / name, shard_bytes=shard_bytes) as sink:
        for record in records:
            sink.write(record)
    source = open_source(tmp_path / name)
    found = list(source)
    assert comparable(found) == comparable(records)
    if name != "out":
        assert [r.key for r in found] == [r.key for r in records]
        assert len(list(tmp_path.glob(f"*{name[3:]}"))) == (1 if shard_bytes > SMALL else 3)
    assert not list(tmp_path.rglob(".lfic-*"))
    assert source.progress() == 1.0 and source.count() in (6, None)
    for start in range(8):
        assert [r.key for r in source.records(start)] == [r.key for r in found][start:]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_replaced_and_nothing_half_stays(name, records, tmp_path):
    with pytest.raises(RuntimeError), open_sink(tmp_path / "x" / name) as sink:
        sink.write(records[0])
        raise RuntimeError
    assert [p.name for p in (tmp_path / "x").rglob("*") if p.is_file() and name != "out"] == []
    for _ in range(2):
        with open_sink(tmp_path / name, replace=True) as sink:
            sink.write(records[0])
    with pytest.raises(lfic.InvalidInputError, match="exists"), open_sink(tmp_path / name) as sink:
        sink.write(records[0])


def test_shards_are_chosen_by_bytes(records, tmp_path):
    for shard_bytes in (SMALL, 1 << 20):
        with open_sink(tmp_path / "a.tar", shard_bytes=shard_bytes, replace=True) as sink:
            for record in records:
                sink.write(record)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]  # shards of the run before are gone


def test_keys_of_one_folder_are_kept_apart():
    assert distinct_keys(["a.gif", "a.webp", "b.png"]) == {"a.gif": "a.gif", "a.webp": "a.webp", "b.png": "b"}
    assert distinct_keys(["a.gif", "a.webp", "a.gif.png"]) == {k: k for k in ("a.gif", "a.webp", "a.gif.png")}
    for key in ("a.b/c.d", "%2E", "50%.x", "plain"):
        assert unescape(escape(key)) == key and "." not in escape(key).rpartition("/")[2]


def test_lists_call_files_what_they_are_called(tmp_path):
    for name in ("p/a.gif", "p/a.webp", "p/b.JPG"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    found = {record.key: record.origin for record in open_source(tmp_path)}
    assert found == {"p/a.gif": "p/a.gif", "p/a.webp": "p/a.webp", "p/b": "p/b.JPG"}
    assert Record("a.gif", ".lfic", b"").origin == "a.gif.lfic"  # in a shard


def test_a_folder_passes_over_what_is_no_picture(tmp_path, face):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.fromarray(face).save(tmp_path / "in" / "deep" / "a.PNG")
    for name in ("._a.jpg", ".hidden.png", "notes.txt", "b.png", ".DS_Store"):
        (tmp_path / "in" / name).write_bytes(b"")
    (tmp_path / "in" / "deep" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "itself").symlink_to(tmp_path / "in" / "itself")
    (tmp_path / "in" / "c.json").write_text("[]")
    (tmp_path / "in" / "c.png").write_bytes(b"")
    source = open_source(tmp_path / "in")
    found = {record.name: record for record in source}
    assert list(found) == ["b.png", "c.png", "deep/a.png"] and source.ignored == 2
    assert [record.origin for record in source] == ["b.png", "c.png", "deep/a.PNG"]
    assert found["b.png"].data == b""  # an empty file is a record, which a reader refuses
    with pytest.raises(lfic.InvalidInputError, match="holds list"):
        _ = found["c.png"].data


def test_webdataset_reads_our_tar_and_we_read_its(records, tmp_path):
    wds = pytest.importorskip("webdataset")
    with open_sink(tmp_path / "a.tar") as sink:
        for record in records:
            sink.write(record)
    samples = list(wds.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False, empty_check=False))
    assert [s["__key__"] for s in samples] == [escape(r.key) for r in records]
    assert [s["lfic"] for s in samples] == [r.data for r in records]
    assert [json.loads(s["json"]) for s in samples] == [r.meta for r in records]
    with wds.TarWriter(str(tmp_path / "b.tar")) as out:
        for i, record in enumerate(records):
            out.write({"__key__": f"{i:04}", "lfic": record.data, "cls": i, "json": {"x": i}})
    found = list(open_source(tmp_path / "b.tar"))
    assert [(r.key, r.meta) for r in found] == [(f"{i:04}", {"x": i, "label": i}) for i in range(6)]


def test_labels_of_a_tar_go_by_the_whole_name_first(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("1.0.png", "1.0.json", "1.1.png", "1.1.json", "2.json", "2.seg.png", "3.png", "3.txt"):
            data = json.dumps({"is": name}).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    source = open_source(tmp_path / "a.tar")
    assert {r.key: r.meta.get("is") for r in source} == {
        "1.0": "1.0.json",
        "1.1": "1.1.json",
        "2.seg": "2.json",
        "3": None,
    }
    assert source.ignored == 1


@pytest.mark.parametrize(
    "names",
    [
        ["a.x.png", "a.y.png", "a.json"],
        ["a.json", "a.x.png", "a.y.png", "a.y.json"],
        ["a.x.png", "a.cls", "a.y.png", "a.x.cls"],
        ["a.x.png", "a.json", "b.png", "b.cls", "b.json"],
        [*(f"a.{i}.png" for i in range(70)), "a.3.json", "a.66.json"],
        ["a.x.png", "a.JSON", "a.json.png", "a.json"],
    ],
)
def test_labels_of_a_tar_are_the_same_by_number(tmp_path, names):
    """The first: one label beside two pictures is neither's."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i, name in enumerate(names):
            data = str(i).encode() if name.endswith(".cls") else json.dumps({"is": name, "i": i}).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    one_by_one, index = list(open_source(tmp_path / "a.tar")), index_of(tmp_path / "a.tar")
    assert [index[i] for i in range(len(index))] == one_by_one
    if names[-1] == "a.json" and len(names) == 3:
        assert [record.meta for record in one_by_one] == [{}, {}]


def test_datasets_shows_pictures_of_our_parquet(records, tmp_path, face):
    datasets = pytest.importorskip("datasets")
    import lfic.pillow_plugin

    with open_sink(tmp_path / "a.parquet", shard_bytes=SMALL) as sink:
        for record in records:
            meta = {"label": record.meta["label"], "box": [0.5, 1.0], "what": {"deep": 1}}
            sink.write(Record(record.key, record.suffix, record.content, meta))
    found = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "a-*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["label"] for row in found] == list(range(6)) and found[0]["box"] == [0.5, 1.0]
    picture = found[3]["image"]
    assert isinstance(picture, Image.Image) and picture.size == (112, 112)
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(lfic.decode(records[3].data)))
    again = list(open_source(tmp_path / "a.parquet"))
    assert again[2].meta == {"label": 2, "box": [0.5, 1.0], "what": {"deep": 1}} and again[2].key == records[2].key


@pytest.mark.parametrize("name", ["out.tar", "out.parquet", "out.rec"])
def test_damage_is_a_record_that_says_so(name, records, tmp_path):
    with open_sink(tmp_path / name, shard_bytes=SMALL) as sink:
        for record in records:
            sink.write(record)
    first = tmp_path / name.replace("out", "out-00000")
    data = first.read_bytes()
    if name == "out.parquet":
        first.write_bytes(data[:8] + bytes(60) + data[68:])
    else:
        first.write_bytes(data[: len(data) * 3 // 5 if name == "out.rec" else 1300])
    found = list(open_source(tmp_path / name))
    bad = [r for r in found if r.error]
    assert len(bad) == 1
    assert {r.key for r in records[-2:]} <= {r.key for r in found}
    for record in bad:
        with pytest.raises(lfic.InvalidInputError, match="out-00000"):
            _ = record.data


def test_mistakes_are_named(tmp_path, records):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "a.parquet").write_text("x")
    for path, text in (("none", "nothing at"), ("notes.txt", "a source is"), ("a.parquet", "no readable parquet")):
        with pytest.raises(lfic.InvalidInputError, match=text):
            open_source(tmp_path / path)
    with pytest.raises(lfic.InvalidInputError, match="shard_bytes"):
        open_sink(tmp_path / "b.tar", shard_bytes=0)
    with open_sink(tmp_path / "out") as sink:
        for key in ("../a", "/etc/a", "a//b", ""):
            with pytest.raises(lfic.InvalidInputError, match="no name within"):
                sink.write(Record(key, "", b"x"))
    with pytest.raises(lfic.InvalidInputError, match="have the key"), open_sink(tmp_path / "c.tar") as sink:
        sink.write(records[0])
        sink.write(records[0])


def test_memory_does_not_grow_with_the_count(blobs, tmp_path):
    """Written and read as a stream: four times the records take the same memory."""
    import tracemalloc

    for name in ("out.tar", "out.parquet", "out.rec"):
        peaks = []
        for count in (400, 1_600):
            tracemalloc.start()
            with open_sink(tmp_path / str(count) / name, shard_bytes=10_000) as sink:
                for i, blob in enumerate(itertools.islice(itertools.cycle(blobs), count)):
                    sink.write(Record(f"{i:06}", ".lfic", blob))
            assert sum(1 for _ in open_source(tmp_path / str(count) / name)) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.2 * peaks[0] + 100_000, name
