"""Rows that are sent as they are, but were probably not meant so, are warned of."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import SIDES, TRIANGLE, box, box_frame, item_frame

CORNERS = [[600.0, 400.0, 640.0, 480.0], [10.0, 20.0, 638.0, 479.0]]  # as x1, y1, x2, y2 on 640 x 480
CENTRES = [[620.0, 460.0, 40.0, 40.0]]
FAR = [[5000.0, 4000.0, 10.0, 10.0]]
TURNED = [[10.0, 500.0, 100.0, 100.0]]


@pytest.fixture
def dataset(client: npd.NucleusClient) -> npd.Dataset:
    dataset = client.create_dataset("D")
    dataset.append(item_frame("a.jpg", "b.jpg", width=640, height=480))
    dataset.append(item_frame("unknown.jpg"))
    return dataset


def at(sides: list[list[float]], *reference_ids: str, **columns: Any) -> pd.DataFrame:
    frame = box_frame(*(reference_ids or ["a.jpg"] * len(sides)))
    frame[SIDES] = sides
    return frame.assign(**columns)


def warned(frame: pd.DataFrame, dataset: npd.Dataset, **arguments: Any) -> list[str]:
    """Annotate, and return the texts of the warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        frame.nucleus.annotate(dataset, **arguments)
    return [str(each.message) for each in found]


@pytest.mark.parametrize(
    ("sides", "cause"),
    [
        (CORNERS, "bbox=('x', 'y', 'width', 'height'), bbox_format='xyxy'"),
        (CENTRES, "bbox_format='cxcywh'"),
        (TURNED, "EXIF"),
        (FAR, "resized copy"),
        ([[-50.0, 10.0, 60.0, 10.0]], "resized copy"),
    ],
)
@pytest.mark.parametrize("known_to", ["server", "frame"])
def test_boxes_outside_their_images_are_counted_with_a_cause(
    client: npd.NucleusClient, dataset: npd.Dataset, sides: list[list[float]], cause: str, known_to: str
) -> None:
    frame = at([*sides, [1.0, 2.0, 3.0, 4.0]])
    if known_to == "frame":
        dataset = client.create_dataset("Without sizes")
        dataset.append(item_frame("a.jpg"))
        frame = frame.assign(image_width=640, image_height=480)
    (text,) = warned(frame, dataset)
    assert text.startswith(f"Of {len(frame)} rows {len(sides)} box")
    assert cause in text
    assert len(dataset.annotations) == len(frame)  # they are sent nevertheless


def test_what_the_warning_of_corners_says_is_what_to_type(dataset: npd.Dataset) -> None:
    frame = at(CORNERS).rename(columns={"x": "left"})
    names = {"x": "left"}
    (text,) = warned(frame, dataset, columns=names)
    line = text.partition("Use ")[2].removesuffix(".")
    call = f"frame.nucleus.annotate(dataset, {line}, if_exists='replace')"
    eval(call, {"frame": frame, "dataset": dataset})
    stored = dataset.annotations.to_frame()
    assert stored[SIDES].values.tolist() == [[600, 400, 40, 80], [10, 20, 628, 459]]


def test_boxes_in_one_column_name_the_format_alone(dataset: npd.Dataset) -> None:
    frame = box_frame("a.jpg", "b.jpg").drop(columns=SIDES).assign(bbox=CORNERS)
    (text,) = warned(frame, dataset, bbox="bbox", bbox_format="xywh")
    assert text.endswith("Use bbox_format='xyxy'.")
    assert warned(frame, dataset, bbox="bbox", bbox_format="xyxy") == []


@pytest.mark.parametrize(
    "sides",
    [[0, 0, 640, 480], [-0.6, -0.9, 641.4, 481.2], [639, 479, 2, 2], [640, 480, 0, 0], [100, 100, 0, 0]],
)
def test_boxes_at_the_edges_are_not_warned_of(dataset: npd.Dataset, sides: list[float]) -> None:
    assert warned(at([sides], image_width=640, image_height=480), dataset) == []


