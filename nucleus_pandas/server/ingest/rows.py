"""Checked requests into the store: items, annotations and predictions, row by row or by columns."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal, TypeAlias

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.ingest import dataset_rules
from nucleus_pandas.server.store import datasets, items, layers, models
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import dataset_of
from nucleus_pandas.server.store.items import NewItem
from nucleus_pandas.server.store.layers import Layer
from nucleus_pandas.server.store.pending_files import Image
from nucleus_pandas.wire.bulk import BoxColumns
from nucleus_pandas.wire.content_ids import fill_annotation_ids
from nucleus_pandas.wire.decoding import item_key
from nucleus_pandas.wire.entities import AnyAnnotation, Category, Item, Mask, MultiCategory

Outcome: TypeAlias = Literal["new", "updated", "ignored", "error", "unsent", "exists"]
Place: TypeAlias = Callable[[int], str]

ONE_URL = "An item has exactly one of `image_url` and `pointcloud_url`"
UNKNOWN = "Item with id {} doesn't exist."
_UNPLACED = "Item with id {} can't be found: the run spans datasets, so `dataset_id` is needed too."
_AMBIGUOUS = "Item with id {} is one in several datasets: name it by `item_id`, or add `dataset_id`."


@dataclass(slots=True)
class Stored:
    """What became of rows: `outcomes` row by row, `errors` the reasons of those that were refused.

    `broken` of these broke a rule of their dataset or run; the others name no item, or have no image.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    broken: int = 0

    def count(self, *outcomes: Outcome) -> int:
        """Count rows by their outcome."""
        return sum(map(self.outcomes.count, outcomes))


def _stored(
    db: sqlite3.Connection,
    count: int,
    errors: dict[int, str],
    store: Callable[[], Sequence[layers.Outcome]],
    exists: Callable[[int], str] | None,
) -> Stored:
    """Store the rows that are not among the errors, and tell what became of all.

    With `exists` nothing is stored when one of them is there already, or twice; it gives the reason for such a row.
    """
    if exists is None:
        done = store()
    else:
        db.execute("SAVEPOINT batch")
        done = store()
        if "ignored" in done:
            db.execute("ROLLBACK TO batch")
        db.execute("RELEASE batch")
    if not errors and (exists is None or "ignored" not in done):
        return Stored(list(done))
    stored = Stored(["error"] * count, errors)
    good = [row for row in range(count) if row not in errors]
    refused = exists is not None and "ignored" in done
    for row, outcome in zip(good, done, strict=True):
        if not refused:
            stored.outcomes[row] = outcome
        elif outcome != "ignored":
            stored.outcomes[row] = "unsent"
        elif exists is not None:
            stored.outcomes[row] = "exists"
            errors[row] = exists(row)
    return stored


def store_items(
    db: sqlite3.Connection,
    dataset: Dataset,
    wanted: Sequence[Item],
    *,
    update: bool,
    refuse: bool = False,
    files: Sequence[Image | BadRequestError | None] | None = None,
) -> Stored:
    """Store items; those with an uploaded file by that, the others by their URL.

    Parameters
    ----------
    update : bool
        Whether one that is there already is replaced, or ignored.
    refuse : bool
        Whether nothing is stored when one is there already.
    files : sequence, optional
        The uploaded image of each, why it has none, or None where it has a URL.

    Raises
    ------
    BadRequestError
        The dataset holds scenes, or an item names no image.
    """
    if dataset.is_scene:
        raise BadRequestError(f"The dataset '{dataset.public_id}' holds scenes; plain items go into another dataset.")
    errors: dict[int, str] = {}
    rows: list[NewItem | None] = []
    for number, item in enumerate(wanted):
        file = None if files is None else files[number]
        if isinstance(file, BadRequestError):
            errors[number] = f"'{item.reference_id}': {file}"
            rows.append(None)
            continue
        if file is None and (item.image_url is None) == (item.pointcloud_url is None):
            raise BadRequestError(f"{ONE_URL} - at `$.items[{number}]`.")
        rows.append(_new_item(item, file, update=update))
    broken = dataset_rules.broken_items(db, dataset, rows, wanted)
    errors |= broken
    good = [row for number, row in enumerate(rows) if row is not None and number not in broken]

    def exists(row: int) -> str:
        return f"An item with reference_id '{wanted[row].reference_id}' exists already."

    stored = _stored(db, len(wanted), errors, lambda: items.append(db, dataset, good), exists if refuse else None)
    stored.broken = len(broken)
    return stored


