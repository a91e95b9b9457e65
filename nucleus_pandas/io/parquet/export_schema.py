"""The schema of exported files: Arrow types, descriptions of the columns, and the origin of the rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import pyarrow as pa

from nucleus_pandas.schema import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    ITEM_COLUMNS,
    ITEMS,
    MATCH_COLUMNS,
    MATCHES,
    PREDICTION_COLUMNS,
    PREDICTIONS,
    Meaning,
    arrow_type,
    as_json_strings,
    frame,
    indexed,
)

ExportKind: TypeAlias = Literal["items", "annotations", "predictions", "matches"]
EXPORT_KINDS: tuple[ExportKind, ...] = get_args(ExportKind)

FORMAT = 1
"""Increases when a change needs another reader."""

KEY = b"nucleus_pandas"
"""The key in a file's metadata of a JSON object: the kind and the origin of its rows."""

_TABLES: dict[ExportKind, tuple[Mapping[str, str], Mapping[str, Meaning]]] = {
    "items": (ITEMS, ITEM_COLUMNS),
    "annotations": (ANNOTATIONS, ANNOTATION_COLUMNS),
    "predictions": (PREDICTIONS, PREDICTION_COLUMNS),
    "matches": (MATCHES, MATCH_COLUMNS),
}
_INDEX: dict[ExportKind, str] = {"items": "dataset_item_id"}


def schema(what: ExportKind, about: Mapping[str, Any]) -> pa.Schema:
    """Create the schema of an exported file.

    Each field holds ``description``, and ``unit`` where it has one. The metadata of the schema holds what
    `pandas.read_parquet` needs for the documented dtypes, and under ``nucleus_pandas`` a JSON object.

    Parameters
    ----------
    what : {"items", "annotations", "predictions", "matches"}
        The kind of the rows.
    about : dict
        Their origin.

    Returns
    -------
    pyarrow.Schema
        Strings are ``string``, whole numbers ``int64`` and others ``double``; metadata and geometry are JSON strings.

    Examples
    --------
    >>> made = schema("predictions", {"dataset_id": "ds_1"})
    >>> made.field("confidence").type, made.field("confidence").metadata[b"unit"]
    (DataType(double), b'0 to 1')
    >>> json.loads(made.metadata[b"nucleus_pandas"])
    {'format': 1, 'what': 'predictions', 'dataset_id': 'ds_1'}
    """
    kinds, meanings = _TABLES[what]
    kinds = as_json_strings(kinds)
    fields = [pa.field(name, arrow_type(kind), metadata=_descriptions(meanings[name])) for name, kind in kinds.items()]
    own = {KEY: json.dumps({"format": FORMAT, "what": what, **about}, ensure_ascii=False)}
    return pa.schema(fields, metadata={**_for_pandas(what, kinds, pa.schema(fields)), **own})


def exported_as(made: pa.Schema) -> ExportKind | None:
    """Return the kind of the rows of an exported file; None for other files.

    Examples
    --------
    >>> exported_as(schema("items", {})), exported_as(pa.schema([]))
    ('items', None)
    """
    try:
        what = json.loads((made.metadata or {})[KEY])["what"]
    except (KeyError, ValueError, TypeError):
        return None
    return next((known for known in EXPORT_KINDS if known == what), None)


def _descriptions(meaning: Meaning) -> dict[str, str]:
    return {name: text for name, text in meaning._asdict().items() if text is not None}


def _for_pandas(what: ExportKind, kinds: Mapping[str, str], plain: pa.Schema) -> dict[bytes, bytes]:
    rows = frame({name: [] for name in kinds}, kinds)
    name = _INDEX.get(what)
    if name is not None:
        rows = indexed(rows, name)
    # A RangeIndex is not written: without a named index, pandas creates one.
    described = pa.Table.from_pandas(rows, schema=plain, preserve_index=name is not None)
    return {b"pandas": described.schema.metadata[b"pandas"]}
