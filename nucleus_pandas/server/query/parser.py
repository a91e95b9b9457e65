"""The text of a query, read by its grammar."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from nucleus_pandas.server.query.errors import Complaints
from nucleus_pandas.server.query.nodes import (
    Among,
    Chain,
    Compare,
    Field,
    Group,
    IsNull,
    Like,
    Literal_,
    Name,
    Negative,
    Node,
    Not,
    parts_of,
)

LONGEST = 50_000
"""Characters of a query."""

TERMS = 200
"""Fields and values of a query, those in lists left aside."""

CHOICES = 10_000
"""Values in the lists of a query."""

DEPTH = 10
"""How deep conditions and calculations of a query may be nested; SQLite's parser takes no more."""

PARENTHESES = 50
"""How deep parentheses may be nested, those that change nothing among them."""

NAMES = 20
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

# What may stand at a place, said briefly: the first line whose terminals may all stand there.
_SAID: list[tuple[set[str], str]] = [
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
_building = threading.Lock()


def _text(token: Token) -> str:
    quote = token[0]
    return str(token[1:-1]).replace(quote * 2, quote)


def _place(token: Token) -> int:
    return int(token.start_pos or 0)


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Makes nodes; chains grow in place, so that long ones cost no more than short ones."""

    def start(self, node: Node | None) -> Node | None:
        return node

    def any_of(self, left: Any, right: Node) -> Group:
        return self._grown("OR", left, right)

    def all_of(self, left: Any, right: Node) -> Group:
        return self._grown("AND", left, right)

    def _grown(self, operator: Any, left: Any, right: Any) -> Group:
        if not (isinstance(left, Group) and left.operator == operator):
            left = Group(_begin(left), operator, [_bare(left)])
        group: Group = left
        group.parts.append(_bare(right))
        return group

    def parenthesis(self, node: Node) -> Any:
        return _Parenthesis(_bare(node)) if isinstance(node, (Group, Chain)) else node

    def negation(self, token: Token, node: Node) -> Not:
        return Not(_place(token), _bare(node))

    def compare(self, left: Node, sign: Token, right: Node) -> Compare:
        operator: Any = _EQUAL.get(str(sign), str(sign))
        return Compare(_place(sign), operator, _bare(left), _bare(right))

    def among(self, value: Node, negated: Token | None, choices: list[Literal_]) -> Among:
        return Among(_begin(value), _bare(value), choices, negated is not None)

    def like(self, value: Node, negated: Token | None, pattern: Node) -> Like:
        return Like(_begin(value), _bare(value), _bare(pattern), negated is not None)

    def is_null(self, value: Node, negated: Token | None, _: Token) -> IsNull:
        return IsNull(_begin(value), _bare(value), negated is not None)

    def chain(self, left: Any, sign: Token, right: Node) -> Chain:
        rank = "+-" if sign in "+-" else "*/%"
        if not (isinstance(left, Chain) and left.others[0][1] in rank):
            left = Chain(_begin(left), _bare(left), [])
        chain: Chain = left
        chain.others.append((_place(sign), str(sign), _bare(right)))
        return chain

    def negative(self, sign: Token, value: Node) -> Node:
        if sign == "+":
            return value
        if isinstance(value, Literal_) and isinstance(value.value, (int, float)) and not isinstance(value.value, bool):
            return Literal_(_place(sign), -value.value)
        return Negative(_place(sign), _bare(value))

    def literal(self, token: Token) -> Literal_:
        return _literal(token)

    def field(self, first: Token, condition: Node | None, *others: Token) -> Field:
        names = [Name(_place(first), str(first))]
        for token in others:
            quoted = token.type == "TEXT"
            names.append(Name(_place(token), _text(token) if quoted else str(token), quoted))
        return Field(_place(first), tuple(names), None if condition is None else _bare(condition))

    def listed(self, choices: list[Literal_]) -> list[Literal_]:
        return choices

    def choices(self, first: Any, other: Literal_ | None = None) -> list[Literal_]:
        if other is None:
            return [first]
        first.append(other)
        found: list[Literal_] = first
        return found

    def choice(self, *tokens: Token | None) -> Literal_:
        *signs, token = tokens
        assert token is not None
        if token.type == "NAME":
            return Literal_(_place(token), str(token), bare=True)
        found = _literal(token)
        if signs and signs[0] == "-":
            assert isinstance(found.value, (int, float))
            return Literal_(_place(signs[0]), -found.value)
        return found


class _Parenthesis:
    """A group or a chain that stands in parentheses, and does not grow any more."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node


def _bare(node: Any) -> Node:
    found: Node = node.node if isinstance(node, _Parenthesis) else node
    return found


def _begin(node: Any) -> int:
    return _bare(node).at


def _literal(token: Token) -> Literal_:
    at = _place(token)
    if token.type in ("TRUE", "FALSE"):
        return Literal_(at, token.type == "TRUE")
    if token.type == "NULL":
        return Literal_(at, None)
    if token.type == "NUMBER":
        whole = int(token) if token.isdigit() and len(token) < 20 else 1 << 63
        return Literal_(at, whole if whole < 1 << 63 else float(token))
    return Literal_(at, _text(token) if token.type == "TEXT" else str(token), bare=token.type == "DATE")


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True, transformer=_Builder())


