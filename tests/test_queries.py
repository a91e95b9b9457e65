"""The query language: what it finds, held to plain Python; where it points when it is wrong; what it refuses."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd

Row = dict[str, Any]
VALUES: list[Any] = ["rain", "sun", "7", "", 7, 7.5, 0, -3, True, False, None, ["rain"], {"rain": 1}]
LABELS = ["car", "bus", "traffic light", "count"]
EXAMPLES = int(os.environ.get("NUCLEUS_PANDAS_QUERIES", "150"))


def images() -> list[Row]:
    """Images that have every value under every key, or lack the key; and from no to four boxes and a category."""
    made = []
    for number in range(48):
        metadata = {"weather": VALUES[number % 13], "deep": {"k": VALUES[number % 5], "two words": number % 4}}
        metadata["hour"] = VALUES[(number * 5 + 4) % 13]
        for key in [["weather"], ["hour"], [], [], []][number % 5]:
            del metadata[key]
        truths = [
            {
                "type": "box",
                "label": LABELS[(number + place) % 4],
                "annotation_id": f"{number}-{place}",
                "metadata": {"speed": VALUES[(number + 3 * place) % 13]} if place % 3 else {},
                "geometry": {"x": place, "y": number % 7, "width": 10 + number % 9, "height": 5.5 * place},
            }
            for place in range(number % 5)
        ]
        if number % 3 == 0:
            light = {"type": "category", "label": ["night", "day"][number % 2], "taxonomy_name": "light"}
            truths.append({**light, "annotation_id": "c"})
        sizes = {"width": 640, "height": 480 + number} if number % 2 else {}
        made.append({"reference_id": f"{number}.jpg", "metadata": metadata, "truths": truths, **sizes})
    return made


IMAGES = images()


@dataclass
class World:
    """A dataset of those images, and a run with a prediction on every second of them."""

    dataset: npd.Dataset
    run: npd.ModelRun
    other: npd.ModelRun


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with npd.NucleusClient.local(tmp_path_factory.mktemp("queries") / "store") as client:
        dataset = client.create_dataset("Streets")
        keys = ("reference_id", "metadata", "width", "height")
        dataset.append(
            [{key: one[key] for key in keys if key in one} | {"image_url": "https://e.org/x"} for one in IMAGES]
        )
        dataset.annotate([{**box, "reference_id": one["reference_id"]} for one in IMAGES for box in one["truths"]])
        model = client.add_model("M", "m")
        runs = []
        for label, every in (("van", 2), ("lorry", 3)):
            run = dataset.create_model_run(model)
            rows = pd.DataFrame({"reference_id": [one["reference_id"] for one in IMAGES[::every]], "label": label})
            rows["confidence"] = [number % 10 / 10 for number in range(len(rows))]
            run.predict(rows.assign(x=1, y=2, width=3, height=4))
            runs.append(run)
        runs[0].commit()
        dataset.create_slice("wet & dark", ["3.jpg", "1.jpg"])
        yield World(dataset, *runs)


def found(world: World, text: str, kind: Any = "items", **options: Any) -> list[str]:
    names: list[str] = world.dataset.query(text, kind=kind, **options)["reference_id"].tolist()
    return names


def names(test: Callable[[Row], Any]) -> list[str]:
    return [one["reference_id"] for one in IMAGES if test(one)]


# The oracle: each value knows its text and what it is for an image, each condition whether it holds (None: unknown)


@dataclass
class Value:
    text: str
    of: Callable[[Row, Row | None], Any]
    many: bool = False
    kind: str = "any"  # text: nothing is calculated with it; label: beside a text it would be a taxonomy

    def __repr__(self) -> str:
        return self.text


@dataclass
class Condition:
    text: str
    of: Callable[[Row], bool | None]

    def __repr__(self) -> str:
        return self.text


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    return {int: "number", float: "number", str: "text"}.get(type(value), "other")


SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compared(sign: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    if kind_of(left) != kind_of(right):
        return sign == "!="
    if kind_of(left) == "other" and sign not in ("=", "!="):
        return False
    return bool(SIGNS[sign](left, right))


def metadata_of(*keys: str) -> Callable[[Row, Row | None], Any]:
    def of(one: Row, _: Row | None) -> Any:
        value = one["metadata"]
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return of


def number(value: Any) -> Any:
    return value if kind_of(value) == "number" else None


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


def count(*labels: str) -> Callable[[Row, Row | None], int]:
    def of(one: Row, _: Row | None) -> int:
        boxes = [box for box in one["truths"] if box["type"] == "box"]
        return sum(box["label"] in labels for box in boxes) if labels else len(boxes)

    return of


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


def every(left: Condition, right: Condition) -> Condition:
    def of(one: Row) -> bool | None:
        both = left.of(one), right.of(one)
        return False if False in both else None if None in both else True

    return Condition(f"({left.text}) AND ({right.text})", of)


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
law = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@law
@given(condition=conditions)
def test_queries_find_what_plain_python_finds(world: World, condition: Condition) -> None:
    note(condition.text)
    assert found(world, condition.text) == names(lambda one: condition.of(one) is True)


# What the words say


def test_the_documented_example(world: World) -> None:
    expected = names(lambda one: one["metadata"].get("weather") == "rain" and count()(one, None) > 2)
    assert expected
    assert found(world, 'metadata.weather = "rain" and annotations.count > 2') == expected


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("metadata.weather = rain", lambda one: one["metadata"].get("weather") == "rain"),
        ("metadata.weather in (rain, sun)", lambda one: one["metadata"].get("weather") in ("rain", "sun")),
        ("metadata.weather in ['rain', 7,]", lambda one: compared_to_any(one["metadata"].get("weather"), "rain", 7)),
        (
            "metadata.weather == 'rain' OR metadata.weather <> 'rain'",
            lambda one: one["metadata"].get("weather") is not None,
        ),
        ("annotations.light = night", lambda one: category(one) == "night"),
        ("annotations.light != 'night'", lambda one: category(one) == "day"),
        ("annotations.light in ('night', day)", lambda one: category(one) is not None),
        ("annotations.light like 'N%'", lambda one: category(one) == "night"),
        ("annotations.taxonomy_name = 'light'", lambda one: category(one) is not None),
        (
            "annotations.car.speed = 7",
            lambda one: any(box["label"] == "car" and speed(box) == 7 for box in one["truths"]),
        ),
        (
            "annotations.\"traffic light\".speed = 'rain'",
            lambda one: any(box["label"] == "traffic light" and speed(box) == "rain" for box in one["truths"]),
        ),
        (
            "annotations[label = 'car' and x > 1]",
            lambda one: any(box["label"] == "car" and box["geometry"]["x"] > 1 for box in one["truths"]),
        ),
        (
            "annotations[x > 1 and label = 'car'].count = 1",
            lambda one: sum(box["label"] == "car" and box["geometry"]["x"] > 1 for box in one["truths"]) == 1,
        ),
        ("annotations[item.width = 640 and label = 'car']", lambda one: "width" in one and count("car")(one, None) > 0),
        (
            "annotations[annotations.x = 2]",
            lambda one: any(box.get("geometry", {}).get("x") == 2 for box in one["truths"]),
        ),
        ("not annotations.label = 'car'", lambda one: not count("car")(one, None)),
        ("annotations.label != 'car'", lambda one: any(box["label"] != "car" for box in one["truths"])),
        (
            "annotations.width > annotations.height * 2",
            lambda one: any(
                "geometry" in box and box["geometry"]["width"] > 2 * box["geometry"]["height"] for box in one["truths"]
            ),
        ),
        ("slice = 'wet & dark'", lambda one: one["reference_id"] in ("1.jpg", "3.jpg")),
        ("slice.name = 'nobody'", lambda one: False),
        ("slice.id like 'slc_%' and item.slice like 'WET%'", lambda one: one["reference_id"] in ("1.jpg", "3.jpg")),
        ("dataset_item_id like 'di_%2a'", lambda one: one["reference_id"] == "42.jpg"),
        ("reference_id in ('7.jpg', '9.jpg')", lambda one: one["reference_id"] in ("7.jpg", "9.jpg")),
        ("reference_id like '1_.jpg'", lambda one: len(one["reference_id"]) == 6 and one["reference_id"][0] == "1"),
        ("reference_id like '1\\_.jpg'", lambda one: False),
        ("height = 480 + 5", lambda one: one.get("height") == 485),
        ("height - 480 - 5 = 2 * 3 - 1 * 6 and 7 / 2 = 3.5", lambda one: one.get("height") == 485),
        ("-height < -500", lambda one: one.get("height", 0) > 500),
        (
            "height % 10 = 5 and 7.5 % 2 = 1.5 and -7 % 3 = -1 and not 5 % 0 is not null",
            lambda one: one.get("height", 0) % 10 == 5,
        ),
        ("metadata.weather = 2021-01-01", lambda one: False),
        (
            "metadata.weather > 2021-01-01",
            lambda one: isinstance(one["metadata"].get("weather"), str) and one["metadata"]["weather"] > "2021-01-01",
        ),
        ("true", lambda one: True),
        ("not true or false", lambda one: False),
        ("", lambda one: True),
        (" \n\t ", lambda one: True),
        ("predictions.count > 0", lambda one: number_of(one) % 2 == 0 or number_of(one) % 3 == 0),
        ("predictions.van = 1 and predictions.lorry = 1", lambda one: number_of(one) % 6 == 0),
        ("predictions.label = 'lorry'", lambda one: number_of(one) % 3 == 0),
    ],
)
def test_what_a_query_means(world: World, text: str, test: Callable[[Row], Any]) -> None:
    assert found(world, text) == names(test)


def compared_to_any(value: Any, *choices: Any) -> bool:
    return any(compared("=", value, choice) for choice in choices)


def category(one: Row) -> str | None:
    return next((box["label"] for box in one["truths"] if box["type"] == "category"), None)


def speed(box: Row) -> Any:
    return box.get("metadata", {}).get("speed")


def number_of(one: Row) -> int:
    return int(one["reference_id"].split(".")[0])


def test_one_comparison_looks_at_one_annotation_and_two_at_any_two(world: World) -> None:
    both = found(world, "annotations.label = 'car' and annotations.x = 0")
    same = found(world, "annotations[label = 'car' and x = 0]")
    assert set(same) < set(both)


def test_values_are_bound_and_never_pasted(world: World) -> None:
    for text in ("x' OR '1'='1", "'); DROP TABLE item; --", 'a"b', "\\", "%", "ü 日本 \N{GRINNING FACE}"):
        quoted = '"' + text.replace('"', '""') + '"'
        assert found(world, f"metadata.weather = {quoted}") == []
        assert found(world, f"metadata.weather in ({quoted}, {quoted})") == []
        assert found(world, f"slice = {quoted}") == []
        assert found(world, f"annotations.{quoted} > 0") == []
    assert len(world.dataset) == len(IMAGES)


def test_keys_of_any_characters_are_asked_for(local: npd.NucleusClient) -> None:
    keys = ["in", "a b", "ü", "a.b", "日本", "'", "$", "[0]", "count", "\N{GRINNING FACE}", "a%", "null", "#"]
    dataset = local.create_dataset("Keys")
    rows = [
        {"reference_id": key, "image_url": "https://e.org/x", "metadata": {key: 1, "deep": {key: 2}}} for key in keys
    ]
    dataset.append(rows)
    for key in keys:
        assert dataset.query(f'metadata."{key}" = 1')["reference_id"].tolist() == [key]
        assert dataset.query(f'metadata.deep."{key}" = 2')["reference_id"].tolist() == [key]
    assert len(dataset.query("metadata.in = 1 or metadata.null = 1 or metadata.count = 1")) == 3


def test_numbers_of_every_size_are_compared(local: npd.NucleusClient) -> None:
    numbers = [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**30, 1e300, -1e300, 5e-324, 0.1]
    dataset = local.create_dataset("Numbers")
    dataset.append([{"reference_id": str(n), "image_url": "https://e.org/x", "metadata": {"n": n}} for n in numbers])
    for one in numbers:
        assert str(one) in dataset.query(f"metadata.n = {one!r}")["reference_id"].tolist()
    assert dataset.query("metadata.n = 9007199254740993")["reference_id"].tolist() == [str(2**53 + 1)]
    assert len(dataset.query("metadata.n + metadata.n > metadata.n or metadata.n * -1 > 0 or metadata.n = 0")) == 12
    assert len(dataset.query("metadata.n % 7 is not null and -metadata.n is not null")) == 12


# Annotations and predictions


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("", lambda one, box: True),
        ("label = 'car'", lambda one, box: box["label"] == "car"),
        ("annotations.label = 'car'", lambda one, box: box["label"] == "car"),
        ("metadata.speed = 7", lambda one, box: speed(box) == 7),
        (
            "annotations.metadata.speed = 7 and label = 'bus'",
            lambda one, box: speed(box) == 7 and box["label"] == "bus",
        ),
        ("item.metadata.weather = 'rain'", lambda one, box: one["metadata"].get("weather") == "rain"),
        (
            "item.width = 640 and width > 12",
            lambda one, box: "width" in one and box.get("geometry", {}).get("width", 0) > 12,
        ),
        ("annotations.count > 3", lambda one, box: count()(one, None) > 3),
        (
            "annotations.car > 0 and label != 'car'",
            lambda one, box: count("car")(one, None) > 0 and box["label"] != "car",
        ),
        (
            "annotations[label = 'bus'] and label = 'car'",
            lambda one, box: count("bus")(one, None) > 0 and box["label"] == "car",
        ),
        ("reference_id = '9.jpg'", lambda one, box: one["reference_id"] == "9.jpg"),
        ("type = 'category'", lambda one, box: box["type"] == "category"),
        ("x is null", lambda one, box: box["type"] == "category"),
        ("predictions.van > 0", lambda one, box: number_of(one) % 2 == 0),
        ("area > 100 and slice is null", lambda one, box: False),
        ("slice = 'wet & dark'", lambda one, box: number_of(one) in (1, 3)),
    ],
)
def test_annotations_are_found(world: World, text: str, test: Callable[[Row, Row], Any]) -> None:
    expected = [box["annotation_id"] for one in IMAGES for box in one["truths"] if test(one, box)]
    frame = world.dataset.query(text, kind="annotations")
    assert frame["annotation_id"].tolist() == expected


def test_predictions_are_found(world: World) -> None:
    whole = world.run.predictions.to_frame()
    frame = world.dataset.query("confidence > 0.65 and item.height is not null", "predictions", run=world.run)
    assert frame["reference_id"].tolist() == []
    frame = world.dataset.query(
        "predictions.confidence > 0.65 and predictions.count = 1", "predictions", run=world.run.id
    )
    assert_frame_equal(frame, whole[whole["confidence"] > 0.65].reset_index(drop=True))
    assert len(frame)
    of_truths = world.dataset.query("annotations.label = 'car'", "predictions", run=world.run)
    assert of_truths["reference_id"].tolist() == names(lambda one: number_of(one) % 2 == 0 and count("car")(one, None))


def test_predictions_are_those_of_the_run_that_is_named(world: World) -> None:
    assert found(world, "predictions.count > 0", run=world.other) == names(lambda one: number_of(one) % 3 == 0)
    assert found(world, "predictions.label = 'van'", run=world.other) == []
    assert found(world, "predictions.count > 1") == names(lambda one: number_of(one) % 6 == 0)
    labels = world.dataset.query("predictions.lorry = 0", "annotations", run=world.run)["reference_id"]
    assert len(labels) == len(world.dataset.annotations)


def test_a_slice_is_queried(world: World) -> None:
    (made,) = world.dataset.slices
    assert made.query("true")["reference_id"].tolist() == ["3.jpg", "1.jpg"]
    assert made.query("annotations.count > 1")["reference_id"].tolist() == ["3.jpg"]
    boxes = made.query("x = 0", "annotations")
    assert boxes["reference_id"].tolist() == ["3.jpg", "1.jpg"]
    assert made.query("confidence >= 0", "predictions", run=world.other)["reference_id"].tolist() == ["3.jpg"]


def test_what_is_found_has_the_dtypes_of_the_views_even_if_it_is_nothing(world: World) -> None:
    dataset, run = world.dataset, world.run
    for text in ("true", "false"):
        pairs = [(dataset.query(text), dataset.items.to_frame())]
        pairs += [(dataset.query(text, "annotations"), dataset.annotations.to_frame())]
        pairs += [(dataset.query(text, "predictions", run=run), run.predictions.to_frame())]
        for frame, whole in pairs:
            assert_frame_equal(frame, whole if text == "true" else whole.iloc[:0])
    flat = dataset.query("true", metadata_as="columns", dtype_backend="pyarrow")
    assert_frame_equal(flat, dataset.items.to_frame("columns", "pyarrow"))


def test_many_rows_come_in_pages(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Many")
    rows = pd.DataFrame({"reference_id": [str(n) for n in range(23_000)], "image_url": "https://e.org/x"})
    dataset.append(rows.assign(n=range(23_000)), metadata=["n"])
    dataset.annotate(rows[["reference_id"]].assign(label="car", x=1, y=2, width=3, height=4))
    odd = dataset.query("metadata.n % 2 = 1")
    assert odd["reference_id"].tolist() == [str(n) for n in range(1, 23_000, 2)]
    boxes = dataset.query("item.metadata.n % 2 = 0", "annotations")
    assert boxes["reference_id"].tolist() == [str(n) for n in range(0, 23_000, 2)]
    made = dataset.create_slice("even", boxes)
    assert len(made) == 11_500


# Errors


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("metadata.weather = ", 1, 19, "The query ends too early; expected a field or a value"),
        ("metadata.weather = 'rain", 1, 20, "This text does not end"),
        ("metadata.weather = rain rain", 1, 25, "There cannot be 'rain' here; expected an operator"),
        ("width > > 5", 1, 9, "There cannot be '>' here"),
        ("(width > 5", 1, 11, r"ends too early; expected 'or' or '\)'"),
        ("width > 5)", 1, 10, r"There cannot be '\)' here"),
        ("width ~ 5", 1, 7, "no character '~'"),
        ("width = 5x", 1, 9, "no number"),
        ("width = 1e999", 1, 9, "too large"),
        ("width = -1e999", 1, 9, "too large"),
        ("width in (1e999)", 1, 11, "too large"),
        ("width in ()", 1, 11, "expected a field or a value"),
        ("width in 5", 1, 10, "a list in parentheses"),
        ("width in (1, null)", 1, 14, "'is null' beside the list"),
        ("width = null", 1, 9, "write 'is null'"),
        ("null", 1, 1, "This is a value"),
        ("width is 5", 1, 10, "'null' or 'not null'"),
        ("width < 1 < 2", 1, 11, "There cannot be '<' here"),
        ("width", 1, 1, "This is a number, and neither true nor false"),
        ("reference_id", 1, 1, "This is a text, and neither"),
        ("'rain'", 1, 1, "This is a value"),
        ("5", 1, 1, "This is a value"),
        ("not 5", 1, 5, "This is a value"),
        ("width + 5", 1, 1, "This is a value"),
        ("(width > 5) + 1 = 2", 1, 8, "a condition, where a value is needed"),
        ("(width > 5) = true", 1, 8, "a condition, where a value is needed"),
        ("width + 'a' > 5", 1, 9, "a text, with which nothing is calculated"),
        ("width * true > 5", 1, 9, "a flag, with which nothing is calculated"),
        ("-reference_id = 5", 1, 2, "a text, with which nothing is calculated"),
        ("widht > 5", 1, 1, "There is no field 'widht'. Is 'width' meant?"),
        ("nobody > 5", 1, 1, "There is no field 'nobody'. There are reference_id"),
        ("width > heigth", 1, 9, "There is no field 'heigth'. Is 'height' meant?"),
        ("rain = metadata.weather", 1, 1, "There is no field 'rain'"),
        ("label = 'car'", 1, 1, "There is no field 'label'"),
        ("width.x > 5", 1, 7, "'width' has no parts, so there is no 'x' of it"),
        ("annotations.count.x > 5", 1, 19, "'count' has no parts"),
        ("annotations.label.x = 5", 1, 19, "'label' has no parts"),
        ("annotations.box.car.x = 5", 1, 21, "'car' has no parts"),
        ("annotations > 5", 1, 1, "Say what of the annotations"),
        ("annotations.box > 5", 1, 13, "Say what of them: annotations.box.count"),
        ("annotations.position > 5", 1, 13, "along which axis"),
        ("annotations.position.w > 5", 1, 13, "along which axis"),
        ("annotations.metadata = 5", 1, 13, "Name a key"),
        ("annotations.car.speed > annotations.bus.speed", 1, 37, "no 'car' and 'bus'"),
        ("metadata = 5", 1, 1, "Name a key"),
        ("metadata.'' = 5", 1, 10, "a key that is empty"),
        ('metadata."a""b" = 5', 1, 10, "a key that is empty"),
        ("metadata.'\\' = 5", 1, 10, "a key that is empty"),
        ("metadata.'a\0' = 5", 1, 10, "a key that is empty"),
        ("slice.x = 5", 1, 7, "There is no field of slices called 'x'"),
        ("metadata[width > 5]", 1, 1, "Brackets stand behind 'annotations'"),
        ("annotations[annotations[x > 1]]", 1, 13, "Brackets do not stand in brackets"),
        ("annotations[x > 1].label = 'a'", 1, 20, "or is counted"),
        ("annotations[x > 1].count", 1, 1, "This is a value"),
        ("annotations[x > 1] = 5", 1, 1, "or is counted"),
        ("annotations[width]", 1, 13, "This is a number, and neither"),
        ("width like 5", 1, 12, "'like' takes a text"),
        ("width like reference_id", 1, 12, "'like' takes a text"),
        ("width = 5 and\n  height = 7 or\n  depth = 3", 3, 3, "There is no field 'depth'"),
        ("\n\nwidth =", 3, 8, "ends too early"),
    ],
)
def test_an_error_says_what_is_wrong_and_points_at_it(
    world: World, text: str, line: int, column: int, sentence: str
) -> None:
    with pytest.raises(npd.BadRequestError, match=sentence) as caught:
        world.dataset.query(text)
    said, excerpt, caret = str(caught.value).split("\n")
    assert said.endswith(f" - line {line}, column {column} of the query:")
    rows = text.split("\n")
    assert excerpt == "    " + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in rows[line - 1])
    assert caret == " " * (4 + column - 1) + "^"
    assert isinstance(caught.value, ValueError)


def test_a_long_line_is_cut_around_the_place(world: World) -> None:
    text = " or ".join(["width = 5"] * 20) + " or depth = 5" + " or width = 5" * 20
    with pytest.raises(npd.BadRequestError) as caught:
        world.dataset.query(text)
    _, excerpt, caret = str(caught.value).split("\n")
    assert excerpt[caret.index("^") :].startswith("depth = 5")
    assert (excerpt[4], excerpt[-1]) == ("…", "…")
    assert len(excerpt) < 110


@pytest.mark.parametrize(
    "field", ["scene.metadata.foo", "autotag.image.rain", "scale_metadata.task_id", "item.scene.x"]
)
def test_what_this_server_does_not_have_is_told(world: World, field: str) -> None:
    with pytest.raises(npd.UnsupportedError, match="line 1, column"):
        world.dataset.query(f'{field} = "baz"')


@pytest.mark.parametrize(
    ("given", "options", "reason"),
    [
        (7, {}, "A query is a text"),
        (None, {}, "A query is a text"),
        ("true", {"kind": "boxes"}, "kind is 'items', 'annotations' or 'predictions'"),
        ("true", {"kind": "predictions"}, "Predictions are those of a run"),
        ("true", {"run": 7}, "run is a ModelRun or its id"),
        ("true", {"metadata_as": "flat"}, "metadata_as"),
    ],
)
def test_mistakes_are_told_here(world: World, given: Any, options: Row, reason: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=reason):
        world.dataset.query(given, **options)


def test_a_run_on_another_dataset_is_refused(local: npd.NucleusClient) -> None:
    one, two = local.create_dataset("One"), local.create_dataset("Two")
    run = two.create_model_run(local.add_model("M", "m"))
    for kind in ("items", "annotations"):
        with pytest.raises(npd.BadRequestError, match="on another dataset"):
            one.query("predictions.count > 0", kind, run=run)
    with pytest.raises(npd.NotFoundError):
        one.query("true", "predictions", run="run_0")


# Queries without an end


@pytest.mark.parametrize(
    "text",
    [
        "(" * 49_000,
        "(" * 24_000 + "width" + ")" * 24_000 + " = 5",
        "(" * 51 + "width = 5" + ")" * 51,
        "not " * 12_000 + "true",
        "- " * 20 + "width = 5",
        "width" + " + width" * 6_000 + " = 5",
        "width" + " % width" * 6_000 + " = 5",
        "width = 5" + " or width = 5" * 3_000,
        "width = 5" + " and (width = 5" * 3_000 + ")" * 3_000,
        "annotations[" * 4_000,
        "metadata" + ".a" * 24_000 + " = 5",
        "width in (" + "1," * 24_000 + "1)",
        "width in (" + "1," * 9_999 + "1) or width in (1)",
        "width = " + "9" * 49_000,
        "reference_id = '" + "a" * 49_000,
        "reference_id like '" + "%a" * 2_000 + "'",
        "'" * 49_001,
        "a" * 1_000_000,
        "width = 5 or " * 80_000 + "true",
        "\N{GRINNING FACE}" * 49_000,
    ],
    ids=lambda text: f"{text[:12]} {len(text)}",
)
def test_a_query_without_an_end_is_refused(world: World, text: str) -> None:
    with pytest.raises(npd.BadRequestError) as caught:
        world.dataset.query(text)
    assert len(str(caught.value)) < 500


def test_what_is_just_within_the_limits_is_answered(world: World) -> None:
    parentheses = "(" * 50 + "width = 640" + ")" * 50
    assert found(world, parentheses) == names(lambda one: "width" in one)
    assert found(world, " or ".join(["width = 640"] * 100)) == names(lambda one: "width" in one)
    many = ", ".join(f"'{number}'" for number in range(4_999))
    assert found(world, f"reference_id in ({many}, '7.jpg')") == ["7.jpg"]
    assert found(world, f"width + {' + '.join(['0'] * 197)} = 640") == names(lambda one: "width" in one)
    assert found(world, "metadata.weather = '" + "a" * 40_000 + "'") == []


NESTS: list[tuple[str, str, str]] = [
    ("width = 640 and (height = 0 or ", ")", "width = 640"),
    ("not (true and ", ")", "metadata.weather = metadata.hour"),
    ("metadata.hour + (2 * ", ") ", "metadata.hour"),
    ("metadata.hour % (7 - ", ")", "metadata.hour"),
    ("1 - -(1 / ", ")", "metadata.deep.k"),
    ("annotations.x % (annotations.metadata.speed * ", ")", "predictions.confidence"),
]


@pytest.mark.parametrize(("before", "behind", "core"), NESTS)
@pytest.mark.parametrize("around", ["{}", "annotations[{}]", "predictions[{}]", "annotations[{}].count > 1 or true"])
def test_nesting_is_refused_by_the_language_and_never_by_the_store(
    world: World, before: str, behind: str, core: str, around: str
) -> None:
    answered = []
    for depth in range(16):
        text = before * depth + core + behind * depth
        if "=" not in before + core:
            text = f"{text} = 5"
        try:
            world.dataset.query(around.format(text))
            answered.append(depth)
        except npd.BadRequestError as error:
            sentence = str(error)
    assert "A query is nested at most 10 deep" in sentence
    assert answered == [*range(len(answered))]
    assert len(answered) >= 3


# Anything at all

words = st.sampled_from(
    [
        *[
            "width",
            "metadata",
            "metadata.weather",
            "annotations",
            "annotations.count",
            "predictions.car",
            "item",
            "slice",
        ],
        *["and", "or", "not", "in", "like", "is", "null", "true", "(", ")", "[", "]", ",", ".", "=", "!=", "<", ">="],
        *["+", "-", "*", "/", "%", "5", "7.5", "1e400", "2021-01-01", '"rain"', "'%a'", '""', "rain", "label", "count"],
        *[
            "\N{GRINNING FACE}",
            "\0",
            "'",
            '"',
            "annotations[",
            "\\",
            "\n",
            "ü",
            "x",
            "position",
            "scene",
            "_",
            "$",
            "--",
        ],
    ]
)


@settings(max_examples=EXAMPLES * 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(st.lists(words, max_size=14).map(" ".join), st.lists(words, max_size=8).map("".join), st.text()),
    kind=st.sampled_from(["items", "annotations", "predictions"]),
)
@example(text='metadata."a\0" is null', kind="items")
@example(text="width = 5 'a\nb'", kind="items")
@example(text="annotations.label.'a\nb' = 5", kind="annotations")
def test_any_text_is_answered_or_refused_with_a_place(world: World, text: str, kind: Any) -> None:
    sentence = ""
    try:
        world.dataset.query(text, kind=kind, run=world.run if kind == "predictions" else None)
    except (npd.BadRequestError, npd.UnsupportedError) as error:
        sentence = str(error)
    assert not sentence or (" - line " in sentence and sentence.split("\n")[2].strip() == "^")
