"""The rejected rows of an import as a Parquet file: their place, the reason, and their values."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucleus_pandas.errors import FileError, InvalidInputError
from nucleus_pandas.io.parquet.sources import first_line

_OURS = b"nucleus_pandas.rejects"
_PLACE = pa.schema(
    [
        pa.field("reject_file", pa.string(), metadata={"description": "the file"}),
        pa.field("reject_row_group", pa.int64(), metadata={"description": "its row group, from 0"}),
        pa.field("reject_row", pa.int64(), metadata={"description": "the row of the file, from 0"}),
        pa.field("reject_column", pa.string(), metadata={"description": "the column that is wrong, if it is one"}),
        pa.field("reject_reason", pa.string(), metadata={"description": "what is wrong, and what to do"}),
    ],
    metadata={_OURS: b"1"},
)


class Rejects:
    """Writes rejected rows as they occur; the file gets its name at the end.

    Parameters
    ----------
    path : pathlib.Path
        The file, which exists only if a row is rejected. Rejects of an earlier import are replaced, or removed.

    Raises
    ------
    InvalidInputError
        Another file has that name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: IO[bytes] | None = None  # without a name, so that a killed process leaves nothing
        self._writer: Any = None
        self._schema = _PLACE
        if path.exists() and not _is_ours(path):
            raise InvalidInputError(
                f"'{path}' exists and is not a file of rejects; name another file by rejects=, or move it.",
                argument="rejects",
            )

    def add(
        self,
        file: str,
        row_group: int,
        rows: Sequence[int | None],
        columns: Sequence[str | None],
        reasons: Sequence[str],
        held: Any,
    ) -> None:
        """Write some rows.

        Parameters
        ----------
        rows : sequence of int or None
            Their numbers in the file; None where the server does not name them.
        held : pyarrow.Table
            Their values.
        """
        if not len(rows):
            return
        count = len(rows)
        place = [
            pa.array([file] * count, pa.string()),
            pa.array([row_group] * count, pa.int64()),
            pa.array(rows, pa.int64()),
            pa.array(columns, pa.string()),
            pa.array(reasons, pa.string()),
        ]
        table = pa.Table.from_arrays([*place, *held.columns], names=[*_PLACE.names, *held.column_names])
        with self._reported():
            self._write(table)
        self.count += count

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise FileError for errors of the disk."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise FileError(
                f"The rejects cannot be written to '{self.path}': {first_line(error)}. Free space, or name another "
                "file by rejects=, and run the import again."
            ) from error

    def _write(self, table: Any) -> None:
        schema = _united(self._schema, table.schema)
        if self._writer is None or not schema.equals(self._schema):
            self._widen(schema)
        self._writer.write_table(_as(table, schema))

    def _widen(self, schema: Any) -> None:
        """Start a file with the columns of both schemas, and copy the rows so far: later files may have more."""
        earlier = self._file
        if self._writer is not None:
            self._writer.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=self.path.parent)  # noqa: SIM115 closed with the rejects
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        self._schema = schema
        if earlier is not None:
            with earlier:
                old = pq.ParquetFile(earlier)
                for group in range(old.num_row_groups):
                    self._writer.write_table(_as(old.read_row_group(group), schema))

    def close(self, *, keep: bool) -> None:
        """Assign the file its name, if there are rows and they are kept."""
        if self._file is None:
            if keep:
                self.path.unlink(missing_ok=True)
            return
        with self._file:
            self._writer.close()
            if keep:
                self._name(self._file)

    def _name(self, file: IO[bytes]) -> None:
        """Copy the file to its path, atomically."""
        file.seek(0)
        partial = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.partial")
        try:
            with partial.open("xb") as named:
                shutil.copyfileobj(file, named)
            os.replace(partial, self.path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            with self._reported():
                self.close(keep=True)
        else:
            with suppress(pa.ArrowException, OSError):  # the error that ended the import is more important
                self.close(keep=self.count > 0)


def holds_rejects(schema: pa.Schema) -> bool:
    """Return True if a file holds rejected rows."""
    return _OURS in (schema.metadata or {})


def _is_ours(path: Path) -> bool:
    try:
        return holds_rejects(pq.read_schema(path))
    except (pa.ArrowException, OSError):
        return False


def _united(first: Any, second: Any) -> Any:
    """Return a schema with the columns of both; a column of two types becomes strings."""
    fields = {field.name: field for field in first}
    for field in second:
        known = fields.get(field.name)
        if known is None or known.type == pa.null():
            fields[field.name] = field
        elif known.type != field.type and field.type != pa.null():
            fields[field.name] = pa.field(field.name, pa.string())
    return pa.schema(list(fields.values()), metadata=_PLACE.metadata)


def _as(table: Any, schema: Any) -> Any:
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        columns.append(column if column.type == field.type else _cast(column, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: Any, kind: Any) -> Any:
    try:
        return pc.cast(column, kind)
    except pa.ArrowException:  # lists and structs cannot be cast to strings
        values = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.array(values, kind)
