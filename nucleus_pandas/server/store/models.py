"""Models and their runs."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from nucleus_pandas.errors import BadRequestError, ConflictError, NotFoundError
from nucleus_pandas.server.store.datasets import Dataset, datasets_of_rows, json_or_none
from nucleus_pandas.server.store.ids import item_range, new_tag, now, owner_sql, tag_of
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.requests import AddModel, CreateModelRun
from nucleus_pandas.wire.responses import ModelEntry

_MODEL = "id, tag, name, reference_id, metadata, bundle_name, tags, trained_slice_ids"
_RUN = (
    "run.id, run.tag, run.model, model.tag, run.dataset, run.name, run.metadata, run.committed_at, run.parameters,"
    " run.created_at"
)
_PUBLIC = "run.id NOT IN (SELECT run FROM free_run)"


@dataclass(frozen=True, slots=True)
class Model:
    """A stored model."""

    id: int
    tag: str
    name: str
    reference_id: str
    metadata: Any
    bundle_name: str | None
    tags: list[str]
    trained_slice_ids: list[str]

    @property
    def public_id(self) -> str:
        """The public id."""
        return f"prj_{self.tag}"

    def entry(self) -> ModelEntry:
        """Describe the model as on the wire."""
        return ModelEntry(
            id=self.public_id,
            name=self.name,
            ref_id=self.reference_id,
            metadata=self.metadata,
            tags=self.tags,
            trained_slice_ids=self.trained_slice_ids,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A stored model run; `dataset` is None if the run spans datasets."""

    id: int
    tag: str
    model: int
    model_tag: str
    dataset: int | None
    name: str | None
    metadata: Any
    committed_at: str | None
    parameters: Any
    created_at: str

    @property
    def public_id(self) -> str:
        """The public id."""
        return f"run_{self.tag}"

    @property
    def status(self) -> str:
        """``open`` or ``committed``."""
        return "open" if self.committed_at is None else "committed"

    def check_of(self, dataset: Dataset) -> None:
        """Raise BadRequestError if this is a run on another dataset."""
        if self.dataset not in (None, dataset.id):
            raise BadRequestError(f"The run '{self.public_id}' is on another dataset than '{dataset.public_id}'.")

    @property
    def layer(self) -> AnnotationLayer:
        """The layer of its predictions."""
        return AnnotationLayer(self.id, ("run", self.id), None if self.committed_at is None else self.public_id)


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def add(db: sqlite3.Connection, request: AddModel) -> Model:
    """Create a model; an equal request returns the same model, another one with its reference id is a conflict."""
    row = db.execute(f"SELECT {_MODEL} FROM model WHERE reference_id = ?", (request.reference_id,)).fetchone()
    if row is not None:
        model = _model(row)
        same = (
            model.name == request.name
            and (model.metadata or {}) == (request.metadata or {})
            and model.bundle_name == request.bundle_name
            and (request.tags is None or set(request.tags) == set(model.tags))
            and (request.trained_slice_ids is None or set(request.trained_slice_ids) == set(model.trained_slice_ids))
        )
        if not same:
            raise ConflictError(
                f"The model '{model.public_id}' ('{model.name}') has the reference_id '{request.reference_id}', "
                "with other fields. Choose another reference_id, or delete that model."
            )
        return model
    db.execute(
        "INSERT INTO model (tag, name, reference_id, metadata, bundle_name, tags, trained_slice_ids, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new_tag(),
            request.name,
            request.reference_id,
            json_or_none(request.metadata),
            request.bundle_name,
            json_or_none(request.tags or []),
            json_or_none(request.trained_slice_ids or []),
            now(),
        ),
    )
    return by_reference_id(db, request.reference_id)


def _model(row: tuple[Any, ...]) -> Model:
    number, tag, name, reference_id, metadata, bundle_name, tags, slices = row
    return Model(number, tag, name, reference_id, _json(metadata), bundle_name, _json(tags), _json(slices))