def parse(text: str) -> Node | None:
    """Read a query; None where it is empty.

    Raises
    ------
    BadRequestError
        It does not follow the grammar, or is too long, has too many terms, or is nested too deeply.
    """
    complaints = Complaints(text)
    if len(text) > LONGEST:
        raise complaints.error(0, f"A query has at most {LONGEST:,} characters, not {len(text):,}.")
    _check_parentheses(text, complaints)
    with _building:
        parser = _parser()
    try:
        found: Any = parser.parse(text)
    except UnexpectedInput as error:
        raise _complaint(text, error, complaints) from None
    if found is None:
        return None
    node = _bare(found)
    _check_size(node, complaints)
    return node


def _check_parentheses(text: str, complaints: Complaints) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(found[0], 0)
        if depth > PARENTHESES:
            raise complaints.error(found.start(), f"Parentheses are nested at most {PARENTHESES} deep.")


def _check_size(root: Node, complaints: Complaints) -> None:
    """Refuse what has no end; without recursion, since it may be deep."""
    level: list[Node] = [root]
    terms = choices = 0
    for depth in range(1_000_000):
        following: list[Node] = []
        for node in level:
            if isinstance(node, Among):
                choices += len(node.choices)
                following.append(node.value)
                continue
            terms += isinstance(node, (Literal_, Field))
            if isinstance(node, Field) and len(node.names) > NAMES:
                raise complaints.error(node.names[NAMES].at, f"A field has at most {NAMES} names.")
            if terms > TERMS:
                raise complaints.error(node.at, f"A query has at most {TERMS} fields and values; this is one too many.")
            if choices > CHOICES:
                raise complaints.error(node.at, f"The lists of a query have at most {CHOICES:,} values together.")
            parts = parts_of(node)
            if parts and depth >= DEPTH:
                raise complaints.error(node.at, f"A query is nested at most {DEPTH} deep; this is deeper.")
            following += parts
        if not following:
            break
        level = following
    if choices > CHOICES:
        raise complaints.error(root.at, f"The lists of a query have at most {CHOICES:,} values together.")


def _complaint(text: str, error: UnexpectedInput, complaints: Complaints) -> Exception:
    if isinstance(error, UnexpectedCharacters):
        at = int(error.pos_in_stream or 0)
        if text[at] in "\"'":
            return complaints.error(
                at, f"This text does not end; it needs a {text[at]} behind it, and two where it holds one itself."
            )
        if text[at].isdigit() or text[at] == ".":
            return complaints.error(at, "This is no number.")
        return complaints.error(at, f"A query has no character {text[at]!r} here; texts stand in quotation marks.")
    if isinstance(error, UnexpectedToken):
        token = error.token
        at = len(text.rstrip()) if token.type == "$END" else int(token.start_pos or 0)
        what = "The query ends too early" if token.type == "$END" else f"There cannot be '{_cut(token)}' here"
        return complaints.error(at, f"{what}; expected {_expected(set(error.accepts or error.expected))}.")
    return complaints.error(0, "This is no query.")


def _expected(terminals: set[str]) -> str:
    """Say what may stand at a place."""
    if terminals >= {"NAME", "NUMBER"}:
        terminals = (terminals - _VALUE) | {"NAME", "NUMBER"}
    if "FACTOR" in terminals or "COMPARISON" in terminals:
        terminals = (terminals - _OPERATOR) | {"FACTOR"}
    said = []
    for some, words in _SAID:
        if some <= terminals:
            said.append(words)
            terminals = terminals - some
    *others, last = said or ["something else"]
    return f"{', '.join(others)} or {last}" if others else last


def _cut(token: str) -> str:
    return token if len(token) <= 40 else f"{token[:40]}…"
