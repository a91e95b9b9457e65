"""Frame <-> wire: how a frame's columns become objects, and objects a frame's columns."""

from nucleus_pandas.columns.annotations import check_annotations
from nucleus_pandas.columns.checked import NOT_SENT, Checked, Units
from nucleus_pandas.columns.dtypes import (
    ANNOTATIONS,
    DATASETS,
    EXAMPLES,
    ITEMS,
    JOBS,
    MATCHES,
    MODELS,
    PREDICTIONS,
    Backend,
    check_backend,
    column,
    frame,
    indexed,
    no_backend,
)
from nucleus_pandas.columns.geometry import BoxColumn
from nucleus_pandas.columns.items import check_items
from nucleus_pandas.columns.members import Items, item_ids
from nucleus_pandas.columns.metadata import Metadata
from nucleus_pandas.columns.naming import CANONICAL, NamedColumns
from nucleus_pandas.columns.pictures import is_remote, readable
from nucleus_pandas.columns.plain import plain
from nucleus_pandas.columns.problems import Problems, label_of, warn
from nucleus_pandas.columns.values import floats, texts, within

__all__ = [
    "ANNOTATIONS",
    "Backend",
    "BoxColumn",
    "CANONICAL",
    "Checked",
    "DATASETS",
    "EXAMPLES",
    "JOBS",
    "ITEMS",
    "Items",
    "MATCHES",
    "MODELS",
    "Metadata",
    "NOT_SENT",
    "NamedColumns",
    "PREDICTIONS",
    "Problems",
    "Units",
    "check_annotations",
    "check_backend",
    "check_items",
    "column",
    "floats",
    "frame",
    "indexed",
    "is_remote",
    "item_ids",
    "label_of",
    "no_backend",
    "plain",
    "readable",
    "texts",
    "warn",
    "within",
]
