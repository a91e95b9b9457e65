"""Row sources for the hosted REST API, the fallback where a server has no bulk routes.

The API looks up one item per request, or returns pages of the whole dataset: a source takes whichever is cheaper.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from msgspec import UNSET, Raw

from nucleus_pandas._util.threads import side_by_side
from nucleus_pandas.errors import NotFoundError, UnsupportedError
from nucleus_pandas.schema import ITEM_DETAILS
from nucleus_pandas.transport.session import Transport, shaped
from nucleus_pandas.views.source import WIRE_NAMES, Locator, LookUpKeys, PageColumns, Picked, RowSource, joined
from nucleus_pandas.wire.bulk import ROWS
from nucleus_pandas.wire.column_json import ARROW_STRING
from nucleus_pandas.wire.entities import GROUND_TRUTH_KEYS
from nucleus_pandas.wire.lenient_responses import (
    ExportPage,
    ExportRequest,
    ExportRow,
    ItemsPage,
    LenientAnnotation,
    LenientGeometry,
    LenientItem,
    LenientItemAnswer,
    LenientModelPredictions,
    LenientPrediction,
    LenientPredictionsAnswer,
    PagingRequest,
    RawAnnotation,
    RawItem,
    RawPrediction,
)

LOOK_UPS = 20
"""How many single look-ups cost as much as one page of a whole dataset."""

R = TypeVar("R")
A = TypeVar("A", bound=LenientAnnotation)
_Grouped: TypeAlias = dict[str, list[A] | A | None] | list[A] | None


class ItemRows(NamedTuple):
    """An item's two ids, and its annotations or predictions."""

    item_id: str | None
    reference_id: str | None
    rows: Sequence[LenientAnnotation]


