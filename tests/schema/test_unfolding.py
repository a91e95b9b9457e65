"""Rows that hold lists of boxes, boxes and shapes as text, and shapes of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import nucleus_pandas as npd

BOXES = [[[1.0, 2.0, 30.0, 40.0], [5.0, 6.0, 7.0, 80.0]], [], [[1.0, 2.0, 3.0, 4.0]]]
LABELS = [["car", "bus"], [], ["car"]]
NAMES: dict[str, Any] = {"columns": {"label": "labels"}, "bbox": "boxes", "bbox_format": "xywh"}


def images(**columns: Any) -> pd.DataFrame:
    """One row per image, with lists of boxes."""
    made = {
        "reference_id": list("abc"),
        "boxes": BOXES,
        "labels": LABELS,
        "split": ["train", "val", "train"],
        **columns,
    }
    return pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in made.items()})


@pytest.fixture
def dataset(local: npd.NucleusClient) -> npd.Dataset:
    made = local.create_dataset("D")
    made.append(pd.DataFrame({"reference_id": list("abc"), "image_url": "https://example.org/a.jpg"}))
    return made


def stored(dataset: npd.Dataset) -> list[tuple[Any, ...]]:
    frame = dataset.annotations.to_frame()
    return list(frame[["reference_id", "label", "x", "y", "width", "height"]].itertuples(index=False, name=None))


EXPECTED = [("a", "car", 1, 2, 30, 40), ("a", "bus", 5, 6, 7, 80), ("c", "car", 1, 2, 3, 4)]

FORMS: dict[str, pd.DataFrame] = {
    "lists": images(),
    "tuples": images(boxes=[tuple(map(tuple, boxes)) for boxes in BOXES]),
    "arrays": images(boxes=[np.array(boxes, dtype="float32").reshape(-1, 4) for boxes in BOXES]),
    "lists of arrays": images(boxes=[[np.array(box) for box in boxes] for boxes in BOXES]),
    "missing instead of empty": images(boxes=[BOXES[0], None, BOXES[2]], labels=[LABELS[0], None, LABELS[2]]),
    "text": images(boxes=map(str, BOXES), labels=map(str, LABELS)),
    "a single box beside lists": images(boxes=[*BOXES[:2], BOXES[2][0]]),
    "dicts": images(
        boxes=[[dict(zip(("x", "y", "width", "height"), box, strict=True)) for box in boxes] for boxes in BOXES]
    ),
    "Arrow": pa.table({name: images()[name].tolist() for name in images()}).to_pandas(types_mapper=pd.ArrowDtype),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_with_lists_of_boxes_are_one_row_per_box(dataset: npd.Dataset, form: str) -> None:
    frame = FORMS[form]
    before = frame.copy(deep=True)
    assert frame.nucleus.check(**NAMES).empty
    result = frame.nucleus.annotate(dataset, **NAMES)
    assert stored(dataset) == EXPECTED
    assert result.rows.index.tolist() == [0, 0, 1, 2]
    assert result.rows["status"].tolist() == ["new", "new", "skipped", "new"]
    pd.testing.assert_frame_equal(frame, before)


def test_an_image_whose_boxes_are_all_gone_has_none(dataset: npd.Dataset) -> None:
    images().nucleus.annotate(dataset, **NAMES)
    images(boxes=[[], BOXES[1], BOXES[2]], labels=[[], [], ["bus"]]).nucleus.annotate(
        dataset, if_exists="replace", **NAMES
    )
    assert stored(dataset) == [("c", "bus", 1, 2, 3, 4)]


def test_values_of_images_are_repeated_and_those_of_boxes_are_not(dataset: npd.Dataset) -> None:
    frame = images(difficult=[[True, False], [], [True]], annotation_id=[["1", "2"], [], ["3"]])
    frame.nucleus.annotate(dataset, metadata=["split", "difficult"], **NAMES)
    rows = dataset.annotations.to_frame().set_index("annotation_id")["metadata"]
    assert rows.to_dict() == {
        "1": {"split": "train", "difficult": True},
        "2": {"split": "train", "difficult": False},
        "3": {"split": "train", "difficult": True},
    }


def test_lists_in_columns_of_sides(dataset: npd.Dataset) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": [["q", "r"]], "width": [[5, 6]], "height": [[7, 8]]})
    frame.assign(x=[[1, 2]], y=[[3, 4]]).nucleus.annotate(dataset)
    assert stored(dataset) == [("a", "q", 1, 3, 5, 7), ("a", "r", 2, 4, 6, 8)]


def test_lists_under_the_ids_of_the_index(dataset: npd.Dataset) -> None:
    result = images().set_index("reference_id").nucleus.annotate(dataset, **NAMES)
    assert stored(dataset) == EXPECTED
    assert result.rows.index.tolist() == ["a", "a", "b", "c"]


def test_lists_of_other_lengths_are_errors_of_their_rows(dataset: npd.Dataset) -> None:
    frame = images(labels=[["car"], [], ["car"]])
    frame.index = pd.Index(["first", "second", "third"])
    wrong = "column 'labels': holds 1 values, and 'boxes' 2: there must be one per box."
    with pytest.raises(npd.InvalidInputError, match=f"row 'first'.*: {wrong}"):
        frame.nucleus.annotate(dataset, **NAMES)
    assert len(dataset.annotations) == 0
    result = frame.nucleus.annotate(dataset, on_error="collect", **NAMES)
    assert result.rows["status"].tolist() == ["error", "skipped", "new"]
    assert result.failed["boxes"].tolist() == [BOXES[0]]
    assert frame.nucleus.check(**NAMES)["column"].to_dict() == {"first": "labels"}
    with pytest.raises(npd.InvalidInputError, match=f"predictions are invalid:\n  row 'first'.*: {wrong}"):
        frame.nucleus.evaluate(images(), **NAMES)


def test_lists_are_evaluated_and_shown_as_boxes(local: npd.NucleusClient, dataset: npd.Dataset) -> None:
    names = {**NAMES, "columns": {"label": "labels", "confidence": "scores"}}
    predictions = images(scores=[[0.5, 0.6], [], [0.7]])
    evaluation = predictions.nucleus.evaluate(images(), **names)
    assert (evaluation.summary["precision"], evaluation.summary["recall"]) == (1.0, 1.0)
    assert len(evaluation.matches) == 3
    run = dataset.create_model_run(local.add_model("M", reference_id="m"))
    predictions.nucleus.predict(run, **names)
    assert run.predictions["confidence"].tolist() == [0.5, 0.6, 0.7]
    shown = images(
        image_url=["https://example.org/a.jpg"] * 3, image_width=[100] * 3, image_height=[100] * 3
    ).nucleus.show(**NAMES)
    assert shown._repr_html_().count("<rect") >= 3


@pytest.mark.parametrize(
    "text",
    ["[10, 20, 30, 40]", "(10, 20, 30, 40)", "[10. 20. 30. 40.]", "[ 1.e+01 20 30\n 40 ]", " [10.0, 20.0, 30, 40] "],
)
def test_boxes_as_text(dataset: npd.Dataset, text: str) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": "car", "boxes": text})
    frame.nucleus.annotate(dataset, bbox="boxes", bbox_format="xywh")
    assert stored(dataset) == [("a", "car", 10, 20, 30, 40)]


@pytest.mark.parametrize(
    "text", ['{"x": 1, "y": 2, "width": 3, "height": 4}', "{'y': 2, 'x': 1, 'height': 4.0, 'width': 3}"]
)
def test_boxes_as_text_of_objects_say_what_they_are(dataset: npd.Dataset, text: str) -> None:
    pd.DataFrame({"reference_id": ["a"], "label": "car", "boxes": text}).nucleus.annotate(dataset, bbox="boxes")
    assert stored(dataset) == [("a", "car", 1, 2, 3, 4)]


@pytest.mark.parametrize(
    "text", ["[1, 2, 3", "1 2 3 4", "[1, 2, 3]", "[1, 2, 3, 'four']", "{'x1': 1}", "__import__('os')"]
)
def test_other_text_is_no_box(dataset: npd.Dataset, text: str) -> None:
    frame = pd.DataFrame({"reference_id": ["a", "b"], "label": "car", "boxes": ["[1, 2, 3, 4]", text]})
    with pytest.raises(npd.InvalidInputError, match="row 1: column 'boxes'"):
        frame.nucleus.annotate(dataset, bbox="boxes", bbox_format="xywh")
    assert len(dataset.annotations) == 0


# Polygons and lines

FORMS_OF_NUCLEUS = {"vertices": [{"x": 1.0, "y": 2.0}, {"x": 30.0, "y": 4.0}, {"x": 5.0, "y": 20.0}]}
POINTS = [[1.0, 2.0], [30.0, 4.0], [5.0, 20.0]]
FLAT = [number for point in POINTS for number in point]


class Shape:
    """What Shapely's shapes have that matters here."""

    def __init__(self, kind: str, coordinates: Any) -> None:
        self.__geo_interface__ = {"type": kind, "coordinates": coordinates}


