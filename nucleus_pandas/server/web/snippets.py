"""Lines of Python that return what a page shows."""

from __future__ import annotations

from collections.abc import Sequence

from nucleus_pandas.evaluation.tide import BACKGROUND_IOU
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.matches import COMMIT, MISPLACED, MatchSource, OutcomeFilter
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.subsets import Subset


def text(value: str) -> str:
    """Return a string as a literal of Python, in ASCII, so that it cannot hide marks of writing direction.

    Examples
    --------
    >>> text("traffic light")
    "'traffic light'"
    """
    return ascii(value)


def _dataset(dataset: Dataset) -> str:
    return f"client.get_dataset({text(dataset.public_id)})"


def _run(run: Run) -> str:
    return f"client.get_model_run({text(run.public_id)})"


def _evaluate(run: Run, threshold: float) -> str:
    return f"{_run(run)}.evaluate(iou_threshold={threshold:g})"


def _owner(subset: Subset) -> str:
    return _dataset(subset.dataset) if subset.slice is None else f"client.get_slice({text(subset.slice.public_id)})"


def positions(subset: Subset, first: int, count: int) -> str:
    """Return the line for items by position."""
    return f"{_owner(subset)}.iloc[{first}:{first + count}]"


def query(subset: Subset, query_text: str) -> str:
    """Return the line for all items that a query selects."""
    return f"{_owner(subset)}.query({text(query_text)})"


def items(dataset: Dataset, ids: Sequence[str]) -> str:
    """Return the line for items by id."""
    return f"{_dataset(dataset)}.loc[[{', '.join(map(text, ids))}]]"


def boxes(dataset: Dataset, item: str, runs: Sequence[str]) -> list[str]:
    """Return the lines for the annotations and predictions of an item."""
    return [
        f"{_dataset(dataset)}.annotations.loc[{text(item)}]",
        *(f"client.get_model_run({text(run)}).predictions.loc[{text(item)}]" for run in runs),
    ]


def outcomes(run: Run, source: MatchSource, selected: OutcomeFilter) -> str | None:
    """Return the line for outcomes of a commit; None for those of an evaluation, which the client cannot read."""
    if source.id != COMMIT:
        return None
    if selected.unlike is not None:
        label = "" if selected.truth is None else f".loc[lambda m: m.label == {text(selected.truth)}]"
        other = _evaluate(selected.unlike.run, selected.threshold)
        return f"{_evaluate(run, selected.threshold)}.compare({other}).lost{label}"
    is_misplaced = selected.match == MISPLACED  # a pair that would be correct if a low IoU were enough
    threshold = BACKGROUND_IOU if is_misplaced else selected.threshold
    matches = f"{_run(run)}.matches(iou_threshold={threshold:g})"
    tests = []
    if is_misplaced:
        tests.append(f"(m.match_type == 'TP') & (m.iou < {selected.threshold:g})")
    elif selected.match is not None:
        tests.append(f"(m.match_type == {text(selected.match)})")
    if selected.truth is not None:
        tests.append(f"(m.label == {text(selected.truth)})")
    if selected.predicted is not None:
        tests.append(f"(m.predicted_label == {text(selected.predicted)})")
    if selected.alone and selected.truth is not None:
        # a pair of different labels has a row for each side, a missed ground truth has one
        tests.append('(m.match_type == "FN") & ~m.duplicated(["dataset_item_id", "annotation_id"], keep=False)')
    elif selected.alone:
        tests.append("m.label.isna()")
    for name, (low, high) in (("confidence", selected.confidence), ("iou", selected.iou)):
        tests += [f"(m.{name} >= {low!r})"] if low is not None else []
        tests += [f"(m.{name} <= {high!r})"] if high is not None else []
    return f"{matches}.loc[lambda m: {' & '.join(tests)}]" if tests else matches


def evaluation(run: Run, source: MatchSource, threshold: float) -> list[str]:
    """Return the lines for the metrics of a run."""
    evaluate = _evaluate(run, threshold)
    return [f"{evaluate}.per_class", f"{evaluate}.confusion_matrix"] if source.id == COMMIT else [f"{evaluate}.summary"]


def comparison(first: Run, second: Run, threshold: float) -> str:
    """Return the line for the comparison of two runs."""
    return f"{_evaluate(first, threshold)}.compare({_evaluate(second, threshold)}).per_class"


def slices(dataset: Dataset) -> str:
    """Return the line for the slices of a dataset."""
    return f"{_dataset(dataset)}.slices"
