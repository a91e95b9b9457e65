"""The answers that the contract knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from nucleus_pandas.wire.entities import JsonObject

AnnotationsByType: TypeAlias = Mapping[str, list[JsonObject] | JsonObject | None] | list[JsonObject] | None
"""Annotations by type; a mask may stand alone."""


class DatasetInfo(Struct, kw_only=True):
    """``GET dataset/{id}/info``."""

    dataset_id: str
    name: str
    length: int
    model_run_ids: list[str]
    slice_ids: list[str]
    annotation_metadata_schema: JsonObject | None = None
    item_metadata_schema: JsonObject | None = None
    tags: list[str] | None = None


class DatasetListEntry(Struct, kw_only=True):
    """One row of ``GET dataset/details``."""

    id: str
    name: str
    is_public: bool = False


class Counters(Struct, kw_only=True, omit_defaults=True):
    """The answer to an append that was not a job."""

    dataset_id: str
    new_items: int = 0
    updated_items: int = 0
    ignored_items: int = 0
    upload_errors: int = 0


class AnnotationCounters(Struct, kw_only=True, omit_defaults=True):
    """The answer to annotations that were not a job."""

    dataset_id: str | None = None
    annotations_processed: int = 0
    annotations_ignored: int = 0
    errors: list[str] = []


class PredictionCounters(Struct, kw_only=True, omit_defaults=True):
    """The answer to predictions that were not a job."""

    dataset_id: str | None = None
    model_run_id: str | None = None
    predictions_processed: int = 0
    predictions_ignored: int = 0
    errors: list[str] = []


class ModelEntry(Struct, kw_only=True):
    """``GET model/{id}`` and one row of ``GET models/``."""

    id: str
    name: str
    ref_id: str
    metadata: JsonObject | None = None
    tags: list[str] | None = None
    trained_slice_ids: list[str] | None = None


class JobEntry(Struct, kw_only=True):
    """The four fields that stand for a job wherever one is started or listed."""

    job_id: str
    job_last_known_status: str
    job_type: str
    job_creation_time: str


class DatasetCreated(Struct, kw_only=True, omit_defaults=True):
    """The answer to ``POST dataset/create``."""

    dataset_id: str
    name: str | None = None


class DatasetName(Struct, kw_only=True):
    """``GET dataset/{id}/name``."""

    name: str


class DatasetSize(Struct, kw_only=True):
    """``GET dataset/{id}/size``."""

    count: int


class ItemAnswer(Struct, kw_only=True):
    """``GET dataset/{id}/refloc/{reference id}`` and its kin; long ago the annotations were one list."""

    item: JsonObject
    annotations: AnnotationsByType


class PredictionsAnswer(Struct, kw_only=True):
    """``GET modelRun/{id}/refloc/{reference id}`` and its kin."""

    annotations: AnnotationsByType


class ModelAdded(Struct, kw_only=True):
    """The answer to ``POST models/add``."""

    model_id: str


class ModelList(Struct, kw_only=True):
    """``GET models/``."""

    models: list[ModelEntry]


class RunCreated(Struct, kw_only=True, omit_defaults=True):
    """The answer to ``POST dataset/{id}/modelRun/create``."""

    model_run_id: str
    model_id: str | None = None


class RunsMerged(Struct, kw_only=True):
    """``POST modelRun/merge``."""

    model_run_id: str
    dataset_ids: list[str]
    job_id: str


class RunInfo(Struct, kw_only=True):
    """``GET modelRun/{id}/info``."""

    model_id: str
    name: str | None
    status: str
    metadata: JsonObject


class SignedUrl(Struct, kw_only=True):
    """``GET dataset/{id}/signedUrl/{request id}``."""

    signed_url: str


class JobView(Struct, kw_only=True):
    """What a client needs of ``GET job/{id}``."""

    status: str
    message: Any = None


class JobStatus(Struct, kw_only=True):
    """``GET job/{id}``; what `message` holds depends on the type of the job."""

    job_id: str
    status: str
    message: Any
    job_progress: str
    completed_steps: int
    total_steps: int
