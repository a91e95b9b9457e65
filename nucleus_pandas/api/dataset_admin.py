"""Administration of a dataset: deletions, tags, metadata updates and taxonomies."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from nucleus_pandas._util.threads import side_by_side
from nucleus_pandas._util.unicode_forms import hints_of_form
from nucleus_pandas.errors import BadRequestError, InvalidInputError, NotFoundError, ServerError
from nucleus_pandas.schema import (
    FrameLike,
    MetadataColumns,
    Problems,
    as_frame,
    check_changes,
    ids_column,
    label_of,
    to_json,
    to_strings,
)
from nucleus_pandas.transport.resource import Resource
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.jobs import Job, jobs_frame
from nucleus_pandas.wire.bulk import KEYS, DeleteItems, ItemPage, ItemsDeleted, RowSelection
from nucleus_pandas.wire.requests import DeleteAnnotations, Tags
from nucleus_pandas.wire.responses import JobEntry

ReferenceIds: TypeAlias = (
    "str | int | Sequence[str] | Sequence[int] | pd.Series[Any] | pd.Index[Any] | np.ndarray[Any, Any]"
)
"""One or several reference ids; integers become decimal strings."""

_LISTED = 10  # ids or reasons in a message
_CHANGES = 5_000  # per request to an embedded Nucleus
_HOSTED_CHANGES = 500  # the most that the hosted service accepts without a job


class DatasetAdmin(Resource):
    """The administrative methods of `Dataset`."""

    def delete_items(self, reference_ids: ReferenceIds, *, errors: Literal["raise", "ignore"] = "raise") -> int:
        """Delete items with their annotations and predictions; the others keep their order.

        Parameters
        ----------
        reference_ids : str or list-like of str
            A list, a Series or an Index, such as ``frame.loc[frame["blurred"], "reference_id"]``.
        errors : {"raise", "ignore"}
            What to do with missing ids, as in `pandas.DataFrame.drop`.

        Returns
        -------
        int
            Number of deleted items.

        Raises
        ------
        NotFoundError
            Items do not exist; the error is a KeyError that names them. An embedded Nucleus then deletes nothing, the
            hosted service deletes the others.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}"} for n in "abc"])
        ...     dataset.delete_items(["a", "c"]), dataset.items.to_frame()["reference_id"].tolist()
        (2, ['b'])
        """
        if errors not in ("raise", "ignore"):
            raise InvalidInputError(f"errors must be 'raise' or 'ignore', not {errors!r}.", argument="errors")
        names = ids_of(reference_ids)
        if "delete" in self._transport.extensions:
            return self._delete_at_once(names, strict=errors == "raise")
        not_found = side_by_side(
            lambda name: _delete_one(self._transport, self.id, name),
            names,
            max(1, min(self._transport.max_concurrency, len(names))),
            "nucleus_pandas-delete",
        )
        missing = {name: error for name, error in zip(names, not_found, strict=True) if error is not None}
        if missing and errors == "raise":
            others = " The others are deleted." if len(missing) < len(names) else ""
            raise NotFoundError(f"{self._missing_items(list(missing))}{others} {next(iter(missing.values()))}")
        return len(names) - len(missing)

    def _delete_at_once(self, names: list[str], *, strict: bool) -> int:
        if strict and (missing := self._unknown(names)):
            hints = hints_of_form(missing, lambda labels: {*labels} - {*self._unknown(labels)})
            hint = f" {next(iter(hints.values()))}" if hints else ""
            raise NotFoundError(f"{self._missing_items(missing)} Nothing was deleted.{hint}")
        route = ("_nucleus_pandas", "dataset", self.id, "delete_items")
        return sum(
            self._transport.look_up(ItemsDeleted, *route, body=DeleteItems(reference_ids=batch)).deleted
            for batch in _batches(names)
        )

    def _unknown(self, names: Sequence[str]) -> list[str]:
        """Return the reference ids that no item has, from an embedded Nucleus."""
        unknown: list[str] = []
        for batch in _batches(names):
            selection = RowSelection(reference_ids=batch, columns=["reference_id"])
            page = self._transport.look_up(ItemPage, "_nucleus_pandas", "dataset", self.id, "items", body=selection)
            unknown += [batch[position] for position in page.missing]
        return unknown

    def _missing_items(self, names: Sequence[str]) -> str:
        listed = ", ".join(map(repr, names))
        return f"There {'is no item' if len(names) == 1 else 'are no items'} {listed} in the dataset '{self.id}'."

    @property
    def jobs(self) -> pd.DataFrame:
        """The jobs of this dataset, newest first, as in `NucleusClient.jobs`.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        ...     _ = dataset.delete_annotations(["a.jpg"])
        ...     dataset.jobs[["type", "status"]]
                         type     status
        0  annotationDeletion  Completed
        """
        return jobs_frame(self._transport, self.id)

    def delete_annotations(self, reference_ids: ReferenceIds, *, wait: bool = True) -> Job:
        """Delete all ground truth of items; predictions are kept.

        Parameters
        ----------
        reference_ids : str or list-like of str
            The items, as in `delete_items`.
        wait : bool
            Whether to wait for the job.

        Returns
        -------
        Job
            The job, which has ended unless `wait` is False.

        Raises
        ------
        NotFoundError
            Items do not exist; the ground truth of the others is deleted.
        """
        names = ids_of(reference_ids)
        if not names:
            raise InvalidInputError(
                "There are no ids, so nothing was deleted. Name the items: delete_annotations(['a.jpg'])."
            )
        entry = self._transport.request(
            "DELETE", "annotation", self.id, body=DeleteAnnotations(reference_ids=names), shape=JobEntry
        )
        job = Job(self._transport, entry.job_id)
        if wait:
            status = job.ended().status
            reasons = job.errors()
            if status != "Completed":
                raise ServerError(f"The job '{job.id}' ended as {status}. {_listed(reasons)}")
            if reasons:
                raise NotFoundError(f"{_listed(reasons)} The ground truth of the other items is deleted.")
        return job

    def update_item_metadata(
        self,
        changes: Mapping[str, Mapping[str, Any]] | FrameLike,
        *,
        columns: Mapping[str, Hashable] | None = None,
        metadata: MetadataColumns = True,
    ) -> int:
        """Merge metadata into that of items; other keys keep their values.

        `append` with ``if_exists="update"`` replaces all metadata of an item instead.

        Parameters
        ----------
        changes : pandas.DataFrame, table that exports Arrow, or dict
            A frame with ``reference_id`` and metadata, as in `append`, with one row per item; missing values change
            nothing. Or the changes by reference id: ``{"a.jpg": {"weather": "rain"}}``.
        columns, metadata
            As in `append`, for frames.

        Returns
        -------
        int
            Number of changed items.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is invalid; nothing was sent.
        BadRequestError
            Items do not exist, or metadata does not match the schema of the dataset; the others are changed.

        Examples
        --------
        >>> import pandas as pd
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     item = {"reference_id": "a", "image_url": "https://example.org/a", "metadata": {"hour": 7}}
        ...     _ = dataset.append([item])
        ...     frame = pd.DataFrame({"reference_id": ["a"], "weather": ["rain"]})
        ...     dataset.update_item_metadata(frame, metadata=["weather"]), dataset.refloc["a", "metadata"]
        (1, {'hour': 7, 'weather': 'rain'})
        """
        if isinstance(changes, Mapping):
            if columns is not None or metadata is not True:
                raise InvalidInputError(
                    "columns= and metadata= apply to DataFrames only; this is a dict.", argument="columns"
                )
            values = pd.Series(list(changes.values()), dtype=object)
            changes = pd.DataFrame({"reference_id": pd.Series(list(changes), dtype=object), "metadata": values})
        rows, problems = check_changes(changes, columns, metadata)
        _raise_problems(problems)
        size = _CHANGES if "outcomes" in self._transport.extensions else _HOSTED_CHANGES
        reasons: list[str] = []
        for body in rows.bodies(size):
            answer = self._transport.request(
                "POST", "dataset", self.id, "metadata", params={"async": 0}, body=body, shape=dict[str, Any]
            )
            errors = answer.get("errors")
            reasons += map(str, errors) if isinstance(errors, list) else []
        if reasons:
            raise BadRequestError(
                f"{len(reasons)} of {len(rows)} changes were rejected; the others are applied. {_listed(reasons)}"
            )
        return len(rows)

    @property
    def tags(self) -> list[str]:
        """The tags, as the server has them now."""
        return self._transport.read(Tags, "dataset", self.id, "tags").tags

    def add_tags(self, tags: str | Sequence[str]) -> list[str]:
        """Add tags to the dataset, and return all its tags; tags that it already has are ignored.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     dataset.add_tags("night"), dataset.add_tags(["night", "rain"]), dataset.remove_tags("night")
        (['night'], ['night', 'rain'], ['rain'])
        """
        return self._change_tags("POST", tags)

    def remove_tags(self, tags: str | Sequence[str]) -> list[str]:
        """Remove tags from the dataset, and return the remaining ones."""
        return self._change_tags("DELETE", tags)

    def _change_tags(self, method: str, tags: str | Sequence[str]) -> list[str]:
        answer: Tags = self._transport.request(
            method, "dataset", self.id, "tags", body={"tags": names_of(tags)}, shape=Tags
        )
        return answer.tags

    def add_taxonomy(
        self,
        name: str,
        labels: Sequence[str],
        *,
        kind: Literal["category", "multicategory"] = "category",
        update: bool = False,
    ) -> dict[str, Any]:
        """Create or extend a taxonomy; categories with other labels are rejected from now on.

        Parameters
        ----------
        name : str
            The ``taxonomy_name`` of annotations.
        labels : sequence of str
            The labels.
        kind : {"category", "multicategory"}
            Whether an item has one label or several.
        update : bool
            If True, the labels are added to an existing taxonomy of that name; otherwise it is not changed.

        Returns
        -------
        dict
            The server's response; ``status`` describes the result.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     client.create_dataset("Doc").add_taxonomy("weather", ["rain", "sun"])["status"]
        'Taxonomy created'
        """
        body = {"taxonomy_name": name, "type": kind, "labels": names_of(labels), "update": update}
        answer: dict[str, Any] = self._transport.request(
            "POST", "dataset", self.id, "add_taxonomy", body=to_json(body, "$"), shape=dict[str, Any]
        )
        return answer

    def delete_taxonomy(self, name: str) -> dict[str, Any]:
        """Delete a taxonomy with its annotations and predictions, and return the server's response."""
        answer: dict[str, Any] = self._transport.request(
            "DELETE", "dataset", self.id, "taxonomy", name, body={}, shape=dict[str, Any]
        )
        return answer


