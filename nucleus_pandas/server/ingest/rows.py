"""Storing of validated rows: items, annotations and predictions, row by row or from columns."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple, TypeAlias

import numpy as np

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.schema.outside import NONE_OUTSIDE, Outside, outside
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.ingest.uploaded_files import UploadedFile
from nucleus_pandas.server.store import datasets, items, layers
from nucleus_pandas.server.store.database import WriteOutcome, run_or_undo
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.store.items import NewItem
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.server.store.pending_files import StoredFile
from nucleus_pandas.wire.bulk import BoxColumns, RowOutcome
from nucleus_pandas.wire.content_ids import fill_annotation_ids, is_computed
from nucleus_pandas.wire.decoding import item_key
from nucleus_pandas.wire.entities import AnyAnnotation, Box, Category, Item, Mask, MultiCategory

RowPath: TypeAlias = Callable[[int], str]
"""Returns the path of a row in its request, for errors."""

ONE_URL = "An item has exactly one of `image_url` and `pointcloud_url`"
_UNKNOWN = "Item with id {} doesn't exist."
_UNPLACED = "Item with id {} can't be found: the run spans datasets, so `dataset_id` is needed too."
_AMBIGUOUS = "Several datasets have an item with id {}: name it by `item_id`, or add `dataset_id`."


@dataclass(slots=True)
class StoredRows:
    """The outcome of every row, and the error of each rejected row.

    `broken` counts the errors that break a rule of the dataset or run; the other rows name no item, or have no image.
    `since` and `beside` are those of `Storing`, for an update; `outside` counts boxes that reach beyond their images.
    """

    outcomes: list[RowOutcome] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    broken: int = 0
    since: int | None = None
    beside: int = 0
    outside: Outside = NONE_OUTSIDE

    def count(self, *outcomes: RowOutcome) -> int:
        """Count the rows with any of these outcomes."""
        return sum(map(self.outcomes.count, outcomes))


_SPOILED = "Not stored: another row of its image is rejected, and if_exists='replace' replaces all or none."


class RowsToClear(NamedTuple):
    """The items whose rows are replaced by none: their ids, and the kind of these."""

    keys: Sequence[str] = ()
    by: str = "reference_id"


@dataclass(slots=True)
class Storing:
    """How rows of annotations or predictions are stored.

    Attributes
    ----------
    update : bool
        Whether existing rows are replaced; otherwise they are ignored.
    reject_existing : bool
        Whether nothing is stored if a row exists already; then none is replaced.
    anywhere : bool
        Whether a reference id without dataset names the only item that has it in any dataset.
    clear : RowsToClear, optional
        If given, rows take the place of all rows of their items, and these items are left without any.
    since : int, optional
        The arrival of the first row of the upload that this is a part of; by default that of the first row here.
    beside : int
        After an update: new rows with computed ids whose items had rows before `since`.
    counts_outside : bool
        Whether boxes that reach beyond their images are counted.
    """

    update: bool = False
    reject_existing: bool = False
    anywhere: bool = False
    clear: RowsToClear | None = None
    since: int | None = None
    beside: int = 0
    counts_outside: bool = False

    def __post_init__(self) -> None:
        """Check that a rejection wins over an update."""
        if self.reject_existing:
            self.update = False

    def begin(self, db: sqlite3.Connection, layer: AnnotationLayer) -> None:
        """Set the arrival of the first row."""
        if self.since is None:
            self.since = layers.next_arrival(db, layer)

    def note_beside(
        self,
        db: sqlite3.Connection,
        layer: AnnotationLayer,
        numbers: Iterable[int],
        ids: Iterable[str | None],
        outcomes: Sequence[WriteOutcome],
    ) -> Sequence[WriteOutcome]:
        """Count the new rows of an update that were probably meant to replace others, and return the outcomes."""
        if self.update and self.since is not None and "new" in outcomes:
            rows = zip(numbers, ids, outcomes, strict=True)
            new = [number for number, name, outcome in rows if outcome == "new" and name and is_computed(name)]
            earlier = layers.items_before(db, layer, new, self.since)
            self.beside += sum(number in earlier for number in new)
        return outcomes

    def outside(self, db: sqlite3.Connection, numbers: Sequence[int], boxes: Sequence[Sequence[float]]) -> Outside:
        """Count the boxes that reach beyond their images.

        Parameters
        ----------
        numbers : sequence of int
            The item of each box.
        boxes : sequence of sequence of float
            x, y, width and height of all boxes.
        """
        sizes = items.sizes(db, numbers) if self.counts_outside else {}
        if not sizes:
            return NONE_OUTSIDE
        unknown = (np.nan, np.nan)
        width, height = np.array([sizes.get(number, unknown) for number in numbers]).T
        return outside(np.array(boxes, dtype=np.float64), width, height)[1]

    def cleared(self, db: sqlite3.Connection, dataset: Dataset | None) -> list[int] | None:
        """Return the numbers of the items to leave without rows; None if rows do not replace others."""
        if self.clear is None:
            return None
        numbers, _ = _find_keys(db, dataset, self.clear.by, self.clear.keys, anywhere=self.anywhere)
        return [number for number in numbers if number is not None]

    def spoiled(self, broken: Mapping[int, str], numbers: Sequence[object]) -> Mapping[int, str]:
        """Return the errors of rows, with those of the other rows of their items if items are replaced as a whole."""
        if self.clear is None or not broken:
            return broken
        items = {numbers[row] for row in broken}
        others = (row for row, number in enumerate(numbers) if number in items and row not in broken)
        return {**broken, **dict.fromkeys(others, _SPOILED)}


def _store_valid(
    db: sqlite3.Connection,
    count: int,
    errors: dict[int, str],
    broken: int,
    store: Callable[[], Sequence[WriteOutcome]],
    exists: Callable[[int], str] | None,
) -> StoredRows:
    """Store the valid rows, and merge their outcomes with the errors of the others.

    `store` stores, in order, the rows that have no error. With `exists` it is all or nothing: if a row exists already,
    or occurs twice, the batch is undone; `exists` returns the error of such a row, and the other rows are "unsent".
    """
    if exists is None:
        outcomes: Sequence[RowOutcome] = store()
    else:
        outcomes = run_or_undo(db, store, lambda outcomes: "ignored" not in outcomes)
        if "ignored" in outcomes:
            outcomes = ["exists" if outcome == "ignored" else "unsent" for outcome in outcomes]
    if errors:
        every: list[RowOutcome] = ["error"] * count
        valid = [row for row in range(count) if row not in errors]
        for row, outcome in zip(valid, outcomes, strict=True):
            every[row] = outcome
        outcomes = every
    if exists is not None:
        errors |= {row: exists(row) for row, outcome in enumerate(outcomes) if outcome == "exists"}
    return StoredRows(list(outcomes), errors, broken)


def store_items(
    db: sqlite3.Connection,
    dataset: Dataset,
    sent_items: Sequence[Item],
    *,
    update: bool,
    reject_existing: bool = False,
    files: Sequence[UploadedFile | None] | None = None,
) -> StoredRows:
    """Store items, each with its uploaded file or its URL.

    Parameters
    ----------
    update : bool
        Whether existing items are replaced; otherwise they are ignored.
    reject_existing : bool
        Whether nothing is stored if an item exists already.
    files : sequence, optional
        The uploaded image of each item, the error of an invalid one, or None for an item with a URL.

    Raises
    ------
    BadRequestError
        The dataset holds scenes, or an item names no image.
    """
    if dataset.is_scene:
        raise BadRequestError(f"The dataset '{dataset.public_id}' holds scenes; send plain items to another dataset.")
    errors: dict[int, str] = {}
    rows: list[NewItem | None] = []
    for number, item in enumerate(sent_items):
        file = None if files is None else files[number]
        if isinstance(file, BadRequestError):
            errors[number] = f"'{item.reference_id}': {file}"
            rows.append(None)
            continue
        if file is None and (item.image_url is None) == (item.pointcloud_url is None):
            raise BadRequestError(f"{ONE_URL} - at `$.items[{number}]`.")
        rows.append(_new_item(item, file, update=update))
    broken = dataset_rules.broken_items(db, dataset, rows, sent_items)
    errors |= broken
    valid = [row for number, row in enumerate(rows) if row is not None and number not in broken]

    def exists(row: int) -> str:
        return f"An item with reference_id '{sent_items[row].reference_id}' exists already."

    return _store_valid(
        db,
        len(sent_items),
        errors,
        len(broken),
        lambda: items.append(db, dataset, valid),
        exists if reject_existing else None,
    )


def _new_item(item: Item, file: StoredFile | None, *, update: bool) -> NewItem:
    extra = {name: value for name in ("pointcloud_url", "embedding_info") if (value := getattr(item, name)) is not None}
    return NewItem(
        reference_id=item.reference_id,
        url=item.image_url if file is None else None,
        file=None if file is None else file.name,
        width=item.width if item.width or file is None else file.width,
        height=item.height if item.height or file is None else file.height,
        metadata=datasets.json_or_none(item.metadata),
        extra=datasets.json_or_none(extra or None),
        update=update if item.update is None else item.update,
    )


def store_annotations(
    db: sqlite3.Connection,
    layer: AnnotationLayer,
    dataset: Dataset | None,
    annotations: Sequence[AnyAnnotation],
    how: Storing,
    *,
    mask_files: Sequence[str] | None = None,
    id_counts: dict[tuple[str, str], int] | None = None,
    path: RowPath = "$.annotations[{}]".format,
) -> StoredRows:
    """Store annotations or predictions; those whose item does not exist are rejected, the others are stored.

    Parameters
    ----------
    dataset : Dataset, optional
        The dataset of the reference ids. None for a run that spans datasets, whose predictions name their datasets.
    how : Storing
        What to do with annotations that exist, and where reference ids are looked up.
    mask_files : sequence of str, optional
        The uploaded file of each, if all are masks.
    id_counts : dict, optional
        The counts that `fill_annotation_ids` keeps, for an upload that is stored in several steps.
    path : callable
        Returns the path of a row in the request, for errors.

    Raises
    ------
    BadRequestError
        An annotation names its item twice or not at all, or a prediction is of type multicategory.
    FrozenRunError
        The run is committed, and this would change it.
    """
    if layer.owner is not None:
        for number, annotation in enumerate(annotations):
            if isinstance(annotation, MultiCategory):
                raise BadRequestError(f"Predictions of type multicategory do not exist - at `{path(number)}`.")
    numbers = _find_items(db, dataset, annotations, path, anywhere=how.anywhere)
    fill_annotation_ids(annotations, predictions=layer.owner is not None, seen=id_counts)
    broken = dataset_rules.broken_annotations(db, layer, annotations, numbers)
    for row, reason in how.spoiled(broken, numbers).items():
        numbers[row] = reason
    files: Sequence[str | None] = mask_files or [None] * len(annotations)
    valid = [(a, n, file) for a, n, file in zip(annotations, numbers, files, strict=True) if isinstance(n, int)]
    errors = {row: reason for row, reason in enumerate(numbers) if isinstance(reason, str)}

    def store() -> Sequence[WriteOutcome]:
        how.begin(db, layer)
        outcomes = layers.upsert(db, layer, valid, update=how.update, cleared=how.cleared(db, dataset))
        ids = (annotation.annotation_id for annotation, _, _ in valid)
        return how.note_beside(db, layer, (number for _, number, _ in valid), ids, outcomes)

    def exists(row: int) -> str:
        annotation = annotations[row]
        where = f"on the item '{annotation.reference_id or annotation.item_id}'"
        if isinstance(annotation, Mask):
            return f"A mask {where} exists already."
        if isinstance(annotation, (Category, MultiCategory)) and annotation.taxonomy_name is not None:
            return f"A category of the taxonomy '{annotation.taxonomy_name}' {where} exists already."
        return _exists_already(layer, str(annotation.annotation_id), where)

    stored = _store_valid(
        db,
        len(annotations),
        errors,
        len(broken),
        store,
        exists if how.reject_existing else None,
    )
    boxes = [(number, a.geometry) for a, number, _ in valid if isinstance(a, Box)]
    sides = list(zip(*((box.x, box.y, box.width, box.height) for _, box in boxes), strict=True))
    stored.outside = how.outside(db, [number for number, _ in boxes], sides)
    return stored


def _exists_already(layer: AnnotationLayer, annotation_id: str, where: str) -> str:
    noun = "An annotation" if layer.owner is None else "A prediction"
    return f"{noun} with annotation_id '{annotation_id}' {where} exists already."


def store_boxes(
    db: sqlite3.Connection,
    layer: AnnotationLayer,
    dataset: Dataset | None,
    boxes: BoxColumns,
    how: Storing,
) -> StoredRows:
    """Store boxes from columns, as `store_annotations` stores them one by one.

    Raises
    ------
    BadRequestError
        The columns have different lengths.
    FrozenRunError
        The run is committed, and this would change it.
    """
    columns = [name for name in BoxColumns.__struct_fields__ if isinstance(getattr(boxes, name), list)]
    lengths = {name: len(getattr(boxes, name)) for name in columns}
    count = len(boxes.keys)
    if set(lengths.values()) != {count}:
        listed = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        raise BadRequestError(f"The columns of boxes have different lengths: {listed} - at `$.boxes`.")
    numbers, reasons = _find_keys(db, dataset, boxes.by, boxes.keys, anywhere=how.anywhere)
    errors: dict[int, str] = {}
    if None in numbers:
        reason = _UNPLACED if dataset is None and boxes.by == "reference_id" and not how.anywhere else _UNKNOWN
        absent = [key for key, number in zip(boxes.keys, numbers, strict=True) if number is None]
        hints = {} if dataset is None else items.hints_of_ids(db, dataset, absent)
        errors = {
            row: f"{reasons.get(key, reason).format(key)} {hints.get(key, '')}".rstrip()
            for row, key in enumerate(boxes.keys)
            if numbers[row] is None
        }
    broken = dataset_rules.broken_boxes(db, layer, boxes, numbers)
    for row, reason in how.spoiled(broken, numbers).items():
        numbers[row], errors[row] = None, reason
    if errors:
        is_valid = [number is not None for number in numbers]
        valid = BoxColumns(by=boxes.by, **{name: list(compress(getattr(boxes, name), is_valid)) for name in columns})
    else:
        valid = boxes
    item_numbers = [number for number in numbers if number is not None]

    def store() -> Sequence[WriteOutcome]:
        how.begin(db, layer)
        rows = layers.box_rows(valid, item_numbers, layers.next_arrival(db, layer))
        if (cleared := how.cleared(db, dataset)) is not None:
            return layers.replace_rows(db, layer, rows, cleared)
        outcomes = layers.upsert_rows(db, layer, rows, update=how.update)
        return how.note_beside(db, layer, item_numbers, valid.annotation_id, outcomes)

    def exists(row: int) -> str:
        return _exists_already(layer, boxes.annotation_id[row], f"on the item '{boxes.keys[row]}'")

    stored = _store_valid(db, count, errors, len(broken), store, exists if how.reject_existing else None)
    stored.outside = how.outside(db, item_numbers, (valid.x, valid.y, valid.width, valid.height))
    return stored


def _find_keys(
    db: sqlite3.Connection, dataset: Dataset | None, by: str, keys: Sequence[str], *, anywhere: bool
) -> tuple[list[int | None], dict[str, str]]:
    """Return the item number of each key, or None, and the errors of some keys; every key is looked up once."""
    numbers: dict[str, int] = {}
    reasons: dict[str, str] = {}
    if by == "item_id":
        numbers = items.existing(db, keys)
        if dataset is not None:
            numbers = {key: number for key, number in numbers.items() if dataset_of(number) == dataset.id}
    elif dataset is not None:
        numbers = items.ids_of(db, dataset, keys)
    elif anywhere:
        for key, matches in items.ids_anywhere(db, keys).items():
            if len(matches) == 1:
                numbers[key] = matches[0]
            else:
                reasons[key] = _AMBIGUOUS
    return list(map(numbers.get, keys)), reasons


def look_up(db: sqlite3.Connection, dataset: Dataset, reference_ids: Iterable[str]) -> dict[str, int | str]:
    """Return the item number of each reference id in a dataset, or why it has none."""
    names = list(dict.fromkeys(reference_ids))
    numbers = items.ids_of(db, dataset, names)
    if len(numbers) == len(names):
        return dict(numbers)
    absent = [name for name in names if name not in numbers]
    hints = items.hints_of_ids(db, dataset, absent)
    return numbers | {name: f"{_UNKNOWN.format(name)} {hints.get(name, '')}".rstrip() for name in absent}


def _find_items(
    db: sqlite3.Connection,
    dataset: Dataset | None,
    annotations: Sequence[AnyAnnotation],
    path: RowPath,
    *,
    anywhere: bool,
) -> list[int | str]:
    """Return the item number of each annotation, or why it has none.

    All keys are looked up in a few statements first. Then each annotation is resolved: by its item id; by its reference
    id in the dataset of the layer, or in the one that it names itself; or, with `anywhere`, in the only dataset that
    has that reference id.
    """
    if dataset is not None:
        names = [a.reference_id for a in annotations if a.reference_id and a.item_id is None and a.dataset_id is None]
        if len(names) == len(annotations):  # as nearly always
            found = look_up(db, dataset, names)
            return [found[name] for name in names]
    keys = [item_key(a, path(row)) for row, a in enumerate(annotations)]
    reference_ids = [key for by_reference, key in keys if by_reference]
    by_item_id = items.existing(db, (key for by_reference, key in keys if not by_reference))
    by_reference_id: dict[str, dict[str, int | str]] = {}
    if dataset is not None:
        by_reference_id[""] = look_up(db, dataset, reference_ids)
    else:
        for name in sorted({a.dataset_id for a in annotations if a.dataset_id is not None}):
            names = [a.reference_id for a in annotations if a.dataset_id == name and a.reference_id is not None]
            by_reference_id[name] = look_up(db, datasets.find(db, name), names)
    everywhere = items.ids_anywhere(db, reference_ids) if anywhere else {}
    resolved: list[int | str] = []
    for annotation, (by_reference, key) in zip(annotations, keys, strict=True):
        scope = "" if dataset is not None else annotation.dataset_id or ""
        if dataset is not None and annotation.dataset_id not in (None, dataset.public_id):
            resolved.append(
                f"Item with id {key} belongs to '{annotation.dataset_id}' by its `dataset_id`, not to "
                f"'{dataset.public_id}'."
            )
        elif not by_reference:
            number = by_item_id.get(key)
            foreign = dataset is not None and number is not None and dataset_of(number) != dataset.id
            resolved.append(_UNKNOWN.format(key) if number is None or foreign else number)
        elif scope in by_reference_id:
            resolved.append(by_reference_id[scope][key])
        elif anywhere:
            matches = everywhere.get(key, [])
            reason = _AMBIGUOUS if matches else _UNKNOWN
            resolved.append(matches[0] if len(matches) == 1 else reason.format(key))
        else:
            resolved.append(_UNPLACED.format(key))
    return resolved


def item_counters(counts: Counter[str]) -> dict[str, object]:
    """Return the counters of an append, as the contract names them."""
    return {
        "new_items": counts["new"],
        "updated_items": counts["updated"],
        "ignored_items": counts["ignored"],
        "upload_errors": counts["error"] + counts["exists"],
    }
