"""What a dataset asks of its rows: labels of taxonomies, types of metadata, sizes in privacy mode; and its tags."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import TRIANGLE, box, item
from tests.http import Http

SCHEMA = {
    "weather": {"type": "category", "choices": ["rain", "sun"], "description": "as the driver saw it"},
    "camera": {"type": "category"},
    "hour": {"type": "number"},
    "note": {"type": "text"},
    "anything": {"type": "json"},
}
FITS: list[dict[str, Any]] = [
    {},
    {"weather": "rain", "camera": "left", "hour": 7, "note": "ü", "anything": [1, {"a": None}]},
    {"hour": 7.5, "anything": "text", "unknown to the schema": True},
    {"weather": None, "camera": None, "hour": None, "note": None, "anything": None},
]
BREAKS: list[tuple[dict[str, Any], str]] = [
    ({"weather": "snow"}, "'a': its metadata `weather` must be one of 'rain', 'sun', not 'snow'."),
    ({"weather": 1}, "'a': its metadata `weather` must be one of 'rain', 'sun', not 1."),
    ({"camera": 1}, "'a': its metadata `camera` must be a string, not 1."),
    ({"hour": "seven"}, "'a': its metadata `hour` must be a number, not 'seven'."),
    ({"hour": True}, "'a': its metadata `hour` must be a number, not True."),
    ({"hour": 7, "note": ["a"]}, "'a': its metadata `note` must be a string, not ['a']."),
]
every_break = pytest.mark.parametrize(("metadata", "reason"), BREAKS, ids=[str(metadata) for metadata, _ in BREAKS])


def category(label: str, taxonomy: str | None = "weather", name: str = "a", **fields: Any) -> dict[str, Any]:
    made = {"type": "category", "label": label, "reference_id": name, "geometry": {}, **fields}
    return made if taxonomy is None else {**made, "taxonomy_name": taxonomy}


def several(labels: list[str], taxonomy: str = "signs", name: str = "a") -> dict[str, Any]:
    return {"type": "multicategory", "labels": labels, "reference_id": name, "taxonomy_name": taxonomy}


def new_dataset(http: Http, *names: str, **fields: Any) -> str:
    made: str = http("POST", "dataset/create", {"name": "Streets", **fields})["dataset_id"]
    http("POST", f"dataset/{made}/append", {"items": [item(name) for name in names]})
    return made


def add_taxonomy(http: Http, dataset: str, name: str, labels: list[str], **fields: Any) -> Any:
    body = {"taxonomy_name": name, "type": "category", "labels": labels, **fields}
    return http("POST", f"dataset/{dataset}/add_taxonomy", body)


def new_run(http: Http, dataset: str, **fields: Any) -> str:
    model = http("POST", "models/add", {"name": "M", "reference_id": "m"})["model_id"]
    made: str = http("POST", f"dataset/{dataset}/modelRun/create", {"model_id": model, **fields})["model_run_id"]
    return made


def labels(http: Http, route: str, kind: str = "category", key: str = "label") -> list[Any]:
    return [one[key] for one in http("GET", route)["annotations"][kind]]


def upload(http: Http, dataset: str, route: str, *rows: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Send rows as a signed upload; return the status of its job, and its errors."""
    request_id = uuid.uuid4().hex
    signed = http("GET", f"dataset/{dataset}/signedUrl/{request_id}")["signed_url"]
    text = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert http.client.put(signed, data=text).status_code == 200
    job = http("POST", f"{route}?async=1", {"requestId": request_id, "update": False})["job_id"]
    return http("GET", f"job/{job}"), http("GET", f"job/{job}/errors")


@pytest.fixture
def dataset(http: Http) -> str:
    """A dataset with a taxonomy of each type."""
    made = new_dataset(http, "a", "b")
    add_taxonomy(http, made, "weather", ["rain", "sun"])
    add_taxonomy(http, made, "signs", ["stop", "yield"], type="multicategory")
    return made


# Taxonomies