RING = (*map(tuple, POINTS), tuple(POINTS[0]))
HOLE = ((2.0, 3.0), (4.0, 4.0), (3.0, 9.0), (2.0, 3.0))
POLYGONS: dict[str, Any] = {
    "points": POINTS,
    "tuples": tuple(map(tuple, POINTS)),
    "an array": np.array(POINTS),
    "COCO's flat list": FLAT,
    "COCO's list of one": [FLAT],
    "JSON text": str(POINTS),
    "text of tuples": str(tuple(map(tuple, POINTS))),
    "objects": [{"x": x, "y": y} for x, y in POINTS],
    "GeoJSON": {"type": "Polygon", "coordinates": [RING]},
    "a polygon of Shapely": Shape("Polygon", (RING,)),
    "a multipolygon of one": Shape("MultiPolygon", ((RING,),)),
    "nested lists": [[POINTS]],
}


@pytest.mark.parametrize("form", POLYGONS)
def test_polygons_in_other_forms(dataset: npd.Dataset, form: str) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": "car", "type": "polygon"})
    frame["geometry"] = pd.Series([POLYGONS[form]], dtype=object)
    frame.nucleus.annotate(dataset)
    (geometry,) = dataset.annotations.to_frame()["geometry"]
    assert geometry == {"vertices": [{"x": x, "y": y} for x, y in POINTS]}
    assert dataset.annotations.to_frame().nucleus.annotate(dataset).annotations_ignored == 1


