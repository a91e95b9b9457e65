"""Frame <-> wire: how a frame's columns become objects, and objects a frame's columns."""

from nucleus_pandas.columns.annotations import ANY, Terms, check_annotations
from nucleus_pandas.columns.changes import Changes, check_changes
from nucleus_pandas.columns.checked import NOT_SENT, Checked, Units
from nucleus_pandas.columns.dtypes import (
    ANNOTATIONS,
    DATASETS,
    EXAMPLES,
    EXPORTED,
    ITEMS,
    JOBS,
    MATCHES,
    MODELS,
    PICTURES,
    PREDICTIONS,
    Backend,
    Values,
    arrow_type,
    as_texts,
    check_backend,
    column,
    frame,
    indexed,
    no_backend,
)
from nucleus_pandas.columns.geometry import BoxColumn
from nucleus_pandas.columns.items import check_items
from nucleus_pandas.columns.meanings import (
    ANNOTATION_COLUMNS,
    ITEM_COLUMNS,
    MATCH_COLUMNS,
    PREDICTION_COLUMNS,
    Meaning,
)
from nucleus_pandas.columns.members import Items, item_ids
from nucleus_pandas.columns.metadata import Metadata
from nucleus_pandas.columns.naming import CANONICAL, NamedColumns
from nucleus_pandas.columns.pictures import is_remote, mask_file, readable
from nucleus_pandas.columns.plain import plain
from nucleus_pandas.columns.problems import Problems, label_of, warn
from nucleus_pandas.columns.values import floats, texts, within

__all__ = [
    "ANNOTATIONS",
    "ANNOTATION_COLUMNS",
    "ANY",
    "Backend",
    "BoxColumn",
    "CANONICAL",
    "Changes",
    "Checked",
    "DATASETS",
    "EXAMPLES",
    "EXPORTED",
    "JOBS",
    "ITEMS",
    "ITEM_COLUMNS",
    "Items",
    "MATCHES",
    "MATCH_COLUMNS",
    "MODELS",
    "Meaning",
    "Metadata",
    "NOT_SENT",
    "NamedColumns",
    "PICTURES",
    "PREDICTIONS",
    "PREDICTION_COLUMNS",
    "Problems",
    "Terms",
    "Units",
    "Values",
    "arrow_type",
    "as_texts",
    "check_annotations",
    "check_backend",
    "check_changes",
    "check_items",
    "column",
    "floats",
    "frame",
    "indexed",
    "is_remote",
    "item_ids",
    "label_of",
    "mask_file",
    "no_backend",
    "plain",
    "readable",
    "texts",
    "warn",
    "within",
]
