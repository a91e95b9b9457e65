"""What is done to a dataset besides adding to it: deleting, tagging, merging metadata, naming the labels there are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from nucleus_pandas._util.threads import side_by_side
from nucleus_pandas.errors import BadRequestError, InvalidInputError, NotFoundError, ServerError
from nucleus_pandas.schema import MetadataColumns, Problems, check_changes, label_of, to_json, to_strings
from nucleus_pandas.transport.resource import Resource
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.jobs import Job, jobs_frame
from nucleus_pandas.wire.bulk import KEYS, DeleteItems, ItemPage, ItemsDeleted, RowSelection
from nucleus_pandas.wire.requests import DeleteAnnotations, Tags
from nucleus_pandas.wire.responses import JobEntry

Ids: TypeAlias = "str | int | Sequence[str] | Sequence[int] | pd.Series[Any] | pd.Index[Any] | np.ndarray[Any, Any]"
"""One reference id, or many; integers become decimal strings."""

_SHOWN = 10  # ids or reasons that a sentence lists
_CHANGES = 5_000  # a request to an embedded Nucleus
_HOSTED_CHANGES = 500  # that the hosted service takes without a job


class DatasetAdmin(Resource):
    """What a dataset has for this, by inheritance."""

    def delete_items(self, reference_ids: Ids, *, errors: Literal["raise", "ignore"] = "raise") -> int:
        """Delete items with their annotations and predictions; the others keep their order.

        Parameters
        ----------
        reference_ids : str or list-like of str
            A list, a Series, an Index, such as ``frame.loc[frame["blurred"], "reference_id"]``.
        errors : {"raise", "ignore"}
            What becomes of ids that are not there, as in `pandas.DataFrame.drop`.

        Returns
        -------
        int
            How many were deleted.

        Raises
        ------
        NotFoundError
            Items are not there; a KeyError, which names them. An embedded Nucleus has deleted nothing then, the hosted
            service the others.

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
            raise InvalidInputError(f"errors is 'raise' or 'ignore', not {errors!r}.", argument="errors")
        names = ids_of(reference_ids)
        if "delete" in self._transport.extensions:
            return self._delete_at_once(names, strict=errors == "raise")
        refusals = side_by_side(
            lambda name: _delete_one(self._transport, self.id, name),
            names,
            max(1, min(self._transport.max_concurrency, len(names))),
            "nucleus_pandas-delete",
        )
        missing = {name: text for name, text in zip(names, refusals, strict=True) if text is not None}
        if missing and errors == "raise":
            others = " The others are deleted." if len(missing) < len(names) else ""
            raise NotFoundError(f"{self._no_items(list(missing))}{others} {next(iter(missing.values()))}")
        return len(names) - len(missing)

    def _delete_at_once(self, names: list[str], *, strict: bool) -> int:
        parts = [names[start : start + KEYS] for start in range(0, len(names), KEYS)]
        if strict:
            missing: list[str] = []
            for part in parts:
                selection = RowSelection(reference_ids=part, columns=["reference_id"])
                page = self._transport.look_up(ItemPage, "_nucleus_pandas", "dataset", self.id, "items", body=selection)
                missing += [part[place] for place in page.missing]
            if missing:
                raise NotFoundError(f"{self._no_items(missing)} Nothing was deleted.")
        route = ("_nucleus_pandas", "dataset", self.id, "delete_items")
        return sum(
            self._transport.look_up(ItemsDeleted, *route, body=DeleteItems(reference_ids=part)).deleted
            for part in parts
        )

    def _no_items(self, names: Sequence[str]) -> str:
        listed = ", ".join(map(repr, names))
        return f"There {'is no item' if len(names) == 1 else 'are no items'} {listed} in the dataset '{self.id}'."

    @property
    def jobs(self) -> pd.DataFrame:
        """The jobs of this dataset, newest first, as `NucleusClient.jobs` gives those of all.

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

    def delete_annotations(self, reference_ids: Ids, *, wait: bool = True) -> Job:
        """Delete the ground truth of items, all of it; predictions stay.

        Parameters
        ----------
        reference_ids : str or list-like of str
            The items, as `delete_items` takes them.
        wait : bool
            Whether to wait for the job that does it.

        Returns
        -------
        Job
            The job, which has ended unless `wait` is False.

        Raises
        ------
        NotFoundError
            Items are not there; the ground truth of the others is deleted.
        """
        names = ids_of(reference_ids)
        if not names:
            raise InvalidInputError(
                "There is no id, so nothing was deleted; name the items: delete_annotations(['a.jpg'])."
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
        changes: Mapping[str, Mapping[str, Any]] | pd.DataFrame,
        *,
        columns: Mapping[str, Hashable] | None = None,
        metadata: MetadataColumns = True,
    ) -> int:
        """Merge metadata into that of items: keys that are not named keep their values.

        `append` with ``if_exists="update"`` replaces all metadata of an item instead.

        Parameters
        ----------
        changes : pandas.DataFrame or dict
            A frame with ``reference_id`` and metadata, as `append` takes it, one row an item; a missing value changes
            nothing. Or reference ids with what is merged: ``{"a.jpg": {"weather": "rain"}}``.
        columns, metadata
            As in `append`, for frames.

        Returns
        -------
        int
            How many items were changed.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is wrong; nothing was sent.
        BadRequestError
            Items are not there, or metadata breaks the schema of the dataset; the others are changed.

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
                    "columns= and metadata= are for DataFrames; this is a dict.", argument="columns"
                )
            values = pd.Series(list(changes.values()), dtype=object)
            changes = pd.DataFrame({"reference_id": pd.Series(list(changes), dtype=object), "metadata": values})
        rows, problems = check_changes(changes, columns, metadata)
        _refuse(problems)
        size = _CHANGES if "outcomes" in self._transport.extensions else _HOSTED_CHANGES
        reasons: list[str] = []
        for body in rows.bodies(size):
            answer = self._transport.request(
                "POST", "dataset", self.id, "metadata", params={"async": 0}, body=body, shape=dict[str, Any]
            )
            found = answer.get("errors")
            reasons += map(str, found) if isinstance(found, list) else []
        if reasons:
            raise BadRequestError(
                f"{len(reasons)} of {len(rows)} changes were refused; the others are made. {_listed(reasons)}"
            )
        return len(rows)

    @property
    def tags(self) -> list[str]:
        """The tags, as the server has them now."""
        return self._transport.read(Tags, "dataset", self.id, "tags").tags

    def add_tags(self, tags: str | Sequence[str]) -> list[str]:
        """Tag the dataset, and return all its tags; those that it has already change nothing.

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
        """Take tags off the dataset, and return those that are left."""
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
        """Say which labels the categories of a taxonomy may have; others are refused from now on.

        Parameters
        ----------
        name : str
            What annotations call it, in their ``taxonomy_name``.
        labels : sequence of str
            The labels.
        kind : {"category", "multicategory"}
            Whether an item has one of the labels, or several.
        update : bool
            Whether a taxonomy of that name that is there already gets the labels too; else it stays as it is.

        Returns
        -------
        dict
            The server's answer, whose ``status`` says what became of it.

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
        """Delete a taxonomy with its annotations and predictions, and return the server's answer."""
        answer: dict[str, Any] = self._transport.request(
            "DELETE", "dataset", self.id, "taxonomy", name, body={}, shape=dict[str, Any]
        )
        return answer


