"""Parquet into datasets and runs: where files are, what they look like, what is told of them."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

import nucleus_pandas as npd
from nucleus_pandas.io.parquet.sources import find
from tests.factories import SIDES

NAMES = [f"{number}.jpg" for number in range(6)]


def items_of(names: list[str] = NAMES) -> pd.DataFrame:
    return pd.DataFrame({"reference_id": names, "image_url": [f"https://example.org/{name}" for name in names]})


def boxes_of(count: int = 12) -> pd.DataFrame:
    rows = np.arange(count, dtype=float)
    return pd.DataFrame(
        {
            "reference_id": [NAMES[row % len(NAMES)] for row in range(count)],
            "label": [("car", "bus", "café")[row % 3] for row in range(count)],
            "x": rows,
            "y": rows + 0.5,
            "width": rows + 10,
            "height": rows / 3 + 20,
        }
    )


@pytest.fixture
def scenes(client: npd.NucleusClient) -> npd.Dataset:
    made = client.create_dataset("Scenes")
    made.append(items_of())
    return made


@pytest.fixture
def scene(local: npd.NucleusClient) -> npd.Dataset:
    made = local.create_dataset("Scenes")
    made.append(items_of())
    return made


def sent_by_frame(local_or_not: npd.NucleusClient, frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """What a dataset holds to which the frame itself is sent."""
    dataset = local_or_not.create_dataset("By frame")
    dataset.append(items_of())
    dataset.annotate(frame, **options)
    return without_ids(dataset.annotations.to_frame())


def without_ids(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="dataset_item_id")


def imported(dataset: npd.Dataset) -> pd.DataFrame:
    return without_ids(dataset.annotations.to_frame())


# What is sent


def test_an_import_stores_what_the_frame_would(client: npd.NucleusClient, scenes: npd.Dataset, tmp_path: Path) -> None:
    boxes = boxes_of().assign(**{"metadata.hour": 7, "metadata.rain": [True, None] * 6})
    boxes.to_parquet(tmp_path / "boxes.parquet", row_group_size=5)
    result = npd.import_parquet(tmp_path / "boxes.parquet", scenes, "annotations", batch_size=3)
    assert (result.rows, result.new, result.failed, result.files) == (12, 12, 0, 1)
    pd.testing.assert_frame_equal(imported(scenes), sent_by_frame(client, boxes))


def test_items_are_imported_in_their_order(scenes: npd.Dataset, client: npd.NucleusClient, tmp_path: Path) -> None:
    names = [f"image {number:03}" for number in range(50)][::-1]
    items = items_of(names).assign(width=640, height=pd.array([480, None] * 25, "Int64"), weather="rain")
    items.to_parquet(tmp_path / "items.parquet", row_group_size=7)
    dataset = client.create_dataset("Imported")
    assert npd.import_parquet(tmp_path / "items.parquet", dataset, metadata=["weather"], batch_size=2).new == 50
    read = dataset.items.to_frame().reset_index(drop=True)
    assert read["reference_id"].tolist() == names
    assert read["image_width"].tolist() == [640] * 50
    assert read["image_height"].isna().tolist() == [False, True] * 25
    assert read["metadata"].tolist() == [{"weather": "rain"}] * 50


def test_predictions_go_to_their_run(scene: npd.Dataset, local: npd.NucleusClient, tmp_path: Path) -> None:
    run = scene.create_model_run(local.add_model("Detector", "det"))
    boxes_of().assign(score=np.linspace(0, 1, 12)).to_parquet(tmp_path / "p.parquet", row_group_size=5)
    result = npd.import_parquet(tmp_path / "p.parquet", scene, "predictions", run, columns={"confidence": "score"})
    assert result.new == 12
    read = run.predictions.to_frame()
    assert sorted(read["confidence"]) == np.linspace(0, 1, 12).tolist()
    assert len(scene.annotations) == 0


def test_a_file_with_a_row_a_box_gives_items_and_boxes(local: npd.NucleusClient, tmp_path: Path) -> None:
    joint = boxes_of().merge(items_of()).assign(image_width=640, image_height=480)
    joint.loc[12] = {"reference_id": "none.jpg", "image_url": "https://example.org/none.jpg", "image_width": 640}
    joint.to_parquet(tmp_path / "joint.parquet", row_group_size=4)
    dataset = local.create_dataset("Joint")
    first = npd.import_parquet(tmp_path / "joint.parquet", dataset)
    second = npd.import_parquet(tmp_path / "joint.parquet", dataset, "annotations")
    assert len(dataset) == 7
    assert (first.new, first.failed) == (7, 0)
    assert (second.new, second.skipped, second.failed) == (12, 1, 0)
    assert dataset.refloc["0.jpg", "image_width"] == 640


@pytest.mark.parametrize(
    "types",
    [
        {"reference_id": pa.large_string(), "label": pa.dictionary(pa.int32(), pa.string())},
        {"x": pa.int32(), "y": pa.decimal128(10, 2), "width": pa.uint8(), "height": pa.float32()},
        pytest.param({"reference_id": pa.string_view(), "label": pa.string_view()}, marks=pytest.mark.newest),
    ],
    ids=["texts", "numbers", "views"],
)
def test_columns_are_taken_as_arrow_has_them(scene: npd.Dataset, tmp_path: Path, types: dict[str, Any]) -> None:
    table = pa.Table.from_pandas(boxes_of().assign(y=1.5, height=0.5))
    for name, kind in types.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    pq.write_table(table, tmp_path / "boxes.parquet")
    assert npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations").new == 12
    read = imported(scene).sort_values("x", ignore_index=True)
    expected = boxes_of().assign(y=1.5, height=0.5)
    pd.testing.assert_frame_equal(read[["reference_id", "label", *SIDES]], expected, check_dtype=False)


def test_integers_are_ids_also_where_some_are_missing(local: npd.NucleusClient, tmp_path: Path) -> None:
    table = pa.table({"reference_id": pa.array([7, None, 8], pa.int64()), "image_url": ["https://example.org/a"] * 3})
    pq.write_table(table, tmp_path / "items.parquet")
    dataset = local.create_dataset("Ids")
    result = npd.import_parquet(tmp_path / "items.parquet", dataset, on_error="collect")
    assert (result.new, result.failed) == (2, 1)
    assert dataset.items.to_frame()["reference_id"].tolist() == ["7", "8"]


def test_metadata_of_any_type_arrives(scene: npd.Dataset, tmp_path: Path) -> None:
    columns = {
        "metadata.time": pa.array([datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)] * 12),
        "metadata.price": pa.array([decimal.Decimal("1.50")] * 12),
        "metadata.tags": pa.array([["a", None], []] * 6),
        "metadata.nested": pa.array([{"a": 1, "b": None}, {"a": None, "b": "ä"}] * 6),
        "metadata.none": pa.nulls(12),
        "metadata.big": pa.array([1 << 60] * 12),
    }
    table = pa.Table.from_pandas(boxes_of(), preserve_index=False)
    for name, column in columns.items():
        table = table.append_column(name, column)
    pq.write_table(table, tmp_path / "boxes.parquet")
    assert npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations").new == 12
    found = {row["x"]: row["metadata"] for _, row in imported(scene).iterrows()}
    assert found[0]["time"].startswith("2026-01-02T03:00:00")
    assert found[0]["tags"] == ["a", None]
    assert found[1]["tags"] == []
    assert found[1]["nested"] == {"a": None, "b": "ä"}
    assert found[0]["big"] == 1 << 60
    assert "none" not in found[0]


@pytest.mark.parametrize("form", ["structs", "texts"])
def test_whole_metadata_objects_arrive(scene: npd.Dataset, tmp_path: Path, form: str) -> None:
    objects = [{"hour": row, "by": "ä" if row % 2 else None} for row in range(12)]
    column = pa.array(objects) if form == "structs" else pa.array([json.dumps(one) for one in objects])
    table = pa.Table.from_pandas(boxes_of(), preserve_index=False).append_column("about", column)
    pq.write_table(table, tmp_path / "boxes.parquet", row_group_size=5)
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", columns={"metadata": "about"})
    found = {row["x"]: row["metadata"] for _, row in imported(scene).iterrows()}
    assert found[3.0] == {"hour": 3, "by": "ä"}
    assert found[4.0] == {"hour": 4}


def test_no_metadata_is_sent_where_none_is_wanted(scene: npd.Dataset, tmp_path: Path) -> None:
    boxes_of().assign(**{"metadata.hour": 7}).to_parquet(tmp_path / "boxes.parquet")
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", metadata=False)
    assert imported(scene)["metadata"].tolist() == [{}] * 12


def test_a_named_index_counts_as_a_column(scene: npd.Dataset, tmp_path: Path) -> None:
    boxes_of().set_index(["reference_id", "label"]).to_parquet(tmp_path / "boxes.parquet")
    assert npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations").new == 12


def test_shapes_that_are_no_boxes_arrive(scene: npd.Dataset, tmp_path: Path) -> None:
    corners = [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]
    shapes = pd.DataFrame(
        {
            "reference_id": ["0.jpg", "1.jpg"],
            "label": "car",
            "type": "polygon",
            "geometry": [json.dumps({"vertices": corners})] * 2,
        }
    )
    shapes.to_parquet(tmp_path / "shapes.parquet")
    assert npd.import_parquet(tmp_path / "shapes.parquet", scene, "annotations").new == 2
    assert imported(scene)["geometry"].tolist() == [{"vertices": corners}] * 2


# One row an image


def nested_of(boxes: pd.DataFrame) -> pd.DataFrame:
    groups = boxes.groupby("reference_id", sort=False)
    rows = [
        {"reference_id": name, "bbox": group[SIDES].to_numpy().tolist(), "labels": group["label"].tolist()}
        for name, group in groups
    ]
    return pd.DataFrame([*rows, {"reference_id": "5.jpg", "bbox": [], "labels": []}])


NESTED: dict[str, tuple[Callable[[pd.DataFrame], pa.Table], dict[str, Any]]] = {
    "lists": (
        lambda rows: pa.table({name: pa.array(rows[name].tolist()) for name in rows}),
        {"bbox": "bbox", "columns": {"label": "labels"}},
    ),
    "fixed lists": (
        lambda rows: pa.table(
            {
                "reference_id": rows["reference_id"].tolist(),
                "bbox": pa.array(rows["bbox"].tolist(), pa.large_list(pa.list_(pa.float64(), 4))),
                "labels": rows["labels"].tolist(),
            }
        ),
        {"bbox": "bbox", "columns": {"label": "labels"}},
    ),
    "a struct of lists": (
        lambda rows: pa.table(
            {
                "reference_id": rows["reference_id"].tolist(),
                "objects": pa.array(
                    [{"bbox": box, "name": names} for box, names in zip(rows["bbox"], rows["labels"], strict=True)],
                    pa.struct({"bbox": pa.list_(pa.list_(pa.float64())), "name": pa.list_(pa.string())}),
                ),
            }
        ),
        {"bbox": "objects.bbox", "columns": {"label": "objects.name"}},
    ),
    "a list of structs": (
        lambda rows: pa.table(
            {
                "reference_id": rows["reference_id"].tolist(),
                "objects": [
                    [{"box": dict(zip(SIDES, box, strict=True)), "name": name} for box, name in zip(*pair, strict=True)]
                    for pair in zip(rows["bbox"], rows["labels"], strict=True)
                ],
            }
        ),
        {"bbox": "objects.box", "columns": {"label": "objects.name"}},
    ),
    "four lists": (
        lambda rows: pa.table(
            {
                "reference_id": rows["reference_id"].tolist(),
                "labels": rows["labels"].tolist(),
                **{
                    side: pa.array([[box[at] for box in row] for row in rows["bbox"]], pa.list_(pa.float64()))
                    for at, side in enumerate(SIDES)
                },
            }
        ),
        {"columns": {"label": "labels"}},
    ),
}


@pytest.mark.parametrize("form", NESTED)
def test_a_row_a_image_gives_a_box_each(
    local: npd.NucleusClient, scene: npd.Dataset, tmp_path: Path, form: str
) -> None:
    make, options = NESTED[form]
    options = {"bbox_format": "xywh", **options}
    boxes = boxes_of(10)[lambda rows: rows["reference_id"] != "5.jpg"]
    pq.write_table(make(nested_of(boxes)), tmp_path / "nested.parquet", row_group_size=2)
    result = npd.import_parquet(tmp_path / "nested.parquet", scene, "annotations", **options)
    assert (result.rows, result.new, result.skipped, result.failed) == (6, len(boxes), 1, 0)
    pd.testing.assert_frame_equal(imported(scene), sent_by_frame(local, boxes))


def test_a_missing_list_is_a_image_without_boxes(scene: npd.Dataset, tmp_path: Path) -> None:
    table = pa.table(
        {"reference_id": ["0.jpg", "1.jpg"], "bbox": [None, [[1.0, 2.0, 3.0, 4.0]]], "label": [None, ["car"]]}
    )
    pq.write_table(table, tmp_path / "nested.parquet")
    result = npd.import_parquet(tmp_path / "nested.parquet", scene, "annotations", bbox="bbox", bbox_format="xywh")
    assert (result.new, result.skipped) == (1, 1)
    assert imported(scene)["reference_id"].tolist() == ["1.jpg"]


def test_lists_that_do_not_fit_refuse_their_image(scene: npd.Dataset, tmp_path: Path) -> None:
    box = [1.0, 2.0, 3.0, 4.0]
    table = pa.table(
        {
            "reference_id": ["0.jpg", "1.jpg", "2.jpg"],
            "bbox": [[box], [box, box], [box, [1.0, 2.0, -3.0, 4.0]]],
            "label": [["car"], ["car"], ["car", "bus"]],
        }
    )
    pq.write_table(table, tmp_path / "nested.parquet")
    result = npd.import_parquet(
        tmp_path / "nested.parquet", scene, "annotations", bbox="bbox", bbox_format="xywh", on_error="collect"
    )
    assert (result.new, result.failed) == (2, 2)
    rejects = pd.read_parquet(result.rejects)
    assert rejects["reject_row"].tolist() == [1, 2]
    assert rejects["reject_column"].tolist() == ["label", "bbox"]
    assert rejects["reject_reason"][0] == "holds 1 values, and 'bbox' 2: there must be one per box."
    assert rejects["reject_reason"][1].startswith("Box 1: the width of the box is -3")


def test_metadata_of_boxes_stands_in_lists_and_that_of_images_does_not(scene: npd.Dataset, tmp_path: Path) -> None:
    table = pa.table(
        {
            "reference_id": ["0.jpg"],
            "objects": [
                {"bbox": [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], "kind": ["car", "bus"], "area": [12, 56]}
            ],
            "camera": ["left"],
        }
    )
    pq.write_table(table, tmp_path / "nested.parquet")
    npd.import_parquet(
        tmp_path / "nested.parquet",
        scene,
        "annotations",
        columns={"label": "objects.kind"},
        bbox="objects.bbox",
        bbox_format="xywh",
        metadata=["objects.area", "camera"],
    )
    assert imported(scene)["metadata"].tolist() == [
        {"objects.area": 12, "camera": "left"},
        {"objects.area": 56, "camera": "left"},
    ]


@pytest.mark.parametrize("shape", ["sequence of a dict", "list of a dict", "dict of lists"])
def test_classes_get_the_names_that_were_written_down_beside_them(
    scene: npd.Dataset, tmp_path: Path, shape: str
) -> None:
    label = {"names": ["car", "bus"], "_type": "ClassLabel"}
    features: dict[str, Any] = {
        "sequence of a dict": {"feature": {"category": label}, "_type": "Sequence"},
        "list of a dict": [{"category": label}],
        "dict of lists": {"category": {"feature": label, "_type": "List"}},
    }
    objects = [{"bbox": [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], "category": [1, 0]}]
    table = pa.table({"reference_id": ["0.jpg"], "objects": objects})
    info = {"info": {"features": {"reference_id": {"dtype": "string", "_type": "Value"}, "objects": features[shape]}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "nested.parquet")
    npd.import_parquet(
        tmp_path / "nested.parquet",
        scene,
        "annotations",
        columns={"label": "objects.category"},
        bbox="objects.bbox",
        bbox_format="xywh",
    )
    assert imported(scene)["label"].tolist() == ["bus", "car"]


def test_items_are_taken_from_a_row_a_image(local: npd.NucleusClient, tmp_path: Path) -> None:
    table = pa.table(
        {
            "reference_id": ["a"],
            "image_url": ["https://example.org/a"],
            "width": [640],
            "bbox": [[[1.0, 2.0, 3.0, 4.0]]],
        }
    )
    pq.write_table(table, tmp_path / "nested.parquet")
    dataset = local.create_dataset("Nested")
    assert npd.import_parquet(tmp_path / "nested.parquet", dataset).new == 1
    assert dataset.refloc["a", "image_width"] == 640


# Where files are


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of four files in two folders, beside others that are none of them."""
    for part, split in enumerate(("train", "train", "val", "val")):
        place = tmp_path / "boxes" / f"split={split}" / "night%20shift=1"
        place.mkdir(parents=True, exist_ok=True)
        boxes_of().iloc[part * 3 : part * 3 + 3].to_parquet(place / f"part-{part}.parquet")
    (tmp_path / "boxes" / "_rejects.parquet").write_text("none")
    (tmp_path / "boxes" / ".hidden.parquet").write_text("none")
    (tmp_path / "boxes" / "README.txt").write_text("none")
    return tmp_path / "boxes"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        (lambda folder: folder, 12),
        (lambda folder: str(folder), 12),
        (lambda folder: folder.as_uri(), 12),
        (lambda folder: f"{folder}/**/*.parquet", 12),
        (lambda folder: f"{folder}/split=train/*/part-[01].parquet", 6),
        (lambda folder: folder / "split=val", 6),
        (lambda folder: folder / "split=val" / "night%20shift=1" / "part-3.parquet", 3),
        (lambda folder: [folder / "split=train", f"{folder}/split=val/*/part-2.parquet"], 9),
    ],
    ids=["folder", "text", "uri", "pattern", "narrow pattern", "inner folder", "file", "several"],
)
def test_a_source_is_a_file_a_folder_a_pattern_or_several(
    scene: npd.Dataset, folder: Path, source: Callable[[Path], Any], count: int
) -> None:
    assert npd.import_parquet(source(folder), scene, "annotations").new == count
    assert len(imported(scene)) == count


