"""The query language finds what plain Python finds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.server.query.oracle import (
    EXAMPLES,
    SIGNS,
    Condition,
    QueriedDataset,
    Row,
    compared,
    count,
    every,
    found,
    names,
    number,
)


# The oracle: each value knows its text and what it is for an image, each condition whether it holds (None: unknown)
@dataclass
class Value:
    text: str
    of: Callable[[Row, Row | None], Any]
    many: bool = False
    kind: str = "any"  # text: nothing is calculated with it; label: beside a text it would be a taxonomy

    def __repr__(self) -> str:
        return self.text


def metadata_of(*keys: str) -> Callable[[Row, Row | None], Any]:
    def of(one: Row, _: Row | None) -> Any:
        value = one["metadata"]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return of


def calculated(sign: str, left: Any, right: Any) -> Any:
    left, right = number(left), number(right)
    if left is None or right is None or (sign in "/%" and right == 0):
        return None
    if sign == "%":
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](left, right)


LITERALS: list[Value] = [
    Value('"rain"', lambda one, box: "rain", kind="text"),
    Value("'7'", lambda one, box: "7", kind="text"),
    Value('""', lambda one, box: "", kind="text"),
    Value("7", lambda one, box: 7),
    Value("7.0", lambda one, box: 7.0),
    Value("-3", lambda one, box: -3),
    Value("0", lambda one, box: 0),
    Value("true", lambda one, box: True, kind="text"),
    Value("FALSE", lambda one, box: False, kind="text"),
]


FIELDS: list[Value] = [
    Value("metadata.weather", metadata_of("weather")),
    Value("item.metadata.hour", metadata_of("hour")),
    Value("metadata.deep.k", metadata_of("deep", "k")),
    Value('metadata."deep"."two words"', metadata_of("deep", "two words")),
    Value("metadata.nothing", metadata_of("nothing")),
    Value("width", lambda one, box: one.get("width")),
    Value("height", lambda one, box: one.get("height")),
    Value("reference_id", lambda one, box: one["reference_id"], kind="text"),
]


COUNTS = [
    Value("annotations.count", count()),
    Value("annotations.car", count("car"), kind="label"),
    Value('annotations."traffic light"', count("traffic light"), kind="label"),
    Value('annotations."count"', count("count"), kind="label"),
    Value("annotations.box.bus", count("bus")),
    Value("annotations.box.count", count()),
    Value("annotations.category.count", lambda one, box: sum(box["type"] == "category" for box in one["truths"])),
    Value("annotations[label = 'car' or label = 'bus'].count", count("car", "bus")),
]


def area(box: Row | None) -> float | None:
    return box["geometry"]["width"] * box["geometry"]["height"] if box and "geometry" in box else None


BOXES = [
    Value("annotations.label", lambda one, box: box and box["label"], many=True, kind="text"),
    Value("annotations.type", lambda one, box: box and box["type"], many=True, kind="text"),
    Value("annotations.annotation_id", lambda one, box: box and box["annotation_id"], many=True, kind="text"),
    Value("annotations.metadata.speed", lambda one, box: box and box.get("metadata", {}).get("speed"), many=True),
    *(
        Value(f"annotations.{side}", lambda one, box, side=side: box and box.get("geometry", {}).get(side), many=True)
        for side in ("x", "y", "width", "height")
    ),
    Value("annotations.area", lambda one, box: area(box), many=True),
    Value("annotations.position.x", lambda one, box: box and box.get("geometry", {}).get("x"), many=True),
    Value("annotations.dimensions.y", lambda one, box: box and box.get("geometry", {}).get("height"), many=True),
]


def some(many: bool, test: Callable[[Row, Row | None], bool | None]) -> Callable[[Row], bool | None]:
    """For one image; where annotations are named, whether the test holds for one of them."""
    if not many:
        return lambda one: test(one, None)
    return lambda one: any(test(one, box) is True for box in one["truths"])


def chain(left: Value, sign: str, right: Value) -> Value:
    return Value(
        f"({left.text} {sign} {right.text})",
        lambda one, box: calculated(sign, left.of(one, box), right.of(one, box)),
        left.many or right.many,
    )


every_value = st.sampled_from([*FIELDS, *COUNTS, *BOXES, *LITERALS])


numeric = every_value.filter(lambda value: value.kind != "text")


values = st.one_of(
    every_value,
    st.builds(chain, st.builds(chain, numeric, st.sampled_from("+-*/%"), numeric), st.sampled_from("+-"), numeric),
)


def comparison(left: Value, sign: str, right: Value) -> Condition:
    return Condition(
        f"{left.text} {sign} {right.text}",
        some(left.many or right.many, lambda one, box: compared(sign, left.of(one, box), right.of(one, box))),
    )


comparisons = (
    st.tuples(values, st.sampled_from(list(SIGNS)), values)
    .filter(lambda parts: not {"label", "text"} <= {parts[0].kind, parts[2].kind})
    .map(lambda parts: comparison(*parts))
)


def missing(value: Value, negated: bool) -> Condition:
    test = some(value.many, lambda one, box: (value.of(one, box) is None) != negated)
    return Condition(f"{value.text} is {'not ' if negated else ''}null", test)


def membership(value: Value, choices: list[Value], negated: bool) -> Condition:
    def test(one: Row, box: Row | None) -> bool | None:
        own = value.of(one, box)
        if own is None:
            return None
        return any(compared("=", own, choice.of(one, box)) is True for choice in choices)

    listed = ", ".join(choice.text for choice in choices)
    return negation_if(
        negated, Condition(f"{value.text} {'not ' if negated else ''}in ({listed})", some(value.many, test))
    )


def likeness(value: Value, pattern: tuple[str, Callable[[str], bool]], negated: bool) -> Condition:
    def test(one: Row, box: Row | None) -> bool | None:
        own = value.of(one, box)
        return None if own is None else isinstance(own, str) and pattern[1](own)

    return negation_if(
        negated, Condition(f"{value.text} {'not ' if negated else ''}like '{pattern[0]}'", some(value.many, test))
    )


def negation_if(negated: bool, one: Condition) -> Condition:
    return Condition(one.text, lambda row: inverted(one.of(row))) if negated else one


def inverted(value: bool | None) -> bool | None:
    return None if value is None else not value


def truth(value: Value) -> Condition:
    def test(one: Row, box: Row | None) -> bool | None:
        own = value.of(one, box)
        return None if own is None else own is True

    return Condition(value.text, some(value.many, test))


def either(left: Condition, right: Condition) -> Condition:
    def of(one: Row) -> bool | None:
        both = left.of(one), right.of(one)
        return True if True in both else None if None in both else False

    return Condition(f"({left.text} or {right.text})", of)


PATTERNS: list[tuple[str, Callable[[str], bool]]] = [
    ("%", lambda text: True),
    ("R%", lambda text: text.lower().startswith("r")),
    ("_", lambda text: len(text) == 1),
    ("%a_n%", lambda text: "a" in text and text.lower().find("a") + 2 < len(text) and "ain" in text.lower()),
]


documented = st.sampled_from([*FIELDS, *BOXES])


conditions = st.recursive(
    st.one_of(
        comparisons,
        st.builds(missing, documented, st.booleans()),
        st.builds(membership, documented, st.lists(st.sampled_from(LITERALS), min_size=1, max_size=4), st.booleans()),
        st.builds(likeness, documented, st.sampled_from(PATTERNS), st.booleans()),
        st.builds(truth, st.sampled_from([*FIELDS[:5], BOXES[3]])),
    ),
    lambda inner: st.one_of(
        st.builds(every, inner, inner),
        st.builds(either, inner, inner),
        inner.map(lambda one: Condition(f"not ({one.text})", lambda row: inverted(one.of(row)))),
    ),
    max_leaves=5,
)


many_examples = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@many_examples
@given(condition=conditions)
def test_queries_find_what_plain_python_finds(queried: QueriedDataset, condition: Condition) -> None:
    note(condition.text)
    assert found(queried, condition.text) == names(lambda one: condition.of(one) is True)
