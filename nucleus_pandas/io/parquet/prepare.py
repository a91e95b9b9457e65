"""Prepared imports: their files are validated, and only the target of their rows is missing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nucleus_pandas.errors import InvalidInputError, UploadError
from nucleus_pandas.io.image_folder import folder_of
from nucleus_pandas.io.parquet.importing import Records, RowsImport
from nucleus_pandas.io.parquet.other_formats import FileFormat, FrameFile, read_files
from nucleus_pandas.io.parquet.sources import ParquetPaths, SourceFiles, find
from nucleus_pandas.schema import LocalFiles
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.image_urls import Folders
from nucleus_pandas.schema.validate import ColumnLayout
from nucleus_pandas.uploads.options import OnError, Options, Target
from nucleus_pandas.uploads.results import ImportResult


def prepare_parquet_import(
    source: ParquetPaths,
    kind: RowKind,
    layout: ColumnLayout,
    options: Options,
    records: Records,
    *,
    local: bool = False,
    image_check: bool = True,
    images: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
    filesystem: Any = None,
) -> RowsImport:
    """Validate Parquet files.

    Parameters
    ----------
    images : path-like, optional
        The folder that relative paths begin in, which may contain local files as well as the folder of the source.
    allow_outside : bool
        Whether local files may be anywhere.

    Raises
    ------
    InvalidInputError
        There is no file, one cannot be read, or its columns do not suit rows of this kind.
    """
    if kind == "items" and layout.bbox_format not in (None, "xywh"):
        raise InvalidInputError(
            "bbox_format= is for boxes, which items do not have. Did you mean kind='annotations'?",
            argument="bbox_format",
        )
    base = None if images is None else folder_of(images, "images").absolute()
    sources = find(source, filesystem)
    folders = None if allow_outside else Folders([*sources.folders, *([] if base is None else [base])])
    local_files = LocalFiles(local, image_check, folders, base)
    return RowsImport(kind, sources, layout, options, records, local_files)


@dataclass(frozen=True)
class FilesImport:
    """The import of COCO, YOLO or Pascal VOC files: one import per kind of rows, in the order of sending."""

    imports: Mapping[RowKind, RowsImport]
    on_error: OnError

    def run(self, targets: Mapping[RowKind, Target]) -> dict[str, ImportResult]:
        """Send everything that was not sent before; see `nucleus_pandas.import_files`."""
        results: dict[str, ImportResult] = {}
        rejected = []
        for kind, sending in self.imports.items():
            try:
                results[kind] = sending.run(targets[kind])
            except UploadError as error:
                error.result = {**results, kind: error.result}
                raise
            if results[kind].failed:
                rejected.append(f"{kind}: {sending.rejected_rows(results[kind])}")
        if rejected and self.on_error == "raise":
            raise UploadError("\n".join([*rejected, "The other rows are stored."]), results)
        return results


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
    image_check: bool = True,
    allow_outside: bool = False,
) -> FilesImport:
    """Read and validate files of other formats.

    Parameters
    ----------
    to_run : bool
        Whether their boxes go to a model run.
    allow_outside : bool
        Whether images may be outside `images`.

    Raises
    ------
    InvalidInputError
        A file cannot be read, its boxes have confidences without a run, or a run without confidences.
    """
    content = read_files(
        source, form, images=images, names=names, ground_truth=ground_truth, allow_outside=allow_outside
    )
    files: dict[RowKind, FrameFile] = {}
    if to_run:
        if content.annotations is None or not content.predicted:
            raise InvalidInputError(
                f"'{source}' holds no confidences, and run= is for predictions. Leave run= out.", argument="run"
            )
        files["predictions"] = content.annotations
    elif content.predicted:
        raise InvalidInputError(
            f"'{source}' holds confidences, so these are predictions, which need a run: run=….",
            argument="run",
        )
    else:
        files["items"] = content.items
        if content.annotations is not None:
            files["annotations"] = content.annotations

    collected = replace(
        options, on_error="collect"
    )  # rejected rows of one kind do not keep the next kind from being sent

    def ready(kind: RowKind, file: FrameFile) -> RowsImport:
        own_records = replace(records, rejects=_rejects_of(records.rejects, kind))
        sources = SourceFiles([file], str(content.folder), True)
        return RowsImport(kind, sources, ColumnLayout(), collected, own_records, LocalFiles(check=image_check))

    return FilesImport({kind: ready(kind, file) for kind, file in files.items()}, options.on_error)


def _rejects_of(rejects: str | os.PathLike[str] | None, kind: RowKind) -> Path | None:
    return None if rejects is None else Path(rejects).with_suffix(f".{kind}{Path(rejects).suffix}")
