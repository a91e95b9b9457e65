"""Every type of annotation as a frame: one content has one id, whoever computes it and however it travels."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import nucleus_pandas as npd
from nucleus_pandas.views import AnnotationsView
from tests.support.contract_only import contract_only
from tests.support.every_type import fill, without_ids
from tests.support.private import send_request


def as_arrow(frame: pd.DataFrame) -> pd.DataFrame:
    """Shapes as structs of Arrow, each with the fields of all."""
    table = pa.Table.from_pandas(frame.drop(columns=["metadata", "class_pdf"], errors="ignore"), preserve_index=False)
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def as_json(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(geometry=[None if shape is None else json.dumps(shape) for shape in frame["geometry"]])


def as_payloads(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as the objects of the contract."""
    found = []
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        sides, shape = {side: row[side] for side in ("x", "y", "width", "height")}, row["geometry"]
        names = ("reference_id", "type", "label", "annotation_id", "metadata", "confidence")
        one = {name: row[name] for name in names if row.get(name) is not None}
        if row["type"] in ("mask", "category", "multicategory"):
            one |= shape
        else:
            one["geometry"] = shape or sides
        found.append(one)
    return found


FORMS: list[Callable[[pd.DataFrame], Any]] = [pd.DataFrame.copy, as_arrow, as_json, as_payloads]


@pytest.fixture
def filled(client: npd.NucleusClient) -> npd.Dataset:
    """A dataset with rows of every kind, and a run."""
    return fill(client)


def views(filled: npd.Dataset) -> list[tuple[AnnotationsView, Any]]:
    """What there is, and what sends it."""
    run = filled.model_runs[0]
    return [(filled.annotations, filled.annotate), (run.predictions, run.predict)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("extensions", [True, False], ids=["extensions", "contract"])
def test_what_comes_back_has_the_id_that_its_content_gives(
    client: npd.NucleusClient, filled: npd.Dataset, form: Callable[[pd.DataFrame], Any], *, extensions: bool
) -> None:
    if not extensions:
        contract_only(client)
    for view, send in views(filled):
        frame = view.to_frame()
        result = send(form(frame.drop(columns="annotation_id")))
        assert set(result.rows["status"]) == {"ignored"}
        pd.testing.assert_frame_equal(view.to_frame(), frame)


@pytest.mark.parametrize("layer", [0, 1], ids=["annotations", "predictions"])
def test_a_server_that_computes_the_id_computes_the_same(
    client: npd.NucleusClient, filled: npd.Dataset, layer: int
) -> None:
    other = client.create_dataset("Other")
    filled.items.to_frame().nucleus.append(other)
    run = other.create_model_run(client.get_model(filled.model_runs[0]["model_id"]))
    frame = views(filled)[layer][0].to_frame()
    route = ("dataset", other.id, "annotate") if layer == 0 else ("modelRun", run.id, "predict")
    body = {"annotations": as_payloads(frame.drop(columns="annotation_id"))}
    send_request(client, "POST", *route, body=body)
    there = (other.annotations if layer == 0 else run.predictions).to_frame()
    kept = [name for name in frame if name not in ("class_pdf", "track_reference_id", "task_id", "embedding_vector")]
    pd.testing.assert_frame_equal(without_ids(there[kept]), without_ids(frame[kept]))


def test_every_reader_gives_the_same_rows(client: npd.NucleusClient, filled: npd.Dataset) -> None:
    def sorted_by_id(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values(["reference_id", "annotation_id"], ignore_index=True)

    pieces = [view.refloc[filled.items.to_frame()["reference_id"].tolist()] for view, _ in views(filled)]
    wholes = [view.to_frame() for view, _ in views(filled)]
    some_slice = filled.create_slice("all", filled.items.to_frame())
    contract_only(client)
    for number, (view, _) in enumerate(views(filled)):
        whole = wholes[number]
        for other in (pieces[number], view.to_frame(), view.loc[filled.items.to_frame().index.tolist()]):
            pd.testing.assert_frame_equal(sorted_by_id(other), sorted_by_id(whole))
    for view, whole in ((some_slice.annotations, wholes[0]), (some_slice.predictions(filled.model_runs[0]), wholes[1])):
        pd.testing.assert_frame_equal(sorted_by_id(view.to_frame()), sorted_by_id(whole))


def test_the_taxonomy_of_a_category_may_stand_in_a_column(dataset: npd.Dataset) -> None:
    dataset.add_taxonomy("weather", ["rainy", "sunny"])
    rows = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "type": "category", "label": ["rainy", "sunny"]})
    rows.assign(taxonomy_name="weather").nucleus.annotate(dataset)
    assert dataset.annotations.to_frame()["geometry"].tolist() == [{"taxonomy_name": "weather"}] * 2
    own = rows.assign(geometry=[{"taxonomy_name": "weather"}] * 2, mine=pd.Categorical(["weather", None]))
    again = own.nucleus.annotate(dataset, columns={"taxonomy_name": "mine"})
    assert again.annotations_ignored == 2
    with pytest.raises(npd.UploadError, match="the taxonomy 'light' does not exist"):
        rows.assign(taxonomy_name="light").nucleus.annotate(dataset)
    both = own.assign(taxonomy_name=["weather", "light"])
    with pytest.raises(npd.InvalidInputError, match=r"row 1.*geometry.*'weather'.*says 'light'"):
        both.nucleus.annotate(dataset)
    with pytest.raises(npd.InvalidInputError, match="taxonomy_name.*is the number"):
        rows.assign(taxonomy_name=[1.5, None]).nucleus.annotate(dataset)


