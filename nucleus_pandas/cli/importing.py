"""``nucleus-pandas import``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

import pandas as pd

from nucleus_pandas.api.client import NucleusClient
from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.functions import import_files, import_parquet
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.cli.common import add_common, add_dataset, find_dataset, open_nucleus, say, with_flags
from nucleus_pandas.errors import InvalidInputError, NotFoundError
from nucleus_pandas.io.parquet.other_formats import FILE_FORMATS, formats_with
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.uploads.options import IfExists
from nucleus_pandas.uploads.results import ImportResult

DatasetSource: TypeAlias = Callable[[], Dataset]
RunSource: TypeAlias = Callable[[Dataset], ModelRun] | None

_SHOWN = 3  # rejected rows that are printed
REJECTED = 3  # the exit code if rows were rejected
_EXAMPLES = """\
examples:
  nucleus-pandas import items.parquet "Street scenes" --store my_store --metadata weather hour
  nucleus-pandas import boxes/ "Street scenes" --store my_store --kind annotations \\
      --column label=class --bbox x1 y1 x2 y2 --bbox-format xyxy
  nucleus-pandas import 's3://bucket/run-7/*.parquet' "Street scenes" --kind predictions --model det-0.5
  nucleus-pandas import instances.json "Street scenes" --format coco --images images/

