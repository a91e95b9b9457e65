"""Values as SQL, and what is said of them.

A value has a kind: number, text or flag (true or false), or any where only the stored JSON tells. A missing value,
which JSON null is too, is NULL, and what is said of it is NULL. Values of two kinds are not equal, and none is less
than the other, but that is no error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nucleus_pandas.server.store.sql_conditions import Values

Kind: TypeAlias = Literal["number", "text", "flag", "any"]

_COMPOSITE = 4  # the rank of lists and dicts, which are equal where they are written alike, and have no order
_TYPES = {  # as SQLite names them
    "number": "IN ('integer', 'real')",
    "text": "= 'text'",
    "flag": "IN ('true', 'false')",
}
_PLAIN = re.compile(r"[A-Za-z0-9 _.:-]+")  # texts that everybody writes in JSON as they are


@dataclass(frozen=True, slots=True)
class Expression:
    """A value as SQL.

    Attributes
    ----------
    kind : {"number", "text", "flag", "any"}
        What it is.
    sql : str
        Gives the value, or NULL; binds as tightly as a function call.
    type : str
        Of kind any: gives the JSON type.
    stored : str
        Of kind any: the column of JSON text that it is found in.
    text : str, optional
        What it is where the query says so, if that is a text.
    literal : bool
        Whether the query says what it is, so that it is never NULL.
    """

    kind: Kind
    sql: str
    type: str = ""
    stored: str = ""
    text: str | None = None
    literal: bool = False

    @property
    def number(self) -> str:
        """The value where it is a number, else NULL."""
        if self.kind == "number":
            return self.sql
        return f"CASE WHEN {self.type} {_TYPES['number']} THEN {self.sql} END" if self.kind == "any" else "NULL"

    @property
    def is_null(self) -> str:
        """Whether the value is missing."""
        return f"coalesce({self.type}, 'null') = 'null'" if self.kind == "any" else f"{self.sql} IS NULL"

    @property
    def holds(self) -> str:
        """Whether the value is true."""
        if self.kind == "flag":
            return self.sql
        return f"CASE WHEN {self.type} {_TYPES['flag']} THEN {self.sql} WHEN {self.type} <> 'null' THEN 0 END"

    @property
    def rank(self) -> str:
        """A number for the kind; NULL where the value is missing."""
        assert self.kind == "any"
        return (
            f"CASE WHEN {self.type} IN ('integer', 'real') THEN 1 WHEN {self.type} = 'text' THEN 2"
            f" WHEN {self.type} IN ('true', 'false') THEN 3 WHEN {self.type} <> 'null' THEN {_COMPOSITE} END"
        )


def literal(value: str | float | bool, values: Values) -> Expression:
    """Take a value of the query, which is bound."""
    if isinstance(value, bool):
        return Expression("flag", str(int(value)), literal=True)
    if isinstance(value, str):
        return Expression("text", values.bind(value), text=value, literal=True)
    return Expression("number", values.bind(value), literal=True)


def compare(operator: str, left: Expression, right: Expression) -> str:
    """Compare two values."""
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


def may_equal(left: Expression, right: Expression, values: Values) -> str | None:
    """Say what stored JSON must hold if a value of it is to equal a text; None where that cannot be said.

    It takes a third of the time that it takes to find the value in the JSON, and most rows go no further.
    """
    some, other = (left, right) if left.kind == "any" else (right, left)
    if some.kind != "any" or other.text is None or not _PLAIN.fullmatch(other.text):
        return None
    return f"instr({some.stored}, {values.bind(json.dumps(other.text))})"


def among(value: Expression, choices: list[str | float | bool], values: Values) -> str:
    """Return whether a value is one of several."""
    groups: dict[Kind, list[str | float | bool]] = {"number": [], "text": [], "flag": []}
    for choice in choices:
        groups["flag" if isinstance(choice, bool) else "text" if isinstance(choice, str) else "number"].append(choice)
    tests = {
        kind: f"{value.sql} IN {values.bind_all(map(int, group) if kind == 'flag' else group)}"
        for kind, group in groups.items()
        if group and value.kind in (kind, "any")
    }
    if value.kind != "any":
        return tests.get(value.kind, f"CASE WHEN {value.sql} IS NOT NULL THEN 0 END")
    cases = " ".join(f"WHEN {value.type} {_TYPES[kind]} THEN {test}" for kind, test in tests.items())
    return f"CASE {cases} WHEN {value.type} <> 'null' THEN 0 END"


def like(value: Expression, pattern: str, values: Values) -> str:
    r"""Return whether a string matches a LIKE pattern: ``%`` is any string, ``_`` any character, ``\`` an escape."""
    test = f"{value.sql} LIKE {values.bind(pattern)} ESCAPE '\\'"
    if value.kind == "text":
        return test
    if value.kind == "any":
        return f"CASE WHEN {value.type} = 'text' THEN {test} WHEN {value.type} <> 'null' THEN 0 END"
    return f"CASE WHEN {value.sql} IS NOT NULL THEN 0 END"
