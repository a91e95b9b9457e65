"""Routes of benchmarks and of the leaderboards over them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from flask import Blueprint, Response, request
from msgspec import UNSET

from nucleus_pandas.errors import BadRequestError, NotFoundError, UnsupportedError
from nucleus_pandas.server.evaluation import leaderboards
from nucleus_pandas.server.evaluation.compute import is_stale
from nucleus_pandas.server.evaluation.scope import check_request
from nucleus_pandas.server.routes.request import (
    body,
    check_label_matches_id,
    create_once,
    end_stale_jobs,
    nucleus,
    reply,
    reply_from,
)
from nucleus_pandas.server.store import benchmarks, datasets, items, jobs, slices
from nucleus_pandas.server.store.benchmarks import Benchmark
from nucleus_pandas.server.store.evaluations import EvaluationRequest
from nucleus_pandas.server.store.ids import ALL_ITEMS, dataset_of
from nucleus_pandas.wire.evaluations import (
    BenchmarkMembers,
    ChangeBenchmark,
    CreateBenchmark,
    CurveRequest,
    RankingRequest,
    RemoveMembers,
    RollupGroup,
)

blueprint = Blueprint("benchmarks", __name__)

_PAGE = 10_000
_CLASSES = "`rollupGroups`, `allowed_label_matches_id` and `class_agnostic` exclude each other; pass only one of them."


@blueprint.post("/benchmarks")
def create() -> Response:
    """``POST benchmarks``: create a benchmark, ready or as a draft, from items or as a version of another one."""
    payload = body(CreateBenchmark)
    has_source = _has_source(payload)
    if not (has_source or payload.draft or payload.parent_benchmark_id):
        raise BadRequestError(
            "A benchmark gets its items from `item_ids`, `items`, `slice_id`, `slice_ids`, `dataset_id`, `dataset_ids` "
            "or `parent_benchmark_id`; only a draft can start without items."
        )
    if payload.removed_item_ids is not None and payload.parent_benchmark_id is None:
        raise BadRequestError("Only inherited items can be removed: `removed_item_ids` needs `parent_benchmark_id`.")
    _check_classes(payload.rollup_groups, payload.class_agnostic, payload.allowed_label_matches_id)

    def insert(db: sqlite3.Connection) -> object:
        parent = None if payload.parent_benchmark_id is None else benchmarks.find(db, payload.parent_benchmark_id)
        groups, agnostic = payload.rollup_groups, payload.class_agnostic
        if parent is not None:
            parent.check_ready()
            if groups is None and agnostic is None:
                groups, agnostic = parent.rollup_groups, parent.class_agnostic
        benchmark = benchmarks.create(
            db, payload, parent, version=_version(payload, parent), rollup_groups=groups, class_agnostic=agnostic
        )
        if parent is not None:
            benchmarks.inherit(db, benchmark, parent)
        _add(db, benchmark, payload)
        if payload.removed_item_ids:
            benchmarks.remove_items(db, benchmark, items.existing(db, payload.removed_item_ids).values())
        if not payload.draft:
            _freeze(db, benchmark)
        elif not has_source and parent is None:
            return {"benchmark_id": benchmark.public_id, "job_id": None}
        return {"benchmark_id": benchmark.public_id, "job_id": _finished_job(db, benchmark)}

    return create_once(insert)


def _has_source(payload: BenchmarkMembers) -> bool:
    names = ("item_ids", "items", "slice_id", "slice_ids", "dataset_id", "dataset_ids", "scene_ids")
    return any(getattr(payload, name) for name in names)


def _check_classes(groups: list[RollupGroup] | None, class_agnostic: bool | None, matches_id: str | None) -> None:
    if sum(value is not None for value in (groups, class_agnostic, matches_id)) > 1:
        raise BadRequestError(_CLASSES)
    check_label_matches_id(matches_id)
    check_request(EvaluationRequest(rollup_groups=groups))


def _version(payload: CreateBenchmark, parent: Benchmark | None) -> tuple[int, int]:
    if (payload.version_major is None) != (payload.version_minor is None):
        raise BadRequestError("A version has both `version_major` and `version_minor`, or neither.")
    previous = None if parent is None else (parent.version_major, parent.version_minor)
    if payload.version_major is not None and payload.version_minor is not None:
        version = payload.version_major, payload.version_minor
        if payload.bump_type is not None and parent is not None:
            raise BadRequestError("`bump_type` and `version_major` with `version_minor` exclude each other.")
        if previous is not None and version <= previous:
            raise BadRequestError(
                f"The version {version[0]}.{version[1]} must exceed that of the parent, {previous[0]}.{previous[1]}."
            )
        return version
    if previous is None:
        return 1, 0
    return (previous[0] + 1, 0) if payload.bump_type == "major" else (previous[0], previous[1] + 1)


def _add(db: sqlite3.Connection, benchmark: Benchmark, payload: BenchmarkMembers) -> None:
    """Add the items of every source that a request names, each item once."""
    if payload.scene_ids:
        raise UnsupportedError("Scenes are not supported by this server yet; name items or datasets.")
    names = [*([payload.dataset_id] if payload.dataset_id else []), *(payload.dataset_ids or [])]
    whole_datasets = {datasets.find(db, name).id for name in names}
    by_item_id = items.existing(db, payload.item_ids or [])
    missing = [public_id for public_id in payload.item_ids or [] if public_id not in by_item_id]
    numbers = set(by_item_id.values())
    for name in [*([payload.slice_id] if payload.slice_id else []), *(payload.slice_ids or [])]:
        numbers.update(slices.items_of(db, slices.find(db, name)))
    by_dataset: dict[str, list[str]] = {}
    for item in payload.items or []:
        by_dataset.setdefault(item.dataset_id, []).append(item.ref_id)
    for name, reference_ids in by_dataset.items():
        by_reference_id = items.ids_of(db, datasets.find(db, name), reference_ids)
        missing += [f"{name}/{reference_id}" for reference_id in reference_ids if reference_id not in by_reference_id]
        numbers.update(by_reference_id.values())
    if missing:
        shown = ", ".join(f"'{name[:60]}'" for name in missing[:5])
        raise NotFoundError(f"{len(missing)} items do not exist, such as {shown}; nothing was added.")
    benchmarks.add_items(db, benchmark, (number for number in numbers if dataset_of(number) not in whole_datasets))
    for number in whole_datasets:
        benchmarks.add_dataset(db, benchmark, number)


def _freeze(db: sqlite3.Connection, benchmark: Benchmark) -> None:
    if not benchmarks.count(db, benchmark):
        raise BadRequestError(
            f"The benchmark '{benchmark.name}' would have no items: it keeps only items with ground truth."
        )
    benchmarks.change(db, benchmark, draft=False)


def _finished_job(db: sqlite3.Connection, benchmark: Benchmark) -> str:
    message = {"benchmark_id": benchmark.public_id, "item_count": benchmarks.count(db, benchmark)}
    return jobs.record(db, "benchmarkBuild", None, nucleus().owner, message).public_id


@blueprint.get("/benchmarks")
def listing() -> Response:
    """``GET benchmarks``: list the benchmarks, newest first."""
    return reply_from(lambda db: [benchmarks.entry(db, row) for row in benchmarks.listing(db)])


@blueprint.get("/benchmarks/<id:benchmark_id>")
def info(benchmark_id: str) -> Response:
    """``GET benchmarks/{id}``: describe a benchmark."""
    return reply_from(lambda db: benchmarks.entry(db, benchmarks.find(db, benchmark_id)))


@blueprint.patch("/benchmarks/<id:benchmark_id>")
def change(benchmark_id: str) -> Response:
    """``PATCH benchmarks/{id}``: change the description of a benchmark, and its classes while it is a draft."""
    payload = body(ChangeBenchmark)
    described = {name: getattr(payload, name) for name in ("name", "description", "metadata")}
    classes = (payload.rollup_groups, payload.class_agnostic, payload.allowed_label_matches_id)
    changed = [value for value in classes if value is not UNSET]
    if len(changed) > 1:
        raise BadRequestError(_CLASSES)
    with nucleus().database.write() as db:
        benchmark = benchmarks.find(db, benchmark_id)
        values = {name: value for name, value in described.items() if value is not UNSET}
        if changed:
            benchmark.check_draft()
            groups = None if payload.rollup_groups is UNSET else payload.rollup_groups
            agnostic = None if payload.class_agnostic is UNSET else payload.class_agnostic
            matches = None if payload.allowed_label_matches_id is UNSET else payload.allowed_label_matches_id
            _check_classes(groups, agnostic, matches)
            values |= {"rollup_groups": groups, "class_agnostic": agnostic}
        benchmarks.change(db, benchmark, **values)
        return reply(benchmarks.entry(db, benchmarks.find(db, benchmark_id)))


@blueprint.delete("/benchmarks/<id:benchmark_id>")
def delete(benchmark_id: str) -> Response:
    """``DELETE benchmarks/{id}``: delete a benchmark with the evaluations on it; versions of it stay."""
    with nucleus().database.write() as db:
        benchmarks.delete(db, benchmarks.find(db, benchmark_id))
    nucleus().purge()
    return reply({"message": "Benchmark deleted, with the evaluations on it.", "benchmark_id": benchmark_id})


def _integer(name: str, default: int, minimum: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and minimum <= int(text[:20]) < ALL_ITEMS[1]):
        raise BadRequestError(f"`{name}` must be an integer, at least {minimum}, not '{text[:50]}'.")
    return int(text)


@blueprint.get("/benchmarks/<id:benchmark_id>/items")
def list_items(benchmark_id: str) -> Response:
    """``GET benchmarks/{id}/items``: return a page of the items of a benchmark."""
    limit, offset = min(_integer("limit", _PAGE, 1), _PAGE), _integer("offset", 0, 0)
    with nucleus().database.read() as db:
        benchmark = benchmarks.find(db, benchmark_id)
        item_ids = benchmarks.item_ids(db, benchmark, limit, offset)
        return reply({"item_ids": item_ids, "total": benchmarks.count(db, benchmark)})


@blueprint.post("/benchmarks/<id:benchmark_id>/items")
def add_items(benchmark_id: str) -> Response:
    """``POST benchmarks/{id}/items``: add items to a draft."""
    payload = body(BenchmarkMembers)
    if not _has_source(payload):
        raise BadRequestError(
            "Name items by `item_ids`, `items`, `slice_id`, `slice_ids`, `dataset_id` or `dataset_ids`."
        )

    def insert(db: sqlite3.Connection) -> object:
        benchmark = benchmarks.find(db, benchmark_id)
        benchmark.check_draft()
        _add(db, benchmark, payload)
        return {"benchmark_id": benchmark.public_id, "job_id": _finished_job(db, benchmark)}

    return create_once(insert)


@blueprint.delete("/benchmarks/<id:benchmark_id>/items")
def remove_items(benchmark_id: str) -> Response:
    """``DELETE benchmarks/{id}/items``: remove items from a draft; unknown ones are skipped."""
    payload = body(RemoveMembers)
    with nucleus().database.write() as db:
        benchmark = benchmarks.find(db, benchmark_id)
        benchmark.check_draft()
        count = benchmarks.remove_items(db, benchmark, items.existing(db, payload.item_ids).values())
    return reply({"benchmark_id": benchmark_id, "removed_items": count})


@blueprint.post("/benchmarks/<id:benchmark_id>/finalize")
def finalize(benchmark_id: str) -> Response:
    """``POST benchmarks/{id}/finalize``: freeze a draft."""
    with nucleus().database.write() as db:
        benchmark = benchmarks.find(db, benchmark_id)
        benchmark.check_draft()
        _freeze(db, benchmark)
        return reply(benchmarks.entry(db, benchmarks.find(db, benchmark_id)))


# Leaderboards


@blueprint.post("/leaderboard/ranking")
def ranking() -> Response:
    """``POST leaderboard/ranking``: rank the evaluations on benchmarks; `scope` has no effect, since all are shared."""
    payload = body(RankingRequest)
    if payload.confidence_threshold is not None and payload.metric_type not in ("PRECISION", "RECALL", "F1"):
        raise BadRequestError(f"`{payload.metric_type}` is over all confidences; leave `confidence_threshold` out.")
    return _leaderboard(leaderboards.ranking, payload)


@blueprint.post("/leaderboard/f1Curve")
def f1_curve() -> Response:
    """``POST leaderboard/f1Curve``: return F1 over confidence of the best models on benchmarks."""
    payload = body(CurveRequest)
    return _leaderboard(leaderboards.curves, payload)


def _leaderboard(build: Callable[..., object], payload: RankingRequest | CurveRequest) -> Response:
    end_stale_jobs()
    with nucleus().database.read() as db:
        rows = leaderboards.finished(db, payload.benchmark_ids, payload.model_ids)
        stale = {row.id: is_stale(nucleus(), row) for row in rows}
        return reply(build(db, payload, rows, lambda row: stale[row.id]))
