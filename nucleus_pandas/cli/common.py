"""Options and output that commands share."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from ast import literal_eval
from collections.abc import Callable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nucleus_pandas.api.client import NucleusClient
from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.errors import ConfigurationError, InvalidInputError, NotFoundError, StoreError
from nucleus_pandas.schema.image_urls import STORE_FILE

STORE = "NUCLEUS_PANDAS_STORE"
_ARGUMENT = re.compile(r"(?<![\w.-])(\w+)=(\{[^}]*\}|\([^)]*\)|\[[^\]]*\]|'[^']*'|\w+|…)?")
_NO_NUCLEUS = (
    f"There is no Nucleus to work on. Name a store (--store PATH, or {STORE}), or a server (--endpoint URL, or "
    "NUCLEUS_ENDPOINT); or set the key of the hosted service in NUCLEUS_API_KEY."
)


def add_common(command: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int | None], printed: str) -> None:
    """Add what all commands on a Nucleus have: the options that select it, the option to print JSON, what they run."""
    add_json(command, run, printed)
    group = command.add_argument_group(
        "which Nucleus",
        f"By default the store in {STORE}, else the server in NUCLEUS_ENDPOINT, else the hosted service. API keys are "
        "read from NUCLEUS_API_KEY.",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument("--store", type=Path, metavar="PATH", help="the folder of an embedded Nucleus")
    either.add_argument("--endpoint", metavar="URL", help="a server, such as http://127.0.0.1:8765/v1/nucleus")


def add_dataset(command: argparse.ArgumentParser) -> None:
    """Add the argument that selects a dataset to a command."""
    command.add_argument("dataset", metavar="DATASET", help="the id (ds_…) or the name of a dataset")


def open_nucleus(options: argparse.Namespace, *, create: bool = False) -> NucleusClient:
    """Connect to the Nucleus that the command line or the environment names.

    Parameters
    ----------
    options : argparse.Namespace
        With the options of `add_common`.
    create : bool
        Whether to create a store when absent; by default that is an error, so that typing errors create none.

    Raises
    ------
    ConfigurationError
        No Nucleus is named; the message lists the options.
    StoreError
        There is no store in the folder.
    """
    store: Path | None = options.store
    if store is None and options.endpoint is None and os.environ.get(STORE):
        store = Path(os.environ[STORE])
    if store is not None:
        if not create:
            _check_store(store)
        return NucleusClient.local(store)
    if options.endpoint is None and not any(map(os.environ.get, ("NUCLEUS_ENDPOINT", "NUCLEUS_API_KEY"))):
        raise ConfigurationError(_NO_NUCLEUS)
    return NucleusClient(endpoint=options.endpoint)


def _check_store(folder: Path) -> None:
    if not (folder.expanduser() / STORE_FILE).exists():
        raise StoreError(
            f"There is no store of an embedded Nucleus in '{folder}'. NucleusClient.local({str(folder)!r}) creates one."
        )


def find_dataset(client: NucleusClient, name: str) -> Dataset:
    """Find a dataset by its id or by its name.

    Raises
    ------
    NotFoundError
        There is no such dataset; the message lists similar names.
    InvalidInputError
        Several datasets have that name; the message lists their ids.
    """
    if name.startswith("ds_"):
        with suppress(NotFoundError):
            return client.get_dataset(name)
    datasets = client.datasets
    ids = datasets.loc[datasets["name"] == name, "id"].tolist()
    if len(ids) > 1:
        raise InvalidInputError(f"{len(ids)} datasets are named '{name}': {', '.join(ids)}. Name one by its id.")
    if ids:
        return client.get_dataset(ids[0])
    similar = get_close_matches(name, datasets["name"].unique().tolist())
    hint = f" Similar names: {', '.join(map(repr, similar))}." if similar else ""
    raise NotFoundError(f"There is no dataset {name!r}, by id or by name.{hint} `nucleus-pandas datasets` lists all.")


def add_json(command: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int | None], printed: str) -> None:
    """Add the option to print JSON to a command, and the function that runs it."""
    command.add_argument("--json", action="store_true", help=f"print {printed} as JSON")
    command.set_defaults(run_command=run)


def say(value: Any) -> None:
    """Print a string, or any other value as one line of JSON, and flush."""
    sys.stdout.write(f"{value if isinstance(value, str) else json.dumps(value)}\n")
    sys.stdout.flush()


def flags_of(command: argparse.ArgumentParser) -> dict[str, str]:
    """Return the flags of a command by the names of the library's arguments that they stand for."""
    flags = {action.dest: action.option_strings[-1] for action in command._actions if action.option_strings}
    spelled = {"columns": "column", "form": "format"}
    return flags | {name: flags[dest] for name, dest in spelled.items() if dest in flags}


def with_flags(message: str, flags: Mapping[str, str], argument: str | None = None) -> str:
    """Return a message of the library with its arguments as the flags of a command.

    Arguments with values are recognised by Python's syntax, ``name=value``. If a message does not name its argument in
    this way, the flag is put in front.

    Examples
    --------
    >>> flags = {"columns": "--column", "bbox": "--bbox", "no_journal": "--no-journal", "journal": "--journal"}
    >>> with_flags("Use columns={'label': 'class'}, or bbox=('x1', 'y1', 'x2', 'y2'), or journal=False.", flags)
    'Use --column label=class, or --bbox x1 y1 x2 y2, or --no-journal.'
    >>> with_flags("There is no such column.", flags, "bbox")
    '--bbox: There is no such column.'
    """

    def flag(match: re.Match[str]) -> str:
        name, text = match.groups()
        if name not in flags:
            return match[0]
        try:
            value = literal_eval(text or "")
        except (SyntaxError, ValueError):  # none, or a name
            value = name.upper() if text == "…" else text
        if value is False:
            return flags.get(f"no_{name}", match[0])
        if isinstance(value, dict):
            return " ".join(f"{flags[name]} {key}={column}" for key, column in value.items())
        values = value if isinstance(value, (list, tuple)) else [] if value is None or value is True else [value]
        return " ".join([flags[name], *map(str, values)])

    translated = _ARGUMENT.sub(flag, message)
    if argument is not None and argument in flags and message.startswith(f"{argument} "):
        return flags[argument] + translated.removeprefix(argument)
    if argument is not None and argument in flags and translated == message and flags[argument] not in message:
        return f"{flags[argument]}: {message}"
    return translated
