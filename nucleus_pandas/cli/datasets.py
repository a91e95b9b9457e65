"""``nucleus-pandas datasets`` and ``nucleus-pandas export``."""

from __future__ import annotations

import argparse
from typing import Any

from nucleus_pandas._util.threads import side_by_side
from nucleus_pandas.cli.common import add_common, add_dataset, find_dataset, open_nucleus, say
from nucleus_pandas.errors import APIError
from nucleus_pandas.io.parquet.export_schema import EXPORT_KINDS

_AT_ONCE = 8


def add(commands: Any) -> None:
    """Add both commands."""
    command = commands.add_parser(
        "export",
        help="write a dataset into Parquet files",
        description=(
            "Write a dataset into a folder of Parquet files: items.parquet, annotations.parquet, and for every model "
            "run predictions/model_run_id=ID/predictions.parquet and, if it is committed, "
            "matches/model_run_id=ID/matches.parquet. The folder appears when all files are written."
        ),
    )
    add_dataset(command)
    command.add_argument("folder", metavar="FOLDER", help="the folder to write to; created when absent")
    command.add_argument(
        "--what",
        action="append",
        choices=EXPORT_KINDS,
        help="write only this; repeat the option for several (default: everything)",
    )
    command.add_argument(
        "--run",
        action="append",
        metavar="ID",
        dest="runs",
        help="a model run whose predictions and matches to write; repeat the option for several (default: all)",
    )
    command.add_argument("--overwrite", action="store_true", help="replace an earlier export in that folder")
    add_common(command, _export, "a list of objects with what, model_run_id, path, rows and bytes")

    command = commands.add_parser(
        "datasets",
        help="list the datasets",
        description="List the datasets, oldest first: id, number of items, name.",
    )
    add_common(command, _list, "a list of objects with id, items and name")


def _export(options: argparse.Namespace) -> None:
    with open_nucleus(options) as client:
        files = find_dataset(client, options.dataset).to_parquet(
            options.folder, what=options.what or EXPORT_KINDS, runs=options.runs, overwrite=options.overwrite
        )
    written = files.astype(object).where(files.notna(), None).to_dict("records")
    if options.json:
        say(written)
        return
    for file in written:
        say(f"{file['rows']:>10} rows {file['bytes']:>12} bytes  {file['path']}")


def _list(options: argparse.Namespace) -> None:
    with open_nucleus(options) as client:
        datasets = client.datasets

        def size(dataset_id: str) -> int | None:
            try:
                return len(client.get_dataset(dataset_id))
            except APIError:  # deleted meanwhile, or of a kind that has no items
                return None

        sizes = side_by_side(size, datasets["id"], _AT_ONCE, "nucleus_pandas-sizes")
    if options.json:
        rows = zip(datasets["id"], sizes, datasets["name"], strict=True)
        say([{"id": public_id, "items": size, "name": name} for public_id, size, name in rows])
    elif datasets.empty:
        say("There are no datasets.")
    else:
        counts = ["-" if size is None else str(size) for size in sizes]
        table = [("id", "items", "name"), *zip(datasets["id"], counts, datasets["name"], strict=True)]
        id_width, count_width = (max(len(row[column]) for row in table) for column in (0, 1))
        say("\n".join(f"{public_id:<{id_width}}  {count:>{count_width}}  {name}" for public_id, count, name in table))
