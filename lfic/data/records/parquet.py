"""Records of parquet files in the layout of Hugging Face datasets.

Column "image": a struct {bytes, path}, path being the record's name. What else is known has a column each where it is a
number, a text or a list of numbers, as the first records of a file have it; the rest is JSON in the column "meta".
Columns of other files that JSON does not have: dates and times are read in ISO 8601's form, decimals and what else
there is as text, and bytes are left out. The schema's metadata tells ``datasets`` that "image" is an Image, so that
``load_dataset`` gives pictures once ``lfic.pillow_plugin`` is imported.
"""

import contextlib
import datetime
import json
import os
import pathlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import InvalidInputError, MissingDependencyError
from .meta import NO_TEXT, is_text, meta_from
from .record import LFIC, Record, RecordSource, ShardWriter, split_name

ROWS_AT_ONCE = 64  # read
ROW_GROUP = 4096  # rows written together, or as many as these bytes:
ROW_GROUP_BYTES = 32 << 20
FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}


def pyarrow() -> Any:
    """The package, with its parquet module loaded.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError(
            'reading and writing parquet files needs pyarrow: pip install "lfic[parquet]"'
        ) from None
    return pyarrow


class ParquetSource(RecordSource):
    """Parquet files, one after the other. Columns of bytes beside that of the images are counted in ``ignored``.

    Args:
        paths: the files.

    Raises:
        InvalidInputError: a file is no parquet file, or has no column of images.
    """

    def __init__(self, paths: Sequence[pathlib.Path]) -> None:
        self.paths = list(paths)
        self.done = 0
        self.rows = [self._open(path).metadata.num_rows for path in self.paths]

    def count(self) -> int:
        return sum(self.rows)

    def progress(self) -> float:
        return self.done / max(1, self.count())

    def records(self, start: int = 0) -> Iterator[Record]:
        self.done = self.ignored = 0
        for path, rows in zip(self.paths, self.rows, strict=True):
            if self.done + rows <= start:
                self.done += rows
                continue
            before = self.done
            try:
                for record in self._of(path):
                    self.done += 1
                    if self.done > start:
                        yield record
            except InvalidInputError:
                raise
            except (pyarrow().lib.ArrowException, OSError, ValueError, OverflowError) as error:
                text = f"{path} can't be read behind its row {self.done - before}: {error}"
                yield Record(path.name, "", error=text, path=os.fspath(path))
                self.done = before + rows

    def _open(self, path: pathlib.Path) -> Any:
        arrow = pyarrow()
        try:
            file = arrow.parquet.ParquetFile(
                path, memory_map=True, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
            )
        except (arrow.lib.ArrowException, OSError) as error:
            raise InvalidInputError(f"{path} is no readable parquet file: {error}") from None
        column_of(file.schema_arrow, path)
        return file

    def _of(self, path: pathlib.Path) -> Iterator[Record]:
        row = 0
        with self._open(path) as file:
            column = column_of(file.schema_arrow, path)
            self.ignored += sum(is_bytes(field.type) for field in file.schema_arrow if field.name != column)
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for fields in batch.to_pylist():
                    yield record_of(f"{path.stem}-{row:08}", fields.pop(column), fields)
                    row += 1


def column_of(schema: Any, path: pathlib.Path) -> str:
    """The column of images: "image", or the only struct of {bytes, path}."""
    types = pyarrow().types
    if "image" in schema.names:
        return "image"
    found = [
        field.name
        for field in schema
        if types.is_struct(field.type) and "bytes" in [inner.name for inner in field.type]
    ]
    if len(found) == 1:
        return str(found[0])
    raise InvalidInputError(
        f"{path} has the columns {schema.names}; needed is 'image', a struct of bytes and path, or bytes"
    )


def record_of(number: str, image: Any, fields: dict[str, Any]) -> Record:
    """A row -> its record; number: the key of a row that names no path."""
    data, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
    if isinstance(path, bytes):
        path = path.decode("utf-8", "surrogateescape")
    key, suffix = split_name(str(path).lstrip("/")) if path not in (None, "") else (number, "")
    meta: dict[str, Any] = {}
    if isinstance(fields.get("meta"), str):  # another type is a column like any other
        try:
            meta = meta_from(fields.pop("meta") or "{}")
        except ValueError as error:
            return Record(key, suffix, error=f"{path or number}: its column 'meta' {error}")
    meta |= as_json({name: value for name, value in fields.items() if value is not None})
    if not isinstance(data, bytes):
        return Record(key, suffix, error=f"{path or number}: its column 'image' holds {type(data).__name__}, no bytes")
    return Record(key, suffix or suffix_of(data), data, meta)


def as_json(value: Any) -> Any:
    """A value of a column as JSON has it, see above; bytes in a list are None."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(name): as_json(one) for name, one in value.items() if not isinstance(one, bytes)}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    if isinstance(value, (datetime.date, datetime.time)):  # a datetime is a date
        return value.isoformat()
    return None if isinstance(value, bytes) else str(value)


