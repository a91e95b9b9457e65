"""Answers of the hosted service that the contract leaves open: several spellings, fields that are missing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

import nucleus_pandas as npd
from tests.factories import item_frame
from tests.support.private import run_handle
from tests.transport.hosted.exchanges import (
    BOX,
    BUCKET,
    COUNTS,
    ENDED,
    ITEM,
    JOB,
    KEY,
    MASK,
    MODEL,
    At,
    asked,
    at,
    box_frame,
    frame_of,
    listen,
    statuses,
)

BARE = {"id": "di_1", "ref_id": "a", "original_image_url": "https://example.org/a"}


PLAIN = {"dataset_item_id": "di_1", "reference_id": "a", "image_url": "https://example.org/a"}


@pytest.mark.parametrize("spelled", [BARE, PLAIN, {**BARE, **PLAIN}], ids=["ref_id", "reference_id", "both"])
def test_both_spellings_of_an_item_are_read(mock: responses.RequestsMock, image: Path, spelled: dict[str, Any]) -> None:
    def look(at: At) -> list[Any]:
        whole = at.dataset.items.to_frame()
        return [*frame_of(whole, *PLAIN), *at.dataset.refloc[["a"]].reset_index()[list(PLAIN)].to_numpy().tolist()]

    expected = [list(PLAIN.values())] * 2
    answers = {"items": [spelled], "nextPageToken": None}, {"item": spelled, "annotations": {}}
    assert asked(mock, image, look, *answers) == expected


@pytest.mark.parametrize(
    ("annotations", "types"),
    [
        ([BOX, {**MASK, "reference_id": "a"}], ["box", "mask"]),
        ({"box": [{**BOX, "type": None}]}, ["box"]),
        ({"segmentation": {"mask_url": "m"}, "box": None}, ["mask"]),
        ({"segmentation": [{"mask_url": "m"}]}, ["mask"]),
        ({}, []),
        ([], []),
        (None, []),
    ],
    ids=["flat", "typeless", "single", "list", "empty dict", "empty list", "null"],
)
def test_annotations_are_read_in_every_form_by_call_and_by_bracket(
    mock: responses.RequestsMock, image: Path, annotations: Any, types: list[str]
) -> None:
    def look(at: At) -> list[list[str | None]]:
        return [
            [one["type"] for one in at.dataset.refloc("a")["annotations"]],
            at.dataset.annotations.refloc["a"]["type"].tolist(),
            [one["type"] for one in at.run.refloc("a")["annotations"]],
            at.run.refloc["a"]["type"].tolist(),
        ]

    row, found = {"item": ITEM, "annotations": annotations}, {"annotations": annotations}
    assert asked(mock, image, look, row, row, found, found, row) == [types] * 4


@pytest.mark.parametrize(
    ("act", "answers", "gives"),
    [
        (lambda at: at.client.list_datasets(), [{"datasets_ids": ["ds_1"]}], ["ds_1"]),
        (lambda at: at.client.list_datasets(), [{}], []),
        (lambda at: at.client.create_dataset("D").name, [{"dataset_id": "ds_1"}], "D"),
        (lambda at: at.client.datasets["is_public"].tolist(), [[{"id": "ds_1", "name": "D"}]], [False]),
        (
            lambda at: frame_of(at.client.models, "metadata", "tags"),
            [{"models": [{"id": "prj_1", "name": "M", "ref_id": "m"}]}],
            [[{}, []]],
        ),
        (lambda at: at.model.metadata, [{**MODEL, "metadata": {"k": 1}}], {"k": 1}),
        (lambda at: at.dataset.create_model_run({"reference_id": "m"}).id, [{"model_run_id": "run_1"}], "run_1"),
        (lambda at: at.job.wait(0).id, [{"status": "Completed"}], "job_1"),
        (lambda at: statuses(at.dataset.annotate(box_frame("a"))), [{"annotations_processed": 1}], ["processed"]),
        (lambda at: statuses(at.dataset.annotate(box_frame("a"))), [{"annotations_ignored": 1}], ["ignored"]),
        (
            lambda at: statuses(at.run.predict(box_frame("a"))),
            [{"predictions_processed": 1, "errors": []}],
            ["processed"],
        ),
        (
            lambda at: at.dataset.annotations.to_frame()["label"].tolist(),
            [{"data": [{"item": BARE, "box": [{"label": "car"}]}, {"item": PLAIN}]}],
            ["car"],
        ),
        (lambda at: len(at.run.predictions), [{}, {"items": [BARE], "nextPageToken": None}], 0),
    ],
)
def test_fields_may_be_missing(
    mock: responses.RequestsMock, image: Path, act: Callable[[At], Any], answers: list[Any], gives: Any
) -> None:
    assert asked(mock, image, act, *answers) == gives


UNUSUAL = {
    "PayloadUrl": "",
    "image_upload_step": {"errored": 0, "pending": 0, "completed": 2},
    "ingest_to_reupload_queue": {"epoch": 1, "total": 2, "datasetId": "ds_1", "processed": 2},
}


@pytest.mark.parametrize("message", [UNUSUAL, {}, None, "Done."], ids=["steps", "empty", "null", "text"])
def test_of_a_job_that_counts_nothing_nothing_is_guessed(
    mock: responses.RequestsMock, image: Path, message: Any
) -> None:
    answers = [{"signed_url": BUCKET}, "", JOB, {**ENDED, "message": message}, []]
    result = asked(mock, image, lambda at: at.dataset.append(item_frame(*"ab")), *answers)
    assert (statuses(result), result.new_items, result.upload_errors) == (["accepted", "accepted"], 0, 0)


@pytest.mark.parametrize(
    ("names", "sentence", "blamed"),
    [
        (["id", "b"], "Item with id b doesn't exist", ["b"]),
        (["Item", "b c's"], "Item with id b c's doesn't exist", ["b c's"]),
        (["with", "b.jpg"], "The item 'b.jpg' is broken with no remedy.", ["b.jpg"]),
        (["a", "b"], "Nothing became of b.", ["b"]),
        (["a", "b"], 'Error: "https://e.org/b" is not accessible', ["b"]),
        (["a", "b"], "https://e.org/b: 404", ["b"]),
    ],
)
def test_a_jobs_sentence_finds_the_row_that_it_names(
    mock: responses.RequestsMock, image: Path, names: list[str], sentence: str, blamed: list[str]
) -> None:
    counts = {**COUNTS, "new_items": 1, "upload_errors": 1}
    answers = [{"signed_url": BUCKET}, "", JOB, {**ENDED, "message": counts}, [sentence]]
    frame = item_frame(*names, image_url=[f"https://e.org/{name}" for name in names])
    result = asked(mock, image, lambda at: at.dataset.append(frame, on_error="collect"), *answers)
    assert result.failed["reference_id"].tolist() == blamed
    assert result.rows["error"].dropna().tolist() == [sentence]
    assert (result.new_items, result.upload_errors) == (1, 1)


def test_a_job_that_failed_tells_each_row_what_is_said_of_it(mock: responses.RequestsMock, image: Path) -> None:
    sentence = 'Error: "https://example.org/b" is not accessible'
    answers = [{"signed_url": BUCKET}, "", JOB, {**ENDED, "status": "Errored", "message": UNUSUAL}, [sentence]]
    result = asked(mock, image, lambda at: at.dataset.append(item_frame(*"ab"), on_error="collect"), *answers)
    assert result.rows["error"].tolist() == [f"The job 'job_1' ended as Errored: {sentence}", sentence]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": "That model exists."}, npd.BadRequestError),
        ({"error": "That model exists.", "status_code": 409}, npd.ConflictError),
        ({"error": "That model exists.", "model_id": None}, npd.BadRequestError),
    ],
)
def test_a_refusal_may_come_as_a_success(
    mock: responses.RequestsMock, image: Path, answer: Any, kind: type[npd.APIError]
) -> None:
    with pytest.raises(kind, match="^That model exists.$"):
        asked(mock, image, lambda at: at.client.add_model("M", "m"), answer)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda at: at.dataset.annotate(box_frame("a", "b")), id="annotate"),
        pytest.param(lambda at: at.run.commit(), id="commit"),
        pytest.param(lambda at: at.run.info, id="info"),
        pytest.param(lambda at: at.client.delete_dataset("ds_1"), id="delete"),
    ],
)
def test_a_refusal_may_come_as_a_success_where_any_object_is_taken(
    mock: responses.RequestsMock, image: Path, act: Callable[[Any], object]
) -> None:
    with pytest.raises((npd.ConflictError, npd.UploadError), match="That cannot be") as caught:
        asked(mock, image, act, {"error": "That cannot be.", "status_code": 409})
    assert "may be stored" not in str(caught.value)


@pytest.mark.parametrize("answer", [[], {}, 7, None, {"error": 7}])
def test_an_answer_in_another_form_is_no_refusal(mock: responses.RequestsMock, image: Path, answer: Any) -> None:
    with pytest.raises(npd.ServerError, match="in an unexpected form"):
        asked(mock, image, lambda at: at.client.add_model("M", "m"), answer)


def test_a_position_outside_is_an_index_error_by_call_too(mock: responses.RequestsMock, image: Path) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        size = str(request.url).endswith("/size")
        return (200, {}, '{"count": 2}') if size else (404, {}, '{"error": "No."}')

    listen(mock, answer)
    with closing(npd.NucleusClient(KEY, max_retries=0)) as client:
        begin = at(client, image)
        for thing in (begin.dataset, begin.run):
            with pytest.raises(npd.PositionError, match="Position -3 is outside the dataset, which holds 2 items"):
                thing.iloc(-3)
        homeless = run_handle(client, "run_1")
        with pytest.raises(npd.NotFoundError, match="^No.$"):
            homeless.iloc(9)
