"""Values and comparisons as SQL.

A value has a kind: number, string or boolean, or any if its kind depends on the stored JSON. A missing value
or JSON null is NULL, and a comparison with it is NULL. Values of different kinds are unequal, and neither is less than
the other; comparing them is not an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nucleus_pandas.server.store.database import fold
from nucleus_pandas.server.store.sql_conditions import BoundValues

ValueKind: TypeAlias = Literal["number", "string", "boolean", "any"]

_COMPOSITE = 4  # the rank of lists and dicts, which are equal if their JSON is equal, and have no order
_TYPES = {  # as SQLite names them
    "number": "IN ('integer', 'real')",
    "string": "= 'text'",
    "boolean": "IN ('true', 'false')",
}
_PLAIN = re.compile(r"[A-Za-z0-9 _.:-]+")  # strings that JSON never escapes


@dataclass(frozen=True, slots=True)
class Expression:
    """A value as SQL.

    Attributes
    ----------
    kind : {"number", "string", "boolean", "any"}
        The kind.
    sql : str
        The value, or NULL; needs no parentheses.
    type : str
        Of kind any: the SQL of its JSON type.
    stored : str
        Of kind any: the column of JSON that contains it.
    text : str, optional
        The value of a string constant.
    literal : bool
        Whether it is a constant, which is never NULL.
    """

    kind: ValueKind
    sql: str
    type: str = ""
    stored: str = ""
    text: str | None = None
    literal: bool = False

    @property
    def number(self) -> str:
        """The value if it is a number, else NULL."""
        if self.kind == "number":
            return self.sql
        return f"CASE WHEN {self.type} {_TYPES['number']} THEN {self.sql} END" if self.kind == "any" else "NULL"

    @property
    def is_null(self) -> str:
        """SQL that is true if the value is missing."""
        return f"coalesce({self.type}, 'null') = 'null'" if self.kind == "any" else f"{self.sql} IS NULL"

    @property
    def holds(self) -> str:
        """SQL that is true if the value is true, false for any other value, and NULL if it is missing."""
        if self.kind == "boolean":
            return self.sql
        return f"CASE WHEN {self.type} {_TYPES['boolean']} THEN {self.sql} WHEN {self.type} <> 'null' THEN 0 END"

    @property
    def rank(self) -> str:
        """A number for the kind; NULL if the value is missing."""
        assert self.kind == "any"
        return (
            f"CASE WHEN {self.type} IN ('integer', 'real') THEN 1 WHEN {self.type} = 'text' THEN 2"
            f" WHEN {self.type} IN ('true', 'false') THEN 3 WHEN {self.type} <> 'null' THEN {_COMPOSITE} END"
        )


def literal(value: str | float | bool, values: BoundValues) -> Expression:
    """Bind a constant of the query."""
    if isinstance(value, bool):
        return Expression("boolean", str(int(value)), literal=True)
    if isinstance(value, str):
        return Expression("string", values.bind(value), text=value, literal=True)
    return Expression("number", values.bind(value), literal=True)


def compare(operator: str, left: Expression, right: Expression) -> str:
    """Return the SQL of a comparison."""
    sign = "<>" if operator == "!=" else operator
    plain = f"{left.sql} {sign} {right.sql}"
    differ = "1" if operator == "!=" else "0"
    if left.kind == right.kind != "any":
        return plain
    if left.kind == right.kind:
        alike = f"{left.rank} = {right.rank}"
        if operator not in ("=", "!="):
            alike = f"{left.rank} = {right.rank} AND {left.rank} < {_COMPOSITE}"
        known = f"{left.rank} IS NOT NULL AND {right.rank} IS NOT NULL"
        return f"CASE WHEN {alike} THEN {plain} WHEN {known} THEN {differ} END"
    known = " AND ".join(f"{side.sql} IS NOT NULL" for side in (left, right) if not side.literal and side.kind != "any")
    if "any" not in (left.kind, right.kind):
        return f"CASE WHEN {known} THEN {differ} END" if known else differ
    some, other = (left, right) if left.kind == "any" else (right, left)
    stored = f"{some.type} <> 'null'" + (f" AND {known}" if known else "")
    return f"CASE WHEN {some.type} {_TYPES[other.kind]} THEN {plain} WHEN {stored} THEN {differ} END"


def may_equal(left: Expression, right: Expression, values: BoundValues) -> str | None:
    """Return a necessary condition for a value in stored JSON to equal a string; None if there is none.

    The JSON must contain the quoted string. This search takes a third of the time of extracting the value, and most
    rows fail it.
    """
    some, other = (left, right) if left.kind == "any" else (right, left)
    if some.kind != "any" or other.text is None or not _PLAIN.fullmatch(other.text):
        return None
    return f"instr({some.stored}, {values.bind(json.dumps(other.text))})"


def in_list(value: Expression, choices: list[str | float | bool], values: BoundValues) -> str:
    """Return the SQL of a test whether a value is in a list."""
    groups: dict[ValueKind, list[str | float | bool]] = {"number": [], "string": [], "boolean": []}
    for choice in choices:
        groups["boolean" if isinstance(choice, bool) else "string" if isinstance(choice, str) else "number"].append(
            choice
        )
    tests = {
        kind: f"{value.sql} IN {values.bind_all(map(int, group) if kind == 'boolean' else group)}"
        for kind, group in groups.items()
        if group and value.kind in (kind, "any")
    }
    if value.kind != "any":
        return tests.get(value.kind, f"CASE WHEN {value.sql} IS NOT NULL THEN 0 END")
    cases = " ".join(f"WHEN {value.type} {_TYPES[kind]} THEN {test}" for kind, test in tests.items())
    return f"CASE {cases} WHEN {value.type} <> 'null' THEN 0 END"


def like(value: Expression, pattern: str, values: BoundValues) -> str:
    r"""Return the SQL of a LIKE test: ``%`` matches any string, ``_`` any character, ``\`` escapes.

    Case does not matter. SQLite's own operator folds the case of ASCII letters only, which is enough if the pattern
    has no others.
    """
    text = value.sql if pattern.isascii() else f"nucleus_fold({value.sql})"
    folded = pattern if pattern.isascii() else fold(pattern)
    test = f"{text} LIKE {values.bind(folded)} ESCAPE '\\'"
    if value.kind == "string":
        return test
    if value.kind == "any":
        return f"CASE WHEN {value.type} = 'text' THEN {test} WHEN {value.type} <> 'null' THEN 0 END"
    return f"CASE WHEN {value.sql} IS NOT NULL THEN 0 END"