class RestSource(RowSource, Generic[R]):
    """Reads records, one per item, and turns them into columns.

    A key costs one request and a full read costs one request per page, so keys are looked up one by one until there
    are `LOOK_UPS` of them per page. Pages keep the order of the dataset, so the position of a record is its count.
    """

    _extra_pages = 0  # requests of a full read besides the pages of items

    def pages(self, wanted: Sequence[str], rows: int, *, raw: bool = False) -> Iterator[PageColumns]:
        """Read all rows in order, one page of items at a time."""
        waiting: list[PageColumns] = []
        count = 0
        for records in self._pages(min(rows, ROWS), raw):
            waiting.append(self._columns(records, wanted))
            count += sum(map(self._length, records))
            del records  # frees its many objects before the next page is read
            if count >= rows:
                yield joined(waiting, wanted)
                waiting, count = [], 0
        if count:
            yield joined(waiting, wanted)

    def pick(self, by: Locator, keys: LookUpKeys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items one by one, or page the whole dataset where that is cheaper."""
        if self._costs_more_than_paging(len(keys)):
            records = self._select(by, keys, raw)
        else:
            records = self._look_up(by, keys, raw)
        missing = [place for place, record in enumerate(records) if record is None]
        if missing and len(missing) == len(keys):
            _ = self.size  # raises if the dataset itself does not exist
        existing = [record for record in records if record is not None]
        lengths = [0 if record is None else self._length(record) for record in records]
        return Picked(self._columns(existing, wanted), lengths, missing)

    def _costs_more_than_paging(self, look_ups: int) -> bool:
        if look_ups <= LOOK_UPS * (1 + self._extra_pages):
            return False  # without asking for the size
        return look_ups > LOOK_UPS * (max(1, -(-self.size // ROWS)) + self._extra_pages)

    def _select(self, by: Locator, keys: LookUpKeys, raw: bool) -> list[R | None]:
        record_of: dict[object, R] = {}
        position = 0
        for page in self._pages(ROWS, raw):
            for record in page:
                record_of[position if by == "iloc" else self._ids(record)[by == "refloc"]] = record
                position += 1
        return [record_of.get(key) for key in keys]

    def _look_up(self, by: Locator, keys: LookUpKeys, raw: bool) -> list[R | None]:
        def look_up_one(key: object) -> R | None:
            try:
                return self._one(by, str(key), raw)
            except NotFoundError:
                return None

        workers = min(self._transport.max_concurrency, len(keys))
        if workers <= 1:
            return [look_up_one(key) for key in keys]
        return side_by_side(look_up_one, keys, workers, "nucleus_pandas-read")

    def _place(self) -> tuple[str, ...]:
        return "dataset", self._dataset()

    def _paged(self, shape: Any, route: str, wanted: PagingRequest) -> Iterator[Any]:
        while True:
            pages = [self._transport.look_up(shape, *self._place(), route, body=wanted)]
            wanted.page_token = pages[0].next_page_token
            yield pages.pop()  # held by the reader alone
            if not wanted.page_token:
                return

    @abstractmethod
    def _pages(self, rows: int, raw: bool) -> Iterator[list[R]]:
        """Read the records of all items, in order."""

    @abstractmethod
    def _one(self, by: Locator, key: str, raw: bool) -> R:
        """Read the record of one item."""

    @abstractmethod
    def _columns(self, records: list[R], wanted: Sequence[str]) -> PageColumns:
        """Turn records into columns."""

    @abstractmethod
    def _ids(self, record: R) -> tuple[str | None, str | None]:
        """Return the item id and the reference id of a record."""

    @abstractmethod
    def _length(self, record: R) -> int:
        """Count the rows of a record."""


class RestItems(RestSource[LenientItem]):
    """Reads items by the REST API."""

    def _pages(self, rows: int, raw: bool) -> Iterator[list[LenientItem]]:
        shape = ItemsPage[RawItem] if raw else ItemsPage[LenientItem]
        return map(attrgetter("items"), self._paged(shape, "itemsPage", PagingRequest(page_size=rows)))

    def _one(self, by: Locator, key: str, raw: bool) -> LenientItem:
        shape = (
            LenientItemAnswer[RawItem, LenientAnnotation] if raw else LenientItemAnswer[LenientItem, LenientAnnotation]
        )
        answer: Any = self._transport.read(shape, "dataset", self._dataset(), by, key)
        item: LenientItem = answer.item
        return item

    def _ids(self, record: LenientItem) -> tuple[str | None, str | None]:
        return _ids_of(record)

    def _length(self, record: LenientItem) -> int:
        return 1

    def _columns(self, records: list[LenientItem], wanted: Sequence[str]) -> PageColumns:
        columns: PageColumns = {}
        for name in wanted:
            if name == "metadata":
                columns[name] = _metadata([item.metadata for item in records])
            elif name in _SPELLINGS:
                spellings = attrgetter(*_SPELLINGS[name])
                columns[name] = [next(filter(None, spellings(item)), None) for item in records]
            elif name in ITEM_DETAILS:
                columns[name] = list(map(attrgetter(name), records))
            else:
                numbers = map(attrgetter(WIRE_NAMES.get(name, name)), records)
                columns[name] = [None if number is None else int(number) for number in numbers]
        return columns


class RestAnnotations(RestSource[ItemRows]):
    """Reads ground truth by the REST API."""

    def _pages(self, rows: int, raw: bool) -> Iterator[list[ItemRows]]:
        shape: Any = (
            list[ExportRow[LenientItem, RawAnnotation]] if raw else list[ExportRow[LenientItem, LenientAnnotation]]
        )
        for page in self._paged(ExportPage, _EXPORT, self._export_request(rows)):
            for text in _in_bits(page.data):
                yield [ItemRows(*_ids_of(row.item), _exported(row)) for row in shaped(f"POST {_EXPORT}", text, shape)]

    def _export_request(self, rows: int) -> PagingRequest:
        return ExportRequest(page_size=rows)

    def _one(self, by: Locator, key: str, raw: bool) -> ItemRows:
        shape = (
            LenientItemAnswer[LenientItem, RawAnnotation] if raw else LenientItemAnswer[LenientItem, LenientAnnotation]
        )
        answer: Any = self._transport.read(shape, "dataset", self._dataset(), by, key)
        return ItemRows(*_ids_of(answer.item), _flat(answer.annotations))

    def _ids(self, record: ItemRows) -> tuple[str | None, str | None]:
        return record.item_id, record.reference_id

    def _length(self, record: ItemRows) -> int:
        return len(record.rows)

    def _columns(self, records: list[ItemRows], wanted: Sequence[str]) -> PageColumns:
        rows = [row for record in records for row in record.rows]
        shapes = [row.geometry if row.type == "box" and row.geometry is not None else _NO_SHAPE for row in rows]
        owners = pa.array(np.repeat(np.arange(len(records)), list(map(self._length, records))))
        columns: PageColumns = {}
        for name in wanted:
            if name in _IDS:
                ids = [record[_IDS.index(name)] for record in records]
                columns[name] = pa.array(ids, ARROW_STRING).take(owners)
            elif name in _SIDES:
                columns[name] = np.array(list(map(attrgetter(name), shapes)), np.float64)
            elif name == "confidence":
                columns[name] = np.array([row.confidence for row in rows], np.float64)
            elif name == "geometry":
                columns[name] = [None if row.type == "box" else _geometry(row) for row in rows]
            elif name in ("class_pdf", "embedding_vector"):
                columns[name] = list(map(attrgetter(name), rows))
            elif name == "metadata":
                columns[name] = _metadata([row.metadata for row in rows])
            elif name == "annotation_id":
                columns[name] = pa.array([row.annotation_id or row.id for row in rows], ARROW_STRING)
            else:
                columns[name] = pa.array(list(map(attrgetter(name), rows)), ARROW_STRING)
        return columns


class RestRunPredictions(RestAnnotations):
    """Reads the predictions of a run on the items of one dataset.

    Parameters
    ----------
    transport, dataset
        As for every source.
    run_id : str
        The run.
    """

    _extra_pages = 1

    def __init__(self, transport: Transport, dataset: Callable[[], str], run_id: str) -> None:
        super().__init__(transport, dataset)
        self._run_id = run_id

    def _pages(self, rows: int, raw: bool) -> Iterator[list[ItemRows]]:
        self._dataset()  # raises before much is read
        row_shape: Any = RawPrediction if raw else LenientPrediction
        shape: Any = dict[str, list[row_shape] | row_shape | None] | list[row_shape]
        answer: _Grouped[LenientPrediction] = self._transport.read(shape, *self._export())
        by_item: dict[str, list[LenientPrediction]] = {}
        by_reference: dict[str, list[LenientPrediction]] = {}
        for row in _flat(answer):
            if (item_id := row.dataset_item_id or row.item_id) is not None:
                by_item.setdefault(item_id, []).append(row)
            elif row.reference_id is not None:
                by_reference.setdefault(row.reference_id, []).append(row)
        for page in self._paged(ItemsPage[LenientItem], "itemsPage", PagingRequest(page_size=ROWS)):
            groups = []
            for item in page.items:
                item_id, reference_id = _ids_of(item)
                rows_of_item = by_item.get(item_id or "", []) + by_reference.get(reference_id or "", [])
                groups.append(ItemRows(item_id, reference_id, rows_of_item))
            yield from (groups[start : start + _AT_ONCE] for start in range(0, len(groups), _AT_ONCE))

    def _one(self, by: Locator, key: str, raw: bool) -> ItemRows:
        shape = LenientPredictionsAnswer[RawPrediction] if raw else LenientPredictionsAnswer[LenientPrediction]
        answer: Any = self._transport.read(shape, *self._look_up_one(by, key))
        rows: list[LenientPrediction] = _flat(answer.annotations)
        item_id = next((i for row in rows if (i := row.dataset_item_id or row.item_id)), None)
        reference_id = next((row.reference_id for row in rows if row.reference_id), None)
        if by == "loc":
            item_id = key
        elif by == "refloc":
            reference_id = key
        if rows and (item_id is None or reference_id is None):
            # The API requires one of the two ids only; frames hold both.
            item_answer: Any = self._transport.read(
                LenientItemAnswer[LenientItem, LenientAnnotation], "dataset", self._dataset(), by, key
            )
            item_id, reference_id = _ids_of(item_answer.item)
        return ItemRows(item_id, reference_id, rows)

    def _export(self) -> tuple[str, ...]:
        """Return the route of all predictions."""
        return "modelRun", self._run_id, "ungrouped"

    def _look_up_one(self, by: Locator, key: str) -> tuple[str, ...]:
        """Return the route of those on one item."""
        return "modelRun", self._run_id, by, key


class RestPartOfRun(RestRunPredictions):
    """Reads all predictions of a run that may span datasets, and keeps those on the items of one dataset."""

    def _costs_more_than_paging(self, look_ups: int) -> bool:
        return True  # a run of several datasets has neither reference ids nor positions


class RestModelPredictions(RestRunPredictions):
    """Reads the predictions of the newest run of a model on a dataset; the model stands in for the run."""

    def pick(self, by: Locator, keys: LookUpKeys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items."""
        picked = super().pick(by, keys, wanted, raw=raw)
        if picked.missing and len(picked.missing) == len(keys):
            self._transport.get(*self._export())  # raises if the run itself does not exist
        return picked

    def _export(self) -> tuple[str, ...]:
        return "dataset", self._dataset(), "model", self._run_id, "export"

    def _look_up_one(self, by: Locator, key: str) -> tuple[str, ...]:
        if by == "loc":  # the API has no route by item id
            shape = LenientItemAnswer[LenientItem, LenientAnnotation]
            item_answer: Any = self._transport.read(shape, "dataset", self._dataset(), by, key)
            by, key = "refloc", _ids_of(item_answer.item)[1] or ""
        return "dataset", self._dataset(), "model", self._run_id, "referenceId" if by == "refloc" else by, key


class RestFreePredictions(RestAnnotations):
    """Reads predictions that belong to a model and to no run, which the API returns item by item only.

    Parameters
    ----------
    transport, dataset
        As for every source.
    model_id : str
        The model.
    """

    def __init__(self, transport: Transport, dataset: Callable[[], str], model_id: str) -> None:
        super().__init__(transport, dataset)
        self._model_id = model_id

    def _read_size(self) -> int:
        raise UnsupportedError(f"This server returns {_ITEM_BY_ITEM}")

    def pick(self, by: Locator, keys: LookUpKeys, wanted: Sequence[str], *, raw: bool = False) -> Picked:
        """Read the rows of some items one by one."""
        records = self._look_up(by, keys, raw)
        existing = [record for record in records if record is not None]
        lengths = [0 if record is None else len(record.rows) for record in records]
        missing = [place for place, record in enumerate(records) if record is None]
        if missing and not existing:
            self._transport.get("model", self._model_id)  # raises if the model itself does not exist
        return Picked(self._columns(existing, wanted), lengths, missing)

    def _pages(self, rows: int, raw: bool) -> Iterator[list[ItemRows]]:
        raise UnsupportedError(f"This server returns {_ITEM_BY_ITEM}")

    def _one(self, by: Locator, key: str, raw: bool) -> ItemRows:
        shape: Any = LenientModelPredictions[RawPrediction] if raw else LenientModelPredictions[LenientPrediction]
        answer: Any = self._transport.read(shape, "model", self._model_id, "predictions", by, key)
        return ItemRows(key if by == "loc" else None, key if by == "refloc" else None, listed(answer.predictions))

    def _columns(self, records: list[ItemRows], wanted: Sequence[str]) -> PageColumns:
        columns = super()._columns(records, wanted)
        rows: list[Any] = [row for record in records for row in record.rows]  # of one reference id in several datasets
        if "dataset_item_id" in columns:
            columns["dataset_item_id"] = pa.array([row.dataset_item_id or row.item_id for row in rows], ARROW_STRING)
        if "reference_id" in columns:
            columns["reference_id"] = pa.array([row.reference_id for row in rows], ARROW_STRING)
        return columns


_ITEM_BY_ITEM = (
    "predictions without a run item by item only: use model.predictions.loc[item ids], or .refloc[reference ids]. "
    "dataset.predictions(model) reads those that were sent with dataset=."
)
_IDS = ("dataset_item_id", "reference_id")
_SPELLINGS = {
    "dataset_item_id": ("dataset_item_id", "id"),
    "reference_id": ("reference_id", "ref_id"),
    "image_url": ("image_url", "processed_url", "original_image_url"),
}
_SIDES = ("x", "y", "width", "height")
_NO_SHAPE = LenientGeometry()
_EXPORT = "exportForTrainingPage"
# Small enough that its objects are still in the processor's cache when they are turned into columns.
_AT_ONCE = 256  # items
_BIT = 1 << 17  # bytes of JSON


def _in_bits(rows: Sequence[Raw]) -> Iterator[bytes]:
    """Join rows to JSON arrays of about `_BIT` bytes each."""
    start, size = 0, 0
    for stop, row in enumerate(rows, 1):
        size += len(memoryview(row))
        if size >= _BIT or stop == len(rows):
            yield b"[%b]" % b",".join(rows[start:stop])
            start, size = stop, 0


def _ids_of(item: LenientItem) -> tuple[str | None, str | None]:
    return item.dataset_item_id or item.id, item.reference_id or item.ref_id


def _flat(groups: _Grouped[A]) -> list[A]:
    """Concatenate groups by type, in the order in which the API lists the types."""
    if groups is None:
        return []
    if isinstance(groups, list):
        return listed(groups)
    return [row for key in (*GROUND_TRUTH_KEYS, *groups) for row in _typed(groups.pop(key, None), key)]


def listed(rows: list[A]) -> list[A]:
    """Return annotations that came in a list, with the type of masks filled in: the API lets only masks omit it."""
    return list(_typed(rows, "segmentation"))


_export_groups = attrgetter(*GROUND_TRUTH_KEYS)


def _exported(row: ExportRow[LenientItem, LenientAnnotation]) -> list[LenientAnnotation]:
    boxes, *others = _export_groups(row)
    rows = _typed(boxes, "box")
    if any(others):
        for key, group in zip(GROUND_TRUTH_KEYS[1:], others, strict=True):
            rows = rows + _typed(group, key)
    return rows + _flat(row.annotations) if row.annotations else rows


def _typed(rows: list[A] | A | None, key: str) -> list[A]:
    if rows is None:
        return []
    if not isinstance(rows, list):
        rows = [rows]
    for row in rows:
        if row.type is None:
            row.type = "mask" if key == "segmentation" else key
    return rows


def _metadata(values: Sequence[Any]) -> list[Any]:
    if values and isinstance(values[0], Raw):
        strings = [str(value, "utf-8") for value in values]
        return ["{}" if string == "null" else string for string in strings]
    return [{} if value is None else value for value in values]


_GEOMETRY = ("vertices", "keypoints", "names", "skeleton", "position", "dimensions", "yaw")


def _geometry(row: LenientAnnotation) -> dict[str, Any]:
    """Return what an annotation of another type than box has besides label, confidence and metadata."""
    fields: dict[str, Any] = {}
    if row.geometry is not None:
        fields = {name: part for name in _GEOMETRY if (part := getattr(row.geometry, name)) is not UNSET}
    for name in ("labels", "taxonomy_name", "mask_url", "annotations"):
        if (part := getattr(row, name)) is not UNSET and part is not None:
            fields[name] = part
    return fields
