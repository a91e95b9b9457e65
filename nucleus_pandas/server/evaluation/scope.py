"""What an evaluation looks at: items, their ground truth and predictions, less what its exclusion rules leave out.

Everything here is read in one read transaction, which ends with the items of the scope forgotten again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.evaluation.arrays import Rows
from nucleus_pandas.server.store.evaluations import Request, Source, revisions
from nucleus_pandas.server.store.ids import item_range
from nucleus_pandas.server.store.sql_conditions import Values, metadata
from nucleus_pandas.wire.evaluations import AreaRule, ExclusionRule, LabelsRule, MetadataRule

_SOME = 20_000  # rows at a time
_CROWD = (
    "CASE WHEN metadata IS NULL THEN 0 ELSE coalesce(json_extract(metadata, '$.iscrowd'), 0) NOT IN (0, '', '0') END"
)


@dataclass(slots=True)
class Sized:
    """How many rows a side has, and how many of them were left out."""

    total: int = 0
    excluded: int = 0


def check_request(request: Request) -> None:
    """Raise BadRequestError where rollup groups overlap, or an exclusion rule can exclude nothing."""
    seen: set[str] = set()
    names: set[str] = set()
    for number, group in enumerate(request.rollup_groups or ()):
        if group.class_name in names:
            raise BadRequestError(f"Two groups are named '{group.class_name}' - at `$.rollupGroups[{number}]`.")
        if twice := seen.intersection(group.labels):
            raise BadRequestError(
                f"A label belongs to one group at most; '{min(twice)}' is in two - at `$.rollupGroups[{number}]`."
            )
        names.add(group.class_name)
        seen.update(group.labels)
    for number, rule in enumerate(request.exclusion_rules or ()):
        place = f"$.exclusionRules[{number}]"
        if isinstance(rule, MetadataRule):
            metadata(rule, "NULL", Values(), place)
        elif isinstance(rule, AreaRule):
            if rule.min is None and rule.max is None:
                raise BadRequestError(f"A rule on areas needs `min` or `max` - at `{place}`.")
            if rule.min is not None and rule.max is not None and rule.min > rule.max:
                raise BadRequestError(f"`min` is above `max`, so every box would be left out - at `{place}`.")


def _joined(table: str, where: str) -> str:
    """Walk the scope, and find each item's rows in a table by the key that begins with the item.

    The plus sign keeps SQLite from carrying a range of items over to the table, which it would search for each item.
    """
    return f"scope CROSS JOIN {table} ON {table}.item = +scope.item AND {where}"


class Scope:
    """The items that an evaluation looks at, in a table of the connection's own.

    Parameters
    ----------
    db : sqlite3.Connection
        In a read transaction.
    sources : sequence of Source
        Datasets and runs.
    benchmark : int, optional
        The benchmark whose items alone belong to the scope.
    """

    def __init__(self, db: sqlite3.Connection, sources: Sequence[Source], benchmark: int | None) -> None:
        self._db = db
        db.execute("DROP TABLE IF EXISTS temp.scope")
        db.execute("CREATE TEMP TABLE scope (item INTEGER PRIMARY KEY, excluded INTEGER NOT NULL)")
        seen = [
            source._replace(revision=now[0], arrivals=now[1]) for source in sources for now in [revisions(db, source)]
        ]
        self.sources: list[Source] = seen  # as they are at this moment
        for source in seen:
            if source.revision < 0:
                continue
            first, end = item_range(source.dataset)
            if benchmark is None:
                db.execute("INSERT INTO scope SELECT id, 0 FROM item WHERE id >= ? AND id < ?", (first, end))
            else:
                db.execute(
                    "INSERT INTO scope SELECT item, 0 FROM benchmark_item"
                    " WHERE benchmark = ? AND item >= ? AND item < ?",
                    (benchmark, first, end),
                )

    def content(self, request: Request) -> str:
        """Hash everything that could change the results, in an order that does not depend on that of arrival."""
        digest = blake2b(digest_size=16)
        columns = "scope.item, key, label, x, y, width, height, type, geometry, confidence, metadata"
        for table, where, values in self._tables():
            rows = self._db.execute(
                f"SELECT {columns} FROM {_joined(table, where)} ORDER BY scope.item, key",
                values,
            )
            while some := rows.fetchmany(_SOME):
                digest.update(msgspec.json.encode(some))
        if any(isinstance(rule, MetadataRule) for rule in request.exclusion_rules or ()):
            rows = self._db.execute(
                "SELECT scope.item, metadata FROM scope CROSS JOIN item ON item.id = scope.item ORDER BY scope.item"
            )
            while some := rows.fetchmany(_SOME):
                digest.update(msgspec.json.encode(some))
        return digest.hexdigest()

    def _tables(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Return the tables to read: first all ground truth, then the predictions of each source."""
        found: list[tuple[str, str, tuple[int, ...]]] = [("annotation", "1", ())]
        for source in self.sources:
            if source.run is not None and source.arrivals >= 0:
                where = "prediction.run = ? AND scope.item >= ? AND scope.item < ?"
                found.append(("prediction", where, (source.run, *item_range(source.dataset))))
        return found

    def size(self) -> int:
        """Count the ground truth and the predictions, about."""
        return sum(
            self._db.execute(f"SELECT count(*) FROM {_joined(table, where)}", values).fetchone()[0]
            for table, where, values in self._tables()
        )

    def exclude_items(self, rules: Sequence[ExclusionRule]) -> list[int]:
        """Leave out the items that rules leave out, and count them for each rule."""
        counts: list[int] = []
        for rule in rules:
            before = self._excluded()
            for statement, values in self._item_statements(rule):
                self._db.execute(f"UPDATE scope SET excluded = 1 WHERE NOT excluded AND item IN ({statement})", values)
            counts.append(self._excluded() - before)
        return counts

    def _excluded(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM scope WHERE excluded").fetchone()[0])

    def _item_statements(self, rule: ExclusionRule) -> list[tuple[str, dict[str, object]]]:
        if rule.scope != "item":
            return []
        values = Values()
        if isinstance(rule, MetadataRule):
            test = metadata(rule, "item.metadata", values, "$.exclusionRules")
            statement = f"SELECT item.id FROM scope CROSS JOIN item ON item.id = scope.item WHERE {test}"
            return [(statement, values.named)]
        found = []
        for table, where, bound in self._tables():
            if (table == "annotation") != (rule.target == "groundTruth"):
                continue
            values = Values()
            for number in bound:
                where = where.replace("?", values.bind(number), 1)
            if isinstance(rule, LabelsRule):
                test = f"label IN {values.bind_all(rule.labels)}"
            else:
                tests = ["0"]
                if rule.min is not None:
                    tests.append(f"width * height < {values.bind(rule.min)}")
                if rule.max is not None:
                    tests.append(f"width * height > {values.bind(rule.max)}")
                test = f"type = 'box' AND ({' OR '.join(tests)})"
            statement = f"SELECT scope.item FROM {_joined(table, where)} WHERE {test}"
            found.append((statement, values.named))
        return found

    def counts(self) -> Sized:
        """Count the items."""
        total = self._db.execute("SELECT count(*) FROM scope").fetchone()[0]
        return Sized(total, self._excluded())

    def rows(self, target: str) -> Rows:
        """Read the boxes of one side, ``groundTruth`` or ``prediction``, on items that are not left out."""
        keep = Rows.collector(with_confidence=target == "prediction")
        for table, where, values in self._tables():
            if (table == "annotation") != (target == "groundTruth"):
                continue
            crowd = _CROWD if table == "annotation" else "0"
            rows = self._db.execute(
                f"SELECT scope.item, key, label, x, y, width, height, confidence, {crowd}"
                f" FROM {_joined(table, where)} WHERE NOT excluded AND type = 'box'"
                " ORDER BY scope.item, arrival",
                values,
            )
            while some := rows.fetchmany(_SOME):
                keep.add(some)
        return keep.rows()

    def reference_ids(self) -> dict[int, str]:
        """Return the reference ids of the items that are not left out."""
        rows = self._db.execute(
            "SELECT item.id, reference_id FROM scope CROSS JOIN item ON item.id = scope.item WHERE NOT excluded"
        )
        return dict(rows.fetchall())


def kept(rows: Rows, rules: Sequence[ExclusionRule], target: str) -> tuple[Rows, list[int]]:
    """Leave out the annotations that rules leave out, and count them for each rule."""
    left = np.ones(len(rows.item), dtype=np.bool_)
    counts: list[int] = []
    for rule in rules:
        out: npt.NDArray[np.bool_] = np.zeros(len(rows.item), dtype=np.bool_)
        if not isinstance(rule, MetadataRule) and rule.scope == "annotation" and rule.target == target:
            if isinstance(rule, LabelsRule):
                out = rows.has_label(rule.labels)
            else:
                area = rows.box[:, 2] * rows.box[:, 3]
                out = (area < (-np.inf if rule.min is None else rule.min)) | (
                    area > (np.inf if rule.max is None else rule.max)
                )
        counts.append(int(np.count_nonzero(left & out)))
        left &= ~out
    return rows.take(left), counts


def statistics(
    items: Sized, rules: Sequence[ExclusionRule], item_counts: Sequence[int], annotation_counts: dict[str, list[int]]
) -> dict[str, Any] | None:
    """Return how much was left out: of each rule what no rule before it had left out."""
    if not rules:
        return None
    described = []
    for number, rule in enumerate(rules):
        count = item_counts[number] + sum(counts[number] for counts in annotation_counts.values())
        described.append({**msgspec.to_builtins(rule), "excluded": count})
    return {
        "items": items.total,
        "excluded_items": items.excluded,
        "excluded_ground_truth": sum(annotation_counts["groundTruth"]),
        "excluded_predictions": sum(annotation_counts["prediction"]),
        "rules": described,
    }
