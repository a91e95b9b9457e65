"""Predictions of a model as frames: on a dataset, without a run, on a run that spans datasets, merged and copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.contract_only import contract_only
from tests.support.every_type import annotations, fill, without_ids
from tests.support.private import model_handle

POLYGON = {"vertices": [{"x": 0.0, "y": 0.0}, {"x": 9.0, "y": 0.0}, {"x": 0.0, "y": 9.0}]}


@pytest.fixture(params=["extensions", "contract"])
def kind(request: pytest.FixtureRequest) -> str:
    """What the server knows."""
    return str(request.param)


@pytest.fixture
def anyone(client: npd.NucleusClient, kind: str) -> npd.NucleusClient:
    """A client of a server that knows extensions, or only the contract."""
    return client if kind == "extensions" else contract_only(client)


@pytest.fixture
def model(anyone: npd.NucleusClient) -> npd.Model:
    """A model."""
    return anyone.add_model("Detector", reference_id="det")


@pytest.fixture
def rows() -> pd.DataFrame:
    """Boxes on b.jpg and a.jpg, and a polygon on b.jpg."""
    frame = pd.DataFrame({"reference_id": ["b.jpg", "a.jpg", "b.jpg"], "label": ["car", "bus", "lake"]})
    frame[["x", "y", "width", "height"]] = [[10.0, 20, 30, 40], [1.0, 2, 3, 4], [None] * 4]
    return frame.assign(
        type=["box", "box", "polygon"], geometry=[None, None, POLYGON], confidence=[0.5, 0.25, 0.75], task_id="t"
    )


def labels(frame: pd.DataFrame) -> list[str]:
    return sorted(frame["label"].tolist())


def test_those_on_a_dataset_are_read_as_those_of_a_run(
    anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame
) -> None:
    result = rows.nucleus.predict(model, dataset=dataset)
    assert (result.predictions_processed, result["model_id"], result["dataset_id"]) == (3, model.id, dataset.id)
    run = anyone.get_model_run(result["model_run_id"], dataset.id)
    assert [one.id for one in dataset.model_runs] == [run.id] == [one.id for one in model.model_runs]
    view = dataset.predictions(model)
    pd.testing.assert_frame_equal(view.to_frame(), run.predictions.to_frame())
    assert view.to_frame()["task_id"].tolist() == ["t"] * 3
    for name in ("iloc", "loc", "refloc"):
        keys: dict[str, Any] = {"iloc": [1, 0], "loc": dataset.iloc[[1, 0]].index, "refloc": ["b.jpg", "a.jpg"]}
        found = getattr(view, name)[keys[name]]
        pd.testing.assert_frame_equal(found, getattr(run, name)[keys[name]])
        assert found["label"].iloc[-1] == "bus"
        assert labels(found.iloc[:2]) == ["car", "lake"]
    assert len(view.refloc["c.jpg"]) == 0
    assert len(view) == 3
    pd.testing.assert_frame_equal(pd.concat(view.iter_frames(2)), view.to_frame())
    with pytest.raises(npd.NotFoundError, match=r"There is no item 'd\.jpg' in the dataset"):
        view.refloc["d.jpg"]
    with pytest.raises(npd.PositionError):
        view.iloc[3]


def test_sending_on_a_dataset_again_finds_the_run(
    dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame, anyone: npd.NucleusClient
) -> None:
    first = model.predict(rows, dataset=dataset)
    again = model.predict(rows.head(2), dataset=dataset.id)
    assert (again.predictions_ignored, again["model_run_id"]) == (2, first["model_run_id"])
    model.predict(rows.assign(task_id="u"), dataset=dataset, if_exists="update")
    assert set(dataset.predictions(model.id).to_frame()["task_id"]) == {"u"}
    anyone.get_model_run(first["model_run_id"], dataset.id).commit()
    other = model.predict(rows.assign(label="new"), dataset=dataset)
    assert other["model_run_id"] != first["model_run_id"]
    assert labels(dataset.predictions(model).to_frame()) == ["new"] * 3
    assert labels(dataset.predictions(first["model_run_id"]).to_frame()) == ["bus", "car", "lake"]


def test_a_model_without_a_run_on_the_dataset_is_told(dataset: npd.Dataset, model: npd.Model) -> None:
    for read in (lambda view: view.to_frame(), lambda view: view.refloc["a.jpg"], len):
        with pytest.raises(npd.NotFoundError, match="has no run on the dataset"):
            read(dataset.predictions(model))


def test_those_without_a_run_are_read_by_item(
    dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame, kind: str
) -> None:
    result = rows.nucleus.predict(model)
    assert (result.predictions_processed, result["model_id"]) == (3, model.id)
    assert rows.nucleus.predict(model).predictions_ignored == 3
    assert dataset.model_runs == [] == model.model_runs
    ids = dataset.refloc[["b.jpg", "a.jpg"], "dataset_item_id"].tolist()
    found = model.predictions.loc[ids]
    assert found["reference_id"].tolist() == ["b.jpg", "b.jpg", "a.jpg"]
    assert found["dataset_item_id"].tolist() == [ids[0], ids[0], ids[1]]
    assert found["label"].tolist() == ["car", "lake", "bus"]
    assert found["geometry"].tolist() == [None, POLYGON, None]
    pd.testing.assert_frame_equal(model.predictions.refloc[["b.jpg", "a.jpg"]], found)
    pd.testing.assert_frame_equal(model.predictions.iloc[[1, 0]], found)
    assert len(model.predictions.refloc["c.jpg"]) == 0
    with pytest.raises(npd.NotFoundError, match=r"There is no item 'd\.jpg'"):
        model.predictions.refloc["d.jpg"]
    if kind == "extensions":
        whole = model.predictions.to_frame()
        assert whole["label"].tolist() == ["bus", "car", "lake"]
        assert len(model.predictions) == 3
        pd.testing.assert_frame_equal(pd.concat(model.predictions.iter_frames(2)), whole)
        assert whole.dtypes.equals(found.dtypes)
        assert len(model.predictions.refloc[[False, True, False]]) == 2
    else:
        with pytest.raises(npd.UnsupportedError, match=r"item by item only: use model\.predictions\.loc"):
            model.predictions.to_frame()


def test_without_a_run_items_of_several_datasets_are_named_by_item_id(
    anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame, kind: str
) -> None:
    other = anyone.create_dataset("Other")
    other.append([{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in ("a.jpg", "x.jpg")])
    two = [one.refloc["a.jpg", "dataset_item_id"] for one in (dataset, other)]
    twice = pd.DataFrame({"dataset_item_id": two, "reference_id": "a.jpg", "label": ["here", "there"]})
    twice[["x", "y", "width", "height"]] = [1.0, 2, 30, 40]
    twice.nucleus.predict(model)
    assert model.predictions.loc[two[::-1]]["label"].tolist() == ["there", "here"]
    rows.assign(reference_id="x.jpg").nucleus.predict(model)  # one in a single dataset
    with pytest.raises(npd.UploadError, match="Several datasets have an item with id a.jpg"):
        rows.nucleus.predict(model)
    if kind == "extensions":
        whole = model.predictions.to_frame()
        assert labels(whole) == ["bus", "car", "car", "here", "lake", "lake", "there"]
        with pytest.raises(npd.InvalidInputError, match=r"no single dataset.*model\.predictions\.loc"):
            model.predictions.refloc["x.jpg"]
        copy = anyone.add_model("Copy", "copy")
        whole.nucleus.predict(copy)  # a frame that is handed out can be sent as it is
        pd.testing.assert_frame_equal(copy.predictions.to_frame(), whole)
    else:
        both = model.predictions.refloc["a.jpg"]
        assert both["dataset_item_id"].tolist() == two


def test_types_that_belong_to_a_run_are_refused_before_anything_is_sent(
    dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame
) -> None:
    line = rows.assign(type=["box", "box", "line"])
    with pytest.raises(npd.InvalidInputError, match=r"row 2.*'line'.*box, polygon, cuboid.*dataset=, or to a run"):
        line.nucleus.predict(model)
    result = line.nucleus.predict(model, on_error="collect")
    assert (result.predictions_processed, result.rows["status"].tolist()[2]) == (2, "error")
    with pytest.raises(npd.InvalidInputError, match=r"'category'.*annotations\[0\]\.type"):
        model.predict([{"reference_id": "a.jpg", "type": "category", "label": "rain"}])


@pytest.mark.parametrize("where", ["dataset", "nowhere"])
def test_if_exists_and_payloads_are_as_those_of_a_run(
    dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame, where: str, tmp_path: Path
) -> None:
    home = {"dataset": dataset} if where == "dataset" else {}
    box = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}, "annotation_id": "1"}
    model.predict({"annotations": [{"reference_id": "a.jpg", **box}]}, **home)
    with pytest.raises(npd.AlreadyExistsError):
        model.predict([{"reference_id": "a.jpg", **box}], if_exists="error", **home)
    with pytest.raises(npd.UploadError, match="Item with id z doesn't exist"):
        model.predict([{"reference_id": "z", **box}], **home)
    journal = tmp_path / "journal"
    assert model.predict(rows, journal=journal, **home).predictions_processed == 3
    assert model.predict(rows, journal=journal, batch_size=2, **home).predictions_ignored == 3


def test_frames_of_any_kind_go_to_a_model_and_come_back(local: npd.NucleusClient) -> None:
    filled = fill(local)
    sent = filled.model_runs[0].predictions.to_frame()
    other = local.create_dataset("To")
    filled.items.to_frame().nucleus.append(other)
    model = local.add_model("Other", "other")
    sent.nucleus.predict(model, dataset=other)
    pd.testing.assert_frame_equal(without_ids(other.predictions(model).to_frame()), without_ids(sent))
    free = sent[sent["type"].isin(["box", "polygon", "cuboid"])].reset_index(drop=True)
    free.nucleus.predict(model)
    pd.testing.assert_frame_equal(model.predictions.to_frame(), free)
    assert len(annotations()) == len(sent)


def test_a_run_may_span_datasets(
    anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame, kind: str
) -> None:
    other = anyone.create_dataset("Other")
    other.append([{"reference_id": "a.jpg", "image_url": "https://example.org/other/a.jpg"}])
    run = model.create_model_run("everywhere", metadata={"epoch": 3})
    assert (run["name"], run["metadata"], run["model_id"]) == ("everywhere", {"epoch": 3}, model.id)
    rows.nucleus.predict(run, dataset=dataset)
    rows.iloc[[1]].nucleus.predict(run, dataset=other)
    assert labels(dataset.predictions(run).to_frame()) == ["bus", "car", "lake"]
    assert dataset.predictions(run).refloc["a.jpg"]["label"].tolist() == ["bus"]
    assert other.predictions(run.id).to_frame()["reference_id"].tolist() == ["a.jpg"]
    if kind == "extensions":
        whole = run.predictions.to_frame()
        again = model.create_model_run()
        whole.nucleus.predict(again)
        pd.testing.assert_frame_equal(again.predictions.to_frame(), whole)
        with pytest.raises(npd.InvalidInputError, match=r"dataset\.predictions\(run\)"):
            run.refloc["a.jpg"]


def test_files_are_imported_to_a_run_that_spans_datasets(
    client: npd.NucleusClient, dataset: npd.Dataset, rows: pd.DataFrame, tmp_path: Path
) -> None:
    run = client.add_model("Detector", "det").create_model_run()
    rows.head(2).drop(columns="geometry").to_parquet(tmp_path / "boxes.parquet")
    assert npd.import_parquet(tmp_path / "boxes.parquet", dataset, "predictions", run=run).new == 2
    assert labels(dataset.predictions(run).to_frame()) == ["bus", "car"]


def test_a_run_on_one_dataset_takes_no_other(
    anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame
) -> None:
    run = dataset.create_model_run(model)
    assert rows.nucleus.predict(run, dataset=dataset).predictions_processed == 3
    with pytest.raises(npd.UploadError, match="not on"):
        rows.nucleus.predict(run, dataset=anyone.create_dataset("Other"))


def test_runs_are_merged(anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame) -> None:
    runs = [dataset.create_model_run(model) for _ in range(2)]
    rows.head(2).nucleus.predict(runs[0])
    rows.tail(2).nucleus.predict(runs[1])
    merged = anyone.merge_model_runs(runs, name="both", metadata={"n": 2})
    assert (merged["name"], merged["metadata"]) == ("both", {"n": 2})
    assert labels(merged.predictions.to_frame()) == ["bus", "car", "lake"]
    assert merged.refloc["a.jpg", "label"].iloc[0, 0] == "bus"
    assert len(runs[0].predictions) == 2
    for wrong in ([runs[0]], [runs[0], runs[0].id]):
        with pytest.raises(npd.BadRequestError):
            anyone.merge_model_runs(wrong)
    with pytest.raises(npd.InvalidInputError, match="a ModelRun or its id"):
        anyone.merge_model_runs([model, model])  # type: ignore[list-item]


def test_a_run_is_copied_to_its_model(
    anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame
) -> None:
    run = dataset.create_model_run(model)
    rows.nucleus.predict(run)
    run.predict([{"reference_id": "a.jpg", "type": "category", "label": "rain"}])
    copied = model.copy_predictions_from_run(run)
    assert (copied["predictions_copied"], copied["predictions_skipped_unsupported"]) == (3, 1)
    found = model.predictions.refloc[["a.jpg", "b.jpg"]]
    assert labels(found) == ["bus", "car", "lake"]
    assert found["task_id"].tolist() == ["t"] * 3
    assert model.copy_predictions_from_run(run.id)["predictions_copied"] == 0
    with pytest.raises(npd.BadRequestError, match="not to"):
        anyone.add_model("Other", "other").copy_predictions_from_run(run)


@pytest.mark.parametrize("wrong", [7, "prj_1", None, ["ds_1"]])
def test_what_is_no_dataset_no_model_and_no_run_is_refused(
    dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame, wrong: Any
) -> None:
    if wrong is not None:
        with pytest.raises(npd.InvalidInputError, match="This takes a Dataset or its id, 'ds_…'"):
            rows.nucleus.predict(model, dataset=wrong)
    with pytest.raises(npd.InvalidInputError, match="predict takes a ModelRun or a Model"):
        rows.nucleus.predict(wrong)
    if wrong != "prj_1":
        with pytest.raises(npd.InvalidInputError, match="This takes a Model or a ModelRun"):
            dataset.predictions(wrong)


def test_those_on_a_slice_come_in_its_order(
    anyone: npd.NucleusClient, dataset: npd.Dataset, model: npd.Model, rows: pd.DataFrame
) -> None:
    some = dataset.create_slice("some", ["c.jpg", "b.jpg"])
    with pytest.raises(npd.NotFoundError, match="has no run on the dataset"):
        some.predictions(model).to_frame()
    run = anyone.get_model_run(rows.nucleus.predict(model, dataset=dataset)["model_run_id"], dataset.id)
    rows.assign(reference_id="c.jpg", label="van").nucleus.predict(run)
    found = some.predictions(model).to_frame()
    assert found["reference_id"].tolist() == ["c.jpg"] * 3 + ["b.jpg"] * 2
    pd.testing.assert_frame_equal(found, some.predictions(run).to_frame())
    pd.testing.assert_frame_equal(some.predictions(model.id).refloc["b.jpg"], some.predictions(run.id).iloc[1])
    with pytest.raises(npd.NotFoundError, match=r"There is no item 'a\.jpg' in the slice"):
        some.predictions(model).refloc["a.jpg"]
    with pytest.raises(npd.InvalidInputError, match="a Model or a ModelRun"):
        some.predictions(dataset)  # type: ignore[arg-type]


def test_jobs_of_a_dataset_are_a_frame(anyone: npd.NucleusClient, dataset: npd.Dataset) -> None:
    other = anyone.create_dataset("Other")
    job = dataset.delete_annotations(["a.jpg"])
    assert dataset.jobs["id"].tolist()[0] == job.id
    assert set(dataset.jobs["id"]) <= set(anyone.jobs["id"])
    assert dataset.jobs["status"].iloc[0] == "Completed"
    pd.testing.assert_frame_equal(other.jobs, anyone.jobs.iloc[:0])


def test_a_model_that_is_not_there_is_told(anyone: npd.NucleusClient, dataset: npd.Dataset, rows: pd.DataFrame) -> None:
    gone = model_handle(anyone, "prj_000000000000")
    item_id = dataset.iloc[0].name
    reads = [lambda: gone.predictions.loc[item_id], lambda: dataset.predictions(gone).loc[[item_id]]]
    reads += [lambda: dataset.predictions(gone).to_frame(), lambda: gone.model_runs, gone.create_model_run]
    for read in reads:
        with pytest.raises(npd.NotFoundError, match="There is no model 'prj_000000000000'"):
            read()
    for home in ({"dataset": dataset}, {}):
        with pytest.raises(npd.NotFoundError, match="There is no model"):
            rows.nucleus.predict(gone, **home)


def test_a_gallery_shows_them(local: npd.NucleusClient, image: Path) -> None:
    dataset = local.create_dataset("Images")
    dataset.append([{"reference_id": "a", "image_url": str(image)}])
    model = local.add_model("Detector", "det")
    box = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    for home in ({"dataset": dataset}, {}):
        model.predict([{"reference_id": "a", **box}], **home)  # type: ignore[arg-type]
    assert "car" in dataset.predictions(model).show()._repr_html_()
    assert "car" in model.predictions.show()._repr_html_()


def test_the_routes_refuse_what_they_cannot_answer(http: Any) -> None:
    made = http("POST", "models/add", {"name": "M", "reference_id": "m"})["model_id"]
    rows = f"_nucleus_pandas/model/{made}/predictions/rows"
    assert http("POST", rows, {"columns": ["label"]}) == {
        "columns": {"label": []}, "missing": [], "lengths": [], "next": None,
    }  # fmt: skip
    for body in ({"query": "label = car"}, {"reference_ids": ["a"]}, {"positions": [0]}):
        assert "such predictions" in json.dumps(http.refused("POST", rows, body, 400)) or "query" in body
    http.refused("POST", "_nucleus_pandas/model/prj_0/predictions/rows", {}, 404)
    both = {"annotations": [{"type": "box"}], "boxes": {"keys": []}}
    http.refused("POST", f"_nucleus_pandas/model/{made}/predictions", both, 400)
