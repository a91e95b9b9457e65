"""Where rows go, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, TypeAlias, get_args

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import ANY, Terms
from nucleus_pandas.schema.kinds import Kind
from nucleus_pandas.transport.session import Transport

IfExists: TypeAlias = Literal["skip", "update", "error"]
OnError: TypeAlias = Literal["raise", "collect"]


@dataclass(frozen=True)
class Target:
    """Where rows go: the contract's route, what the result tells besides, and what is asked of the rows."""

    kind: Kind
    transport: Transport
    route: tuple[str, ...]
    context: Mapping[str, Any]
    terms: Terms = ANY


@dataclass(frozen=True)
class Options:
    """How rows are sent.

    Raises
    ------
    InvalidInputError
        One of them is none of what may be.
    """

    if_exists: IfExists = "skip"
    on_error: OnError = "raise"
    batch_size: int | None = None
    progress: bool | None = None
    wait: bool = True

    def __post_init__(self) -> None:
        for name, choices in (("if_exists", get_args(IfExists)), ("on_error", get_args(OnError))):
            if getattr(self, name) not in choices:
                allowed = " or ".join(map(repr, choices))
                raise InvalidInputError(f"{name} is {allowed}, not {getattr(self, name)!r}.", argument=name)
        size = self.batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, Integral) or size < 1):
            raise InvalidInputError(f"batch_size is a whole number, at least 1, not {size!r}.", argument="batch_size")
        if self.progress is not None and not isinstance(self.progress, bool):
            raise InvalidInputError(f"progress is True, False or None, not {self.progress!r}.", argument="progress")
        if not isinstance(self.wait, bool):
            raise InvalidInputError(
                f"wait is True or False, not {self.wait!r}; result.wait(timeout) takes seconds.", argument="wait"
            )
