"""Many items deleted at once."""

from __future__ import annotations

from typing import Any

import pytest

from nucleus_pandas.wire.bulk import KEYS
from tests.server.routes.extensions.extension_http import ExtensionHttp, references


def test_many_items_are_deleted_by_one_request(http: ExtensionHttp, abc: str) -> None:
    route = f"_nucleus_pandas/dataset/{abc}/delete_items"
    answer = http("POST", route, {"reference_ids": ["c", "nobody", "a", "c"]})
    assert answer == {"deleted": 2, "missing": [1]}
    assert references(http.items(abc)) == ["b"]
    assert http("POST", route, {"reference_ids": []}) == {"deleted": 0, "missing": []}


@pytest.mark.parametrize(
    "body",
    [{}, {"reference_ids": "a"}, {"reference_ids": [1]}, {"reference_ids": ["a"] * (KEYS + 1)}, {"item_ids": []}],
)
def test_a_wrong_deletion_is_refused_whole(http: ExtensionHttp, abc: str, body: Any) -> None:
    http("POST", f"_nucleus_pandas/dataset/{abc}/delete_items", body, 400)
    http("POST", "_nucleus_pandas/dataset/ds_0/delete_items", {"reference_ids": ["a"]}, 404)
    assert len(http.items(abc)["columns"]["reference_id"]) == 3


def test_a_job_that_has_ended_is_not_cancelled(http: ExtensionHttp, abc: str) -> None:
    job = http("POST", f"dataset/{abc}/metadata?async=1", {"metadata": [], "level": "item"})["job_id"]
    assert "Completed" in http("POST", f"_nucleus_pandas/job/{job}/cancel", status=409)["error"]
    http("POST", "_nucleus_pandas/job/job_0/cancel", status=404)
