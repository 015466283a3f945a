"""Records of tar files in WebDataset's layout: KEY.lfic (or a picture), and KEY.json with what else is known.

WebDataset ends a key at the first dot of the file's name, so a dot in a key is written %2E, and % is written %25.
"""

import contextlib
import io
import json
import lzma
import os
import pathlib
import secrets
import tarfile
import zlib
from collections.abc import Container, Iterator, Sequence
from typing import Any

from ...errors import InvalidInputError
from .links import Links
from .meta import NO_TEXT, is_text, meta_from
from .record import Record, RecordSource, ShardWriter, is_record, split_name

MOST_OF_A_SAMPLE = 64  # members that are held until what belongs together is known


class TarSource(RecordSource):
    """Tar files, one after the other; compressed ones as well. KEY.json and KEY.cls become the record's ``meta``.

    What belongs together are the members that follow one another with one key; where that has several pictures, JSON
    goes to the picture of the same whole name. A link stands for the member that it leads to; one that leads to none,
    devices and pipes are counted in ``ignored``.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        self.paths = list(paths)
        self.sizes = [path.stat().st_size for path in self.paths]
        self.done = 0

    def records(self, start: int = 0) -> Iterator[Record]:
        number = self.ignored = 0
        for index, path in enumerate(self.paths):
            for record in self._of(path, sum(self.sizes[:index]), self.sizes[index]):
                number += 1
                if number > start:
                    yield record

    def progress(self) -> float:
        return self.done / max(1, sum(self.sizes))

    def _of(self, path: pathlib.Path, before: int, size: int) -> Iterator[Record]:
        """Records of one file; a damaged file gives a record that says so."""
        sample: list[tuple[str, bytes]] = []
        links = Links(path)
        try:
            with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
                for member in tar:
                    forget(tar)
                    if member.isdir():
                        continue
                    data = content_of(tar, member) if member.isfile() else links.read(member)
                    if data is None:
                        self.ignored += 1
                        continue
                    self.done = before + min(size, file.tell())
                    if sample and not goes_on(sample, member.name):
                        yield from self._sample(sample)
                        sample = []
                    sample.append((member.name, data))
            check_end(path)
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            yield from self._sample(sample)
            yield Record(path.name, "", error=f"{path} is no whole tar file: {error}", path=os.fspath(path))
            return
        finally:
            links.close()
        yield from self._sample(sample)

    def _sample(self, sample: Sequence[tuple[str, bytes]]) -> Iterator[Record]:
        """The records of members with one key."""
        pictures = [(name, data) for name, data in sample if is_record(name)]
        others = {name: data for name, data in sample if not is_record(name)}
        for name, data in pictures:
            stem, suffix = split_name(name)
            meta, error = meta_of(others, stem_of_meta(name, len(pictures), others))
            yield Record(unescape(stem), suffix, data, meta, error=error)
        self.ignored += sum(not name.endswith((".json", ".cls")) for name in others)


def content_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """A regular member's bytes.

    Raises:
        tarfile.ReadError: the file ends within them.
    """
    content = tar.extractfile(member)
    assert content is not None
    data = content.read()
    if len(data) < member.size:
        raise tarfile.ReadError(f"{member.name} is cut short")
    return data


def check_end(path: pathlib.Path) -> None:
    """tarfile takes a file that was cut between two members for a whole one.

    Raises:
        tarfile.ReadError: an uncompressed file does not end in zeros.
    """
    with open(path, "rb") as file:
        plain = file.read(512)[257:262] == b"ustar"
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1024))
        if plain and any(file.read()):
            raise tarfile.ReadError("its end is missing")


def forget(tar: tarfile.TarFile) -> None:
    """Drop the headers that a TarFile keeps of every member: memory would grow with their count."""
    vars(tar)["members"].clear()  # getmembers() would read the whole file


def key_of(name: str) -> str:
    """WebDataset's key: up to the first dot behind the last slash."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def goes_on(sample: Sequence[tuple[str, Any]], name: str) -> bool:
    """Whether the member of that name belongs to the members, (name, anything), that lie before it."""
    return key_of(sample[0][0]) == key_of(name) and len(sample) < MOST_OF_A_SAMPLE


def stem_of_meta(name: str, pictures: int, others: Container[str]) -> str:
    """What .json and .cls of a picture are called; ``pictures`` and the names ``others`` are those of its key."""
    stem = split_name(name)[0]
    return stem if pictures > 1 or f"{stem}.json" in others else key_of(name)


def meta_of(others: dict[str, bytes], stem: str) -> tuple[dict[str, Any], str | None]:
    """(what STEM.json and STEM.cls say, None), or ({}, why they can't be read)."""
    meta: dict[str, Any] = {}
    try:
        if f"{stem}.cls" in others:
            meta["label"] = int(others[f"{stem}.cls"])
    except ValueError as error:
        return {}, f"{stem}.cls holds no number: {error}"
    try:
        if f"{stem}.json" in others:
            meta |= meta_from(others[f"{stem}.json"])
    except ValueError as error:
        return {}, f"{stem}.json {error}"
    return meta, None


def escape(key: str) -> str:
    """A key without dots behind its last slash, and without a leading slash."""
    folder, slash, base = key.lstrip("/").rpartition("/")
    return folder + slash + base.replace("%", "%25").replace(".", "%2E")


def unescape(key: str) -> str:
    """The inverse of ``escape``."""
    folder, slash, base = key.removeprefix("./").rpartition("/")
    return folder + slash + base.replace("%2E", ".").replace("%25", "%")


class TarWriter(ShardWriter):
    """A tar file; members have no owner and no date, so that equal records give equal files."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.last: str | None = None
        self.temporary = path.with_name(f".lfic-{secrets.token_hex(6)}")
        self.tar = tarfile.open(  # noqa: SIM115  (closed by ``finish``)
            self.temporary, "x", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
        )

    @staticmethod
    def refusal(record: Record, before: str | None) -> str | None:
        if record.key == before:
            return f"two records that follow one another have the key {record.key!r}: WebDataset takes them for one"
        return None if is_text(record.name) else NO_TEXT.format(record.name)

    def add(self, record: Record) -> None:
        if why := self.refusal(record, self.last):
            raise InvalidInputError(why)
        self.last = record.key
        key = escape(record.key)
        self._member(key + record.suffix, record.data)
        if record.meta:
            self._member(f"{key}.json", json.dumps(record.meta).encode())

    def _member(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data))
        forget(self.tar)

    def finish(self) -> None:
        self.tar.close()
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # a full disk does not take its end either
            self.tar.close()
        self.temporary.unlink(missing_ok=True)
