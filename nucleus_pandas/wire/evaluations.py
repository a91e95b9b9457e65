"""Evaluations, benchmarks, presets and leaderboards: what requests hold, and what is answered.

Charts and filters are spelled ``camelCase`` on the wire, everything else ``snake_case``, but for `rollupGroups` and
`exclusionRules` of requests. A field that is not known is rejected, since what it asks for would be ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from nucleus_pandas.wire.entities import Fraction, JsonObject, NonEmptyString
from nucleus_pandas.wire.requests import LabelPair

Operator: TypeAlias = Literal["EQ", "IN", "GT", "LT"]
MatchType: TypeAlias = Literal["TP", "FP", "FN"]
Threshold: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Offset: TypeAlias = Annotated[int, Meta(ge=0, lt=2**62)]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
Version: TypeAlias = Annotated[int, Meta(ge=0, lt=2**31)]

_CONFIGURATION = {"rollup_groups": "rollupGroups", "exclusion_rules": "exclusionRules"}


class RollupGroup(Struct, kw_only=True, forbid_unknown_fields=True):
    """Labels, of ground truth and predictions, that are evaluated as one class."""

    class_name: NonEmptyString
    labels: Annotated[list[NonEmptyString], Meta(min_length=1)]


class MetadataRule(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="metadata"):
    """Leaves out items by their metadata."""

    key: NonEmptyString
    op: Operator
    value: Any
    scope: Literal["item"] = "item"


class LabelsRule(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="labels"):
    """Leaves out annotations that have one of some labels, or every item with such an annotation."""

    scope: Literal["item", "annotation"]
    target: Literal["groundTruth", "prediction"]
    labels: Annotated[list[str], Meta(min_length=1)]


class AreaRule(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", tag="boxArea"):
    """Leaves out boxes whose area in square pixels is outside [min, max], or every item with such a box."""

    scope: Literal["item", "annotation"]
    target: Literal["groundTruth", "prediction"]
    min: float | None = None
    max: float | None = None


ExclusionRule: TypeAlias = MetadataRule | LabelsRule | AreaRule


class EvaluationConfiguration(Struct, kw_only=True, forbid_unknown_fields=True, rename=_CONFIGURATION):
    """Which labels are one class, and what is left out."""

    rollup_groups: list[RollupGroup] | None = None
    exclusion_rules: list[ExclusionRule] | None = None


class CreateEvaluation(EvaluationConfiguration, kw_only=True, forbid_unknown_fields=True):
    """``POST modelRun/{id}/evaluationsV2``; the contract has neither `class_agnostic` nor the last two here."""

    name: str | None = None
    allowed_label_matches: list[LabelPair] | None = None
    allowed_label_matches_id: NonEmptyString | None = None
    class_agnostic: bool | None = None


class CreateBenchmarkEvaluation(EvaluationConfiguration, kw_only=True, forbid_unknown_fields=True):
    """``POST benchmarks/{id}/evaluationsV2``."""

    model_id: NonEmptyString | None = None
    model_run_id: NonEmptyString | None = None
    name: str | None = None


class CreatePreset(EvaluationConfiguration, kw_only=True, forbid_unknown_fields=True):
    """``POST evaluationV2Presets``."""

    name: NonEmptyString


class ChangePreset(Struct, kw_only=True, forbid_unknown_fields=True, rename=_CONFIGURATION):
    """``PATCH evaluationV2Presets/{id}``: what is not named stays, null clears."""

    name: NonEmptyString | UnsetType = UNSET
    rollup_groups: list[RollupGroup] | UnsetType | None = UNSET
    exclusion_rules: list[ExclusionRule] | UnsetType | None = UNSET


class NumberRange(Struct, kw_only=True, forbid_unknown_fields=True):
    """Numbers from `min` to `max`, both included."""

    min: float | None = None
    max: float | None = None


class Predicate(Struct, kw_only=True, forbid_unknown_fields=True):
    """What the value under a top-level key of metadata has to be."""

    key: NonEmptyString
    op: Operator
    value: Any = None


class OutcomeFilters(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Which outcomes count: those that pass every filter; what an outcome does not have passes none."""

    confidence_range: NumberRange | None = None
    iou_range: NumberRange | None = None
    gt_area_range: NumberRange | None = None
    pred_labels: list[str] | None = None
    gt_labels: list[str] | None = None
    slice_ids: list[str] | None = None
    item_metadata: list[Predicate] | None = None
    prediction_metadata: list[Predicate] | None = None
    label_equality: Literal["EQ", "NEQ"] | None = None
    has_ground_truth: bool | None = None
    tide_background: bool | None = None


class ChartsRequest(Struct, kw_only=True, forbid_unknown_fields=True, rename={"iou_threshold": "iouThreshold"}):
    """``POST evaluationsV2/{id}/charts``."""

    iou_threshold: Threshold = 0.5
    filters: OutcomeFilters | None = None
    query: str | None = None


