"""Imports whose files were looked at, and which need only be told where their rows go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nucleus_pandas.errors import InvalidInputError, UploadError
from nucleus_pandas.io.parquet.importing import Records, RowsImport
from nucleus_pandas.io.parquet.other_formats import FileFormat, FrameFile, read_files
from nucleus_pandas.io.parquet.sources import ParquetPaths, SourceFiles, find
from nucleus_pandas.schema.kinds import Kind
from nucleus_pandas.schema.validate import Layout
from nucleus_pandas.uploads.options import OnError, Options, Target
from nucleus_pandas.uploads.results import ImportResult


def prepare_parquet_import(
    source: ParquetPaths,
    kind: Kind,
    layout: Layout,
    options: Options,
    records: Records,
    *,
    local: bool = False,
    filesystem: Any = None,
) -> RowsImport:
    """Look at Parquet files.

    Raises
    ------
    InvalidInputError
        There is none, one cannot be read, or its columns are not what rows of this kind need.
    """
    if kind == "items" and layout.bbox_format != "xywh":
        raise InvalidInputError(
            "bbox_format= is about boxes; items have none. Is kind='annotations' meant?", argument="bbox_format"
        )
    return RowsImport(kind, find(source, filesystem), layout, options, records, local=local)


@dataclass(frozen=True)
class FilesImport:
    """What COCO, YOLO or Pascal VOC files give: imports, each of rows of another kind, in the order of sending."""

    imports: Mapping[Kind, RowsImport]
    on_error: OnError

    def run(self, targets: Mapping[Kind, Target]) -> dict[str, ImportResult]:
        """Send everything that was not sent before; see `nucleus_pandas.import_files`."""
        found: dict[str, ImportResult] = {}
        refused = []
        for kind, sending in self.imports.items():
            try:
                found[kind] = sending.run(targets[kind])
            except UploadError as error:
                error.result = {**found, kind: error.result}
                raise
            if found[kind].failed:
                refused.append(f"{kind}: {sending.refused(found[kind])}")
        if refused and self.on_error == "raise":
            raise UploadError("\n".join([*refused, "The other rows are stored."]), found)
        return found


def prepare_files_import(
    source: str | os.PathLike[str],
    form: FileFormat,
    options: Options,
    records: Records,
    *,
    to_run: bool,
    images: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    ground_truth: str | os.PathLike[str] | None = None,
) -> FilesImport:
    """Read files of other formats.

    Parameters
    ----------
    to_run : bool
        Whether their boxes go to a model run.

    Raises
    ------
    InvalidInputError
        A file cannot be read, or its boxes have confidences and go to no run, or the other way round.
    """
    read = read_files(source, form, images=images, names=names, ground_truth=ground_truth)
    files: dict[Kind, FrameFile] = {}
    if to_run:
        if read.annotations is None or not read.predicted:
            raise InvalidInputError(
                f"'{source}' holds no confidences, and run= is where predictions go. Leave run= out.", argument="run"
            )
        files["predictions"] = read.annotations
    elif read.predicted:
        raise InvalidInputError(
            f"'{source}' holds confidences: these are predictions, and go to a run: run=…. Ground truth has none.",
            argument="run",
        )
    else:
        files["items"] = read.items
        if read.annotations is not None:
            files["annotations"] = read.annotations

    collected = replace(options, on_error="collect")  # refused rows of one kind do not keep the next from being sent

    def ready(kind: Kind, file: FrameFile) -> RowsImport:
        own = replace(records, rejects=_apart(records.rejects, kind))
        return RowsImport(kind, SourceFiles([file], str(read.folder), True), Layout(), collected, own, local=False)

    return FilesImport({kind: ready(kind, file) for kind, file in files.items()}, options.on_error)


def _apart(rejects: str | os.PathLike[str] | None, kind: Kind) -> Path | None:
    return None if rejects is None else Path(rejects).with_suffix(f".{kind}{Path(rejects).suffix}")
