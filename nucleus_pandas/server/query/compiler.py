"""A query as SQL with bound values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite

from nucleus_pandas.server.query.errors import Complaints
from nucleus_pandas.server.query.fields import Collection, Fields, Looked, Target
from nucleus_pandas.server.query.nodes import (
    Among,
    Chain,
    Compare,
    Field,
    Group,
    IsNull,
    Like,
    Literal_,
    Negative,
    Node,
    Not,
)
from nucleus_pandas.server.query.parser import parse
from nucleus_pandas.server.query.sql_expressions import Expression, among, compare, like, literal, may_equal
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.sql_conditions import Condition, Values

_LONGEST_PATTERN = 1_000  # characters; SQLite takes 50,000 bytes
_ANY_RUN = (
    "{} IN (SELECT run.id FROM run WHERE (run.dataset = item.dataset OR run.dataset IS NULL) AND NOT run.deleted)"
)


def compile_query(text: str | None, target: Target, run: Run | str | None = None) -> Condition | None:
    """Create a condition of a query; None where there is no query, or an empty one.

    Parameters
    ----------
    text : str, optional
        The query.
    target : {"item", "annotation", "prediction", "match"}
        Whether it is about ``item`` alone, or about ``object`` beside it, which is an annotation, a prediction or a
        match.
    run : Run or str, optional
        Whose predictions belong to an item: those of one run, or of what an SQL expression gives. By default those of
        every run on its dataset.

    Raises
    ------
    BadRequestError
        The query is wrong; the text shows where.
    UnsupportedError
        It asks for what this server does not have.
    """
    node = None if text is None else parse(text)
    if text is None or node is None:
        return None
    values = Values("q")
    runs = _ANY_RUN
    if run is not None:
        runs = f"{{}} = {run if isinstance(run, str) else values.bind(run.id)}"
    sql = _Compiler(Complaints(text), values, target, runs).condition(node)
    return Condition(sql, values.named)


class _Compiler:
    def __init__(self, complaints: Complaints, values: Values, target: Target, runs: str) -> None:
        self._complaints = complaints
        self._values = values
        self._fields = Fields(complaints, values, target, runs)
        self._positive = True  # whether it makes no difference if a condition is false or NULL

    # Conditions

    def condition(self, node: Node) -> str:
        """Return what holds or not; parts of lower rank stand in parentheses."""
        match node:
            case Group(operator=operator, parts=parts):
                return f" {operator} ".join(self._part(part) for part in parts)
            case Not(value=value):
                with self._within(positive=False):
                    return f"NOT {self._part(value)}"
            case Compare():
                return self._looking(lambda: self._compare(node))
            case Among():
                return self._negated(node.negated, self._looking(lambda: self._among(node)))
            case Like():
                return self._negated(node.negated, self._looking(lambda: self._like(node)))
            case IsNull():
                return self._looking(lambda: self._is_null(node))
            case Field(condition=None) | Literal_(value=bool()):
                return self._looking(lambda: self._truth(node))
            case Field(names=names):
                return self._filtered(node) if len(names) == 1 else self._refuse_value(node)
            case _:
                return self._refuse_value(node)

    def _part(self, node: Node) -> str:
        sql = self.condition(node)
        return f"({sql})"

    @staticmethod
    def _negated(negated: bool, sql: str) -> str:
        return f"NOT ({sql})" if negated else sql

    def _refuse_value(self, node: Node) -> str:
        raise self._complaints.error(node.at, "This is a value; say what it is to be, such as = 5.")

    def _looking(self, make: Callable[[], str]) -> str:
        """Create a comparison; where it names what an item may have many of, it holds if it holds for one of them."""
        outer, self._fields.looked = self._fields.looked, {}
        try:
            sql = make()
            for what, looked in self._fields.looked.items():
                sql = self._fields.some(what, looked, sql)
            return sql
        finally:
            self._fields.looked = outer

    def _compare(self, node: Compare) -> str:
        left, right = self._side(node.left, node.right), self._side(node.right, node.left, word=True)
        if left.kind in ("number", "flag") and isinstance(node.right, Field) and self._is_word(node.right):
            raise self._fields.unknown(node.right.names[0])
        test = compare(node.operator, left, right)
        if node.operator == "=" and self._positive and (hint := may_equal(left, right, self._values)) is not None:
            return f"{hint} AND {test}"
        return test

    def _side(self, node: Node, other: Node, *, word: bool = False) -> Expression:
        """Return one side of a comparison, which may depend on the other: a taxonomy's label is a text, a word too."""
        if isinstance(node, Literal_) and node.value is None:
            raise self._complaints.error(node.at, "Nothing equals null; write 'is null' or 'is not null'.")
        if isinstance(node, Field):
            if self._is_text(other) and (category := self._fields.category_of(node)) is not None:
                return category
            if word and self._is_word(node):
                return literal(node.names[0].text, self._values)
        return self.value(node)

    def _is_word(self, node: Node) -> bool:
        """Return whether a name stands for itself: a text without quotation marks."""
        return (
            isinstance(node, Field)
            and node.condition is None
            and len(node.names) == 1
            and not self._fields.known(node.names[0].text)
        )

    def _is_text(self, node: Node) -> bool:
        return (isinstance(node, Literal_) and isinstance(node.value, str)) or self._is_word(node)

    def _among(self, node: Among) -> str:
        choices: list[str | float | bool] = []
        for choice in node.choices:
            if choice.value is None:
                raise self._complaints.error(choice.at, "Nothing equals null; write 'is null' beside the list.")
            self._check_number(choice)
            choices.append(choice.value)
        value = None
        if isinstance(node.value, Field) and all(isinstance(choice, str) for choice in choices):
            value = self._fields.category_of(node.value)
        return among(self.value(node.value) if value is None else value, choices, self._values)

    def _like(self, node: Like) -> str:
        pattern = node.pattern
        if not isinstance(pattern, Literal_) or not isinstance(pattern.value, str):
            raise self._complaints.error(
                pattern.at, "'like' takes a text in quotation marks, in which % stands for any text."
            )
        if len(pattern.value) > _LONGEST_PATTERN:
            raise self._complaints.error(pattern.at, f"'like' takes at most {_LONGEST_PATTERN:,} characters.")
        category = self._fields.category_of(node.value) if isinstance(node.value, Field) else None
        return like(category or self.value(node.value), pattern.value, self._values)

    def _is_null(self, node: IsNull) -> str:
        test = self.value(node.value).is_null
        return f"NOT ({test})" if node.negated else test

    def _truth(self, node: Node) -> str:
        value = self.value(node)
        if value.kind not in ("flag", "any"):
            raise self._complaints.error(
                node.at, f"This is a {value.kind}, and neither true nor false; say what it is to be, such as > 5."
            )
        return value.holds

    def _filtered(self, node: Field) -> str:
        """Say that there is an annotation or a prediction for which the condition in brackets holds."""
        what, alias, sql = self._inside(node)
        return self._fields.some(what, Looked(alias), sql)

    def _inside(self, node: Field) -> tuple[Collection, str, str]:
        name = node.names[0]
        if name.text not in ("annotations", "predictions"):
            raise self._complaints.error(name.at, "Brackets stand behind 'annotations' or 'predictions' alone.")
        if self._fields.inside is not None:
            raise self._complaints.error(name.at, "Brackets do not stand in brackets.")
        assert node.condition is not None
        what: Collection = "annotations" if name.text == "annotations" else "predictions"
        alias = self._fields.alias()
        self._fields.inside = what, alias
        try:
            with self._within(positive=True):  # what is NULL is not found, and not counted
                return what, alias, self.condition(node.condition)
        finally:
            self._fields.inside = None

    @contextmanager
    def _within(self, *, positive: bool) -> Iterator[None]:
        outer, self._positive = self._positive, positive
        try:
            yield
        finally:
            self._positive = outer

    # Values

    def value(self, node: Node) -> Expression:
        """Return a value."""
        match node:
            case Literal_(value=None):
                raise self._complaints.error(node.at, "Null is no value; write 'is null' or 'is not null'.")
            case Literal_(value=value):
                self._check_number(node)
                assert value is not None
                return literal(value, self._values)
            case Field(condition=None):
                return self._fields.of(node)
            case Field():
                return self._number_of_filtered(node)
            case Negative(value=value):
                return Expression("number", f"(- {self._number(value)})")
            case Chain():
                return Expression("number", f"({self._chain(node)})")
            case _:
                raise self._complaints.error(node.at, "This is a condition, where a value is needed.")

    def _number_of_filtered(self, node: Field) -> Expression:
        if len(node.names) != 2 or node.names[1].quoted or node.names[1].text != "count":
            at = node.names[1].at if len(node.names) > 1 else node.at
            raise self._complaints.error(
                at, "What is in brackets holds or not, or is counted: annotations[…], or annotations[…].count > 2."
            )
        outer, self._fields.looked = self._fields.looked, {}
        try:
            return self._fields.counted(*self._inside(node))
        finally:
            self._fields.looked = outer

    def _check_number(self, node: Literal_) -> None:
        if isinstance(node.value, float) and not isfinite(node.value):
            raise self._complaints.error(node.at, "The number is too large.")

    def _number(self, node: Node) -> str:
        value = self.value(node)
        if value.kind in ("text", "flag"):
            raise self._complaints.error(node.at, f"This is a {value.kind}, with which nothing is calculated.")
        return value.number

    def _chain(self, node: Chain) -> str:
        sql = self._number(node.first)
        for _, operator, other in node.others:
            number = self._number(other)
            if operator == "%":
                sql = f"nucleus_modulo({sql}, {number})"
            else:
                sql = f"{sql} * 1.0 / {number}" if operator == "/" else f"{sql} {operator} {number}"
        return sql
