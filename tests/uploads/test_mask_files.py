"""Masks that are local files: sent with their rows, read back as they were, and named by no path."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import requests
import responses
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.support.contract_only import contract_only
from tests.support.private import client_of, dataset_handle, transport_of

NAMES = [f"{number}.jpg" for number in range(23)]
SEGMENTS = [{"label": "sky", "index": 1, "metadata": {"k": [1]}}, {"label": "road", "index": 2}]
REMOTE = "https://example.org/m.png"


@pytest.fixture(params=["in process", "socket", "contract only"])
def dataset(request: pytest.FixtureRequest, store: Path) -> Iterator[npd.Dataset]:
    """A dataset of many images: in process, by a socket, and without the extensions."""
    if request.param == "socket":
        client = npd.NucleusClient(endpoint=request.getfixturevalue("served"), max_retries=0)
    else:
        client = npd.NucleusClient.local(store)
    if request.param == "contract only":
        client = contract_only(client, max_concurrency=4)
    with client:
        made = client.create_dataset("Streets")
        made.append([{"reference_id": name, "image_url": "https://example.org/a.jpg"} for name in NAMES])
        yield made


@pytest.fixture
def masks(tmp_path: Path) -> list[Path]:
    """A mask of its own for every image."""
    folder = tmp_path / "some masks"
    folder.mkdir()
    paths = [folder / f"{number} ü.png" for number in range(len(NAMES))]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((6, 8), number, dtype=np.uint8)).save(path)
    return paths


def rows(masks: list[Path], **fields: Any) -> list[dict[str, Any]]:
    return [
        {"type": "mask", "reference_id": name, "mask_url": str(path), "annotations": SEGMENTS, **fields}
        for name, path in zip(NAMES, masks, strict=False)
    ]


def frame(masks: list[Path], **columns: Any) -> pd.DataFrame:
    geometry = [{"mask_url": str(path), "annotations": SEGMENTS} for path in masks]
    return pd.DataFrame({"reference_id": NAMES[: len(masks)], "type": "mask", "geometry": geometry}).assign(**columns)


def content(url: str) -> bytes:
    return requests.get(url, timeout=20).content if url.startswith("http") else Path(url).read_bytes()


def found(view: Any) -> dict[str, bytes]:
    read = view.to_frame()
    assert [shape["annotations"] for shape in read["geometry"]] == [SEGMENTS] * len(read)
    return {
        name: content(shape["mask_url"]) for name, shape in zip(read["reference_id"], read["geometry"], strict=True)
    }


@pytest.mark.parametrize("form", ["frame", "payload"])
def test_masks_of_this_machine_are_sent_and_read_back(dataset: npd.Dataset, masks: list[Path], form: str) -> None:
    result = dataset.annotate(frame(masks) if form == "frame" else rows(masks), progress=False)
    assert result.annotations_processed == len(masks)
    assert found(dataset.annotations) == {name: path.read_bytes() for name, path in zip(NAMES, masks, strict=True)}


def test_predictions_may_be_masks_of_this_machine(dataset: npd.Dataset, masks: list[Path]) -> None:
    run = dataset.create_model_run({"model_id": _model(dataset)})
    assert run.predict(frame(masks[:2], confidence=[0.25, 0.75])).predictions_processed == 2
    assert list(found(run.predictions).values()) == [path.read_bytes() for path in masks[:2]]
    assert run.predictions.to_frame()["confidence"].tolist() == [0.25, 0.75]


def _model(dataset: npd.Dataset) -> str:
    from nucleus_pandas.api.model import model_of

    return model_of(transport_of(dataset), {"name": "M", "reference_id": "m"}).id


def test_boxes_and_both_kinds_of_masks_travel_in_one_call_and_keep_their_order(
    dataset: npd.Dataset, masks: list[Path]
) -> None:
    box = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    mixed: list[dict[str, Any]] = []
    for number, row in enumerate(rows(masks)):
        row = row if number % 3 else {**row, "mask_url": REMOTE}
        mixed += [{**box, "reference_id": row["reference_id"]}, row]
    result = dataset.annotate(mixed, progress=False)
    assert (result.annotations_processed, len(result.failed)) == (len(mixed), 0)
    read = dataset.annotations.to_frame()
    assert (read["type"] == "mask").sum() == (read["type"] == "box").sum() == len(masks)
    urls = {row.reference_id: row.geometry["mask_url"] for row in read[read["type"] == "mask"].itertuples()}
    for number, (name, path) in enumerate(zip(NAMES, masks, strict=True)):
        assert urls[name] == REMOTE if number % 3 == 0 else content(urls[name]) == path.read_bytes()


@pytest.mark.parametrize(("if_exists", "number"), [("skip", 0), ("update", 1)])
def test_a_mask_that_is_there(dataset: npd.Dataset, masks: list[Path], if_exists: Any, number: int) -> None:
    dataset.annotate(frame(masks[:1]))
    dataset.annotate(rows(masks[1:2], reference_id=NAMES[0]), if_exists=if_exists)
    assert found(dataset.annotations) == {NAMES[0]: masks[number].read_bytes()}


def test_a_mask_that_is_there_may_refuse_all(dataset: npd.Dataset, masks: list[Path]) -> None:
    dataset.annotate(frame(masks[:1]))
    with pytest.raises(npd.AlreadyExistsError):
        dataset.annotate(frame(masks[:2]), if_exists="error")
    assert found(dataset.annotations)[NAMES[0]] == masks[0].read_bytes()


def test_an_unknown_image_is_told_of(dataset: npd.Dataset, masks: list[Path]) -> None:
    sent = [*rows(masks[:2]), {**rows(masks[:1])[0], "reference_id": "nobody"}]
    result = dataset.annotate(sent, on_error="collect")
    assert [status == "error" for status in result.rows["status"]] == [False, False, True]
    assert "nobody" in result.rows["error"][2]


@pytest.mark.parametrize("dataset", ["in process", "contract only"], indirect=True)
def test_frames_of_masks_are_sent_to_another_dataset_and_outlive_the_first(
    dataset: npd.Dataset, masks: list[Path]
) -> None:
    dataset.annotate(frame(masks))
    client = client_of(dataset)
    other = client.create_dataset("Other")
    dataset.items.to_frame().nucleus.append(other)
    dataset.annotations.to_frame().nucleus.annotate(other)
    client.delete_dataset(dataset)
    assert found(other.annotations) == {name: path.read_bytes() for name, path in zip(NAMES, masks, strict=True)}


def test_files_of_masks_go_with_their_rows(store: Path, masks: list[Path]) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Streets")
        dataset.append([{"reference_id": name, "image_url": "https://example.org/a.jpg"} for name in NAMES[:2]])
        dataset.annotate(frame(masks[:2]))
        dataset.delete_annotations(NAMES[0])
    with closing(EmbeddedNucleus(store)):
        files = [path.read_bytes() for path in (store / "masks").rglob("*.png")]
    assert files == [masks[1].read_bytes()]


WRONG = [
    ("absent.png", "does not exist"),
    ("", "is a folder"),
    ("empty.png", "is an empty file"),
    ("text.png", "is no PNG file"),
    ("image.jpg", "is no PNG file"),
]


@pytest.mark.parametrize(("name", "reason"), WRONG)
@pytest.mark.parametrize("form", ["frame", "payload"])
def test_what_is_no_mask_is_named_and_nothing_is_sent(
    dataset: npd.Dataset, masks: list[Path], name: str, reason: str, form: str
) -> None:
    folder = masks[0].parent
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("a text")
    Image.new("L", (4, 4)).save(folder / "image.jpg")
    wrong = [masks[0], folder / name]
    with pytest.raises(npd.InvalidInputError, match=f"row 1: .*{reason}"):
        dataset.annotate(frame(wrong) if form == "frame" else rows(wrong))
    assert len(dataset.annotations) == 0


def test_an_address_of_an_unknown_kind_is_refused(dataset: npd.Dataset) -> None:
    wrong = [{"type": "mask", "reference_id": NAMES[0], "mask_url": "ftp://e.org/m.png", "annotations": []}]
    with pytest.raises(npd.InvalidInputError, match="'ftp' addresses are not taken"):
        dataset.annotate(wrong)


def test_the_hosted_service_gets_ten_masks_a_request_and_no_path(masks: list[Path]) -> None:
    seen: list[tuple[dict[str, Any], list[tuple[str, str, bytes]]]] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body = request.body if isinstance(request.body, bytes) else request.body.read()
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        assert str(masks[0].parent).encode() not in body
        first, *files = message_from_bytes(head + body).get_payload()
        assert first.get_param("name", header="Content-Disposition") == "serialized_request"
        told = msgspec.json.decode(first.get_payload(decode=True))
        parts = [
            (
                part.get_param("name", header="Content-Disposition"),
                part["Content-Type"],
                part.get_payload(decode=True),
            )
            for part in files
        ]
        seen.append((told, parts))
        count = len(told["segmentations"])
        return 200, {}, f'{{"dataset_id": "ds_1", "annotations_processed": {count}, "annotations_ignored": 0}}'

    with responses.RequestsMock() as mock, closing(npd.NucleusClient("a key", max_concurrency=1)) as client:
        mock.get("https://api.scale.com/v1/nucleus/_nucleus_pandas", status=404, body="Not Found")
        mock.add_callback("POST", "https://api.scale.com/v1/nucleus/dataset/ds_1/annotate", answer)
        result = dataset_handle(client, "ds_1").annotate(rows(masks), if_exists="update", progress=False)
    assert result.annotations_processed == len(masks)
    assert [len(told["segmentations"]) for told, _ in seen] == [10, 10, 3]
    assert all(told["update"] is True for told, _ in seen)
    sent = [part for _, parts in seen for part in parts]
    assert sent == [("mask", "image/png", path.read_bytes()) for path in masks]
    names = [row["mask_url"] for told, _ in seen for row in told["segmentations"]]
    assert names == [path.name for path in masks]


def test_a_mask_that_changes_while_it_is_sent_is_told_of(
    dataset: npd.Dataset, masks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nucleus_pandas.uploads.batches import MaskFilesBatch

    send = MaskFilesBatch.request

    def late(*arguments: Any) -> Any:
        masks[1].unlink(missing_ok=True)
        return send(*arguments)

    monkeypatch.setattr(MaskFilesBatch, "request", late)
    result = dataset.annotate(rows(masks[:3]), on_error="collect")
    assert [status == "error" for status in result.rows["status"]] == [False, True, False]
    assert set(found(dataset.annotations)) == {NAMES[0], NAMES[2]}


def test_the_official_form_is_read_by_ours(served: str, masks: list[Path]) -> None:
    with npd.NucleusClient(endpoint=served, max_retries=0) as client:
        dataset = client.create_dataset("Streets")
        dataset.append([{"reference_id": NAMES[0], "image_url": "https://example.org/a.jpg"}])
        text = msgspec.json.encode({"segmentations": rows(masks[:1]), "update": False})
        parts: Any = {
            "serialized_request": (None, text, "application/json"),
            "mask": (masks[0].name, io.BytesIO(masks[0].read_bytes()), "image/png"),
        }
        answer = requests.post(f"{served}/dataset/{dataset.id}/annotate", files=parts, timeout=20)
        assert answer.json()["annotations_processed"] == 1
        assert found(dataset.annotations) == {NAMES[0]: masks[0].read_bytes()}
