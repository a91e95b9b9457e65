"""Rows that exist: where none may, where they are replaced by image, and where they are deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import box, box_frame, item_frame, png
from tests.support.contract_only import contract_only

NAMES = [f"{number}.jpg" for number in range(12)]


@pytest.fixture
def filled(client: npd.NucleusClient) -> npd.Dataset:
    """A dataset of twelve images."""
    dataset = client.create_dataset("Streets")
    dataset.append(item_frame(*NAMES))
    return dataset


@pytest.fixture
def run(client: npd.NucleusClient, filled: npd.Dataset) -> npd.ModelRun:
    """An open run on the twelve images."""
    return filled.create_model_run(client.add_model("Detector", reference_id="det"))


def boxes(*names: str, **columns: Any) -> pd.DataFrame:
    return box_frame(*names).assign(confidence=0.5, **columns)


@pytest.mark.parametrize("place", [0, 5, 11])
def test_an_existing_item_is_named_and_nothing_is_stored(client: npd.NucleusClient, place: int) -> None:
    dataset = client.create_dataset("Streets")
    frame = item_frame(*NAMES)
    dataset.append(frame.iloc[[place]])
    with pytest.raises(npd.AlreadyExistsError, match=f"row {place}: .*'{NAMES[place]}' exists already") as caught:
        dataset.append(frame, if_exists="error", batch_size=3)
    assert "other 11 rows are not stored" in str(caught.value)
    assert (caught.value.result.rows["status"] == "error").all()
    assert len(dataset) == 1
    assert not dataset.append(frame, if_exists="error", batch_size=3, on_error="collect").new_items
    assert len(dataset) == 1


def test_an_existing_item_stops_local_images_too(client: npd.NucleusClient, tmp_path: Path) -> None:
    dataset = client.create_dataset("Streets")
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path in paths:
        path.write_bytes(png())
    frame = pd.DataFrame({"reference_id": [path.name for path in paths], "image_url": list(map(str, paths))})
    dataset.append(frame.tail(1), local=True)
    with pytest.raises(npd.AlreadyExistsError, match="row 2: .*'c.png' exists already"):
        dataset.append(frame, local=True, if_exists="error", batch_size=1)
    assert len(dataset) == 1


@pytest.mark.parametrize("place", [0, 6, 11])
def test_an_existing_annotation_or_prediction_is_named_and_nothing_is_stored(
    filled: npd.Dataset, run: npd.ModelRun, place: int
) -> None:
    frame = boxes(*NAMES)
    for send, view in [(filled.annotate, filled.annotations), (run.predict, run.predictions)]:
        send(frame.iloc[[place]])
        with pytest.raises(npd.AlreadyExistsError, match=f"row {place}: .*'{NAMES[place]}' exists already"):
            send(frame, if_exists="error", batch_size=2)
        assert len(view.to_frame()) == 1


def test_an_existing_row_of_other_types_and_of_payloads_is_named(filled: npd.Dataset) -> None:
    polygon = {"vertices": [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 9, "y": 9}]}
    rows: list[dict[str, Any]] = [box(name) for name in NAMES]
    rows.append({"reference_id": "3.jpg", "type": "polygon", "label": "road", "geometry": polygon})
    filled.annotate(rows[-1:])
    with pytest.raises(npd.AlreadyExistsError, match="row 12: .*'3.jpg' exists already"):
        filled.annotate(rows, if_exists="error", batch_size=4)
    assert len(filled.annotations.to_frame()) == 1


def test_a_check_creates_no_run(client: npd.NucleusClient, filled: npd.Dataset) -> None:
    model = client.add_model("Detector", reference_id="det")
    assert model.predict(boxes("0.jpg"), dataset=filled, if_exists="error").predictions_processed == 1
    with pytest.raises(npd.AlreadyExistsError):
        model.predict(boxes("1.jpg", "0.jpg"), dataset=filled, if_exists="error")
    assert len(filled.model_runs) == 1
    assert len(filled.predictions(model).to_frame()) == 1


def hosted(client: npd.NucleusClient) -> npd.NucleusClient:
    """The client of a server that has no extension."""
    return contract_only(client, page=5, max_concurrency=2)


@pytest.mark.parametrize("place", [0, 5, 29])
@pytest.mark.parametrize("there", [0, 60])
def test_an_existing_item_of_the_hosted_service_is_named_and_nothing_is_stored(
    client: npd.NucleusClient, place: int, there: int
) -> None:
    dataset = client.create_dataset("Streets")
    frame = item_frame(*(f"{number}.jpg" for number in range(30)))
    dataset.append(pd.concat([frame.iloc[[place]], item_frame(*(f"other {number}" for number in range(there)))]))
    hosted(client)
    with pytest.raises(npd.AlreadyExistsError, match=f"row {place}: .*'{place}.jpg' exists already") as caught:
        dataset.append(frame, if_exists="error", batch_size=3)
    assert "other 29 rows are not stored" in str(caught.value)
    assert len(dataset) == 1 + there
    result = dataset.append(frame.drop(index=place), if_exists="error")
    assert (result.new_items, len(dataset)) == (29, 30 + there)


def test_existing_annotations_and_predictions_of_the_hosted_service_are_named(
    client: npd.NucleusClient, filled: npd.Dataset, run: npd.ModelRun
) -> None:
    model = client.add_model("Other", reference_id="other")
    free = client.add_model("Free", reference_id="free")
    spanning = free.create_model_run()
    ids = filled.items.to_frame()["reference_id"]
    by_id = boxes(*ids).drop(columns="reference_id").assign(dataset_item_id=ids.index)
    frame = boxes(*NAMES)
    hosted(client)
    for send, rows in (
        (filled.annotate, frame),
        (run.predict, frame),
        (lambda *a, **k: model.predict(*a, dataset=filled, **k), frame),
        (free.predict, frame),
        (lambda *a, **k: spanning.predict(*a, dataset=filled, **k), frame),
        (lambda rows, **options: filled.annotate(rows.assign(annotation_id="x"), **options), by_id),
    ):
        assert (send(rows.iloc[[7]], if_exists="error").rows["status"] == "processed").all()
        with pytest.raises(npd.AlreadyExistsError, match=r"row 7: .* exists already") as caught:
            send(rows, if_exists="error", batch_size=2)
        assert (caught.value.result.rows["status"] == "error").all()
        assert (send(rows.drop(index=rows.index[7]), if_exists="error").rows["status"] == "processed").all()


def test_existing_rows_of_other_types_are_named_on_the_hosted_service(
    client: npd.NucleusClient, filled: npd.Dataset
) -> None:
    category = {"type": "category", "reference_id": "3.jpg", "taxonomy_name": "weather"}
    mask = {"type": "mask", "reference_id": "4.jpg", "annotations": [{"index": 1, "label": "road"}]}
    filled.annotate([{**category, "label": "rain"}, {**mask, "mask_url": "https://example.org/m.png"}])
    hosted(client)
    rows = [box("1.jpg"), {**category, "label": "sun"}, {**mask, "mask_url": "https://example.org/n.png"}]
    with pytest.raises(npd.AlreadyExistsError, match="row 1: .*taxonomy 'weather' on the item '3.jpg'") as caught:
        filled.annotate(rows, if_exists="error")
    assert "row 2: " in str(caught.value)
    assert len(filled.annotations) == 2
    rows[1]["reference_id"], rows[2]["reference_id"] = "5.jpg", "6.jpg"
    assert filled.annotate(rows, if_exists="error").annotations_processed == 3


def test_an_import_to_the_hosted_service_stores_nothing_where_a_row_exists(
    client: npd.NucleusClient, filled: npd.Dataset, tmp_path: Path
) -> None:
    item_frame("new", *NAMES[-1:]).to_parquet(tmp_path / "items.parquet", row_group_size=1)
    hosted(client)
    with pytest.raises(npd.AlreadyExistsError, match=r"row 1: .*'11\.jpg' exists already"):
        npd.import_parquet(tmp_path / "items.parquet", dataset=filled, kind="items", if_exists="error")
    assert len(filled) == 12


def test_an_upload_resumes_by_its_journal_where_nothing_may_exist(filled: npd.Dataset, tmp_path: Path) -> None:
    frame = boxes(*NAMES)
    for _ in range(2):
        filled.annotate(frame, if_exists="error", batch_size=5, journal=tmp_path / "journal")
    assert len(filled.annotations.to_frame()) == 12


def test_an_import_stores_nothing_where_a_row_of_the_last_row_group_exists(
    client: npd.NucleusClient, tmp_path: Path
) -> None:
    path = tmp_path / "items.parquet"
    item_frame(*NAMES).to_parquet(path, row_group_size=4)
    dataset = client.create_dataset("Streets")
    dataset.append(item_frame("11.jpg"))
    with pytest.raises(npd.AlreadyExistsError, match=r"row 11: .*'11\.jpg' exists already"):
        npd.import_parquet(path, dataset=dataset, kind="items", if_exists="error")
    assert len(dataset) == 1
    dataset.delete_items(["11.jpg"])
    npd.import_parquet(path, dataset=dataset, kind="items", if_exists="error")
    assert len(dataset) == 12


def test_replace_replaces_the_images_that_are_named_as_a_whole(filled: npd.Dataset, run: npd.ModelRun) -> None:
    before = pd.concat([boxes(*NAMES, x=float(n)) for n in range(3)])
    for send, view in [(filled.annotate, filled.annotations), (run.predict, run.predictions)]:
        send(before)
        mixed = boxes("1.jpg", "0.jpg", "1.jpg", "2.jpg", x=[7.0, 8.0, 9.0, np.nan])
        mixed.index = pd.Index(["a", "b", "c", "d"])
        mixed.loc["d", ["y", "width", "height"]] = np.nan
        result = send(mixed, if_exists="replace", batch_size=1)
        assert result.rows["status"].to_dict() == {"a": "new", "b": "new", "c": "new", "d": "skipped"}
        assert view.refloc["1.jpg"]["x"].tolist() == [7.0, 9.0]
        assert view.refloc["0.jpg"]["x"].tolist() == [8.0]
        assert view.refloc["2.jpg"].empty
        assert len(view.to_frame()) == 9 * 3 + 3
        assert (send(mixed, if_exists="replace").rows["status"] == ["updated", "updated", "updated", "skipped"]).all()
        payload = [box("1.jpg", "p"), box("0.jpg", "q"), box("1.jpg", "r")]
        send(payload, if_exists="replace", batch_size=1)
        assert view.refloc["1.jpg"]["annotation_id"].tolist() == ["p", "r"]


def test_replace_works_by_item_id_on_models_and_on_runs_that_span_datasets(
    client: npd.NucleusClient, filled: npd.Dataset
) -> None:
    ids = filled.items.to_frame().index[:2]
    frame = boxes("x", "x").drop(columns="reference_id").assign(dataset_item_id=ids)
    model = client.add_model("Detector", reference_id="det")
    free = model.create_model_run("free")
    for send, view in [(free.predict, free.predictions), (model.predict, model.predictions)]:
        send(frame)
        send(frame.head(1).assign(label="van"), if_exists="replace")
        assert view.to_frame()["label"].tolist() == ["van", frame["label"][1]]
    model.predict(boxes("0.jpg"), dataset=filled, if_exists="replace")
    model.predict(boxes("0.jpg", x=3.0), dataset=filled, if_exists="replace")
    assert filled.predictions(model).to_frame()["x"].tolist() == [3.0]


def test_replace_keeps_what_an_image_had_where_a_row_is_invalid(filled: npd.Dataset) -> None:
    filled.annotate(boxes("0.jpg", "1.jpg"))
    for on_error in ("raise", "collect"):
        with pytest.raises(npd.InvalidInputError, match="Nothing was sent"):
            filled.annotate(boxes("0.jpg", "0.jpg", width=[-1.0, 5.0]), if_exists="replace", on_error=on_error)  # type: ignore[arg-type]
    assert len(filled.annotations.to_frame()) == 2


def test_replace_keeps_an_image_whole_where_its_dataset_rejects_a_row(client: npd.NucleusClient) -> None:
    schema = {"count": {"type": "number"}}
    dataset = client.create_dataset({"name": "Strict", "annotation_metadata_schema": schema})
    dataset.append(item_frame("a.jpg", "b.jpg"))
    dataset.annotate([box("a.jpg", "old"), box("b.jpg", "old")])
    rows = [box("a.jpg", "1"), box("a.jpg", "2", metadata={"count": "x"}), box("b.jpg", "1")]
    with pytest.raises(npd.UploadError, match="replaces all or none"):
        dataset.annotate(rows, if_exists="replace")
    assert dataset.annotations.to_frame()["annotation_id"].tolist() == ["old", "1"]


def test_eight_writers_replace_an_image_as_a_whole(store: Path) -> None:
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Streets")
        dataset.append(item_frame("a.jpg", "b.jpg"))
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        with npd.NucleusClient.local(store) as client:
            mine = client.get_dataset(dataset.id)
            frame = boxes(*["a.jpg", "b.jpg"] * 20, x=[float(n) for n in range(40)], label=f"by {number}")
            barrier.wait()
            mine.annotate(frame, if_exists="replace", batch_size=10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    with npd.NucleusClient.local(store) as client:
        found = client.get_dataset(dataset.id).annotations.to_frame()
    assert found.groupby("reference_id")["label"].agg(["size", "nunique"]).to_numpy().tolist() == [[20, 1], [20, 1]]


def test_predictions_of_an_open_run_are_deleted(filled: npd.Dataset, run: npd.ModelRun) -> None:
    run.predict(boxes(*NAMES, *NAMES[:3], x=[float(n) for n in range(15)]))
    with pytest.raises(npd.NotFoundError, match="no item 'nobody' .* Nothing was deleted"):
        run.delete_predictions(["0.jpg", "nobody"])
    assert run.delete_predictions(["0.jpg", "4.jpg"]) == 3
    assert "0.jpg" not in set(run.predictions.to_frame()["reference_id"])
    assert run.clear() == 12
    assert run.clear() == 0
    assert len(filled.model_runs) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.clear(),
        lambda run: run.delete_predictions("0.jpg"),
        lambda run: run.predict(boxes("0.jpg", x=5.0), if_exists="replace"),
        lambda run: run.predict(boxes("1.jpg", x=np.nan, y=np.nan, width=np.nan, height=np.nan), if_exists="replace"),
    ],
)
def test_a_committed_run_does_not_change(run: npd.ModelRun, change: Callable[[npd.ModelRun], object]) -> None:
    run.predict(boxes("0.jpg", "1.jpg"))
    run.commit()
    with pytest.raises(npd.NucleusError, match="is committed and cannot change"):
        change(run)
    assert len(run.predictions.to_frame()) == 2
    run.predict(boxes("0.jpg"), if_exists="replace")  # as it is


def test_a_contract_server_gets_nothing_of_what_it_cannot_do(
    client: npd.NucleusClient, filled: npd.Dataset, run: npd.ModelRun
) -> None:
    run.predict(boxes(*NAMES))
    contract_only(client)
    with pytest.raises(npd.UnsupportedError, match="Nothing was sent"):
        run.clear()
    with pytest.raises(npd.UnsupportedError, match="Nothing was sent"):
        run.delete_predictions(["0.jpg"])
    for send in (filled.annotate, run.predict):
        with pytest.raises(npd.UnsupportedError, match="Nothing was sent"):
            send(boxes("0.jpg"), if_exists="replace")
    assert len(run.predictions.to_frame()) == 12


def test_items_and_imports_take_no_replace(filled: npd.Dataset, tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match="'update' replaces an item"):
        filled.append(item_frame("0.jpg"), if_exists="replace")  # type: ignore[arg-type]
    boxes("0.jpg").to_parquet(tmp_path / "boxes.parquet")
    with pytest.raises(npd.InvalidInputError, match="cannot replace the rows of images"):
        npd.import_parquet(tmp_path / "boxes.parquet", dataset=filled, kind="annotations", if_exists="replace")  # type: ignore[arg-type]


def test_an_update_without_ids_warns_of_rows_that_it_added(filled: npd.Dataset, run: npd.ModelRun) -> None:
    frame = boxes(*NAMES)
    run.predict(frame, if_exists="update")
    run.predict(frame.assign(metadata=[{"k": 1}] * 12), if_exists="update", batch_size=5)
    with pytest.warns(npd.NucleusWarning, match="added 12 rows without annotation_id beside others") as caught:
        result = run.predict(frame.assign(confidence=0.75), if_exists="update", batch_size=5)
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]
    assert (result.rows["status"] == "new").all()
    assert len(run.predictions.to_frame()) == 24
    given = frame.assign(annotation_id=[f"id {number}" for number in range(12)])
    for confidence in (0.1, 0.2):
        result = run.predict(given.assign(confidence=confidence), if_exists="update")
    assert (result.rows["status"] == "updated").all()


def test_an_update_of_several_batches_that_add_to_one_image_warns_of_none(filled: npd.Dataset) -> None:
    frame = boxes(*["0.jpg", "1.jpg"] * 4, x=[float(n) for n in range(8)])
    assert filled.annotate(frame, if_exists="update", batch_size=2).annotations_processed == 8


def test_an_import_that_updates_without_ids_warns(filled: npd.Dataset, tmp_path: Path) -> None:
    frame = boxes(*NAMES, *NAMES, x=[float(n) for n in range(24)]).drop(columns="confidence")
    frame.to_parquet(tmp_path / "boxes.parquet", row_group_size=6)
    npd.import_parquet(tmp_path / "boxes.parquet", dataset=filled, kind="annotations", if_exists="update")
    frame.assign(y=77.0).to_parquet(tmp_path / "others.parquet", row_group_size=6)
    with pytest.warns(npd.NucleusWarning, match="added 24 rows"):
        npd.import_parquet(tmp_path / "others.parquet", dataset=filled, kind="annotations", if_exists="update")
