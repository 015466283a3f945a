"""Faces from parquet files in Hugging Face's layout: a column "image" of {bytes, path}, perhaps one "landmarks"."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from ..errors import InvalidInputError, MissingDependencyError
from .base import Source


class Parquet(Source):
    """Parquet files; their compressed images are held in memory.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        InvalidInputError: no readable parquet file, or one without a column "image".
    """

    def __init__(self, paths: Sequence[str]):
        table = read_tables(paths)
        self.images = table["image"]
        self.landmarks = table["landmarks"] if "landmarks" in table.column_names else None
        super().__init__(names_of(self.images))

    def read(self, i: int) -> tuple[bytes, ArrayLike | None]:
        image = self.images[i].as_py()
        data = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(data, bytes):
            raise InvalidInputError(
                f"{self.names[i]}: the column 'image' holds {type(data).__name__}; needed are the bytes of an image "
                "file"
            )
        return data, None if self.landmarks is None else self.landmarks[i].as_py()


def read_tables(paths: Sequence[str]) -> Any:
    """The columns "image" and "landmarks" of all files, one pyarrow table."""
    try:
        from pyarrow import concat_tables, parquet
        from pyarrow.lib import ArrowException
    except ImportError:
        raise MissingDependencyError('reading parquet files needs pyarrow: pip install "lfic[parquet]"') from None
    tables = []
    for path in paths:
        try:
            columns = parquet.read_schema(path).names
            if "image" not in columns:
                raise InvalidInputError(f"{path} has the columns {columns}; needed is 'image'")
            tables.append(
                parquet.read_table(path, columns=[name for name in ("image", "landmarks") if name in columns])
            )
        except (ArrowException, OSError) as error:
            raise InvalidInputError(f"{path} is no readable parquet file: {error}") from None
    for path, table in zip(paths, tables):
        if table.schema != tables[0].schema:
            raise InvalidInputError(
                f"{path} has the columns {described(table)}, {paths[0]} has {described(tables[0])}: files of one data "
                "set have one schema"
            )
    return concat_tables(tables)


def described(table: Any) -> str:
    """A table's columns and their types."""
    return ", ".join(f"{field.name} ({field.type})" for field in table.schema)


def names_of(images: Any) -> list[str]:
    """The paths that a column of images mentions; the number of the row where it mentions none."""
    from pyarrow import compute, types

    names = [f"row {i}" for i in range(len(images))]
    if types.is_struct(images.type) and "path" in [field.name for field in images.type]:
        paths = compute.struct_field(images, "path").to_pylist()
        names = [path or name for path, name in zip(paths, names)]
    return names