def is_bytes(kind: Any) -> bool:
    """Whether a column's type is that of bytes."""
    types = pyarrow().types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def suffix_of(data: bytes) -> str:
    """The suffix of a file without a name, by its first bytes: .lfic, .png or .jpg; readers of pictures trust none."""
    if data[:1] == b"\xfc":
        return LFIC
    return ".png" if data.startswith(b"\x89PNG") else ".jpg"


class ParquetWriter(ShardWriter):
    """A parquet file. Images are stored as they are: they are compressed already."""

    def __init__(self, path: pathlib.Path) -> None:
        pyarrow()
        self.path = path
        self.temporary = path.with_name(f".lfic-{secrets.token_hex(6)}")
        self.temporary.touch(exist_ok=False)
        self.writer: Any = None
        self.schema: Any = None
        self.rows: list[Record] = []
        self.size = 0

    @staticmethod
    def refusal(record: Record, before: str | None) -> str | None:
        return None if is_text(record.name) else NO_TEXT.format(record.name)

    def add(self, record: Record) -> None:
        if why := self.refusal(record, None):
            raise InvalidInputError(why)
        self.rows.append(record)
        self.size += len(record.data)
        if len(self.rows) >= ROW_GROUP or self.size >= ROW_GROUP_BYTES:
            self._flush()

    def _begin(self) -> None:
        """The schema: a column for each name that has values of one type in the first rows."""
        arrow = pyarrow()
        image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        columns = [("image", image)]
        kinds: dict[str, Any] = {}
        for row in self.rows:
            for name, value in row.meta.items():
                kinds.setdefault(name, type_of(value))
        columns += [(name, kind) for name, kind in kinds.items() if kind and is_column(name)]
        self.schema = arrow.schema([*columns, ("meta", arrow.string())], metadata={"huggingface": json.dumps(FEATURES)})
        self.writer = arrow.parquet.ParquetWriter(
            self.temporary, self.schema, compression={name: "zstd" for name, _ in columns[1:]} | {"meta": "zstd"},
            use_dictionary=[name for name, kind in columns[1:] if kind == arrow.string()] or False,
            write_statistics=False, write_page_checksum=True,
        )  # fmt: skip

    def _row(self, record: Record) -> dict[str, Any]:
        path = record.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        row: dict[str, Any] = {"image": {"bytes": record.data, "path": path}}
        rest = {}
        for name, value in record.meta.items():
            if not is_column(name) or name not in self.schema.names or type_of(value) != self.schema.field(name).type:
                rest[name] = value
            else:
                row[name] = value
        return row | {"meta": json.dumps(rest) if rest else None}

    def _flush(self) -> None:
        if self.schema is None:
            self._begin()
        if self.rows:
            rows = [self._row(record) for record in self.rows]
            self.writer.write_table(pyarrow().Table.from_pylist(rows, self.schema))
        self.rows, self.size = [], 0

    def finish(self) -> None:
        self._flush()
        self.writer.close()
        os.replace(self.temporary, self.path)

    def discard(self) -> None:
        if self.writer is not None:
            with contextlib.suppress(OSError, pyarrow().lib.ArrowException):  # a full disk does not take its end either
                self.writer.close()
        self.temporary.unlink(missing_ok=True)


def is_column(name: str) -> bool:
    """Whether what is known by a name may have a column of that name."""
    return name not in ("image", "meta") and is_utf8(name)


def is_utf8(text: str) -> bool:
    """Whether arrow takes a text: one with half a UTF-16 pair is JSON's alone."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def type_of(value: Any) -> Any:
    """The column type that holds a value; None where only JSON does."""
    arrow = pyarrow()
    if isinstance(value, bool):
        return arrow.bool_()
    if isinstance(value, int):
        return arrow.int64() if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return arrow.float64()
    if isinstance(value, str):
        return arrow.string() if is_utf8(value) else None
    if isinstance(value, list) and value:
        inner = [type_of(item) for item in value]
        if all(kind == inner[0] for kind in inner) and inner[0] is not None:
            return arrow.list_(inner[0])
        if all(kind in (arrow.int64(), arrow.float64()) for kind in inner) and all(map(is_float64, value)):
            return arrow.list_(arrow.float64())
    return None


def is_float64(value: float) -> bool:
    """Whether a number among fractions stays what it is."""
    return isinstance(value, float) or abs(value) <= 1 << 53
