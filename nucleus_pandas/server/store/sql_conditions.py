"""Conditions on metadata and on numbers, as SQL with bound values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from nucleus_pandas.errors import BadRequestError

_NUMBER = "('integer', 'real')"
_FLAG = "('true', 'false')"


class MetadataTest(Protocol):
    """What the value under a key has to be: `Predicate` and `MetadataRule` of the wire."""

    key: str
    op: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression over ``item``, or over ``object`` beside it, with the values that it binds by name."""

    sql: str = "1"
    values: dict[str, object] = field(default_factory=dict)


class BoundValues:
    """The values that a statement binds, by generated names that begin with a prefix."""

    def __init__(self, prefix: str = "v", **named: object) -> None:
        self.named = dict(named)
        self._prefix = prefix

    def bind(self, value: object) -> str:
        """Take a value, and return the name that stands for it in the statement."""
        name = f"{self._prefix}{len(self.named)}"
        self.named[name] = value
        return f":{name}"

    def bind_all(self, values: Iterable[object]) -> str:
        """Take any number of values, and return what stands for them behind ``IN``."""
        return f"(SELECT value FROM json_each({self.bind(json.dumps(list(values)))}))"


def metadata(condition: MetadataTest, metadata: str, values: BoundValues, place: str) -> str:
    """Say that a JSON object has a value under a top-level key, for which an operator holds.

    ``EQ`` and ``IN`` compare text with text, numbers with numbers and booleans with booleans; text also with what a
    number or a boolean looks like as text, since filter schemas list all values as text. ``GT`` and ``LT`` compare
    numbers with numbers and text with text.

    Parameters
    ----------
    metadata : str
        The SQL expression of the object.
    place : str
        Where the condition stands in the request, for errors.

    Raises
    ------
    BadRequestError
        The operator cannot take the value.
    """
    if condition.op in ("GT", "LT"):
        if isinstance(condition.value, bool) or not isinstance(condition.value, (int, float, str)):
            raise BadRequestError(f"`{condition.op}` compares with a number or a text - at `{place}.value`.")
        kinds = "('text')" if isinstance(condition.value, str) else _NUMBER
        sign = ">" if condition.op == "GT" else "<"
        test = f"entry.type IN {kinds} AND entry.atom {sign} {values.bind(_storable(condition.value, place))}"
    else:
        wanted = condition.value if condition.op == "IN" else [condition.value]
        if not isinstance(wanted, list):
            raise BadRequestError(f"`IN` takes a list of values - at `{place}.value`.")
        test = _is_one_of(wanted, values, place)
    key = values.bind(condition.key)
    return f"EXISTS (SELECT 1 FROM json_each({metadata}) AS entry WHERE entry.key = {key} AND ({test}))"


def _storable(value: object, place: str) -> object:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 2**1023 else _refuse(place)
    return value


def _refuse(place: str) -> object:
    raise BadRequestError(f"The number is too large - at `{place}.value`.")


def _is_one_of(wanted: list[Any], values: BoundValues, place: str) -> str:
    texts, numbers, names = [], [], []
    for value in wanted:
        if isinstance(value, bool) or value is None:
            names.append({True: "true", False: "false", None: "null"}[value])
        elif isinstance(value, str):
            texts.append(value)
        elif isinstance(value, (int, float)):
            numbers.append(_storable(value, place))
        else:
            raise BadRequestError(f"Metadata is compared with texts, numbers, booleans and null - at `{place}.value`.")
    tests = ["0"]
    if names:
        tests.append(f"entry.type IN {values.bind_all(names)}")
    if numbers:
        tests.append(f"entry.type IN {_NUMBER} AND entry.atom IN {values.bind_all(numbers)}")
    if texts:
        listed = values.bind_all(texts)
        tests += [
            f"entry.type = 'text' AND entry.atom IN {listed}",
            f"entry.type IN {_NUMBER} AND CAST(entry.atom AS TEXT) IN {listed}",
            f"entry.type IN {_FLAG} AND entry.type IN {listed}",
        ]
    return " OR ".join(f"({test})" for test in tests)


def within(expression: str, low: float | None, high: float | None, values: BoundValues) -> list[str]:
    """Say that a number is there and lies from `low` to `high`, both included."""
    found = [f"{expression} IS NOT NULL"]
    if low is not None:
        found.append(f"{expression} >= {values.bind(low)}")
    if high is not None:
        found.append(f"{expression} <= {values.bind(high)}")
    return found
