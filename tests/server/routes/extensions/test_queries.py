"""Queries and slices as columns."""

from __future__ import annotations

import pytest

from tests.factories import box
from tests.server.routes.extensions.extension_http import ExtensionHttp, ids_in, references


def test_a_query_narrows_a_selection_and_pages_go_on(http: ExtensionHttp, abc: str) -> None:
    first = http.items(abc, query="reference_id != 'b'", limit=1, columns=["reference_id"])
    assert references(first) == ["a"]
    second = http.items(abc, query="reference_id != 'b'", limit=1, columns=["reference_id"], after=first["next"])
    assert (references(second), second["next"]) == (["c"], None)


@pytest.mark.parametrize("keys", [{"positions": [0]}, {"reference_ids": ["a"]}, {"item_ids": []}])
def test_a_query_stands_for_the_keys(http: ExtensionHttp, abc: str, keys: dict[str, object]) -> None:
    assert "A query cannot be combined with" in http.items(abc, 400, query="true", **keys)["error"]
    assert "A query cannot be combined with" in http.annotations(abc, 400, query="true", **keys)["error"]


def test_predictions_are_queried_by_their_own_run(http: ExtensionHttp, abc: str) -> None:
    run, other = http.new_run(abc), http.new_run(abc)
    http.annotate(run, annotations=[box("b", "1", confidence=0.5)])
    assert http.annotations(run, query="confidence = 0.5", model_run_id=run)["columns"]["annotation_id"] == ["1"]
    assert http.annotations(run, query="confidence = 0.6")["columns"]["annotation_id"] == []
    assert "those of the run in the path" in http.annotations(run, 400, query="true", model_run_id=other)["error"]


def test_a_run_that_spans_datasets_is_queried_by_slice(http: ExtensionHttp, abc: str) -> None:
    run = http.new_run(None)
    known = ids_in(http, abc)
    rows = [{**box("", name, confidence=0.5), "item_id": known[name]} for name in "abc"]
    http.annotate(run, annotations=[{key: part for key, part in row.items() if key != "reference_id"} for row in rows])
    assert "query its predictions on the items of a slice" in http.annotations(run, 400, query="true")["error"]
    body = {"name": "s", "reference_ids": ["c", "a"]}
    made = http("POST", f"dataset/{abc}/create_slice", body)["slice_id"]
    route = f"_nucleus_pandas/slice/{made}/modelRun/{run}/predictions"
    assert http("POST", route, {})["columns"]["annotation_id"] == ["c", "a"]
    assert http("POST", route, {"query": "reference_id = 'a'"})["columns"]["annotation_id"] == ["a"]


def test_a_slice_is_read_by_page_and_by_key(http: ExtensionHttp, abc: str) -> None:
    http.annotate(abc, annotations=[box(name, f"{name}{number}") for name in "abc" for number in range(2)])
    body = {"name": "s", "reference_ids": ["c", "a"]}
    route = f"_nucleus_pandas/slice/{http('POST', f'dataset/{abc}/create_slice', body)['slice_id']}"
    found, token = [], None
    while token is not None or not found:
        selection = {"limit": 1, "columns": ["annotation_id"], **({} if token is None else {"after": token})}
        page = http("POST", f"{route}/annotations", selection)
        found += page["columns"]["annotation_id"]
        token = page["next"]
    assert found == ["c0", "c1", "a0", "a1"]
    page = http("POST", f"{route}/annotations", {"positions": [1, 0, 2], "columns": ["annotation_id"]})
    assert (page["columns"]["annotation_id"], page["lengths"], page["missing"]) == (
        ["a0", "a1", "c0", "c1"],
        [2, 2, 0],
        [2],
    )
    page = http("POST", f"{route}/items", {"reference_ids": ["b", "a"], "columns": ["reference_id"]})
    assert (page["columns"]["reference_id"], page["missing"]) == (["a"], [0])
    known = ids_in(http, abc)
    page = http("POST", f"{route}/items", {"item_ids": [known["c"], known["b"]], "columns": ["reference_id"]})
    assert (page["columns"]["reference_id"], page["missing"]) == (["c"], [1])
    http("POST", f"{route}/items", {"after": http.items(abc, limit=1)["next"]}, 400)
    http("POST", "_nucleus_pandas/slice/slc_0/items", {}, 404)
