"""The command line: every command is one call of the library."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nucleus_pandas import demo
from nucleus_pandas._version import __version__
from nucleus_pandas.errors import MissingExtraError, NucleusError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        What the process ends with: 0, or 1 after an error, 2 after a wrong command line.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except NucleusError as error:
        sys.stderr.write(f"nucleus-pandas: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("nucleus-pandas", description="Vision datasets, pandas-first.")
    parser.add_argument("--version", action="version", version=f"nucleus_pandas {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    shown = commands.add_parser("demo", help="run the main job on the packaged sample")
    shown.add_argument(
        "folder", nargs="?", type=Path, default=Path("nucleus_demo"), help="where the store goes (%(default)s)"
    )
    shown.add_argument("--json", action="store_true", help="print the report as JSON")
    shown.set_defaults(run=_demo)

    served = commands.add_parser("serve", help="serve an embedded Nucleus over HTTP, to this machine")
    served.add_argument("path", type=Path, help="the folder of the store, made when absent")
    served.add_argument("--port", type=int, default=8765, help="0 takes a free one (%(default)s)")
    served.add_argument("--json", action="store_true", help="print the endpoint as JSON")
    served.set_defaults(run=_serve)
    return parser


def _demo(options: argparse.Namespace) -> None:
    report = demo.run(options.folder)
    _say(json.dumps(report.as_dict()) if options.json else report.text())


def _serve(options: argparse.Namespace) -> None:
    try:
        from nucleus_pandas.local import serve
    except ImportError as error:
        if (error.name or "").startswith("nucleus_pandas"):
            raise
        raise MissingExtraError(f"Serving needs {error.name}: pip install 'nucleus_pandas[local]'") from error

    def ready(endpoint: str) -> None:
        signal.signal(signal.SIGTERM, _stop)  # jobs that wait are done first
        _say(json.dumps({"endpoint": endpoint}) if options.json else endpoint)
        sys.stderr.write(f"Serving the store '{options.path}' to this machine; Ctrl+C stops it.\n")

    serve(options.path, port=options.port, ready=ready)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(0)


def _say(text: Any) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
