"""The answers that the client reads."""

from __future__ import annotations

from msgspec import Struct

from nucleus_pandas.wire.content import Metadata


class DatasetInfo(Struct, kw_only=True):
    """``GET dataset/{id}/info``."""

    dataset_id: str
    name: str
    length: int
    model_run_ids: list[str]
    slice_ids: list[str]
    annotation_metadata_schema: Metadata | None = None
    item_metadata_schema: Metadata | None = None
    tags: list[str] | None = None


class DatasetEntry(Struct, kw_only=True):
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
    metadata: Metadata | None = None
    tags: list[str] | None = None
    trained_slice_ids: list[str] | None = None


class JobEntry(Struct, kw_only=True):
    """The four fields that stand for a job wherever one is started or listed."""

    job_id: str
    job_last_known_status: str
    job_type: str
    job_creation_time: str
