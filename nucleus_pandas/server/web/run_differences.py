"""What one run finds and another does not."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from nucleus_pandas.server.evaluation.metrics import THRESHOLDS
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.web import run_metrics
from nucleus_pandas.server.web.match_source import Source
from nucleus_pandas.server.web.result_cache import Memory, Question


class Alone(NamedTuple):
    """How many ground truths of a label only the first, and only the second run finds."""

    label: str
    first: int
    second: int


def question(db: sqlite3.Connection, first: Source, second: Source, threshold: int) -> Question[list[Alone]]:
    """Say what the differences depend on."""
    asked = [run_metrics.question(db, source) for source in (first, second)]
    subject = "__".join(one.subject for one in asked)
    content = [[one.content for one in asked], threshold]
    return Question(f"{subject}__{threshold}", content, list[Alone], all(one.small for one in asked))


def found_alone(
    nucleus: EmbeddedNucleus, memory: Memory, first: Source, second: Source, asked: Question[list[Alone]]
) -> list[Alone]:
    """Count what only one of two runs finds, or raise Pending."""
    threshold = asked.content[1]  # type: ignore[index]
    return memory.answer(asked, lambda: _compute(nucleus, first, second, THRESHOLDS[threshold]))


def _compute(nucleus: EmbeddedNucleus, first: Source, second: Source, threshold: float) -> list[Alone]:
    right = "coalesce({0}.iou >= :threshold AND {0}.agrees, 0)"
    with nucleus.database.read() as db:
        rows = db.execute(
            f"SELECT one.{first.truth}, sum({right.format('one')} > {right.format('two')}),"
            f" sum({right.format('one')} < {right.format('two')}) FROM {first.table} AS one CROSS JOIN {second.table}"
            f" AS two ON two.{second.owner} = :second AND two.item = one.item AND two.annotation_id = one.annotation_id"
            f" WHERE one.{first.owner} = :first AND one.annotation_id IS NOT NULL GROUP BY 1",
            {"first": first.owner_id, "second": second.owner_id, "threshold": threshold},
        ).fetchall()
    return list(map(Alone._make, rows))
