"""``nucleus-pandas demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nucleus_pandas import demo
from nucleus_pandas.cli.output import add_json, say, say_json


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("demo", help="run the main job on the packaged sample")
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path("nucleus_demo"), help="where the store goes (%(default)s)"
    )
    add_json(command, "the report")
    command.set_defaults(run_command=_run)


def _run(options: argparse.Namespace) -> None:
    report = demo.run(options.folder)
    if options.json:
        say_json(report.as_dict())
    else:
        say(report.text())