class ExamplesRequest(Struct, kw_only=True, forbid_unknown_fields=True, rename={"iou_threshold": "iouThreshold"}):
    """``POST evaluationsV2/{id}/examples``; the contract has no `iouThreshold` here."""

    limit: Limit = 50
    offset: Offset = 0
    match_type: MatchType | None = None
    sort_by: Literal["confidence", "iou", "dataset_item_id", "gt_area"] | None = None
    sort_order: Literal["ASC", "DESC"] | None = None
    filters: OutcomeFilters | None = None
    query: str | None = None
    iou_threshold: Threshold = 0.5


class BenchmarkItem(Struct, kw_only=True, forbid_unknown_fields=True):
    """An item by its dataset and reference id."""

    dataset_id: NonEmptyString
    ref_id: NonEmptyString


class BenchmarkMembers(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where the items of a benchmark come from; they are united. Also ``POST benchmarks/{id}/items``."""

    item_ids: list[str] | None = None
    items: list[BenchmarkItem] | None = None
    slice_id: str | None = None
    slice_ids: list[str] | None = None
    dataset_id: str | None = None
    dataset_ids: list[str] | None = None
    scene_ids: list[str] | None = None


class CreateBenchmark(
    BenchmarkMembers, kw_only=True, forbid_unknown_fields=True, rename={"rollup_groups": "rollupGroups"}
):
    """``POST benchmarks``."""

    name: NonEmptyString
    description: str | None = None
    metadata: JsonObject | None = None
    parent_benchmark_id: NonEmptyString | None = None
    bump_type: Literal["minor", "major"] | None = None
    version_major: Version | None = None
    version_minor: Version | None = None
    version_label: str | None = None
    removed_item_ids: list[str] | None = None
    draft: bool = False
    rollup_groups: list[RollupGroup] | None = None
    allowed_label_matches_id: NonEmptyString | None = None
    class_agnostic: bool | None = None


class ChangeBenchmark(Struct, kw_only=True, forbid_unknown_fields=True, rename={"rollup_groups": "rollupGroups"}):
    """``PATCH benchmarks/{id}``: what is not named stays; a null `allowed_label_matches_id` clears the classes."""

    name: NonEmptyString | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    metadata: JsonObject | UnsetType | None = UNSET
    rollup_groups: list[RollupGroup] | UnsetType = UNSET
    allowed_label_matches_id: NonEmptyString | UnsetType | None = UNSET
    class_agnostic: bool | UnsetType = UNSET


class RemoveMembers(Struct, kw_only=True, forbid_unknown_fields=True):
    """``DELETE benchmarks/{id}/items``."""

    item_ids: list[str]


class RankingRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST leaderboard/ranking``; `allRuns` is the older name of `allEvaluations`."""

    metric_type: Literal["MAP_50", "MAP_50_95", "AP_SMALL", "AP_MEDIUM", "AP_LARGE", "PRECISION", "RECALL", "F1"]
    benchmark_ids: Annotated[list[str], Meta(min_length=1)]
    confidence_threshold: Fraction | None = None
    model_ids: list[str] | None = None
    scope: Literal["mine", "all"] = "all"
    collapse: Literal["bestPerModel", "allEvaluations", "allRuns"] = "bestPerModel"


class CurveRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """``POST leaderboard/f1Curve``."""

    benchmark_ids: Annotated[list[str], Meta(min_length=1)]
    model_ids: list[str] | None = None
    top_n: Annotated[int, Meta(ge=1, lt=2**31)] = 5


class ObjectsPage(
    Struct, kw_only=True, forbid_unknown_fields=True, rename={"page_token": "pageToken", "page_size": "pageSize"}
):
    """``POST dataset/{id}/queryObjectsPage``."""

    patch_mode: Literal["iou", "false_positive", "false_negative", "predictions_only", "ground_truth_only"]
    model_run_id: NonEmptyString | None = None
    query: str | None = None
    page_token: str | None = None
    page_size: Annotated[int, Meta(ge=1, lt=2**31)] | None = None


class EvaluationEntry(Struct, kw_only=True):
    """``GET evaluationsV2/{id}``; all from `dataset_ids` on is more than the contract has.

    Attributes
    ----------
    stale : bool or None
        Whether what was evaluated has changed since; None until the evaluation succeeded.
    content : str or None
        A hash of the ground truth and the predictions that were evaluated.
    """

    id: str
    status: Literal["pending", "computing", "succeeded", "failed", "cancelled"]
    model_run_id: str | None
    dataset_id: str | None
    model_id: str | None
    name: str | None
    created_at: str
    error_message: str | None
    rollup_groups: list[RollupGroup] | None
    benchmark_id: str | None
    slice_id: str | None
    exclusion_rules: Any
    exclusion_stats: Any
    temporal_workflow_id: str | None
    dataset_ids: list[str]
    model_run_ids: list[str]
    job_id: str
    engine: str | None
    engine_version: str | None
    parameters: Any
    content: str | None
    stale: bool | None


class MapSummary(Struct, kw_only=True):
    """Mean average precisions; null where they do not exist."""

    mapAt50: float | None = None  # as on the wire
    mapAt75: float | None = None
    mapAt5095: float | None = None


class ClassAp(Struct, kw_only=True, rename="camel"):
    """The average precision of a class at the asked IoU threshold."""

    class_label: str
    ap: float


class Confusion(Struct, kw_only=True, rename="camel"):
    """How often a label was predicted for a label; ``__background__`` stands for no box."""

    gt_label: str
    pred_label: str
    count: int


class Bucket(Struct, kw_only=True, rename="camel"):
    """Predictions whose confidence is in [min, max), in the last bucket also max."""

    bucket_min: float
    bucket_max: float
    count: int


class TotalCounts(Struct, kw_only=True, rename="camel"):
    """Outcomes at the asked IoU threshold."""

    tp: int
    fp: int
    fn: int
    preds_with_confidence: int


class ApBySize(Struct, kw_only=True):
    """Average precision over the ten IoU thresholds, by the area of the ground truth."""

    small: float | None = None
    medium: float | None = None
    large: float | None = None


class CurvePoint(Struct, kw_only=True, rename="camel"):
    """A point of a class's precision-recall curve at the asked IoU threshold."""

    class_label: str
    recall: float
    precision: float


class Tide(Struct, kw_only=True, rename="camel"):
    """What TIDE attributes errors to."""

    true_positive: int = 0
    localization: int = 0
    classification: int = 0
    both: int = 0
    duplicate: int = 0
    background: int = 0
    missed: int = 0


class Charts(Struct, kw_only=True, rename="camel"):
    """``POST evaluationsV2/{id}/charts``; `reasons` and `stale` are more than the contract has.

    `reasons` says of numbers that do not exist why, and what others leave out.
    """

    map_summary: MapSummary
    per_class_ap: list[ClassAp]
    confusion_matrix: list[Confusion]
    score_histogram: list[Bucket]
    computed_iou_ranges: list[float]
    total_counts: TotalCounts
    ap_by_size: ApBySize
    pr_curve: list[CurvePoint]
    tide_attribution: Tide
    reasons: dict[str, str]
    stale: bool


class EvaluationExample(Struct, kw_only=True):
    """An outcome: a true positive, a false positive, which shows the ground truth that it confuses, or a miss."""

    id: str
    evaluation_id: str
    dataset_item_id: str
    true_positive: bool
    match_type: MatchType
    model_prediction_id: str | None
    ground_truth_annotation_id: str | None
    pred_canonical_label: str | None
    gt_canonical_label: str | None
    pred_raw_label: str | None
    gt_raw_label: str | None
    iou: float | None
    confidence: float | None
    gt_area: float | None
    item_metadata: Any
    prediction_metadata: Any
    prediction_row: Any
    annotation_row: Any


class ExamplesPage(Struct, kw_only=True):
    """``POST evaluationsV2/{id}/examples``; `total` counts all that pass the filters."""

    rows: list[EvaluationExample]
    total: int
    stale: bool


class MetadataField(Struct, kw_only=True):
    """A key of the items' metadata, the kind of its values, and those values as text, the first thousand of them."""

    key: str
    value_type: Literal["string", "number", "boolean"]
    values: list[str]


class FilterSchema(Struct, kw_only=True):
    """``GET evaluationsV2/{id}/filterSchema``."""

    gt_labels: list[str]
    pred_labels: list[str]
    metadata_fields: list[MetadataField]


class BenchmarkEntry(Struct, kw_only=True):
    """``GET benchmarks/{id}``; `rollup_groups` is more than the contract has."""

    benchmark_id: str
    name: str
    status: Literal["draft", "building", "ready", "failed"]
    description: str | None
    metadata: Any
    created_by_user_id: str | None
    created_at: str
    item_count: int
    dataset_count: int
    skipped_items_without_ground_truth: int
    parent_benchmark_id: str | None
    version_major: int
    version_minor: int
    version_label: str | None
    allowed_label_matches_id: str | None
    class_agnostic: bool | None
    rollup_groups: list[RollupGroup] | None


class PresetEntry(Struct, kw_only=True):
    """One row of ``GET evaluationV2Presets``."""

    id: str
    name: str
    rollup_groups: list[RollupGroup] | None
    exclusion_rules: Any
    created_at: str
    updated_at: str


class LeaderboardRow(Struct, kw_only=True):
    """The evaluation that a row of a leaderboard is about."""

    evaluation_id: str
    evaluation_name: str | None
    model_run_id: str | None
    model_run_name: str | None
    model_id: str
    model_name: str


class RankingRow(LeaderboardRow, kw_only=True):
    """One row of ``POST leaderboard/ranking``."""

    benchmark_id: str
    score: float
    rank: int
    stale: bool


class F1Point(Struct, kw_only=True):
    """F1 of the predictions whose confidence is at least the threshold."""

    confidence_threshold: float
    score: float


class F1Curve(LeaderboardRow, kw_only=True):
    """One row of ``POST leaderboard/f1Curve``."""

    best_f1: float
    points: list[F1Point]
    rank: int
    stale: bool
