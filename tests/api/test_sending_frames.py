"""Frames on their way in: layouts, joint frames, metadata, ids, and what becomes of rows that are there already."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import nucleus_pandas as npd
from tests.factories import CUBOID, SIDES
from tests.support.effort import count_calls
from tests.support.private import send_request

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
TRIANGLE = {"vertices": [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 9, "y": 9}]}
POSE = {"keypoints": [{"x": 1, "y": 2, "visible": True}, {"visible": False}], "names": ["nose", "tail"]}
SHAPES: dict[str, Any] = {
    "line": TRIANGLE,
    "polygon": TRIANGLE,
    "keypoints": POSE,
    "cuboid": CUBOID,
    "category": {"taxonomy_name": "weather"},
    "multicategory": {"labels": ["rain", "wind"], "taxonomy_name": "weather"},
    "mask": {"mask_url": "https://example.org/m.png", "annotations": [{"label": "sky", "index": 1}]},
}


@pytest.fixture
def run(client: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run without predictions, on the dataset of a.jpg, b.jpg and c.jpg."""
    return dataset.create_model_run(client.add_model("Detector", reference_id="det"))


@pytest.fixture
def four_images(local: npd.NucleusClient) -> npd.Dataset:
    """A dataset in process of four remote images."""
    made = local.create_dataset("Street")
    made.append(remote_items())
    return made


def remote_items(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"reference_id": NAMES, "image_url": [f"https://example.org/{name}" for name in NAMES], **columns}
    )


def boxes(**columns: Any) -> pd.DataFrame:
    frame = {
        "reference_id": ["a.jpg", "a.jpg", "c.jpg"],
        "label": ["car", "bus", "car"],
        "x": [10.0, 20.5, 30.0],
        "y": [1.0, 2.0, 3.0],
        "width": [30.0, 40.0, 50.0],
        "height": [60.0, 70.0, 80.25],
        **columns,
    }
    return pd.DataFrame(frame)


def stored(holder: npd.Dataset | npd.ModelRun, names: list[str] = NAMES) -> list[dict[str, Any]]:
    """What stands in the dataset or the run, without the ids that it gave."""
    return [
        {key: value for key, value in annotation.items() if key not in ("id", "dataset_item_id")}
        for name in names
        for annotation in holder.refloc(name)["annotations"]
    ]


def statuses(result: npd.UploadResult) -> list[str]:
    return result.rows["status"].tolist()


# Joint frames


def scene() -> pd.DataFrame:
    """Four images, the second and the last without boxes."""
    found = boxes(confidence=[0.5, 0.25, 1.0])
    joint = remote_items(hour=[7, 8, 9, 10], image_width=640, image_height=480).merge(
        found, how="left", on="reference_id"
    )
    return joint.set_axis([f"row {n}" for n in range(len(joint))])


