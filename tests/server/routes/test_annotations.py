"""Ground truth over plain HTTP: sent, read, deleted."""

from __future__ import annotations

import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import MASK_URL, SQUARE, box
from tests.support.contract_requests import (
    GEOMETRIES,
    JOB,
    Api,
    by_type,
    category,
    finished,
    mask,
    mask_bytes,
    mask_of,
    multipart,
    new_dataset,
    new_run,
    serialized,
    shape,
)

# Annotate


def test_annotate_counts(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    made = anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box("a.jpg"), box("b.jpg")], "update": False})
    assert made == {"dataset_id": dataset, "annotations_processed": 2, "annotations_ignored": 0}


def test_the_seeds_annotations_need_neither_id_nor_update(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    made = anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(), box(label="van")]})
    assert made["annotations_processed"] == 2


def test_annotations_without_id_sent_again_are_ignored(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    body = {"annotations": [box(), box(), shape("polygon")]}
    anywhere.post(f"dataset/{dataset}/annotate", body)
    again = anywhere.post(f"dataset/{dataset}/annotate", body)
    assert (again["annotations_processed"], again["annotations_ignored"]) == (0, 3)


def test_annotations_without_id_get_one(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    assert by_type(api, dataset)["box"][0]["annotation_id"]


def test_annotations_name_their_item_by_item_id_too(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    one = box()
    one["item_id"] = api.get(f"dataset/{dataset}/iloc/0")["item"]["id"]
    del one["reference_id"]
    api.post(f"dataset/{dataset}/annotate", {"annotations": [one]})
    assert by_type(api, dataset)["box"][0]["reference_id"] == "a.jpg"


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory", "mask"])
def test_every_type_is_read_back_under_its_key(anywhere: Api, kind: str) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    filled = {key: len(found) for key, found in by_type(anywhere, dataset).items() if found}
    assert filled == {"segmentation" if kind == "mask" else kind: 1}


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory", "mask"])
def test_every_annotation_holds_type_and_names(api: Api, kind: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    ((found,),) = filter(None, by_type(api, dataset).values())
    assert (found["type"], found["reference_id"], found["id"][:4]) == (kind, "a.jpg", "ann_")


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_every_geometry_is_read_back(api: Api, kind: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    assert by_type(api, dataset)[kind][0]["geometry"] == GEOMETRIES[kind]


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_every_label_is_read_back(api: Api, kind: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind)]})
    assert by_type(api, dataset)[kind][0]["label"] == "thing"


def test_the_labels_of_a_multicategory_are_read_back(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape("multicategory")]})
    assert by_type(api, dataset)["multicategory"][0]["labels"] == ["rain"]


@pytest.mark.parametrize("key", ["annotations", "segmentations"])
def test_a_mask_is_read_back(api: Api, key: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {key: [mask()]})
    (found,) = by_type(api, dataset)["segmentation"]
    assert (found["mask_url"], found["annotations"]) == (MASK_URL, mask()["annotations"])


@pytest.mark.parametrize("kind", [*GEOMETRIES, "multicategory"])
@pytest.mark.parametrize("metadata", [{}, None, {"k": [1, {"ü": None}]}])
def test_every_types_metadata_is_read_back(api: Api, kind: str, metadata: object) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [shape(kind, metadata=metadata)]})
    assert by_type(api, dataset)[kind][0]["metadata"] == (metadata or {})


@pytest.mark.parametrize("name", ["track_reference_id", "task_id"])
def test_what_an_annotation_refers_to_is_read_back(api: Api, name: str) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box(**{name: "t1"})]})
    assert by_type(api, dataset)["box"][0][name] == "t1"


def test_annotations_are_read_back_in_the_order_of_their_arrival(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for name in ("z", "a", "m"):
        api.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id=name)]})
    assert [one["annotation_id"] for one in by_type(api, dataset)["box"]] == ["z", "a", "m"]