def test_an_arrow_column_of_points(dataset: npd.Dataset) -> None:
    table = pa.table({"reference_id": ["a"], "label": ["car"], "type": ["line"], "geometry": [POINTS[:2]]})
    npd.annotate(table, dataset)
    assert dataset.annotations.to_frame()["geometry"].tolist() == [
        {"vertices": [{"x": 1.0, "y": 2.0}, {"x": 30.0, "y": 4.0}]}
    ]


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        (
            "polygon",
            Shape("Polygon", (RING, HOLE)),
            "has 1 hole, which polygons of Nucleus cannot have. Send it as a mask",
        ),
        ("polygon", Shape("MultiPolygon", ((RING,), (HOLE,))), "is a MultiPolygon of 2 parts.* frame.explode"),
        ("polygon", [FLAT, FLAT], "has 2 parts.* frame.explode\\('geometry'\\)"),
        (
            "polygon",
            Shape("LineString", RING),
            "is a LineString, and the row is of type 'polygon'. Set 'type' to 'line'.",
        ),
        ("line", Shape("Point", (1.0, 2.0)), "is a Point, and the row is of type 'line'. A line is one of LineString"),
        ("polygon", Shape("Polygon", ([(1.0, 2.0, 0.0)] * 4,)), "has points of three numbers, and pixels have two"),
        ("polygon", [1.0, 2.0, 3.0], "has 3 numbers, and each point has two. Points are"),
        ("polygon", [[1.0, 2.0], 3.0], "Points are"),
        ("polygon", b"\x01\x03", "is bytes. shapely.from_wkb.column. converts"),
        ("polygon", "POLYGON ((1 2, 3 4, 5 6, 1 2))", "which is WKT. shapely.from_wkt.column. converts"),
        ("polygon", Shape("Polygon", ()), "has 0 points, and a polygon has at least 3. Drop the row."),
        ("polygon", [{"x": 1.0, "y": 2.0}], "has 1 points, and a polygon has at least 3"),
    ],
)
def test_shapes_that_nucleus_does_not_have(dataset: npd.Dataset, kind: str, shape: Any, said: str) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": "car", "type": kind})
    frame["geometry"] = pd.Series([shape], dtype=object)
    with pytest.raises(npd.InvalidInputError, match=f"row 0: column 'geometry': .*{said}"):
        frame.nucleus.annotate(dataset)


def test_parts_of_a_polygon_are_rows_as_the_error_says(dataset: npd.Dataset) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": "car", "type": "polygon"})
    frame["geometry"] = pd.Series([[FLAT, [number + 50 for number in FLAT]]], dtype=object)
    frame.explode("geometry").nucleus.annotate(dataset)
    assert len(dataset.annotations) == 2


# Names the other way round