def _new_item(item: Item, file: Image | None, *, update: bool) -> NewItem:
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
    layer: Layer,
    dataset: Dataset | None,
    wanted: Sequence[AnyAnnotation],
    *,
    update: bool,
    refuse: bool = False,
    mask_files: Sequence[str] | None = None,
    seen: dict[tuple[str, str], int] | None = None,
    place: Place = "$.annotations[{}]".format,
    anywhere: bool = False,
) -> Stored:
    """Store annotations or predictions; one whose item does not exist is refused, the others are stored.

    Parameters
    ----------
    dataset : Dataset, optional
        Where reference ids are looked up. None for a run that spans datasets: there each prediction names its own.
    update : bool
        Whether one that is there already is replaced, or ignored.
    refuse : bool
        Whether nothing is stored when one is there already.
    mask_files : sequence of str, optional
        The uploaded file of each, where all are masks.
    seen : dict, optional
        What `fill_annotation_ids` saw before, where one upload is stored in several steps.
    place : callable
        Gives the path of a row in the request, for errors.
    anywhere : bool
        Whether a reference id without dataset names the only item that has it in any dataset.

    Raises
    ------
    BadRequestError
        One names its item twice or not at all, or is of a type that no prediction has.
    FrozenRunError
        The run is committed, and this would change it.
    """
    if layer.owner is not None:
        for number, annotation in enumerate(wanted):
            if isinstance(annotation, MultiCategory):
                raise BadRequestError(f"Predictions of type multicategory do not exist - at `{place(number)}`.")
    numbers = _find_items(db, dataset, wanted, place, anywhere=anywhere)
    fill_annotation_ids(wanted, predictions=layer.owner is not None, seen=seen)
    broken = dataset_rules.broken_annotations(db, layer, wanted, numbers)
    for row, reason in broken.items():
        numbers[row] = reason
    files: Sequence[str | None] = mask_files or [None] * len(wanted)
    good = [(a, n, file) for a, n, file in zip(wanted, numbers, files, strict=True) if isinstance(n, int)]
    errors = {row: found for row, found in enumerate(numbers) if isinstance(found, str)}

    def exists(row: int) -> str:
        one = wanted[row]
        where = f"on the item '{one.reference_id or one.item_id}'"
        if isinstance(one, Mask):
            return f"A mask {where} exists already."
        if isinstance(one, (Category, MultiCategory)) and one.taxonomy_name is not None:
            return f"A category of the taxonomy '{one.taxonomy_name}' {where} exists already."
        return _exists_already(layer, str(one.annotation_id), where)

    stored = _stored(
        db,
        len(wanted),
        errors,
        lambda: layers.upsert(db, layer, good, update=update and not refuse),
        exists if refuse else None,
    )
    stored.broken = len(broken)
    return stored


def _exists_already(layer: Layer, annotation_id: str, where: str) -> str:
    what = "An annotation" if layer.owner is None else "A prediction"
    return f"{what} with annotation_id '{annotation_id}' {where} exists already."


def store_boxes(
    db: sqlite3.Connection,
    layer: Layer,
    dataset: Dataset | None,
    boxes: BoxColumns,
    *,
    update: bool,
    refuse: bool = False,
    anywhere: bool = False,
) -> Stored:
    """Store boxes that came as columns, as `store_annotations` does one by one.

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
        found = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        raise BadRequestError(f"The columns of boxes have different lengths: {found} - at `$.boxes`.")
    numbers, reasons = _find_keys(db, dataset, boxes, anywhere=anywhere)
    errors: dict[int, str] = {}
    if None in numbers:
        reason = _UNPLACED if dataset is None and boxes.by == "reference_id" and not anywhere else UNKNOWN
        errors = {
            row: reasons.get(key, reason).format(key) for row, key in enumerate(boxes.keys) if numbers[row] is None
        }
    broken = dataset_rules.broken_boxes(db, layer, boxes, numbers)
    for row, reason in broken.items():
        numbers[row], errors[row] = None, reason
    if errors:
        there = [number is not None for number in numbers]
        good = BoxColumns(by=boxes.by, **{name: list(compress(getattr(boxes, name), there)) for name in columns})
    else:
        good = boxes
    known = [number for number in numbers if number is not None]

    def store() -> list[layers.Outcome]:
        rows = layers.box_rows(good, known, layers.next_arrival(db, layer))
        return layers.upsert_rows(db, layer, rows, update=update and not refuse)

    def exists(row: int) -> str:
        return _exists_already(layer, boxes.annotation_id[row], f"on the item '{boxes.keys[row]}'")

    stored = _stored(db, count, errors, store, exists if refuse else None)
    stored.broken = len(broken)
    return stored


def _find_keys(
    db: sqlite3.Connection, dataset: Dataset | None, boxes: BoxColumns, *, anywhere: bool
) -> tuple[list[int | None], dict[str, str]]:
    """Return each box's item number, or None, and why some keys have none; every key is looked up once."""
    known: dict[str, int] = {}
    reasons: dict[str, str] = {}
    if boxes.by == "item_id":
        known = items.existing(db, boxes.keys)
        if dataset is not None:
            known = {key: number for key, number in known.items() if dataset_of(number) == dataset.id}
    elif dataset is not None:
        known = items.ids_of(db, dataset, boxes.keys)
    elif anywhere:
        for key, numbers in items.ids_anywhere(db, boxes.keys).items():
            if len(numbers) == 1:
                known[key] = numbers[0]
            else:
                reasons[key] = _AMBIGUOUS
    return list(map(known.get, boxes.keys)), reasons