def test_an_annotation_that_is_there_is_left_alone(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    for label in ("car", "van"):
        anywhere.post(
            f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1", label=label)], "update": False}
        )
    assert by_type(anywhere, dataset)["box"][0]["label"] == "car"


def test_an_annotation_that_is_there_counts_as_ignored(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    body = {"annotations": [box(annotation_id="1")], "update": False}
    api.post(f"dataset/{dataset}/annotate", body)
    again = api.post(f"dataset/{dataset}/annotate", body)
    assert (again["annotations_processed"], again["annotations_ignored"]) == (0, 1)


def test_an_update_of_an_annotation_counts_as_processed(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    body = {"annotations": [box(annotation_id="1")], "update": True}
    api.post(f"dataset/{dataset}/annotate", body)
    again = api.post(f"dataset/{dataset}/annotate", body)
    assert (again["annotations_processed"], again["annotations_ignored"]) == (1, 0)


def test_an_update_replaces_the_whole_annotation(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    old = box(annotation_id="1", metadata={"old": 1}, task_id="t")
    new = {**shape("polygon"), "annotation_id": "1", "label": "road", "metadata": {"new": 1}}
    for one in (old, new):
        anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [one], "update": True})
    ((found,),) = filter(None, by_type(anywhere, dataset).values())
    assert (found["type"], found["label"], found["metadata"], found.get("task_id")) == (
        "polygon",
        "road",
        {"new": 1},
        None,
    )


def test_an_annotation_id_counts_within_its_item(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg", "b.jpg")
    body = {"annotations": [box("a.jpg", annotation_id="1"), box("b.jpg", annotation_id="1")]}
    assert api.post(f"dataset/{dataset}/annotate", body)["annotations_processed"] == 2


def test_an_unknown_item_is_no_http_error(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    made = anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box("nobody.jpg"), box()], "update": False})
    assert (made["annotations_processed"], made["annotations_ignored"]) == (1, 0)


@pytest.mark.parametrize("key", ["reference_id", "item_id"])
def test_an_unknown_item_is_named_among_the_errors(api: Api, key: str) -> None:
    one = {"label": "car", "type": "box", "geometry": SQUARE, key: "nobody"}
    (error,) = api.post(f"dataset/{new_dataset(api)}/annotate", {"annotations": [one]})["errors"]
    assert "nobody" in error


def test_an_item_of_another_dataset_is_an_unknown_item(api: Api) -> None:
    foreign = api.get(f"dataset/{new_dataset(api, 'a.jpg')}/iloc/0")["item"]["id"]
    one = {"label": "car", "type": "box", "geometry": SQUARE, "item_id": foreign}
    assert api.post(f"dataset/{new_dataset(api)}/annotate", {"annotations": [one]})["errors"]


def test_no_errors_are_no_key(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    assert "errors" not in api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})


@pytest.mark.parametrize("update", [False, True])
def test_an_item_keeps_one_mask(anywhere: Api, update: bool) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    for name in ("one", "two"):
        anywhere.post(f"dataset/{dataset}/annotate", {"segmentations": [mask(annotation_id=name)], "update": update})
    found = [one["annotation_id"] for one in by_type(anywhere, dataset)["segmentation"]]
    assert found == ["two" if update else "one"]


