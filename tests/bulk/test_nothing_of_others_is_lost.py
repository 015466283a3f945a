"""What lies where a run writes: lists of errors, files beside its own, unfinished runs of another kind, full disks."""

import json
import os

import pytest
from bulk_work import Reversing, contents, run

import lfic
from lfic import bulk, cli
from lfic.bulk import Run, Transcoding
from lfic.bulk.ledger import Ledger
from lfic.bulk.manifest import Manifest
from lfic.bulk.output import FolderOutput
from lfic.data import Record, open_sink, open_source
from lfic.data.records import RecordSource


class Listed(RecordSource):
    """Records from a list."""

    def __init__(self, records):
        self.given = records

    def records(self, start=0):
        return iter(self.given[start:])

    def progress(self):
        return 1.0


def pictures(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.png").write_bytes(name.encode())
    return folder


def run_of(records, target, **options):
    return Run(Listed(records), "a list", Reversing(), target, jobs=1, **options)


# ------------------------------------------------------------------------------------------------ lists of errors


@pytest.mark.parametrize("target", ["out", "out.tar"])
@pytest.mark.parametrize("bad", [False, True])
def test_a_file_of_others_is_no_list_of_errors(target, bad, tmp_path):
    source = pictures(tmp_path / "in", "a", "bad" if bad else "b")
    for text in ("my notes", '{"source": "x", "text": 1}\n', '{"source": "mine"}'):
        (tmp_path / "notes.txt").write_text(text)
        with pytest.raises(lfic.InvalidInputError, match="is no list of an earlier run: give another name"):
            run(source, tmp_path / target, errors=tmp_path / "notes.txt")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "notes.txt"]
        assert (tmp_path / "notes.txt").read_text() == text
    (tmp_path / "notes.txt").write_text("my notes")
    for _ in range(2):
        run(source, tmp_path / target, errors=tmp_path / "notes.txt", overwrite=True, jobs=1).finish()
    line = '{"source": "bad.png", "error": "it is bad"}\n'
    expected = f"my notes\n{line}{line}" if bad else "my notes"
    assert (tmp_path / "notes.txt").read_text() == expected
    assert not (tmp_path / f"{target}.errors.jsonl").exists()


def test_a_run_that_adds_to_a_file_of_others_goes_on_with_it(tmp_path):
    source = pictures(tmp_path / "in", *(f"bad{i}" for i in range(8)), *(f"c{i}" for i in range(30)))
    (tmp_path / "notes.txt").write_text("my notes\n")
    going = run(source, tmp_path / "out", errors=tmp_path / "notes.txt", overwrite=True, jobs=1)
    next(going)
    going.close()
    with open(tmp_path / "notes.txt", "a") as file:
        file.write('{"source": "a po')  # of a portion that was not saved
    ended = run(source, tmp_path / "out", errors=tmp_path / "notes.txt", resume=True, jobs=1).finish()
    lines = (tmp_path / "notes.txt").read_text().splitlines()
    assert ended.resumed and lines[0] == "my notes" and len(lines) == 9
    assert [json.loads(line)["source"] for line in lines[1:]] == [f"bad{i}.png" for i in range(8)]


def test_a_list_of_an_earlier_run_gives_way(tmp_path):
    source = pictures(tmp_path / "in", "a", "bad")
    run(source, tmp_path / "out", jobs=1).finish()
    before = (tmp_path / "out.errors.jsonl").read_text()
    with pytest.raises(lfic.InvalidInputError, match="portion is 0"):
        run(source, tmp_path / "out", work=Reversing(portion=0), skip_existing=True)
    assert (tmp_path / "out.errors.jsonl").read_text() == before  # nothing was begun
    (source / "bad.png").unlink()
    run(source, tmp_path / "out", jobs=1, skip_existing=True).finish()
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_places_for_errors_that_are_no_files(tmp_path):
    source = pictures(tmp_path / "in", *(f"bad{i}" for i in range(20)))
    assert run(source, tmp_path / "out.tar", jobs=1, errors=os.devnull).finish().state.failed == 20
    (tmp_path / "link").symlink_to(os.devnull)
    assert run(source, tmp_path / "b.tar", jobs=1, errors=tmp_path / "link").finish().state.failed == 20
    with pytest.raises(lfic.InvalidInputError, match="is a folder; a list of errors is a file"):
        run(source, tmp_path / "c.tar", errors=tmp_path)


