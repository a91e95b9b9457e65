"""The fields of items, annotations, predictions and matches as SQL.

``item`` and ``object`` are tables of the whole statement. Annotations, predictions and slices of an item, which may
be many, are searched in subqueries with aliases of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nucleus_pandas.server.query.errors import QueryErrors
from nucleus_pandas.server.query.nodes import Field, FieldName
from nucleus_pandas.server.query.sql_expressions import Expression
from nucleus_pandas.server.store.ids import owner_sql, position_sql
from nucleus_pandas.server.store.sql_conditions import BoundValues

QueryTarget: TypeAlias = Literal["item", "annotation", "prediction", "match"]
Collection: TypeAlias = Literal["annotations", "predictions", "slice"]

TYPES = ("box", "line", "polygon", "keypoints", "cuboid", "category", "multicategory", "segmentation", "mask")
_SIZES = {"width": "width", "height": "height", "image_width": "width", "image_height": "height"}
_OF_ITEM = ("reference_id", "dataset_item_id", *_SIZES, "metadata", "annotations", "predictions", "slice")
_NUMBERS = ("x", "y", "width", "height", "confidence")
_TEXTS = ("taxonomy_name", "track_reference_id", "task_id")  # stored as JSON in the column extra
_OF_OBJECT = ("label", "type", "annotation_id", *_NUMBERS, "area", "position", "dimensions", *_TEXTS, "class_pdf")
_OF_MATCH = ("iou", "label", "predicted_label", "confidence", "annotation_id", "prediction_id")
_HOSTED = {
    "scene": "This server has no scenes",
    "autotag": "Autotags exist only in Scale's hosted service",
    "scale_metadata": "Labeling tasks exist only in Scale's hosted service",
}
_GEOMETRIC = "type NOT IN ('category', 'multicategory')"  # the others have no position in the image


@dataclass(frozen=True, slots=True)
class Mention:
    """A name chosen by users that a query is about: the path of a key of metadata, a label, or a taxonomy."""

    what: Literal["key", "label", "taxonomy"]
    owner: Literal["items", "annotations", "predictions"]
    names: tuple[str, ...]


@dataclass(slots=True)
class RowSearch:
    """A subquery on annotations, predictions or slices that searches one row, optionally with a label."""

    alias: str
    label: str | None = None


@dataclass(slots=True)
class Fields:
    """Compiles the fields of a query to SQL.

    Parameters
    ----------
    errors : QueryErrors
        Creates the errors.
    values : BoundValues
        The bound values.
    target : {"item", "annotation", "prediction", "match"}
        The rows to which the query applies.
    runs : str
        A condition on the runs whose predictions belong to an item; ``{}`` stands for the column of the run.

    Attributes
    ----------
    searches : dict
        The subqueries of the current comparison, by collection.
    brackets : tuple of (str, str), optional
        The collection and the alias of the brackets around the current condition.
    mentions : list of Mention
        The keys and labels that were compiled so far.
    """

    errors: QueryErrors
    values: BoundValues
    target: QueryTarget
    runs: str
    searches: dict[Collection, RowSearch] = field(default_factory=dict)
    brackets: tuple[Collection, str] | None = None
    mentions: list[Mention] = field(default_factory=list)
    _count: int = 0

    def value(self, field: Field) -> Expression:
        """Return the SQL of a field; for annotations, predictions and slices that of the row which is searched."""
        names = field.names
        row = self.brackets
        if row is None and self.target in ("annotation", "prediction"):
            row = ("annotations" if self.target == "annotation" else "predictions", "object")
        if names[0].text == "item" and len(names) > 1:
            return self._of_item(names[1:])
        if row is not None:
            collection, alias = row
            if names[0].text == collection and len(names) > 1 and self._is_of_object(names[1]):
                return self._of_object(names[1:], alias, collection)
            if names[0].text in ("metadata", *_OF_OBJECT):
                return self._of_object(names, alias, collection)
        elif self.target == "match" and names[0].text in _OF_MATCH:
            return self._of_match(names)
        return self._of_item(names)

    def _is_of_object(self, name: FieldName) -> bool:
        return not name.quoted and name.text in ("metadata", *_OF_OBJECT)

    def is_field(self, name: str) -> bool:
        """Return True if a word is a field."""
        return name in self._names()

    def _names(self) -> Sequence[str]:
        names = list(_OF_ITEM)
        if self.brackets is not None or self.target in ("annotation", "prediction"):
            names += [*_OF_OBJECT, "item"]
        elif self.target == "match":
            names += [*_OF_MATCH, "item"]
        return names

    def unknown(self, name: FieldName, names: Sequence[str] = (), what: str = "field") -> Exception:
        """Return the error of an unknown field, with the names that exist; by default those of the target."""
        names = list(dict.fromkeys(names or self._names()))
        near = difflib.get_close_matches(name.text, names, 1)
        hint = f" Did you mean '{near[0]}'?" if near else f" Fields: {', '.join(names)}."
        return self.errors.error(name.at, f"There is no {what} '{name.text[:60]}'.{hint}")

    # Items

    def _of_item(self, names: Sequence[FieldName]) -> Expression:
        first, *others = names
        if first.text in _HOSTED:
            raise self.errors.unsupported(first.at, f"{_HOSTED[first.text]}.")
        if first.text in ("annotations", "predictions"):
            return self._of_many("annotations" if first.text == "annotations" else "predictions", first, others)
        if first.text == "slice":
            return self._of_slice(others)
        if first.text == "metadata":
            return self._metadata("items", "item.metadata", first, others)
        if first.text not in _OF_ITEM:
            raise self.unknown(first)
        self._no_more(first, others)
        if first.text == "dataset_item_id":
            tag = "(SELECT tag FROM dataset WHERE dataset.id = item.dataset)"
            return Expression("string", f"printf('di_%s%08x', {tag}, {position_sql('item.id')})")
        if first.text == "reference_id":
            return Expression("string", "item.reference_id")
        return Expression("number", f"item.{_SIZES[first.text]}")

    def _of_slice(self, others: Sequence[FieldName]) -> Expression:
        search = self._search("slice")
        if not others or others[0].text == "name":
            self._no_more(None, others[1:])
            return Expression("string", f"{search.alias}.name")
        if others[0].text == "id":
            self._no_more(None, others[1:])
            return Expression("string", f"('slc_' || {search.alias}.tag)")
        raise self.unknown(others[0], ("name", "id"), "slice field")

    def _of_many(self, what: Collection, first: FieldName, others: Sequence[FieldName]) -> Expression:
        if not others:
            raise self.errors.error(
                first.at, f"A field of the {what} is needed: {what}.count, {what}.label, {what}.metadata.<key>, …"
            )
        head, *rest = others
        if not head.quoted:
            if head.text == "count":
                self._no_more(head, rest)
                return self._number_of(what, [])
            if self._is_of_object(head):
                return self._of_object(others, self._search(what).alias, what)
            if head.text in TYPES:
                return self._of_type(what, head, rest)
        self.mention_label(what, head.text)
        if not rest:
            return self._number_of(what, [f"label = {self.values.bind(head.text)}"])
        search = self._search(what)
        if search.label not in (None, head.text):
            raise self.errors.error(
                head.at,
                f"One comparison is about one of the {what}, which cannot have both labels "
                f"'{search.label}' and '{head.text}'.",
            )
        search.label = head.text
        return self._metadata(what, f"{search.alias}.metadata", head, rest)

    def _of_type(self, what: Collection, head: FieldName, rest: Sequence[FieldName]) -> Expression:
        if not rest:
            raise self.errors.error(
                head.at,
                f"A field is needed: {what}.{head.text}.count, or {what}.{head.text}.<label>. A label of that name is "
                f'written {what}."{head.text}".',
            )
        kind = "mask" if head.text == "segmentation" else head.text
        conditions = [f"type = {self.values.bind(kind)}"]
        if rest[0].quoted or rest[0].text != "count":
            self.mention_label(what, rest[0].text)
            conditions.append(f"label = {self.values.bind(rest[0].text)}")
        self._no_more(rest[0], rest[1:])
        return self._number_of(what, conditions)

    def _number_of(self, what: Collection, conditions: Sequence[str]) -> Expression:
        """Count annotations or predictions of an item; without a type, those with a position in the image."""
        alias = self.alias()
        if not any(condition.startswith("type") for condition in conditions):
            conditions = [_GEOMETRIC, *conditions]
        return self.count_where(what, alias, " AND ".join(f"{alias}.{condition}" for condition in conditions))

    def count_where(self, what: Collection, alias: str, condition: str) -> Expression:
        """Count the annotations or predictions of an item for which a condition on an alias holds."""
        return Expression("number", f"(SELECT count(*) {self._from(what, alias, [f'({condition})'])})")

    def exists(self, what: Collection, search: RowSearch, condition: str) -> str:
        """Return the SQL for: there is a row for which a condition on its alias holds."""
        tests = [f"({condition})"]
        if search.label is not None:
            tests.insert(0, f"{search.alias}.label = {self.values.bind(search.label)}")
        if what == "slice":
            membership = self.alias()
            return (
                f"EXISTS (SELECT 1 FROM slice_item AS {membership} CROSS JOIN slice AS {search.alias}"
                f" ON {search.alias}.id = {owner_sql(f'{membership}.place')} WHERE {membership}.item = item.id"
                f" AND NOT {search.alias}.deleted AND {' AND '.join(tests)})"
            )
        return f"EXISTS (SELECT 1 {self._from(what, search.alias, tests)})"

    def _from(self, what: Collection, alias: str, tests: Sequence[str]) -> str:
        """Return the FROM and WHERE clauses of the annotations or predictions of an item that pass tests."""
        runs = [self.runs.format(f"{alias}.run")] if what == "predictions" else []
        conditions = " AND ".join([f"{alias}.item = item.id", *runs, *tests])
        return f"FROM {what.removesuffix('s')} AS {alias} WHERE {conditions}"

    def _search(self, what: Collection) -> RowSearch:
        if what not in self.searches:
            self.searches[what] = RowSearch(self.alias())
        return self.searches[what]

    def alias(self) -> str:
        """Return a new alias."""
        self._count += 1
        return f"t{self._count}"

    def category_of(self, field: Field) -> Expression | None:
        """Return the label of an item in a taxonomy, if a field may be one: annotations.<taxonomy>."""
        names = field.names[1:] if field.names[0].text == "item" else field.names
        if field.condition is not None or len(names) != 2 or names[0].text not in ("annotations", "predictions"):
            return None
        what: Literal["annotations", "predictions"]
        what = "annotations" if names[0].text == "annotations" else "predictions"
        if not names[1].quoted and (names[1].text in ("count", *TYPES) or self._is_of_object(names[1])):
            return None
        self.mentions.append(Mention("taxonomy", what, (names[1].text,)))
        key, alias = self.values.bind(f"\x1fcategory\x1f{names[1].text}"), self.alias()
        rows = self._from(what, alias, [f"{alias}.key = {key}"])
        newest = f" ORDER BY {alias}.run DESC LIMIT 1" if what == "predictions" else ""
        return Expression("string", f"(SELECT {alias}.label {rows}{newest})")

    # Annotations and predictions

    def label_owner(self, field: Field) -> Collection | None:
        """Return whose label a field is, if it is one."""
        names = field.names
        if names[-1].text != "label" or field.condition is not None or len(names) > 2:
            return None
        if len(names) == 2 and names[0].text in ("annotations", "predictions"):
            return "annotations" if names[0].text == "annotations" else "predictions"
        if len(names) == 1 and self.brackets is not None:
            return self.brackets[0]
        if len(names) == 1 and self.target in ("annotation", "prediction"):
            return "annotations" if self.target == "annotation" else "predictions"
        return None

    def mention_label(self, owner: Collection, label: str) -> None:
        """Record that the query is about a label."""
        self.mentions.append(Mention("label", "annotations" if owner == "annotations" else "predictions", (label,)))

    def _of_object(self, names: Sequence[FieldName], alias: str, what: Collection) -> Expression:
        first, *others = names
        if first.text == "metadata":
            return self._metadata(what, f"{alias}.metadata", first, others)
        if first.text in ("position", "dimensions"):
            return self._geometry(alias, first, others)
        if first.text == "class_pdf":
            if not others:
                raise self.errors.error(first.at, 'A label is needed: class_pdf.car, or class_pdf."traffic light".')
            return self._json(f"{alias}.extra", first, names)
        self._no_more(first, others)
        if first.text in _NUMBERS:
            return Expression("number", f"{alias}.{first.text}")
        if first.text == "area":
            return Expression("number", f"({alias}.width * {alias}.height)")
        if first.text == "annotation_id":
            in_extra = f"json_extract({alias}.extra, '$.annotation_id')"
            return Expression("string", f"CASE WHEN {alias}.key >= ' ' THEN {alias}.key ELSE {in_extra} END")
        if first.text in _TEXTS:
            return Expression("string", f"json_extract({alias}.extra, '$.{first.text}')")
        return Expression("string", f"{alias}.{first.text}")

    def _geometry(self, alias: str, first: FieldName, others: Sequence[FieldName]) -> Expression:
        axis = others[0].text if others else ""
        if axis not in ("x", "y", "z"):
            raise self.errors.error(first.at, f"An axis is needed: {first.text}.x, {first.text}.y or {first.text}.z.")
        self._no_more(others[0], others[1:])
        columns = {"position": {"x": "x", "y": "y"}, "dimensions": {"x": "width", "y": "height"}}[first.text]
        box = f"WHEN 'box' THEN {alias}.{columns[axis]} " if axis in columns else ""
        cuboid = f"json_extract({alias}.geometry, '$.{first.text}.{axis}')"
        return Expression("number", f"CASE {alias}.type {box}WHEN 'cuboid' THEN {cuboid} END")

    def _of_match(self, names: Sequence[FieldName]) -> Expression:
        first, *others = names
        self._no_more(first, others)
        kind: Literal["number", "string"] = "number" if first.text in ("iou", "confidence") else "string"
        return Expression(kind, f"object.{first.text}")

    # Metadata

    def _metadata(
        self, owner: Collection | Literal["items"], column: str, first: FieldName, keys: Sequence[FieldName]
    ) -> Expression:
        found = self._json(column, first, keys)
        if owner != "slice":
            self.mentions.append(Mention("key", owner, tuple(key.text for key in keys)))
        return found

    def _json(self, column: str, first: FieldName, keys: Sequence[FieldName]) -> Expression:
        if not keys:
            raise self.errors.error(first.at, f'A key is needed: {first.text}.weather, or {first.text}."two words".')
        for key in keys:
            if not key.text or any(character in '"\\\x7f' or character < " " for character in key.text):
                raise self.errors.error(
                    key.at,
                    "A key must not be empty, and must not have quotation marks, backslashes or control characters.",
                )
        path = self.values.bind("$" + "".join(f'."{key.text}"' for key in keys))
        return Expression("any", f"json_extract({column}, {path})", f"json_type({column}, {path})", column)

    def _no_more(self, first: FieldName | None, others: Sequence[FieldName]) -> None:
        if others:
            name = others[0]
            parent = "This" if first is None else f"'{first.text}'"
            raise self.errors.error(name.at, f"{parent} has no fields, so '{name.text[:60]}' cannot follow it.")
