"""Slices: what requests hold, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from nucleus_pandas.wire.entities import NonEmptyString

SLICE_IDS = 10_000
"""Ids that one request for a slice names at most."""

SliceType: TypeAlias = Literal["dataset_item", "object", "scene"]


class CreateSlice(Struct, kw_only=True, omit_defaults=True):
    """``POST dataset/{id}/create_slice``: of items by either kind of id, or empty where that is allowed."""

    name: NonEmptyString
    reference_ids: list[NonEmptyString] | None = None
    dataset_item_ids: list[NonEmptyString] | None = None
    scene_ids: list[NonEmptyString] | None = None
    object_ids: list[NonEmptyString] | None = None
    allow_empty: bool | Literal[0, 1] | None = None


class BuildFilters(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename="camel"):
    """What a sample is drawn from: a slice, the items of an autotag; or the whole dataset."""

    slice_id: NonEmptyString | None = None
    autotag: Any = None


class BuildSlice(Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """``POST dataset/{id}/build_slice``; the contract has no `seed`."""

    name: NonEmptyString
    sample_size: Annotated[int, Meta(ge=1, lt=2**31)]
    sample_method: Literal["Random", "Uniqueness"]
    filters: BuildFilters | None = None
    seed: int | None = None


class SliceBuilt(Struct, kw_only=True, rename={"slice_id": "sliceId"}):
    """The answer to ``POST dataset/{id}/build_slice``; a job beside it may still be drawing."""

    slice_id: str
    job_id: str | None = None


class AppendedToSlice(Struct, kw_only=True):
    """The answer to ``POST slice/{id}/append``."""

    slice_id: str
    new_items: list[Any] = []


class AppendToSlice(Struct, kw_only=True, omit_defaults=True):
    """``POST slice/{id}/append``."""

    reference_ids: list[NonEmptyString]
    dataset_id: str | None = None


class SliceTags(Struct, kw_only=True):
    """``POST`` and ``DELETE`` of ``slice/{id}/tag``."""

    slice_tags: list[NonEmptyString]


class SliceCreated(Struct, kw_only=True):
    """The answer to ``POST dataset/{id}/create_slice``."""

    slice_id: str


class SliceEntry(Struct, kw_only=True):
    """One row of ``GET dataset/{id}/slices`` and of ``GET slice/``."""

    id: str
    name: str
    dataset_id: str
    created_at: str
    type: SliceType = "dataset_item"
    pending_job_count: int = 0


class SliceSize(Struct, kw_only=True):
    """What an embedded Nucleus tells of the size of a slice in ``GET slice/{id}/info``."""

    length: int


class LenientSlice(Struct, kw_only=True):
    """What a client needs of ``GET slice/{id}/info``."""

    name: str
    dataset_id: str
    tags: list[str] | None = None


class LenientSliceEntry(Struct, kw_only=True):
    """What a client needs of a row of ``GET dataset/{id}/slices``."""

    id: str
    name: str | None = None


class SliceInfo(Struct, kw_only=True):
    """``GET slice/{id}/info``; the contract has no `length`."""

    slice_id: str
    name: str
    dataset_id: str
    created_at: str
    tags: list[str]
    length: int
    type: SliceType = "dataset_item"
    description: str | None = None
    pending_job_count: int = 0