def _find_items(
    db: sqlite3.Connection,
    dataset: Dataset | None,
    wanted: Sequence[AnyAnnotation],
    place: Place,
    *,
    anywhere: bool,
) -> list[int | str]:
    """Return each annotation's item number, or the reason why there is none."""
    if dataset is not None:
        names = [a.reference_id for a in wanted if a.reference_id and a.item_id is None and a.dataset_id is None]
        if len(names) == len(wanted):  # as nearly always
            known = items.ids_of(db, dataset, names)
            return [known.get(name) or UNKNOWN.format(name) for name in names]
    keys = [item_key(a, place(n)) for n, a in enumerate(wanted)]
    by_item_id = items.existing(db, (key for by_reference, key in keys if not by_reference))
    elsewhere = {a.dataset_id for a in wanted if a.dataset_id is not None} if dataset is None else set()
    scopes = {name: datasets.find(db, name) for name in sorted(elsewhere)}
    by_reference_id = {
        name: items.ids_of(
            db, scope, (a.reference_id for a in wanted if a.dataset_id == name and a.reference_id is not None)
        )
        for name, scope in scopes.items()
    }
    if dataset is not None:
        by_reference_id[""] = items.ids_of(db, dataset, (key for by_reference, key in keys if by_reference))
    everywhere = items.ids_anywhere(db, (key for by_reference, key in keys if by_reference)) if anywhere else {}
    found: list[int | str] = []
    for annotation, (by_reference, key) in zip(wanted, keys, strict=True):
        if dataset is not None and annotation.dataset_id not in (None, dataset.public_id):
            found.append(f"Item with id {key} is said to be in '{annotation.dataset_id}', not '{dataset.public_id}'.")
            continue
        if not by_reference:
            number = by_item_id.get(key)
            foreign = dataset is not None and number is not None and dataset_of(number) != dataset.id
            found.append(UNKNOWN.format(key) if number is None or foreign else number)
            continue
        scope = "" if dataset is not None else annotation.dataset_id or ""
        if scope not in by_reference_id and anywhere:
            numbers = everywhere.get(key, [])
            reason = _AMBIGUOUS if numbers else UNKNOWN
            found.append(numbers[0] if len(numbers) == 1 else reason.format(key))
        elif scope not in by_reference_id:
            found.append(_UNPLACED.format(key))
        else:
            found.append(by_reference_id[scope].get(key, UNKNOWN.format(key)))
    return found


def layer_of(db: sqlite3.Connection, run: models.Run) -> tuple[Layer, Dataset | None]:
    """Return the layer of a run's predictions, and the dataset that it is bound to."""
    if run.dataset is None:
        return run.layer, None
    (tag,) = db.execute("SELECT tag FROM dataset WHERE id = ?", (run.dataset,)).fetchone()
    return run.layer, datasets.find(db, f"ds_{tag}")


def item_counters(counts: Counter[str]) -> dict[str, object]:
    """Name the counts of outcomes as the contract does for items."""
    return {
        "new_items": counts["new"],
        "updated_items": counts["updated"],
        "ignored_items": counts["ignored"],
        "upload_errors": counts["error"] + counts["exists"],
    }