# ------------------------------------------------------------------------------------------------ other targets


@pytest.mark.parametrize("kind", [".tar", ".parquet", ".rec"])
def test_files_whose_names_are_alike_stay(kind, tmp_path):
    source = pictures(tmp_path / "in", "a", "b")
    others = [f"photos[1]-20240101{kind}", f"photos1{kind}"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    target = tmp_path / f"photos[1]{kind}"
    run(source, target, jobs=1, shard_bytes=1, work=Reversing(portion=1)).finish()
    assert len(list(tmp_path.glob(f"photos*-0000[01]{kind}"))) == 2
    run(source, target, jobs=1, overwrite=True).finish()
    assert [record.key for record in open_source(target)] == ["a", "b"]
    assert not list(tmp_path.glob("photos*-0000[01]*"))
    assert all((tmp_path / name).read_bytes() == b"mine" for name in others)


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_an_unfinished_run_of_another_kind_is_named(name, tmp_path):
    source, target = pictures(tmp_path / "in", "a"), tmp_path / name
    ledger = Ledger(target)
    ledger.begin({}, False, False)
    ledger.close()
    for options in ({}, {"resume": True}):
        with pytest.raises(lfic.InvalidInputError, match="unfinished run of a Ray cluster .* --ray and --resume"):
            run(source, target, **options)
    assert ledger.path.exists() and ledger.done.is_dir()
    ended = run(source, target, jobs=1, overwrite=True)
    next(ended)
    ended.close()
    assert not ledger.path.exists() and ended.state.written == 1
    state = json.loads((ledger.folder / "manifest.json").read_text())
    (ledger.folder / "manifest.json").write_text(json.dumps(state | {"complete": False}))
    for resume in (False, True):
        with pytest.raises(lfic.InvalidInputError, match="unfinished run without a cluster .* without --ray"):
            ledger.begin({}, resume, False)
    assert (ledger.folder / "manifest.json").exists()
    ledger.done.mkdir()  # nothing says what of
    run(source, target, jobs=1, overwrite=True).finish()
    assert [record.key for record in open_source(target)] == ["a"] and not ledger.done.exists()


def test_an_overwriting_run_that_was_stopped_replaces_to_its_end(tmp_path):
    source = pictures(tmp_path / "in", *(f"a{i:02}" for i in range(20)))
    for name in ("out", "out.tar"):
        run(source, tmp_path / name, jobs=1, shard_bytes=9).finish()
        before = contents(tmp_path / name)
        for path in source.iterdir():
            path.write_bytes(b"other " + path.stem.encode())
        going = run(source, tmp_path / name, jobs=1, overwrite=True)
        next(going)
        going.close()
        ended = run(source, tmp_path / name, jobs=1, resume=True).finish()
        assert (ended.state.written, ended.state.failed) == (20, 0) and contents(tmp_path / name) != before
        assert len(list(open_source(tmp_path / name))) == 20 and len(list(tmp_path.glob("out*.tar"))) < 2


# ------------------------------------------------------------------------------------------------ names of files


def test_a_label_of_others_is_not_replaced(tmp_path):
    source, out = pictures(tmp_path / "in", "a", "b"), tmp_path / "out"
    (source / "a.json").write_text('{"label": 1}')
    out.mkdir()
    (out / "a.json").write_text('{"mine": 1}')
    (result,) = [one for one in run(source, out, jobs=1) if one.error]
    assert "a.json exists: give --overwrite" in result.error
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == ["a.json", "b.lfic"]
    assert (out / "a.json").read_text() == '{"mine": 1}'
    assert run(source, out, jobs=1, overwrite=True).finish().state.failed == 0
    assert json.loads((out / "a.json").read_text()) == {"label": 1}


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"skip_existing": True}])
@pytest.mark.parametrize("between", [0, 80])
def test_a_name_that_comes_twice_is_always_an_error(options, between, tmp_path):
    keys = ["a", *(f"n{i}" for i in range(between)), "a"]
    records = [Record(key, ".png", b"%d" % i) for i, key in enumerate(keys)]
    ended = run_of(records, tmp_path / "out", **options).finish()
    assert (ended.state.written, ended.state.failed, ended.state.skipped) == (between + 1, 1, 0)
    assert "the name a.lfic comes twice" in (tmp_path / "out.errors.jsonl").read_text()
    assert (tmp_path / "out" / "a.lfic").read_bytes() == b"0"
    again = run_of(records, tmp_path / "out", overwrite=True).finish()
    assert (again.state.written, again.state.failed) == (between + 1, 1)