def test_the_names_of_folders_are_columns(scene: npd.Dataset, folder: Path) -> None:
    npd.import_parquet(folder, scene, "annotations", metadata=["split", "night shift"])
    found = imported(scene).sort_values("x")["metadata"].tolist()
    assert found == [{"split": "train", "night shift": 1}] * 6 + [{"split": "val", "night shift": 1}] * 6


def test_numbers_in_the_names_of_folders_are_numbers_if_all_are(scene: npd.Dataset, tmp_path: Path) -> None:
    for part, (day, code) in enumerate((("1", "1"), ("02", "x"), ("__HIVE_DEFAULT_PARTITION__", "3"))):
        place = tmp_path / "boxes" / f"day={day}" / f"code={code}"
        place.mkdir(parents=True)
        boxes_of().iloc[part : part + 1].to_parquet(place / "part.parquet")
    npd.import_parquet(tmp_path / "boxes", scene, "annotations", metadata=["day", "code"])
    found = imported(scene).sort_values("x")["metadata"].tolist()
    assert found == [{"day": "1", "code": "1"}, {"day": "02", "code": "x"}, {"code": "3"}]


def test_a_label_may_be_the_name_of_a_folder(scene: npd.Dataset, tmp_path: Path) -> None:
    (tmp_path / "boxes" / "label=car").mkdir(parents=True)
    boxes_of().drop(columns="label").to_parquet(tmp_path / "boxes" / "label=car" / "part.parquet")
    npd.import_parquet(tmp_path / "boxes", scene, "annotations")
    assert set(imported(scene)["label"]) == {"car"}


