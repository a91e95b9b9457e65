"""What commands print."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


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