def names_of(names: str | Sequence[str]) -> list[str]:
    """Return texts as a list, one alone too."""
    found = [names] if isinstance(names, str) else list(names)
    if not all(isinstance(name, str) and name for name in found):
        raise InvalidInputError(f"A list of texts is wanted, none of them empty, not {names!r}.")
    return found


def ids_of(reference_ids: Ids) -> list[str]:
    """Return reference ids as texts, each once, or raise InvalidInputError."""
    if isinstance(reference_ids, pd.DataFrame):
        raise InvalidInputError("This takes reference ids, not a frame: give frame['reference_id'].")
    given: Any = [reference_ids] if isinstance(reference_ids, (str, int, np.integer)) else reference_ids
    if not isinstance(given, Iterable):
        raise InvalidInputError(f"Reference ids are texts, not {reference_ids!r}.")
    series = given if isinstance(given, pd.Series) else pd.Series(list(given), dtype=object)
    problems = Problems(series.index)
    found = to_strings(series.rename("reference_id"), problems, required=np.ones(len(series), dtype=bool))
    _refuse(problems)
    return list(dict.fromkeys(found.to_pylist()))


def _refuse(problems: Problems) -> None:
    reasons = problems.reasons()
    if reasons:
        lines = [f"{label_of(problems.index, row)}: {reason}" for row, reason in list(reasons.items())[:_SHOWN]]
        more = f" And {len(reasons) - _SHOWN} others." if len(reasons) > _SHOWN else ""
        raise InvalidInputError(
            f"{len(reasons)} of {len(problems.index)} rows are refused, and nothing was sent. {' '.join(lines)}{more}",
            problems=problems.frame(),
        )


def _listed(reasons: Sequence[str]) -> str:
    more = [f"And {len(reasons) - _SHOWN} others."] if len(reasons) > _SHOWN else []
    return " ".join([*reasons[:_SHOWN], *more])


def _delete_one(transport: Transport, dataset_id: str, name: str) -> str | None:
    """Delete an item; tell why there is none, unless an earlier try, which got no answer, may have deleted it."""
    doubts: list[str] = []
    try:
        transport.request("DELETE", "dataset", dataset_id, "refloc", name, body={}, doubts=doubts)
    except NotFoundError as error:
        return None if doubts else str(error)
    return None
