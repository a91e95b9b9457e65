"""``nucleus-pandas datasets``."""

from __future__ import annotations

import argparse
from typing import Any

from nucleus_pandas._util.threads import side_by_side
from nucleus_pandas.cli.common import add_json, add_nucleus, open_nucleus, say, say_json
from nucleus_pandas.errors import APIError

_AT_ONCE = 8


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "datasets",
        help="list the datasets",
        description="List the datasets, oldest first: id, number of items, name.",
    )
    add_json(command, "a list of objects with id, items and name")
    add_nucleus(command)
    command.set_defaults(run_command=_run)


def _run(options: argparse.Namespace) -> None:
    with open_nucleus(options) as client:
        known = client.datasets

        def size(dataset_id: str) -> int | None:
            try:
                return len(client.get_dataset(dataset_id))
            except APIError:  # deleted this moment, or of a kind that has no items
                return None

        sizes = side_by_side(size, known["id"], _AT_ONCE, "nucleus_pandas-sizes")
    if options.json:
        every = zip(known["id"], sizes, known["name"], strict=True)
        say_json([dict(zip(("id", "items", "name"), row, strict=True)) for row in every])
    elif known.empty:
        say("There are no datasets.")
    else:
        shown = ["-" if size is None else str(size) for size in sizes]
        first, second = (max(map(len, texts)) for texts in (["id", *known["id"]], ["items", *shown]))
        rows = zip(["id", *known["id"]], ["items", *shown], ["name", *known["name"]], strict=True)
        say("\n".join(f"{public_id:<{first}}  {size:>{second}}  {name}" for public_id, size, name in rows))
