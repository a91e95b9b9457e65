"""Bad input gets a sentence that names what and where, and nothing is half-written."""

from __future__ import annotations

import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import box, touched

HOSTILE = [
    "a/b.jpg",
    "what?.jpg",
    "no#1.jpg",
    "100%.jpg",
    "a%2Fb",
    "with space.jpg",
    "\N{SNOWMAN}\N{GRINNING FACE}.jpg",
    ".",
    "..",
    "../../etc/passwd",
    "/lead",
    "trail/",
    "quo'te\"s",
    "back\\slash",
    "x" * 2000,
    "new\nline",
    "refloc",
    "é vs é",
]


CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize("name", HOSTILE)
def test_any_text_is_a_reference_id(client: npd.NucleusClient, name: str) -> None:
    dataset = client.create_dataset("hostile")
    dataset.append([{"reference_id": name, "image_url": "https://example.org/a.jpg"}])
    dataset.annotate([box(reference_id=name)])
    found = dataset.refloc(name)
    assert found["item"]["reference_id"] == name
    assert [a["reference_id"] for a in found["annotations"]] == [name]
    assert dataset.loc(found["item"]["id"]) == dataset.iloc(0) == found
    run = dataset.create_model_run(client.add_model("m", reference_id=name))
    run.predict([box(reference_id=name, confidence=0.5)])
    assert len(run.refloc(name)["annotations"]) == 1


