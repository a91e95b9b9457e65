"""Objects found by their names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast, overload

from nucleus_pandas.errors import InvalidInputError, NotFoundError

T = TypeVar("T")


def only_of_name(kind: str, name: str, named: Iterable[tuple[str | None, str]], key: str = "name") -> str:
    """Return the id of the only object of a name.

    Parameters
    ----------
    kind : str
        The kind of the objects, for errors.
    named : iterable of (str, str)
        The name and the id of each object.
    key : str
        What `name` is, for errors.

    Raises
    ------
    InvalidInputError
        The name is not a string, or several objects have it.
    NotFoundError
        None has it.

    Examples
    --------
    >>> only_of_name("dataset", "Street", [("Street", "ds_1"), ("Streets", "ds_2")])
    'ds_1'
    >>> only_of_name("dataset", "street", [("Street", "ds_1"), ("Town", "ds_2")])
    Traceback (most recent call last):
    nucleus_pandas.errors.NotFoundError: There is no dataset with the name 'street'; did you mean 'Street'?
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"The {key} of a {kind} is a string, not {name!r}.", argument=key)
    by_name: dict[str, list[str]] = {}
    for other, public_id in named:
        by_name.setdefault(str(other), []).append(public_id)
    ids = by_name.get(name, [])
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise InvalidInputError(
            f"{len(ids)} {kind}s have the {key} {name!r}: {', '.join(map(repr, ids))}. Use the id of one."
        )
    raise NotFoundError(f"There is no {kind} with the {key} {name!r}{_hint(name, list(by_name))}")


def _hint(name: str, names: Sequence[str]) -> str:
    """Return the end of the sentence that a name is unknown: similar names, or the first ones."""
    folded = {other.casefold().strip(): other for other in names}
    near = [folded[key] for key in difflib.get_close_matches(name.casefold().strip(), folded, 3)]
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?"
    if not names:
        return "; there is none."
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"; there are {', '.join(map(repr, names[:5]))}{more}."


class NamedList(list[T]):
    """A list whose objects are found by position, and by name or id too.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> client = npd.NucleusClient.local()
    >>> dataset = client.create_dataset("Doc")
    >>> model = client.add_model("YOLO", reference_id="yolo-11")
    >>> run = dataset.create_model_run(model, name="yolo")
    >>> dataset.model_runs["yolo"] == dataset.model_runs[0] == run, "yolo" in dataset.model_runs
    (True, True)
    >>> client.close()
    """

    @overload  # type: ignore[override]
    def __getitem__(self, key: int | str) -> T: ...
    @overload
    def __getitem__(self, key: slice) -> list[T]: ...
    def __getitem__(self, key: int | str | slice) -> T | list[T]:
        """Return the object at a position, or that of a name or id, or a part of the list.

        Raises
        ------
        NotFoundError
            No object has that name; the error, a KeyError, lists similar names.
        InvalidInputError
            Several objects have that name.
        """
        if not isinstance(key, str):
            return super().__getitem__(key)
        by_id: dict[str, Any] = {thing.id: thing for thing in self}  # type: ignore[attr-defined]
        if key in by_id:
            return cast(T, by_id[key])
        kind = "slice" if self and type(self[0]).__name__ == "Slice" else "model run"
        named = [(thing.name, public_id) for public_id, thing in by_id.items()]
        return cast(T, by_id[only_of_name(kind, key, named)])

    def __contains__(self, key: object) -> bool:
        """Return whether an object, or one of that name or id, is in the list."""
        if isinstance(key, str):
            return any(key in (thing.id, thing.name) for thing in self)  # type: ignore[attr-defined]
        return super().__contains__(key)
