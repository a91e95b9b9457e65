"""What the library tells to type, as the command line has it."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from nucleus_pandas.errors import NucleusError, NucleusWarning

_FLAGS = (
    (r"columns=\{'([^']+)': '?([^'}]*)'?\}", r"--column \1=\2"),
    (r"bbox=\('(\w+)', '(\w+)', '(\w+)', '(\w+)'\)", r"--bbox \1 \2 \3 \4"),
    (r"(?<![\w-])(bbox|images|ground_truth)='([^']+)'", lambda found: f"{_flag(found[1])} {found[2]}"),
    (r"metadata=\['(\w+)', '(\w+)'\]", r"--metadata \1 \2"),
    (r"Give the names in their order: names=\[.*\], or the path of a file", "Give by --names a file"),
    (r"(?<![\w-])journal=False", "--no-journal"),
    (r"(?<![\w-])overwrite=True", "--overwrite"),
    (r"(?<![\w-])run=…", "--run RUN or --model MODEL"),
    (r"kind='(\w+)'", r"--kind \1"),
    (r", or a frame with reference_id, width and height, sizes=items", ""),
    (r"read by npd\.read_coco, npd\.read_yolo and npd\.read_voc, .*$", "imported with --format coco, yolo or voc."),
    (r"; \.problems lists all", ""),
    (
        r"(?<![\w-])(bbox_format|if_exists|max_rejects)='?(\w+)'?",
        lambda found: f"{_flag(found[1])} {found[2]}",
    ),
    (
        r"(?<![\w-])(columns|bbox|metadata|journal|rejects|run|images|names|ground_truth)=",
        lambda found: _flag(found[1]),
    ),
    (r"^(batch_size|max_rejects)(?= (?:is|must be) )", lambda found: _flag(found[1])),
)


def _flag(name: str) -> str:
    return "--column" if name == "columns" else f"--{name.replace('_', '-')}"


def flags(text: str) -> str:
    """Say what to type as the command line has it.

    Examples
    --------
    >>> flags("Use columns={'label': 'class'}, or bbox=('x1', 'y1', 'x2', 'y2') with bbox_format='xyxy'.")
    'Use --column label=class, or --bbox x1 y1 x2 y2 with --bbox-format xyxy.'
    """
    for pattern, flag in _FLAGS:
        text = re.sub(pattern, flag, text, flags=re.MULTILINE)
    return text


@contextmanager
def in_flags() -> Iterator[None]:
    """Let errors of the block say what to type as the command line has it, and warnings too, in a line."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        sys.stderr.write(f"nucleus-pandas: warning: {flags(str(message))}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("always", NucleusWarning)
        warnings.showwarning = show
        try:
            yield
        except NucleusError as error:
            error.args = (flags(str(error)), *error.args[1:])
            raise