def test_a_column_of_taxonomies_means_nothing_to_other_types(dataset: npd.Dataset) -> None:
    rows = pd.DataFrame(
        {
            "reference_id": "a.jpg",
            "type": ["box", "multicategory", "category"],
            "label": ["car", None, "wet"],
            "taxonomy_name": pd.Series([1.5, "t", None], dtype=object),
            "geometry": [None, {"labels": ["x", "y"]}, None],
        }
    ).assign(**dict.fromkeys(["x", "y", "width", "height"], 5.0))
    rows.nucleus.annotate(dataset)
    found = dataset.annotations.to_frame()["geometry"].tolist()
    assert found == [None, {"labels": ["x", "y"], "taxonomy_name": "t"}, {}]


def test_a_type_that_no_prediction_has_is_told_before_its_label_is_missed(dataset: npd.Dataset) -> None:
    rows = pd.DataFrame({"reference_id": ["a.jpg"], "type": "multicategory", "geometry": [{"labels": ["x"]}]})
    found = rows.nucleus.check("predictions")
    assert found["column"].tolist() == ["type"]
    assert "which predictions cannot be" in found["reason"].iloc[0]


@pytest.mark.parametrize(
    ("kind", "geometry", "unknown"),
    [
        ("polygon", {"vertices": [{"x": 0, "y": 0}], "holes": []}, "holds holes; that of a polygon holds vertices"),
        ("keypoints", {"keypoints": [], "names": [], "edges": [[0, 1]]}, "holds edges"),
        ("cuboid", {"position": {}, "dimensions": {}, "yaw": 0.5, "pitch": 0.5}, "holds pitch"),
        ("category", {"taxonomy": "weather"}, "holds taxonomy; that of a category holds taxonomy_name"),
        ("mask", {"mask_url": "https://e.org/m.png", "segments": []}, "holds segments"),
    ],
)
def test_what_a_shape_does_not_have_is_refused_instead_of_lost(
    dataset: npd.Dataset, kind: str, geometry: dict[str, Any], unknown: str
) -> None:
    rows = pd.DataFrame({"reference_id": ["a.jpg"], "label": "x", "type": kind, "geometry": [geometry]})
    with pytest.raises(npd.InvalidInputError, match=f"row 0.*geometry.*{unknown}"):
        rows.nucleus.annotate(dataset)


def test_images_without_shapes_in_a_joint_frame_are_skipped(dataset: npd.Dataset) -> None:
    shapes = pd.DataFrame({"reference_id": ["a.jpg"], "label": "lake", "type": "polygon"})
    shapes["geometry"] = [{"vertices": [{"x": 0, "y": 0}, {"x": 9, "y": 0}, {"x": 0, "y": 9}]}]
    joint = pd.DataFrame({"reference_id": ["b.jpg", "a.jpg"]}).merge(shapes, on="reference_id", how="left")
    assert joint.nucleus.annotate(dataset).rows["status"].tolist() == ["skipped", "new"]
    assert len(joint.iloc[:1].nucleus.check("annotations")) == 0
    for column, value in (("type", "box"), ("geometry", {"vertices": []})):  # these are more than nothing
        wrong = joint.assign(**{column: pd.Series([value, joint[column][1]], dtype=object)})
        with pytest.raises(npd.InvalidInputError, match="Column 'x' not found"):
            wrong.nucleus.annotate(dataset)


@pytest.mark.parametrize("kind", ["annotations", "predictions"])
def test_a_second_mask_of_an_item_is_refused_instead_of_lost(dataset: npd.Dataset, kind: Any) -> None:
    shape = {"mask_url": "https://e.org/m.png", "annotations": [{"label": "sky", "index": 1}]}
    rows = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg", "a.jpg"], "type": "mask", "geometry": [shape] * 3})
    found = rows.assign(annotation_id=["1", "2", "3"]).nucleus.check(kind)
    assert found[["row", "column"]].to_numpy().tolist() == [[2, "type"]]
    assert "as in row 0 for the same item, and Nucleus keeps one mask per item" in found["reason"].iloc[0]
    assert rows.nucleus.annotate(dataset, on_error="collect").annotations_processed == 2
