"""The scope of an evaluation: its items with their ground truth and predictions, in a temporary table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from nucleus_pandas.server.store.commits import IS_CROWD
from nucleus_pandas.server.store.evaluations import EvaluationRequest, EvaluationSource, revisions
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.sql_conditions import BoundValues, metadata
from nucleus_pandas.wire.evaluations import AreaRule, ExclusionRule, LabelsRule, MetadataRule

BoxSide: TypeAlias = Literal["groundTruth", "prediction"]

_HASHED_ROWS = 20_000  # encoded at a time; a part of the stored hashes' definition


class _BoxTable(NamedTuple):
    """A table of boxes, with the test that selects those of the scope, and the values of the test."""

    name: Literal["annotation", "prediction"]
    test: str
    values: tuple[int, ...]

    @property
    def target(self) -> BoxSide:
        return "groundTruth" if self.name == "annotation" else "prediction"

    @property
    def joined(self) -> str:
        """Scan the scope, and search the rows of each item by the key that begins with the item.

        The plus sign keeps SQLite from applying a range of items to the table, which it would search for each item.
        """
        return f"scope CROSS JOIN {self.name} ON {self.name}.item = +scope.item AND {self.test}"


class Scope:
    """The items of an evaluation, in a temporary table of the connection.

    The scope belongs to one read transaction: it holds the numbers of the items that exist in it, so that everything
    read through it is of one moment. `sources` has the revisions of that moment: as long as they stay the same, so
    does `content`.

    Parameters
    ----------
    db : sqlite3.Connection
        In a read transaction.
    sources : sequence of EvaluationSource
        Datasets and runs.
    benchmark : int, optional
        Restricts the scope to the items of a benchmark.
    """

    def __init__(self, db: sqlite3.Connection, sources: Sequence[EvaluationSource], benchmark: int | None) -> None:
        self._db = db
        db.execute("DROP TABLE IF EXISTS temp.scope")
        db.execute("CREATE TEMP TABLE scope (item INTEGER PRIMARY KEY, excluded INTEGER NOT NULL)")
        self.sources: list[EvaluationSource] = []
        for source in sources:
            revision, arrivals = revisions(db, source)
            self.sources.append(source._replace(revision=revision, arrivals=arrivals))
            if revision < 0:
                continue
            if benchmark is None:
                db.execute(
                    "INSERT INTO scope SELECT id, 0 FROM item WHERE id >= ? AND id < ?", item_range(source.dataset)
                )
            else:
                db.execute(
                    "INSERT INTO scope SELECT item, 0 FROM benchmark_item"
                    " WHERE benchmark = ? AND item >= ? AND item < ?",
                    (benchmark, *item_range(source.dataset)),
                )
        self._tables = [_BoxTable("annotation", "1", ())]
        for source in self.sources:
            if source.run is not None and source.arrivals >= 0:
                test = "prediction.run = ? AND scope.item >= ? AND scope.item < ?"
                self._tables.append(_BoxTable("prediction", test, (source.run, *item_range(source.dataset))))

    def content(self, request: EvaluationRequest) -> str:
        """Hash everything that the results depend on, to find out later whether an evaluation is stale.

        Rows are hashed by item and key, so the hash does not depend on the order of arrival. It covers all geometry
        of the scope (before exclusions), and the metadata of items only where an exclusion rule reads them: other
        changes of a dataset raise its revision, but leave the hash and thus the evaluation as they are.
        """
        digest = blake2b(digest_size=16)
        columns = "scope.item, key, label, x, y, width, height, type, geometry, confidence, metadata"
        statements: list[tuple[str, tuple[int, ...]]] = [
            (f"SELECT {columns} FROM {table.joined} ORDER BY scope.item, key", table.values) for table in self._tables
        ]
        if any(isinstance(rule, MetadataRule) for rule in request.exclusion_rules or ()):
            items = "scope CROSS JOIN item ON item.id = scope.item"
            statements.append((f"SELECT scope.item, metadata FROM {items} ORDER BY scope.item", ()))
        for statement, values in statements:
            rows = self._db.execute(statement, values)
            while chunk := rows.fetchmany(_HASHED_ROWS):
                digest.update(msgspec.json.encode(chunk))
        return digest.hexdigest()

    def size(self) -> int:
        """Count the rows of ground truth and predictions, of any type of annotation."""
        return sum(self._count(table.joined, table.values) for table in self._tables)

    def _count(self, rows: str, values: tuple[int, ...] = ()) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {rows}", values).fetchone()[0])

    def count(self) -> int:
        """Count the items."""
        return self._count("scope")

    def count_excluded(self) -> int:
        """Count the excluded items."""
        return self._count("scope WHERE excluded")

    def exclude_items(self, rules: Sequence[ExclusionRule]) -> list[int]:
        """Exclude items by rules, and return how many items each rule excluded that no rule before it had excluded."""
        counts: list[int] = []
        for rule in rules:
            before = self.count_excluded()
            for statement, values in self._item_statements(rule):
                self._db.execute(f"UPDATE scope SET excluded = 1 WHERE NOT excluded AND item IN ({statement})", values)
            counts.append(self.count_excluded() - before)
        return counts

    def _item_statements(self, rule: ExclusionRule) -> Iterator[tuple[str, dict[str, object]]]:
        if rule.scope != "item":
            return
        if isinstance(rule, MetadataRule):
            values = BoundValues()
            test = metadata(rule, "item.metadata", values, "$.exclusionRules")
            yield f"SELECT item.id FROM scope CROSS JOIN item ON item.id = scope.item WHERE {test}", values.named
            return
        for table in self._tables:
            if table.target != rule.target:
                continue
            values = BoundValues()
            joined = table.joined
            for number in table.values:
                joined = joined.replace("?", values.bind(number), 1)
            yield f"SELECT scope.item FROM {joined} WHERE {_box_test(rule, values)}", values.named

    def boxes(self, target: BoxSide) -> Iterator[sqlite3.Cursor]:
        """Read the boxes of one side on items that are not excluded, by item and then by arrival.

        Returns
        -------
        iterator of sqlite3.Cursor
            Rows of (item, key, label, x, y, width, height, confidence, is crowd).
        """
        for table in self._tables:
            if table.target == target:
                is_crowd = IS_CROWD if target == "groundTruth" else "0"
                yield self._db.execute(
                    f"SELECT scope.item, key, label, x, y, width, height, confidence, {is_crowd}"
                    f" FROM {table.joined} WHERE NOT excluded AND type = 'box' ORDER BY scope.item, arrival",
                    table.values,
                )

    def reference_ids(self) -> dict[int, str]:
        """Return the reference ids of the items that are not excluded."""
        rows = self._db.execute(
            "SELECT item.id, reference_id FROM scope CROSS JOIN item ON item.id = scope.item WHERE NOT excluded"
        )
        return dict(rows.fetchall())


def _box_test(rule: LabelsRule | AreaRule, values: BoundValues) -> str:
    if isinstance(rule, LabelsRule):
        return f"label IN {values.bind_all(rule.labels)}"
    tests = ["0"]
    if rule.min is not None:
        tests.append(f"width * height < {values.bind(rule.min)}")
    if rule.max is not None:
        tests.append(f"width * height > {values.bind(rule.max)}")
    return f"type = 'box' AND ({' OR '.join(tests)})"
