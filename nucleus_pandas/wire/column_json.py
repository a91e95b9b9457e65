"""Whole columns as JSON, without an object for each row.

The bytes are those of the Structs in `nucleus_pandas.wire.entities`, in another order of fields; a test holds the two
together. Arrow joins strings outside of Python's global lock, so batches are written by several threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas.wire.content_ids import Words, hex_digits

StringArray: TypeAlias = pa.LargeStringArray
"""A column of strings, null where one is missing; pyarrow ships no type information."""

_Floats: TypeAlias = npt.NDArray[np.float64]

ARROW_STRING = pa.large_string()
_EMPTY = pa.scalar("", ARROW_STRING)
_NULL = pa.scalar("null", ARROW_STRING)
_SPACE, _QUOTE, _BACKSLASH = ord(" "), ord('"'), ord("\\")
_ENCODER = msgspec.json.Encoder()


def quoted(texts: StringArray) -> StringArray:
    """Write strings as JSON strings; null stays null.

    Examples
    --------
    >>> quoted(pa.array(["a", "b", None], ARROW_STRING)).to_pylist()
    ['"a"', '"b"', None]
    """
    parts = _quoted(texts)
    return joined(*parts) if len(parts) > 1 else parts[0]


def _quoted(texts: StringArray) -> list[str | StringArray]:
    """Return the parts that join to JSON strings: most strings need nothing but quotation marks."""
    first, last = _span(texts)
    used = np.frombuffer(texts.buffers()[2], np.uint8)[first:last] if last > first else np.zeros(0, np.uint8)
    if not ((used < _SPACE) | (used == _QUOTE) | (used == _BACKSLASH)).any():
        return ['"', texts, '"']
    distinct = texts.dictionary_encode()
    values = [_ENCODER.encode(text) for text in distinct.dictionary.to_pylist()]
    return [pa.array(values, ARROW_STRING).take(distinct.indices)]


def joined(*parts: str | StringArray) -> StringArray:
    """Join constants and columns row by row; a row that lacks one of the columns is null.

    Examples
    --------
    >>> joined("<", pa.array(["a", None], ARROW_STRING), ">").to_pylist()
    ['<a>', None]
    """
    return pc.binary_join_element_wise(*(_scalar(part) for part in parts), _EMPTY)


def _scalar(part: str | StringArray) -> Any:
    return pa.scalar(part, ARROW_STRING) if isinstance(part, str) else part


def numbers(values: _Floats) -> StringArray:
    """Write finite numbers as JSON, in as few digits as restore them; NaN becomes null.

    Examples
    --------
    >>> numbers(np.array([0.1, 2.0, np.nan])).to_pylist()
    ['0.1', '2', None]
    """
    return pc.cast(pa.array(values, from_pandas=True), ARROW_STRING)


def _or_null(texts: StringArray) -> StringArray:
    """Replace null by JSON ``null``."""
    return pc.coalesce(texts, _NULL) if texts.null_count else texts


def _optional(*parts: str | StringArray) -> list[str | StringArray]:
    """Return the parts that join to a member of an object; empty in rows without it."""
    if all(isinstance(part, str) or not part.null_count for part in parts):
        return list(parts)
    return [pc.coalesce(joined(*parts), _EMPTY)]


def with_commas(*parts: str | StringArray) -> memoryview:
    """Join columns row by row, and the rows by commas, to one JSON fragment.

    Examples
    --------
    >>> bytes(with_commas(pa.array(["1", "2"], ARROW_STRING)))
    b'1,2'
    """
    ended = joined(*parts, ",")
    first, last = _span(ended)
    return memoryview(ended.buffers()[2])[first : last - 1] if last > first else memoryview(b"")


def lines(*parts: str | StringArray) -> bytes:
    r"""Join columns row by row, each to a line of its own.

    Examples
    --------
    >>> lines(pa.array(["1", "2"], ARROW_STRING))
    b'1\n2\n'
    """
    ended = joined(*parts, "\n")
    first, last = _span(ended)
    return bytes(memoryview(ended.buffers()[2])[first:last]) if last > first else b""


def _span(texts: StringArray) -> tuple[int, int]:
    """Return the range of bytes that a column uses of its data buffer."""
    if not len(texts):
        return 0, 0
    offsets = np.frombuffer(texts.buffers()[1], np.int64)
    return int(offsets[texts.offset]), int(offsets[texts.offset + len(texts)])


@dataclass(frozen=True, slots=True)
class BoxRows:
    """Checked boxes, column by column.

    Attributes
    ----------
    keys : StringArray
        What names the item.
    by_item_id : numpy.ndarray of bool or None
        Which of the keys are item ids; None where all are reference ids.
    labels : StringArray
        The labels.
    sides : numpy.ndarray of shape (4, n), float64
        x, y, width and height in pixels.
    confidences : numpy.ndarray of float64 or None
        NaN where there is none.
    metadata : StringArray or None
        JSON objects, null where there is none.
    given_ids : StringArray or None
        The annotation ids that the caller chose.
    words, occurrences : numpy.ndarray or None
        The annotation ids that were computed, and how often each occurred before.
    details : dict of str to StringArray
        JSON values of the fields in `nucleus_pandas.wire.entities.DETAILS`, null where there is none.
    """

    keys: StringArray
    by_item_id: npt.NDArray[np.bool_] | None
    labels: StringArray
    sides: _Floats
    confidences: _Floats | None
    metadata: StringArray | None
    given_ids: StringArray | None
    words: Words | None
    occurrences: npt.NDArray[np.int64] | None
    details: dict[str, StringArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> BoxRows:
        """Return a range of rows, without copying them."""

        def sliced(column: StringArray | None) -> StringArray | None:
            return None if column is None else column.slice(start, stop - start)

        rows = slice(start, stop)
        return BoxRows(
            keys=sliced(self.keys),
            by_item_id=None if self.by_item_id is None else self.by_item_id[rows],
            labels=sliced(self.labels),
            sides=self.sides[:, rows],
            confidences=None if self.confidences is None else self.confidences[rows],
            metadata=sliced(self.metadata),
            given_ids=sliced(self.given_ids),
            words=None if self.words is None else self.words[rows],
            occurrences=None if self.occurrences is None else self.occurrences[rows],
            details={name: sliced(column) for name, column in self.details.items()},
        )

    def _computed_ids(self, words: Words) -> list[str | StringArray]:
        """Return the parts that join to the annotation ids that were computed."""
        digits = pa.py_buffer(hex_digits(words))
        offsets = pa.py_buffer(np.arange(0, 32 * len(self) + 1, 32))
        parts: list[str | StringArray] = [pa.Array.from_buffers(ARROW_STRING, len(self), [None, offsets, digits])]
        if self.occurrences is not None and self.occurrences.any():
            again = pa.array(self.occurrences, mask=self.occurrences == 0)
            parts += _optional("-", pc.cast(again, ARROW_STRING))
        return parts

    def ids(self) -> StringArray:
        """Return the annotation ids."""
        if self.words is None:
            return self.given_ids
        computed = joined(*self._computed_ids(self.words))
        return computed if self.given_ids is None else pc.coalesce(self.given_ids, computed)

    def annotation_ids(self) -> list[str | StringArray]:
        """Return the parts that join to the quoted annotation ids."""
        if self.words is None:
            return _quoted(self.given_ids)
        parts = ['"', *self._computed_ids(self.words), '"']
        return parts if self.given_ids is None else [pc.coalesce(quoted(self.given_ids), joined(*parts))]


def box_objects(boxes: BoxRows) -> list[str | StringArray]:
    """Return the parts that join to boxes as objects of the REST API."""
    x, y, width, height = map(numbers, boxes.sides)
    key: str | StringArray = '"reference_id":'
    if boxes.by_item_id is not None:
        key = pc.if_else(
            pa.array(boxes.by_item_id), pa.scalar('"item_id":', ARROW_STRING), pa.scalar(key, ARROW_STRING)
        )
    parts = ['{"type":"box",', key, *_quoted(boxes.keys), ',"annotation_id":', *boxes.annotation_ids()]
    parts += [',"label":', *_quoted(boxes.labels)]
    parts += [',"geometry":{"x":', x, ',"y":', y, ',"width":', width, ',"height":', height, "}"]
    if boxes.confidences is not None:
        parts += _optional(',"confidence":', numbers(boxes.confidences))
    if boxes.metadata is not None:
        parts += _optional(',"metadata":', boxes.metadata)
    for name, values in boxes.details.items():
        parts += _optional(f',"{name}":', values)
    return [*parts, "}"]


def box_columns(boxes: BoxRows) -> list[bytes | memoryview]:
    """Write boxes, all keyed alike, as the pieces of a `nucleus_pandas.wire.bulk.BoxColumns`."""
    by_item_id = boxes.by_item_id is not None and bool(boxes.by_item_id.all())
    columns: dict[str, list[str | StringArray]] = {
        "keys": _quoted(boxes.keys),
        "annotation_id": boxes.annotation_ids(),
        "label": _quoted(boxes.labels),
    }
    for name, side in zip(("x", "y", "width", "height"), boxes.sides, strict=True):
        columns[name] = [numbers(side)]
    if boxes.confidences is not None:
        columns["confidence"] = [_or_null(numbers(boxes.confidences))]
    if boxes.metadata is not None:
        columns["metadata"] = [_or_null(boxes.metadata)]
    columns |= {name: [_or_null(values)] for name, values in boxes.details.items()}
    pieces: list[bytes | memoryview] = [b'{"by":"item_id"' if by_item_id else b'{"by":"reference_id"']
    for name, parts in columns.items():
        pieces += [b',"%b":[' % name.encode(), with_commas(*parts), b"]"]
    return [*pieces, b"}"]


def item_objects(fields: dict[str, StringArray]) -> list[str | StringArray]:
    """Return the parts that join to items as objects of the REST API; the first field is never absent.

    Parameters
    ----------
    fields : dict of str to StringArray
        JSON values, null where one is absent.

    Examples
    --------
    >>> url = pa.array(['"a"', '"b"'], ARROW_STRING)
    >>> joined(*item_objects({"image_url": url, "width": pa.array(["7", None], ARROW_STRING)})).to_pylist()
    ['{"image_url":"a","width":7}', '{"image_url":"b"}']
    """
    parts: list[str | StringArray] = []
    for name, values in fields.items():
        parts += _optional(f'{"," if parts else "{"}"{name}":', values)
    return [*parts, "}"]