def test_a_name_that_comes_twice_is_known_to_a_run_that_goes_on(tmp_path):
    records = [Record(key, ".png", key.encode()) for key in ("a", *(f"n{i}" for i in range(30)), "a", "b")]
    going = run_of(records, tmp_path / "out", overwrite=True)
    next(going)
    going.close()
    ended = run_of(records, tmp_path / "out", resume=True).finish()
    assert ended.resumed and (ended.state.written, ended.state.failed) == (32, 1)
    assert [path.name for path in (tmp_path / "out" / ".lfic-run").iterdir()] == ["manifest.json"]


def test_two_files_share_what_is_known_of_both(tmp_path):
    records = [Record("a", ".png", b"1", {"x": 1}), Record("a", ".png", b"2", {"x": 2})]
    records += [Record("b", ".png", b"3", {"x": 1}), Record("b", ".lfic", b"4", {"x": 1})]
    output, manifest = FolderOutput(tmp_path / "out", True), Manifest(tmp_path / "m", {}, False, False)
    output.begin(manifest)
    first, second, third, fourth = output.add(records, manifest)
    assert first is third is fourth is None and "the name a.png comes twice" in second
    (why,) = output.add([Record("a", ".lfic", b"5", {"x": 3})], manifest)
    assert "the name a.json comes twice" in why and json.loads((tmp_path / "out" / "a.json").read_text()) == {"x": 1}
    output.close()
    manifest.lock.close()


@pytest.mark.parametrize("name, meta", [("out.parquet", {"name": "\ud800"}), ("out.rec", {"label": 1e39})])
def test_what_a_shard_can_not_hold_spoils_no_other_record(name, meta, tmp_path):
    with open_sink(tmp_path / "in.tar") as sink:
        for key, known in (("a", {"label": 1}), ("b", meta), ("c", {"label": 2})):
            sink.write(Record(key, ".png", b"x", known))
    ended = run(tmp_path / "in.tar", tmp_path / name, jobs=1).finish()
    found = {record.key: record.meta for record in open_source(tmp_path / name)}
    assert ended.state.written == len(found) and {"a", "c"} <= found.keys()
    assert ended.state.failed == (name == "out.rec") and found.get("b", meta) == meta


def test_a_full_disk_is_told_with_the_shard(tmp_path, monkeypatch):
    import errno
    import tarfile

    source = pictures(tmp_path / "in", "a")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    monkeypatch.setattr(tarfile.TarFile, "close", full)
    with pytest.raises(OSError, match=r"No space left on device: .*out\.tar"):
        run(source, tmp_path / "out.tar", jobs=1).finish()
    assert not [path for path in tmp_path.rglob(".lfic-*") if path.is_file()]


