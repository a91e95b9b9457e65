"""The command line: every command is one call of the library."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nucleus_pandas import demo
from nucleus_pandas._version import __version__
from nucleus_pandas.errors import ConfigurationError, MissingExtraError, NucleusError

_KEYS = "NUCLEUS_PANDAS_API_KEYS"


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

    served = commands.add_parser("serve", help="serve an embedded Nucleus over HTTP")
    served.add_argument("path", type=Path, help="the folder of the store, made when absent")
    served.add_argument("--host", default="127.0.0.1", help="beyond loopback keys are needed (%(default)s)")
    served.add_argument("--port", type=int, default=8765, help="0 takes a free one (%(default)s)")
    served.add_argument("--public-url", help="where others reach the server, such as https://nucleus.example.org")
    served.add_argument(
        "--api-key-file",
        type=Path,
        help=f"a file with the keys that are let in, a line each; or {_KEYS} holds them, parted by commas",
    )
    served.add_argument(
        "--request-seconds", type=float, default=600.0, help="how long a request may take to arrive (%(default)s)"
    )
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
        _say(json.dumps({"endpoint": endpoint}) if options.json else endpoint)
        sys.stderr.write(f"Serving the store '{options.path}'; Ctrl+C stops it.\n")

    serve(
        options.path,
        options.host,
        options.port,
        api_keys=_api_keys(options.api_key_file),
        public_url=options.public_url,
        request_seconds=options.request_seconds,
        ready=ready,
    )


def _api_keys(file: Path | None) -> list[str]:
    """Read the keys; they never stand on a command line, which everybody on the machine can see."""
    if file is None:
        return [key.strip() for key in os.environ.get(_KEYS, "").split(",") if key.strip()]
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The keys cannot be read from '{file}': {error}.") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise ConfigurationError(f"The file '{file}' holds no key.")
    return keys


def _say(text: Any) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
