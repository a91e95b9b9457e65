"""``nucleus-pandas serve``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from nucleus_pandas.cli.common import add_json, say
from nucleus_pandas.errors import ConfigurationError, MissingExtraError

_KEYS = "NUCLEUS_PANDAS_API_KEYS"


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("serve", help="serve an embedded Nucleus over HTTP, with a web page")
    command.add_argument("path", type=Path, help="the folder of the store, created when absent")
    command.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; keys are required unless it is loopback (%(default)s)",
    )
    command.add_argument("--port", type=int, default=8765, help="the port; 0 selects a free one (%(default)s)")
    command.add_argument("--public-url", help="the public URL of the server, such as https://nucleus.example.org")
    command.add_argument(
        "--api-key-file",
        type=Path,
        help=f"a file of accepted API keys, one per line; or set {_KEYS}, separated by commas",
    )
    command.add_argument(
        "--request-seconds", type=float, default=600.0, help="seconds that a request may take to arrive (%(default)s)"
    )
    command.add_argument(
        "--remote-images",
        action="store_true",
        help="allow the browser to load images from other servers, which can then track the viewers",
    )
    add_json(command, _run, "the endpoint")


def _run(options: argparse.Namespace) -> None:
    try:
        from nucleus_pandas.server import serve
    except ImportError as error:
        if (error.name or "").startswith("nucleus_pandas"):
            raise
        raise MissingExtraError(f"Serving needs {error.name}: pip install 'nucleus_pandas[local]'") from error

    def ready(endpoint: str) -> None:
        say({"endpoint": endpoint} if options.json else endpoint)
        page = endpoint.removesuffix("v1/nucleus")
        sys.stderr.write(f"Serving the store '{options.path}'; its page is {page}. Ctrl+C stops it.\n")

    serve(
        options.path,
        options.host,
        options.port,
        api_keys=_api_keys(options.api_key_file),
        public_url=options.public_url,
        request_seconds=options.request_seconds,
        remote_images=options.remote_images,
        ready=ready,
    )


def _api_keys(file: Path | None) -> list[str]:
    """Read the API keys; they are never arguments, which all users of the machine can see."""
    if file is None:
        return [key.strip() for key in os.environ.get(_KEYS, "").split(",") if key.strip()]
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The keys cannot be read from '{file}': {error}.") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise ConfigurationError(f"The file '{file}' contains no keys.")
    return keys