def test_a_taxonomy_is_made(http: Http) -> None:
    made = new_dataset(http)
    assert add_taxonomy(http, made, "weather", ["rain"]) == {
        "dataset_id": made,
        "taxonomy_name": "weather",
        "status": "Taxonomy created",
    }


def test_a_taxonomy_that_is_there_is_left_alone(http: Http, dataset: str) -> None:
    assert add_taxonomy(http, dataset, "weather", ["fog"])["status"] == "Taxonomy already exists"
    assert http("POST", f"dataset/{dataset}/annotate", {"annotations": [category("fog")]})["annotations_processed"] == 0


def test_a_taxonomy_grows_and_never_shrinks(http: Http, dataset: str) -> None:
    assert add_taxonomy(http, dataset, "weather", ["fog", "sun"], update=True)["status"] == "Taxonomy updated"
    rows = [category(label, name=name) for label, name in (("rain", "a"), ("fog", "b"))]
    assert http("POST", f"dataset/{dataset}/annotate", {"annotations": rows})["annotations_processed"] == 2


def test_a_taxonomy_keeps_its_type(http: Http, dataset: str) -> None:
    body = {"taxonomy_name": "weather", "type": "multicategory", "labels": ["fog"], "update": True}
    assert "cannot become multicategory" in http.refused("POST", f"dataset/{dataset}/add_taxonomy", body, 409)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "box"},
        {"type": None},
        {"labels": None},
        {"labels": "rain"},
        {"labels": [1]},
        {"labels": [""]},
        {"taxonomy_name": ""},
        {"taxonomy_name": None},
        {"update": "yes"},
    ],
    ids=str,
)
def test_a_wrong_taxonomy_is_refused(http: Http, dataset: str, change: dict[str, Any]) -> None:
    body = {"taxonomy_name": "new", "type": "category", "labels": ["a"], **change}
    http.refused("POST", f"dataset/{dataset}/add_taxonomy", body, 400)
    http.refused("DELETE", f"dataset/{dataset}/taxonomy/new", {}, 404)


def test_taxonomies_belong_to_their_dataset(http: Http, dataset: str) -> None:
    other = new_dataset(http, "a")
    add_taxonomy(http, other, "weather", ["fog"])
    assert http("POST", f"dataset/{other}/annotate", {"annotations": [category("fog")]})["annotations_processed"] == 1
    assert "errors" in http("POST", f"dataset/{dataset}/annotate", {"annotations": [category("fog")]})


WRONG: list[tuple[dict[str, Any], str]] = [
    (category("fog"), "'a': the taxonomy 'weather' has no label 'fog'; it has 'rain', 'sun'."),
    (category("rain", "light"), "'a': the taxonomy 'light' does not exist; the dataset has 'signs', 'weather'."),
    (category("stop", "signs"), "'a': the taxonomy 'signs' is of type multicategory, not category."),
    (several(["stop", "slow"]), "'a': the taxonomy 'signs' has no label 'slow'; it has 'stop', 'yield'."),
    (several(["rain"], "weather"), "'a': the taxonomy 'weather' is of type category, not multicategory."),
]