@pytest.mark.newest
def test_an_address_that_arrow_does_not_know_is_read_by_fsspec(scene: npd.Dataset, cache: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for split in ("train", "val"):
        with memory.open(f"/bucket/boxes/split={split}/part.parquet", "wb") as file:
            boxes_of().iloc[:6].assign(y=1.0 + (split == "val")).to_parquet(file)
    try:
        result = npd.import_parquet("memory://bucket/boxes", scene, "annotations", metadata=["split"])
        assert (result.files, result.new) == (2, 12)
        assert result.journal is not None
        assert cache / "nucleus_pandas" in result.journal.parents
        again = npd.import_parquet("memory://bucket/boxes/**/*.parquet", scene, "annotations", metadata=["split"])
        assert again.already_sent == 12
        assert {one["split"] for one in imported(scene)["metadata"]} == {"train", "val"}
        alone = npd.import_parquet("bucket/boxes", scene, "annotations", filesystem=memory, journal=False)
        assert alone.ignored == 12
    finally:
        memory.rm("/bucket", recursive=True)


def test_a_file_system_of_arrow_is_looked_through(scene: npd.Dataset, folder: Path, cache: Path) -> None:
    below = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    result = npd.import_parquet("split=val", scene, "annotations", filesystem=below)
    assert (result.files, result.new) == (2, 6)
    assert result.journal is not None
    assert cache in result.journal.parents


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this user."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_secrets_in_addresses_are_told_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet")
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    known = type("Known", (), {"from_uri": lambda uri: (system, uri.partition("?")[0].rpartition("/")[2])})
    monkeypatch.setattr("nucleus_pandas.io.parquet.sources.fs.FileSystem", known)
    found = find("s3://user:pa55word@bucket/boxes.parquet?token=pa55word")
    assert [file.name for file in found.files] == ["s3://bucket/boxes.parquet"]
    with pytest.raises(npd.InvalidInputError, match="There is no file 's3://bucket/none'"):
        find("s3://user:pa55word@bucket/none?token=pa55word")


