"""The command line; every command is one call of the library."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nucleus_pandas._util.compat import __version__
from nucleus_pandas.cli import datasets, demo, importing, serve
from nucleus_pandas.cli.common import flags_of, with_flags
from nucleus_pandas.errors import NucleusError, NucleusWarning

COMMANDS = (demo, serve, importing, datasets)
"""The modules of the commands in the order of the help; each has an ``add``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0 for success, 1 after an error, 2 after invalid arguments, 3 if rows were rejected, 130 after
        Ctrl+C.
    """
    options = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int | None] = options.run_command
    flags: Mapping[str, str] = options.flags
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", NucleusWarning)
            warnings.showwarning = partial(_show_warning, flags)
            return command(options) or 0
    except NucleusError as error:
        sys.stderr.write(f"nucleus-pandas: {with_flags(str(error), flags, getattr(error, 'argument', None))}\n")
        return 1
    except BrokenPipeError:
        # The reader of the output, such as head, has closed it; discard what is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a file that cannot be opened, a folder that cannot be read
        where = f"'{error.filename}': " if error.filename else ""
        sys.stderr.write(f"nucleus-pandas: {where}{error.strerror or error}.\n")
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    root = argparse.ArgumentParser("nucleus-pandas", description="Vision datasets, pandas-first.")
    root.add_argument("--version", action="version", version=f"nucleus_pandas {__version__}")
    commands = root.add_subparsers(required=True, metavar="command")
    for module in COMMANDS:
        module.add(commands)
    for command in commands.choices.values():
        command.set_defaults(flags=flags_of(command))
    return root


def _show_warning(flags: Mapping[str, str], message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"nucleus-pandas: warning: {with_flags(str(message), flags)}\n")