def test_an_item_keeps_one_category_of_a_taxonomy(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for label in ("rain", "sun"):
        api.post(f"dataset/{dataset}/annotate", {"annotations": [category(label, "weather")], "update": False})
    assert [one["label"] for one in by_type(api, dataset)["category"]] == ["rain"]


def test_an_update_replaces_the_category_of_a_taxonomy(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    for label in ("rain", "sun"):
        api.post(f"dataset/{dataset}/annotate", {"annotations": [category(label, "weather")], "update": True})
    assert [one["label"] for one in by_type(api, dataset)["category"]] == ["sun"]


def test_categories_of_two_taxonomies_stand_together(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    body = {"annotations": [category("rain", "weather"), category("night", "daytime")]}
    api.post(f"dataset/{dataset}/annotate", body)
    found = {one["taxonomy_name"]: one["label"] for one in by_type(api, dataset)["category"]}
    assert found == {"weather": "rain", "daytime": "night"}


def test_one_annotation_is_found_by_its_names(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(annotation_id="1"), box(annotation_id="2")]})
    found = anywhere.get(f"dataset/{dataset}/groundTruth/loc/a.jpg/2")
    assert (found["type"], found["annotation_id"], found["reference_id"]) == ("box", "2", "a.jpg")


def test_one_mask_is_found_by_its_names(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"segmentations": [mask(annotation_id="m")]})
    assert api.get(f"dataset/{dataset}/groundTruth/loc/a.jpg/m")["mask_url"] == MASK_URL


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"annotations": [box(), box(confidence=1.2)]}, "$.annotations[1].confidence"),
        ({"annotations": [box(), box(geometry={**SQUARE, "x": "1"})]}, "$.annotations[1].geometry.x"),
        ({"annotations": [box(), box(geometry={**SQUARE, "width": -1})]}, "$.annotations[1].geometry.width"),
        ({"annotations": [box(), box(type="blob")]}, "$.annotations[1].type"),
        ({"annotations": [box(), box(item_id="di_1")]}, "$.annotations[1]"),
        ({"annotations": [box(), box(reference_id=None)]}, "$.annotations[1]"),
        ({"annotations": {"0": box()}}, "$.annotations"),
        ({"segmentations": [mask(mask_url="")]}, "$.segmentations[0].mask_url"),
        ({"segmentations": [mask(reference_id=None)]}, "$.segmentations[0]"),
        ({"annotations": [], "update": "yes"}, "$.update"),
    ],
)
def test_a_wrong_annotation_is_refused_where_it_stands(api: Api, body: object, place: str) -> None:
    answer = api.call("POST", f"dataset/{new_dataset(api, 'a.jpg')}/annotate", body)
    assert (answer.status, place in answer.json["error"]) == (400, True), answer


def test_of_refused_annotations_nothing_is_stored(api: Api) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.call("POST", f"dataset/{dataset}/annotate", {"annotations": [box(), box(confidence=2)]})
    assert by_type(api, dataset)["box"] == []


def test_annotations_go_into_a_dataset_that_is_there(api: Api) -> None:
    assert api.status("POST", "dataset/ds_0/annotate", {"annotations": [box()]}) == 404


# Deleting ground truth


def test_the_deletion_of_annotations_is_a_job(anywhere: Api) -> None:
    dataset = new_dataset(anywhere, "a.jpg", "b.jpg")
    anywhere.post(f"dataset/{dataset}/annotate", {"annotations": [box(), shape("line"), box("b.jpg")]})
    job = anywhere.delete(f"annotation/{dataset}", {"keep_history": True, "reference_ids": ["a.jpg", "no", "a.jpg"]})
    assert (set(job), job["job_type"]) == (JOB, "annotationDeletion")
    assert finished(anywhere, job)["message"] == {"annotations_deleted": 2}
    assert anywhere.get(f"job/{job['job_id']}/errors") == ["Item with id no doesn't exist."]
    assert not any(by_type(anywhere, dataset, "a.jpg").values())
    assert len(by_type(anywhere, dataset, "b.jpg")["box"]) == 1


def test_the_deletion_of_annotations_leaves_predictions_and_other_datasets_alone(api: Api) -> None:
    dataset, other = new_dataset(api, "a.jpg"), new_dataset(api, "a.jpg")
    for name in (dataset, other):
        api.post(f"dataset/{name}/annotate", {"annotations": [box()]})
    run = new_run(api, dataset, box())
    api.delete(f"annotation/{dataset}", {"reference_ids": ["a.jpg"]})
    assert len(api.get(f"modelRun/{run}/ungrouped")["box"]) == len(by_type(api, other)["box"]) == 1


def test_a_deleted_mask_takes_its_file_along(empty: Api, nucleus: EmbeddedNucleus) -> None:
    dataset = new_dataset(empty, "a.jpg")
    empty.ok("POST", f"dataset/{dataset}/annotate", *multipart(serialized(mask()), mask_of(mask_bytes())))
    assert [path for path in nucleus.masks.folder.rglob("*") if path.is_file()]
    empty.delete(f"annotation/{dataset}", {"reference_ids": ["a.jpg"]})
    assert not [path for path in nucleus.masks.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("body", [{}, {"reference_ids": []}, {"reference_ids": "a.jpg"}])
def test_a_deletion_of_annotations_names_its_items(api: Api, body: object) -> None:
    dataset = new_dataset(api, "a.jpg")
    api.post(f"dataset/{dataset}/annotate", {"annotations": [box()]})
    assert api.status("DELETE", f"annotation/{dataset}", body) == 400
    assert len(by_type(api, dataset)["box"]) == 1
