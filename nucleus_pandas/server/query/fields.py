"""What fields mean: of items, of annotations and predictions, and of matches, as SQL.

``item`` and ``object`` are the tables that the whole statement reads. What belongs to an item, and may be many, is
looked for in tables of the condition's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nucleus_pandas.server.query.errors import Complaints
from nucleus_pandas.server.query.nodes import Field, Name
from nucleus_pandas.server.query.sql_expressions import Expression
from nucleus_pandas.server.store.ids import owner_sql, position_sql
from nucleus_pandas.server.store.sql_conditions import Values

Target: TypeAlias = Literal["item", "annotation", "prediction", "match"]
Collection: TypeAlias = Literal["annotations", "predictions", "slice"]

TYPES = ("box", "line", "polygon", "keypoints", "cuboid", "category", "multicategory", "segmentation", "mask")
_OF_ITEM = ("reference_id", "dataset_item_id", "width", "height", "metadata", "annotations", "predictions", "slice")
_NUMBERS = ("x", "y", "width", "height", "confidence")
_TEXTS = ("taxonomy_name", "track_reference_id", "task_id")  # of few, beside the columns that all have
_OF_OBJECT = ("label", "type", "annotation_id", *_NUMBERS, "area", "position", "dimensions", *_TEXTS, "class_pdf")
_OF_MATCH = ("iou", "label", "predicted_label", "confidence", "annotation_id", "prediction_id")
_HOSTED = {
    "scene": "Scenes are not kept by this server",
    "autotag": "Autotags exist in Scale's own service only",
    "scale_metadata": "Labeling tasks exist in Scale's own service only",
}
_GEOMETRIC = "type NOT IN ('category', 'multicategory')"  # the others have no place in the image, and are not counted


@dataclass(slots=True)
class Looked:
    """A table of annotations, of predictions or of slices, in which one row is looked for."""

    alias: str
    label: str | None = None


@dataclass(slots=True)
class Fields:
    """Turns the fields of a query into SQL.

    Parameters
    ----------
    complaints : Complaints
        Makes errors.
    values : Values
        Takes what is bound.
    target : {"item", "annotation", "prediction", "match"}
        What the query is about.
    runs : str
        A condition on the column ``run`` of the predictions that belong to an item, whose name is put in for ``{}``.

    Attributes
    ----------
    looked : dict
        In which tables the comparison at hand looks for a row.
    inside : tuple of (str, str), optional
        The collection whose brackets the condition at hand stands in, and the alias of its table there.
    """

    complaints: Complaints
    values: Values
    target: Target
    runs: str
    looked: dict[Collection, Looked] = field(default_factory=dict)
    inside: tuple[Collection, str] | None = None
    _count: int = 0

    def of(self, one: Field) -> Expression:
        """Return the value of a field; where an item may have many, that of the row which is looked for."""
        names = one.names
        own = self.inside
        if own is None and self.target in ("annotation", "prediction"):
            own = ("annotations" if self.target == "annotation" else "predictions", "object")
        if names[0].text == "item" and len(names) > 1:
            return self._of_item(names[1:])
        if own is not None:
            if names[0].text == own[0] and len(names) > 1 and self._is_own(names[1]):
                return self._of_object(names[1:], own[1])
            if names[0].text in ("metadata", *_OF_OBJECT):
                return self._of_object(names, own[1])
        if own is None and self.target == "match" and names[0].text in _OF_MATCH:
            return self._of_match(names)
        return self._of_item(names)

    def _is_own(self, name: Name) -> bool:
        return not name.quoted and name.text in ("metadata", *_OF_OBJECT)

    def unknown(self, name: Name) -> Exception:
        """Say that there is no such field."""
        return self._unknown(name, self._names())

    def known(self, name: str) -> bool:
        """Return whether a word is a field."""
        return name in self._names()

    def _names(self) -> Sequence[str]:
        names = list(_OF_ITEM)
        if self.inside is not None or self.target in ("annotation", "prediction"):
            names += [*_OF_OBJECT, "item"]
        elif self.target == "match":
            names += [*_OF_MATCH, "item"]
        return names

    def _unknown(self, name: Name, names: Iterable[str], what: str = "field") -> Exception:
        names = list(dict.fromkeys(names))
        near = difflib.get_close_matches(name.text, names, 1)
        hint = f" Is '{near[0]}' meant?" if near else f" There are {', '.join(names)}."
        return self.complaints.error(name.at, f"There is no {what} '{name.text[:60]}'.{hint}")

    # Items

    def _of_item(self, names: Sequence[Name]) -> Expression:
        first, *others = names
        if first.text in _HOSTED:
            raise self.complaints.unsupported(first.at, f"{_HOSTED[first.text]}.")
        if first.text in ("annotations", "predictions"):
            return self._of_many("annotations" if first.text == "annotations" else "predictions", first, others)
        if first.text == "slice":
            return self._of_slice(others)
        if first.text == "metadata":
            return self._json("item.metadata", first, others)
        if first.text not in _OF_ITEM:
            raise self._unknown(first, self._names())
        self._no_more(first, others)
        if first.text == "dataset_item_id":
            tag = "(SELECT tag FROM dataset WHERE dataset.id = item.dataset)"
            return Expression("text", f"printf('di_%s%08x', {tag}, {position_sql('item.id')})")
        return Expression("text" if first.text == "reference_id" else "number", f"item.{first.text}")

    def _of_slice(self, others: Sequence[Name]) -> Expression:
        looked = self._look("slice")
        if not others or others[0].text == "name":
            self._no_more(None, others[1:])
            return Expression("text", f"{looked.alias}.name")
        if others[0].text == "id":
            self._no_more(None, others[1:])
            return Expression("text", f"('slc_' || {looked.alias}.tag)")
        raise self._unknown(others[0], ("name", "id"), "field of slices called")

    def _of_many(self, what: Collection, first: Name, others: Sequence[Name]) -> Expression:
        if not others:
            raise self.complaints.error(
                first.at, f"Say what of the {what}: {what}.count, {what}.label, {what}.metadata.<key>, …"
            )
        head, *rest = others
        if not head.quoted:
            if head.text == "count":
                self._no_more(head, rest)
                return self._number_of(what, [])
            if self._is_own(head):
                return self._of_object(others, self._look(what).alias)
            if head.text in TYPES:
                return self._of_type(what, head, rest)
        if not rest:
            return self._number_of(what, [f"label = {self.values.bind(head.text)}"])
        looked = self._look(what)
        if looked.label not in (None, head.text):
            raise self.complaints.error(
                head.at, f"One comparison looks at one of the {what}, which is no '{looked.label}' and '{head.text}'."
            )
        looked.label = head.text
        return self._json(f"{looked.alias}.metadata", head, rest)

    def _of_type(self, what: Collection, head: Name, rest: Sequence[Name]) -> Expression:
        if not rest:
            raise self.complaints.error(
                head.at,
                f"Say what of them: {what}.{head.text}.count, or {what}.{head.text}.<label>. A label of that name is "
                f'written {what}."{head.text}".',
            )
        kind = "mask" if head.text == "segmentation" else head.text
        conditions = [f"type = {self.values.bind(kind)}"]
        if rest[0].quoted or rest[0].text != "count":
            conditions.append(f"label = {self.values.bind(rest[0].text)}")
        self._no_more(rest[0], rest[1:])
        return self._number_of(what, conditions)

    def _number_of(self, what: Collection, conditions: Sequence[str]) -> Expression:
        """Count annotations or predictions of an item; without a type, those that have a place in the image."""
        table, alias = what.removesuffix("s"), self.alias()
        if not any(condition.startswith("type") for condition in conditions):
            conditions = [_GEOMETRIC, *conditions]
        tests = [f"{alias}.{condition}" for condition in conditions]
        return Expression(
            "number", f"(SELECT count(*) FROM {table} AS {alias} WHERE {self._belongs(what, alias, tests)})"
        )

    def counted(self, what: Collection, alias: str, condition: str) -> Expression:
        """Count the annotations or predictions of an item for which a condition on an alias holds."""
        table = what.removesuffix("s")
        where = self._belongs(what, alias, [f"({condition})"])
        return Expression("number", f"(SELECT count(*) FROM {table} AS {alias} WHERE {where})")

    def some(self, what: Collection, looked: Looked, condition: str) -> str:
        """Say that there is a row for which a condition on its alias holds."""
        tests = [f"({condition})"]
        if looked.label is not None:
            tests.insert(0, f"{looked.alias}.label = {self.values.bind(looked.label)}")
        if what == "slice":
            held = self.alias()
            return (
                f"EXISTS (SELECT 1 FROM slice_item AS {held} CROSS JOIN slice AS {looked.alias}"
                f" ON {looked.alias}.id = {owner_sql(f'{held}.place')} WHERE {held}.item = item.id"
                f" AND NOT {looked.alias}.deleted AND {' AND '.join(tests)})"
            )
        table = what.removesuffix("s")
        return f"EXISTS (SELECT 1 FROM {table} AS {looked.alias} WHERE {self._belongs(what, looked.alias, tests)})"

    def _belongs(self, what: Collection, alias: str, tests: Sequence[str]) -> str:
        own = [f"{alias}.item = item.id", *([self.runs.format(f"{alias}.run")] if what == "predictions" else [])]
        return " AND ".join([*own, *tests])

    def _look(self, what: Collection) -> Looked:
        if what not in self.looked:
            self.looked[what] = Looked(self.alias())
        return self.looked[what]

    def alias(self) -> str:
        """Return a name to a table of the condition's own."""
        self._count += 1
        return f"t{self._count}"

    def category_of(self, one: Field) -> Expression | None:
        """Return the label that an item has in a taxonomy, where a field may name one: annotations.<taxonomy>."""
        names = one.names[1:] if one.names[0].text == "item" else one.names
        if one.condition is not None or len(names) != 2 or names[0].text not in ("annotations", "predictions"):
            return None
        what: Collection = "annotations" if names[0].text == "annotations" else "predictions"
        if not names[1].quoted and (names[1].text in ("count", *TYPES) or self._is_own(names[1])):
            return None
        key, alias = self.values.bind(f"\x1fcategory\x1f{names[1].text}"), self.alias()
        where = self._belongs(what, alias, [f"{alias}.key = {key}"])
        newest = f" ORDER BY {alias}.run DESC LIMIT 1" if what == "predictions" else ""
        sql = f"(SELECT {alias}.label FROM {what.removesuffix('s')} AS {alias} WHERE {where}{newest})"
        return Expression("text", sql)

    # Annotations and predictions

    def _of_object(self, names: Sequence[Name], alias: str) -> Expression:
        first, *others = names
        if first.text == "metadata":
            return self._json(f"{alias}.metadata", first, others)
        if first.text in ("position", "dimensions"):
            return self._geometry(alias, first, others)
        if first.text == "class_pdf":
            if not others:
                raise self.complaints.error(first.at, 'Name a label: class_pdf.car, or class_pdf."traffic light".')
            return self._json(f"{alias}.extra", first, names)
        self._no_more(first, others)
        if first.text in _NUMBERS:
            return Expression("number", f"{alias}.{first.text}")
        if first.text == "area":
            return Expression("number", f"({alias}.width * {alias}.height)")
        if first.text == "annotation_id":
            own = f"json_extract({alias}.extra, '$.annotation_id')"
            return Expression("text", f"CASE WHEN {alias}.key >= ' ' THEN {alias}.key ELSE {own} END")
        if first.text in _TEXTS:
            return Expression("text", f"json_extract({alias}.extra, '$.{first.text}')")
        return Expression("text", f"{alias}.{first.text}")

    def _geometry(self, alias: str, first: Name, others: Sequence[Name]) -> Expression:
        axis = others[0].text if others else ""
        if axis not in ("x", "y", "z"):
            raise self.complaints.error(first.at, f"Say along which axis: {first.text}.x, {first.text}.y or .z.")
        self._no_more(others[0], others[1:])
        columns = {"position": {"x": "x", "y": "y"}, "dimensions": {"x": "width", "y": "height"}}[first.text]
        box = f"WHEN 'box' THEN {alias}.{columns[axis]} " if axis in columns else ""
        cuboid = f"json_extract({alias}.geometry, '$.{first.text}.{axis}')"
        return Expression("number", f"CASE {alias}.type {box}WHEN 'cuboid' THEN {cuboid} END")

    def _of_match(self, names: Sequence[Name]) -> Expression:
        first, *others = names
        self._no_more(first, others)
        kind: Literal["number", "text"] = "number" if first.text in ("iou", "confidence") else "text"
        return Expression(kind, f"object.{first.text}")

    # Metadata

    def _json(self, column: str, first: Name, keys: Sequence[Name]) -> Expression:
        if not keys:
            raise self.complaints.error(first.at, f'Name a key: {first.text}.weather, or {first.text}."two words".')
        for key in keys:
            if not key.text or any(character in '"\\\x7f' or character < " " for character in key.text):
                raise self.complaints.error(
                    key.at,
                    "No query asks for a key that is empty, or has quotation marks, backslashes or control characters.",
                )
        path = self.values.bind("$" + "".join(f'."{key.text}"' for key in keys))
        return Expression("any", f"json_extract({column}, {path})", f"json_type({column}, {path})", column)

    def _no_more(self, first: Name | None, others: Sequence[Name]) -> None:
        if others:
            name = others[0]
            what = "It" if first is None else f"'{first.text}'"
            raise self.complaints.error(name.at, f"{what} has no parts, so there is no '{name.text[:60]}' of it.")
