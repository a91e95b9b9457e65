"""The syntax tree of a query; `at` is the position of a node in the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """A string, number, true, false or null (None)."""

    at: int
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class FieldName:
    """One name of a field; a quoted name is always a name chosen by users, never a keyword."""

    at: int
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """Names with dots between them; a condition in brackets may follow the first."""

    at: int
    names: tuple[FieldName, ...]
    condition: Node | None = None


@dataclass(frozen=True, slots=True)
class Negation:
    """A minus sign before a number."""

    at: int
    value: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Numbers and operators of one precedence, evaluated from left to right: first + second - third."""

    at: int
    first: Node
    others: list[tuple[int, str, Node]]


@dataclass(frozen=True, slots=True)
class ComparisonNode:
    """A comparison of two values."""

    at: int
    operator: Literal["=", "!=", "<", "<=", ">", ">="]
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class InList:
    """A test whether a value is in a list."""

    at: int
    value: Node
    choices: list[Constant]
    negated: bool


@dataclass(frozen=True, slots=True)
class Like:
    """A test whether a string matches a pattern."""

    at: int
    value: Node
    pattern: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class IsNull:
    """A test whether a value is missing."""

    at: int
    value: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """A negated condition."""

    at: int
    value: Node


@dataclass(frozen=True, slots=True)
class BooleanGroup:
    """Conditions joined by AND or by OR."""

    at: int
    operator: Literal["AND", "OR"]
    parts: list[Node] = field(default_factory=list)


Node: TypeAlias = (
    Constant | Field | Negation | Arithmetic | ComparisonNode | InList | Like | IsNull | Not | BooleanGroup
)


def parts_of(node: Node) -> list[Node]:
    """List the direct children of a node."""
    match node:
        case Constant():
            return []
        case Field(condition=condition):
            return [] if condition is None else [condition]
        case Arithmetic(first=first, others=others):
            return [first, *(other for _, _, other in others)]
        case ComparisonNode(left=left, right=right):
            return [left, right]
        case InList(value=value, choices=choices):
            return [value, *choices]
        case Like(value=value, pattern=pattern):
            return [value, pattern]
        case BooleanGroup(parts=parts):
            return list(parts)
        case Negation(value=value) | IsNull(value=value) | Not(value=value):
            return [value]