Exit codes: 0 if all rows are stored, 3 if rows were rejected (a Parquet file next to the source lists them with their
numbers, columns and reasons), 1 after an error. The same command again resumes where it ended.
"""


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "import",
        help="send files to a dataset or a run",
        description="Send Parquet, COCO, YOLO or Pascal VOC files to a dataset or a run.\n"
        "A dataset that does not exist is created when images are imported.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "source", metavar="SOURCE", nargs="+", help="files, folders, patterns, or URLs such as s3://bucket/boxes"
    )
    add_dataset(command)
    command.add_argument(
        "--format",
        choices=("parquet", *FILE_FORMATS),
        default="parquet",
        help="the format of the files (%(default)s); all but Parquet contain images and boxes together",
    )
    command.add_argument("--kind", choices=get_args(RowKind), help="the kind of rows in Parquet files (items)")
    _add_images(command.add_argument_group("local images"))
    _add_formats(command.add_argument_group("other formats"))
    where = command.add_argument_group("where predictions go")
    either = where.add_mutually_exclusive_group()
    either.add_argument("--run", metavar="RUN", help="the id of a model run")
    either.add_argument(
        "--model",
        metavar="MODEL",
        help="the id or the reference id of a model, created when absent; its newest run on the dataset that is not "
        "committed is used, or a new one",
    )
    _add_columns(command.add_argument_group("columns"))
    _add_sending(command.add_argument_group("sending"))
    add_common(command, _run, "the outcome of the rows")


def _add_images(group: Any) -> None:
    group.add_argument(
        "--images",
        metavar="FOLDER",
        help="the folder of the images, which are uploaded (default: images next to the source); for Parquet, where "
        "relative paths begin",
    )
    group.add_argument(
        "--allow-outside",
        action="store_true",
        help="upload local files from anywhere; by default only those in the folder of the source or in --images",
    )
    group.add_argument("--no-image-check", action="store_true", help="upload files that are no images, too")


def _add_formats(group: Any) -> None:
    group.add_argument("--names", metavar="FILE", help="the file of YOLO class names, if not next to the text files")
    group.add_argument("--ground-truth", metavar="FILE", help="the COCO file that defines the ids of COCO results")


def _add_columns(group: Any) -> None:
    group.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="the name of a column in the files, as label=class; objects.category is a field of the struct objects",
    )
    group.add_argument("--bbox", nargs="+", metavar="COLUMN", help="one column of boxes, or four columns")
    group.add_argument(
        "--bbox-format",
        choices=get_args(BoxFormat),
        help="the meaning of the four numbers: x, y, width, height; two corners; or centre and size; needed unless the "
        "names of the columns or fields say it",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--metadata",
        nargs="+",
        metavar="COLUMN",
        help="plain columns to send as metadata; by default the columns metadata and metadata.<key>",
    )
    either.add_argument("--no-metadata", action="store_true", help="send no metadata")
    group.add_argument("--local", action="store_true", help="every image_url is a local path")


def _add_sending(group: Any) -> None:
    group.add_argument(
        "--if-exists", choices=get_args(IfExists), default="skip", help="what to do with rows that exist (%(default)s)"
    )
    group.add_argument("--batch-size", type=int, metavar="ROWS", help="rows per request")
    group.add_argument("--max-rejects", type=int, metavar="ROWS", help="stop when more rows than this are rejected")
    group.add_argument(
        "--rejects", type=Path, metavar="FILE", help="the file for rejected rows (default: next to the source)"
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="the file that records responses (default: one in the cache folder)",
    )
    either.add_argument("--no-journal", action="store_true", help="record no responses, and send everything")
    group.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _run(options: argparse.Namespace) -> int:
    with ExitStack() as opened:
        targets: dict[str, Any] = {}

        def dataset() -> Dataset:
            client = targets["client"] = opened.enter_context(open_nucleus(options, create=_sends_images(options)))
            targets["dataset"] = _dataset(client, options)
            return cast(Dataset, targets["dataset"])

        def run(dataset: Dataset) -> ModelRun:
            targets["run"] = _model_run(targets["client"], dataset, options)
            return cast(ModelRun, targets["run"])

        # Both are called after the files have been checked, so that nothing is created for files that cannot be sent.
        send = _import_parquet if options.format == "parquet" else _import_files
        try:
            results = send(options, dataset, run if options.run or options.model else None)
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted. The same command resumes where it ended.\n")
            raise
    ids: dict[str, str] = {name: targets[name].id for name in ("dataset", "run") if name in targets}
    if options.json:
        counted: dict[str, Any] = {kind: result.as_dict() for kind, result in results.items()}
        say({**ids, **(counted if options.format != "parquet" else next(iter(counted.values())))})
    else:
        for result in results.values():
            say(_text(result, ids, options.flags))
    return REJECTED if any(result.failed for result in results.values()) else 0


def _sends_images(options: argparse.Namespace) -> bool:
    """Return True if images are sent, so that the dataset may be created."""
    if options.format == "parquet":
        return (options.kind or "items") == "items"
    return not (options.run or options.model)


def _sending(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "if_exists": options.if_exists,
        "image_check": not options.no_image_check,
        "allow_outside": options.allow_outside,
        "on_error": "collect",
        "batch_size": options.batch_size,
        "progress": False if options.no_progress else None,
        "journal": False if options.no_journal else options.journal,
        "rejects": options.rejects,
        "max_rejects": options.max_rejects,
    }


def _import_parquet(options: argparse.Namespace, dataset: DatasetSource, run: RunSource) -> Mapping[str, ImportResult]:
    for name in ("names", "ground_truth"):
        if getattr(options, name):
            raise InvalidInputError(f"{name}= goes with --format {' or '.join(formats_with(name))}.")
    kind: RowKind = options.kind or "items"
    if kind == "predictions" and run is None:
        raise InvalidInputError("Predictions need a run: name it with --run RUN, or a model with --model MODEL.")
    if kind != "predictions" and run is not None:
        raise InvalidInputError("--run and --model are for predictions. Is --kind predictions meant?")
    source = options.source if len(options.source) > 1 else options.source[0]
    bbox = options.bbox
    result = import_parquet(
        source,
        dataset,
        kind,
        run,
        columns=_mapping(options.column),
        bbox=bbox[0] if bbox is not None and len(bbox) == 1 else bbox,
        bbox_format=options.bbox_format,
        metadata=False if options.no_metadata else options.metadata or True,
        local=options.local,
        images=options.images,
        **_sending(options),
    )
    return {kind: result}


def _import_files(options: argparse.Namespace, dataset: DatasetSource, run: RunSource) -> Mapping[str, ImportResult]:
    if len(options.source) > 1:
        raise InvalidInputError(f"--format {options.format} takes one source, not {len(options.source)}.")
    unsupported = [
        name for name in ("kind", "column", "bbox", "metadata", "no_metadata", "local") if getattr(options, name)
    ]
    if unsupported or options.bbox_format is not None:
        name = (unsupported or ["bbox_format"])[0].replace("_", "-")
        raise InvalidInputError(f"--{name} applies to the columns of Parquet files, not to --format {options.format}.")
    return import_files(
        options.source[0],
        dataset,
        options.format,
        run,
        images=options.images,
        names=options.names,
        ground_truth=options.ground_truth,
        **_sending(options),
    )


def _dataset(client: NucleusClient, options: argparse.Namespace) -> Dataset:
    try:
        return find_dataset(client, options.dataset)
    except NotFoundError:
        if not _sends_images(options) or options.dataset.startswith("ds_"):
            raise
    return client.create_dataset(options.dataset)


def _model_run(client: NucleusClient, dataset: Dataset, options: argparse.Namespace) -> ModelRun:
    if options.run:
        return client.get_model_run(options.run, dataset.id)
    models = client.models
    ids = models.loc[(models["id"] == options.model) | (models["reference_id"] == options.model), "id"].tolist()
    model = client.get_model(ids[0]) if ids else client.add_model(options.model, reference_id=options.model)
    for run in reversed(dataset.model_runs):
        info = run.info
        if info["model_id"] == model.id and info["status"] != "committed":
            return run
    return dataset.create_model_run(model)


def _mapping(pairs: list[str]) -> dict[str, str] | None:
    columns = {}
    for pair in pairs:
        name, _, column = pair.partition("=")
        if not name or not column:
            raise InvalidInputError(f"--column takes NAME=COLUMN, such as label=class, not {pair!r}.")
        columns[name] = column
    return columns or None


def _text(result: ImportResult, ids: Mapping[str, str], flags: Mapping[str, str]) -> str:
    parts = [
        f"{getattr(result, name):,} {name.replace('_', ' ')}"
        for name in ("new", "updated", "processed", "ignored", "already_sent", "skipped")
        if getattr(result, name)
    ]
    if result.failed:
        parts.append(f"{result.failed:,} rejected")
    files = "1 file" if result.files == 1 else f"{result.files:,} files"
    where = f"the run '{ids['run']}'" if "run" in ids else f"the dataset '{ids['dataset']}'"
    lines = [f"{result.kind}: {result.rows:,} rows of {files} into {where}: {', '.join(parts) or 'nothing to send'}"]
    if result.failed and result.rejects is not None:
        first = pd.read_parquet(result.rejects, columns=["reject_file", "reject_row", "reject_reason"]).head(_SHOWN)
        for file, row, reason in first.itertuples(index=False):
            where = f"{file}, row {row}" if pd.notna(row) else str(file)
            lines.append(f"  {where}: {with_flags(reason, flags)}")
        lines.append(f"The rejected rows, with columns and reasons, are in '{result.rejects}'.")
    return "\n".join(lines)
