"""Frame <-> wire: how a frame's columns become objects, and objects a frame's columns."""

from nucleus_pandas.schema.annotations import ANY, AnnotationUnits, Terms, check_annotations
from nucleus_pandas.schema.checked_rows import NOT_SENT, Checked, SendableAnnotations, SendableItems, Units
from nucleus_pandas.schema.coerce import floats, to_strings, within
from nucleus_pandas.schema.column_names import CANONICAL, NamedColumns
from nucleus_pandas.schema.dtypes import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    DATASETS,
    EXAMPLES,
    EXPORTED,
    IMAGES,
    ITEM_COLUMNS,
    ITEMS,
    JOBS,
    MATCH_COLUMNS,
    MATCHES,
    MODELS,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    Backend,
    ColumnValues,
    Meaning,
    arrow_type,
    as_json_strings,
    check_backend,
    column,
    frame,
    indexed,
    no_backend,
)
from nucleus_pandas.schema.geometry import BoxColumn
from nucleus_pandas.schema.image_urls import is_remote, mask_file, readable
from nucleus_pandas.schema.item_ids import ItemKeys, item_ids
from nucleus_pandas.schema.items import check_items
from nucleus_pandas.schema.json_values import to_json
from nucleus_pandas.schema.metadata import MetadataColumns
from nucleus_pandas.schema.metadata_updates import Changes, check_changes
from nucleus_pandas.schema.problems import Problems, label_of, warn

__all__ = [
    "ANNOTATIONS",
    "ANNOTATION_COLUMNS",
    "ANY",
    "AnnotationUnits",
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
    "ItemKeys",
    "MATCHES",
    "MATCH_COLUMNS",
    "MODELS",
    "Meaning",
    "MetadataColumns",
    "NOT_SENT",
    "NamedColumns",
    "IMAGES",
    "PREDICTIONS",
    "PREDICTION_COLUMNS",
    "Problems",
    "SendableAnnotations",
    "SendableItems",
    "Terms",
    "Units",
    "ColumnValues",
    "arrow_type",
    "as_json_strings",
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
    "to_json",
    "readable",
    "to_strings",
    "warn",
    "within",
]
