"""Class probabilities, tracks, tasks and embeddings: columns that go with annotations of any type, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import nucleus_pandas as npd
from tests.support.contract_only import contract_only

DETAILS = ["class_pdf", "track_reference_id", "task_id", "embedding_vector"]
SAID = [
    [{"car": 0.75, "bus": 0.25}, "track 7", "12", [0.5, -2.0]],
    [None, None, None, None],
    [{"läke": 1.0}, "", "t", [1.0]],
]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two boxes, of which the second says nothing more, and a polygon."""
    frame = pd.DataFrame(SAID, columns=DETAILS)
    frame["reference_id"] = ["a.jpg", "a.jpg", "b.jpg"]
    frame["label"] = ["car", "bus", "läke"]
    frame["type"] = ["box", "box", "polygon"]
    frame[["x", "y", "width", "height"]] = [[10, 20, 30, 40], [1, 2, 3, 4], [None] * 4]
    frame["geometry"] = [None, None, {"vertices": [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 0, "y": 9}]}]
    return frame.assign(confidence=[0.5, 0.25, 0.75])


@pytest.fixture
def run(client: npd.NucleusClient, dataset: npd.Dataset) -> npd.ModelRun:
    """A run on three images."""
    return dataset.create_model_run(client.add_model("Detector", "det"))


def details_of(frame: pd.DataFrame, names: list[str] = DETAILS) -> list[list[Any]]:
    """What the rows say, with None where they say nothing."""
    return frame[names].astype(object).where(frame[names].notna(), None).to_numpy().tolist()


@pytest.mark.parametrize("extensions", [True, False])
def test_predictions_say_what_was_sent(
    client: npd.NucleusClient, run: npd.ModelRun, rows: pd.DataFrame, *, extensions: bool
) -> None:
    if not extensions:
        contract_only(client)
    assert rows.nucleus.predict(run).predictions_processed == 3
    found = run.predictions.to_frame()
    assert details_of(found) == SAID
    assert found.dtypes[["class_pdf", "embedding_vector"]].tolist() == [object, object]
    assert found["task_id"].dtype == found["label"].dtype
    assert details_of(run.predictions.refloc["b.jpg", DETAILS]) == [SAID[2]]
    assert run.predictions.refloc["c.jpg"].dtypes.equals(found.dtypes)
    dicts = run.refloc("a.jpg")["annotations"]
    assert [dicts[0][name] for name in DETAILS] == SAID[0]
    assert not set(DETAILS) & set(dicts[1])


def test_annotations_have_no_class_probabilities(dataset: npd.Dataset, rows: pd.DataFrame) -> None:
    rows.nucleus.annotate(dataset)
    found = dataset.annotations.to_frame()
    assert "class_pdf" not in found
    assert details_of(found, DETAILS[1:]) == [said[1:] for said in SAID]
    assert "class_pdf" not in dataset.refloc("a.jpg")["annotations"][0]


def test_sending_again_changes_nothing_and_an_update_replaces(run: npd.ModelRun, rows: pd.DataFrame) -> None:
    rows.nucleus.predict(run)
    assert rows.drop(columns=DETAILS).nucleus.predict(run).predictions_ignored == 3
    assert details_of(run.predictions.to_frame()) == SAID
    rows.assign(task_id="other", class_pdf=None).nucleus.predict(run, if_exists="update")
    assert run.predictions.to_frame()["task_id"].tolist() == ["other"] * 3
    assert run.predictions.to_frame()["class_pdf"].isna().all()


def test_what_a_committed_run_says_is_frozen(run: npd.ModelRun, rows: pd.DataFrame) -> None:
    rows.nucleus.predict(run)
    run.commit()
    assert rows.nucleus.predict(run, if_exists="update").predictions_ignored == 3
    with pytest.raises(npd.FrozenRunError):
        rows.assign(task_id="other").nucleus.predict(run, if_exists="update")


CHANCES = [{"car": 0.75, "bus": 0.25}, None, {"bus": 1.0}]
VECTORS = [[0.5, -2.0], None, [1.0]]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(CHANCES),
        pd.Series(['{"car": 0.75, "bus": 0.25}', None, '{"bus": 1}']),
        pd.Series([{"car": np.float32(0.75), "bus": 0.25, "van": np.nan}, np.nan, {"bus": 1}]),
        pd.Series(CHANCES, dtype=pd.ArrowDtype(pa.struct([("car", pa.float32()), ("bus", pa.float32())]))),
        pd.Series(
            pd.arrays.ArrowExtensionArray(
                pa.array([list(one.items()) if one else None for one in CHANCES], pa.map_(pa.string(), pa.float64()))
            )
        ),
    ],
    ids=["dicts", "JSON", "NumPy", "structs", "maps"],
)
def test_class_probabilities_come_in_many_forms(run: npd.ModelRun, rows: pd.DataFrame, column: Any) -> None:
    rows.assign(class_pdf=column).nucleus.predict(run)
    assert details_of(run.predictions.to_frame(), ["class_pdf"]) == [[one] for one in CHANCES]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(VECTORS),
        pd.Series(["[0.5, -2]", pd.NA, "[1]"]),
        pd.Series([np.array([0.5, -2], np.float32), None, np.array([1])]),
        pd.Series([(np.float64(0.5), -2), None, [1]]),
        pd.Series(VECTORS, dtype=pd.ArrowDtype(pa.list_(pa.float32()))),
    ],
    ids=["lists", "JSON", "arrays", "tuples", "Arrow"],
)
def test_embeddings_come_in_many_forms(dataset: npd.Dataset, rows: pd.DataFrame, column: Any) -> None:
    rows.assign(embedding_vector=column).nucleus.annotate(dataset)
    assert details_of(dataset.annotations.to_frame(), ["embedding_vector"]) == [[one] for one in VECTORS]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("class_pdf", {"car": 1.5}, "<= 1"),
        ("class_pdf", {"car": "much"}, "got `str`"),
        ("class_pdf", {7: 0.5}, "JSON keys are text"),
        ("class_pdf", 0.5, "it is a dict of labels"),
        ("class_pdf", "car", "It is not valid JSON"),
        ("task_id", 7.0, r"\.astype\('Int64'\)"),
        ("track_reference_id", True, "ids and labels are text"),
        ("embedding_vector", [1, "two"], r"got `str` - at `\$\[1\]`"),
        ("embedding_vector", [np.inf], "JSON has no inf"),
        ("embedding_vector", np.array([np.nan]), "JSON has no nan"),
        ("embedding_vector", {"a": 1}, "it is a list of numbers"),
        ("embedding_vector", [[1.0]], "got `array`"),
    ],
)
def test_what_they_cannot_be_is_told_by_row_and_column(
    run: npd.ModelRun, rows: pd.DataFrame, name: str, value: Any, reason: str
) -> None:
    bad = rows.assign(**{name: pd.Series([None, value, None], dtype=object)}).set_axis(["one", "two", "three"])
    found = bad.nucleus.check("predictions")
    assert found[["row", "column"]].to_numpy().tolist() == [[1, name]]
    with pytest.raises(npd.InvalidInputError, match=f"row 'two'.*{name}.*{reason}"):
        bad.nucleus.predict(run)
    assert len(run.predictions) == 0


