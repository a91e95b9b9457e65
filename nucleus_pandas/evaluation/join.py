"""Frames meet by the ids of their images, or are refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools, Indices
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import EvaluatedImages
from nucleus_pandas.schema import warn
from nucleus_pandas.wire.column_json import TEXT, Texts

KEYS = ("reference_id", "dataset_item_id")
_SHOWN = 3  # ids in a sentence


@dataclass(frozen=True, eq=False)
class Mentions:
    """The images that the rows of a frame name.

    Attributes
    ----------
    keys : dict of str to Texts
        By the kind of id, one row each; null where a row has only the other one.
    rows : numpy.ndarray of intp
        The rows that have a box.
    """

    keys: dict[str, Texts]
    rows: Indices


def coded(columns: list[Texts]) -> tuple[list[str], list[Indices]]:
    """Return the distinct texts of several columns in the order of their first appearance, and their numbers.

    Examples
    --------
    >>> names, numbers = coded([pa.array(["b", "a"], TEXT), pa.array(["a", "c"], TEXT)])
    >>> names, [column.tolist() for column in numbers]
    (['b', 'a', 'c'], [[0, 1], [1, 2]])
    """
    found = pa.concat_arrays([pa.array([], TEXT), *columns]).dictionary_encode()
    codes = found.indices.to_numpy().astype(np.intp)
    return found.dictionary.to_pylist(), np.split(codes, np.cumsum([len(column) for column in columns])[:-1])


def meet(
    key: str, ground_truth: Mentions, predictions: Mentions, items: dict[str, Texts] | None
) -> tuple[EvaluatedImages, list[Indices], list[str]]:
    """Find the images of frames that name them by the same kind of id.

    Parameters
    ----------
    key : {"reference_id", "dataset_item_id"}
        That kind; no row lacks it.
    ground_truth, predictions : Mentions
        The images of the two sides.
    items : dict of str to Texts, optional
        All images there are, by the kind of id.

    Returns
    -------
    (EvaluatedImages, list of numpy.ndarray of intp, list of str)
        The images; the number of the image of each box of the ground truth, and of each of the predictions; and
        what is to be noted.

    Raises
    ------
    InvalidInputError
        No image of the predictions is one of the ground truth, or the items do not hold one.

    Warns
    -----
    NucleusWarning
        Some images of the predictions are none of the ground truth.
    """
    sources = [
        predictions.keys,
        ground_truth.keys,
        {} if items is None else items,
    ]  # the last that tells an id is believed
    ids, codes = coded([source.get(key, pa.array([], TEXT)) for source in reversed(sources)])
    of_items, of_truth, of_predictions = codes
    notes = []
    if items is None:
        notes = _check_meeting(ids, of_truth, of_predictions)
    else:
        for name, numbers in (("ground truth", of_truth), ("predictions", of_predictions)):
            _check_known(name, numbers, ids, int(of_items.max(initial=-1)) + 1)
    told = {kind: _told(kind, len(ids), sources, [of_predictions, of_truth, of_items]) for kind in KEYS}
    images = EvaluatedImages(key, np.array(ids, dtype=object), told["reference_id"], told["dataset_item_id"])
    return images, [of_truth[ground_truth.rows], of_predictions[predictions.rows]], notes


def _told(kind: str, count: int, sources: list[dict[str, Texts]], numbers: list[Indices]) -> Texts:
    """Return a kind of id of each image; null where no row tells it."""
    columns = [pa.array([], TEXT)]
    row = np.full(count, -1, dtype=np.intp)
    start = 0
    for source, codes in zip(sources, numbers, strict=True):
        if kind in source:
            there: Bools = source[kind].is_valid().to_numpy(zero_copy_only=False)
            row[codes[there][::-1]] = (start + np.flatnonzero(there))[::-1]
            columns.append(source[kind])
            start += len(source[kind])
    return pa.concat_arrays(columns).take(pa.array(row, mask=row < 0))


def _check_known(name: str, numbers: Indices, ids: list[str], known: int) -> None:
    beyond = numbers >= known
    if beyond.any():
        strange = np.unique(numbers[beyond])
        raise InvalidInputError(
            f"{np.count_nonzero(beyond)} of {len(numbers)} rows of the {name} lie on {len(strange)} images that "
            f"items does not hold, such as {_examples(ids, strange)}; items holds {_examples(ids, np.arange(known))}. "
            "Are these the same ids?"
        )


def _check_meeting(ids: list[str], ground_truth: Indices, predictions: Indices) -> list[str]:
    """Refuse sides of which no ids meet: their average precision would be a silent 0."""
    of_truth, of_predictions = np.unique(ground_truth), np.unique(predictions)
    strange = np.setdiff1d(of_predictions, of_truth, assume_unique=True)
    if not len(of_truth) or not len(strange):
        return []
    if len(strange) == len(of_predictions):
        raise InvalidInputError(
            f"None of the {len(of_predictions)} images of the predictions is one of the {len(of_truth)} of the "
            f"ground truth. Predictions lie on {_examples(ids, of_predictions)}; ground truth on "
            f"{_examples(ids, of_truth)}. Make the ids equal; where the images really have no ground truth, items= "
            "names all that are evaluated."
        )
    text = (
        f"{np.count_nonzero(np.isin(predictions, strange))} of {len(predictions)} predictions lie on {len(strange)} "
        f"images that the ground truth does not name, such as {_examples(ids, strange)}; the ground truth names "
        f"{_examples(ids, of_truth)}. They count as false positives on images without ground truth; items= names "
        "all images that are evaluated."
    )
    warn(text)
    return [text]


def _examples(ids: list[str], numbers: Indices) -> str:
    shown = ", ".join(repr(ids[number]) for number in numbers[:_SHOWN].tolist())
    return shown + (", …" if len(numbers) > _SHOWN else "") or "nothing"
