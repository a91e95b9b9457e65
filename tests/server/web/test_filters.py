"""The grid shows the images that filters ask for, and slices are made of them."""

from __future__ import annotations

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas import sample
from nucleus_pandas.server.store import subsets
from nucleus_pandas.server.web.routes import grid
from tests.support.sample_page import DASH, SampleSite, ids_on, last_segment, lines, place_on, run_line


def outcomes(sample_site: SampleSite, run: npd.ModelRun, threshold: float = 0.5) -> pd.DataFrame:
    return run.matches(iou_threshold=threshold)


@pytest.mark.parametrize("label", ["person", "car", "bird", "nothing"])
def test_a_label_finds_images_that_hold_it(sample_site: SampleSite, label: str) -> None:
    truth = sample_site.truth[sample_site.truth["label"] == label]["reference_id"]
    assert sample_site.shown(label=label) == sample_site.ids(truth)
    guesses = sample_site.runs[1].predictions.to_frame()
    both = {*truth, *guesses[guesses["label"] == label]["reference_id"]}
    assert sample_site.shown(label=label, run=sample_site.runs[1].id) == sample_site.ids(both)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("match", ["TP", "FP", "FN"])
@pytest.mark.parametrize("threshold", ["0.50", "0.75"])
def test_outcomes_find_images_that_have_them(sample_site: SampleSite, which: int, match: str, threshold: str) -> None:
    run = sample_site.runs[which]
    found = outcomes(sample_site, run, float(threshold))
    found = found[found["match_type"] == match]
    assert sample_site.shown(run=run.id, match=match, iou=threshold) == sample_site.ids(found["reference_id"])
    for label in ("person", "car", "cup"):
        sides_of = {"TP": ["label", "predicted_label"], "FP": ["predicted_label"], "FN": ["label"]}[match]
        wanted = found[found[sides_of].eq(label).any(axis=1)]
        assert sample_site.shown(run=run.id, match=match, iou=threshold, label=label) == sample_site.ids(
            wanted["reference_id"]
        )


