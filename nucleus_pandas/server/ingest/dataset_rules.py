"""What a dataset asks of the rows that it takes: labels of its taxonomies, types of its metadata, sizes of images."""

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
from nucleus_pandas.wire.entities import AnyAnnotation, Box, Category, Metadata, MultiCategory
from nucleus_pandas.wire.requests import SchemaField

Schema: TypeAlias = dict[str, SchemaField]

_SHOWN = 40  # characters of a refused value
_LISTED = 10  # names that a sentence lists


def check_schema(schema: Metadata | None, path: str) -> None:
    """Raise BadRequestError where a metadata schema is none."""
    if schema is not None:
        convert(schema, Schema, "The request's body", path)


def item_schema(db: sqlite3.Connection, dataset: Dataset) -> Schema:
    """Return what the metadata of items has to be."""
    return _schema(datasets.item_schema(db, dataset))


def annotation_schema(db: sqlite3.Connection, layer: AnnotationLayer) -> Schema:
    """Return what the metadata of annotations has to be, or that of the predictions of a run."""
    return _schema(layers.metadata_schema(db, layer))


def _schema(text: str | None) -> Schema:
    return {} if text is None else msgspec.json.decode(text, type=Schema)


def broken_metadata(metadata: Mapping[str, Any] | None, schema: Schema) -> str | None:
    """Return which field of metadata is not what the schema says; null and unknown keys may be anything.

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
            wanted = "a number"
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        else:
            wanted = "a text" if field.choices is None else f"one of {_list(field.choices)}"
            fits = isinstance(value, str) and (field.choices is None or value in field.choices)
        if not fits:
            return f"its metadata `{name}` must be {wanted}, not {repr(value)[:_SHOWN]}"
    return None


def _list(names: Iterable[str]) -> str:
    every = list(names)
    listed = ", ".join(map(repr, every[:_LISTED]))
    return listed if len(every) <= _LISTED else f"{listed}, and {len(every) - _LISTED} others"


def broken_items(
    db: sqlite3.Connection, dataset: Dataset, rows: Sequence[NewItem | None], wanted: Sequence[Any]
) -> dict[int, str]:
    """Return which items break a rule of their dataset, and why.

    Parameters
    ----------
    rows : sequence of NewItem or None
        As they would be stored; None where an item is refused already.
    wanted : sequence of Item
        As they were sent.
    """
    schema = item_schema(db, dataset)
    if not schema and not dataset.use_privacy_mode:
        return {}
    found: dict[int, str] = {}
    for number, (row, item) in enumerate(zip(rows, wanted, strict=True)):
        if row is None:
            continue
        if dataset.use_privacy_mode and (row.width is None or row.height is None):
            found[number] = (
                f"'{row.reference_id}': an item needs `width` and `height`, since the dataset is in privacy mode."
            )
        elif (reason := broken_metadata(item.metadata, schema)) is not None:
            found[number] = f"'{row.reference_id}': {reason}."
    return found


def broken_annotations(
    db: sqlite3.Connection, layer: AnnotationLayer, wanted: Sequence[AnyAnnotation], items: Sequence[int | str]
) -> dict[int, str]:
    """Return which annotations or predictions break a rule of their dataset or run, and why.

    Parameters
    ----------
    items : sequence of int or str
        The number of each one's item; a text where it has none.
    """
    found: dict[int, str] = {}
    known: dict[int, dict[str, Taxonomy]] = {}
    for number, one in enumerate(wanted):
        item = items[number]
        if isinstance(one, Box) or not isinstance(one, (Category, MultiCategory)) or one.taxonomy_name is None:
            continue
        if isinstance(item, int):
            dataset = dataset_of(item)
            if dataset not in known:
                known[dataset] = datasets.taxonomies(db, dataset)
            if (reason := _broken_category(one, one.taxonomy_name, known[dataset])) is not None:
                found[number] = f"'{one.reference_id or one.item_id}': {reason}."
    schema = annotation_schema(db, layer)
    if schema:
        for number, one in enumerate(wanted):
            unplaced = isinstance(items[number], str)
            if not unplaced and number not in found and (reason := broken_metadata(one.metadata, schema)) is not None:
                found[number] = f"'{one.reference_id or one.item_id}': {reason}."
    return found


def broken_boxes(
    db: sqlite3.Connection, layer: AnnotationLayer, boxes: BoxColumns, items: Sequence[int | None]
) -> dict[int, str]:
    """Do for boxes that came as columns what `broken_annotations` does."""
    schema = {} if boxes.metadata is None else annotation_schema(db, layer)
    if not schema:
        return {}
    return {
        row: f"'{boxes.keys[row]}': {reason}."
        for row, metadata in enumerate(boxes.metadata or ())
        if items[row] is not None and (reason := broken_metadata(metadata, schema)) is not None
    }


def _broken_category(one: Category | MultiCategory, name: str, known: Mapping[str, Taxonomy]) -> str | None:
    """Return what is wrong with a category; a dataset without any taxonomy takes all."""
    if not known:
        return None
    taxonomy = known.get(name)
    if taxonomy is None:
        return f"the taxonomy '{name}' does not exist; the dataset has {_list(known)}"
    kind = "category" if isinstance(one, Category) else "multicategory"
    if taxonomy.type != kind:
        return f"the taxonomy '{name}' is one of the type {taxonomy.type}, not {kind}"
    for label in [one.label] if isinstance(one, Category) else one.labels:
        if label not in taxonomy.labels:
            return f"the taxonomy '{name}' has no label '{label[:_SHOWN]}'; it has {_list(taxonomy.labels)}"
    return None