@pytest.mark.parametrize("client", ["in process"], indirect=True)
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"item_id": "di_1"}, ["both are given", "$.annotations[1]"]),
        ({"reference_id": None}, ["neither is given", "$.annotations[1]"]),
        ({"geometry": {"x": float("nan"), "y": 2, "width": 3, "height": 4}}, ["nan", "$.annotations[1].geometry.x"]),
        ({"geometry": {"x": 1, "y": float("inf"), "width": 3, "height": 4}}, ["inf", "$.annotations[1].geometry.y"]),
        ({"geometry": {"x": 1, "y": 2, "width": -3, "height": 4}}, [">= 0", "$.annotations[1].geometry.width"]),
        ({"geometry": {"x": 1, "y": 2, "width": 3, "height": "4"}}, ["`str`", "$.annotations[1].geometry.height"]),
        ({"geometry": {"x": 1, "y": 2, "width": 3}}, ["missing required field `height`", "$.annotations[1].geometry"]),
        ({"geometry": None}, ["$.annotations[1]"]),
        ({"type": "circle"}, ["'circle'", "type"]),
        ({"label": None}, ["label"]),
        ({"label": ""}, ["label"]),
        ({"label": 1.5}, ["label"]),
        ({"label": True}, ["label"]),
        ({"confidence": 1.2}, ["<= 1", "$.annotations[1].confidence"]),
        ({"metadata": {"a": {"b": b"bytes"}}}, ["bytes", "$.annotations[1].metadata.a.b"]),
        ({"metadata": {"a": {1, 2}}}, ["set", "metadata.a"]),
        ({"metadata": {"a": print}}, ["builtin_function_or_method", "metadata.a"]),
        ({"metadata": {"a": [1, float("nan")]}}, ["nan", "metadata.a[1]"]),
        ({"metadata": {1: "a"}}, ["keys are text", "int 1"]),
        ({"metadata": [1]}, ["metadata"]),
        ({"metadata": {"a": pd.NaT}}, ["NaT", "metadata.a"]),
        ({"metadata": CIRCLE}, ["nested too deeply, or holds itself"]),
        ({"lable": "car"}, ["no field 'lable'", "Is `label` meant?"]),
        ({"weather": "rain"}, ["no field 'weather'", "Put metadata under `metadata`"]),
        ({"geometry": {"x": 1e308, "y": 2, "width": 3, "height": 4}}, ["<= 1e+150", "geometry.x"]),
        ({"type": "polygon", "geometry": {"vertices": []}}, ["length >= 1", "geometry.vertices"]),
        ({"metadata": {"a": "\ud800"}}, ["surrogate", "metadata.a"]),
    ],
)
def test_a_wrong_annotation_is_named_and_nothing_is_sent(
    dataset: npd.Dataset, fields: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(npd.InvalidInputError) as caught:
        dataset.annotate({"annotations": [box(label="good"), box(**fields)]})
    text = str(caught.value)
    assert text.startswith("1 of 2 rows are invalid:\n  row 1: ")
    assert all(word in text for word in words), text
    assert "Nothing was sent" in text
    assert caught.value.result is not None
    assert caught.value.result.rows["status"].tolist() == ["skipped", "error"]
    assert len(caught.value.result.failed) == 2
    assert dataset.refloc("a.jpg")["annotations"] == []


def test_collect_sends_the_good_rows(dataset: npd.Dataset) -> None:
    result = dataset.annotate([box(), box(confidence=2), box(reference_id="nowhere")], on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error", "error"]
    assert result.annotations_processed == 1
    assert "<= 1" in result.rows["error"][1]
    assert "nowhere" in result.rows["error"][2]
    assert [row.get("confidence") for row in result.failed] == [2, None]
    assert len(dataset.refloc("a.jpg")["annotations"]) == 1


def test_an_unknown_item_is_told_after_the_others_are_stored(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.UploadError, match=r"row 0: Item with id nowhere doesn't exist") as caught:
        dataset.annotate([box(reference_id="nowhere"), box()])
    assert caught.value.result.rows["status"].tolist() == ["error", "new"]
    assert caught.value.result.failed == [box(reference_id="nowhere")]
    assert len(dataset.refloc("a.jpg")["annotations"]) == 1


def test_items_of_another_dataset_are_unknown(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    other = client.create_dataset("other")
    other.append([{"reference_id": "z.jpg", "image_url": "https://example.org/z.jpg"}])
    foreign = other.iloc(0)["item"]["id"]
    with pytest.raises(npd.UploadError, match=foreign):
        dataset.annotate([box(reference_id=None, item_id=foreign)])
    with pytest.raises(npd.NotFoundError, match=foreign):
        dataset.loc(foreign)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "missing.png", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: touched(folder / "empty.png"), "is an empty file"),
        (lambda folder: f"{folder}/nul\0.png", "cannot be read"),
        (lambda folder: "", "length >= 1"),
        (lambda folder: "https://example.org/a.png", "does not exist"),
    ],
)
def test_a_wrong_local_image_is_named_and_nothing_is_sent(
    client: npd.NucleusClient, image: Path, make: Any, reason: str
) -> None:
    dataset = client.create_dataset("local")
    wrong = {"reference_id": "wrong", "image_url": str(make(image.parent))}
    with pytest.raises(npd.InvalidInputError, match=reason):
        dataset.append({"items": [{"reference_id": "right", "image_url": str(image)}, wrong]}, local=True)
    assert len(dataset) == 0
    result = dataset.append([{"reference_id": "right", "image_url": str(image)}, wrong], True, on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error"]
    assert result.upload_errors == 1


def test_an_unreadable_image_is_named(local: npd.NucleusClient, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(npd.InvalidInputError, match="Permission denied"):
        local.create_dataset("local").append([{"reference_id": "a", "image_url": str(image)}])


def test_a_strange_address_is_refused(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="'ftp' addresses are not taken, only http, https, s3, gs, gcs"):
        dataset.append([{"reference_id": "z", "image_url": "ftp://example.org/z.jpg"}])


@pytest.mark.parametrize("client", ["in process"], indirect=True)
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"annotations": []}, "this one holds 'annotations'"),
        ({}, "holds nothing"),
        ("a.jpg", "not str"),
        ([{"image_url": "https://e.org/a"}], "missing required field `reference_id`"),
        ([{"reference_id": "z"}], "needs `image_url`"),
        ([{"reference_id": "z", "image_url": "https://e.org/z", "width": -1}], "width"),
        ([{"reference_id": "z", "image_url": "https://e.org/z"}] * 2, "Row 0 has the reference_id 'z' too"),
        (["z.jpg"], "A row is a dict, not str"),
    ],
)
def test_a_wrong_payload_is_told(dataset: npd.Dataset, payload: Any, words: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=words):
        dataset.append(payload)
    assert len(dataset) == 3


def test_an_annotation_id_stands_once_in_a_call(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="Row 0 has the annotation_id 'x' too"):
        dataset.annotate([box(annotation_id="x"), box(annotation_id="x")])


def test_numbers_and_times_of_numpy_and_pandas_are_taken(dataset: npd.Dataset) -> None:
    some_id = uuid.uuid4()
    geometry = {"x": np.float32(1.5), "y": np.int64(2), "width": np.float64(3), "height": 4}
    at = pd.Timestamp("2024-05-06 07:08", tz="UTC")
    metadata = {"at": at, "n": np.int8(3), "ok": np.bool_(True), "d": Decimal("1.5"), "u": some_id, "l": np.arange(2)}
    dataset.annotate([box(geometry=geometry, metadata=metadata, label=7)])
    (found,) = dataset.refloc("a.jpg")["annotations"]
    assert found["label"] == "7"
    assert found["geometry"] == {"x": 1.5, "y": 2, "width": 3, "height": 4}
    expected = {"at": "2024-05-06T07:08:00+00:00", "n": 3, "ok": True, "d": 1.5, "u": str(some_id), "l": [0, 1]}
    assert found["metadata"] == expected


