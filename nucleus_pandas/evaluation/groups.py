"""Groups of images, by a column, a Series, a function, or named lists of ids."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Bools
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.evaluation.arrays import EvaluatedImages
from nucleus_pandas.schema import NamedColumns, Problems, to_strings

By: TypeAlias = "Hashable | pd.Series[Any] | Callable[[str], Any] | Mapping[str, Sequence[str]]"
"""Groups of images: a column's name, a Series on ids, a function of an id, or names and their ids."""

_PREFIX = "metadata."
_SHOWN = 5


@dataclass(frozen=True)
class GroupingFrames:
    """The frames of an evaluation, in the order in which columns are looked up.

    Attributes
    ----------
    frames : sequence of (str, NamedColumns)
        The name of each, and the frame.
    """

    frames: Sequence[tuple[str, NamedColumns]] = ()

    def values(self, name: Hashable, images: EvaluatedImages) -> pd.Series[Any]:
        """Return a column's value for each image, indexed by its id.

        Raises
        ------
        InvalidInputError
            No frame has it, or rows of one image differ in it.
        """
        for description, named in self.frames:
            values = _column(named, name)
            if values is not None:
                return _value_per_image(values, named, images, f"The column {name!r} of the {description}")
        names = [repr(own) for _, named in self.frames for own in named.names]
        raise InvalidInputError(
            f"Column {name!r} not found; there are {', '.join(dict.fromkeys(names))}. items= takes a frame of the "
            "images and their properties."
        )


def _column(named: NamedColumns, name: Hashable) -> list[Any] | None:
    if named.holds(name):
        return named.own(name).tolist()
    if not isinstance(name, str) or not name.startswith(_PREFIX) or not named.has("metadata"):
        return None
    key = name.removeprefix(_PREFIX)
    metadata = [metadata_object(value) for value in named.need("metadata").tolist()]
    return [each.get(key) for each in metadata] if any(key in each for each in metadata) else None


def metadata_object(value: object) -> Mapping[str, Any]:
    """Return metadata, a mapping or JSON, as a mapping; what is neither has no keys."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode("utf-8", "replace"))
        except msgspec.DecodeError:
            return {}  # rejected where metadata is sent; ignored here
    return value if isinstance(value, Mapping) else {}


def _value_per_image(
    values: list[Any], named: NamedColumns, images: EvaluatedImages, description: str
) -> pd.Series[Any]:
    """Return the one value that the rows of each image share."""
    keys = to_strings(named.need(images.key), Problems(named.index)).to_pylist()
    rows = pd.DataFrame({"key": keys, "code": _factorized(values, description)[0]})
    shared = rows.groupby("key")["code"]
    differing = shared.nunique()
    if (differing > 1).any():
        key = differing.index[differing > 1][0]
        raise InvalidInputError(
            f"{description} differs within {int((differing > 1).sum())} images, such as {key!r}: it does not "
            "group images."
        )
    value_of = dict(zip(reversed(keys), reversed(values), strict=True))  # the value of an image's first row
    return pd.Series(list(map(value_of.get, images.ids)), images.ids, object)


def _factorized(values: list[Any], description: str) -> tuple[Any, Any]:
    """Return the numbers of values, -1 where one is missing, and the distinct values."""
    try:
        return pd.factorize(np.fromiter(values, dtype=object, count=len(values)))
    except TypeError:
        raise InvalidInputError(f"{description} holds lists or dicts, which cannot group images.") from None


def groups_of(by: By, sources: GroupingFrames, images: EvaluatedImages) -> tuple[pd.Index[Any], list[Bools]]:
    """Return the names of the groups, sorted where they can be, and which images are in each.

    Parameters
    ----------
    by : column name, pandas.Series, callable or dict
        As in `Evaluation.by`.
    sources : GroupingFrames
        Where columns are looked up.
    images : EvaluatedImages
        What is grouped.

    Raises
    ------
    InvalidInputError
        There is no such column, it differs within an image, or an id is unknown.
    """
    if isinstance(by, Mapping):
        return pd.Index(list(by), name="group"), [_members(name, ids, images) for name, ids in by.items()]
    if isinstance(by, pd.Series):
        values, name = _aligned(by, images), by.name
    elif callable(by):
        values, name = pd.Series([by(key) for key in images.ids], dtype=object), "group"
    else:
        values, name = sources.values(by, images), by
    codes, objects = _factorized(values.tolist(), "What is grouped by")
    distinct = pd.Series(objects, dtype=object).infer_objects()
    if isinstance(values.dtype, pd.CategoricalDtype):
        distinct = distinct.astype(values.dtype)
    try:
        order = np.argsort(distinct.to_numpy(), kind="stable") if distinct.dtype == object else distinct.argsort()
    except TypeError:  # of different kinds: in the order in which they occur
        order = np.arange(len(distinct))
    order = np.asarray(order)
    index = pd.Index(distinct.iloc[order])
    members = [codes == code for code in order.tolist()]
    if (codes < 0).any():
        index = index.append(pd.Index([np.nan if index.dtype != object else None], dtype=object))
        members.append(codes < 0)
    return index.rename(name), members


def _members(name: str, ids: Sequence[str], images: EvaluatedImages) -> Bools:
    if isinstance(ids, str):
        raise InvalidInputError(f"The group {name!r} is a list of ids of images, not the string {ids!r}.")
    members = set(_ids(pd.Series(list(ids), dtype=object, name=str(name))))
    unknown = sorted(members - set(images.ids))
    if unknown:
        raise InvalidInputError(f"The group {name!r} holds {_listed(unknown)} that were not evaluated.")
    return np.fromiter((key in members for key in images.ids), np.bool_, len(images))


def _aligned(series: pd.Series[Any], images: EvaluatedImages) -> pd.Series[Any]:
    """Return a Series' value for each image, found by either of its ids."""
    index = pd.Index(_ids(series.index.to_series().reset_index(drop=True)))
    if not index.is_unique:
        raise InvalidInputError("The index of the Series to group by holds ids more than once.")
    if not len(images):
        return series.iloc[:0]
    other_ids = (images.reference_ids, images.dataset_item_ids)
    for ids in (images.ids, *(np.array(ids.to_pylist(), dtype=object) for ids in other_ids)):
        at = index.get_indexer(pd.Index(ids))
        if (at >= 0).any():
            missing = [str(key) for key in ids[at < 0]]
            if missing:
                raise InvalidInputError(f"The Series to group by lacks {_listed(missing)} that were evaluated.")
            return series.iloc[at]
    shown = ", ".join(map(repr, index[:3]))
    raise InvalidInputError(
        f"The index of the Series to group by names none of the {len(images)} images that were evaluated, such as "
        f"{', '.join(map(repr, images.ids[:3]))}; it holds {shown or 'nothing'}."
    )


def _ids(series: pd.Series[Any]) -> list[str]:
    problems = Problems(series.index)
    ids: list[str] = to_strings(series, problems, required=np.ones(len(series), dtype=np.bool_)).to_pylist()
    if problems.bad.any():
        raise InvalidInputError(f"An id of images {next(iter(problems.reasons().values()))}")
    return ids


def _listed(ids: Sequence[str]) -> str:
    return f"{len(ids)} images, {', '.join(map(repr, ids[:_SHOWN]))}{', …' if len(ids) > _SHOWN else ''},"