def test_a_joint_frame_goes_through_all_three_calls(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("joint")
    frame = scene()
    added = frame.nucleus.append(dataset, metadata=["hour"])
    assert (added.new_items, statuses(added)) == (4, ["new"] * 5)
    assert len(dataset) == 4
    items = [dataset.iloc(row)["item"] for row in range(4)]
    assert [item["reference_id"] for item in items] == NAMES
    assert [item["metadata"] for item in items] == [{"hour": hour} for hour in (7, 8, 9, 10)]
    assert {(item["width"], item["height"]) for item in items} == {(640, 480)}

    truth = frame.nucleus.annotate(dataset)
    assert statuses(truth) == ["new", "new", "skipped", "new", "skipped"]
    assert truth.annotations_processed == 3
    assert [a["geometry"]["width"] for a in stored(dataset)] == [30, 40, 50]
    assert [a["metadata"] for a in stored(dataset)] == [{}] * 3

    run = dataset.create_model_run(client.add_model("Detector", reference_id="det"))
    found = frame.nucleus.predict(run)
    assert statuses(found) == ["new", "new", "skipped", "new", "skipped"]
    assert found.predictions_processed == 3
    assert [a["confidence"] for a in stored(run)] == [0.5, 0.25, 1]
    for result in (added, truth, found):
        pd.testing.assert_index_equal(result.rows.index, frame.index)
        assert len(result.failed) == 0
    assert npd.check(frame).empty

    items = dataset.items.to_frame("columns").rename(columns=lambda name: name.replace("metadata.", ""))
    boxes_back = run.predictions.to_frame(metadata_as=False).drop(columns="dataset_item_id")
    back = items.rename(columns={"width": "image_width", "height": "image_height"}).merge(
        boxes_back, how="left", on="reference_id"
    )
    pd.testing.assert_frame_equal(
        back[list(frame)], frame.reset_index(drop=True), check_dtype=False, check_column_type=False
    )


def test_a_joint_frame_sent_again_changes_nothing(four_images: npd.Dataset) -> None:
    frame = scene()
    frame.nucleus.append(four_images)
    frame.nucleus.annotate(four_images)
    before = [four_images.iloc(row) for row in range(4)]
    assert statuses(frame.nucleus.append(four_images)) == ["ignored"] * 5
    assert statuses(frame.nucleus.annotate(four_images)) == ["ignored", "ignored", "skipped", "ignored", "skipped"]
    assert [four_images.iloc(row) for row in range(4)] == before


@pytest.mark.parametrize("layout", ["x", "y", "bbox", "columns", "bbox of four"])
def test_beside_boxes_width_and_height_are_those_of_the_boxes(local: npd.NucleusClient, layout: str) -> None:
    dataset = local.create_dataset("joint")
    frame = scene().drop(columns=["image_width", "image_height"])
    arguments: dict[str, Any] = {}
    if layout in ("x", "y"):
        frame = frame.drop(columns={"x": "y", "y": "x"}[layout])
    elif layout == "bbox":
        frame = frame.assign(box=None).drop(columns=["x", "y"])
        arguments = {"bbox": "box"}
    elif layout == "columns":
        frame = frame.drop(columns="y").rename(columns={"x": "left"})
        arguments = {"columns": {"x": "left"}}
    else:
        frame = frame.rename(columns={"x": "left", "y": "top"})
        arguments = {"bbox": ("left", "top", "width", "height")}
    assert dataset.append(frame, **arguments).new_items == 4
    assert dataset.iloc(0)["item"].get("width") is None


def test_without_boxes_width_and_height_are_those_of_the_images(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("images")
    dataset.append(remote_items(width=[640, None, 641.0, 3], height=pd.array([480, 1, None, 2], dtype="Int64")))
    items = [dataset.iloc(row)["item"] for row in range(4)]
    assert [(item.get("width"), item.get("height")) for item in items] == [(640, 480), (None, 1), (641, None), (3, 2)]
    other = local.create_dataset("mapped")
    other.append(remote_items(w=7, h=8), columns={"width": "w", "image_height": "h"})
    assert other.iloc(0)["item"]["width"] == 7
    assert other.iloc(0)["item"]["height"] == 8


def test_one_item_may_have_rows_far_apart(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("joint")
    frame = scene().sample(frac=1, random_state=3)
    assert dataset.append(frame, batch_size=1).new_items == 4
    order = list(dict.fromkeys(frame["reference_id"]))
    assert [dataset.iloc(row)["item"]["reference_id"] for row in range(4)] == order


# Layouts of boxes


XYWH = boxes()[SIDES].to_numpy()
XYXY = np.column_stack([XYWH[:, :2], XYWH[:, :2] + XYWH[:, 2:]])
CXCYWH = np.column_stack([XYWH[:, :2] + XYWH[:, 2:] / 2, XYWH[:, 2:]])
FIELDS = {
    "xywh": [("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height")],
    "xyxy": [("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom")],
    "cxcywh": [("cx", "cy", "width", "height"), ("cx", "cy", "w", "h")],
}
FORMS: dict[str, Any] = {
    "lists": lambda rows, names: rows.tolist(),
    "tuples": lambda rows, names: list(map(tuple, rows.tolist())),
    "arrays": lambda rows, names: list(rows),
    "float32 arrays": lambda rows, names: list(rows.astype("float32")),
    "series": lambda rows, names: [pd.Series(row) for row in rows],
    "objects in lists": lambda rows, names: [[np.float32(a), b, c, d] for a, b, c, d in rows.tolist()],
    "dicts": lambda rows, names: [dict(zip(names, row, strict=True)) for row in rows.tolist()],
    "dicts in another order": lambda rows, names: [
        {"score": 1, **dict(list(zip(names, row, strict=True))[::-1])} for row in rows.tolist()
    ],
    "arrow lists": lambda rows, names: _arrow(rows.tolist(), pa.list_(pa.float64())),
    "arrow large lists": lambda rows, names: _arrow(rows.tolist(), pa.large_list(pa.float32())),
    "arrow fixed lists": lambda rows, names: _arrow(rows.tolist(), pa.list_(pa.float64(), 4)),
    "arrow structs": lambda rows, names: _arrow(
        [dict(zip(names, row, strict=True)) for row in rows.tolist()],
        pa.struct([("id", pa.int64()), *((name, pa.float64()) for name in names[::-1])]),
    ),
    "arrow in chunks": lambda rows, names: pd.Series(
        pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(rows[:1].tolist()), pa.array(rows[1:].tolist())]))
    ),
}


def _arrow(values: Any, kind: Any) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


