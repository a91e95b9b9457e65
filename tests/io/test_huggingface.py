"""Datasets of Hugging Face as frames, by what their class has, and by the class itself."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import nucleus_pandas as npd

NAMES = ["cat", "dog"]
BOXES = [[[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0]], [], [[1.0, 1.0, 2.0, 2.0]]]
CLASSES = [[0, 1], [], [1]]
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def encoded(number: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8 + number, 6), (number, 0, 0)).save(file, kind)
    return file.getvalue()


class Recorded:
    """A dataset of Hugging Face, as far as it is read: tables of batches with its features in their metadata."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.features = dict.fromkeys(table.column_names)

    def with_format(self, kind: str) -> Recorded:
        assert kind == "arrow"
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        for start in range(0, len(self._table), 2):
            yield self._table.slice(start, 2)


def recorded(images: list[dict[str, Any]] | None = None, **columns: Any) -> Recorded:
    images = images or [{"bytes": encoded(number), "path": None} for number in range(3)]
    objects = [{"bbox": boxes, "category": classes} for boxes, classes in zip(BOXES, CLASSES, strict=True)]
    fields = {"bbox": pa.list_(pa.list_(pa.float32(), 4)), "category": pa.list_(pa.int64())}
    made = {
        "image": pa.array(images, IMAGE),
        "image_id": pa.array([5, 6, 7]),
        "objects": pa.array(objects, pa.struct(fields)),
        "scene": pa.array([0, 1, -1]),
        **columns,
    }
    classes = {"names": NAMES, "_type": "ClassLabel"}
    features = {
        "image": {"_type": "Image"},
        "objects": {
            "bbox": {"feature": {"_type": "Value"}, "_type": "List"},
            "category": {"feature": classes, "_type": "List"},
        },
        "scene": {"names": ["indoor", "outdoor"], "_type": "ClassLabel"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return Recorded(pa.table(made).replace_schema_metadata(metadata))


def check(frame: pd.DataFrame, client: npd.NucleusClient, references: list[str]) -> None:
    """See that the frame goes to a dataset with images, boxes and names."""
    assert frame["reference_id"].tolist() == references
    dataset = client.create_dataset("From Hugging Face")
    frame.nucleus.append(dataset, metadata=["scene"], local=True)
    frame.nucleus.annotate(dataset, bbox="objects.bbox", bbox_format="xywh", columns={"label": "objects.category"})
    items = dataset.items.to_frame()
    assert items["image_width"].tolist() == [8, 9, 10]
    assert items["metadata"].tolist() == [{"scene": "indoor"}, {"scene": "outdoor"}, {}]
    annotations = dataset.annotations.to_frame()
    assert annotations["reference_id"].tolist() == [references[0], references[0], references[2]]
    assert annotations["label"].tolist() == ["cat", "dog", "dog"]
    assert annotations[["x", "y", "width", "height"]].to_numpy().tolist() == [*BOXES[0], *BOXES[2]]


def test_a_dataset_with_bytes_is_written_and_named(local: npd.NucleusClient, tmp_path: Path) -> None:
    frame = npd.from_huggingface(recorded(), tmp_path / "images", reference_id="image_id")
    check(frame, local, ["5", "6", "7"])
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["5.png", "6.png", "7.png"]
    assert (tmp_path / "images" / "6.png").read_bytes() == encoded(1)
    again = npd.from_huggingface(recorded(), tmp_path / "images", reference_id="image_id")
    pd.testing.assert_frame_equal(again, frame)


def test_names_of_files_are_ids_and_files_that_are_there_are_not_written(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(number, "JPEG"))
    frame = npd.from_huggingface(recorded([{"bytes": None, "path": str(path)} for path in paths]))
    assert frame["reference_id"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert frame["image_url"].tolist() == list(map(str, paths))
    mixed = [{"bytes": encoded(0), "path": "folder/a.png"}, {"bytes": encoded(1, "JPEG"), "path": None}]
    mixed.append({"bytes": None, "path": str(paths[2])})
    frame = npd.from_huggingface(recorded(mixed), tmp_path / "images")
    assert frame["reference_id"].tolist() == ["a.png", "000001.jpg", "2.jpg"]


def test_what_cannot_be_named_or_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match="holds its images as bytes. Pass a folder"):
        npd.from_huggingface(recorded())
    same = [{"bytes": encoded(number), "path": "a.png"} for number in range(3)]
    with pytest.raises(npd.InvalidInputError, match="Rows 0 and 1 both have the reference id 'a.png'. Name a column"):
        npd.from_huggingface(recorded(same), tmp_path / "images")
    none = [{"bytes": encoded(0), "path": None}, None, {"bytes": encoded(0), "path": None}]
    with pytest.raises(npd.InvalidInputError, match="Row 1 has no image"):
        npd.from_huggingface(recorded(none), tmp_path / "images")  # type: ignore[arg-type]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "5.png").write_bytes(b"something else")
    with pytest.raises(npd.FileError, match="is another file than the image '5'"):
        npd.from_huggingface(recorded(), tmp_path / "other", reference_id="image_id")
    with pytest.raises(npd.InvalidInputError, match="no column 'id'; it has 'image', 'image_id'"):
        npd.from_huggingface(recorded(), tmp_path / "images", reference_id="id")
    with pytest.raises(npd.InvalidInputError, match="takes one split, and this has 'train'. Pass dataset.'train'."):
        npd.from_huggingface({"train": recorded()}, tmp_path)
    with pytest.raises(npd.InvalidInputError, match="takes a Dataset of Hugging Face, not"):
        npd.from_huggingface(pd.DataFrame({"image": []}), tmp_path)
    with pytest.raises(npd.InvalidInputError, match="has no column of images"):
        npd.from_huggingface(Recorded(pa.table({"a": [1]})), tmp_path)


def test_ids_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    frame = npd.from_huggingface(
        recorded(image_id=pa.array(["../../a", "..", "b/c"])), tmp_path / "images", reference_id="image_id"
    )
    assert frame["reference_id"].tolist() == ["../../a", "..", "b/c"]
    assert all(Path(address).parent == tmp_path / "images" for address in frame["image_url"])


@pytest.mark.adapters
@pytest.mark.parametrize("streaming", [False, True])
def test_the_real_datasets(local: npd.NucleusClient, tmp_path: Path, streaming: bool) -> None:
    import datasets

    objects = {
        "bbox": datasets.List(datasets.List(datasets.Value("float32"), length=4)),
        "category": datasets.List(datasets.ClassLabel(names=NAMES)),
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "image_id": datasets.Value("int64"),
            "objects": objects,
            "scene": datasets.ClassLabel(names=["indoor", "outdoor"]),
        }
    )
    made: Any = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": encoded(number), "path": None} for number in range(3)],
            "image_id": [5, 6, 7],
            "objects": [{"bbox": boxes, "category": classes} for boxes, classes in zip(BOXES, CLASSES, strict=True)],
            "scene": [0, 1, -1],
        },
        features=features,
    )
    if streaming:
        made = made.to_iterable_dataset()
    check(npd.from_huggingface(made, tmp_path / "images", reference_id="image_id"), local, ["5", "6", "7"])


@pytest.mark.adapters
def test_the_real_polars_in_and_out(local: npd.NucleusClient) -> None:
    import polars as pl

    dataset = local.create_dataset("Polars")
    items = pl.DataFrame({"reference_id": ["a", "b"], "image_url": ["https://example.org/a.jpg"] * 2})
    npd.append(items, dataset)
    boxes = pl.DataFrame({"reference_id": ["a", "b"], "label": ["car", None], "boxes": [BOXES[0], []]}).with_columns(
        label=pl.Series([NAMES, []])
    )
    npd.annotate(boxes, dataset, bbox="boxes", bbox_format="xywh")
    back = dataset.annotations.to_polars()
    assert isinstance(back, pl.DataFrame)
    assert back["label"].to_list() == NAMES
    assert pl.DataFrame(dataset.items)["reference_id"].to_list() == ["a", "b"]
    with pytest.raises(npd.InvalidInputError, match="collect"):
        npd.annotate(boxes.lazy(), dataset)  # type: ignore[arg-type]
