"""What the contract's routes answer when rows are read back, taken tolerantly: fields may be absent, others be there.

Each row has a twin whose `metadata` stays JSON text, so that its numbers stay exactly as they were sent.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType

from nucleus_pandas.wire.entities import JsonObject
from nucleus_pandas.wire.evaluations import ApBySize, Confusion, MapSummary, Tide, TotalCounts

A = TypeVar("A")
"""How an annotation is read: `LenientAnnotation`, `LenientPrediction`, or the raw twin of one."""

I = TypeVar("I")  # noqa: E741
"""How an item is read: `LenientItem` or `RawItem`."""

_NOTHING = Raw(b"null")


class LenientGeometry(Struct, gc=False):
    """The geometry of any type of annotation; what only one type has stays as it was sent."""

    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    vertices: Any = UNSET
    keypoints: Any = UNSET
    names: Any = UNSET
    skeleton: Any = UNSET
    position: Any = UNSET
    dimensions: Any = UNSET
    yaw: Any = UNSET


class LenientAnnotation(Struct, kw_only=True, gc=False):
    """An annotation or a prediction of any type; it stands with its item, whose ids it need not repeat."""

    type: str | None = None
    label: str | None = None
    annotation_id: str | None = None
    id: str | None = None
    geometry: LenientGeometry | None = None
    confidence: float | None = None
    metadata: JsonObject | None = None
    labels: list[str] | UnsetType | None = UNSET
    taxonomy_name: str | None = None
    mask_url: str | None = None
    annotations: Any = UNSET
    class_pdf: dict[str, float] | None = None
    track_reference_id: str | None = None
    task_id: str | None = None
    embedding_vector: list[float] | None = None


class RawAnnotation(LenientAnnotation, kw_only=True, gc=False):
    """An annotation whose metadata is JSON text."""

    metadata: Raw = _NOTHING  # type: ignore[assignment]  # a twin


class LenientPrediction(LenientAnnotation, kw_only=True, gc=False):
    """A prediction that stands alone, and names its item."""

    reference_id: str | None = None
    dataset_item_id: str | None = None
    item_id: str | None = None


class RawPrediction(LenientPrediction, kw_only=True, gc=False):
    """A prediction whose metadata is JSON text."""

    metadata: Raw = _NOTHING  # type: ignore[assignment]  # a twin


class LenientItem(Struct, kw_only=True, gc=False):
    """An item; two spellings of three fields are in use."""

    dataset_item_id: str | None = None
    id: str | None = None
    reference_id: str | None = None
    ref_id: str | None = None
    image_url: str | None = None
    original_image_url: str | None = None
    processed_url: str | None = None
    phash: str | None = None
    embedding_info: JsonObject | None = None
    width: int | float | None = None
    height: int | float | None = None
    metadata: JsonObject | None = None


class RawItem(LenientItem, kw_only=True, gc=False):
    """An item whose metadata is JSON text."""

    metadata: Raw = _NOTHING  # type: ignore[assignment]  # a twin


Token: TypeAlias = str | int | None


class ItemsPage(Struct, Generic[I], kw_only=True, rename={"next_page_token": "nextPageToken"}):
    """``POST dataset/{id}/itemsPage``."""

    items: list[I]
    next_page_token: Token = None


class ExportRow(Struct, Generic[I, A], kw_only=True):
    """An item with its annotations by type; a mask stands alone, or in a list."""

    item: I
    box: list[A] | None = None
    line: list[A] | None = None
    polygon: list[A] | None = None
    keypoints: list[A] | None = None
    segmentation: list[A] | A | None = None
    cuboid: list[A] | None = None
    category: list[A] | None = None
    multicategory: list[A] | None = None
    annotations: list[A] | None = None


class ExportPage(Struct, kw_only=True, rename={"next_page_token": "nextPageToken"}):
    """``POST dataset/{id}/exportForTrainingPage``; its rows, each an `ExportRow`, are read bit by bit."""

    data: list[Raw]
    next_page_token: Token = None


class LenientItemAnswer(Struct, Generic[I, A], kw_only=True):
    """``GET dataset/{id}/refloc/{reference id}`` and its kin."""

    item: I
    annotations: dict[str, list[A] | A | None] | list[A] | None = None


class LenientPredictionsAnswer(Struct, Generic[A], kw_only=True):
    """``GET modelRun/{id}/refloc/{reference id}`` and its kin."""

    annotations: dict[str, list[A] | A | None] | list[A] | None


class LenientModelPredictions(Struct, Generic[A], kw_only=True):
    """``GET model/{id}/predictions/refloc/{reference id}`` and its kin."""

    predictions: list[A]


class LenientEvaluation(Struct, kw_only=True):
    """What a client needs of ``GET modelRun/{id}/evaluationsV2``, newest first."""

    id: str
    status: str
    benchmark_id: str | None = None
    slice_id: str | None = None
    rollup_groups: Any = None
    exclusion_rules: Any = None


class ChartsQuery(Struct, kw_only=True, rename={"iou_threshold": "iouThreshold"}):
    """Which charts a client asks for."""

    iou_threshold: float


class LenientCharts(Struct, kw_only=True, rename="camel"):
    """What a client needs of ``POST evaluationsV2/{id}/charts``."""

    map_summary: MapSummary
    confusion_matrix: list[Confusion]
    total_counts: TotalCounts
    ap_by_size: ApBySize
    tide_attribution: Tide


class PagingRequest(Struct, kw_only=True, rename={"page_token": "pageToken", "page_size": "pageSize"}):
    """Which page to give."""

    page_token: Token = None
    page_size: int


class ExportRequest(PagingRequest, kw_only=True, rename={"recent": "onlyMostRecentTask"}):
    """Which page of ``exportForTrainingPage`` to give, of whole images with their newest annotations."""

    query: str | None = None
    chip: bool = False
    recent: bool = True


class QueryItems(PagingRequest, kw_only=True):
    """Which page of ``queryItemsPage`` to give."""

    query: str


class QueryObjects(PagingRequest, kw_only=True):
    """Which page of ``queryObjectsPage`` to give."""

    query: str
    patch_mode: Literal["ground_truth_only", "predictions_only"]
    model_run_id: str | None = None


class SliceExportRequest(PagingRequest, kw_only=True):
    """Which page of ``slice/{id}/exportForTrainingPage`` to give, of whole images."""

    chip: bool = False