@pytest.mark.parametrize("box_format", FIELDS)
@pytest.mark.parametrize("form", FORMS)
def test_every_layout_gives_the_same_boxes_and_ids(four_images: npd.Dataset, box_format: Any, form: str) -> None:
    npd.annotate(boxes(), four_images)
    expected = stored(four_images)
    rows = {"xywh": XYWH, "xyxy": XYXY, "cxcywh": CXCYWH}[box_format]
    for names in FIELDS[box_format]:
        frame = boxes(box=FORMS[form](rows, names)).drop(columns=SIDES)
        result = npd.annotate(frame, four_images, bbox="box", bbox_format=box_format)
        assert statuses(result) == ["ignored"] * 3
        four = boxes(**dict(zip(names, rows.T, strict=True))).drop(columns=list(set(SIDES) - set(names)))
        assert statuses(npd.annotate(four, four_images, bbox=names, bbox_format=box_format)) == ["ignored"] * 3
    assert stored(four_images) == expected


@pytest.mark.parametrize("form", FORMS)
def test_a_image_without_boxes_has_no_box_in_any_form(four_images: npd.Dataset, form: str) -> None:
    there = boxes(box=FORMS[form](XYWH, FIELDS["xywh"][0])).drop(columns=SIDES)
    missing = pd.DataFrame({"reference_id": ["b.jpg"]})
    frame = pd.concat([there.iloc[:1], missing, there.iloc[1:]])
    assert statuses(npd.annotate(frame, four_images, bbox="box", bbox_format="xywh")) == [
        "new",
        "skipped",
        "new",
        "new",
    ]
    assert [list(a["geometry"].values()) for a in stored(four_images)] == XYWH.tolist()


@pytest.mark.parametrize(
    "nothing", [None, np.nan, pd.NA, [None] * 4, [np.nan] * 4, np.full(4, np.nan), dict.fromkeys(SIDES)]
)
def test_a_box_without_numbers_is_no_box(four_images: npd.Dataset, nothing: Any) -> None:
    frame = boxes(box=pd.Series([[1, 2, 3, 4], nothing, [5, 6, 7, 8]], dtype=object))
    assert statuses(npd.annotate(frame, four_images, bbox="box", bbox_format="xywh")) == ["new", "skipped", "new"]


def test_a_box_may_be_empty_and_lie_outside(four_images: npd.Dataset) -> None:
    npd.annotate(boxes(x=-1e9, width=0.0, height=1e149), four_images)
    assert {tuple(a["geometry"].values()) for a in stored(four_images)} == {(-1e9, y, 0, 1e149) for y in (1, 2, 3)}
    point = boxes(box=[[5, 5, 5, 5]] * 3).drop(columns=SIDES)
    assert npd.annotate(point, four_images, bbox="box", bbox_format="xyxy").annotations_processed == 3


def test_numbers_are_stored_to_the_last_bit(four_images: npd.Dataset) -> None:
    numbers = [0.1 + 0.2, 1 / 3, 1e-300, 2**53 + 1, 5e-324, 1e22]
    frame = pd.DataFrame({"reference_id": "a.jpg", "label": "car", "x": numbers, "y": 2, "width": 3, "height": 4})
    npd.annotate(frame, four_images)
    assert [a["geometry"]["x"] for a in stored(four_images)] == frame["x"].tolist()


def test_gaps_in_a_column_of_boxes_cost_no_time() -> None:
    frame = boxes().sample(100_000, replace=True, random_state=1, ignore_index=True)
    frame["x"] = np.arange(len(frame), dtype=float)
    frame["box"] = frame[SIDES].to_numpy().tolist()
    frame.loc[::7, "box"] = None
    found: list[pd.DataFrame] = []
    calls = count_calls(lambda: found.append(npd.check(frame, "annotations", bbox="box", bbox_format="xywh")))
    assert found[0].empty
    assert calls < len(frame)  # none is made box by box


# Metadata


PLAIN: list[dict[str, Any]] = [
    {"one": 1, "float": 1.0, "text": 'é\N{GRINNING FACE}"', "list": [1, 2.0, None, {"a": None}], "big": 2**63},
    {"nested": {"empty": {}, "null": None}, "yes": True, "no": False, "float": -0.5},
    {},
]


def form_of(name: str) -> dict[str, Any]:
    keys = sorted({key for row in PLAIN for key in row})
    columns = {key: pd.Series([row.get(key) for row in PLAIN], dtype=object) for key in keys}
    if name == "dicts":
        return {"metadata": PLAIN}
    if name == "JSON":
        return {"metadata": [json.dumps(row) for row in PLAIN]}
    if name == "JSON in arrow":
        return {"metadata": _arrow([json.dumps(row, ensure_ascii=False) for row in PLAIN], pa.string())}
    if name == "columns":
        return {f"metadata.{key}": column for key, column in columns.items()}
    if name == "dicts and columns":
        rest = [{key: value for key, value in row.items() if key != "float"} for row in PLAIN]
        return {"metadata": rest, "metadata.float": columns["float"]}
    return columns


