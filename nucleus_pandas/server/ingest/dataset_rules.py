"""Rules of a dataset for its rows: labels of taxonomies, metadata schemas, and image sizes in privacy mode."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from nucleus_pandas.server.store import datasets, layers
from nucleus_pandas.server.store.datasets import Dataset, Taxonomy
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.store.items import NewItem
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.bulk import BoxColumns
from nucleus_pandas.wire.decoding import convert
from nucleus_pandas.wire.entities import AnyAnnotation, Box, Category, JsonObject, MultiCategory
from nucleus_pandas.wire.requests import SchemaField

MetadataSchema: TypeAlias = dict[str, SchemaField]

_SHOWN = 40  # characters of an invalid value that an error quotes
_LISTED = 10  # names that an error lists


def check_schema(schema: JsonObject | None, path: str) -> None:
    """Raise ValidationError if a metadata schema is invalid."""
    if schema is not None:
        convert(schema, MetadataSchema, "The request's body", path)


def item_schema(db: sqlite3.Connection, dataset: Dataset) -> MetadataSchema:
    """Return the metadata schema of the items of a dataset; empty without one."""
    return _schema(datasets.item_schema(db, dataset))


def annotation_schema(db: sqlite3.Connection, layer: AnnotationLayer) -> MetadataSchema:
    """Return the metadata schema of the annotations of a layer; empty without one."""
    return _schema(layers.metadata_schema(db, layer))


def _schema(text: str | None) -> MetadataSchema:
    return {} if text is None else msgspec.json.decode(text, type=MetadataSchema)


def broken_metadata(metadata: Mapping[str, Any] | None, schema: MetadataSchema) -> str | None:
    """Return the first violation of a metadata schema, or None; null and unknown keys are always valid.

    Examples
    --------
    >>> schema = {"hour": SchemaField(type="number"), "sky": SchemaField(type="category", choices=["blue", "grey"])}
    >>> broken_metadata({"hour": 7, "sky": None, "else": "anything"}, schema)
    >>> broken_metadata({"hour": "seven"}, schema)
    "its metadata `hour` must be a number, not 'seven'"
    >>> broken_metadata({"sky": "pink"}, schema)
    "its metadata `sky` must be one of 'blue', 'grey', not 'pink'"
    """
    for name, field in schema.items():
        value = None if metadata is None else metadata.get(name)
        if value is None or field.type == "json":
            continue
        if field.type == "number":
            expected = "a number"
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        else:
            expected = "a string" if field.choices is None else f"one of {_list(field.choices)}"
            fits = isinstance(value, str) and (field.choices is None or value in field.choices)
        if not fits:
            return f"its metadata `{name}` must be {expected}, not {repr(value)[:_SHOWN]}"
    return None


def _list(names: Iterable[str]) -> str:
    every = list(names)
    listed = ", ".join(map(repr, every[:_LISTED]))
    return listed if len(every) <= _LISTED else f"{listed}, and {len(every) - _LISTED} others"


def broken_items(
    db: sqlite3.Connection, dataset: Dataset, rows: Sequence[NewItem | None], sent_items: Sequence[Any]
) -> dict[int, str]:
    """Return the error of each item that breaks a rule of its dataset.

    Parameters
    ----------
    rows : sequence of NewItem or None
        The items as they will be stored; None for those already rejected.
    sent_items : sequence of Item
        The items as they were sent.
    """
    schema = item_schema(db, dataset)
    if not schema and not dataset.use_privacy_mode:
        return {}
    errors: dict[int, str] = {}
    for number, (row, item) in enumerate(zip(rows, sent_items, strict=True)):
        if row is None:
            continue
        if dataset.use_privacy_mode and (row.width is None or row.height is None):
            errors[number] = (
                f"'{row.reference_id}': an item needs `width` and `height`, because the dataset is in privacy mode."
            )
        elif (reason := broken_metadata(item.metadata, schema)) is not None:
            errors[number] = f"'{row.reference_id}': {reason}."
    return errors


def broken_annotations(
    db: sqlite3.Connection, layer: AnnotationLayer, annotations: Sequence[AnyAnnotation], items: Sequence[int | str]
) -> dict[int, str]:
    """Return the error of each annotation or prediction that breaks a rule of its dataset or run.

    Parameters
    ----------
    items : sequence of int or str
        The item number of each; an error for those that have none.
    """
    errors: dict[int, str] = {}
    taxonomies: dict[int, dict[str, Taxonomy]] = {}  # by dataset
    schema = annotation_schema(db, layer)
    for row, (annotation, item) in enumerate(zip(annotations, items, strict=True)):
        is_box = isinstance(annotation, Box)  # first, as nearly all are boxes
        if (is_box and not schema) or isinstance(item, str):
            continue
        reason = None
        if not is_box and isinstance(annotation, (Category, MultiCategory)) and annotation.taxonomy_name is not None:
            dataset = dataset_of(item)
            if dataset not in taxonomies:
                taxonomies[dataset] = datasets.taxonomies(db, dataset)
            reason = _broken_category(annotation, annotation.taxonomy_name, taxonomies[dataset])
        reason = reason or broken_metadata(annotation.metadata, schema)
        if reason is not None:
            errors[row] = f"'{annotation.reference_id or annotation.item_id}': {reason}."
    return errors


def broken_boxes(
    db: sqlite3.Connection, layer: AnnotationLayer, boxes: BoxColumns, items: Sequence[int | None]
) -> dict[int, str]:
    """Return the error of each box that breaks a rule, as `broken_annotations` does for annotations."""
    schema = {} if boxes.metadata is None else annotation_schema(db, layer)
    if not schema:
        return {}
    return {
        row: f"'{boxes.keys[row]}': {reason}."
        for row, metadata in enumerate(boxes.metadata or ())
        if items[row] is not None and (reason := broken_metadata(metadata, schema)) is not None
    }


def _broken_category(category: Category | MultiCategory, name: str, taxonomies: Mapping[str, Taxonomy]) -> str | None:
    """Return the violation of a taxonomy, or None; a dataset without taxonomies accepts any category."""
    if not taxonomies:
        return None
    taxonomy = taxonomies.get(name)
    if taxonomy is None:
        return f"the taxonomy '{name}' does not exist; the dataset has {_list(taxonomies)}"
    kind = "category" if isinstance(category, Category) else "multicategory"
    if taxonomy.type != kind:
        return f"the taxonomy '{name}' is of type {taxonomy.type}, not {kind}"
    for label in [category.label] if isinstance(category, Category) else category.labels:
        if label not in taxonomy.labels:
            return f"the taxonomy '{name}' has no label '{label[:_SHOWN]}'; it has {_list(taxonomy.labels)}"
    return None
