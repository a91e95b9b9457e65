"""Which Nucleus a command works on, and which dataset of it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from ast import literal_eval
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nucleus_pandas.api.client import NucleusClient
from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.errors import ConfigurationError, InvalidInputError, NotFoundError, StoreError

STORE = "NUCLEUS_PANDAS_STORE"
_ARGUMENT = re.compile(r"(?<![\w.-])(\w+)=(\{[^}]*\}|\([^)]*\)|\[[^\]]*\]|'[^']*'|\w+|…)?")
_WAYS_OUT = (
    f"There is no Nucleus to work on. Name a store (--store PATH, or {STORE}), or a server (--endpoint URL, or "
    "NUCLEUS_ENDPOINT); or give the key of the hosted service in NUCLEUS_API_KEY."
)


def add_nucleus(command: argparse.ArgumentParser) -> None:
    """Let a command be told which Nucleus it works on."""
    group = command.add_argument_group(
        "which Nucleus",
        f"Without either: the store that {STORE} names, else the server that NUCLEUS_ENDPOINT names, else the hosted "
        "service. A key, where one is needed, is taken from NUCLEUS_API_KEY.",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument("--store", type=Path, metavar="PATH", help="the folder of an embedded Nucleus")
    either.add_argument("--endpoint", metavar="URL", help="a server, such as http://127.0.0.1:8765/v1/nucleus")


def add_dataset(command: argparse.ArgumentParser) -> None:
    """Let a command be told which dataset it works on."""
    command.add_argument("dataset", metavar="DATASET", help="the id (ds_…) or the name of a dataset")


def open_nucleus(options: argparse.Namespace, *, make: bool = False) -> NucleusClient:
    """Connect to the Nucleus that the command line or the environment names.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_nucleus` adds.
    make : bool
        Whether a store is made when absent; without it, a mistyped folder stays none.

    Raises
    ------
    ConfigurationError
        None is named; the text holds the ways out.
    StoreError
        There is no store in the folder.
    """
    store: Path | None = options.store
    if store is None and options.endpoint is None and os.environ.get(STORE):
        store = Path(os.environ[STORE])
    if store is not None:
        if not make:
            _check_store(store)
        return NucleusClient.local(store)
    if options.endpoint is None and not any(map(os.environ.get, ("NUCLEUS_ENDPOINT", "NUCLEUS_API_KEY"))):
        raise ConfigurationError(_WAYS_OUT)
    return NucleusClient(endpoint=options.endpoint)


def _check_store(folder: Path) -> None:
    file = ""
    with suppress(ImportError):  # NucleusClient.local tells what is not installed
        from nucleus_pandas.server.store.database import FILE_NAME as file
    if not (folder.expanduser() / file).exists():
        raise StoreError(
            f"There is no store of an embedded Nucleus in '{folder}'. NucleusClient.local({str(folder)!r}) makes one."
        )


def find_dataset(client: NucleusClient, wanted: str) -> Dataset:
    """Find a dataset by its id or by its name.

    Raises
    ------
    NotFoundError
        There is none; the text names those that are called nearly so.
    InvalidInputError
        Several datasets have that name; the text lists their ids.
    """
    if wanted.startswith("ds_"):
        with suppress(NotFoundError):
            return client.get_dataset(wanted)
    known = client.datasets
    ids = known.loc[known["name"] == wanted, "id"].tolist()
    if len(ids) > 1:
        raise InvalidInputError(f"{len(ids)} datasets are named '{wanted}': {', '.join(ids)}. Name one by its id.")
    if ids:
        return client.get_dataset(ids[0])
    near = get_close_matches(wanted, known["name"].unique().tolist())
    hint = f" Nearly so: {', '.join(map(repr, near))}." if near else ""
    raise NotFoundError(f"There is no dataset {wanted!r}, by id or by name.{hint} `nucleus-pandas datasets` lists all.")


def add_json(command: argparse.ArgumentParser, what: str) -> None:
    """Let a command print JSON instead of text for people."""
    command.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def say(text: str) -> None:
    """Print text, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    say(json.dumps(value))


def flags_of(command: argparse.ArgumentParser) -> dict[str, str]:
    """Return the flags of a command by the names of the library's arguments that they stand for."""
    flags = {action.dest: action.option_strings[-1] for action in command._actions if action.option_strings}
    spelled = {"columns": "column", "form": "format"}
    return flags | {name: flags[dest] for name, dest in spelled.items() if dest in flags}


def with_flags(message: str, flags: Mapping[str, str], argument: str | None = None) -> str:
    """Return a message of the library with its arguments as the flags of a command.

    Arguments with their values are known by Python's syntax for them, ``name=value``; what a message is about is said
    in front where it does not name it so.

    Examples
    --------
    >>> flags = {"columns": "--column", "bbox": "--bbox", "no_journal": "--no-journal", "journal": "--journal"}
    >>> with_flags("Use columns={'label': 'class'}, or bbox=('x1', 'y1', 'x2', 'y2'), or journal=False.", flags)
    'Use --column label=class, or --bbox x1 y1 x2 y2, or --no-journal.'
    >>> with_flags("There is no such column.", flags, "bbox")
    '--bbox: There is no such column.'
    """

    def flag(found: re.Match[str]) -> str:
        name, text = found.groups()
        if name not in flags:
            return found[0]
        try:
            value = literal_eval(text or "")
        except (SyntaxError, ValueError):  # none, or a name
            value = name.upper() if text == "…" else text
        if value is False:
            return flags.get(f"no_{name}", found[0])
        if isinstance(value, dict):
            return " ".join(f"{flags[name]} {key}={column}" for key, column in value.items())
        values = value if isinstance(value, (list, tuple)) else [] if value is None or value is True else [value]
        return " ".join([flags[name], *map(str, values)])

    said = _ARGUMENT.sub(flag, message)
    if argument is not None and argument in flags and message.startswith(f"{argument} "):
        return flags[argument] + said.removeprefix(argument)
    if argument is not None and argument in flags and said == message and flags[argument] not in message:
        return f"{flags[argument]}: {message}"
    return said