def test_a_column_may_be_metadata_instead(dataset: npd.Dataset, rows: pd.DataFrame) -> None:
    rows.assign(task_id=[1.5, 2.5, 3.5]).nucleus.annotate(dataset, metadata=["task_id"])
    found = dataset.annotations.to_frame()
    assert found["task_id"].isna().all()
    assert found["metadata"].tolist() == [{"task_id": 1.5}, {"task_id": 2.5}, {"task_id": 3.5}]


def test_names_are_mapped_and_a_level_of_the_index_is_one(dataset: npd.Dataset, rows: pd.DataFrame) -> None:
    own = rows.rename(columns={"embedding_vector": "features"}).assign(track_reference_id=[1, 2, 3])
    own.set_index("track_reference_id").nucleus.annotate(dataset, columns={"embedding_vector": "features"})
    found = dataset.annotations.to_frame()
    assert found["track_reference_id"].tolist() == ["1", "2", "3"]
    assert details_of(found, ["embedding_vector"]) == [[said[3]] for said in SAID]


def test_they_travel_through_parquet(local: npd.NucleusClient, tmp_path: Path, rows: pd.DataFrame) -> None:
    dataset, other = local.create_dataset("From"), local.create_dataset("To")
    for one in (dataset, other):
        one.append([{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in ("a.jpg", "b.jpg")])
    rows.nucleus.predict(dataset.create_model_run(local.add_model("Detector", "det")))
    files = dataset.to_parquet(tmp_path / "export", what=["predictions"])
    run = other.create_model_run(local.add_model("Detector", "det"))
    npd.import_parquet(files["path"][0], other, "predictions", run=run)
    assert details_of(run.predictions.to_frame()) == SAID
    # A list of numbers is one embedding a row, not a number for each box of an image.
    pd.DataFrame(
        {
            "reference_id": ["a.jpg"],
            "bbox": [[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]],
            "label": [["car", "bus"]],
            "embedding_vector": [[0.5, 1.5, 2.5]],
        }
    ).to_parquet(tmp_path / "lists.parquet")
    npd.import_parquet(tmp_path / "lists.parquet", other, "annotations", bbox="bbox", bbox_format="xywh")
    assert details_of(other.annotations.to_frame(), ["embedding_vector"]) == [[[0.5, 1.5, 2.5]]] * 2


@pytest.mark.parametrize(
    ("query", "images"),
    [
        ('predictions.task_id = "12"', ["a.jpg"]),
        ('predictions.track_reference_id like "track%"', ["a.jpg"]),
        ("predictions.class_pdf.car > 0.5", ["a.jpg"]),
        ('predictions.class_pdf."läke" = 1', ["b.jpg"]),
        ('predictions[class_pdf.bus < 0.5 and label = "car"]', ["a.jpg"]),
        ("predictions.class_pdf.van > 0", []),
        ('predictions[task_id is null].count = 1 and reference_id = "a.jpg"', ["a.jpg"]),
    ],
)
def test_they_are_asked_for_in_queries(
    run: npd.ModelRun, dataset: npd.Dataset, rows: pd.DataFrame, query: str, images: list[str]
) -> None:
    rows.nucleus.predict(run)
    assert dataset.query(query)["reference_id"].tolist() == images


def test_predictions_are_found_by_them(run: npd.ModelRun, dataset: npd.Dataset, rows: pd.DataFrame) -> None:
    rows.nucleus.predict(run)
    rows.nucleus.annotate(dataset)
    found = dataset.query('class_pdf.car + 0.25 = 1 and task_id = "12"', "predictions", run=run)
    assert details_of(found) == [SAID[0]]
    assert details_of(dataset.query('track_reference_id = ""', "annotations"), DETAILS[1:]) == [SAID[2][1:]]
    with pytest.raises(npd.BadRequestError, match=r"A label is needed: class_pdf\.car"):
        dataset.query("class_pdf > 0", "predictions", run=run)
    with pytest.raises(npd.BadRequestError, match="There is no field 'embedding_vector'"):
        dataset.query("embedding_vector is null", "predictions", run=run)
