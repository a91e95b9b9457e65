"""``nucleus-pandas export``."""

from __future__ import annotations

import argparse
from typing import Any

from nucleus_pandas.cli.common import add_dataset, add_json, add_nucleus, find_dataset, open_nucleus, say, say_json
from nucleus_pandas.io.parquet.export_schema import EXPORT_KINDS


def add(commands: Any) -> None:
    """Add the command."""
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
    command.add_argument("folder", metavar="FOLDER", help="where the files go, made when absent")
    command.add_argument(
        "--what",
        action="append",
        choices=EXPORT_KINDS,
        help="write this alone; give it several times for several (everything)",
    )
    command.add_argument(
        "--run",
        action="append",
        metavar="ID",
        dest="runs",
        help="a model run whose predictions and matches are written; give it several times for several (all)",
    )
    command.add_argument("--overwrite", action="store_true", help="replace an earlier export in that folder")
    add_json(command, "a list of objects with what, model_run_id, path, rows and bytes")
    add_nucleus(command)
    command.set_defaults(run_command=_run)


def _run(options: argparse.Namespace) -> None:
    with open_nucleus(options) as client:
        files = find_dataset(client, options.dataset).to_parquet(
            options.folder, what=options.what or EXPORT_KINDS, runs=options.runs, overwrite=options.overwrite
        )
    written = files.astype(object).where(files.notna(), None).to_dict("records")
    if options.json:
        say_json(written)
        return
    for file in written:
        say(f"{file['rows']:>10} rows {file['bytes']:>12} bytes  {file['path']}")