def test_confidence_and_iou_are_those_of_the_outcome(sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    found = outcomes(sample_site, run)
    wrong = found[(found["match_type"] == "FP") & found["confidence"].between(0.4, 0.6)]
    asked = {"run": run.id, "match": "FP", "confidence_from": 0.4, "confidence_to": 0.6}
    assert sample_site.shown(**asked) == sample_site.ids(wrong["reference_id"])
    near = run.matches()
    near = near[near["iou"].between(0.3, 0.5)]
    assert sample_site.shown(run=run.id, iou_from="0.3", iou_to="0.5") == sample_site.ids(near["reference_id"])
    sure = run.predictions.to_frame()
    sure = sure[sure["confidence"] >= 0.9]
    assert sample_site.shown(run=run.id, confidence_from="0.9") == sample_site.ids(sure["reference_id"])
    cars = sure[sure["label"] == "car"]
    assert sample_site.shown(run=run.id, confidence_from="0.9", label="car") == sample_site.ids(cars["reference_id"])


@pytest.mark.parametrize("scene", ["street", "kitchen", "desert"])
def test_metadata_finds_images(sample_site: SampleSite, scene: str) -> None:
    scenes = sample_site.items["metadata"].map(lambda one: one["scene"])
    assert sample_site.shown(key="scene", value=scene) == sample_site.items.index[scenes == scene].tolist()
    assert sample_site.shown(key="scene", op="gt", value=scene) == sample_site.items.index[scenes > scene].tolist()
    assert sample_site.shown(key="scene", op="lt", value=scene) == sample_site.items.index[scenes < scene].tolist()


def test_a_query_finds_images_and_a_wrong_one_is_told_at_its_place(sample_site: SampleSite) -> None:
    text = 'annotations.car > 2 and metadata.scene = "street"'
    page = sample_site.get(sample_site.grid, query=text)
    expected = sample_site.dataset.query(text)
    assert ids_on(page) == expected.index.tolist() != []
    whole, shown = (run_line(sample_site.client, line) for line in lines(page))
    pd.testing.assert_frame_equal(whole, expected)
    pd.testing.assert_frame_equal(shown, expected)
    wrong = sample_site.get(sample_site.grid, query="annotations.car >> 2")
    assert "column 18 of the query" in wrong.one(role="alert").text
    assert not wrong.all("li", "card")


def test_filters_hold_together(sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    found = outcomes(sample_site, run)
    wanted = set(found[found["match_type"] == "FN"]["reference_id"])
    scenes = sample_site.items["metadata"].map(lambda one: one["scene"])
    keys = sample_site.items.index[(scenes == "street") & sample_site.items["reference_id"].isin(wanted)]
    asked = {"run": run.id, "match": "FN", "key": "scene", "value": "street", "query": "annotations.count > 20"}
    many = sample_site.truth["dataset_item_id"].value_counts()
    assert sample_site.shown(**asked) == [key for key in keys if many[key] > 20] != []


def test_a_filter_without_its_run_is_told(sample_site: SampleSite) -> None:
    page = sample_site.get(sample_site.grid, match="FP")
    assert page.one(role="alert").text == "Select the run whose predictions are filtered."


def test_an_open_run_has_predictions_and_no_outcomes(own_sample_site: SampleSite) -> None:
    run = own_sample_site.dataset.create_model_run(own_sample_site.client.add_model("Open", "open"))
    run.predict(sample.detections("careful"))
    assert len(own_sample_site.shown(run=run.id, confidence_from="0.5")) > 0
    page = own_sample_site.get(own_sample_site.grid, run=run.id, match="FP")
    assert "run.commit()" in page.one(role="alert").text
    assert "This run is open" in own_sample_site.get(f"/runs/{run.id}").text
    assert "run.commit()" in own_sample_site.get(f"/runs/{run.id}/examples", 409).text


def test_boxes_that_were_not_looked_for_stand_back(sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    found = outcomes(sample_site, run)
    wrong = found[found["match_type"] == "FP"]
    page = sample_site.get(sample_site.grid, run=run.id, match="FP", label="car")
    guesses = run.predictions.to_frame().set_index(["dataset_item_id", "annotation_id"])
    for card in page.all("li", "card"):
        key = last_segment(card.one("a"))
        here = wrong[(wrong["dataset_item_id"] == key) & (wrong["predicted_label"] == "car")]["prediction_id"]
        lit = [rect for rect in card.one("g", "guess").all("rect") if "off" not in rect.classes]
        assert {float(rect["x"]) for rect in lit} == set(guesses.loc[[(key, one) for one in here], "x"])


def test_looking_takes_a_bounded_time_and_goes_on(sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subsets, "_FIRST_WINDOW", 1)
    monkeypatch.setattr(subsets, "_WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(subsets.Subset.scan, "__kwdefaults__", {"direction": "forward", "seconds": 0.0})
    first = sample_site.get(sample_site.grid, label="airplane")
    assert ids_on(first) == []
    assert "No match yet among the 1 images" in first.text
    airplanes = sample_site.truth[sample_site.truth["label"] == "airplane"]["reference_id"]
    assert sample_site.shown(label="airplane") == sample_site.ids(airplanes) != []


# Slices


def test_a_slice_is_made_of_what_is_picked_in_its_order(own_sample_site: SampleSite) -> None:
    page = own_sample_site.get(own_sample_site.grid)
    form = page.one("form", method="post")
    token = form.one("input", name="token")["value"]
    picked = [own_sample_site.items.index[place] for place in (5, 1, 8)]
    response = own_sample_site.visitor.post(form["action"], token=token, name="Picked", what="selected", item=picked)
    made = own_sample_site.dataset.slices[0]
    assert (made.name, made.to_frame().index.tolist()) == ("Picked", picked)
    shown = own_sample_site.get(response.headers["Location"])
    assert ids_on(shown) == picked
    assert place_on(shown) == f"1{DASH}3 of 3"
    pd.testing.assert_frame_equal(run_line(own_sample_site.client, lines(shown)[0]), made.to_frame())
    listed = own_sample_site.get(f"{own_sample_site.grid}/slices")
    assert [cell.text for cell in listed.one("table", "list").all("td")][:2] == ["Picked", "3"]
    assert own_sample_site.visitor.ask(f"/slices/{made.id}").headers["Location"] == response.headers["Location"]


def test_a_slice_is_made_of_all_that_match(own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 2)
    query = "annotations.count >= 9"
    form = own_sample_site.get(own_sample_site.grid, query=query).one("form", method="post")
    token = form.one("input", name="token")["value"]
    own_sample_site.visitor.post(form["action"], token=token, name="Busy", what="all")
    expected = own_sample_site.dataset.query(query).index.tolist()
    assert own_sample_site.dataset.slices[0].to_frame().index.tolist() == expected
    assert len(expected) > 2
    assert own_sample_site.shown(slice=own_sample_site.dataset.slices[0].id) == expected
    inside = own_sample_site.shown(slice=own_sample_site.dataset.slices[0].id, label="person")
    assert inside == [key for key in own_sample_site.shown(label="person") if key in expected]


def test_a_slice_needs_a_name_and_images_and_no_namesake(own_sample_site: SampleSite) -> None:
    form = own_sample_site.get(own_sample_site.grid).one("form", method="post")
    asked = {"token": form.one("input", name="token")["value"], "what": "selected"}
    assert (
        "needs a name"
        in own_sample_site.visitor.post(
            form["action"], 400, **asked, name=" ", item=own_sample_site.items.index[0]
        ).text
    )
    assert "No image is selected" in own_sample_site.visitor.post(form["action"], 400, **asked, name="S").text
    foreign = ["di_x", "di_0123456789ab00000000", "<b>"]
    assert (
        "No image is selected"
        in own_sample_site.visitor.post(form["action"], 400, **asked, name="S", item=foreign).text
    )
    own_sample_site.visitor.post(form["action"], **asked, name="S", item=own_sample_site.items.index[0])
    refused = own_sample_site.visitor.post(form["action"], 409, **asked, name="S", item=own_sample_site.items.index[1])
    assert "has a slice" in refused.text


def test_a_slice_of_another_dataset_is_refused(own_sample_site: SampleSite) -> None:
    other = own_sample_site.client.create_dataset("Other")
    made = own_sample_site.dataset.create_slice("S", [own_sample_site.items["reference_id"].iloc[0]])
    assert "is one of the dataset" in own_sample_site.get(f"/datasets/{other.id}", 400, slice=made.id).text


def test_what_there_is_to_filter_by_is_offered(sample_site: SampleSite) -> None:
    page = sample_site.get(sample_site.grid, run=sample_site.runs[1].id, key="scene")
    labels = [option["value"] for option in page.one("datalist", id="labels").all("option")]
    truth = sample_site.truth["label"].value_counts()
    assert labels[: len(truth)] == sorted(truth.index, key=lambda label: (-truth[label], label))
    assert set(labels) == {*truth.index, *sample_site.runs[1].predictions.to_frame()["label"]}
    keys = [option["value"] for option in page.one("datalist", id="keys-of-metadata").all("option")]
    assert keys == ["license", "scene", "source"]
    values = [option["value"] for option in page.one("datalist", id="values-of-metadata").all("option")]
    assert set(values) == set(sample_site.items["metadata"].map(lambda one: one["scene"]))