def test_what_was_read_may_be_sent_again(client: npd.NucleusClient, dataset: npd.Dataset, image: Path) -> None:
    dataset.annotate([box(metadata={"k": 1})])
    found = dataset.refloc("a.jpg")
    other = client.create_dataset("other")
    other.append([found["item"], {"reference_id": "local", "image_url": image}])
    other.annotate(found["annotations"])
    again = other.refloc("a.jpg")["annotations"]
    assert [(a["annotation_id"], a["metadata"]) for a in again] == [
        (a["annotation_id"], a["metadata"]) for a in found["annotations"]
    ]
    assert other.iloc(1)["item"]["width"] == 64


def test_integer_reference_ids_become_text(client: npd.NucleusClient) -> None:
    dataset = client.create_dataset("coco")
    dataset.append([{"reference_id": 139, "image_url": "https://example.org/139.jpg"}])
    dataset.annotate([box(reference_id=np.int64(139))])
    assert dataset.refloc(139) == dataset.refloc("139")
    assert len(dataset.refloc("139")["annotations"]) == 1


@pytest.mark.parametrize("by", ["refloc", "loc"])
def test_an_unknown_item_raises_a_key_error(dataset: npd.Dataset, by: str) -> None:
    with pytest.raises(KeyError, match="There is no item .*'nowhere'"):
        getattr(dataset, by)("nowhere")


@pytest.mark.parametrize("position", [3, -4, 10**30])
def test_a_position_outside_raises_an_index_error(dataset: npd.Dataset, position: int) -> None:
    with pytest.raises(IndexError, match="outside the dataset"):
        dataset.iloc(position)


def test_positions_are_whole_numbers(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.InvalidInputError, match="whole number, not '0'"):
        dataset.iloc("0")
    assert dataset.iloc(np.int64(-1)) == dataset.iloc(2)


def test_loc_hints_at_refloc(dataset: npd.Dataset) -> None:
    with pytest.raises(npd.NotFoundError, match="use refloc for reference ids"):
        dataset.loc("a.jpg")


@pytest.mark.parametrize("call", ["get_dataset", "delete_dataset", "get_model", "delete_model", "get_model_run"])
def test_unknown_ids_are_told(client: npd.NucleusClient, call: str) -> None:
    with pytest.raises(npd.NotFoundError, match=r"There is no .*'nothing/at\?all'"):
        getattr(client, call)("nothing/at?all")
    with pytest.raises(npd.InvalidInputError, match="must be a string, not None"):
        getattr(client, call)(None)


def test_a_run_needs_a_known_model(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    with pytest.raises(npd.NotFoundError, match="no model with reference_id 'nobody'; create it with client.add_model"):
        dataset.create_model_run({"reference_id": "nobody"})
    with pytest.raises(npd.BadRequestError, match="neither is given"):
        dataset.create_model_run({"name": "a run"})
    with pytest.raises(npd.InvalidInputError, match="no field 'referenceid'"):
        dataset.create_model_run({"referenceid": "x"})


def test_a_model_reference_id_names_one_model(client: npd.NucleusClient) -> None:
    model = client.add_model({"name": "M", "reference_id": "m", "metadata": {"a": 1}})
    assert client.add_model("M", reference_id="m", metadata={"a": 1}) == model
    with pytest.raises(npd.ConflictError, match="'m'"):
        client.add_model("M", reference_id="m", metadata={"a": 2})
    with pytest.raises(npd.InvalidInputError, match="needs a reference_id"):
        client.add_model("M")


def test_commit_takes_one_label_rule(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    with pytest.raises(npd.InvalidInputError, match="leave one of the two out"):
        run.commit(class_agnostic=True, allowed_label_matches=[("a", "b")])
    with pytest.raises(npd.InvalidInputError, match="holds pairs"):
        run.commit(allowed_label_matches=["ab"])
    with pytest.raises(npd.ConflictError, match="is not committed"):
        run.matches()
    run.commit()
    with pytest.raises(npd.InvalidInputError, match="from 0 to 1"):
        run.matches(1.5)


@pytest.mark.parametrize(("name", "value"), [("if_exists", "replace"), ("on_error", "ignore")])
def test_choices_are_told(dataset: npd.Dataset, name: str, value: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=f"{name} must be .*, not '{value}'"):
        dataset.append([], **{name: value})