def find(db: sqlite3.Connection, public_id: str) -> Model:
    """Find a model by its id or by the id of one of its runs, or raise NotFoundError."""
    tag = tag_of(public_id, "prj_")
    if tag is None and (run_tag := tag_of(public_id, "run_")) is not None:
        tag = find_run(db, f"run_{run_tag}").model_tag
    row = db.execute(f"SELECT {_MODEL} FROM model WHERE tag = ?", (tag,)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no model '{public_id}'.")
    return _model(row)


def by_reference_id(db: sqlite3.Connection, reference_id: str) -> Model:
    """Find a model by its reference id, or raise NotFoundError."""
    row = db.execute(f"SELECT {_MODEL} FROM model WHERE reference_id = ?", (reference_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no model with reference_id '{reference_id}'; create it with client.add_model().")
    return _model(row)


def listing(db: sqlite3.Connection) -> list[Model]:
    """List every model, oldest first."""
    return [_model(row) for row in db.execute(f"SELECT {_MODEL} FROM model ORDER BY id")]


def set_list(db: sqlite3.Connection, model: Model, column: str, values: list[str]) -> None:
    """Replace a model's tags or trained slice ids."""
    db.execute(f"UPDATE model SET {column} = ? WHERE id = ?", (json_or_none(values), model.id))


def note_trained(db: sqlite3.Connection, model: Model, slice_id: str | None) -> None:
    """Add a slice id to the trained slice ids of a model, if given and new."""
    if slice_id and slice_id not in model.trained_slice_ids:
        set_list(db, model, "trained_slice_ids", [*model.trained_slice_ids, slice_id])


def delete(db: sqlite3.Connection, model: Model) -> None:
    """Delete a model and hide its runs; `purge` removes their rows."""
    db.execute("UPDATE run SET deleted = 1, model = NULL WHERE model = ?", (model.id,))
    db.execute("DELETE FROM model WHERE id = ?", (model.id,))


def create_run(db: sqlite3.Connection, model: Model, dataset: Dataset | None, request: CreateModelRun) -> Run:
    """Create a run of a model, on one dataset, or on any number of them without `dataset`."""
    tag = new_tag()
    db.execute(
        "INSERT INTO run (tag, model, dataset, name, metadata, annotation_metadata_schema, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            tag,
            model.id,
            dataset and dataset.id,
            request.name or model.name,
            json_or_none(request.metadata),
            json_or_none(request.annotation_metadata_schema),
            now(),
        ),
    )
    run = run_where(db, "run.tag = ?", tag)
    assert run is not None
    return run


def count_predictions(db: sqlite3.Connection, run: Run) -> int:
    """Count the predictions of a run."""
    return int(db.execute("SELECT count(*) FROM prediction WHERE run = ?", (run.id,)).fetchone()[0])


def run_named(db: sqlite3.Connection, model: Model, dataset: Dataset | None, name: str | None) -> Run | None:
    """Return the newest run of a model with a name, by default its own: on a dataset, or of those that span several."""
    return run_where(
        db,
        "run.id = (SELECT max(run.id) FROM run WHERE run.model = ? AND run.dataset IS ? AND run.name = ? AND NOT"
        f" run.deleted AND {_PUBLIC})",
        model.id,
        dataset and dataset.id,
        name or model.name,
    )


def model_of_request(db: sqlite3.Connection, request: CreateModelRun) -> Model:
    """Find the model that a request for a run names."""
    if request.model_id is not None:
        model = find(db, request.model_id)
        if request.reference_id not in (None, model.reference_id):
            raise BadRequestError(
                f"`model_id` is that of the model '{model.reference_id}', but `reference_id` is "
                f"'{request.reference_id}'."
            )
        return model
    if request.reference_id is not None:
        return by_reference_id(db, request.reference_id)
    every = listing(db)
    if len(every) == 1:
        return every[0]
    raise BadRequestError(
        "A run needs the `reference_id` or `model_id` of its model; neither is given, and there are "
        f"{len(every)} models."
    )


def find_run(db: sqlite3.Connection, public_id: str) -> Run:
    """Find a run, or raise NotFoundError."""
    run = run_where(db, f"run.tag = ? AND {_PUBLIC}", tag_of(public_id, "run_"))
    if run is None:
        raise NotFoundError(f"There is no model run '{public_id}'.")
    return run


def run_where(db: sqlite3.Connection, condition: str, *values: object) -> Run | None:
    """Find the run that meets a condition with these values."""
    row = db.execute(
        f"SELECT {_RUN} FROM run JOIN model ON model.id = run.model WHERE {condition} AND NOT run.deleted", values
    ).fetchone()
    if row is None:
        return None
    number, tag, model, model_tag, dataset, name, metadata, committed_at, parameters, *rest = row
    return Run(number, tag, model, model_tag, dataset, name, _json(metadata), committed_at, _json(parameters), *rest)


def seen_tag(db: sqlite3.Connection, run: Run) -> str | None:
    """Return the tag of a run, None if it is the hidden run of predictions without a run."""
    hidden = db.execute("SELECT 1 FROM free_run WHERE run = ?", (run.id,)).fetchone()
    return None if hidden else run.tag


def open_run(db: sqlite3.Connection, model: Model, dataset: Dataset) -> Run:
    """Find the newest run of a model on a dataset that is not committed, or create one."""
    row = db.execute(
        "SELECT tag FROM run WHERE model = ? AND dataset = ? AND committed_at IS NULL AND NOT deleted"
        " ORDER BY id DESC LIMIT 1",
        (model.id, dataset.id),
    ).fetchone()
    return create_run(db, model, dataset, CreateModelRun()) if row is None else find_run(db, f"run_{row[0]}")


def newest_run(db: sqlite3.Connection, model: Model, dataset: Dataset) -> Run:
    """Find the newest run of a model with predictions on a dataset, or raise NotFoundError."""
    row = db.execute(
        f"SELECT tag FROM run WHERE model = ? AND NOT deleted AND {_PUBLIC} AND (dataset = ? OR dataset IS NULL AND"
        " EXISTS (SELECT 1 FROM prediction WHERE run = run.id AND item >= ? AND item < ?)) ORDER BY id DESC LIMIT 1",
        (model.id, dataset.id, *item_range(dataset.id)),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"The model '{model.public_id}' has no run on the dataset '{dataset.public_id}'.")
    return find_run(db, f"run_{row[0]}")


def runs_of(db: sqlite3.Connection, model: Model) -> list[str]:
    """List the ids of a model's runs, oldest first."""
    rows = db.execute(f"SELECT tag FROM run WHERE model = ? AND NOT deleted AND {_PUBLIC} ORDER BY id", (model.id,))
    return [f"run_{tag}" for (tag,) in rows]


class RunEntry(NamedTuple):
    """A run as lists show it; one without a name has that of its model."""

    number: int
    id: str
    name: str
    model: str
    created_at: str
    committed_at: str | None
    arrivals: int

    @property
    def layer(self) -> AnnotationLayer:
        """The predictions of the run."""
        return AnnotationLayer(self.number, ("run", self.number))


def runs_on(db: sqlite3.Connection, dataset: Dataset) -> list[RunEntry]:
    """List the runs that can have predictions on a dataset, newest first."""
    first, end = item_range(dataset.id)
    rows = db.execute(
        "SELECT run.id, 'run_' || run.tag, coalesce(nullif(run.name, ''), model.name), model.name, run.created_at,"
        " run.committed_at, run.arrivals FROM run JOIN model ON model.id = run.model WHERE NOT run.deleted AND"
        " (run.dataset = :dataset OR run.dataset IS NULL AND EXISTS (SELECT 1 FROM prediction WHERE prediction.run ="
        " run.id AND item >= :first AND item < :end)) ORDER BY run.id DESC",
        {"dataset": dataset.id, "first": first, "end": end},
    )
    return list(map(RunEntry._make, rows))


def datasets_of(db: sqlite3.Connection, run: Run) -> list[int]:
    """List the datasets that a run has predictions on."""
    return [run.dataset] if run.dataset is not None else datasets_of_rows(db, "prediction", "run", run.id)


def delete_run(db: sqlite3.Connection, run: Run) -> None:
    """Hide a run; `purge` removes its rows."""
    db.execute("UPDATE run SET deleted = 1 WHERE id = ?", (run.id,))


def merge(db: sqlite3.Connection, runs: list[Run], target: Run) -> int:
    """Copy the predictions of several runs into a new one; the first with a key in an item is kept."""
    return sum(_copy_predictions(db, run, target) for run in runs)


def _copy_predictions(db: sqlite3.Connection, source: Run, target: Run, condition: str = "") -> int:
    """Copy predictions behind those of another run, whose own are kept; return how many were copied."""
    (arrivals,) = db.execute("SELECT arrivals FROM run WHERE id = ?", (target.id,)).fetchone()
    copied = db.execute(
        "INSERT INTO prediction SELECT ?, item, arrival + ?, key, type, label, x, y, width, height, geometry,"
        f" confidence, metadata, extra FROM prediction WHERE run = ?{condition}"
        " ON CONFLICT (run, item, key) DO NOTHING",
        (target.id, arrivals, source.id),
    ).rowcount
    db.execute(
        "UPDATE run SET arrivals = arrivals + (SELECT arrivals FROM run AS source WHERE source.id = ?) WHERE id = ?",
        (source.id, target.id),
    )
    return copied


# Predictions of a model without a run are stored in a hidden run of their own, which spans datasets

FREE_TYPES = ("box", "polygon", "cuboid")
"""The types of predictions that a model may have without a run."""


def find_free_run(db: sqlite3.Connection, model: Model) -> Run | None:
    """Return the run of a model's predictions without a run, None if it never had any."""
    return run_where(db, "run.id = (SELECT run FROM free_run WHERE model = ?)", model.id)


def free_run(db: sqlite3.Connection, model: Model) -> Run:
    """Return the run for a model's predictions without a run, created at the first call."""
    run = find_free_run(db, model)
    if run is None:
        run = create_run(db, model, None, CreateModelRun())
        db.execute("INSERT INTO free_run VALUES (?, ?)", (model.id, run.id))
    return run


def copy_to_free_run(db: sqlite3.Connection, source: Run, model: Model) -> tuple[int, int]:
    """Copy the predictions of a run; those with a key that their item already has are left out.

    Returns
    -------
    (int, int)
        The numbers of copied predictions, and of those of other types, which were not copied.
    """
    target = free_run(db, model)
    visible = f"{owner_sql('item')} IN (SELECT id FROM dataset WHERE NOT deleted)"
    of_type = f"type IN ({', '.join(map(repr, FREE_TYPES))})"
    copied = _copy_predictions(db, source, target, f" AND {of_type} AND {visible}")
    (skipped,) = db.execute(
        f"SELECT count(*) FROM prediction WHERE run = ? AND NOT {of_type} AND {visible}", (source.id,)
    ).fetchone()
    return copied, skipped