@pytest.mark.parametrize(("row", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_a_label_that_no_taxonomy_has_is_refused_and_the_others_are_stored(
    http: Http, dataset: str, row: dict[str, Any], reason: str
) -> None:
    sent = {"annotations": [row, box("a"), category("rain", name="b")]}
    answer = http("POST", f"dataset/{dataset}/annotate", sent)
    assert answer == {
        "dataset_id": dataset,
        "annotations_processed": 2,
        "annotations_ignored": 0,
        "errors": [reason],
    }
    assert labels(http, f"dataset/{dataset}/refloc/a") == []
    assert labels(http, f"dataset/{dataset}/refloc/b") == ["rain"]


@pytest.mark.parametrize("row", [row for row, _ in WRONG if row["type"] == "category"], ids=str)
def test_predictions_follow_the_taxonomies_of_their_dataset(http: Http, dataset: str, row: dict[str, Any]) -> None:
    run = new_run(http, dataset)
    answer = http("POST", f"modelRun/{run}/predict", {"annotations": [row, category("rain", name="b")]})
    assert (answer["predictions_processed"], len(answer["errors"])) == (1, 1)


def test_predictions_of_a_run_that_spans_datasets_follow_the_taxonomies_of_each(http: Http, dataset: str) -> None:
    other = new_dataset(http, "a")
    model = http("POST", "models/add", {"name": "M", "reference_id": "m"})["model_id"]
    run = http("POST", f"model/{model}/modelRun/create", {})["model_run_id"]
    rows = [category("fog", dataset_id=one) for one in (dataset, other)]
    answer = http("POST", f"modelRun/{run}/uploadPredictions", {"annotations": rows})
    assert (answer["predictions_processed"], len(answer["errors"])) == (1, 1)


@pytest.mark.parametrize("row", [category("anything", None), several(["yield", "stop"]), several([])], ids=str)
def test_labels_that_break_no_rule_are_stored(http: Http, dataset: str, row: dict[str, Any]) -> None:
    assert "errors" not in http("POST", f"dataset/{dataset}/annotate", {"annotations": [row]})


def test_a_dataset_without_taxonomies_takes_every_label(http: Http) -> None:
    made = new_dataset(http, "a")
    answer = http("POST", f"dataset/{made}/annotate", {"annotations": [category("rain", "any")]})
    assert answer["annotations_processed"] == 1
    assert labels(http, f"dataset/{made}/refloc/a", key="taxonomy_name") == ["any"]


def test_a_signed_upload_of_unknown_labels_alone_fails(http: Http, dataset: str) -> None:
    status, errors = upload(http, dataset, f"dataset/{dataset}/annotate", category("fog"))
    assert (status["status"], status["message"]["final_error"], errors) == ("Errored", WRONG[0][1], [WRONG[0][1]])


def test_a_signed_upload_of_some_unknown_labels_fails_in_part(http: Http, dataset: str) -> None:
    status, errors = upload(http, dataset, f"dataset/{dataset}/annotate", category("fog"), box("a"), box("nobody"))
    assert (status["status"], status["message"]["final_error"]) == ("Errored_Partial", WRONG[0][1])
    assert status["message"]["annotation_upload"]["processed"] == 1
    assert sorted(errors) == [WRONG[0][1], "Item with id nobody doesn't exist."]


def test_one_category_of_a_taxonomy_is_kept_in_an_item(http: Http, dataset: str) -> None:
    for label, update in (("rain", False), ("sun", False), ("sun", True)):
        http("POST", f"dataset/{dataset}/annotate", {"annotations": [category(label)], "update": update})
    assert labels(http, f"dataset/{dataset}/refloc/a") == ["sun"]


@pytest.mark.parametrize("name", ["weather", "a/b", "a b?", "ends with/", "..", "ü"])
def test_a_deleted_taxonomy_takes_its_categories_along(http: Http, dataset: str, name: str) -> None:
    add_taxonomy(http, dataset, name, ["rain"])
    other = new_dataset(http, "a")
    run = new_run(http, dataset)
    rows = [category("rain", name), category("rain", None), several(["stop"]), box("a")]
    for route in (f"dataset/{dataset}/annotate", f"dataset/{other}/annotate"):
        http("POST", route, {"annotations": rows})
    http("POST", f"modelRun/{run}/predict", {"annotations": rows[:2]})
    segment = name.replace(" ", "%20").replace("?", "%3F").replace("..", "%2E%2E")
    assert http("DELETE", f"dataset/{dataset}/taxonomy/{segment}", {}) == {
        "dataset_id": dataset,
        "taxonomy_name": name,
        "status": "Taxonomy successfully deleted",
    }
    found = http("GET", f"dataset/{dataset}/refloc/a")["annotations"]
    assert [len(found[kind]) for kind in ("category", "multicategory", "box")] == [1, 1, 1]
    assert len(labels(http, f"modelRun/{run}/refloc/a")) == 1
    assert len(labels(http, f"dataset/{other}/refloc/a")) == 2
    http.refused("DELETE", f"dataset/{dataset}/taxonomy/{segment}", {}, 404)


def test_a_deleted_taxonomy_leaves_no_rule_behind(http: Http) -> None:
    made = new_dataset(http, "a")
    add_taxonomy(http, made, "weather", ["rain"])
    http("DELETE", f"dataset/{made}/taxonomy/weather", {})
    assert "errors" not in http("POST", f"dataset/{made}/annotate", {"annotations": [category("fog")]})


def test_a_deleted_dataset_takes_its_rules_along(http: Http, dataset: str) -> None:
    http("POST", f"dataset/{dataset}/tags", {"tags": ["a"]})
    http("DELETE", f"dataset/{dataset}", {})
    assert (http.table("taxonomy"), http.table("dataset_tag"), http.table("dataset")) == ([], [], [])


# Metadata schemas


@pytest.mark.parametrize("metadata", FITS, ids=str)
def test_metadata_that_fits_the_schema_is_stored(http: Http, metadata: dict[str, Any]) -> None:
    made = new_dataset(http, item_metadata_schema=SCHEMA, annotation_metadata_schema=SCHEMA)
    assert http("POST", f"dataset/{made}/append", {"items": [item("a", metadata=metadata)]})["new_items"] == 1
    http("POST", f"dataset/{made}/annotate", {"annotations": [box("a", metadata=metadata)]})
    found = http("GET", f"dataset/{made}/refloc/a")
    assert [found["item"]["metadata"], found["annotations"]["box"][0]["metadata"]] == [metadata, metadata]


@every_break
def test_an_item_whose_metadata_breaks_the_schema_is_refused(http: Http, metadata: dict[str, Any], reason: str) -> None:
    made = new_dataset(http, item_metadata_schema=SCHEMA)
    sent = {"items": [item("a", metadata=metadata), item("b", metadata={"hour": 7})]}
    answer = http("POST", f"dataset/{made}/append", sent)
    assert [answer[name] for name in ("new_items", "upload_errors")] == [1, 1]
    assert answer["error_payload"] == [{**sent["items"][0], "error": reason}]
    assert [one["reference_id"] for one in http("GET", f"dataset/{made}/datasetItems")["dataset_items"]] == ["b"]


@every_break
def test_an_update_that_breaks_the_schema_leaves_the_item_alone(
    http: Http, metadata: dict[str, Any], reason: str
) -> None:
    made = new_dataset(http, "a", item_metadata_schema=SCHEMA)
    sent = {"items": [item("a", metadata=metadata)], "update": True}
    assert http("POST", f"dataset/{made}/append", sent)["upload_errors"] == 1
    assert http("GET", f"dataset/{made}/refloc/a")["item"]["metadata"] == {}


@every_break
def test_an_annotation_whose_metadata_breaks_the_schema_is_refused(
    http: Http, metadata: dict[str, Any], reason: str
) -> None:
    made = new_dataset(http, "a", annotation_metadata_schema=SCHEMA)
    line = box("a", type="line", geometry=TRIANGLE)
    rows = [box("a", metadata=metadata), box("a", annotation_id="1"), {**line, "metadata": metadata}, line]
    answer = http("POST", f"dataset/{made}/annotate", {"annotations": rows})
    assert (answer["annotations_processed"], answer["errors"]) == (2, [reason, reason])


@every_break
def test_boxes_as_columns_follow_the_schema_too(http: Http, metadata: dict[str, Any], reason: str) -> None:
    made = new_dataset(http, "a", "b", annotation_metadata_schema=SCHEMA)
    columns: dict[str, Any] = {name: [1.0] * 3 for name in ("x", "y", "width", "height")}
    columns |= {"keys": ["a", "b", "c"], "annotation_id": ["1"] * 3, "label": ["car"] * 3}
    columns["metadata"] = [metadata, None, metadata]
    answer = http("POST", f"_nucleus_pandas/dataset/{made}/annotate", {"boxes": columns})
    assert answer["outcomes"] == [["error", 1], ["new", 1], ["error", 1]]
    assert answer["row_errors"] == [[0, reason], [2, "Item with id c doesn't exist."]]


@every_break
def test_predictions_follow_the_schema_of_their_run(http: Http, metadata: dict[str, Any], reason: str) -> None:
    made = new_dataset(http, "a")
    run = new_run(http, made, annotation_metadata_schema=SCHEMA)
    rows = [box("a", metadata=metadata, confidence=0.5), box("a", confidence=0.25)]
    answer = http("POST", f"modelRun/{run}/predict", {"annotations": rows})
    assert (answer["predictions_processed"], answer["errors"]) == (1, [reason])


def test_the_schema_of_ground_truth_is_none_of_predictions(http: Http) -> None:
    made = new_dataset(http, "a", annotation_metadata_schema=SCHEMA)
    answer = http(
        "POST", f"modelRun/{new_run(http, made)}/predict", {"annotations": [box("a", metadata={"hour": "x"})]}
    )
    assert "errors" not in answer


def test_a_signed_upload_follows_the_schema(http: Http) -> None:
    made = new_dataset(http, item_metadata_schema=SCHEMA)
    rows = [item("a", metadata={"hour": "x"}), item("b", metadata={"hour": 1})]
    status, errors = upload(http, made, f"dataset/{made}/append", *rows)
    reason = "'a': its metadata `hour` must be a number, not 'x'."
    assert (status["status"], status["message"]["final_error"], errors) == ("Errored_Partial", reason, [reason])
    assert (status["message"]["new_items"], status["message"]["upload_errors"]) == (1, 1)


def test_whole_batches_are_refused_where_a_row_exists_and_another_breaks_the_schema(http: Http) -> None:
    made = new_dataset(http, "b", item_metadata_schema=SCHEMA)
    rows = [item("a", metadata={"hour": "x"}), item("b"), item("c")]
    answer = http("POST", f"_nucleus_pandas/dataset/{made}/append", {"items": rows, "if_exists": "error"})
    assert answer["outcomes"] == [["error", 1], ["exists", 1], ["unsent", 1]]
    assert [text for _, text in answer["row_errors"]] == [
        "'a': its metadata `hour` must be a number, not 'x'.",
        "An item with reference_id 'b' exists already.",
    ]


@pytest.mark.parametrize("where", ["item_metadata_schema", "annotation_metadata_schema"])
@pytest.mark.parametrize(
    "schema",
    [
        {"hour": "number"},
        {"hour": {"type": "integer"}},
        {"hour": {}},
        {"hour": None},
        {"hour": {"type": "category", "choices": "rain"}},
        {"hour": {"type": "category", "choices": [1]}},
        {"hour": {"type": "text", "description": 7}},
    ],
    ids=str,
)
def test_a_wrong_schema_is_refused(http: Http, where: str, schema: Any) -> None:
    text = http.refused("POST", "dataset/create", {"name": "Streets", where: schema}, 400)
    assert f"$.{where}" in text
    assert http("GET", "dataset/") == []
    if where == "annotation_metadata_schema":
        made = new_dataset(http)
        model = http("POST", "models/add", {"name": "M", "reference_id": "m"})["model_id"]
        body = {"model_id": model, where: schema}
        assert f"$.{where}" in http.refused("POST", f"dataset/{made}/modelRun/create", body, 400)


def test_our_client_tells_which_rows_break_the_schema(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset({"name": "Streets", "item_metadata_schema": SCHEMA})
    frame = pd.DataFrame({"reference_id": ["a", "b"], "image_url": ["https://e.org/a"] * 2, "hour": [7, "seven"]})
    result = npd.append(frame, dataset, metadata=["hour"], on_error="collect")
    assert result.rows["status"].tolist() == ["new", "error"]
    assert result.rows["error"][1] == "'b': its metadata `hour` must be a number, not 'seven'."
    assert result.failed["reference_id"].tolist() == ["b"]


# Privacy mode


SIZES: list[dict[str, Any]] = [{}, {"width": 640}, {"height": 480}, {"width": None, "height": 480}]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_privacy_mode_needs_sizes(http: Http, size: dict[str, Any]) -> None:
    made = new_dataset(http, use_privacy_mode=True)
    sent = {"items": [item("a", **size), item("b", width=640, height=480)]}
    answer = http("POST", f"dataset/{made}/append", sent)
    assert (answer["new_items"], answer["upload_errors"]) == (1, 1)
    reason = "'a': an item needs `width` and `height`, because the dataset is in privacy mode."
    assert [one["error"] for one in answer["error_payload"]] == [reason]


def test_without_privacy_mode_sizes_are_optional(http: Http) -> None:
    made = new_dataset(http, use_privacy_mode=False)
    sent = {"items": [item(str(number), **size) for number, size in enumerate(SIZES)]}
    assert http("POST", f"dataset/{made}/append", sent)["new_items"] == len(SIZES)


def test_an_uploaded_image_tells_its_size(local: npd.NucleusClient, image: Any) -> None:
    dataset = local.create_dataset({"name": "Streets", "use_privacy_mode": True})
    dataset.append([{"reference_id": "a", "image_url": str(image)}])
    assert dataset.items.to_frame()[["image_width", "image_height"]].to_numpy().tolist() == [[64, 48]]


def test_an_append_that_is_a_job_fails_in_part(http: Http) -> None:
    made = new_dataset(http, use_privacy_mode=True)
    sent = {"items": [item("a"), item("b", width=640, height=480)]}
    job = http("POST", f"dataset/{made}/append?async=1", sent)
    reason = "'a': an item needs `width` and `height`, because the dataset is in privacy mode."
    assert job["job_last_known_status"] == "Errored_Partial"
    assert http("GET", f"job/{job['job_id']}")["message"]["final_error"] == reason
    assert http("GET", f"job/{job['job_id']}/errors") == [reason]


# Tags


def test_tags_of_a_dataset(http: Http) -> None:
    made = new_dataset(http)
    route = f"dataset/{made}/tags"
    assert http("GET", route) == {"tags": []}
    assert http("POST", route, {"tags": ["night", "ü / b"]}) == {"tags": ["night", "ü / b"]}
    assert http("POST", route, {"tags": ["day", "night"]}) == {"tags": ["night", "ü / b", "day"]}
    assert http("GET", f"dataset/{made}/info")["tags"] == ["night", "ü / b", "day"]
    assert http("DELETE", route, {"tags": ["ü / b", "absent"]}) == {"tags": ["night", "day"]}
    assert http("POST", route, {"tags": ["ü / b"]}) == {"tags": ["night", "day", "ü / b"]}
    assert http("GET", f"dataset/{new_dataset(http)}/tags") == {"tags": []}


@pytest.mark.parametrize("body", [{}, {"tags": "night"}, {"tags": [""]}, {"tags": [None]}, {"tags": None}], ids=str)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_wrong_tags_are_refused(http: Http, method: str, body: Any) -> None:
    made = new_dataset(http)
    http.refused(method, f"dataset/{made}/tags", body, 400)
    http.refused(method, "dataset/ds_0/tags", {"tags": ["a"]}, 404)
    assert http("GET", f"dataset/{made}/tags") == {"tags": []}


def test_labels_of_the_ground_truth(http: Http) -> None:
    made = new_dataset(http, "a")
    assert http("GET", f"dataset/{made}/class_labels") == {"data": []}
    http(
        "POST",
        f"dataset/{made}/annotate",
        {"annotations": [box("a", label="van"), box("a", label="car"), category("rain")]},
    )
    http("POST", f"modelRun/{new_run(http, made)}/predict", {"annotations": [box("a", label="truck")]})
    assert http("GET", f"dataset/{made}/class_labels") == {"data": ["car", "rain", "van"]}
