"""Records that others made, and such as a kind of file can't hold: one that can't be read or kept spoils no other."""

import datetime
import decimal
import io
import json
import os
import tarfile

import pytest

import lfic
from lfic.data import Record, open_sink, open_source
from lfic.data.numbered import index_of
from lfic.data.recordio import Header, RecordWriter, pack
from lfic.data.records.parquet import ParquetWriter
from lfic.data.records.rec import RecWriter
from lfic.data.records.tar import TarWriter

DEEP = [b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900, b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"]


def metas(path):
    return {record.key: record.meta for record in open_source(path)}


def table(path, **columns):
    """A parquet file of one or more rows whose images are there."""
    import pyarrow
    import pyarrow.parquet

    rows = len(next(iter(columns.values())))
    images = columns.pop("image", [{"bytes": b"x", "path": f"{i}.png"} for i in range(rows)])
    pyarrow.parquet.write_table(pyarrow.table({"image": images, **columns}), path)


# ------------------------------------------------------------------------------------------------ names of shards


def test_a_date_is_no_number_of_a_shard(tmp_path):
    for name in ("photos-20240101.tar", "photos-000000.tar", "photos-00003.tar"):
        (tmp_path / name).write_bytes(b"mine")
    for _ in range(2):
        with open_sink(tmp_path / "photos.tar", replace=True, shard_bytes=1) as sink:
            for i in range(2):
                sink.write(Record(str(i), ".png", b"x"))
    (tmp_path / "photos-00003.tar").unlink()
    assert [record.key for record in open_source(tmp_path / "photos.tar")] == ["0", "1"]
    with open_sink(tmp_path / "photos.tar", replace=True) as sink:
        sink.write(Record("a", ".png", b"x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "photos-000000.tar",
        "photos-20240101.tar",
        "photos.tar",
    ]
    assert (tmp_path / "photos-20240101.tar").read_bytes() == b"mine"


def test_a_shard_that_is_missing_is_told(tmp_path):
    with open_sink(tmp_path / "a.tar", shard_bytes=1) as sink:
        for i in range(3):
            sink.write(Record(str(i), ".png", b"x"))
    (tmp_path / "a-00001.tar").unlink()
    with pytest.raises(lfic.InvalidInputError, match=r"a-00001.tar is missing, a-00002.tar is there"):
        open_source(tmp_path / "a.tar")
    assert [record.key for record in open_source(tmp_path / "a-*.tar")] == ["0", "2"]


@pytest.mark.parametrize("suffix", [".tar", ".rec"])
def test_a_target_is_no_pattern(suffix, tmp_path):
    (tmp_path / f"o1{suffix}").write_bytes(b"mine")
    for _ in range(2):
        with open_sink(tmp_path / f"o[1]{suffix}", replace=True) as sink:
            sink.write(Record("a", ".png", b"x"))
    assert (tmp_path / f"o1{suffix}").read_bytes() == b"mine"
    assert [record.key for record in open_source(tmp_path / f"o[1]{suffix}")] == ["a"]


# ------------------------------------------------------------------------------------------------ sources


def test_links_of_a_tar_are_the_members_that_they_name(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    (tmp_path / "in" / "a.json").write_text('{"label": 3}')
    os.link(tmp_path / "in" / "a.png", tmp_path / "in" / "b.png")
    (tmp_path / "in" / "c.png").symlink_to("b.png")
    (tmp_path / "in" / "deep" / "d.png").symlink_to("../z.png")
    (tmp_path / "in" / "z.png").write_bytes(b"z")
    (tmp_path / "in" / "out.png").symlink_to("/etc/hostname")
    (tmp_path / "in" / "round.png").symlink_to("round.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    names = ["a.png", "a.json", "b.png", "c.png", "deep", "out.png", "round.png", "pipe.png", "z.png"]
    for mode in ("w", "w:gz"):
        with tarfile.open(tmp_path / "x.tar", mode) as tar:
            for name in names:
                tar.add(tmp_path / "in" / name, name)
        source = open_source(tmp_path / "x.tar")
        found = {record.key: record.data for record in source}
        assert found == {"a": b"a", "b": b"a", "c": b"a", "deep/d": b"z", "z": b"z"}
        assert source.ignored == 3 and metas(tmp_path / "x.tar")["a"] == {"label": 3}
        if mode == "w":
            index = index_of(tmp_path / "x.tar")
            assert {index[i].key: index[i].data for i in range(len(index))} == found


@pytest.mark.parametrize("text", DEEP)
def test_a_label_that_is_nested_without_end_is_an_error_of_its_record(text, tmp_path):
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in (("a.png", b"a"), ("a.json", text), ("b.png", b"b"), ("b.json", b'{"x": [[1]]}')):
            (tmp_path / "in" / name).write_bytes(data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    table(tmp_path / "x.parquet", meta=[text.decode(), '{"x": [[1]]}'])
    for name in ("in", "x.tar", "x.parquet"):
        bad, good = open_source(tmp_path / name)
        assert "64 lists and objects in one another" in bad.error, name
        assert good.error is None and good.meta == {"x": [[1]]}
    assert "64 lists" in index_of(tmp_path / "x.tar")[0].error


def test_a_pipe_in_a_folder_is_not_opened(tmp_path):
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "p.jpg")
    os.mkfifo(tmp_path / "in" / "a.json")
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "c.png").symlink_to(tmp_path / "in" / "p.jpg")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere")
    source = open_source(tmp_path / "in")
    assert [record.name for record in source] == ["a.png", "b.png", "gone.png"] and source.ignored == 3
    with pytest.raises(lfic.InvalidInputError, match="No such file"):
        _ = list(source)[2].data


def test_columns_that_json_does_not_have(tmp_path):
    import pyarrow

    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    table(
        tmp_path / "x.parquet",
        moment=pyarrow.array([moment], pyarrow.timestamp("us", "UTC")),
        day=[moment.date()],
        price=[decimal.Decimal("1.50")],
        mask=[b"bytes"],
        inner=[{"at": moment.time(), "raw": b"bytes", "n": 1}],
    )
    source = open_source(tmp_path / "x.parquet")
    (record,) = source
    assert record.meta == {
        "moment": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "price": "1.50",
        "inner": {"at": "03:04:05", "n": 1},
    }
    assert source.ignored == 1 and json.dumps(record.meta)
    assert index_of(tmp_path / "x.parquet")[0].meta == record.meta


def test_strange_columns_of_parquet(tmp_path):
    table(tmp_path / "list.parquet", meta=["[1]", '{"a": 1}'])
    bad, good = open_source(tmp_path / "list.parquet")
    assert "column 'meta' holds list; an object is needed" in bad.error and good.meta == {"a": 1}
    table(tmp_path / "number.parquet", meta=[7])
    assert [record.meta for record in open_source(tmp_path / "number.parquet")] == [{"meta": 7}]
    table(tmp_path / "path.parquet", image=[{"bytes": b"x", "path": 17}, {"bytes": b"x", "path": None}], label=[1, 2])
    assert [record.key for record in open_source(tmp_path / "path.parquet")] == ["17", "path-00000001"]


def test_a_label_that_is_no_number_loses_nothing_else(tmp_path):
    with RecordWriter(tmp_path / "x.rec") as out:
        for i, label in enumerate((1.0, float("nan"), float("inf"), 2.5)):
            out.write(i, pack(Header((label,), i), b"x"))
        out.write(4, pack(Header((1.0, float("nan")), 4), b"x"))
    expected = [1, None, None, 2.5, [1, None]]
    assert [record.meta["label"] for record in open_source(tmp_path / "x.rec")] == expected
    index = index_of(tmp_path / "x.rec")
    assert [index[i].meta["label"] for i in range(len(index))] == expected


# ------------------------------------------------------------------------------------------------ sinks


@pytest.mark.parametrize("label", [float("nan"), float("inf"), 16777217, 1e39, 10**400, [1, 2**60 + 1], [0] * 70_000])
def test_a_label_that_a_rec_file_does_not_hold_is_refused(label, tmp_path):
    record = Record("a", ".png", b"x", {"label": label})
    why = RecWriter.refusal(record, None)
    assert why.startswith("a.png has ") and len(why) < 200
    with pytest.raises(lfic.InvalidInputError), open_sink(tmp_path / "a.rec") as sink:
        sink.write(record)
    assert not list(tmp_path.iterdir())


def test_labels_that_a_rec_file_holds_come_back(tmp_path):
    labels = [0, -3, 16777216, 2**60, 0.1, 1234567]
    with open_sink(tmp_path / "a.rec") as sink:
        for i, label in enumerate(labels):
            sink.write(Record(str(i), ".png", b"x", {"label": label}))
    assert [record.meta["label"] for record in open_source(tmp_path / "a.rec")] == pytest.approx(labels)
    assert (tmp_path / "a.lst").read_text().splitlines()[-1] == "5\t1234567\t5.png"


@pytest.mark.parametrize("writer", [TarWriter, ParquetWriter, RecWriter])
def test_a_name_that_nobody_can_write_is_refused(writer):
    assert "half a UTF-16 pair" in writer.refusal(Record("\ud800", ".png", b"x"), None)
    assert writer.refusal(Record("ü\udcff", ".png", b"x"), None) is None


@pytest.mark.parametrize("name", ["out", "out.tar", "out.parquet"])
def test_what_is_known_comes_back_whatever_it_is(name, tmp_path):
    known = [
        {"meta": "hello", "image": 3, "x": 1},
        {"meta": {"deep": [None]}, "x": "a"},
        {"name": "\ud800", "\ud800": "name"},
        {"x": [9007199254740993, 0.5], "y": [1, 0.5], "z": 2**70},
        {"a.b": 1, "": 2, "list": [[1], [2.5]], "none": None, "empty": []},
    ]
    with open_sink(tmp_path / name) as sink:
        for i, meta in enumerate(known):
            sink.write(Record(str(i), ".png", b"x", meta))
    assert [record.meta for record in open_source(tmp_path / name)] == known


@pytest.mark.parametrize("name", ["out.tar", "out.parquet", "out.rec"])
def test_a_full_disk_names_the_file_and_leaves_nothing(name, tmp_path):
    resource = pytest.importorskip("resource")
    import signal

    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught, open_sink(tmp_path / name) as sink:
            for i in range(4):
                sink.write(Record(str(i), ".png", os.urandom(9_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert name in str(caught.value.filename) and not list(tmp_path.iterdir())


def test_a_label_beside_a_picture_is_not_replaced(tmp_path):
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with open_sink(tmp_path) as sink:
        with pytest.raises(lfic.InvalidInputError, match=r"a\.json exists"):
            sink.write(Record("a", ".png", b"x", {"label": 1}))
        sink.write(Record("a", ".lfic", b"x", {"mine": 1}))  # it says the same
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.lfic"]
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}'


def test_what_stands_behind_a_link_of_a_tar_that_is_cut(tmp_path):
    """The link is looked up in what there is; the damage is told where it is."""
    place = tmp_path / "cut.tar"
    with tarfile.open(place, "w") as tar:
        for name in ("a", "z", "b", "c"):
            info = tarfile.TarInfo(f"{name}.png")
            if name == "z":
                info.type, info.linkname = tarfile.LNKTYPE, "a.png"
                tar.addfile(info)
            else:
                info.size = 2000
                tar.addfile(info, io.BytesIO(name.encode() * 2000))
    data = place.read_bytes()
    place.write_bytes(data[: data.index(b"c" * 100) + 100])
    *whole, broken = open_source(place)
    assert [(record.key, record.data[:1]) for record in whole] == [("a", b"a"), ("z", b"a"), ("b", b"b")]
    assert broken.error is not None and "is no whole tar file" in broken.error
