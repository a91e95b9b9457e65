"""What a query is made of once it is read. `at` is where a part begins in the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Literal_:
    """A text, a number, true or false; None is null. A `bare` text was written without quotes."""

    at: int
    value: str | int | float | bool | None
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """One name of a field; a quoted one is never taken for anything but a name that users chose."""

    at: int
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """Names with dots between them; a condition in brackets stands behind the first where there is one."""

    at: int
    names: tuple[Name, ...]
    condition: Node | None = None

    @property
    def shown(self) -> str:
        """The field as it might have been written."""
        first, *others = [f'"{name.text}"' if name.quoted else name.text for name in self.names]
        return ".".join([f"{first}[…]" if self.condition is not None else first, *others])


@dataclass(frozen=True, slots=True)
class Negative:
    """A minus sign before a number."""

    at: int
    value: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """Numbers with operators of one rank between them, from left to right: first + second - third."""

    at: int
    first: Node
    others: list[tuple[int, str, Node]]


@dataclass(frozen=True, slots=True)
class Compare:
    """Two values that are compared."""

    at: int
    operator: Literal["=", "!=", "<", "<=", ">", ">="]
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Among:
    """Whether a value is one of several."""

    at: int
    value: Node
    choices: list[Literal_]
    negated: bool


@dataclass(frozen=True, slots=True)
class Like:
    """Whether a text has a form."""

    at: int
    value: Node
    pattern: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether a value is missing."""

    at: int
    value: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """What does not hold."""

    at: int
    value: Node


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions of which all hold, or any."""

    at: int
    operator: Literal["AND", "OR"]
    parts: list[Node] = field(default_factory=list)


Node: TypeAlias = Literal_ | Field | Negative | Chain | Compare | Among | Like | IsNull | Not | Group


def parts_of(node: Node) -> list[Node]:
    """List what a node is directly made of."""
    match node:
        case Literal_():
            return []
        case Field(condition=condition):
            return [] if condition is None else [condition]
        case Chain(first=first, others=others):
            return [first, *(other for _, _, other in others)]
        case Compare(left=left, right=right):
            return [left, right]
        case Among(value=value, choices=choices):
            return [value, *choices]
        case Like(value=value, pattern=pattern):
            return [value, pattern]
        case Group(parts=parts):
            return list(parts)
        case Negative(value=value) | IsNull(value=value) | Not(value=value):
            return [value]
