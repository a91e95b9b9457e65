"""The base of datasets, models, runs, slices and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from markupsafe import Markup

from nucleus_pandas._util.html import isolated
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.transport.session import Transport


class Resource:
    """Something on a server, known by its id.

    Attributes
    ----------
    id : str
        The id on the server.
    """

    _kinds: ClassVar[dict[str, Any]] = {}
    """The classes of the resources by name, for modules that cannot import each other."""

    _views: ClassVar[Mapping[str, type[Any]]] = {}
    """The attributes that are views of rows, and their classes."""

    _ways_to_change: ClassVar[Mapping[str, str]] = {}

    def __init__(self, transport: Transport, public_id: str) -> None:
        self._transport = transport
        self.id = public_id

    def __init_subclass__(cls) -> None:
        Resource._kinds[cls.__name__] = cls

    if not TYPE_CHECKING:  # type checkers would let every name pass

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):
                return object.__getattribute__(self, name)  # raises the error of the property
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            own = [view for view, kind in self._views.items() if not name.startswith("_") and hasattr(kind, name)]
            if own:
                text += f"; .{name} is an attribute of its rows: {' or '.join(f'.{view}.{name}' for view in own)}"
            elif self._views and not name.startswith("_") and hasattr(pd.DataFrame, name):
                text += f"; DataFrames have it: {' or '.join(f'.{view}.to_frame().{name}' for view in self._views)}"
            raise AttributeError(text, name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not (name == "id" and "id" not in self.__dict__):
            kind = type(self).__name__
            way = self._ways_to_change.get(name, "Change it on the server, by a method.")
            raise AttributeError(
                f"{name!r} of a {kind} cannot be assigned, because this would change nothing on the server. {way}",
                name=name,
                obj=self,
            )
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Resource)
            and type(self) is type(other)
            and (self.id, self._transport.endpoint) == (other.id, other._transport.endpoint)
        )

    def __hash__(self) -> int:
        return hash((type(self), self.id))

    def __repr__(self) -> str:
        known = self._described()
        name = known.pop("name", None)
        counts = ", ".join(str(value) if key == "status" else f"{value} {key}" for key, value in known.items())
        return f"<{type(self).__name__} {self.id}{'' if name is None else f' {name!r}'}{counts and f': {counts}'}>"

    def _described(self) -> dict[str, object]:
        """Return name, status and counts for `repr`, as far as they are known or quickly read."""
        known = self._known().get("name")
        return {} if known is None else {"name": known}

    def _known(self) -> dict[str, object]:
        """Return the attributes that are known without a request."""
        return {}

    def _repr_html_(self) -> str:
        known = {type(self).__name__: self.id, **self._known()}
        row = Markup("<tr><th>{}</th><td>{}</td></tr>")
        rows = (row.format(name, isolated(value)) for name, value in known.items() if value is not None)
        return str(Markup("<table>{}</table>").format(Markup().join(rows)))


def id_of(thing: object, prefix: str, kind: str) -> str:
    """Return the id of a dataset, a model or a run, which may be the object or its id.

    Raises
    ------
    InvalidInputError
        The value is neither.

    Examples
    --------
    >>> id_of("ds_1", "ds_", "a Dataset")
    'ds_1'
    """
    public_id = thing.id if isinstance(thing, Resource) else thing
    if not isinstance(public_id, str) or not public_id.startswith(prefix):
        shown = repr(thing) if isinstance(thing, (str, Resource)) else type(thing).__name__
        raise InvalidInputError(f"This takes {kind} or its id, '{prefix}…', not {shown}.")
    return public_id