# What is told


def test_the_columns_that_there_are_are_told_inside_of_structs_too(scene: npd.Dataset, tmp_path: Path) -> None:
    table = pa.table({"reference_id": ["a"], "objects": [{"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [1]}]})
    pq.write_table(table, tmp_path / "nested.parquet")
    with pytest.raises(
        npd.InvalidInputError, match=r"nested.parquet: Column 'label' not found; there are .*'objects.category'"
    ):
        npd.import_parquet(tmp_path / "nested.parquet", scene, "annotations", bbox="objects.bbox", bbox_format="xywh")


def test_corners_are_hinted_at_by_their_names(scene: npd.Dataset, tmp_path: Path) -> None:
    corners = boxes_of().rename(columns=dict(zip(SIDES, ("xmin", "ymin", "xmax", "ymax"), strict=True)))
    corners.to_parquet(tmp_path / "corners.parquet")
    hint = r"Use bbox=\('xmin', 'ymin', 'xmax', 'ymax'\) with bbox_format='xyxy'"
    with pytest.raises(npd.InvalidInputError, match=hint):
        npd.import_parquet(tmp_path / "corners.parquet", scene, "annotations")
    with pytest.raises(npd.InvalidInputError, match="two corners by their names.* Use bbox_format='xyxy'"):
        npd.import_parquet(tmp_path / "corners.parquet", scene, "annotations", bbox=("xmin", "ymin", "xmax", "ymax"))
    assert len(scene.annotations) == 0


def test_a_column_of_boxes_is_hinted_at(scene: npd.Dataset, tmp_path: Path) -> None:
    frame = boxes_of()
    pq.write_table(
        pa.table(
            {"reference_id": frame["reference_id"], "label": frame["label"], "bbox": frame[SIDES].to_numpy().tolist()}
        ),
        tmp_path / "boxes.parquet",
    )
    with pytest.raises(npd.InvalidInputError, match="Use bbox='bbox'"):
        npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations")
    assert (
        npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", bbox="bbox", bbox_format="xywh").new == 12
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"x": "12"}, "column 'x' holds .*string.*'x' is a number. Convert it .*to_numeric"),
        ({"x": True}, "column 'x' holds bool"),
        ({"reference_id": 1.5}, r"column 'reference_id' holds double.*string or an integer.*astype\('Int64'\)"),
        ({"label": True}, r"column 'label' holds bool.*astype\(str\)"),
    ],
)
def test_a_column_of_a_wrong_type_is_told_before_anything_is_sent(
    scene: npd.Dataset, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    boxes_of().to_parquet(tmp_path / "a.parquet")
    boxes_of().assign(**changes).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(npd.InvalidInputError, match=f"b.parquet: The {says}"):
        npd.import_parquet(tmp_path, scene, "annotations")
    assert len(scene.annotations) == 0


def test_what_is_no_source_is_refused(scene: npd.Dataset, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    boxes_of().to_parquet(tmp_path / "boxes.parquet")
    for source, says in (
        (tmp_path / "box.parquet", r"There is no file '.*box.parquet'. Did you mean 'boxes.parquet'"),
        (tmp_path / "nowhere" / "box.parquet", "Its folder .* does not exist either"),
        (tmp_path / "empty", "contains no file that ends in .parquet"),
        (f"{tmp_path}/*.pq", "No file matches"),
        (boxes_of(), "Send a frame in memory by df.nucleus"),
        ([], "A source is a path"),
        ([tmp_path / "boxes.parquet", tmp_path], "names 'boxes.parquet' twice"),
        ("nowhere-known://a/b", "URLs are not supported|fsspec may"),
    ):
        with pytest.raises((npd.InvalidInputError, npd.MissingExtraError), match=says):
            npd.import_parquet(source, scene, "annotations")  # type: ignore[arg-type]


def test_arguments_that_do_not_go_together_are_refused(
    scene: npd.Dataset, local: npd.NucleusClient, tmp_path: Path
) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet")
    run = scene.create_model_run(local.add_model("Detector", "det"))
    other = local.create_dataset("Other")
    calls: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((scene, "predictions"), {}, "Predictions need a run: run="),
        ((other, "predictions", run), {}, f"belongs to the dataset '{scene.id}'"),
        ((scene, "annotations", run), {}, "Is kind='predictions' meant"),
        ((scene, "boxes"), {}, "'items'"),
        ((scene, "items"), {"bbox_format": "xyxy"}, "items do not have"),
        ((scene,), {"max_rejects": -1}, "max_rejects is a number of rows"),
        (("ds_1",), {}, "takes a Dataset"),
    ]
    for arguments, options, says in calls:
        with pytest.raises(npd.InvalidInputError, match=says):
            npd.import_parquet(tmp_path / "boxes.parquet", *arguments, **options)


def test_giant_row_groups_are_warned_of(scene: npd.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleus_pandas.io.parquet.importing._GIANT_ROWS", 8)
    boxes_of().to_parquet(tmp_path / "boxes.parquet")
    with pytest.warns(
        npd.NucleusWarning, match=r"Row group 0 of 'boxes.parquet' has 12 rows .* row_group_size=100_000"
    ):
        npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations")


def test_a_bar_shows_rows_and_what_became_of_them(
    scene: npd.Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet", row_group_size=4)
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", progress=True)
    shown = capsys.readouterr().err
    assert "annotations: 100%" in shown
    assert "12.0/12.0" in shown
    assert "new=12" in shown
    assert "row/s" in shown
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", journal=False)
    assert capsys.readouterr().err == ""  # nobody watches
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", journal=False)
    assert "ignored=12" in terminal.getvalue()
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", journal=False, progress=False)


def test_a_bar_shows_large_counts_whole(
    local: npd.NucleusClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number}.jpg" for number in range(12_345)]
    images = pd.DataFrame({"reference_id": names, "image_url": "https://example.org/a.jpg"})
    images.to_parquet(tmp_path / "items.parquet")
    npd.import_parquet(tmp_path / "items.parquet", local.create_dataset("Large"), progress=True)
    assert "new=12,345]" in capsys.readouterr().err


def test_a_result_shows_its_numbers(scene: npd.Dataset, tmp_path: Path) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet")
    result = npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations")
    assert repr(result) == "ImportResult(rows=12, new=12)"
    assert "<th>new</th><td>12</td>" in result._repr_html_()
    told = json.loads(json.dumps(result.as_dict()))
    assert told["journal"] == str(tmp_path / ".nucleus_import.sqlite")
    assert (told["kind"], told["new"], told["failed"], told["rejects"]) == ("annotations", 12, 0, None)


def test_no_column_is_read_that_is_not_sent(
    scene: npd.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes_of().assign(embedding=[list(range(100))] * 12).to_parquet(tmp_path / "boxes.parquet")
    read: list[list[str]] = []
    whole = pq.ParquetFile.read_row_group

    def noting(file: Any, number: int, columns: list[str]) -> Any:
        read.append(columns)
        return whole(file, number, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noting)
    npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations")
    assert [sorted(columns) for columns in read] == [sorted(["reference_id", "label", *SIDES])]


# Rows before


def test_the_same_import_again_sends_nothing(
    scene: npd.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet", row_group_size=5)
    first = npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", batch_size=2)
    from nucleus_pandas.transport.session import Transport

    request = Transport.request

    def only_reads(self: Transport, method: str, *segments: str, **options: Any) -> Any:
        assert segments[-1] in ("generation", "marks"), "something was sent"
        return request(self, method, *segments, **options)

    monkeypatch.setattr(Transport, "request", only_reads)
    again = npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", batch_size=2)
    assert (first.new, again.already_sent, again.new) == (12, 12, 0)


def test_a_journal_knows_uploads_apart(local: npd.NucleusClient, scene: npd.Dataset, tmp_path: Path) -> None:
    boxes_of().assign(hour=7).to_parquet(tmp_path / "boxes.parquet")
    source = tmp_path / "boxes.parquet"
    other = local.create_dataset("Other")
    other.append(items_of())
    assert npd.import_parquet(source, scene, "annotations").already_sent == 0
    assert npd.import_parquet(source, other, "annotations").already_sent == 0
    assert npd.import_parquet(source, scene, "annotations", if_exists="update").already_sent == 0
    assert npd.import_parquet(source, scene, "annotations", metadata=["hour"], if_exists="update").updated == 12
    assert imported(scene)["metadata"].tolist() == [{"hour": 7}] * 12
    assert npd.import_parquet(source, scene, "annotations").already_sent == 12
    assert npd.import_parquet(source, scene, "annotations", journal=False).already_sent == 0
    assert npd.import_parquet(source, scene, "annotations", journal=tmp_path / "elsewhere").already_sent == 0
    assert npd.import_parquet(source, scene, "annotations", journal=str(tmp_path / "elsewhere")).already_sent == 12


def test_what_an_interrupted_import_stored_is_its_own_where_nothing_may_exist(
    scene: npd.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet", row_group_size=6)
    from nucleus_pandas.uploads.outcomes import RowOutcomes

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RowOutcomes, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", if_exists="error")
    assert len(imported(scene)) == 6
    result = npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", if_exists="error")
    assert (result.new, result.failed) == (12, 0)
    other = npd.import_parquet(
        tmp_path / "boxes.parquet",
        scene,
        "annotations",
        if_exists="error",
        on_error="collect",
        journal=tmp_path / "new",
    )
    assert (other.new, other.failed) == (0, 12)


def test_what_others_stored_stays_refused_where_nothing_may_exist(scene: npd.Dataset, tmp_path: Path) -> None:
    boxes_of().to_parquet(tmp_path / "boxes.parquet", row_group_size=6)
    boxes_of().iloc[:7].nucleus.annotate(scene)
    for _ in range(3):
        result = npd.import_parquet(
            tmp_path / "boxes.parquet", scene, "annotations", if_exists="error", on_error="collect", batch_size=3
        )
        assert (result.new, result.failed) == (0, 12)
    assert len(imported(scene)) == 7


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_refused_row_leaves_the_others_of_its_request_where_nothing_may_exist(
    scene: npd.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    boxes = boxes_of()
    boxes.loc[4, "reference_id"] = "nowhere"
    boxes.to_parquet(tmp_path / "boxes.parquet")
    if interrupted:
        from nucleus_pandas.uploads.outcomes import RowOutcomes

        def killed(*arguments: object, **options: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(RowOutcomes, "record", killed)
            with pytest.raises(KeyboardInterrupt):
                npd.import_parquet(tmp_path / "boxes.parquet", scene, "annotations", if_exists="error")
        assert len(imported(scene)) == 11
    for _ in range(2):
        result = npd.import_parquet(
            tmp_path / "boxes.parquet", scene, "annotations", if_exists="error", on_error="collect"
        )
        assert (result.new, result.failed) == (11, 1)
        rejects = pd.read_parquet(tmp_path / "_boxes.annotations.rejects.parquet")
        assert rejects["reject_row"].tolist() == [4]
        assert rejects["reject_reason"].str.contains("nowhere").all()
    assert len(imported(scene)) == 11


def test_a_frame_is_sent_once_where_a_journal_is_named(scene: npd.Dataset, tmp_path: Path) -> None:
    boxes, journal = boxes_of(), tmp_path / "journal"
    first = boxes.nucleus.annotate(scene, journal=journal, batch_size=6)
    again = boxes.nucleus.annotate(scene, journal=journal, batch_size=6)
    assert (first.annotations_processed, first.already_sent) == (12, 0)
    assert (again.annotations_processed, again.already_sent) == (0, 12)
    assert set(again.rows["status"]) == {"already_sent"}
    assert repr(again) == "UploadResult(annotations_processed=0, annotations_ignored=0, already_sent=12)"
    more = pd.concat([boxes, boxes.assign(y=7.0)], ignore_index=True)
    both = more.nucleus.annotate(scene, journal=journal, batch_size=6)
    assert (both.annotations_processed, both.already_sent) == (12, 12)
    with pytest.raises(npd.InvalidInputError, match="cannot be combined with wait=False"):
        boxes.nucleus.annotate(scene, journal=journal, wait=False)


def test_images_are_sent_once_where_a_journal_is_named(local: npd.NucleusClient, image: Path, tmp_path: Path) -> None:
    dataset = local.create_dataset("Images")
    items = pd.DataFrame({"reference_id": ["a", "b"], "image_url": [str(image)] * 2})
    assert items.nucleus.append(dataset, journal=tmp_path / "journal").new_items == 2
    assert items.nucleus.append(dataset, journal=tmp_path / "journal").already_sent == 2
    image.touch()
    assert items.nucleus.append(dataset, journal=tmp_path / "journal").ignored_items == 2
