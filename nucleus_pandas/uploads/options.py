"""Upload target and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Protocol, TypeAlias, get_args

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import ANY, Terms
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.transport.session import Transport

IfExists: TypeAlias = Literal["skip", "update", "error"]
IfAnnotated: TypeAlias = Literal["skip", "update", "error", "replace"]
OnError: TypeAlias = Literal["raise", "collect"]


class PickedRows(Protocol):
    """The rows of some items, grouped by key in the order of the keys."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """The values of each column."""

    @property
    def lengths(self) -> Sequence[int]:
        """How many rows each key has."""


class RowReader(Protocol):
    """Reads the rows that a target has."""

    def pick(self, by: Literal["refloc", "loc"], keys: Sequence[str], wanted: Sequence[str]) -> PickedRows:
        """Read some columns of the rows of items, by distinct reference ids or item ids."""


@dataclass(frozen=True)
class Target:
    """Where rows are sent.

    Attributes
    ----------
    kind : {"items", "annotations", "predictions"}
        What is sent.
    transport, route
        The route of the REST API.
    context : mapping
        Additional keys of the result.
    reader : callable
        Returns a reader of the rows that are there.
    terms : Terms
        Requirements of the rows.
    """

    kind: RowKind
    transport: Transport
    route: tuple[str, ...]
    context: Mapping[str, Any]
    reader: Callable[[], RowReader]
    terms: Terms = ANY


@dataclass(frozen=True)
class Options:
    """Upload options.

    Raises
    ------
    InvalidInputError
        A value is not allowed.
    """

    if_exists: IfAnnotated = "skip"
    on_error: OnError = "raise"
    batch_size: int | None = None
    progress: bool | None = None
    wait: bool = True

    def __post_init__(self) -> None:
        for name, choices in (("if_exists", get_args(IfAnnotated)), ("on_error", get_args(OnError))):
            if getattr(self, name) not in choices:
                allowed = " or ".join(map(repr, choices))
                raise InvalidInputError(f"{name} must be {allowed}, not {getattr(self, name)!r}.", argument=name)
        size, progress, wait = self.batch_size, self.progress, self.wait
        if size is not None and (isinstance(size, bool) or not isinstance(size, Integral) or size < 1):
            raise InvalidInputError(
                f"batch_size must be a whole number, at least 1, not {size!r}.", argument="batch_size"
            )
        if progress is not None and not isinstance(progress, bool):
            raise InvalidInputError(f"progress must be True, False or None, not {progress!r}.", argument="progress")
        if not isinstance(wait, bool):
            raise InvalidInputError(
                f"wait must be True or False, not {wait!r}; result.wait(timeout) takes seconds.", argument="wait"
            )
