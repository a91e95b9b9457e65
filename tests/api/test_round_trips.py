"""Every frame that is handed out can be sent to another dataset as it is, and comes back equal, ids aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nucleus_pandas as npd
from tests.support.draws import draws
from tests.support.every_type import IDS, METADATA, SHAPES, annotations, fill, spelled, without_ids


@pytest.fixture
def filled(client: npd.NucleusClient) -> npd.Dataset:
    """A dataset with rows of every kind, and a run."""
    return fill(client)


@pytest.mark.parametrize("metadata_as", ["dict", "json"])
@pytest.mark.parametrize("backend", [{}, {"dtype_backend": "numpy_nullable"}, {"dtype_backend": "pyarrow"}])
def test_frames_go_into_another_dataset_and_come_back_equal(
    client: npd.NucleusClient, filled: npd.Dataset, metadata_as: Any, backend: Any
) -> None:
    run = filled.model_runs[0]
    options = {"metadata_as": metadata_as, **backend}
    frames = [view.to_frame(**options) for view in (filled.items, filled.annotations, run.predictions)]
    other = client.create_dataset("To")
    frames[0].nucleus.append(other)
    frames[1].nucleus.annotate(other)
    again = other.create_model_run(client.add_model("Detector", "det"))
    frames[2].nucleus.predict(again)
    found = [view.to_frame(**options) for view in (other.items, other.annotations, again.predictions)]
    for sent, back in zip(frames, found, strict=True):
        pd.testing.assert_frame_equal(without_ids(sent), without_ids(back))
        assert spelled(sent["metadata"]) == spelled(back["metadata"])
    assert len(frames[1]) == 11
    assert len(frames[2]) == 10


def test_what_was_read_is_what_was_sent(filled: npd.Dataset) -> None:
    items = filled.items.to_frame()
    assert items["reference_id"].tolist() == IDS
    assert spelled(items["metadata"]) == [json.dumps(metadata) for metadata in METADATA]
    found = filled.annotations.to_frame().set_index("type")
    for kind, (_, geometry) in SHAPES.items():
        assert found.loc[kind, "geometry"] == geometry
    assert found.loc["multicategory", "geometry"] == {"labels": ["x", "y"], "taxonomy_name": "t"}
    sent = annotations()
    boxes = found.loc["box"].set_index(["reference_id", "x"])
    for row in sent[sent["type"] == "box"].to_dict("records"):
        back = boxes.loc[(row["reference_id"], row["x"])]
        assert all(back[name] == row[name] for name in ("label", "y", "width", "height"))
        assert json.dumps(back["metadata"]) == json.dumps(row["metadata"] or {})


def test_pieces_that_an_indexer_gave_can_be_sent_too(client: npd.NucleusClient, filled: npd.Dataset) -> None:
    other = client.create_dataset("To")
    filled.iloc[[3, 0]].nucleus.append(other)
    filled.refloc[[IDS[1]]].nucleus.append(other)
    assert other.items.to_frame()["reference_id"].tolist() == [IDS[3], IDS[0], IDS[1]]
    filled.annotations.refloc[[IDS[0], IDS[1]]].nucleus.annotate(other)
    assert other.annotations.to_frame()["reference_id"].tolist() == [IDS[0]] * 3 + [IDS[1]]
    filled.items.to_frame(metadata_as="columns").nucleus.append(other)
    assert spelled(other.refloc[[IDS[0]], "metadata"]) == [json.dumps(METADATA[0])]


@pytest.mark.parametrize("backend", [{}, {"dtype_backend": "numpy_nullable"}, {"dtype_backend": "pyarrow"}])
@pytest.mark.parametrize("metadata_as", ["columns", False])
def test_frames_that_lost_something_of_metadata_are_sent_as_well(
    client: npd.NucleusClient, filled: npd.Dataset, metadata_as: Any, backend: Any
) -> None:
    other = client.create_dataset("To")
    run = other.create_model_run(client.get_model(filled.model_runs[0]["model_id"]))
    options = {"metadata_as": metadata_as, **backend}
    for chunk in filled.items.iter_frames(2, **options):
        chunk.nucleus.append(other)
    for chunk in filled.annotations.iter_frames(3, **options):
        chunk.nucleus.annotate(other)
    filled.model_runs[0].predictions.to_frame(**options).nucleus.predict(run)
    for view, back in (
        (filled.items, other.items),
        (filled.annotations, other.annotations),
        (filled.model_runs[0].predictions, run.predictions),
    ):
        pd.testing.assert_frame_equal(without_ids(view.to_frame(False)), without_ids(back.to_frame(False)))
    weather = [row.get("weather") for row in other.annotations.to_frame()["metadata"]]
    assert weather.count("rain") == (len(SHAPES) if metadata_as else 0)


def test_images_of_this_machine_are_uploaded_again(local: npd.NucleusClient, image: Path) -> None:
    first, second = local.create_dataset("From"), local.create_dataset("To")
    pd.DataFrame({"reference_id": ["a"], "image_url": [str(image)]}).nucleus.append(first)
    first.items.to_frame().nucleus.append(second)
    (sent,), (back,) = (dataset.items.to_frame()["image_url"] for dataset in (first, second))
    assert sent == back
    assert Path(back).read_bytes() == image.read_bytes()
    assert second.iloc[0][["image_width", "image_height"]].tolist() == [64, 48]


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_rows_refused_with_their_batch_are_told_and_given_back(local: npd.NucleusClient, on_error: Any) -> None:
    dataset = local.create_dataset("Some exist")
    items = pd.DataFrame({"reference_id": list("abcdef"), "image_url": "https://example.org/a.jpg"})
    items.iloc[[2]].nucleus.append(dataset)
    options = {"if_exists": "error", "batch_size": 2, "on_error": on_error}
    if on_error == "raise":
        with pytest.raises(npd.AlreadyExistsError, match="1 of 6 rows were rejected") as caught:
            items.nucleus.append(dataset, **options)
        result = caught.value.result
    else:
        result = items.nucleus.append(dataset, **options)
    assert result.rows["status"].tolist() == ["error"] * 6
    assert "exists already" in result.rows["error"].iloc[2]
    assert result.failed["reference_id"].tolist() == list("abcdef")
    assert len(dataset.items) == 1


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, json_values.filter(lambda value: value is not None), max_size=4)


@settings(max_examples=draws(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.lists(objects, min_size=1, max_size=4))
def test_metadata_of_any_json_value_survives(local: npd.NucleusClient, metadata: list[dict[str, Any]]) -> None:
    dataset = local.create_dataset("Any")
    rows = pd.DataFrame({"reference_id": range(len(metadata)), "image_url": "https://example.org/a.jpg"})
    rows["metadata"] = metadata
    rows.nucleus.append(dataset)
    assert spelled(dataset.items.to_frame()["metadata"]) == [json.dumps(one) for one in metadata]
    texts = dataset.items.to_frame(metadata_as="json")
    texts.assign(reference_id=texts["reference_id"] + " again").nucleus.append(dataset)
    assert spelled(dataset.items.to_frame()["metadata"].iloc[len(metadata) :]) == [json.dumps(one) for one in metadata]
