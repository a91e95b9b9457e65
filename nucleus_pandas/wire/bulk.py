"""What only an embedded Nucleus takes and answers, under ``_nucleus_pandas/``: columns instead of objects.

``POST _nucleus_pandas/dataset/{id}/items``, ``…/dataset/{id}/annotations`` and ``…/modelRun/{id}/predictions`` read a
`RowSelection`, and so do ``…/slice/{id}/items``, ``…/slice/{id}/annotations`` and
``…/slice/{id}/modelRun/{id}/predictions``. ``…/append``, ``…/annotate`` and ``…/predict`` take what their namesakes of
the contract take, besides `if_exists`, boxes as `BoxColumns`, and items whose images came before, by
``POST _nucleus_pandas/images``.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from nucleus_pandas.wire.entities import (
    ClassProbabilities,
    Coordinate,
    Fraction,
    Item,
    JsonObject,
    NonEmptyString,
    SideLength,
    Vector,
)
from nucleus_pandas.wire.requests import Annotate, CreateDataset, CreateModelRun
from nucleus_pandas.wire.responses import DatasetCreated
from nucleus_pandas.wire.slices import BuildSlice, CreateSlice

M = TypeVar("M")
"""How metadata is read: `JsonObject`, or `msgspec.Raw`, JSON text whose numbers stay exactly as they were sent."""

KEYS = 10_000
"""Keys that one look-up takes."""

ROWS = 10_000
"""Rows that one page holds at most."""

FILES = 64
"""Images that one request holds at most."""

OnConflict: TypeAlias = Literal["skip", "update", "error"]
IdList: TypeAlias = Annotated[list[str], Meta(max_length=KEYS)]


class RowSelection(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which rows to read: those of the items that one of the three lists names, or all, page by page.

    Attributes
    ----------
    positions, reference_ids, item_ids : list, optional
        At most one of them. Positions count from 0.
    after : str, optional
        What the page before gave as ``next``.
    limit : int
        Rows of a page.
    columns : list of str, optional
        The columns to answer with; all without it.
    query : str, optional
        What a row must be like; not beside a list of keys.
    model_run_id : str, optional
        Whose predictions a query of items or annotations is about; of all runs without it.
    """

    positions: Annotated[list[Annotated[int, Meta(ge=0, lt=2**31)]], Meta(max_length=KEYS)] | None = None
    reference_ids: IdList | None = None
    item_ids: IdList | None = None
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=ROWS)] = ROWS
    columns: list[str] | None = None
    query: str | None = None
    model_run_id: NonEmptyString | None = None