@pytest.mark.parametrize("form", ["dicts", "JSON", "JSON in arrow", "columns", "dicts and columns", "named columns"])
def test_every_form_of_metadata_stores_the_same(four_images: npd.Dataset, form: str) -> None:
    columns = form_of(form)
    wanted: Any = list(columns) if form == "named columns" else True
    npd.annotate(boxes(**columns), four_images, metadata=wanted)
    found = [a["metadata"] for a in stored(four_images)]
    assert found == PLAIN
    assert repr([sorted(row.items()) for row in found]) == repr([sorted(row.items()) for row in PLAIN])
    frame = remote_items().iloc[:3].assign(**columns)
    assert four_images.append(frame, metadata=wanted, if_exists="update").updated_items == 3
    assert [four_images.iloc(row)["item"]["metadata"] for row in range(3)] == PLAIN


@pytest.mark.parametrize("gap", [[0], [1], [2], [0, 1], [0, 2], [0, 1, 2], []])
def test_metadata_stays_in_its_row_where_others_have_none(four_images: npd.Dataset, gap: list[int]) -> None:
    values = pd.Series(["p", "q", "r"], dtype=object)
    values.iloc[gap] = None
    expected = [{} if value is None else {"k": value} for value in values]
    npd.annotate(boxes(**{"metadata.k": values}), four_images)
    assert [a["metadata"] for a in stored(four_images)] == expected
    two = boxes(**{"metadata.k": values, "metadata.l": values[::-1].to_numpy()}, label="van")
    npd.annotate(two, four_images)
    assert [set(a["metadata"]) for a in stored(four_images) if a["label"] == "van"] == [
        {name for name, value in (("k", one), ("l", other)) if value is not None}
        for one, other in zip(values, values[::-1], strict=True)
    ]


def test_null_is_absent_at_the_top_and_stays_below(four_images: npd.Dataset) -> None:
    rows = [{"a": None, "b": {"c": None}, "d": [None, 1.0]}] * 3
    for form in (rows, list(map(json.dumps, rows)), _arrow([json.dumps(row) for row in rows], pa.string())):
        npd.annotate(boxes(metadata=form), four_images, if_exists="update")
        assert [a["metadata"] for a in stored(four_images)] == [{"b": {"c": None}, "d": [None, 1.0]}] * 3


def test_structs_of_arrow_are_metadata(four_images: npd.Dataset) -> None:
    inner = pa.struct([("deep", pa.int64()), ("gone", pa.string())])
    kind = pa.struct([("n", pa.int64()), ("f", pa.float64()), ("in", inner), ("l", pa.list_(pa.int8()))])
    rows = [{"n": 1, "f": 1.0, "in": {"deep": 7}, "l": [1, None]}, None, {"f": 2.5}]
    npd.annotate(boxes(metadata=_arrow(rows, kind), **{"metadata.k": ["p", "q", None]}), four_images)
    expected = [
        {"n": 1, "f": 1.0, "in": {"deep": 7, "gone": None}, "l": [1, None], "k": "p"},
        {"k": "q"},
        {"f": 2.5},
    ]
    assert [a["metadata"] for a in stored(four_images)] == expected
    both = boxes(metadata=_arrow(rows, kind), **{"metadata.n": [None, 2, 3]})
    npd.annotate(both, four_images, if_exists="update")
    assert [a["metadata"].get("n") for a in stored(four_images)] == [1, 2, 3]
    assert npd.check(both.assign(**{"metadata.n": 5}))["row"].tolist() == [0]


def test_metadata_false_sends_none_and_names_replace_the_others(four_images: npd.Dataset) -> None:
    frame = boxes(metadata=PLAIN, **{"metadata.k": 1, "hour": [7, None, 9]})
    npd.annotate(frame, four_images, metadata=False)
    assert [a["metadata"] for a in stored(four_images)] == [{}] * 3
    npd.annotate(frame, four_images, metadata=["hour"], if_exists="update")
    assert [a["metadata"] for a in stored(four_images)] == [{"hour": 7.0}, {}, {"hour": 9.0}]
    npd.annotate(frame, four_images, metadata=["metadata.k"], if_exists="update")
    assert [a["metadata"] for a in stored(four_images)] == [{"k": 1}] * 3
    npd.annotate(frame, four_images, metadata=[], if_exists="update")
    assert [a["metadata"] for a in stored(four_images)] == [{}] * 3