def test_images_of_unknown_size_say_nothing(dataset: npd.Dataset) -> None:
    assert warned(at(FAR, "unknown.jpg"), dataset) == []
    assert warned(at(FAR, "unknown.jpg", image_width=None, image_height=pd.NA), dataset) == []
    assert warned(at(FAR, "unknown.jpg", image_width="wide", image_height=480), dataset) == []


def test_shapes_and_rows_without_boxes_are_not_counted(dataset: npd.Dataset) -> None:
    frame = at([*FAR, [np.nan] * 4, [np.nan] * 4], "a.jpg", "a.jpg", "b.jpg")
    frame["type"], frame["geometry"] = ["box", "polygon", None], [None, TRIANGLE, None]
    (text,) = warned(frame, dataset)
    assert text.startswith("Of 2 rows 1 box reaches")


def test_payloads_and_batches_are_counted_together(dataset: npd.Dataset) -> None:
    geometry = dict(zip(SIDES, FAR[0], strict=True))
    rows = [box("a.jpg", f"{n}", geometry=geometry) for n in range(5)]
    with pytest.warns(npd.NucleusWarning, match="Of 5 rows 5 boxes reach beyond") as found:
        dataset.annotate(rows, batch_size=2)
    assert len(found) == 1


def test_predictions_and_imports_are_warned_of(client: npd.NucleusClient, dataset: npd.Dataset, tmp_path: Path) -> None:
    run = dataset.create_model_run(client.add_model("M", "m"))
    frame = at(CORNERS, confidence=0.5)
    with pytest.warns(npd.NucleusWarning, match="2 boxes reach beyond.*'xyxy'"):
        frame.nucleus.predict(run)
    path = tmp_path / "boxes.parquet"
    pd.concat([at(FAR), at(FAR, "b.jpg"), at([[1, 2, 3, 4]])]).to_parquet(path, row_group_size=1)
    with pytest.warns(npd.NucleusWarning, match="Of 3 rows 2 boxes reach beyond") as found:
        npd.import_parquet(path, dataset, "annotations", progress=False)
    assert len(found) == 1


def test_check_lists_boxes_outside_and_unknown_images(dataset: npd.Dataset) -> None:
    frame = at([[1, 2, 3, 4], *FAR, *FAR, *FAR], "a.jpg", "b.jpg", "unknown.jpg", "nowhere.jpg")
    assert len(frame.nucleus.check()) == 0
    with pytest.warns(npd.NucleusWarning, match="1 box reaches beyond"):
        found = frame.nucleus.check(dataset=dataset)
    assert found["row"].tolist() == [1, 3]
    assert found["column"].tolist() == ["x", "reference_id"]
    assert "640 x 480" in found["reason"].iloc[0]
    with pytest.warns(npd.NucleusWarning, match="3 boxes reach beyond"):
        found = frame.assign(image_width=640, image_height=480).nucleus.check()
    assert found["row"].tolist() == [1, 2, 3]
    with pytest.raises(npd.InvalidInputError, match="check takes a Dataset, not str"):
        frame.nucleus.check(dataset="D")


