"""Benchmarks and their items."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.server.store.datasets import datasets_of_rows, json_or_none
from nucleus_pandas.server.store.ids import batches, item_id, item_range, new_tag, now, owner_sql, tag_of
from nucleus_pandas.wire.evaluations import BenchmarkEntry, CreateBenchmark, RollupGroup

_COLUMNS = (
    "id, tag, name, description, metadata, parent, version_major, version_minor, version_label, draft, skipped,"
    " rollup_groups, class_agnostic, created_at"
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A stored benchmark."""

    id: int
    tag: str
    name: str
    description: str | None
    metadata: Any
    parent: str | None
    version_major: int
    version_minor: int
    version_label: str | None
    draft: bool
    skipped: int
    rollup_groups: list[RollupGroup] | None
    class_agnostic: bool | None
    created_at: str

    @property
    def public_id(self) -> str:
        """The public id."""
        return f"bm_{self.tag}"

    def check_draft(self) -> None:
        """Raise ConflictError unless this is a draft."""
        if not self.draft:
            raise ConflictError(
                f"The benchmark '{self.public_id}' is finalized, so its items and classes cannot change; "
                "create a new version with `parent_benchmark_id`."
            )

    def check_ready(self) -> None:
        """Raise ConflictError if this is a draft."""
        if self.draft:
            raise ConflictError(f"The benchmark '{self.public_id}' is a draft; finalize it first.")


def _benchmark(row: tuple[Any, ...]) -> Benchmark:
    values = list(row)
    values[4] = values[4] and msgspec.json.decode(values[4])
    values[9] = bool(values[9])
    values[11] = values[11] and msgspec.json.decode(values[11], type=list[RollupGroup])
    values[12] = None if values[12] is None else bool(values[12])
    return Benchmark(*values)


def create(
    db: sqlite3.Connection,
    request: CreateBenchmark,
    parent: Benchmark | None,
    *,
    version: tuple[int, int],
    rollup_groups: list[RollupGroup] | None,
    class_agnostic: bool | None,
) -> Benchmark:
    """Create a draft without items, as a request describes it except for its items."""
    tag = new_tag()
    db.execute(
        "INSERT INTO benchmark (tag, name, description, metadata, parent, version_major, version_minor, version_label,"
        " draft, rollup_groups, class_agnostic, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        (
            tag,
            request.name,
            request.description,
            json_or_none(request.metadata),
            parent and parent.tag,
            *version,
            request.version_label,
            json_or_none(rollup_groups),
            class_agnostic,
            now(),
        ),
    )
    return find(db, f"bm_{tag}")


def find(db: sqlite3.Connection, public_id: str) -> Benchmark:
    """Find a benchmark, or raise NotFoundError."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM benchmark WHERE tag = ? AND NOT deleted", (tag_of(public_id, "bm_"),)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no benchmark '{public_id}'.")
    return _benchmark(row)


def listing(db: sqlite3.Connection) -> list[Benchmark]:
    """List every benchmark, newest first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM benchmark WHERE NOT deleted ORDER BY id DESC")
    return list(map(_benchmark, rows.fetchall()))


def entry(db: sqlite3.Connection, benchmark: Benchmark) -> BenchmarkEntry:
    """Return a benchmark as sent to clients."""
    return BenchmarkEntry(
        benchmark_id=benchmark.public_id,
        name=benchmark.name,
        status="draft" if benchmark.draft else "ready",
        description=benchmark.description,
        metadata=benchmark.metadata,
        created_by_user_id=None,
        created_at=benchmark.created_at,
        item_count=count(db, benchmark),
        dataset_count=len(dataset_numbers(db, benchmark)),
        skipped_items_without_ground_truth=benchmark.skipped,
        parent_benchmark_id=None if benchmark.parent is None else f"bm_{benchmark.parent}",
        version_major=benchmark.version_major,
        version_minor=benchmark.version_minor,
        version_label=benchmark.version_label,
        allowed_label_matches_id=None,
        class_agnostic=benchmark.class_agnostic,
        rollup_groups=benchmark.rollup_groups,
    )