class CreateDatasetOnce(CreateDataset, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/dataset/create``: with `exist_ok` the oldest dataset of that name is returned."""

    exist_ok: bool = False


class DatasetMade(DatasetCreated, kw_only=True):
    """The answer: `namesakes` are the other datasets of that name."""

    namesakes: int = 0


class RenameDataset(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST _nucleus_pandas/dataset/{id}/rename``."""

    name: NonEmptyString


class CreateRunOnce(CreateModelRun, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/{dataset,model}/{id}/modelRun/create``: with `exist_ok` the newest run of that name."""

    exist_ok: bool = False


class CreateSliceOnce(CreateSlice, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/dataset/{id}/create_slice``: with `exist_ok` items are added to the slice of that name."""

    exist_ok: bool = False


class BuildSliceOnce(BuildSlice, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/dataset/{id}/build_slice``: with `exist_ok` the slice of that name is returned."""

    exist_ok: bool = False


class DeleteItems(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST _nucleus_pandas/dataset/{id}/delete_items``."""

    reference_ids: IdList


class DeleteRows(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST _nucleus_pandas/modelRun/{id}/delete_predictions``: those of some items, or of all without `keys`."""

    reference_ids: list[str] | None = None


class RowsDeleted(Struct, kw_only=True):
    """The answer: how many rows are deleted, and the places (from 0) of keys that name no item; then none is."""

    deleted: int
    missing: list[int] = []


class ItemsDeleted(Struct, kw_only=True):
    """The answer: how many are deleted, and the places (from 0) of keys that name no item."""

    deleted: int
    missing: list[int] = []


class ItemColumns(Struct, Generic[M], kw_only=True, omit_defaults=True):
    """Items, column by column; `metadata` is never null. The last three only where they are asked for."""

    dataset_item_id: list[str] = []
    reference_id: list[str] = []
    image_url: list[str | None] = []
    width: list[int | None] = []
    height: list[int | None] = []
    metadata: list[M] = []
    phash: list[str | None] = []
    processed_url: list[str | None] = []
    embedding_info: list[JsonObject | None] = []


class AnnotationColumns(Struct, Generic[M], kw_only=True, omit_defaults=True):
    """Annotations or predictions, column by column.

    `x`, `y`, `width` and `height` are those of boxes, `geometry` is that of every other type: beside the geometry of
    the contract it holds what only that type has (``taxonomy_name``, ``labels``, ``mask_url``, ``annotations``).
    """

    dataset_item_id: list[str] = []
    reference_id: list[str] = []
    annotation_id: list[str] = []
    label: list[str | None] = []
    type: list[str] = []
    x: list[float | None] = []
    y: list[float | None] = []
    width: list[float | None] = []
    height: list[float | None] = []
    confidence: list[float | None] = []
    class_pdf: list[dict[str, float] | None] = []
    geometry: list[JsonObject | None] = []
    track_reference_id: list[str | None] = []
    task_id: list[str | None] = []
    embedding_vector: list[list[float] | None] = []
    metadata: list[M] = []


class ItemPage(Struct, Generic[M], kw_only=True):
    """Items of a `RowSelection`: those that exist in the order of the keys, or all in that of the dataset.

    `missing` holds the places (from 0) of keys that name no item.
    """

    columns: ItemColumns[M]
    missing: list[int] = []
    next: str | None = None


class AnnotationPage(Struct, Generic[M], kw_only=True):
    """Annotations of a `RowSelection`, item by item in the order of the keys or of the dataset, then by arrival.

    `lengths` tells for each key how many rows it has; an image may hold many, so fewer keys than were asked for may
    have been answered: then the request is repeated with the others. `missing` holds places of answered keys.
    """

    columns: AnnotationColumns[M]
    missing: list[int] = []
    lengths: list[int] = []
    next: str | None = None


class BoxColumns(Struct, kw_only=True, omit_defaults=True):
    """Boxes on their way to the server, column by column, all of one length.

    `keys` holds reference ids, or item ids where `by` says so.
    """

    by: Literal["reference_id", "item_id"] = "reference_id"
    keys: list[NonEmptyString]
    annotation_id: list[NonEmptyString]
    label: list[NonEmptyString]
    x: list[Coordinate]
    y: list[Coordinate]
    width: list[SideLength]
    height: list[SideLength]
    confidence: list[Fraction | None] | None = None
    metadata: list[JsonObject | None] | None = None
    class_pdf: list[ClassProbabilities | None] | None = None
    track_reference_id: list[str | None] | None = None
    task_id: list[str | None] | None = None
    embedding_vector: list[Vector | None] | None = None


class ReceivedImage(Struct, kw_only=True, omit_defaults=True):
    """What became of a file: the name by which an item may call it, and its size in pixels; or why it was rejected."""

    image: NonEmptyString | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None


class ReceivedImages(Struct, kw_only=True):
    """``POST _nucleus_pandas/images``, a multipart body of up to `FILES` parts ``image``; in their order."""

    images: list[ReceivedImage]


class ItemWithImage(Item, kw_only=True, omit_defaults=True):
    """An item whose image may have been sent before it; one that was sent once may be named once."""

    image: NonEmptyString | None = None


class AppendRows(Struct, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/dataset/{id}/append``."""

    items: list[ItemWithImage]
    update: bool = False
    if_exists: OnConflict | None = None


class AnnotateRows(Annotate, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/dataset/{id}/annotate`` and ``…/modelRun/{id}/predict``: objects, or boxes as columns.

    With ``if_exists="replace"`` the rows of each item take the place of all that the item had, and items named by
    `clear` are left without any. With `check_only` nothing is stored: rows that would be are "unsent".
    """

    boxes: BoxColumns | None = None
    if_exists: OnConflict | Literal["replace"] | None = None
    clear: IdList | None = None
    clear_by: Literal["reference_id", "item_id"] = "reference_id"
    check_only: bool = False


RowOutcome: TypeAlias = Literal["new", "updated", "ignored", "error", "exists", "unsent"]
Count: TypeAlias = Annotated[int, Meta(ge=0)]


class OutcomeRuns(Struct, kw_only=True):
    """What the answer to rows holds beside the counters of the contract.

    After an update `beside` counts the new rows with computed ids whose items had rows before the arrival `since`,
    which the next request of the same upload repeats as ``?since=…``.

    `outside` counts boxes that reach beyond images whose size is known, and how many of them would not if their numbers
    were two corners, or centre and size, or if width and height of their images were swapped.

    `outcomes` are runs of equal outcomes in the order of the rows, `row_errors` the rows, from 0, that were rejected,
    and why.
    """

    outcomes: list[tuple[RowOutcome, Count]]
    row_errors: list[tuple[Count, str]]
    since: int | None = None
    beside: int = 0
    outside: tuple[Count, Count, Count, Count] = (0, 0, 0, 0)


class MatchColumns(Struct, kw_only=True):
    """Pairs that a commit found, column by column; a side that is missing is null."""

    dataset_item_id: list[str | None]
    reference_id: list[str | None]
    annotation_id: list[str | None]
    prediction_id: list[str | None]
    label: list[str | None]
    predicted_label: list[str | None]
    confidence: list[float | None]
    iou: list[float | None]
    agrees: list[bool | int]


class MatchPage(Struct, kw_only=True):
    """``GET _nucleus_pandas/modelRun/{id}/matches``."""

    columns: MatchColumns
    next: str | None


class DoubtQuery(Struct, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/dataset/{id}/queryDoubts``: a query, what it finds, and the run that it is about."""

    query: str
    kind: Literal["items", "annotations", "predictions"] = "items"
    model_run_id: NonEmptyString | None = None


class QueryDoubts(Struct, kw_only=True):
    """The response: a sentence for each key of metadata and each label in the query that no row has."""

    doubts: list[str]


class Generation(Struct, kw_only=True):
    """``GET _nucleus_pandas/{dataset,modelRun,model}/{id}/generation``: a string that every deletion changes."""

    generation: str


class LeaveMark(Struct, kw_only=True, omit_defaults=True):
    """``POST _nucleus_pandas/marks``: the new mark of an upload, and the last one, which it replaces."""

    mark: Annotated[str, Meta(min_length=1, max_length=64)]
    replaces: str | None = None


class MarkLeft(Struct, kw_only=True):
    """The response: whether the server had the mark that was replaced; a store restored from before it has not."""

    known: bool


class RunPlace(Struct, kw_only=True):
    """``GET _nucleus_pandas/modelRun/{id}``: where a run belongs; it spans datasets where `dataset_id` is null.

    Name, status and the number of predictions are there with ``?counts=1``.
    """

    model_id: str
    dataset_id: str | None
    name: str | None = None
    status: str | None = None
    predictions: int | None = None


class RunCommit(Struct, kw_only=True):
    """``GET _nucleus_pandas/modelRun/{id}/commit``: how a run was matched; all null where it is not committed.

    `stale` tells whether the boxes that were matched have changed since.
    """

    committed_at: str | None = None
    class_agnostic: bool | None = None
    allowed_label_matches: list[tuple[str, str]] | None = None
    stale: bool | None = None
