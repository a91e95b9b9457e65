"""Parses the text of a query."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from nucleus_pandas._util.threads import ForkSafeLock
from nucleus_pandas.server.query.errors import QueryErrors
from nucleus_pandas.server.query.nodes import (
    Arithmetic,
    BooleanGroup,
    ComparisonNode,
    Constant,
    Field,
    FieldName,
    InList,
    IsNull,
    Like,
    Negation,
    Node,
    Not,
    parts_of,
)

MAX_CHARACTERS = 50_000
"""Characters of a query."""

MAX_TERMS = 200
"""Fields and values of a query, without those in lists."""

MAX_CHOICES = 10_000
"""Values in the lists of a query."""

MAX_DEPTH = 10
"""Nesting of conditions and calculations; a limit of SQLite's parser."""

MAX_PARENTHESES = 50
"""Nesting of parentheses, including redundant ones."""

MAX_NAMES = 20
"""Names of one field."""

_GRAMMAR = r"""
start: [any]

?any: all | any _OR all -> any_of
?all: not | all _AND not -> all_of
?not: comparison | NOT not -> negation
?comparison: sum
    | sum COMPARISON sum -> compare
    | sum [NOT] _IN listed -> among
    | sum [NOT] _LIKE sum -> like
    | sum _IS [NOT] NULL -> is_null
?sum: product | sum SIGN product -> chain
?product: signed | product FACTOR signed -> chain
?signed: atom | SIGN signed -> negative
?atom: literal | field | "(" any ")" -> parenthesis

literal: NUMBER | TEXT | DATE | TRUE | FALSE | NULL
field: NAME ["[" any "]"] (_DOT (NAME | TEXT))*
listed: "(" choices [","] ")" | "[" choices [","] "]"
choices: choice | choices "," choice
choice: [SIGN] NUMBER | (TEXT | DATE | TRUE | FALSE | NULL | NAME)

_OR.2: /or\b/i
_AND.2: /and\b/i
_IN.2: /in\b/i
_LIKE.2: /like\b/i
_IS.2: /is\b/i
NOT.2: /not\b/i
TRUE.2: /true\b/i
FALSE.2: /false\b/i
NULL.2: /null\b/i
DATE.2: /\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:?\d\d)?)?(?![\w.])/
NUMBER.1: /(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?(?![\w.])/i
TEXT: /"([^"]|"")*"|'([^']|'')*'/
NAME: /[^\W\d]\w*/
COMPARISON: /!=|<>|<=|>=|==|=|<|>/
SIGN: /[+-]/
FACTOR: /[*\/%]/
_DOT: "."
%ignore /\s+/
"""

# Names of what the grammar expects at a position: a row applies if all of its terminals are expected.
_EXPECTED: list[tuple[set[str], str]] = [
    ({"NAME", "NUMBER"}, "a field or a value"),
    ({"NAME", "TEXT"}, "a name"),
    ({"FACTOR"}, "an operator"),
    ({"_AND"}, "'and'"),
    ({"_OR"}, "'or'"),
    ({"NULL", "NOT"}, "'null' or 'not null'"),
    ({"NULL"}, "'null'"),
    ({"NOT", "_IN"}, "an operator"),
    ({"_IN"}, "'in' or 'like'"),
    ({"LPAR"}, "a list in parentheses"),
    ({"COMMA"}, "','"),
    ({"RPAR"}, "')'"),
    ({"RSQB"}, "']'"),
    ({"$END"}, "the end"),
]
_VALUE = {"NAME", "NUMBER", "TEXT", "DATE", "TRUE", "FALSE", "NULL", "NOT", "SIGN", "LPAR", "LSQB", "$END"}
_OPERATOR = {"FACTOR", "SIGN", "COMPARISON", "NOT", "_IN", "_LIKE", "_IS", "_DOT", "LSQB"}
_BRACKETS = re.compile(r""""[^"]*"|'[^']*'|[()\[\]]""")
_EQUAL = {"==": "=", "<>": "!="}
_building = ForkSafeLock()