def change(db: sqlite3.Connection, benchmark: Benchmark, **values: object) -> None:
    """Update columns of a benchmark."""
    for column, value in values.items():
        if column in ("metadata", "rollup_groups"):
            value = json_or_none(value)
        db.execute(f"UPDATE benchmark SET {column} = ? WHERE id = ?", (value, benchmark.id))


# The items of deleted datasets are removed step by step, and must not be seen meanwhile.
_VISIBLE = f"benchmark = ? AND {owner_sql('item')} IN (SELECT id FROM dataset WHERE NOT deleted)"


def count(db: sqlite3.Connection, benchmark: Benchmark) -> int:
    """Count the items."""
    return int(db.execute(f"SELECT count(*) FROM benchmark_item WHERE {_VISIBLE}", (benchmark.id,)).fetchone()[0])


def dataset_numbers(db: sqlite3.Connection, benchmark: Benchmark) -> list[int]:
    """List the datasets of the items."""
    return datasets_of_rows(db, "benchmark_item", "benchmark", benchmark.id)


def item_ids(db: sqlite3.Connection, benchmark: Benchmark, limit: int, offset: int) -> list[str]:
    """List the ids of some items, ordered by dataset and position."""
    rows = db.execute(
        f"SELECT dataset.tag, item FROM benchmark_item JOIN dataset ON dataset.id = {owner_sql('item')}"
        " WHERE benchmark = ? AND NOT dataset.deleted ORDER BY item LIMIT ? OFFSET ?",
        (benchmark.id, limit, offset),
    )
    return [item_id(tag, number) for tag, number in rows]


_ANNOTATED = "EXISTS (SELECT 1 FROM annotation WHERE annotation.item = item.id)"


def add_items(db: sqlite3.Connection, benchmark: Benchmark, numbers: Iterable[int]) -> None:
    """Add items; those without ground truth are skipped and counted."""
    for batch, marks in batches(numbers):
        _add(db, benchmark, f"id IN ({marks})", tuple(batch))


def add_dataset(db: sqlite3.Connection, benchmark: Benchmark, dataset: int) -> None:
    """Add all items of a dataset that have ground truth."""
    _add(db, benchmark, "id >= ? AND id < ?", item_range(dataset))


def _add(db: sqlite3.Connection, benchmark: Benchmark, where: str, values: tuple[int, ...]) -> None:
    db.execute(
        f"INSERT OR IGNORE INTO benchmark_item SELECT ?, id FROM item WHERE {where} AND {_ANNOTATED}",
        (benchmark.id, *values),
    )
    db.execute(
        f"UPDATE benchmark SET skipped = skipped + (SELECT count(*) FROM item WHERE {where} AND NOT {_ANNOTATED})"
        " WHERE id = ?",
        (*values, benchmark.id),
    )


def inherit(db: sqlite3.Connection, benchmark: Benchmark, parent: Benchmark) -> None:
    """Add the items of another benchmark."""
    db.execute(
        "INSERT OR IGNORE INTO benchmark_item SELECT ?, item FROM benchmark_item WHERE benchmark = ?",
        (benchmark.id, parent.id),
    )


def remove_items(db: sqlite3.Connection, benchmark: Benchmark, numbers: Iterable[int]) -> int:
    """Remove items, and return how many were removed."""
    return sum(
        db.execute(
            f"DELETE FROM benchmark_item WHERE benchmark = ? AND item IN ({marks})", (benchmark.id, *batch)
        ).rowcount
        for batch, marks in batches(numbers)
    )


def delete(db: sqlite3.Connection, benchmark: Benchmark) -> None:
    """Mark a benchmark as deleted, with the evaluations on it; `purge` removes the rows."""
    db.execute("UPDATE benchmark SET deleted = 1 WHERE id = ?", (benchmark.id,))
