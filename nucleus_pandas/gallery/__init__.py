"""Pictures with what lies on them: frames in, HTML out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from numbers import Integral
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pandas as pd

from nucleus_pandas.boxes import BoxFormat
from nucleus_pandas.columns import BoxColumn, NamedColumns
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.inputs import Layout
from nucleus_pandas.gallery.drawing import Colour
from nucleus_pandas.gallery.marks import Marks, Side
from nucleus_pandas.gallery.page import Gallery, Tile
from nucleus_pandas.gallery.pictures import PREDICTED, Choice, Picture, chosen, located
from nucleus_pandas.gallery.thumbnails import UnshowableError, thumbnail

__all__ = ["Choice", "Colour", "Gallery", "chosen", "gallery"]

SIZE = 280
"""Pixels of the longer side of a picture."""

_SIZES = range(32, 2049)
_WEB = ("http", "https")
Fetch = Callable[[str], bytes | None]