def _text(token: Token) -> str:
    quote = token[0]
    return str(token[1:-1]).replace(quote * 2, quote)


def _place(token: Token) -> int:
    return int(token.start_pos or 0)


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Creates nodes; long chains of operators are extended in place, so that their cost is linear."""

    def start(self, node: Node | None) -> Node | None:
        return node

    def any_of(self, left: Any, right: Node) -> BooleanGroup:
        return self._extended("OR", left, right)

    def all_of(self, left: Any, right: Node) -> BooleanGroup:
        return self._extended("AND", left, right)

    def _extended(self, operator: Any, left: Any, right: Any) -> BooleanGroup:
        if not (isinstance(left, BooleanGroup) and left.operator == operator):
            left = BooleanGroup(_begin(left), operator, [_bare(left)])
        group: BooleanGroup = left
        group.parts.append(_bare(right))
        return group

    def parenthesis(self, node: Node) -> Any:
        return _Parenthesis(_bare(node)) if isinstance(node, (BooleanGroup, Arithmetic)) else node

    def negation(self, token: Token, node: Node) -> Not:
        return Not(_place(token), _bare(node))

    def compare(self, left: Node, sign: Token, right: Node) -> ComparisonNode:
        operator: Any = _EQUAL.get(str(sign), str(sign))
        return ComparisonNode(_place(sign), operator, _bare(left), _bare(right))

    def among(self, value: Node, negated: Token | None, choices: list[Constant]) -> InList:
        return InList(_begin(value), _bare(value), choices, negated is not None)

    def like(self, value: Node, negated: Token | None, pattern: Node) -> Like:
        return Like(_begin(value), _bare(value), _bare(pattern), negated is not None)

    def is_null(self, value: Node, negated: Token | None, _: Token) -> IsNull:
        return IsNull(_begin(value), _bare(value), negated is not None)

    def chain(self, left: Any, sign: Token, right: Node) -> Arithmetic:
        rank = "+-" if sign in "+-" else "*/%"
        if not (isinstance(left, Arithmetic) and left.others[0][1] in rank):
            left = Arithmetic(_begin(left), _bare(left), [])
        chain: Arithmetic = left
        chain.others.append((_place(sign), str(sign), _bare(right)))
        return chain

    def negative(self, sign: Token, value: Node) -> Node:
        if sign == "+":
            return value
        if isinstance(value, Constant) and isinstance(value.value, (int, float)) and not isinstance(value.value, bool):
            return Constant(_place(sign), -value.value)
        return Negation(_place(sign), _bare(value))

    def literal(self, token: Token) -> Constant:
        return _literal(token)

    def field(self, first: Token, condition: Node | None, *others: Token) -> Field:
        names = [FieldName(_place(first), str(first))]
        for token in others:
            quoted = token.type == "TEXT"
            names.append(FieldName(_place(token), _text(token) if quoted else str(token), quoted))
        return Field(_place(first), tuple(names), None if condition is None else _bare(condition))

    def listed(self, choices: list[Constant]) -> list[Constant]:
        return choices

    def choices(self, first: Any, other: Constant | None = None) -> list[Constant]:
        if other is None:
            return [first]
        first.append(other)
        choices: list[Constant] = first
        return choices

    def choice(self, *tokens: Token | None) -> Constant:
        *signs, token = tokens
        assert token is not None
        if token.type == "NAME":
            return Constant(_place(token), str(token))
        constant = _literal(token)
        if signs and signs[0] == "-":
            assert isinstance(constant.value, (int, float))
            return Constant(_place(signs[0]), -constant.value)
        return constant


class _Parenthesis:
    """A group or a chain in parentheses, which is not extended any more."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node


def _bare(node: Any) -> Node:
    bare: Node = node.node if isinstance(node, _Parenthesis) else node
    return bare


def _begin(node: Any) -> int:
    return _bare(node).at


def _literal(token: Token) -> Constant:
    at = _place(token)
    if token.type in ("TRUE", "FALSE"):
        return Constant(at, token.type == "TRUE")
    if token.type == "NULL":
        return Constant(at, None)
    if token.type == "NUMBER":
        whole = int(token) if token.isdigit() and len(token) < 20 else 1 << 63
        return Constant(at, whole if whole < 1 << 63 else float(token))
    return Constant(at, _text(token) if token.type == "TEXT" else str(token))


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True, transformer=_Builder())


