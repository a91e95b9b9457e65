"""Tables of other libraries: whatever exports Arrow becomes a DataFrame, at this one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias

import pandas as pd
import pyarrow as pa

from nucleus_pandas.errors import InvalidInputError


class ArrowTable(Protocol):
    """What exports a table as an Arrow stream: frames of polars, tables of pyarrow, results of DuckDB, narwhals, views.

    The method is that of Arrow's PyCapsule interface.
    """

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


FrameLike: TypeAlias = pd.DataFrame | ArrowTable
"""What functions take as a frame."""

_PAYLOADS = " Lists of dicts and payloads go to dataset.append, dataset.annotate and run.predict."
_INDEX = "__index_level_"  # as pandas calls index levels without a name when it writes them as columns


def as_frame(value: object) -> pd.DataFrame | None:
    """Return a DataFrame as it is, and another library's table as a DataFrame; None if it is neither.

    Columns of tables have Arrow dtypes, so that integers with missing values, structs and lists are exact, and the
    rows have a RangeIndex. A stream that can be read only once is read here.

    Raises
    ------
    InvalidInputError
        The table cannot be exported or read.

    Examples
    --------
    >>> as_frame(pa.table({"reference_id": ["a.jpg"], "width": [None]}))["reference_id"].tolist()
    ['a.jpg']
    >>> as_frame(["a.jpg"]) is None
    True
    """
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, (pd.Series, pd.Index, pa.Array, pa.ChunkedArray)):
        return None
    try:
        table = _table(value)
    except (pa.ArrowException, TypeError, ValueError, OSError, NotImplementedError) as error:
        raise InvalidInputError(
            f"The {type_name(value)} cannot be read as an Arrow table: {error} Convert it to a pandas.DataFrame, and "
            "pass that."
        ) from error
    if table is None:
        return None
    kept = [name for name in table.column_names if not name.startswith(_INDEX)]
    columns = [plain_column(column) for name, column in zip(table.column_names, table.columns, strict=True)]
    plain = pa.Table.from_arrays(columns, names=table.column_names)
    if len(kept) < len(columns):
        plain = plain.select(kept)
    if not columns:
        return pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    frame: pd.DataFrame = plain.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    return frame


def frame_of(value: object, what: str = "a DataFrame") -> pd.DataFrame:
    """Return a DataFrame, or another library's table as a DataFrame.

    Parameters
    ----------
    value : object
        What the caller passed.
    what : str
        What was expected, for the error.

    Raises
    ------
    InvalidInputError
        It is neither; the text says how to convert it, where that is known.

    Examples
    --------
    >>> frame_of(pa.table({"x": [1]})).index
    RangeIndex(start=0, stop=1, step=1)
    """
    frame = as_frame(value)
    if frame is None:
        payloads = _PAYLOADS if isinstance(value, (list, tuple, Mapping)) else ""
        raise InvalidInputError(f"Expected {what}, got {type_name(value)}.{payloads}{conversion(value)}")
    return frame


def type_name(value: object) -> str:
    """Return the name of an object's type, with its library where that is not Python itself.

    Examples
    --------
    >>> type_name([]), type_name(pa.array([1]))
    ('list', 'pyarrow Int64Array')
    """
    kind = type(value)
    library = kind.__module__.partition(".")[0].lstrip("_")
    own = library in ("builtins", "nucleus_pandas", "main", "")
    return kind.__name__ if own else f"{library} {kind.__name__}"


def conversion(value: object) -> str:
    """Return the sentence that says how an object becomes a frame; empty where no way is known.

    Examples
    --------
    >>> conversion(pd.Series([1]))
    ' It is a single column or row: .to_frame() makes a column a frame, .to_frame().T a row.'
    """

    def has(name: str) -> bool:
        return callable(getattr(value, name, None))

    if isinstance(value, type):
        return ""
    if isinstance(value, (pd.Series, pd.Index)):
        return " It is a single column or row: .to_frame() makes a column a frame, .to_frame().T a row."
    if has("toPandas"):
        return " Pass .toPandas() of it."
    if has("collect"):
        return " It is lazy: pass .collect() of it."
    if has("compute"):
        return " It is lazy: pass .compute() of it."
    if hasattr(value, "items") and hasattr(value, "annotations"):
        return " Pass its rows: .items.to_frame() or .annotations.to_frame()."
    for method in ("to_frame", "to_pandas", "to_pyarrow"):
        if has(method):
            return f" Pass .{method}() of it."
    if hasattr(value, "__array__"):
        return " Pass a pandas.DataFrame of it, with the names of its columns."
    return ""


def ids_column(values: Iterable[Any]) -> pd.Series[Any]:
    """Return a list, a Series, or another library's column of ids as a Series.

    Examples
    --------
    >>> ids_column(pa.array(["a", None])).tolist()
    ['a', None]
    """
    if isinstance(values, pd.Series):
        return values
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        values = values.to_pylist()  # iterated over, they are scalars of Arrow
    return pd.Series(list(values), dtype=object)


def plain_column(column: Any) -> Any:
    """Return an Arrow column in the types that pandas and Arrow's kernels support everywhere.

    Views of strings, bytes and lists, dictionaries and extension types become what they stand for, also inside structs
    and lists.
    """
    kind = _plain_type(column.type)
    if kind == column.type:
        return column
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    converted = [_converted(chunk, kind) for chunk in chunks]
    return pa.chunked_array(converted, kind) if isinstance(column, pa.ChunkedArray) else converted[0]


def _table(value: object) -> Any:
    """Read a table by Arrow's PyCapsule interface; None if this is not a table."""
    if hasattr(value, "__arrow_c_stream__"):
        reader = _if_table(pa.RecordBatchReader.from_stream, value)
        return None if reader is None else reader.read_all()
    if hasattr(value, "__arrow_c_array__"):
        batch = _if_table(pa.record_batch, value)
        return None if batch is None else pa.Table.from_batches([batch])
    return None


def _if_table(read: Any, value: object) -> Any:
    """Read a table; None where the schema is that of a single column, such as a polars Series."""
    try:
        return read(value)
    except pa.ArrowInvalid as error:
        if "non-struct" in str(error):
            return None
        raise


def _converted(chunk: Any, kind: Any) -> Any:
    if isinstance(chunk, pa.ExtensionArray):
        return plain_column(chunk.storage)
    if isinstance(chunk, pa.DictionaryArray):
        # the words first: views of strings cannot be decoded
        return pa.DictionaryArray.from_arrays(chunk.indices, plain_column(chunk.dictionary)).dictionary_decode()
    try:
        return chunk.cast(kind)
    except pa.ArrowException:  # kinds that Arrow does not cast inside others
        return pa.array(chunk.to_pylist(), kind)


def _plain_type(kind: Any) -> Any:
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return pa.struct([pa.field(field.name, _plain_type(field.type), field.nullable) for field in fields])
    if types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind), kind.list_size)
    if types.is_list(kind):
        return pa.list_(_plain_field(kind))
    if types.is_large_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        return pa.large_list(_plain_field(kind))
    return kind


def _plain_field(kind: Any) -> Any:
    field = kind.value_field
    return pa.field(field.name, _plain_type(field.type), field.nullable)