def test_a_column_of_objects_has_any_name(four_images: npd.Dataset) -> None:
    npd.annotate(boxes(extra=PLAIN), four_images, columns={"metadata": "extra"})
    assert [a["metadata"] for a in stored(four_images)] == PLAIN


# Ids


def test_the_same_frame_twice_changes_nothing(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    frame = boxes(confidence=[0.5, None, 1], metadata=PLAIN)
    names = NAMES[:3]
    for send, holder in ((lambda: npd.annotate(frame, dataset), dataset), (lambda: npd.predict(frame, run), run)):
        assert statuses(send()) == ["new"] * 3
        before = stored(holder, names)
        assert statuses(send()) == ["ignored"] * 3
        assert stored(holder, names) == before
        assert [a["metadata"] for a in before] == PLAIN


def test_corrected_metadata_is_an_update(four_images: npd.Dataset) -> None:
    npd.annotate(boxes(metadata=[{"n": 1}] * 3), four_images)
    before = [a["annotation_id"] for a in stored(four_images)]
    result = npd.annotate(boxes(metadata=[{"n": 2}] * 3), four_images, if_exists="update")
    assert statuses(result) == ["updated"] * 3
    assert result.annotations_processed == 3
    assert [a["metadata"] for a in stored(four_images)] == [{"n": 2}] * 3
    assert [a["annotation_id"] for a in stored(four_images)] == before


def test_a_row_keeps_its_id_whatever_stands_beside_it(four_images: npd.Dataset) -> None:
    npd.annotate(boxes(), four_images)
    assert statuses(npd.annotate(boxes().iloc[::-1], four_images)) == ["ignored"] * 3
    assert statuses(npd.annotate(boxes().iloc[[1]].astype({"y": "int8"}), four_images)) == ["ignored"]
    assert statuses(npd.annotate(boxes(x=-0.0), four_images)) == ["new"] * 3
    assert statuses(npd.annotate(boxes(x=0), four_images)) == ["ignored"] * 3


def test_exact_repeats_are_counted_and_none_is_lost(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    frame = boxes().iloc[[0, 1, 0, 0, 1]].assign(confidence=0.5, metadata=[{"n": n} for n in range(5)])
    for holder, send in ((dataset, npd.annotate), (run, npd.predict)):
        with pytest.warns(npd.NucleusWarning, match="3 rows repeat others exactly"):
            assert statuses(send(frame, holder)) == ["new"] * 5
        ids = {a["metadata"]["n"]: a["annotation_id"] for a in stored(holder, NAMES[:3])}
        numbers = [ids[n].removeprefix(ids[first]) for n, first in enumerate([0, 1, 0, 0, 1])]
        assert numbers == ["", "", "-1", "-2", "-1"]
        with pytest.warns(npd.NucleusWarning, match="3 rows repeat others exactly"):
            assert statuses(send(frame, holder, batch_size=2)) == ["ignored"] * 5


def test_exact_repeats_of_other_types_are_counted(four_images: npd.Dataset) -> None:
    shapes = pd.DataFrame({"reference_id": "a.jpg", "label": "road", "type": "polygon", "geometry": [TRIANGLE] * 3})
    for status in ("new", "ignored"):
        with pytest.warns(npd.NucleusWarning, match="2 rows repeat others exactly, the first is row 1"):
            assert statuses(npd.annotate(shapes, four_images)) == [status] * 3
    first, *others = [a["annotation_id"] for a in stored(four_images)]
    assert others == [f"{first}-1", f"{first}-2"]


def payloads(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The same rows as dicts of the contract."""
    return [
        {
            "type": "box",
            "reference_id": str(row["reference_id"]),
            "label": str(row["label"]),
            "geometry": {side: row[side] for side in SIDES},
            **({"confidence": row["confidence"]} if "confidence" in row else {}),
        }
        for row in frame.to_dict("records")
    ]


def test_frames_and_payloads_get_the_same_ids(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    frame = boxes(label=["car", '\N{GRINNING FACE}"\\', "7"], x=[0.1, 1e-7, -0.0])
    frame = pd.concat([frame, frame.iloc[:1]])
    predictions = frame.assign(confidence=[0.1, 0.2, 1, 0.1])
    for send, rows, status in (
        (dataset.annotate, frame, "new"),
        (dataset.annotate, {"annotations": payloads(frame)}, "ignored"),
        (run.predict, payloads(predictions), "new"),
        (run.predict, predictions, "ignored"),
    ):
        with pytest.warns(npd.NucleusWarning, match="1 row repeats another exactly"):
            assert statuses(send(rows)) == [status] * 4


def test_the_server_computes_the_same_ids(local: npd.NucleusClient, four_images: npd.Dataset) -> None:
    npd.annotate(boxes(), four_images)
    body = {"annotations": payloads(boxes())}
    answer = send_request(local, "POST", "dataset", four_images.id, "annotate", body=body)
    assert answer["annotations_ignored"] == 3


def test_ids_of_the_caller_are_kept_and_others_computed(four_images: npd.Dataset) -> None:
    npd.annotate(boxes(), four_images)
    computed = {a["label"]: a["annotation_id"] for a in stored(four_images, ["a.jpg"])}
    result = npd.annotate(boxes(annotation_id=["mine", None, 7]), four_images)
    assert statuses(result) == ["new", "ignored", "new"]
    assert [a["annotation_id"] for a in stored(four_images)] == [
        computed["car"],
        computed["bus"],
        "mine",
        *_last(four_images),
    ]
    moved = boxes(annotation_id=["mine", None, "7"], x=99.0, label="van")
    with pytest.warns(npd.NucleusWarning, match="added 1 rows without annotation_id"):
        assert statuses(npd.annotate(moved, four_images, if_exists="update")) == ["updated", "new", "updated"]


def _last(dataset: npd.Dataset) -> list[str]:
    return [a["annotation_id"] for a in stored(dataset, ["c.jpg"])]


def test_both_keys_name_the_item_and_the_reference_id_goes_first(four_images: npd.Dataset) -> None:
    ids = {name: four_images.refloc(name)["item"]["id"] for name in NAMES}
    npd.annotate(boxes(), four_images)
    assert statuses(npd.annotate(boxes(dataset_item_id="di_of_another_dataset"), four_images)) == ["ignored"] * 3
    by_id = boxes(dataset_item_id=[ids["b.jpg"], ids["b.jpg"], ids["d.jpg"]])
    mixed = by_id.assign(reference_id=["a.jpg", None, None])
    assert statuses(npd.annotate(mixed, four_images)) == ["ignored", "new", "new"]
    assert [a["label"] for a in stored(four_images, ["b.jpg", "d.jpg"])] == ["bus", "car"]
    alone = by_id.drop(columns="reference_id")
    assert statuses(npd.annotate(alone, four_images)) == ["new", "ignored", "ignored"]


# Types


def without_nulls(value: Any) -> Any:
    """Leave out what a struct of Arrow holds because other rows do; a keypoint without a place may say so."""
    if isinstance(value, list):
        return [without_nulls(part) for part in value]
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return value


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("form", ["dict", "JSON", "arrow"])
def test_every_type_goes_in_by_its_geometry(four_images: npd.Dataset, kind: str, form: str) -> None:
    geometry: Any = [SHAPES[kind], None, SHAPES[kind]]
    if form == "JSON":
        geometry = [None if value is None else json.dumps(value) for value in geometry]
    elif form == "arrow":
        geometry = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(geometry)))
    frame = boxes(type=[kind, "box", kind], geometry=geometry, metadata=[{"n": 1}, None, {"n": 3}])
    assert statuses(npd.annotate(frame, four_images)) == ["new"] * 3
    found = stored(four_images)
    assert sorted(a["type"] for a in found) == sorted([kind, "box", kind])
    shape = next(a for a in found if a["type"] == kind)
    if kind in ("category", "multicategory", "mask"):
        assert {key: shape[key] for key in SHAPES[kind]} == SHAPES[kind]
    else:
        assert {key: without_nulls(shape["geometry"][key]) for key in SHAPES[kind]} == SHAPES[kind]
    assert [a["metadata"] for a in found if a["type"] == kind] == [{"n": 1}, {"n": 3}]
    assert statuses(npd.annotate(frame, four_images)) == ["ignored"] * 3
    same = npd.annotate(frame.iloc[::-1].assign(geometry=[SHAPES[kind], None, SHAPES[kind]]), four_images)
    assert statuses(same) == ["ignored"] * 3


@pytest.mark.parametrize("kind", [kind for kind in SHAPES if kind != "multicategory"])
def test_every_type_but_one_is_predicted(run: npd.ModelRun, kind: str) -> None:
    frame = boxes(type=kind, geometry=[SHAPES[kind]] * 3, confidence=[0.1, 0.2, 0.3]).drop(columns=SIDES)
    frame["reference_id"] = NAMES[:3]
    assert statuses(npd.predict(frame, run)) == ["new"] * 3
    assert [a["confidence"] for a in stored(run, NAMES[:3])] == [0.1, 0.2, 0.3]
    assert statuses(npd.predict(frame, run)) == ["ignored"] * 3


def test_a_category_needs_no_geometry_and_a_mask_no_label(four_images: npd.Dataset) -> None:
    frame = pd.DataFrame(
        {
            "reference_id": NAMES[:2],
            "type": ["category", "mask"],
            "label": ["rain", None],
            "geometry": [None, SHAPES["mask"]],
        }
    )
    assert statuses(npd.annotate(frame, four_images)) == ["new", "new"]
    masks = frame.iloc[1:].drop(columns="label").assign(reference_id="c.jpg")
    assert statuses(npd.annotate(masks, four_images)) == ["new"]


def test_types_of_one_frame_may_be_mixed_with_images_without_boxes(four_images: npd.Dataset) -> None:
    frame = pd.DataFrame(
        {
            "reference_id": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
            "type": pd.Categorical(["polygon", None, "box", "category"]),
            "label": ["road", None, "car", "rain"],
            "geometry": [TRIANGLE, None, None, None],
            **{side: [None, None, 5.0, None] for side in SIDES},
        }
    )
    assert statuses(npd.annotate(frame, four_images)) == ["new", "skipped", "new", "new"]
    assert [a["type"] for a in stored(four_images)] == ["polygon", "box", "category"]


# What is there already


def test_items_that_exist_are_skipped_updated_or_refused(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("items")
    assert statuses(dataset.append(remote_items(hour=7).iloc[:2], metadata=["hour"])) == ["new", "new"]
    more = remote_items(hour=8)
    with pytest.raises(npd.AlreadyExistsError) as caught:
        dataset.append(more, metadata=["hour"], if_exists="error")
    result = caught.value.result
    assert statuses(result)[:2] == ["error", "error"]
    assert "exists already" in result.rows["error"].iloc[0]
    assert [dataset.iloc(row)["item"]["metadata"] for row in range(2)] == [{"hour": 7}] * 2
    assert result.failed["reference_id"].tolist() == NAMES
    assert len(dataset) == 2  # the batch was refused whole
    assert statuses(dataset.append(more, metadata=["hour"])) == ["ignored", "ignored", "new", "new"]
    assert dataset.iloc(0)["item"]["metadata"] == {"hour": 7}
    assert statuses(dataset.append(more, metadata=["hour"], if_exists="update")) == ["updated"] * 4
    assert dataset.iloc(0)["item"]["metadata"] == {"hour": 8}
    collected = dataset.append(more, if_exists="error", on_error="collect")
    assert statuses(collected) == ["error"] * 4
    assert collected.upload_errors == 4


def test_annotations_that_exist_are_skipped_updated_or_refused(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    for holder, send in ((dataset, npd.annotate), (run, npd.predict)):
        frame = boxes(confidence=0.5, metadata=[{"n": 1}] * 3)
        send(frame.iloc[:1], holder)
        changed = frame.assign(metadata=[{"n": 2}] * 3)
        with pytest.raises(npd.AlreadyExistsError, match="exists already") as caught:
            send(changed, holder, if_exists="error")
        assert statuses(caught.value.result)[0] == "error"
        assert [a["metadata"] for a in stored(holder, NAMES[:3])] == [{"n": 1}]
        assert len(caught.value.result.failed) == 3
        assert statuses(send(changed, holder)) == ["ignored", "new", "new"]
        assert statuses(send(changed, holder, if_exists="update")) == ["updated"] * 3
        assert [a["metadata"] for a in stored(holder, NAMES[:3])] == [{"n": 2}] * 3


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_payloads_follow_the_same_rules(client: npd.NucleusClient, on_error: Any) -> None:
    dataset = client.create_dataset("payloads")
    items = [{"reference_id": name, "image_url": "s3://p"} for name in NAMES]
    dataset.append({"items": items})
    run = dataset.create_model_run(client.add_model("Detector", reference_id="det"))
    rows = payloads(boxes(confidence=0.5))
    for send, rest in ((dataset.append, items), (dataset.annotate, rows), (run.predict, rows)):
        send(rest)
        assert set(statuses(send(rest, if_exists="skip"))) == {"ignored"}
        assert set(statuses(send(rest, if_exists="update"))) == {"updated"}
        if on_error == "collect":
            result = send(rest, if_exists="error", on_error="collect")
        else:
            with pytest.raises(npd.AlreadyExistsError, match="exists already") as caught:
                send(rest, if_exists="error")
            result = caught.value.result
        assert (set(statuses(result)), result.failed) == ({"error"}, rest)


# How it is sent


@pytest.mark.parametrize("size", [1, 2, np.int64(3), 4, 1000])
def test_batches_of_any_size_store_the_same_in_the_order_of_the_frame(client: npd.NucleusClient, size: int) -> None:
    dataset = client.create_dataset("order")
    names = [f"{n % 7}-{n}.jpg" for n in range(10)]
    frame = pd.DataFrame({"reference_id": names, "image_url": "s3://p", "metadata.n": range(10)})
    assert dataset.append(frame, batch_size=size).new_items == 10
    assert [dataset.iloc(row)["item"]["reference_id"] for row in range(10)] == names
    many = pd.DataFrame({"reference_id": names[0], "label": [f"{n}" for n in range(9)], **dict.fromkeys(SIDES, 2)})
    assert dataset.annotate(many, batch_size=size).annotations_processed == 9
    assert [a["label"] for a in dataset.iloc(0)["annotations"]] == many["label"].tolist()


class Terminal(io.StringIO):
    """Where somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "progress", "shown"),
    [
        (Terminal, None, True),
        (Terminal, False, False),
        (Terminal, True, True),
        (io.StringIO, None, False),
        (io.StringIO, True, True),
    ],
)
def test_a_bar_is_shown_where_somebody_watches(
    four_images: npd.Dataset, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], progress: Any, shown: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    npd.annotate(boxes(), four_images, batch_size=1, progress=progress)
    written = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert ("annotations: 100%" in written and "3/3" in written) is shown
    assert bool(written) is shown


def test_one_request_shows_no_bar_unless_it_is_asked_for(
    four_images: npd.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    npd.annotate(boxes(), four_images)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    npd.annotate(boxes(), four_images, progress=True)
    assert "3/3" in sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["http://e.org/a b?c#d", "HTTPS://e.org/é", "s3://b/a", "gs://b/a", "gcs://b/a"])
def test_addresses_elsewhere_are_sent_as_they_are(client: npd.NucleusClient, url: str) -> None:
    dataset = client.create_dataset("elsewhere")
    pd.DataFrame({"reference_id": ["a"], "image_url": [url]}).nucleus.append(dataset)
    dataset.append([{"reference_id": "b", "image_url": url}])
    assert dataset.items.to_frame()["image_url"].tolist() == [url, url]


def test_a_refused_row_does_not_stop_the_batches_after_it(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("batches")
    dataset.append(remote_items())
    frame = pd.concat([boxes(reference_id=["a.jpg", "nowhere", "c.jpg"]), boxes(label="van")]).set_axis(list("abcdef"))
    result = dataset.annotate(frame, batch_size=1, on_error="collect")
    assert statuses(result) == ["new", "error", "new", "new", "new", "new"]
    assert result.failed.index.tolist() == ["b"]


def test_images_of_this_machine_and_elsewhere_keep_their_order(
    client: npd.NucleusClient, tmp_path: Path, image: Path
) -> None:
    other = tmp_path / "oh no #1 é.png"
    Image.new("RGB", (8, 9), "blue").save(other)
    dataset = client.create_dataset("mixed")
    urls = [str(image), "https://example.org/b.jpg", str(other), "s3://bucket/d.jpg"]
    frame = remote_items(image_url=pd.Series(urls, dtype=object), hour=[1, 2, 3, 4]).set_axis(list("wxyz"))
    result = dataset.append(frame, metadata=["hour"])
    assert statuses(result) == ["new"] * 4
    items = [dataset.iloc(row)["item"] for row in range(4)]
    assert [item["reference_id"] for item in items] == NAMES
    assert [item["metadata"]["hour"] for item in items] == [1, 2, 3, 4]
    assert [(item.get("width"), item.get("height")) for item in items] == [(64, 48), (None, None), (8, 9), (None, None)]
    assert statuses(dataset.append(frame.assign(image_url=[image, urls[1], other, urls[3]]))) == ["ignored"] * 4
    assert statuses(dataset.append(frame.iloc[[0, 2]], local=True, if_exists="update")) == ["updated"] * 2
    with pytest.raises(npd.AlreadyExistsError):
        dataset.append(frame, if_exists="error")


def test_images_of_a_batch_with_an_item_that_exists_are_all_refused(client: npd.NucleusClient, image: Path) -> None:
    dataset = client.create_dataset("images")
    frame = remote_items(image_url=str(image))
    frame.iloc[[2]].nucleus.append(dataset)
    with pytest.raises(npd.AlreadyExistsError, match="'c.jpg' exists already") as caught:
        frame.nucleus.append(dataset, if_exists="error")
    assert statuses(caught.value.result) == ["error"] * 4
    assert dataset.items.to_frame()["reference_id"].tolist() == ["c.jpg"]


def test_a_joint_frame_of_local_images_sends_each_once(local: npd.NucleusClient, image: Path) -> None:
    dataset = local.create_dataset("joint")
    frame = boxes(image_url=str(image))
    assert dataset.append(frame).new_items == 2
    assert dataset.iloc(1)["item"]["width"] == 64


def test_the_same_frame_serves_functions_accessor_and_methods(dataset: npd.Dataset) -> None:
    frame = boxes()
    assert frame.nucleus.annotate(dataset).annotations_processed == 3
    assert npd.annotate(frame, dataset).annotations_ignored == 3
    assert dataset.annotate(frame).annotations_ignored == 3
    assert "3 rows" in repr(frame.nucleus)