def parse(text: str) -> Node | None:
    """Parse a query; None if it is empty.

    Raises
    ------
    BadRequestError
        It does not follow the grammar, is too long, has too many terms, or is nested too deeply.
    """
    errors = QueryErrors(text)
    if len(text) > MAX_CHARACTERS:
        raise errors.error(0, f"A query has at most {MAX_CHARACTERS:,} characters, not {len(text):,}.")
    _check_parentheses(text, errors)
    with _building:
        parser = _parser()
    try:
        tree: Any = parser.parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error, errors) from None
    if tree is None:
        return None
    node = _bare(tree)
    _check_size(node, errors)
    return node


def _check_parentheses(text: str, errors: QueryErrors) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(bracket[0], 0)
        if depth > MAX_PARENTHESES:
            raise errors.error(bracket.start(), f"Parentheses may be nested at most {MAX_PARENTHESES} deep.")


def _check_size(root: Node, errors: QueryErrors) -> None:
    """Check the limits of a query; level by level, since recursion might be too deep."""
    level: list[Node] = [root]
    terms = choices = 0
    for depth in range(1_000_000):
        following: list[Node] = []
        for node in level:
            if isinstance(node, InList):
                choices += len(node.choices)
                following.append(node.value)
                continue
            terms += isinstance(node, (Constant, Field))
            if isinstance(node, Field) and len(node.names) > MAX_NAMES:
                raise errors.error(node.names[MAX_NAMES].at, f"A field has at most {MAX_NAMES} names.")
            if terms > MAX_TERMS:
                raise errors.error(node.at, f"A query may have {MAX_TERMS} fields and values; this is one too many.")
            if choices > MAX_CHOICES:
                raise errors.error(node.at, f"The lists of a query have at most {MAX_CHOICES:,} values together.")
            parts = parts_of(node)
            if parts and depth >= MAX_DEPTH:
                raise errors.error(node.at, f"A query may be nested at most {MAX_DEPTH} deep; this is deeper.")
            following += parts
        if not following:
            break
        level = following
    if choices > MAX_CHOICES:
        raise errors.error(root.at, f"The lists of a query have at most {MAX_CHOICES:,} values together.")


def _syntax_error(text: str, error: UnexpectedInput, errors: QueryErrors) -> Exception:
    if isinstance(error, UnexpectedCharacters):
        at = int(error.pos_in_stream or 0)
        if text[at] in "\"'":
            return errors.error(
                at, f"This string has no end; close it with {text[at]}, and write {text[at]} twice inside of it."
            )
        if text[at].isdigit() or text[at] == ".":
            return errors.error(at, "This is not a number.")
        return errors.error(at, f"The character {text[at]!r} is invalid here; put strings in quotation marks.")
    if isinstance(error, UnexpectedToken):
        token = error.token
        at = len(text.rstrip()) if token.type == "$END" else int(token.start_pos or 0)
        what = "The query ends too early" if token.type == "$END" else f"'{_cut(token)}' is unexpected here"
        return errors.error(at, f"{what}; expected {_expected(set(error.accepts or error.expected))}.")
    return errors.error(0, "This is not a query.")


def _expected(terminals: set[str]) -> str:
    """Describe the terminals that are expected at a position."""
    if terminals >= {"NAME", "NUMBER"}:
        terminals = (terminals - _VALUE) | {"NAME", "NUMBER"}
    if "FACTOR" in terminals or "COMPARISON" in terminals:
        terminals = (terminals - _OPERATOR) | {"FACTOR"}
    names = []
    for some, words in _EXPECTED:
        if some <= terminals:
            names.append(words)
            terminals = terminals - some
    *others, last = names or ["something else"]
    return f"{', '.join(others)} or {last}" if others else last


def _cut(token: str) -> str:
    return token if len(token) <= 40 else f"{token[:40]}…"
