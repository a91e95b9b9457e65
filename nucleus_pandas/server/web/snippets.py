"""Lines of Python that give what a page shows."""

from __future__ import annotations

from collections.abc import Sequence

from nucleus_pandas.evaluation.tide import BACKGROUND_IOU
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.matches import COMMIT, MISPLACED, MatchSource, OutcomeFilter
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.slices import Slice


def text(value: str) -> str:
    """Write a text as Python does, in ASCII, so that no mark of writing direction hides in it.

    Examples
    --------
    >>> text("traffic light")
    "'traffic light'"
    """
    return ascii(value)


def _owner(dataset: Dataset, one: Slice | None) -> str:
    if one is not None:
        return f"client.get_slice({text(one.public_id)})"
    return f"client.get_dataset({text(dataset.public_id)})"


def places(dataset: Dataset, one: Slice | None, first: int, count: int) -> str:
    """Return items by their places."""
    return f"{_owner(dataset, one)}.iloc[{first}:{first + count}]"


def query(dataset: Dataset, one: Slice | None, asked: str) -> str:
    """Return all items that a query finds."""
    return f"{_owner(dataset, one)}.query({text(asked)})"


def items(dataset: Dataset, ids: Sequence[str]) -> str:
    """Return items by their ids."""
    return f"client.get_dataset({text(dataset.public_id)}).loc[[{', '.join(map(text, ids))}]]"


def boxes(dataset: Dataset, item: str, runs: Sequence[str]) -> list[str]:
    """Return the boxes of an item."""
    return [
        f"client.get_dataset({text(dataset.public_id)}).annotations.loc[{text(item)}]",
        *(f"client.get_model_run({text(run)}).predictions.loc[{text(item)}]" for run in runs),
    ]


def outcomes_line(run: Run, source: MatchSource, wanted: OutcomeFilter) -> str | None:
    """Return the outcomes of a commit; None for those of an evaluation, which the client does not read."""
    if source.id != COMMIT:
        return None
    if wanted.unlike is not None:
        these, others = (
            f"client.get_model_run({text(one.public_id)}).evaluate(iou_threshold={wanted.threshold:g})"
            for one in (run, wanted.unlike.run)
        )
        label = "" if wanted.truth is None else f".loc[lambda m: m.label == {text(wanted.truth)}]"
        return f"{these}.compare({others}).lost{label}"
    is_misplaced = wanted.match == MISPLACED  # a pair that would be right, were little IoU enough
    threshold = BACKGROUND_IOU if is_misplaced else wanted.threshold
    found = f"client.get_model_run({text(run.public_id)}).matches(iou_threshold={threshold:g})"
    tests = []
    if is_misplaced:
        tests.append(f"(m.match_type == 'TP') & (m.iou < {wanted.threshold:g})")
    elif wanted.match is not None:
        tests.append(f"(m.match_type == {text(wanted.match)})")
    if wanted.truth is not None:
        tests.append(f"(m.label == {text(wanted.truth)})")
    if wanted.predicted is not None:
        tests.append(f"(m.predicted_label == {text(wanted.predicted)})")
    if wanted.alone and wanted.truth is not None:
        # a pair of different labels has a row for either side, one that was missed has one
        tests.append('(m.match_type == "FN") & ~m.duplicated(["dataset_item_id", "annotation_id"], keep=False)')
    elif wanted.alone:
        tests.append("m.label.isna()")
    for name, bounds in (("confidence", wanted.confidence), ("iou", wanted.iou)):
        low, high = bounds
        tests += [f"(m.{name} >= {low!r})"] if low is not None else []
        tests += [f"(m.{name} <= {high!r})"] if high is not None else []
    return f"{found}.loc[lambda m: {' & '.join(tests)}]" if tests else found


def compare_line(first: Run, second: Run, threshold: float) -> str:
    """Compare two runs."""
    one, other = (
        f"client.get_model_run({text(run.public_id)}).evaluate(iou_threshold={threshold:g})" for run in (first, second)
    )
    return f"{one}.compare({other}).per_class"


def slices(dataset: Dataset) -> str:
    """Return the slices of a dataset."""
    return f"client.get_dataset({text(dataset.public_id)}).slices"