@pytest.mark.parametrize("act", ["annotate", "check", "evaluate", "import"])
def test_columns_the_other_way_round_are_recognised(dataset: npd.Dataset, tmp_path: Any, act: str) -> None:
    frame = pd.DataFrame({"file": ["a"], "class": ["car"], "x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0})
    turned: Any = {"file": "reference_id", "class": "label"}
    frame.to_parquet(tmp_path / "boxes.parquet")
    acts = {
        "annotate": lambda columns: frame.nucleus.annotate(dataset, columns=columns),
        "check": lambda columns: frame.nucleus.check(kind="annotations", columns=columns),
        "evaluate": lambda columns: frame.assign(confidence=0.5).nucleus.evaluate(frame, columns=columns),
        "import": lambda columns: npd.import_parquet(
            tmp_path / "boxes.parquet", dataset, "annotations", columns=columns
        ),
    }
    right = {"reference_id": "file", "label": "class"}
    with pytest.raises(npd.InvalidInputError, match="the other way round than df.rename") as caught:
        acts[act](turned)
    assert f"Write columns={right}." in str(caught.value)
    acts[act](right)


def test_one_name_the_other_way_round_keeps_the_others() -> None:
    frame = pd.DataFrame({"file": ["a"], "class": ["car"], "x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0})
    with pytest.raises(npd.InvalidInputError, match="other way round") as caught:
        frame.nucleus.check(kind="annotations", columns={"reference_id": "file", "class": "label"})
    assert "columns={'label': 'class', 'reference_id': 'file'}" in str(caught.value)


@pytest.mark.parametrize(
    ("canonical", "usual"), [("label", "class"), ("label", "category_name"), ("reference_id", "image_id")]
)
def test_usual_names_are_suggested(canonical: str, usual: str) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": ["car"], "x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0})
    frame = frame.rename(columns={canonical: usual})
    with pytest.raises(npd.InvalidInputError, match=f"Is '{usual}' meant.*columns={{'{canonical}': '{usual}'}}"):
        frame.nucleus.check(kind="annotations")


def test_points_that_stand_alone_are_no_polygon(dataset: npd.Dataset) -> None:
    frame = pd.DataFrame({"reference_id": ["a", "b"], "label": "car", "type": "polygon"})
    frame["geometry"] = pd.Series([[FLAT, FLAT], POINTS], dtype=object)
    with pytest.raises(npd.InvalidInputError, match="has 1 points, and a polygon has at least 3. Explode only rows"):
        frame.explode("geometry").nucleus.annotate(dataset)
    assert len(dataset.annotations) == 0
    line = pd.DataFrame({"reference_id": ["a"], "label": "car", "type": "line", "geometry": [[[1.0, 2.0]]]})
    with pytest.raises(npd.InvalidInputError, match="has 1 points, and a line has at least 2"):
        line.nucleus.annotate(dataset)


class GeoFrame(pd.DataFrame):
    """What a GeoDataFrame of GeoPandas has that matters here: shapes in a column of any name."""

    active_geometry_name = "outline"


def test_the_active_geometry_of_a_geodataframe_is_the_geometry(dataset: npd.Dataset) -> None:
    frame = GeoFrame({"reference_id": ["a"], "label": "car", "type": "polygon"})
    frame["outline"] = pd.Series([Shape("Polygon", (RING,))], dtype=object)
    assert frame.nucleus.annotate(dataset).annotations_processed == 1
    assert frame.nucleus.check().empty
    own = frame.rename(columns={"outline": "geometry"})
    assert own.nucleus.annotate(dataset).annotations_ignored == 1


@pytest.mark.parametrize("text", [False, True])
def test_corners_that_are_called_sizes_say_which_format_they_have(dataset: npd.Dataset, text: bool) -> None:
    box: Any = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    frame = pd.DataFrame({"reference_id": ["a"], "label": "car", "box": [str(box) if text else box]})
    with pytest.raises(npd.InvalidInputError, match="Use bbox_format='xyxy'"):
        frame.nucleus.annotate(dataset, bbox="box", bbox_format="xywh")
    frame.nucleus.annotate(dataset, bbox="box", bbox_format="xyxy")
    assert stored(dataset) == [("a", "car", 1, 2, 2, 2)]


def test_labels_that_look_like_lists_are_labels(dataset: npd.Dataset) -> None:
    frame = pd.DataFrame({"reference_id": ["a"], "label": "[1]", "type": "polygon"})
    frame["geometry"] = pd.Series([FORMS_OF_NUCLEUS], dtype=object)
    frame.nucleus.annotate(dataset)
    assert dataset.annotations["label"].tolist() == ["[1]"]


def test_other_frames_that_are_shown_may_hold_lists_too() -> None:
    items = pd.DataFrame({"reference_id": list("abc"), "image_url": "https://example.org/a.jpg"})
    items = items.assign(image_width=100, image_height=100)
    truth = images().rename(columns={"labels": "label"})
    for place, name in enumerate(["x", "y", "width", "height"]):
        truth[name] = pd.Series([[box[place] for box in boxes] for boxes in BOXES], dtype=object)
    shown = npd.show(items, ground_truth=truth.drop(columns="boxes"))
    assert shown._repr_html_().count("<rect") >= 3
