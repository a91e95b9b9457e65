"""The bodies of the requests that the contract knows."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from nucleus_pandas.wire.entities import AnyAnnotation, Item, JsonObject, Mask, NonEmptyString


class CreateDataset(Struct, kw_only=True, omit_defaults=True):
    """``POST dataset/create``."""

    name: NonEmptyString
    is_scene: bool | None = None
    use_privacy_mode: bool | None = None
    annotation_metadata_schema: JsonObject | None = None
    item_metadata_schema: JsonObject | None = None


class SchemaField(Struct, kw_only=True, omit_defaults=True):
    """What one field of a metadata schema says: ``{name: {"type": …, "choices": …, "description": …}}``."""

    type: Literal["category", "number", "text", "json"]
    choices: list[str] | None = None
    description: str | None = None


class AddTaxonomy(Struct, kw_only=True):
    """``POST dataset/{id}/add_taxonomy``; with `update` the labels of one that is there grow."""

    taxonomy_name: NonEmptyString
    type: Literal["category", "multicategory"]
    labels: list[NonEmptyString]
    update: bool = False


class Append(Struct, kw_only=True, omit_defaults=True):
    """``POST dataset/{id}/append`` with the items in the body; ``force`` is the older name of ``update``."""

    items: list[Item]
    update: bool = False
    force: bool = False


class MetadataChange(Struct, kw_only=True, omit_defaults=True):
    """What is merged into the metadata of one item; `camera_params` becomes the value of that key."""

    reference_id: NonEmptyString
    metadata: JsonObject
    camera_params: JsonObject | None = None


class UpdateMetadata(Struct, kw_only=True):
    """``POST dataset/{id}/metadata``."""

    metadata: list[MetadataChange]
    level: Literal["item", "scene"]


class FromUpload(Struct, kw_only=True, rename={"request_id": "requestId"}):
    """Any ``POST …?async=1`` that consumes a signed upload."""

    request_id: NonEmptyString
    update: bool = False
    trained_slice_id: str | UnsetType | None = UNSET


class Annotate(Struct, kw_only=True, omit_defaults=True):
    """``POST dataset/{id}/annotate`` and all routes that take predictions."""

    annotations: list[AnyAnnotation] = []
    segmentations: list[Mask] = []
    update: bool = False
    trained_slice_id: str | None = None


class DeleteAnnotations(Struct, kw_only=True):
    """``DELETE annotation/{dataset id}``; an embedded Nucleus has no history that `keep_history` could mean."""

    reference_ids: list[NonEmptyString] = []
    keep_history: bool = True


class AddModel(Struct, kw_only=True, omit_defaults=True):
    """``POST models/add``."""

    name: NonEmptyString
    reference_id: NonEmptyString
    metadata: JsonObject | None = None
    bundle_name: str | None = None
    tags: list[str] | None = None
    trained_slice_ids: list[str] | None = None


class CreateModelRun(Struct, kw_only=True, omit_defaults=True):
    """``POST dataset/{id}/modelRun/create`` and ``POST model/{id}/modelRun/create``."""

    name: str | None = None
    reference_id: NonEmptyString | None = None
    model_id: NonEmptyString | None = None
    metadata: JsonObject | None = None
    annotation_metadata_schema: JsonObject | None = None


class LabelPair(Struct, kw_only=True):
    """A ground-truth label and the predicted label that may match it."""

    ground_truth_label: str
    model_prediction_label: str


class Commit(Struct, kw_only=True, omit_defaults=True):
    """``POST modelRun/{id}/commit``."""

    class_agnostic: bool | None = None
    allowed_label_matches: list[LabelPair] | None = None


class MergeRuns(Struct, kw_only=True, omit_defaults=True):
    """``POST modelRun/merge``."""

    model_run_ids: list[str]
    name: str | None = None
    metadata: JsonObject | None = None


class CopyPredictions(Struct, kw_only=True):
    """``POST model/{id}/predictions/copyFromRun``."""

    model_run_id: NonEmptyString


class Tags(Struct, kw_only=True):
    """``POST`` and ``DELETE`` of ``dataset/{id}/tags`` and ``model/{id}/tag``."""

    tags: list[NonEmptyString]


class TrainedSlices(Struct, kw_only=True):
    """``POST`` and ``DELETE`` of ``model/{id}/trainedSliceId``."""

    trained_slice_ids: list[NonEmptyString]


class ListJobs(Struct, kw_only=True):
    """``POST jobs/``; the client names every field."""

    dataset_id: str | None = None
    job_types: list[str] | None = None
    from_date: str | None = None
    to_date: str | None = None
    limit: Annotated[int, Meta(ge=0, lt=2**31)] | None = None
    show_completed: bool | None = None
