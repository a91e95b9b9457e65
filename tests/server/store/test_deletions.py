"""What is deleted is gone from the store, with its files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nucleus_pandas.server.ingest.rows import Storing, store_annotations, store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets, models, purge
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.ids import item_id
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.requests import AddModel, CreateDataset, CreateModelRun
from tests.factories import png
from tests.server.store.store_http import (
    TABLES,
    StoreHttp,
    annotate_masks,
    append_files,
    box_row,
    new_box,
    new_items,
    rows_in,
    stored_files,
)
from tests.support.waiting import wait_for


def fill(nucleus: EmbeddedNucleus, count: int, boxes: int) -> tuple[Dataset, models.Run]:
    """Create a dataset of `count` items, each with ground truth and predictions of as many boxes."""
    names = [str(n) for n in range(count)]
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Deleted"))
        store_items(db, dataset, new_items(names), update=False)
        model = models.add(db, AddModel(name="A model", reference_id="m"))
        run = models.create_run(db, model, dataset, CreateModelRun())
        for layer in (AnnotationLayer(None, ("dataset", dataset.id)), run.layer):
            rows = [new_box(name, str(n)) for name in names for n in range(boxes)]
            store_annotations(db, layer, dataset, rows, Storing())
    return dataset, run


def test_a_deleted_dataset_is_gone_at_once_and_its_rows_soon(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "STEP", 1_000)
    nucleus = EmbeddedNucleus(store)
    http = StoreHttp(nucleus)
    kept, _ = fill(nucleus, 10, 10)
    dataset, run = fill(nucleus, 2_000, 10)
    http("DELETE", f"dataset/{dataset.public_id}/refloc/77")
    release = threading.Event()
    nucleus.submit(lambda: release.wait(10) and None)  # the worker is busy: what was not removed at once waits
    http("DELETE", f"dataset/{dataset.public_id}", {})
    assert rows_in(nucleus, "prediction")["prediction"] > 1_000
    assert http("GET", "dataset/") == [kept.public_id]
    http("GET", f"dataset/{dataset.public_id}/info", status=404)
    http("GET", f"dataset/{dataset.public_id}/iloc/0", status=404)
    http("GET", f"modelRun/{run.public_id}/info", status=404)
    http("GET", f"modelRun/{run.public_id}/ungrouped", status=404)
    one = box_row("x", "x", reference_id=None, item_id=item_id(dataset.tag, 5))
    http("POST", f"dataset/{kept.public_id}/annotate", {"annotations": [one]})
    closing = threading.Thread(target=nucleus.close)
    closing.start()
    wait_for(lambda: nucleus._is_closing)
    release.set()
    closing.join()

    nucleus = EmbeddedNucleus(store)
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 1})
    assert rows_in(nucleus, *TABLES) == {
        "dataset": 1,
        "item": 10,
        "hole": 0,
        "annotation": 100,
        "run": 1,
        "prediction": 100,
        "match": 0,
        "upload": 0,
    }
    assert len(StoreHttp(nucleus)("GET", f"dataset/{kept.public_id}/iloc/9")["annotations"]["box"]) == 10
    nucleus.close()


@pytest.mark.parametrize("route", ["modelRun", "model"])
def test_the_rows_of_a_deleted_run_go_after_reopening(store: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    monkeypatch.setattr(purge, "STEP", 100)
    nucleus = EmbeddedNucleus(store)
    _, run = fill(nucleus, 100, 10)
    nucleus._is_closing = True  # as when closing comes right behind: the worker removes nothing more
    StoreHttp(nucleus)("DELETE", f"modelRun/{run.public_id}" if route == "modelRun" else f"model/prj_{run.model_tag}")
    nucleus.close()
    nucleus = EmbeddedNucleus(store)
    try:
        wait_for(lambda: rows_in(nucleus, "run", "prediction") == {"run": 0, "prediction": 0}, 2)
    finally:
        nucleus.close()


def test_a_run_that_spans_datasets_outlives_one_of_them(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    first, second = http.new_dataset_of(1), http.new_dataset_of(1)
    model = http("POST", "models/add", {"name": "A model", "reference_id": "m"})["model_id"]
    run = http("POST", f"model/{model}/modelRun/create", {"name": "Free"})["model_run_id"]
    rows = [box_row("0", name, dataset_id=name) for name in (first, second)]
    assert http("POST", f"modelRun/{run}/predict", {"annotations": rows})["predictions_processed"] == 2
    http("POST", f"modelRun/{run}/commit", {})
    http("DELETE", f"dataset/{first}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 1})
    assert [b["annotation_id"] for b in http("GET", f"modelRun/{run}/ungrouped")["box"]] == [second]
    assert rows_in(nucleus, "prediction") == {"prediction": 1}
    http("POST", f"modelRun/{run}/commit", {})
    http("GET", f"_nucleus_pandas/modelRun/{run}/matches")


def test_files_of_a_deleted_dataset_go_unless_another_names_them(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    one, other = http.new_dataset(), http.new_dataset()
    red, blue, green = (png(color) for color in ("red", "blue", "green"))
    append_files(http, one, {"red.png": red, "blue.png": blue})
    append_files(http, other, {"red.png": red, "green.png": green})
    assert len(stored_files(nucleus.images.folder)) == 3
    http("DELETE", f"dataset/{one}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 1})
    assert {path.read_bytes() for path in stored_files(nucleus.images.folder)} == {red, green}
    http("DELETE", f"dataset/{other}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 0})
    assert stored_files(nucleus.images.folder) == []


def test_the_file_of_a_deleted_item_goes(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    append_files(http, dataset, {"a.png": png("red"), "b.png": png("red"), "c.png": png("blue")})
    http("DELETE", f"dataset/{dataset}/refloc/a.png")
    http("DELETE", f"dataset/{dataset}/refloc/c.png")
    assert [path.read_bytes() for path in stored_files(nucleus.images.folder)] == [png("red")]


def test_the_file_of_a_replaced_image_goes(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    append_files(http, dataset, {"a.png": png("red")})
    append_files(http, dataset, {"a.png": png("blue")}, update=True)
    assert [path.read_bytes() for path in stored_files(nucleus.images.folder)] == [png("blue")]


def test_mask_files_of_a_deleted_dataset_go(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset_of(1)
    annotate_masks(http, dataset, png("red"))
    mask = http("GET", f"dataset/{dataset}/iloc/0")["annotations"]["segmentation"][0]
    assert mask["mask_url"].endswith(".png")
    assert len(stored_files(nucleus.masks.folder)) == 1
    http("DELETE", f"dataset/{dataset}", {})
    wait_for(lambda: rows_in(nucleus, "dataset") == {"dataset": 0})
    assert stored_files(nucleus.masks.folder) == []
