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
    """A test of a value of metadata: `Predicate` and `MetadataRule` of the wire."""

    key: str
    op: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression on ``item``, or also on ``object``, with the values that it binds by name."""

    sql: str = "1"
    values: dict[str, object] = field(default_factory=dict)


class BoundValues:
    """The values that a statement binds, by generated names with a prefix."""

    def __init__(self, prefix: str = "v", **named: object) -> None:
        self.named = dict(named)
        self._prefix = prefix

    def bind(self, value: object) -> str:
        """Add a value, and return its placeholder."""
        name = f"{self._prefix}{len(self.named)}"
        self.named[name] = value
        return f":{name}"

    def bind_all(self, values: Iterable[object]) -> str:
        """Add any number of values, and return the operand of ``IN`` for them."""
        return f"(SELECT value FROM json_each({self.bind(json.dumps(list(values)))}))"


def metadata(condition: MetadataTest, metadata: str, values: BoundValues, place: str) -> str:
    """Return the SQL for: the value of a top-level key of a JSON object passes a test.

    ``EQ`` and ``IN`` compare strings with strings, numbers with numbers and booleans with booleans; strings also with
    the text of numbers and booleans, since filter schemas list all values as strings. ``GT`` and ``LT`` compare numbers
    with numbers and strings with strings.

    Parameters
    ----------
    metadata : str
        The SQL expression of the object.
    place : str
        The path of the condition in the request, for errors.

    Raises
    ------
    BadRequestError
        The operator does not support the value.
    """
    if condition.op in ("GT", "LT"):
        if isinstance(condition.value, bool) or not isinstance(condition.value, (int, float, str)):
            raise BadRequestError(f"`{condition.op}` needs a number or a string - at `{place}.value`.")
        kinds = "('text')" if isinstance(condition.value, str) else _NUMBER
        sign = ">" if condition.op == "GT" else "<"
        test = f"entry.type IN {kinds} AND entry.atom {sign} {values.bind(_storable(condition.value, place))}"
    else:
        wanted = condition.value if condition.op == "IN" else [condition.value]
        if not isinstance(wanted, list):
            raise BadRequestError(f"`IN` needs a list of values - at `{place}.value`.")
        test = _is_one_of(wanted, values, place)
    key = values.bind(condition.key)
    return f"EXISTS (SELECT 1 FROM json_each({metadata}) AS entry WHERE entry.key = {key} AND ({test}))"


def _storable(value: object, place: str) -> object:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        if abs(value) >= 2**1023:
            raise BadRequestError(f"The number is too large - at `{place}.value`.")
        return float(value)
    return value


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
            raise BadRequestError(f"Metadata is compared with strings, numbers, booleans or null - at `{place}.value`.")
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
    """Write tests that a number exists and is from `low` to `high`, both included; NULL is within no bound."""
    tests = [
        f"{expression} {sign} {values.bind(bound)}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None
    ]
    return tests or [f"{expression} IS NOT NULL"]