@pytest.mark.parametrize("extra", [{}, {"bbox": [[1.0, 2.0, 3.0, 4.0]] * 2}, {"metadata": [{"n": 1}, {"n": 1}]}])
@pytest.mark.parametrize("on_index", [False, True])
def test_what_the_warning_of_repeats_says_is_what_to_type(
    dataset: npd.Dataset, extra: dict[str, Any], on_index: bool
) -> None:
    frame, arguments = box_frame("a.jpg", "a.jpg", **extra), {}
    if "bbox" in extra:
        frame, arguments = frame.drop(columns=SIDES), {"bbox": "bbox", "bbox_format": "xywh"}
    if on_index:
        frame = frame.set_index("reference_id")
    with pytest.warns(npd.NucleusWarning, match="1 row repeats another exactly") as found:
        frame.nucleus.annotate(dataset, if_exists="replace", **arguments)
    line = str(found[0].message).partition("own id. ")[2].removesuffix(" leaves them out.")
    kept = eval(line, {"frame": frame})
    assert warned(kept, dataset, if_exists="replace", **arguments) == []
    assert len(dataset.annotations) == 1


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("confidance", "confidence"),
        ("Confidence", "confidence"),
        ("confidence_x", "confidence"),
        ("conf", "confidence"),
        ("anotation_id", "annotation_id"),
        ("annotationId", "annotation_id"),
        ("meta_data", "metadata"),
        ("metadata_y", "metadata"),
        ("tpye", "type"),
        ("track_refrence_id", "track_reference_id"),
        ("class_pdfs", "class_pdf"),
    ],
)
def test_unknown_columns_near_a_known_name_are_warned_of(name: str, canonical: str) -> None:
    frame = box_frame("a.jpg").assign(**{name: None})
    with pytest.warns(npd.NucleusWarning, match=f"There is no column '{canonical}'") as found:
        frame.nucleus.check("predictions")
    assert f"columns={{'{canonical}': '{name}'}}" in str(found[0].message)
    assert len(found) == 1
    frame.assign(**{canonical: None}).nucleus.check("predictions")  # both: no warning


@pytest.mark.parametrize("name", ["weight", "mask_id", "label_id", "image_id", "iscrowd", "area", "weather", "k", "kx"])
def test_other_columns_are_not_warned_of(name: str) -> None:
    box_frame("a.jpg", confidence=0.5).assign(**{name: 1}).nucleus.check()
    item_frame("a.jpg").assign(**{name: 1}).nucleus.check()


@pytest.mark.parametrize("name", ["image_widht", "imageWidth", "image_width_x"])
def test_sizes_of_images_that_are_misspelled_are_warned_of(name: str) -> None:
    with pytest.warns(npd.NucleusWarning, match="There is no column 'image_width'"):
        item_frame("a.jpg").assign(**{name: 640}).nucleus.check()


def test_results_name_the_columns_that_were_not_sent(dataset: npd.Dataset) -> None:
    frame = item_frame("c.jpg").assign(weather="rain", hour=7, **{"metadata.k": 1})
    result = frame.nucleus.append(dataset)
    assert result.unused_columns == ["weather", "hour"]
    assert repr(result).endswith("unused_columns=['weather', 'hour'])")
    assert "weather, hour" in result._repr_html_()
    result = frame.nucleus.append(dataset, metadata=["weather"], if_exists="update")
    assert result.unused_columns == ["hour"]
    assert "unused" not in repr(item_frame("d.jpg").nucleus.append(dataset))


def test_columns_of_other_kinds_and_named_ones_are_used(dataset: npd.Dataset) -> None:
    joint = item_frame("a.jpg", image_width=640, image_height=480).merge(box_frame("a.jpg"), on="reference_id")
    joint = joint.assign(confidence=0.5, box=[[1.0, 2.0, 3.0, 4.0]], kind="truck", iscrowd=0)
    layout = {"columns": {"label": "kind"}, "bbox": "box", "bbox_format": "xywh"}
    assert joint.nucleus.annotate(dataset, **layout).unused_columns == ["label", "iscrowd"]
    assert joint.nucleus.append(dataset).unused_columns == ["box", "kind", "iscrowd"]
    indexed = joint.set_index(["reference_id", "iscrowd"])
    assert indexed.nucleus.annotate(dataset).unused_columns == ["box", "kind", "iscrowd"]
    for view, send in ((dataset.items, npd.append), (dataset.annotations, npd.annotate)):
        assert send(view.to_frame(), dataset).unused_columns == []
    assert dataset.append([{"reference_id": "z", "image_url": "https://example.org/z"}]).unused_columns == []
