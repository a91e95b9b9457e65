"""Compiles queries to SQL conditions with bound values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite

from nucleus_pandas.server.query.errors import QueryErrors
from nucleus_pandas.server.query.fields import Collection, Fields, Mention, QueryTarget, RowSearch
from nucleus_pandas.server.query.nodes import (
    Arithmetic,
    BooleanGroup,
    ComparisonNode,
    Constant,
    Field,
    InList,
    IsNull,
    Like,
    Negation,
    Node,
    Not,
)
from nucleus_pandas.server.query.parser import parse
from nucleus_pandas.server.query.sql_expressions import Expression, compare, in_list, like, literal, may_equal
from nucleus_pandas.server.store.models import Run
from nucleus_pandas.server.store.sql_conditions import BoundValues, Condition

_LONGEST_PATTERN = 1_000  # characters; SQLite takes 50,000 bytes
_ANY_RUN = (
    "{} IN (SELECT run.id FROM run WHERE (run.dataset = item.dataset OR run.dataset IS NULL) AND NOT run.deleted)"
)


def compile_query(text: str | None, target: QueryTarget, run: Run | str | None = None) -> Condition | None:
    """Compile a query to a condition; None if there is no query, or an empty one.

    Parameters
    ----------
    text : str, optional
        The query.
    target : {"item", "annotation", "prediction", "match"}
        The rows to which it applies: those of ``item``, or those of ``object`` joined to it, which is an annotation, a
        prediction or a match.
    run : Run or str, optional
        The run whose predictions count as those of an item, or an SQL expression for its number. By default all runs
        on the item's dataset.

    Raises
    ------
    BadRequestError
        The query is invalid; the message shows where.
    UnsupportedError
        It uses a field that this server does not have.
    """
    compiled = _compile(text, target, run)
    return None if compiled is None else compiled[0]


def mentions_of(text: str | None, target: QueryTarget) -> list[Mention]:
    """Return the keys of metadata and the labels that a query is about, each once."""
    compiled = _compile(text, target, None)
    return [] if compiled is None else list(dict.fromkeys(compiled[1]))


def _compile(text: str | None, target: QueryTarget, run: Run | str | None) -> tuple[Condition, list[Mention]] | None:
    node = None if text is None else parse(text)
    if text is None or node is None:
        return None
    values = BoundValues("q")
    runs = _ANY_RUN
    if run is not None:
        runs = f"{{}} = {run if isinstance(run, str) else values.bind(run.id)}"
    fields = Fields(QueryErrors(text), values, target, runs)
    sql = _Compiler(QueryErrors(text), values, fields).condition(node)
    return Condition(sql, values.named), fields.mentions


class _Compiler:
    def __init__(self, errors: QueryErrors, values: BoundValues, fields: Fields) -> None:
        self._errors = errors
        self._values = values
        self._fields = fields
        self._positive = True  # whether false and NULL are equivalent here, since no NOT is around

    # Conditions

    def condition(self, node: Node) -> str:
        """Return the SQL of a condition; operands of lower precedence are in parentheses."""
        match node:
            case BooleanGroup(operator=operator, parts=parts):
                return f" {operator} ".join(self._part(part) for part in parts)
            case Not(value=value):
                with self._within(positive=False):
                    return f"NOT {self._part(value)}"
            case ComparisonNode():
                return self._searching(lambda: self._compare(node))
            case InList():
                return self._negated(node.negated, self._searching(lambda: self._in_list(node)))
            case Like():
                return self._negated(node.negated, self._searching(lambda: self._like(node)))
            case IsNull():
                return self._searching(lambda: self._is_null(node))
            case Field(condition=None) | Constant(value=bool()):
                return self._searching(lambda: self._boolean(node))
            case Field(names=names):
                return self._filtered(node) if len(names) == 1 else self._not_a_condition(node)
            case _:
                return self._not_a_condition(node)

    def _part(self, node: Node) -> str:
        sql = self.condition(node)
        return f"({sql})"

    @staticmethod
    def _negated(negated: bool, sql: str) -> str:
        return f"NOT ({sql})" if negated else sql

    def _not_a_condition(self, node: Node) -> str:
        raise self._errors.error(node.at, "This is a value, but a condition is needed; compare it, such as with = 5.")

    def _searching(self, make: Callable[[], str]) -> str:
        """Compile a comparison; if it is about annotations, predictions or slices, it must hold for one."""
        outer, self._fields.searches = self._fields.searches, {}
        try:
            sql = make()
            for collection, search in self._fields.searches.items():
                sql = self._fields.exists(collection, search, sql)
            return sql
        finally:
            self._fields.searches = outer

    def _compare(self, node: ComparisonNode) -> str:
        left, right = self._side(node.left, node.right), self._side(node.right, node.left, word=True)
        if node.operator == "=" and isinstance(node.left, Field):
            self._mention_labels(node.left, [node.right])
        if left.kind in ("number", "boolean") and isinstance(node.right, Field) and self._is_word(node.right):
            raise self._fields.unknown(node.right.names[0])
        test = compare(node.operator, left, right)
        if node.operator == "=" and self._positive and (hint := may_equal(left, right, self._values)) is not None:
            return f"{hint} AND {test}"
        return test

    def _side(self, node: Node, other: Node, *, word: bool = False) -> Expression:
        """Return one side of a comparison; the label of a taxonomy is compared with a string or with a bare word."""
        if isinstance(node, Constant) and node.value is None:
            raise self._errors.error(node.at, "Nothing equals null; use 'is null' or 'is not null'.")
        if isinstance(node, Field):
            if self._is_string(other) and (category := self._fields.category_of(node)) is not None:
                return category
            if word and self._is_word(node):
                return literal(node.names[0].text, self._values)
        return self.value(node)

    def _is_word(self, node: Node) -> bool:
        """Return True for a name that is not a field: a string without quotation marks."""
        return (
            isinstance(node, Field)
            and node.condition is None
            and len(node.names) == 1
            and not self._fields.is_field(node.names[0].text)
        )

    def _is_string(self, node: Node) -> bool:
        return (isinstance(node, Constant) and isinstance(node.value, str)) or self._is_word(node)

    def _in_list(self, node: InList) -> str:
        choices: list[str | float | bool] = []
        for choice in node.choices:
            if choice.value is None:
                raise self._errors.error(choice.at, "Nothing equals null; add 'or … is null' to the condition.")
            self._check_number(choice)
            choices.append(choice.value)
        if isinstance(node.value, Field):
            self._mention_labels(node.value, node.choices)
        value = None
        if isinstance(node.value, Field) and all(isinstance(choice, str) for choice in choices):
            value = self._fields.category_of(node.value)
        return in_list(self.value(node.value) if value is None else value, choices, self._values)

    def _mention_labels(self, field: Field, others: Sequence[Node]) -> None:
        """Record with which labels a field is compared, if it is one."""
        owner = self._fields.label_owner(field)
        for other in others if owner is not None else ():
            assert owner is not None
            if isinstance(other, Constant) and isinstance(other.value, str):
                self._fields.mention_label(owner, other.value)
            elif isinstance(other, Field) and self._is_word(other):
                self._fields.mention_label(owner, other.names[0].text)

    def _like(self, node: Like) -> str:
        pattern = node.pattern
        if not isinstance(pattern, Constant) or not isinstance(pattern.value, str):
            raise self._errors.error(
                pattern.at, "'like' takes a string in quotation marks, in which % matches any characters."
            )
        if len(pattern.value) > _LONGEST_PATTERN:
            raise self._errors.error(pattern.at, f"'like' takes at most {_LONGEST_PATTERN:,} characters.")
        category = self._fields.category_of(node.value) if isinstance(node.value, Field) else None
        return like(category or self.value(node.value), pattern.value, self._values)

    def _is_null(self, node: IsNull) -> str:
        mentioned = len(self._fields.mentions)
        test = self.value(node.value).is_null
        if not node.negated:
            del self._fields.mentions[mentioned:]  # that nothing has it may be what is asked
        return f"NOT ({test})" if node.negated else test

    def _boolean(self, node: Node) -> str:
        value = self.value(node)
        if value.kind not in ("boolean", "any"):
            raise self._errors.error(
                node.at, f"This is a {value.kind}, not true or false; compare it, such as with > 5."
            )
        return value.holds

    def _filtered(self, node: Field) -> str:
        """Return the SQL for: there is an annotation or prediction for which the condition in brackets holds."""
        collection, alias, sql = self._in_brackets(node)
        return self._fields.exists(collection, RowSearch(alias), sql)

    def _in_brackets(self, node: Field) -> tuple[Collection, str, str]:
        name = node.names[0]
        if name.text not in ("annotations", "predictions"):
            raise self._errors.error(name.at, "Brackets may only follow 'annotations' or 'predictions'.")
        if self._fields.brackets is not None:
            raise self._errors.error(name.at, "Brackets cannot be nested.")
        assert node.condition is not None
        collection: Collection = "annotations" if name.text == "annotations" else "predictions"
        alias = self._fields.alias()
        self._fields.brackets = collection, alias
        try:
            with self._within(positive=True):  # rows for which it is NULL are neither found nor counted
                return collection, alias, self.condition(node.condition)
        finally:
            self._fields.brackets = None

    @contextmanager
    def _within(self, *, positive: bool) -> Iterator[None]:
        outer, self._positive = self._positive, positive
        try:
            yield
        finally:
            self._positive = outer

    # Values

    def value(self, node: Node) -> Expression:
        """Return the SQL of a value."""
        match node:
            case Constant(value=None):
                raise self._errors.error(node.at, "Null cannot be used as a value; use 'is null' or 'is not null'.")
            case Constant(value=value):
                self._check_number(node)
                assert value is not None
                return literal(value, self._values)
            case Field(condition=None):
                return self._fields.value(node)
            case Field():
                return self._count_in_brackets(node)
            case Negation(value=value):
                return Expression("number", f"(- {self._number(value)})")
            case Arithmetic():
                return Expression("number", f"({self._arithmetic(node)})")
            case _:
                raise self._errors.error(node.at, "This is a condition, but a value is needed.")

    def _count_in_brackets(self, node: Field) -> Expression:
        if len(node.names) != 2 or node.names[1].quoted or node.names[1].text != "count":
            at = node.names[1].at if len(node.names) > 1 else node.at
            raise self._errors.error(
                at, "Only .count may follow the brackets: annotations[…], or annotations[…].count > 2."
            )
        outer, self._fields.searches = self._fields.searches, {}
        try:
            return self._fields.count_where(*self._in_brackets(node))
        finally:
            self._fields.searches = outer

    def _check_number(self, node: Constant) -> None:
        if isinstance(node.value, float) and not isfinite(node.value):
            raise self._errors.error(node.at, "The number is too large.")

    def _number(self, node: Node) -> str:
        value = self.value(node)
        if value.kind in ("string", "boolean"):
            raise self._errors.error(node.at, f"This is a {value.kind}; only numbers can be calculated with.")
        return value.number

    def _arithmetic(self, node: Arithmetic) -> str:
        sql = self._number(node.first)
        for _, operator, other in node.others:
            number = self._number(other)
            if operator == "%":
                sql = f"nucleus_modulo({sql}, {number})"
            else:
                sql = f"{sql} * 1.0 / {number}" if operator == "/" else f"{sql} {operator} {number}"
        return sql