def names_of(names: str | Sequence[str]) -> list[str]:
    """Return one or several strings as a list."""
    strings = [names] if isinstance(names, str) else list(names)
    if not all(isinstance(name, str) and name for name in strings):
        raise InvalidInputError(f"Expected a list of non-empty strings, not {names!r}.")
    return strings


def ids_of(reference_ids: ReferenceIds) -> list[str]:
    """Return unique reference ids as strings, or raise InvalidInputError."""
    if as_frame(reference_ids) is not None:
        raise InvalidInputError("This takes reference ids, not a frame: pass frame['reference_id'].")
    values: Any = [reference_ids] if isinstance(reference_ids, (str, int, np.integer)) else reference_ids
    if not isinstance(values, Iterable):
        raise InvalidInputError(f"Reference ids must be strings, not {reference_ids!r}.")
    series = ids_column(values)
    problems = Problems(series.index)
    strings = to_strings(series.rename("reference_id"), problems, required=np.ones(len(series), dtype=bool))
    _raise_problems(problems)
    return list(dict.fromkeys(strings.to_pylist()))


def _raise_problems(problems: Problems) -> None:
    reasons = problems.reasons()
    if reasons:
        lines = [f"{label_of(problems.index, row)}: {reason}" for row, reason in list(reasons.items())[:_LISTED]]
        more = f" And {len(reasons) - _LISTED} others." if len(reasons) > _LISTED else ""
        raise InvalidInputError(
            f"{len(reasons)} of {len(problems.index)} rows are invalid, and nothing was sent. {' '.join(lines)}{more}",
            problems=problems.frame(),
        )


def _batches(names: Sequence[str]) -> list[list[str]]:
    return [list(names[start : start + KEYS]) for start in range(0, len(names), KEYS)]


def _listed(reasons: Sequence[str]) -> str:
    more = [f"And {len(reasons) - _LISTED} others."] if len(reasons) > _LISTED else []
    return " ".join([*reasons[:_LISTED], *more])


def _delete_one(transport: Transport, dataset_id: str, name: str) -> str | None:
    """Delete an item; return the error if it does not exist.

    An earlier attempt that got no response may have deleted it: then this is not an error.
    """
    doubts: list[str] = []
    try:
        transport.request("DELETE", "dataset", dataset_id, "refloc", name, body={}, doubts=doubts)
    except NotFoundError as error:
        return None if doubts else str(error)
    return None
