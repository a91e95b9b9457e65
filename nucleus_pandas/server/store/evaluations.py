"""Evaluations, their sources, and presets: labels and exclusions that evaluations share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.server.store import jobs
from nucleus_pandas.server.store.datasets import json_or_none
from nucleus_pandas.server.store.ids import new_tag, now, tag_of
from nucleus_pandas.wire.evaluations import (
    ChangePreset,
    CreatePreset,
    EvaluationEntry,
    ExclusionRule,
    PresetEntry,
    RollupGroup,
)

EvaluationStatus: TypeAlias = Literal["pending", "computing", "succeeded", "failed", "cancelled"]

JOB_TYPE = "modelMetrics"
_COLUMNS = (
    "evaluation.id, evaluation.tag, evaluation.model, model.tag, model.name, evaluation.run,"
    " (SELECT tag FROM run WHERE run.id = evaluation.run), (SELECT name FROM run WHERE run.id = evaluation.run),"
    " evaluation.benchmark, (SELECT tag FROM benchmark WHERE benchmark.id = evaluation.benchmark), evaluation.name,"
    " evaluation.request, evaluation.job, job.tag, job.status, job.message, job.done, evaluation.created_at,"
    " evaluation.parameters, evaluation.exclusions, evaluation.content, evaluation.stale"
)
_FROM = (
    "FROM evaluation JOIN model ON model.id = evaluation.model JOIN job ON job.id = evaluation.job"
    " WHERE NOT evaluation.deleted"
)


class EvaluationRequest(Struct, kw_only=True, omit_defaults=True):
    """The rules of a requested evaluation: how labels are compared, and what is excluded.

    Attributes
    ----------
    class_agnostic : bool
        Whether boxes of different classes may match.
    allowed_label_matches : list of (str, str), optional
        The only pairs of a ground-truth label and a predicted label that may match.
    one_class : bool
        Whether all labels count as one.
    """

    class_agnostic: bool = True
    allowed_label_matches: list[tuple[str, str]] | None = None
    one_class: bool = False
    rollup_groups: list[RollupGroup] | None = None
    exclusion_rules: list[ExclusionRule] | None = None

    @property
    def rule(self) -> LabelRule:
        """The label rule of the match, on classes."""
        pairs = self.allowed_label_matches
        return LabelRule(self.class_agnostic, None if pairs is None else frozenset(pairs))


class EvaluationSource(NamedTuple):
    """A dataset whose items are evaluated, and the run of their predictions; None without predictions.

    `run_tag` is None too if the predictions belong to a model without a run. `revision` and `arrivals` are the counters
    of the dataset and of the run (see `revisions`) at the latest comparison of the content.
    """

    dataset: int
    dataset_tag: str
    run: int | None
    run_tag: str | None
    revision: int
    arrivals: int


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """An evaluation as stored."""

    id: int
    tag: str
    model: int
    model_tag: str
    model_name: str
    run: int | None
    run_tag: str | None
    run_name: str | None
    benchmark: int | None
    benchmark_tag: str | None
    name: str | None
    request: EvaluationRequest
    job: int
    job_tag: str
    job_status: str
    job_message: str
    job_done: int
    created_at: str
    parameters: Any
    exclusions: Any
    content: str | None
    stale: bool

    @property
    def public_id(self) -> str:
        """The id that users see."""
        return f"evalv2_{self.tag}"

    @property
    def status(self) -> EvaluationStatus:
        """The status, which follows from that of its job."""
        if self.job_status == "Running":
            return "computing" if self.job_done else "pending"
        return {"Completed": "succeeded", "Cancelled": "cancelled"}.get(self.job_status, "failed")  # type: ignore[return-value]

    @property
    def error(self) -> str | None:
        """The error of a failed evaluation."""
        return msgspec.json.decode(self.job_message).get("final_error") if self.status == "failed" else None

    def check_succeeded(self) -> None:
        """Raise ConflictError when there are no results."""
        if self.status != "succeeded":
            reason = f": {self.error}" if self.error else "."
            raise ConflictError(f"The evaluation '{self.public_id}' has no results, it is {self.status}{reason}")

    def entry(self, sources: Sequence[EvaluationSource], *, stale: bool) -> EvaluationEntry:
        """Return the evaluation as sent to clients."""
        datasets = [f"ds_{source.dataset_tag}" for source in sources]
        parameters = self.parameters or {}
        done = self.status == "succeeded"
        return EvaluationEntry(
            id=self.public_id,
            status=self.status,
            model_run_id=None if self.run is None else f"run_{self.run_tag}",
            dataset_id=datasets[0] if len(datasets) == 1 else None,
            model_id=f"prj_{self.model_tag}",
            name=self.name,
            created_at=self.created_at,
            error_message=self.error,
            rollup_groups=self.request.rollup_groups,
            benchmark_id=None if self.benchmark is None else f"bm_{self.benchmark_tag}",
            slice_id=None,
            exclusion_rules=self.request.exclusion_rules,
            exclusion_stats=self.exclusions,
            temporal_workflow_id=None,
            dataset_ids=datasets,
            model_run_ids=[f"run_{source.run_tag}" for source in sources if source.run_tag is not None],
            job_id=f"job_{self.job_tag}",
            engine=parameters.get("engine"),
            engine_version=parameters.get("engine_version"),
            parameters=self.parameters,
            content=self.content,
            stale=stale if done else None,
        )


def create(
    db: sqlite3.Connection,
    *,
    model: int,
    run: int | None,
    benchmark: int | None,
    name: str | None,
    request: EvaluationRequest,
    sources: Iterable[EvaluationSource],
    owner: str,
) -> StoredEvaluation:
    """Create an evaluation, to be computed by its job."""
    tag = new_tag()
    job = jobs.create(db, JOB_TYPE, None, owner)
    number = db.execute(
        "INSERT INTO evaluation (tag, model, run, benchmark, name, request, job, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (tag, model, run, benchmark, name, json_or_none(request), job.id, now()),
    ).lastrowid
    db.executemany(
        "INSERT INTO evaluation_source (evaluation, dataset, dataset_tag, run, run_tag, revision, arrivals)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(number, *source) for source in sources],
    )
    return find(db, f"evalv2_{tag}")


def _evaluation(row: tuple[Any, ...]) -> StoredEvaluation:
    values = list(row)
    values[11] = msgspec.json.decode(values[11], type=EvaluationRequest)
    for column in (18, 19):
        values[column] = values[column] and msgspec.json.decode(values[column])
    values[21] = bool(values[21])
    return StoredEvaluation(*values)


def find(db: sqlite3.Connection, public_id: str) -> StoredEvaluation:
    """Find an evaluation, or raise NotFoundError."""
    row = db.execute(f"SELECT {_COLUMNS} {_FROM} AND evaluation.tag = ?", (tag_of(public_id, "evalv2_"),)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no evaluation '{public_id}'.")
    return _evaluation(row)


def listing(
    db: sqlite3.Connection, column: Literal["model", "run", "benchmark"], number: int
) -> list[StoredEvaluation]:
    """List the evaluations of a model, of a run or on a benchmark, newest first."""
    rows = db.execute(f"SELECT {_COLUMNS} {_FROM} AND evaluation.{column} = ? ORDER BY evaluation.id DESC", (number,))
    return list(map(_evaluation, rows.fetchall()))


def sources(db: sqlite3.Connection, evaluation: StoredEvaluation) -> list[EvaluationSource]:
    """Return the sources of an evaluation, by dataset."""
    rows = db.execute(
        "SELECT dataset, dataset_tag, run, run_tag, revision, arrivals FROM evaluation_source WHERE evaluation = ?"
        " ORDER BY dataset",
        (evaluation.id,),
    )
    return list(map(EvaluationSource._make, rows.fetchall()))


def revisions(db: sqlite3.Connection, source: EvaluationSource) -> tuple[int, int]:
    """Return the counters that rise with every change of the dataset and of the run; -1 for a deleted one."""
    dataset = db.execute("SELECT revision FROM dataset WHERE id = ? AND NOT deleted", (source.dataset,)).fetchone()
    run = db.execute("SELECT arrivals FROM run WHERE id = ? AND NOT deleted", (source.run,)).fetchone()
    return -1 if dataset is None else dataset[0], 0 if source.run is None else -1 if run is None else run[0]


def note_staleness(
    db: sqlite3.Connection, evaluation: StoredEvaluation, stale: bool, sources: Iterable[EvaluationSource]
) -> None:
    """Store the result of a comparison of the content hash, with the revisions of the sources that it read."""
    db.execute("UPDATE evaluation SET stale = ? WHERE id = ?", (stale, evaluation.id))
    db.executemany(
        "UPDATE evaluation_source SET revision = ?, arrivals = ? WHERE evaluation = ? AND dataset = ?",
        [(source.revision, source.arrivals, evaluation.id, source.dataset) for source in sources],
    )


MATCH = (
    "item, number, annotation_id, prediction_id, label, predicted_label, class, predicted_class, confidence, iou,"
    " agrees, crowd, tide, missed, x, y, width, height, predicted_x, predicted_y, predicted_width, predicted_height"
)


def add_matches(db: sqlite3.Connection, evaluation: StoredEvaluation, rows: Iterable[tuple[object, ...]]) -> None:
    """Store rows of the match, in the order of `MATCH`."""
    marks = ", ".join("?" * len(MATCH.split(", ")))
    db.executemany(f"INSERT INTO evaluation_match (evaluation, {MATCH}) VALUES ({evaluation.id}, {marks})", rows)


def drop_matches(db: sqlite3.Connection, evaluation: StoredEvaluation) -> None:
    """Delete the stored rows of an evaluation that will not be finished."""
    db.execute("DELETE FROM evaluation_match WHERE evaluation = ?", (evaluation.id,))


def finish(
    db: sqlite3.Connection,
    evaluation: StoredEvaluation,
    *,
    parameters: object,
    results: object,
    exclusions: object,
    content: str,
) -> None:
    """Store the results, and finish the job."""
    db.execute(
        "UPDATE evaluation SET parameters = ?, results = ?, exclusions = ?, content = ? WHERE id = ?",
        (json_or_none(parameters), json_or_none(results), json_or_none(exclusions), content, evaluation.id),
    )
    jobs.finish(db, evaluation.job, "Completed", {"evaluation_id": evaluation.public_id})


def results(db: sqlite3.Connection, evaluation: StoredEvaluation) -> bytes:
    """Return the results of the engine, as JSON."""
    return str(db.execute("SELECT results FROM evaluation WHERE id = ?", (evaluation.id,)).fetchone()[0]).encode()


def cancel(db: sqlite3.Connection, evaluation: StoredEvaluation) -> None:
    """Cancel a running evaluation, or raise ConflictError."""
    if evaluation.status not in ("pending", "computing"):
        raise ConflictError(
            f"The evaluation '{evaluation.public_id}' is {evaluation.status}; only a running one can be cancelled."
        )
    jobs.finish(db, evaluation.job, "Cancelled", {"evaluation_id": evaluation.public_id})


def delete(db: sqlite3.Connection, evaluation: StoredEvaluation) -> None:
    """Mark an evaluation as deleted; `purge` removes its rows."""
    db.execute("UPDATE evaluation SET deleted = 1 WHERE id = ?", (evaluation.id,))


def measure(db: sqlite3.Connection, evaluation: StoredEvaluation, name: str) -> float | None:
    """Return one number of the results of the engine."""
    row = db.execute("SELECT json_extract(results, ?) FROM evaluation WHERE id = ?", (f"$.{name}", evaluation.id))
    value: float | None = row.fetchone()[0]
    return value


_PRESET = "tag, name, rollup_groups, exclusion_rules, created_at, updated_at"


def _preset(row: tuple[Any, ...]) -> PresetEntry:
    tag, name, groups, rules, created, updated = row
    return PresetEntry(
        id=f"prev_{tag}",
        name=name,
        rollup_groups=groups and msgspec.json.decode(groups, type=list[RollupGroup]),
        exclusion_rules=rules and msgspec.json.decode(rules),
        created_at=created,
        updated_at=updated,
    )


def create_preset(db: sqlite3.Connection, request: CreatePreset) -> PresetEntry:
    """Create a preset."""
    _check_preset_name(db, request.name)
    tag, moment = new_tag(), now()
    db.execute(
        "INSERT INTO preset (tag, name, rollup_groups, exclusion_rules, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            tag,
            request.name,
            json_or_none(request.rollup_groups),
            json_or_none(request.exclusion_rules),
            moment,
            moment,
        ),
    )
    return find_preset(db, f"prev_{tag}")


def _check_preset_name(db: sqlite3.Connection, name: str, own: str | None = None) -> None:
    row = db.execute("SELECT tag FROM preset WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != own:
        raise ConflictError(f"The preset 'prev_{row[0]}' is named '{name}'; choose another name.")


def find_preset(db: sqlite3.Connection, public_id: str) -> PresetEntry:
    """Find a preset, or raise NotFoundError."""
    row = db.execute(f"SELECT {_PRESET} FROM preset WHERE tag = ?", (tag_of(public_id, "prev_"),)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no preset '{public_id}'.")
    return _preset(row)


def presets(db: sqlite3.Connection) -> list[PresetEntry]:
    """List every preset, oldest first."""
    return [_preset(row) for row in db.execute(f"SELECT {_PRESET} FROM preset ORDER BY id")]


def change_preset(db: sqlite3.Connection, preset: PresetEntry, request: ChangePreset) -> PresetEntry:
    """Change the fields that the request names."""
    tag = tag_of(preset.id, "prev_")
    if request.name is not UNSET:
        _check_preset_name(db, request.name, tag)
        db.execute("UPDATE preset SET name = ? WHERE tag = ?", (request.name, tag))
    for column in ("rollup_groups", "exclusion_rules"):
        value = getattr(request, column)
        if value is not UNSET:
            db.execute(f"UPDATE preset SET {column} = ? WHERE tag = ?", (json_or_none(value), tag))
    db.execute("UPDATE preset SET updated_at = ? WHERE tag = ?", (now(), tag))
    return find_preset(db, preset.id)


def delete_preset(db: sqlite3.Connection, preset: PresetEntry) -> None:
    """Delete a preset; evaluations that were created with it keep its values."""
    db.execute("DELETE FROM preset WHERE tag = ?", (tag_of(preset.id, "prev_"),))
