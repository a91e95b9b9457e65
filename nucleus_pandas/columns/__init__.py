"""Frame <-> wire: how a frame's columns become objects, and objects a frame's columns."""

from nucleus_pandas.columns.dtypes import MATCHES, frame
from nucleus_pandas.columns.plain import plain

__all__ = ["MATCHES", "frame", "plain"]
