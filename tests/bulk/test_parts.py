"""What of a source is done, as intervals of rows, and the folder that says so."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfic.bulk.ledger import Entry, Ledger
from lfic.bulk.parts import FILES_OF_A_PART, Part, digest, intervals, joined, left, overlap, parts_of
from lfic.data.records import Record, open_sink
from lfic.errors import InvalidInputError

ROWS = st.sets(st.integers(0, 40))


@given(ROWS)
def test_intervals_hold_their_rows(rows):
    found = intervals(rows)
    assert {row for start, end in found for row in range(start, end)} == rows
    assert all(a[1] < b[0] for a, b in itertools.pairwise(found))


@given(ROWS, ROWS)
def test_joined_and_overlap(some, others):
    both = [*intervals(some), *intervals(others)]
    assert joined(both) == intervals(some | others)
    twice = overlap(both)
    assert (twice is None) == (not some & others)
    assert twice is None or set(range(*twice)) <= some & others


@given(ROWS, st.integers(0, 45))
def test_left_is_the_rest(done, count):
    part = Part(files=tuple(Record(str(i), ".png", b"") for i in range(count)))
    assert [(row, record.key) for row, record in left(part, intervals(done))] == [
        (row, str(row)) for row in range(count) if row not in done
    ]


def test_parts_of_folders_and_shards(tmp_path):
    with open_sink(tmp_path / "folder") as sink:
        for i in range(FILES_OF_A_PART + 3):
            sink.write(Record(f"{i % 3}/{i}", ".png", b"x"))
    parts = parts_of(tmp_path / "folder")
    assert [len(part.files) for part in parts] == [FILES_OF_A_PART, 3]
    with open_sink(tmp_path / "s.tar", shard_bytes=10) as sink:
        for i in range(30):
            sink.write(Record(f"{i}", ".png", b"x"))
    shards = parts_of(tmp_path / "s.tar")
    assert [len(list(part.records())) for part in shards] == [10, 10, 10]
    assert [record.key for record in shards[1].records(8)] == ["18", "19"]
    before = digest(shards)
    (tmp_path / "s-00001.tar").write_bytes(b"")
    assert digest(shards) != before
    (damaged,) = shards[1].records()
    assert "s-00001.tar" in damaged.error


def test_the_ledger_counts_each_row_once(tmp_path):
    ledger = Ledger(tmp_path / "out.tar")
    assert ledger.begin({"source": "a"}, False, False) is False
    ledger.commit(Entry({0: [(0, 3)], 2: [(4, 6)]}, 5, 50))
    ledger.commit(Entry({0: [(0, 3)], 2: [(4, 6)]}, 5, 50))  # a task that was run again
    ledger.commit(Entry({0: [(3, 5)]}, 2, 20))
    assert ledger.rows() == {0: [(0, 5)], 2: [(4, 6)]}
    ledger.counted(0, 5)
    assert ledger.counts() == {0: 5}
    ledger.commit(Entry({0: [(2, 4)]}, 2, 20))
    with pytest.raises(InvalidInputError, match="rows 2 to 2 of part 0 are in two shards"):
        ledger.rows()
    ledger.close()


def test_runs_that_are_there(tmp_path):
    ledger = Ledger(tmp_path / "out.tar")
    ledger.begin({"source": "a"}, False, False)
    with pytest.raises(InvalidInputError, match="is locked"):
        Ledger(tmp_path / "out.tar").begin({"source": "a"}, True, False)
    ledger.close()
    with pytest.raises(InvalidInputError, match="not finished: go on with --resume"):
        Ledger(tmp_path / "out.tar").begin({"source": "a"}, False, False)
    with pytest.raises(InvalidInputError, match="source was 'a', now it is 'b'"):
        Ledger(tmp_path / "out.tar").begin({"source": "b"}, True, False)
    again = Ledger(tmp_path / "out.tar")
    assert again.begin({"source": "a"}, True, False) is True
    again.finish(written=0)
    again.close()
    (tmp_path / "out.tar").write_bytes(b"x")
    with pytest.raises(InvalidInputError, match="out.tar exists"):
        Ledger(tmp_path / "out.tar").begin({"source": "a"}, False, False)
    afresh = Ledger(tmp_path / "out.tar")
    assert afresh.begin({"source": "b"}, False, True) is False and not (tmp_path / "out.tar").exists()
    afresh.close()


def test_shards_get_their_numbers_in_the_sources_order_even_if_killed_meanwhile(tmp_path):
    ledger = Ledger(tmp_path / "out.tar")
    ledger.begin({}, False, False)
    for number in (2, 0, 1):
        (ledger.shards / f"{number}.tar").write_bytes(str(number).encode())
        ledger.commit(Entry({number: [(0, 1)]}, 1, 1, shard=f"{number}.tar"))
    (ledger.shards / "0.tar").rename(tmp_path / "out-00000.tar")  # as far as an earlier attempt came
    ledger.finish(written=3)
    ledger.close()
    assert [(tmp_path / f"out-0000{i}.tar").read_bytes() for i in range(3)] == [b"0", b"1", b"2"]
    assert sorted(path.name for path in ledger.folder.iterdir()) == ["lock", "run.json"]
