"""The wire schema: what is taken, what is refused and how the refusal reads, and the ids computed from content."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleus_pandas import errors
from nucleus_pandas.wire.content_ids import box_ids, fill_annotation_ids
from nucleus_pandas.wire.decoding import convert, decode, item_key
from nucleus_pandas.wire.entities import (
    AnyAnnotation,
    Box,
    BoxGeometry,
    Category,
    Cuboid,
    Keypoints,
    Line,
    Mask,
    MultiCategory,
    Polygon,
    Vertex,
    Vertices,
)
from nucleus_pandas.wire.requests import Annotate, Append, CreateDataset
from tests.factories import CUBOID, SQUARE, TRIANGLE

POSE = {
    "keypoints": [{"x": 1, "y": 2, "visible": True}, {"visible": False}],
    "names": ["nose", "tail"],
    "skeleton": [[0, 1]],
}
EVERY_TYPE: dict[str, dict[str, Any]] = {
    "box": {"label": "car", "geometry": SQUARE},
    "line": {"label": "lane", "geometry": TRIANGLE},
    "polygon": {"label": "road", "geometry": TRIANGLE},
    "keypoints": {"label": "dog", "geometry": POSE},
    "cuboid": {"label": "truck", "geometry": CUBOID},
    "category": {"label": "rain", "geometry": {}, "taxonomy_name": "weather"},
    "multicategory": {"labels": ["rain", "wind"], "geometry": {}, "taxonomy_name": "weather"},
    "mask": {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]},
}
STRUCTS = {
    "box": Box,
    "line": Line,
    "polygon": Polygon,
    "keypoints": Keypoints,
    "cuboid": Cuboid,
    "category": Category,
    "multicategory": MultiCategory,
    "mask": Mask,
}
# What the client sends for fields that the user left out.
NULLS = {
    "annotation_id": None,
    "metadata": None,
    "confidence": None,
    "class_pdf": None,
    "track_reference_id": None,
    "task_id": None,
    "embedding_vector": None,
}


def payload(kind: str, **changes: Any) -> dict[str, Any]:
    return {"type": kind, "reference_id": "a.jpg", **EVERY_TYPE[kind], **changes}


def box_payload(**geometry: Any) -> dict[str, Any]:
    return payload("box", geometry={**SQUARE, **geometry})


def as_bytes(*annotations: Any) -> bytes:
    return json.dumps({"annotations": annotations}).encode()


def read(*annotations: Any) -> list[AnyAnnotation]:
    return decode(as_bytes(*annotations), Annotate).annotations


def refusal(body: bytes, shape: type[Any] = Annotate) -> str:
    with pytest.raises(errors.ValidationError) as caught:
        decode(body, shape)
    return str(caught.value)


def refusal_of(annotation: Any) -> str:
    """The refusal of an annotation that stands behind three good ones."""
    return refusal(as_bytes(*[payload("box")] * 3, annotation))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_every_type_becomes_its_struct(kind: str) -> None:
    assert type(read(payload(kind))[0]) is STRUCTS[kind]


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_every_type_is_written_as_it_was_read(kind: str) -> None:
    again = read(json.loads(msgspec.json.encode(read(payload(kind))[0])))
    assert again == read(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_nulls_in_optional_fields_are_absent_fields(kind: str) -> None:
    assert read(payload(kind, **NULLS)) == read(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_unknown_fields_are_no_mistake(kind: str) -> None:
    assert read(payload(kind, of_the_future=1)) == read(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_an_item_id_serves_instead_of_a_reference_id(kind: str) -> None:
    assert read({"type": kind, "item_id": "di_1", **EVERY_TYPE[kind]})[0].item_id == "di_1"


@pytest.mark.parametrize("kind", [kind for kind in EVERY_TYPE if "geometry" in EVERY_TYPE[kind]])
def test_a_geometry_that_is_text_is_refused_where_it_stands(kind: str) -> None:
    assert refusal_of(payload(kind, geometry="wide")).endswith("at `$.annotations[3].geometry`.")


@pytest.mark.parametrize("kind", ["category", "multicategory"])
def test_labels_of_whole_images_need_no_geometry(kind: str) -> None:
    without = {name: value for name, value in payload(kind).items() if name != "geometry"}
    assert isinstance(read(without)[0], STRUCTS[kind])


def test_whole_numbers_are_taken_as_coordinates() -> None:
    (box,) = read(box_payload(x=1))
    assert isinstance(box, Box)
    assert box.geometry.x == 1.0


def test_a_polygon_may_have_one_corner() -> None:
    assert read(payload("polygon", geometry={"vertices": [{"x": 1, "y": 1}]}))


def test_a_segmentation_is_taken_under_its_own_key() -> None:
    body = json.dumps({"segmentations": [payload("mask")]}).encode()
    assert decode(body, Annotate).segmentations == read(payload("mask"))


def test_a_segmentation_must_be_a_mask() -> None:
    body = json.dumps({"segmentations": [payload("box")]}).encode()
    assert "`$.segmentations[0]" in refusal(body)


def test_update_is_off_when_it_is_left_out() -> None:
    assert decode(as_bytes(payload("box")), Annotate).update is False


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_beyond_float64_is_refused_where_it_stands(number: str) -> None:
    body = as_bytes(*[payload("box")] * 3, box_payload(x=12345)).replace(b"12345", number.encode())
    assert refusal(body).endswith("at `$.annotations[3].geometry.x`.")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_json_does_not_know_as_numbers_are_refused(word: str) -> None:
    body = as_bytes(box_payload(x=12345)).replace(b"12345", word.encode())
    assert "not valid JSON" in refusal(body)


@pytest.mark.parametrize("value", ["1", "", "NaN", None, True, [1], {}])
@pytest.mark.parametrize("field", ["x", "y", "width", "height"])
def test_a_coordinate_that_is_no_number_is_refused_where_it_stands(field: str, value: object) -> None:
    assert refusal_of(box_payload(**{field: value})).endswith(f"at `$.annotations[3].geometry.{field}`.")


@pytest.mark.parametrize("field", ["width", "height"])
def test_a_negative_size_is_refused_where_it_stands(field: str) -> None:
    assert refusal_of(box_payload(**{field: -1e-9})).endswith(f"at `$.annotations[3].geometry.{field}`.")


def test_a_size_of_nothing_is_taken() -> None:
    assert read(box_payload(width=0, height=0))


def test_a_corner_outside_the_image_is_taken() -> None:
    assert read(box_payload(x=-5, y=-0.5))


@pytest.mark.parametrize("confidence", [1.2, -0.01, "0.5"])
def test_a_confidence_outside_0_and_1_is_refused_where_it_stands(confidence: object) -> None:
    assert refusal_of(payload("box", confidence=confidence)).endswith("at `$.annotations[3].confidence`.")


@pytest.mark.parametrize("confidence", [0, 1, 0.5])
def test_a_confidence_may_be_0_and_1(confidence: float) -> None:
    assert read(payload("box", confidence=confidence))[0].confidence == confidence


@pytest.mark.parametrize(
    ("annotation", "place"),
    [
        (payload("box", type="blob"), "$.annotations[3].type"),
        (payload("box", type=7), "$.annotations[3].type"),
        ({"label": "car", "geometry": SQUARE, "reference_id": "a.jpg"}, "$.annotations[3]"),
        (payload("box", label=""), "$.annotations[3].label"),
        (payload("box", label=None), "$.annotations[3].label"),
        (payload("box", reference_id=7), "$.annotations[3].reference_id"),
        (payload("box", reference_id=""), "$.annotations[3].reference_id"),
        (payload("box", metadata="sunny"), "$.annotations[3].metadata"),
        (payload("box", geometry=None), "$.annotations[3].geometry"),
        (payload("box", geometry={"x": 1, "y": 2, "width": 3}), "$.annotations[3].geometry"),
        (
            payload("polygon", geometry={"vertices": [{"x": 1, "y": 1}, [2, 2]]}),
            "$.annotations[3].geometry.vertices[1]",
        ),
        (payload("line", geometry={"vertices": [{"x": 1}]}), "$.annotations[3].geometry.vertices[0]"),
        (
            payload("keypoints", geometry={**POSE, "keypoints": [{"x": "left"}]}),
            "$.annotations[3].geometry.keypoints[0].x",
        ),
        (payload("keypoints", geometry={**POSE, "skeleton": [[0, 1, 2]]}), "$.annotations[3].geometry.skeleton[0]"),
        *(
            (payload("keypoints", geometry={**POSE, **change}), "$.annotations[3].geometry")
            for change in (
                {"names": ["nose"]},
                {"names": ["nose", "nose"]},
                {"keypoints": [{"x": 1, "y": 2}, {"x": 1, "visible": True}]},
                {"keypoints": [{"x": 1, "y": 2}, {"x": None, "y": 2}]},
                {"skeleton": [[0, 2]]},
                {"skeleton": [[0, 1], [-3, 0]]},
            )
        ),
        (payload("cuboid", geometry={**CUBOID, "position": {"x": 1, "y": 2}}), "$.annotations[3].geometry.position"),
        (payload("cuboid", geometry={**CUBOID, "yaw": "north"}), "$.annotations[3].geometry.yaw"),
        (payload("category", label=["rain"]), "$.annotations[3].label"),
        (payload("multicategory", labels="rain"), "$.annotations[3].labels"),
        (payload("mask", mask_url=""), "$.annotations[3].mask_url"),
        (payload("mask", annotations=[{"label": "sky", "index": "1"}]), "$.annotations[3].annotations[0].index"),
        ("car", "$.annotations[3]"),
        (None, "$.annotations[3]"),
    ],
)
def test_a_refusal_names_the_path(annotation: object, place: str) -> None:
    assert refusal_of(annotation).endswith(f"at `{place}`.")


def test_a_refusal_names_its_document() -> None:
    with pytest.raises(errors.ValidationError, match=re.escape("Line 7")):
        decode(b'{"name": 7}', CreateDataset, "Line 7")


@pytest.mark.parametrize("length", [1, 10, 40, len(as_bytes(payload("box"))) - 1])
def test_truncated_json_is_refused(length: int) -> None:
    assert "not valid JSON" in refusal(as_bytes(payload("box"))[:length])


def test_a_refusal_of_truncated_json_is_spelled_right() -> None:
    assert "jSON" not in refusal(b'{"annotations": [}')


def test_two_documents_are_not_one() -> None:
    assert "not valid JSON" in refusal(b"{}{}")


def test_no_bytes_are_refused() -> None:
    assert "empty" in refusal(b"")


def test_bytes_that_are_not_utf8_are_refused() -> None:
    assert "UTF-8" in refusal(as_bytes(payload("box", label="cat")).replace(b"cat", b"c\xfft"))


@pytest.mark.parametrize("opening", [b"[", b'{"k":'])
def test_metadata_nested_100_000_deep_is_refused(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    deep = opening * 100_000 + b"1" + closing * 100_000
    body = as_bytes(payload("box", metadata={"k": 12345})).replace(b"12345", deep)
    assert "nested too deeply" in refusal(body)


def test_an_unknown_field_nested_100_000_deep_is_refused() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert "nested too deeply" in refusal(b'{"annotations": [], "future": ' + deep + b"}")


def test_plain_objects_are_checked_as_bytes_are() -> None:
    with pytest.raises(errors.ValidationError, match=re.escape("`$.geometry.width`")):
        convert(box_payload(width=-1), AnyAnnotation)  # type: ignore[arg-type]


def test_an_item_is_named_by_its_reference_id() -> None:
    assert item_key(Category(label="rain", reference_id="a.jpg"), "$") == (True, "a.jpg")


def test_an_item_is_named_by_its_item_id() -> None:
    assert item_key(Category(label="rain", item_id="di_1"), "$") == (False, "di_1")


@pytest.mark.parametrize(
    ("keys", "found"), [({}, "neither is given"), ({"reference_id": "a", "item_id": "di_1"}, "both are given")]
)
def test_an_item_is_named_exactly_once(keys: dict[str, Any], found: str) -> None:
    with pytest.raises(errors.ValidationError, match=re.escape("`$.annotations[3]`")) as caught:
        item_key(Category(label="rain", **keys), "$.annotations[3]")
    assert found in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, 2**31, 1.5, "640"])
def test_an_item_has_a_size_in_whole_pixels(size: object) -> None:
    item = {"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg", "width": size}
    assert refusal(json.dumps({"items": [item]}).encode(), Append).endswith("at `$.items[0].width`.")


@pytest.mark.parametrize("given_id", ["", None, 7])
def test_an_item_has_a_reference_id(given_id: object) -> None:
    item = {"reference_id": given_id, "image_url": "https://example.org/a.jpg"}
    assert refusal(json.dumps({"items": [item]}).encode(), Append).endswith("at `$.items[0].reference_id`.")


# Ids computed from content


def filled(*annotations: dict[str, Any], predictions: bool = False) -> list[str]:
    rows = read(*annotations)
    fill_annotation_ids(rows, predictions=predictions)
    return [str(row.annotation_id) for row in rows]


def test_the_id_of_a_box_is_the_same_in_every_version() -> None:
    assert filled(payload("box")) == ["20c74f2355db1f0306f181c370f0eae5"]


def test_the_id_of_a_predicted_box_is_the_same_in_every_version() -> None:
    assert filled(payload("box", confidence=0.5), predictions=True) == ["183172f32d9cd8072a966d8b709d8031"]


def test_the_id_of_a_polygon_is_the_same_in_every_version() -> None:
    assert filled(payload("polygon")) == ["ca7bd8857367f71646079f9d7547370c"]


def test_an_id_that_is_given_stays() -> None:
    assert filled(payload("box", annotation_id="mine")) == ["mine"]


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_the_same_content_has_the_same_id(kind: str) -> None:
    assert filled(payload(kind)) == filled(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
@pytest.mark.parametrize("predictions", [False, True])
def test_metadata_does_not_count(kind: str, predictions: bool) -> None:
    plain = filled(payload(kind), predictions=predictions)
    assert filled(payload(kind, metadata={"k": 1}), predictions=predictions) == plain


@pytest.mark.parametrize("kind", EVERY_TYPE)
@pytest.mark.parametrize(
    "changes", [{"task_id": "t"}, {"track_reference_id": "t"}, {"class_pdf": {"car": 0.5}}, {"embedding_vector": [1.0]}]
)
def test_nothing_but_content_counts(kind: str, changes: dict[str, Any]) -> None:
    assert filled(payload(kind, **changes)) == filled(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_the_confidence_counts_for_predictions(kind: str) -> None:
    ids = [filled(payload(kind, confidence=c), predictions=True)[0] for c in (None, 0.0, 0.25, 1.0)]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_the_confidence_does_not_count_for_ground_truth(kind: str) -> None:
    assert filled(payload(kind, confidence=0.25)) == filled(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_a_prediction_without_confidence_is_no_ground_truth(kind: str) -> None:
    assert filled(payload(kind), predictions=True) != filled(payload(kind))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_the_item_counts(kind: str) -> None:
    assert filled(payload(kind, reference_id="b.jpg")) != filled(payload(kind))


@pytest.mark.parametrize("kind", [kind for kind in EVERY_TYPE if "label" in EVERY_TYPE[kind]])
def test_the_label_counts(kind: str) -> None:
    assert filled(payload(kind, label="other")) != filled(payload(kind))


def test_the_labels_of_a_multicategory_count() -> None:
    assert filled(payload("multicategory", labels=["rain"])) != filled(payload("multicategory"))


@pytest.mark.parametrize("kind", ["category", "multicategory"])
def test_the_taxonomy_counts(kind: str) -> None:
    assert filled(payload(kind, taxonomy_name="sky")) != filled(payload(kind))


def test_the_type_counts() -> None:
    assert filled(payload("line", label="road")) != filled(payload("polygon", label="road"))


@pytest.mark.parametrize("field", ["x", "y", "width", "height"])
def test_every_side_of_a_box_counts(field: str) -> None:
    assert filled(box_payload(**{field: 9})) != filled(payload("box"))


def test_the_sides_of_a_box_do_not_change_places() -> None:
    assert filled(box_payload(x=2, y=1)) != filled(box_payload(x=1, y=2))


@pytest.mark.parametrize(
    ("kind", "geometry"),
    [
        ("line", {"vertices": TRIANGLE["vertices"][::-1]}),
        ("polygon", {"vertices": TRIANGLE["vertices"][:2]}),
        ("keypoints", {**POSE, "names": ["nose", "ear"]}),
        ("keypoints", {**POSE, "skeleton": None}),
        ("keypoints", {**POSE, "keypoints": [{"x": 1, "y": 2, "visible": False}, {"visible": False}]}),
        ("cuboid", {**CUBOID, "yaw": 0.25}),
        ("cuboid", {**CUBOID, "position": CUBOID["dimensions"], "dimensions": CUBOID["position"]}),
    ],
)
def test_every_geometry_counts(kind: str, geometry: dict[str, Any]) -> None:
    assert filled(payload(kind, geometry=geometry)) != filled(payload(kind))


def test_the_address_of_a_mask_counts() -> None:
    assert filled(payload("mask", mask_url="https://example.org/n.png")) != filled(payload("mask"))


def test_the_segments_of_a_mask_count() -> None:
    assert filled(payload("mask", annotations=[{"label": "sky", "index": 2}])) != filled(payload("mask"))


def test_labels_do_not_run_into_item_keys() -> None:
    assert filled(payload("box", reference_id="ab", label="c")) != filled(payload("box", reference_id="a", label="bc"))


FLOATING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("box", SQUARE, {name: float(side) for name, side in SQUARE.items()}),
    ("polygon", TRIANGLE, {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 0.0}, {"x": 1.0, "y": 1.0}]}),
    ("cuboid", {**CUBOID, "yaw": 1}, {**CUBOID, "yaw": 1.0, "position": {"x": 1.0, "y": 2.0, "z": 3.0}}),
]


@pytest.mark.parametrize(("kind", "whole", "floating"), FLOATING)
def test_1_and_1_point_0_agree(kind: str, whole: dict[str, Any], floating: dict[str, Any]) -> None:
    assert filled(payload(kind, geometry=whole)) == filled(payload(kind, geometry=floating))


@pytest.mark.parametrize(
    ("kind", "positive", "negative"),
    [
        ("box", {**SQUARE, "x": 0.0}, {**SQUARE, "x": -0.0}),
        ("line", {"vertices": [{"x": 0.0, "y": 1}]}, {"vertices": [{"x": -0.0, "y": 1}]}),
        ("cuboid", {**CUBOID, "yaw": 0.0}, {**CUBOID, "yaw": -0.0}),
    ],
)
def test_minus_zero_is_zero(kind: str, positive: dict[str, Any], negative: dict[str, Any]) -> None:
    assert filled(payload(kind, geometry=positive)) == filled(payload(kind, geometry=negative))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_a_confidence_of_minus_zero_is_zero(kind: str) -> None:
    rows = [payload(kind, confidence=confidence) for confidence in (0.0, -0.0)]
    assert filled(rows[0], predictions=True) == filled(rows[1], predictions=True)


def test_the_smallest_difference_of_a_coordinate_counts() -> None:
    assert filled(box_payload(x=1)) != filled(box_payload(x=float(np.nextafter(1.0, 2.0))))


@pytest.mark.parametrize("kind", EVERY_TYPE)
def test_repeats_get_an_occurrence_number(kind: str) -> None:
    first, second, third = filled(*[payload(kind)] * 3)
    assert [second, third] == [f"{first}-1", f"{first}-2"]


def test_repeats_on_other_items_get_none() -> None:
    assert not any("-" in one for one in filled(payload("box"), payload("box", reference_id="b.jpg")))


def test_repeats_are_counted_between_other_rows() -> None:
    ids = filled(payload("box"), payload("polygon"), payload("box"))
    assert ids[2] == f"{ids[0]}-1"


@pytest.mark.parametrize("predictions", [False, True])
def test_no_annotations_have_no_ids(predictions: bool) -> None:
    assert filled(predictions=predictions) == []


NAMES = st.text(min_size=1, max_size=5)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)
SIZES = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
CONFIDENCES = st.none() | st.floats(min_value=0, max_value=1)
BOXES = st.builds(
    Box,
    reference_id=NAMES,
    label=NAMES,
    geometry=st.builds(BoxGeometry, x=NUMBERS, y=NUMBERS, width=SIZES, height=SIZES),
    confidence=CONFIDENCES,
)
CATEGORIES = st.builds(
    Category, reference_id=NAMES, label=NAMES, taxonomy_name=st.none() | NAMES, confidence=CONFIDENCES
)
POLYGONS = st.builds(
    Polygon,
    reference_id=NAMES,
    label=NAMES,
    geometry=st.builds(Vertices, vertices=st.lists(st.builds(Vertex, x=NUMBERS, y=NUMBERS), max_size=3)),
    confidence=CONFIDENCES,
)


def copies(rows: list[Any]) -> list[Any]:
    return [msgspec.structs.replace(row) for row in rows]


def ids_after(rows: list[Any], fill: Callable[[list[Any]], None]) -> list[str]:
    rows = copies(rows)
    fill(rows)
    return [row.annotation_id for row in rows]


def fill_together(rows: list[Any]) -> None:
    fill_annotation_ids(rows, predictions=True)


def fill_one_by_one(rows: list[Any]) -> None:
    for row in rows:
        fill_annotation_ids([row], predictions=True)


def distinct(row: Any) -> bytes:
    return msgspec.json.encode(row).replace(b":-0.0", b":0.0")


@given(st.lists(BOXES, max_size=12))
def test_ids_of_columns_are_the_ids_of_single_boxes(rows: list[Box]) -> None:
    columns = box_ids(
        [str(row.reference_id) for row in rows],
        [row.label for row in rows],
        [(row.geometry.x, row.geometry.y, row.geometry.width, row.geometry.height) for row in rows],
        [np.nan if row.confidence is None else row.confidence for row in rows],
    )
    assert columns == ids_after(rows, fill_one_by_one)


@given(st.lists(BOXES | CATEGORIES | POLYGONS, max_size=12, unique_by=distinct), st.randoms(use_true_random=False))
def test_permuted_rows_have_permuted_ids(rows: list[Any], random: Any) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    ids = ids_after(rows, fill_together)
    assert ids_after([rows[n] for n in order], fill_together) == [ids[n] for n in order]


@given(st.lists(BOXES | CATEGORIES | POLYGONS, max_size=12, unique_by=distinct))
def test_different_rows_have_different_ids(rows: list[Any]) -> None:
    assert len(set(ids_after(rows, fill_together))) == len(rows)


@given(st.lists(BOXES | CATEGORIES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_permuted_repeats_have_the_same_ids_in_all(rows: list[Any], random: Any) -> None:
    repeated = rows * 2
    shuffled = copies(repeated)
    random.shuffle(shuffled)
    assert sorted(ids_after(repeated, fill_together)) == sorted(ids_after(shuffled, fill_together))


def test_ids_of_20_000_boxes_do_not_collide() -> None:
    count = 20_000
    sides = np.arange(4 * count, dtype=np.float64).reshape(count, 4)
    assert len(set(box_ids(["a.jpg"] * count, ["car"] * count, sides))) == count


AT_ONCE = """
import sys, threading
import msgspec
from nucleus_pandas.wire.requests import Annotate
from nucleus_pandas.wire.entities import AnyAnnotation
from nucleus_pandas.wire.requests import Append
from nucleus_pandas.wire.entities import Box
from nucleus_pandas.wire.entities import BoxGeometry
from nucleus_pandas.wire.entities import Category
from nucleus_pandas.wire.requests import CreateDataset
from nucleus_pandas.wire.entities import Cuboid
from nucleus_pandas.wire.entities import Keypoints
from nucleus_pandas.wire.entities import Line
from nucleus_pandas.wire.entities import Mask
from nucleus_pandas.wire.entities import MultiCategory
from nucleus_pandas.wire.entities import Vertex
from nucleus_pandas.wire.entities import Polygon
from nucleus_pandas.wire.entities import Vertices
from nucleus_pandas.wire.content_ids import box_ids
from nucleus_pandas.wire.decoding import convert
from nucleus_pandas.wire.decoding import decode
from nucleus_pandas.wire.content_ids import fill_annotation_ids
from nucleus_pandas.wire.decoding import item_key

sys.setswitchinterval(1e-6)
for number in range(25):
    inner = msgspec.defstruct("Inner", [(f"i{n}", int | None, None) for n in range(20)], namespace={"__module__": "m"})
    outer = msgspec.defstruct("Outer", [(f"o{n}", list[inner] | None, None) for n in range(20)])
    gate = threading.Barrier(8)

    def read():
        gate.wait()
        decode(b'{"o1": [{"i1": 1}], "o19": [{"i19": 2}]}', outer)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_structs_are_read_first_by_several_threads_at_once() -> None:
    assert subprocess.run([sys.executable, "-c", AT_ONCE], check=False, timeout=60).returncode == 0
