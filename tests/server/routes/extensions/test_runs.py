"""Which extensions there are, and what they tell of runs."""

from __future__ import annotations

import msgspec
import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.read import selections
from nucleus_pandas.wire.bulk import AnnotationColumns, ItemColumns, RunCommit, RunPlace
from tests.factories import box
from tests.server.routes.extensions.extension_http import ExtensionHttp, columns_of, ids_in, references

# What there is


def test_a_server_names_its_extensions_in_order(http: ExtensionHttp) -> None:
    found = http("GET", "_nucleus_pandas")["extensions"]
    assert found == sorted(found)
    assert set(found) >= {"cancel", "columns", "commits", "delete", "idempotency", "lookup", "matches", "outcomes"}


def test_answers_have_the_columns_of_the_wire() -> None:
    assert set(selections._OF_ITEMS) == set(ItemColumns.__struct_fields__)
    assert set(selections._OF_ANNOTATIONS) == set(AnnotationColumns.__struct_fields__)


def test_a_run_tells_where_it_belongs(http: ExtensionHttp, abc: str) -> None:
    run = http.new_run(abc)
    found = msgspec.convert(http("GET", f"_nucleus_pandas/modelRun/{run}"), RunPlace)
    assert (found.model_id, found.dataset_id) == (http("GET", f"modelRun/{run}/info")["model_id"], abc)


def test_a_run_that_spans_datasets_belongs_to_none(http: ExtensionHttp) -> None:
    assert http("GET", f"_nucleus_pandas/modelRun/{http.new_run(None)}")["dataset_id"] is None


def test_a_run_tells_how_it_was_committed(http: ExtensionHttp, abc: str) -> None:
    run = http.new_run(abc)
    route = f"_nucleus_pandas/modelRun/{run}/commit"
    assert msgspec.convert(http("GET", route), RunCommit) == RunCommit()
    pair = {"ground_truth_label": "car", "model_prediction_label": "van"}
    http("POST", f"modelRun/{run}/commit", {"allowed_label_matches": [pair]})
    found = msgspec.convert(http("GET", route), RunCommit)
    assert found.committed_at is not None
    assert (found.class_agnostic, found.allowed_label_matches, found.stale) == (False, [("car", "van")], False)
    http("POST", f"modelRun/{run}/commit", {})
    found = msgspec.convert(http("GET", route), RunCommit)
    assert (found.class_agnostic, found.allowed_label_matches) == (True, None)


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", "modelRun/run_0"),
        ("GET", "modelRun/run_0/commit"),
        ("POST", "modelRun/run_0/predictions"),
        ("POST", "dataset/ds_0/items"),
        ("POST", "dataset/ds_0/annotations"),
    ],
)
def test_what_is_not_there_is_not_found(http: ExtensionHttp, method: str, route: str) -> None:
    http(method, f"_nucleus_pandas/{route}", status=404)


# Runs that span datasets


@pytest.fixture
def span(http: ExtensionHttp, abc: str) -> tuple[str, str, str]:
    """A run over two datasets, in each of which an item is called ``a``."""
    other, run = http.new_dataset("z", "a"), http.new_run(None)
    rows = [box("a", "1", dataset_id=other), box("b", "2", dataset_id=abc), box("a", "3", dataset_id=abc)]
    assert http.annotate(run, annotations=rows)["predictions_processed"] == 3
    return run, abc, other


def test_a_run_that_spans_datasets_is_read_over_all_of_them(http: ExtensionHttp, span: tuple[str, str, str]) -> None:
    run, one, other = span
    page = http.annotations(run)
    ids, others = ids_in(http, one), ids_in(http, other)
    assert (references(page), page["columns"]["annotation_id"]) == (["a", "b", "a"], ["3", "2", "1"])
    assert page["columns"]["dataset_item_id"] == [ids["a"], ids["b"], others["a"]]
    found = http.annotations(run, item_ids=[others["a"], ids["c"], "di_0", ids["a"]])
    assert (found["columns"]["annotation_id"], found["lengths"]) == (["1", "3"], [1, 0, 0, 1])
    assert found["missing"] == [2]


def test_a_run_that_spans_datasets_is_read_in_pages(http: ExtensionHttp, span: tuple[str, str, str]) -> None:
    found, page = [], http.annotations(span[0], limit=1)
    while page["next"] is not None:
        found += page["columns"]["annotation_id"]
        page = http.annotations(span[0], limit=1, after=page["next"])
    assert [*found, *page["columns"]["annotation_id"]] == ["3", "2", "1"]


@pytest.mark.parametrize("by", ["positions", "reference_ids"])
def test_a_run_that_spans_datasets_has_item_ids_only(http: ExtensionHttp, span: tuple[str, str, str], by: str) -> None:
    assert "spans datasets" in http.annotations(span[0], 400, **{by: [0] if by == "positions" else ["a"]})["error"]


def test_predictions_on_a_deleted_dataset_are_gone(
    http: ExtensionHttp, span: tuple[str, str, str], nucleus: EmbeddedNucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, one, _ = span
    key = ids_in(http, one)["a"]
    monkeypatch.setattr(nucleus, "purge", lambda: None)  # its rows are still there
    http("DELETE", f"dataset/{one}")
    assert http.annotations(run, limit=1)["columns"]["annotation_id"] == ["1"]
    assert http.annotations(run, item_ids=[key])["missing"] == [0]


def test_columns_into_a_run_that_spans_datasets_go_by_item_id(http: ExtensionHttp, span: tuple[str, str, str]) -> None:
    run, one, other = span
    keys = [ids_in(http, other)["z"], ids_in(http, one)["c"], "di_0"]
    stored = http.annotate(run, boxes=columns_of([(key, "x") for key in keys], by="item_id"))
    assert (stored["outcomes"], stored["row_errors"]) == (
        [["new", 2], ["error", 1]],
        [[2, "Item with id di_0 doesn't exist."]],
    )
    refused = http.annotate(run, boxes=columns_of([("c", "x")]))
    assert "`dataset_id` is needed" in refused["row_errors"][0][1]