# ------------------------------------------------------------------------------------------------ wrong use


@pytest.mark.parametrize(
    "options, text",
    [
        ({"jobs": "1"}, "jobs is '1'"),
        ({"jobs": True}, "jobs is True"),
        ({"shard_bytes": "5"}, "shard_bytes is '5'"),
        ({"resume": "no"}, "resume is 'no'; allowed are True and False"),
        ({"errors": 5}, "errors is 5; a path is needed"),
        ({"max_pixels": 0}, "max_pixels is 0"),
        ({"max_pixels": "a"}, "max_pixels is 'a'"),
        ({"max_pixels": -1}, "max_pixels is -1"),
        ({"face_quality": 500}, "face_quality is 500"),
        ({"quality": 0}, "quality is 0"),
        ({"max_bytes": 9, "quality": 9}, "exclude each other"),
    ],
)
def test_options_are_checked_where_they_are_given(options, text, tmp_path):
    source = pictures(tmp_path / "in", "a")
    with pytest.raises(lfic.InvalidInputError, match=text):
        bulk.transcode(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "paths, text",
    [
        ([b"a.jpg"], r"one of the paths is b'a\.jpg'; a path is needed"),
        ([5], "one of the paths is 5; a path is needed"),
        ("a.jpg", "paths is one str"),
        (5, "paths is one int"),
    ],
)
def test_a_list_of_paths_is_one(paths, text, tmp_path):
    with pytest.raises(lfic.InvalidInputError, match=text):
        bulk.encode_files(paths, tmp_path / "out")
    with pytest.raises(lfic.InvalidInputError, match="workers is '1'"):
        bulk.encode_files(["a.jpg"], tmp_path / "out", workers="1")


def test_max_pixels_is_a_bound_however_small(face):
    work = Transcoding(".png", max_pixels=1)
    work.prepare()
    assert "raise max_pixels" in work([Record("a", ".lfic", lfic.encode(face, quality=5))])[0].error


@pytest.mark.parametrize(
    "options", [["--strict", "--errors", "F"], ["--resume"], ["--jobs", "2"], ["--shard-bytes", "9"]]
)
def test_options_that_need_a_target_are_refused_without_one(options, tmp_path, capsys):
    path = pictures(tmp_path / "in", "a") / "a.png"
    assert cli.main(["transcode", str(path), *options]) == 1
    err = capsys.readouterr().err
    assert f"{options[0]}" in err and "needs a target: give one by -o" in err
    assert [one.name for one in (tmp_path / "in").iterdir()] == ["a.png"]


@pytest.mark.parametrize("kind", [".tar", ".parquet"])
def test_a_shard_behind_a_gap_is_taken(kind, tmp_path):
    """A number of five digits is no date: a run that reached it would replace it."""
    source, target = pictures(tmp_path / "in", "a", "b"), tmp_path / f"photos{kind}"
    other = tmp_path / f"photos-00001{kind}"
    other.write_bytes(b"mine")
    with pytest.raises(lfic.InvalidInputError, match="photos-00001.* exists"):
        run(source, target, jobs=1, shard_bytes=1, work=Reversing(portion=1))
    with pytest.raises(lfic.InvalidInputError, match="photos-00001.* exists"):
        open_sink(target)
    assert Ledger(target).taken() == other and other.read_bytes() == b"mine"
    with pytest.raises(lfic.InvalidInputError, match="photos-00000.* is missing, photos-00001.* is there"):
        open_source(target)


def test_a_name_with_half_a_pair_fails_alone_in_a_folder(tmp_path):
    sink = open_sink(tmp_path / "out")
    with pytest.raises(lfic.InvalidInputError, match="half a UTF-16 pair"):
        sink.write(Record("\ud800", ".png", b"x"))
    sink.write(Record("b", ".png", b"x"))
    assert (tmp_path / "out" / "b.png").read_bytes() == b"x"
