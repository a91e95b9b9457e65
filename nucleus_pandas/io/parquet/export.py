"""Exports of a dataset to Parquet files, row group by row group."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nucleus_pandas._util.compat import __version__
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.parquet.atomic_folder import whole_folder
from nucleus_pandas.io.parquet.export_schema import EXPORT_KINDS, ExportKind, schema
from nucleus_pandas.schema import EXPORTED, frame
from nucleus_pandas.uploads.journal import FILE_NAME as JOURNAL
from nucleus_pandas.views import View

ROW_GROUP = 100_000
"""Rows of a row group: what is in memory at once."""

_RUN = "model_run_id"
_FILES = [
    "items.parquet",
    "annotations.parquet",
    f"predictions/{_RUN}=*/predictions.parquet",
    f"matches/{_RUN}=*/matches.parquet",
]
_BESIDE = [  # the journal and the rejects of an import of the export
    f"{folder}{name}"
    for folder in ("", "predictions/", f"predictions/{_RUN}=*/")
    for name in (f"{JOURNAL}*", "_*.rejects.parquet")
]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class ExportFile:
    """One file of an export.

    Attributes
    ----------
    what : {"items", "annotations", "predictions", "matches"}
        The kind of the rows.
    rows : callable
        Yields them frame by frame, with metadata as JSON strings.
    about : dict
        Their origin, in addition to the dataset. ``model_run_id`` names the folder of the file.
    """

    what: ExportKind
    rows: Callable[[], Iterator[pd.DataFrame]]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file, in the folder of the export."""
        name = f"{self.what}.parquet"
        run = self.about.get(_RUN)
        return Path(name) if run is None else Path(self.what, f"{_RUN}={quote(run, safe='')}", name)


def rows_of(view: View) -> Iterator[pd.DataFrame]:
    """Read a view as an `ExportFile` yields its rows."""
    return view.iter_frames(ROW_GROUP, metadata_as="json", dtype_backend="pyarrow")


def check_what(what: Iterable[ExportKind]) -> list[ExportKind]:
    """Return the kinds to export in their fixed order, or raise InvalidInputError."""
    kinds = [what] if isinstance(what, str) else list(what)
    if not kinds or any(kind not in EXPORT_KINDS for kind in kinds):
        raise InvalidInputError(
            f"what= is a list of {', '.join(map(repr, EXPORT_KINDS))}, not {what!r}.", argument="what"
        )
    return [kind for kind in EXPORT_KINDS if kind in kinds]


def export(
    folder: str | os.PathLike[str], parts: Iterable[ExportFile], about: Mapping[str, Any], *, overwrite: bool
) -> pd.DataFrame:
    """Write files into a folder, which appears when all are complete.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    parts : iterable of ExportFile
        The files to write.
    about : dict
        The dataset that the rows belong to.
    overwrite : bool
        Whether an earlier export in that folder is replaced.

    Returns
    -------
    pandas.DataFrame
        One row per file: ``what``, ``model_run_id``, ``path``, ``rows``, ``bytes``.
    """
    about = {**about, "exported_at": datetime.now(UTC).isoformat(timespec="seconds"), "exported_by": __version__}
    written: dict[str, list[Any]] = {name: [] for name in EXPORTED}
    with whole_folder(folder, [*_FILES, *_BESIDE], overwrite=overwrite) as temporary:
        for exported in parts:
            file = temporary / exported.path
            file.parent.mkdir(parents=True, exist_ok=True)
            written["rows"].append(_write(file, exported.rows(), schema(exported.what, {**about, **exported.about})))
            written["what"].append(exported.what)
            written[_RUN].append(exported.about.get(_RUN))
            written["path"].append(str(Path(folder) / exported.path))
            written["bytes"].append(file.stat().st_size)
    return frame(written, EXPORTED)


def _write(file: Path, frames: Iterator[pd.DataFrame], described: pa.Schema) -> int:
    count = 0
    with pq.ParquetWriter(file, described, compression="zstd") as writer:
        for table in _row_groups(_table(rows, described) for rows in frames):
            writer.write_table(table)
            count += len(table)
    return count


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Combine small tables up to the size of a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROW_GROUP:
            whole = pa.concat_tables(waiting)
            full = len(whole) - len(whole) % ROW_GROUP
            yield from (whole.slice(start, ROW_GROUP) for start in range(0, full, ROW_GROUP))
            waiting = [whole.slice(full)]
    if any(map(len, waiting)):
        yield pa.concat_tables(waiting)


def _table(rows: pd.DataFrame, described: pa.Schema) -> pa.Table:
    if rows.index.name is not None:
        rows = rows.reset_index()
    return pa.Table.from_arrays([_values(rows[field.name], field.type) for field in described], schema=described)


def _values(column: pd.Series[Any], kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if column.name in ("geometry", "class_pdf", "embedding_vector"):
        return pa.array([None if value is None else _encode(value) for value in column], kind)
    return pa.array(column, from_pandas=True).cast(kind)
