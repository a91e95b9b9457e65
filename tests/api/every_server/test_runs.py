"""Models, runs and predictions, the same on every server."""

from __future__ import annotations

import pytest
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from tests.api.every_server.servers import SHAPES, UNKNOWN, Stated, others, statuses
from tests.factories import box_frame


def test_a_model_is_made_found_and_listed(client: npd.NucleusClient) -> None:
    made = client.add_model("Detector", reference_id="det-0.5", metadata={"iou": 0.5}, tags=["night"])
    assert made.id.startswith("prj_")
    assert (made["model_id"], made.reference_id) == (made.id, "det-0.5")
    found = client.get_model(made.id)
    assert found == made
    assert (found.name, found.reference_id, found.metadata) == ("Detector", "det-0.5", {"iou": 0.5})
    assert found.info["ref_id"] == "det-0.5"
    plain = client.create_model({"name": "Plain", "reference_id": "plain"})
    assert client.models["id"].tolist() == [made.id, plain.id]
    assert client.models["metadata"].tolist() == [{"iou": 0.5}, {}]
    assert client.models["tags"].tolist() == [["night"], []]


def test_a_reference_id_names_one_model(client: npd.NucleusClient, stated: Stated) -> None:
    made = client.add_model("Detector", reference_id="det-0.5")
    with pytest.raises(npd.ConflictError, match="det-0.5"):
        client.add_model("Another", reference_id="det-0.5")
    if stated(embedded=True, hosted=False):
        assert client.add_model("Detector", reference_id="det-0.5") == made
    else:
        with pytest.raises(npd.ConflictError, match="det-0.5"):
            client.add_model("Detector", reference_id="det-0.5")
    assert client.models["id"].tolist() == [made.id]


def test_a_run_is_made_in_every_documented_way(client: npd.NucleusClient, dataset: npd.Dataset) -> None:
    model = client.add_model("Detector", reference_id="det-0.5")
    runs = [
        dataset.create_model_run(model, name="first", metadata={"epoch": 3}),
        dataset.create_model_run({"reference_id": "det-0.5"}),
        dataset.create_model_run(client.get_model(model.id)),
    ]
    assert all(run.id.startswith("run_") for run in runs)
    assert dataset.model_runs == runs
    assert [run["model_id"] for run in runs] == [model.id] * 3
    assert (runs[0].info["name"], runs[0].info["metadata"]) == ("first", {"epoch": 3})
    assert client.get_model_run(runs[1].id, dataset.id) == runs[1]
    assert client.get_model(runs[1].id) == model
    with pytest.raises(npd.NotFoundError, match="nobody"):
        dataset.create_model_run({"reference_id": "nobody"})


def test_predictions_are_added_and_read_back(dataset: npd.Dataset, run: npd.ModelRun, stated: Stated) -> None:
    frame = box_frame("b.jpg", "a.jpg", confidence=[0.25, 1.0])
    result = frame.nucleus.predict(run)
    assert statuses(result) == stated(embedded=["new", "new"], hosted=["processed", "processed"])
    assert (result.predictions_processed, result["model_run_id"]) == (2, run.id)
    assert result["model_id"] == run.info["model_id"]
    assert statuses(frame.nucleus.predict(run)) == ["ignored", "ignored"]
    types = [kind for kind in SHAPES if kind != "multicategory"]
    others("c.jpg", *types).assign(confidence=0.5).nucleus.predict(run)
    found = run.predictions.to_frame()
    assert found["reference_id"].tolist() == ["a.jpg", "b.jpg"] + ["c.jpg"] * 6
    assert found["confidence"].tolist() == [1.0, 0.25] + [0.5] * 6
    assert found["type"].tolist() == ["box", "box", *types]
    assert found["geometry"].tolist()[2:] == [SHAPES[kind][1] for kind in types]
    assert len(run.predictions) == 8
    assert_frame_equal(run.predictions.refloc[["a.jpg", "b.jpg", "c.jpg"]], found)
    assert_frame_equal(run.loc[dataset.items.to_frame().index.tolist()], found)
    assert_frame_equal(run.iloc[[0, 1, 2]], found)
    assert len(dataset.annotations) == 0


def test_predictions_on_an_unknown_item_are_refused(run: npd.ModelRun) -> None:
    with pytest.raises(npd.UploadError, match=UNKNOWN):
        run.predict(box_frame("a.jpg", UNKNOWN, confidence=0.5))
    assert run.predictions.to_frame()["reference_id"].tolist() == ["a.jpg"]


def test_a_run_is_committed(dataset: npd.Dataset, run: npd.ModelRun, stated: Stated) -> None:
    box_frame("a.jpg", "b.jpg").nucleus.annotate(dataset)
    box_frame("a.jpg", confidence=0.9).nucleus.predict(run)
    assert run.commit(allowed_label_matches=[("car", "car")]) == {"model_run_id": run.id}
    assert run.commit(class_agnostic=False) == {"model_run_id": run.id}
    assert run.info["status"] == stated(embedded="committed", hosted="completed")
    more = box_frame("b.jpg", confidence=0.8)
    matches = run.matches(0.5)
    assert matches["match_type"].tolist() == ["TP", "FN"]
    assert matches["reference_id"].tolist() == ["a.jpg", "b.jpg"]
    assert run.matches().equals(matches)
    with pytest.raises(npd.InvalidInputError, match="from 0 to 1"):
        run.matches(1.5)
    if stated(embedded=True, hosted=False):
        with pytest.raises(npd.FrozenRunError):
            more.nucleus.predict(run)
    else:  # which takes predictions after a commit
        assert more.nucleus.predict(run).predictions_processed == 1


def test_what_was_deleted_is_gone(client: npd.NucleusClient, dataset: npd.Dataset, run: npd.ModelRun) -> None:
    model = client.get_model(run.id)
    assert isinstance(client.delete_model_run(run), dict)
    assert dataset.model_runs == []
    with pytest.raises(npd.NotFoundError):
        client.get_model_run(run.id)
    with pytest.raises(npd.NotFoundError):
        run.predictions.to_frame()
    assert "msg" in client.delete_model(model.id)
    assert client.models.empty
    for gone in (lambda: client.get_model(model.id), lambda: client.delete_model_run(run), lambda: run.commit()):
        with pytest.raises(npd.NotFoundError):
            gone()
