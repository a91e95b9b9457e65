"""How items are cut for their signed uploads, by what a stand-in for the hosted service was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.uploads import signed_url
from tests.support.hosted_stand_in import BUCKET, KEY, HostedStandIn

LIMIT = 4_000


@pytest.fixture
def service() -> Iterator[HostedStandIn]:
    with HostedStandIn().answering() as made:
        yield made


@pytest.fixture
def dataset(service: HostedStandIn) -> Iterator[npd.Dataset]:
    with closing(npd.NucleusClient(KEY, max_retries=0)) as client:
        yield client.create_dataset("Signed")


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> int:
    """The size limit, as low as that some dozen items reach it."""
    monkeypatch.setattr(signed_url, "LARGEST_UPLOAD", LIMIT)
    return LIMIT


def items(count: int, **columns: Any) -> pd.DataFrame:
    names = [f"{number:05d}" for number in range(count)]
    frame = pd.DataFrame({"reference_id": names, "image_url": "https://example.org/a.jpg"})
    return frame.assign(**columns)


def names_in(upload: bytes) -> list[str]:
    return [json.loads(line)["reference_id"] for line in upload.splitlines()]


def acts(service: HostedStandIn) -> list[str]:
    """What was done, in order, without looks at what is there."""
    found = []
    for method, url in service.seen:
        if url.startswith(BUCKET):
            found.append("put")
        elif "/append" in url:
            found.append("append")
        elif "/job/" in url and found[-1:] != ["look"]:
            found.append("look")
        elif "/job/" not in url and method == "POST":
            found.append("create")
    return found


@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_one_upload_holds_everything(service: HostedStandIn, dataset: npd.Dataset, batch_size: int | None) -> None:
    frame = items(12_345)
    result = frame.nucleus.append(dataset, batch_size=batch_size)
    assert result.new_items == 12_345
    assert acts(service) == ["create", "put", "append", "look"]
    (upload,) = service.uploads
    assert names_in(upload) == frame["reference_id"].tolist()


def test_uploads_are_as_large_as_may_be_and_keep_the_order(
    service: HostedStandIn, dataset: npd.Dataset, lowered: int
) -> None:
    frame = items(200, **{"metadata.n": range(200)})
    result = frame.nucleus.append(dataset)
    assert result.rows["status"].eq("new").all()
    assert (result.new_items, result.jobs) == (200, [])
    sizes = [len(upload) for upload in service.uploads]
    longest = max(len(line) + 1 for upload in service.uploads for line in upload.splitlines())
    assert len(sizes) > 3
    assert max(sizes) <= lowered
    assert min(sizes[:-1]) > lowered - longest
    assert [name for upload in service.uploads for name in names_in(upload)] == frame["reference_id"].tolist()
    assert dataset.items.to_frame()["reference_id"].tolist() == frame["reference_id"].tolist()


def test_the_next_upload_waits_for_the_job_of_the_one_before(
    service: HostedStandIn, dataset: npd.Dataset, lowered: int
) -> None:
    items(100).nucleus.append(dataset)
    count = len(service.uploads)
    assert count > 1
    assert acts(service) == ["create", *["put", "append", "look"] * count]


def test_nobody_has_to_wait_for_any_of_them(service: HostedStandIn, dataset: npd.Dataset, lowered: int) -> None:
    frame = items(100)
    result = frame.nucleus.append(dataset, wait=False)
    count = len(service.uploads)
    assert count > 1
    assert acts(service) == ["create", *["put", "append"] * count]
    assert (len(result.jobs), result.new_items) == (count, 0)
    assert result.rows["status"].eq("accepted").all()
    assert result.wait() is result
    assert (result.jobs, result.new_items) == ([], 100)
    assert result.rows["status"].eq("new").all()
    assert sorted(dataset.items.to_frame()["reference_id"]) == frame["reference_id"].tolist()


def test_a_disk_without_room_for_an_upload_is_told_of_every_row(
    service: HostedStandIn, dataset: npd.Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(signed_url, "_IN_MEMORY", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    frame = items(3)
    with pytest.raises(npd.UploadError, match=r"(?s)3 of 3 rows.*No such file.*No row is stored") as caught:
        frame.nucleus.append(dataset)
    assert caught.value.result.failed.equals(frame)
    assert service.uploads == []


def test_what_is_not_ascii_counts_as_it_is_sent(service: HostedStandIn, dataset: npd.Dataset, lowered: int) -> None:
    frame = items(60, **{"metadata.place": "日本 \U0001f600" * 9})
    frame.nucleus.append(dataset)
    assert all(upload.isascii() and len(upload) <= lowered for upload in service.uploads)
    assert [metadata["place"] for metadata in dataset.items.to_frame()["metadata"]] == ["日本 \U0001f600" * 9] * 60


def test_an_item_that_is_larger_than_the_limit_goes_alone(
    service: HostedStandIn, dataset: npd.Dataset, lowered: int
) -> None:
    frame = items(5, **{"metadata.text": ["short", "short", "long" * 2_000, "short", "short"]})
    frame.nucleus.append(dataset)
    assert [names_in(upload) for upload in service.uploads] == [["00000", "00001"], ["00002"], ["00003", "00004"]]


def test_every_upload_says_whether_it_updates(service: HostedStandIn, dataset: npd.Dataset, lowered: int) -> None:
    frame = items(100)
    frame.nucleus.append(dataset)
    before = len(service.uploads)
    result = frame.assign(**{"metadata.n": 1}).nucleus.append(dataset, if_exists="update")
    assert len(service.uploads) - before > 1
    assert result.rows["status"].eq("updated").all()
    assert result.updated_items == 100
    assert dataset.items.to_frame()["metadata"].tolist() == [{"n": 1}] * 100


@pytest.mark.parametrize("wait", [True, False])
def test_of_those_that_must_not_exist_each_upload_is_judged_by_its_counts(
    service: HostedStandIn, dataset: npd.Dataset, lowered: int, wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nucleus_pandas.uploads.upload.reject_existing", lambda upload: False)  # stored by others later
    frame = items(200)
    frame.iloc[100:].nucleus.append(dataset)
    before = len(service.uploads)

    def send(**options: Any) -> npd.UploadResult:
        return frame.nucleus.append(dataset, if_exists="error", wait=wait, **options).wait()

    with pytest.raises(npd.AlreadyExistsError, match=r"Of \d+ rows that were sent together \d+ exist") as caught:
        send()
    expected: list[str] = []
    for size in (len(names_in(upload)) for upload in service.uploads[before:]):
        start, stop = len(expected), len(expected) + size
        expected += ["new" if stop <= 100 else "error" if start >= 100 else "accepted"] * size
    assert set(expected) == {"new", "error", "accepted"}
    result = caught.value.result
    assert result.rows["status"].tolist() == expected
    assert (result.new_items, len(dataset)) == (100, 200)
    again = send(on_error="collect")
    assert again.rows["status"].eq("error").all()
    assert len(again.failed) == 200


def test_a_refused_upload_keeps_the_others(
    service: HostedStandIn, dataset: npd.Dataset, lowered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: Callable[..., Any] = service.answer

    def refusing(request: Any) -> Any:
        if str(request.url).startswith(BUCKET) and len(service.uploads) == 1:
            service.uploads.append(b"")
            return 400, {}, b"<Error>EntityTooLarge</Error>"
        return answer(request)

    monkeypatch.setattr(service, "answer", refusing)
    with service.answering():
        frame = items(100)
        result = frame.nucleus.append(dataset, on_error="collect")
        stored = dataset.items.to_frame()["reference_id"].tolist()
    assert 0 < len(result.failed) < 100
    assert stored == frame["reference_id"][result.rows["status"].eq("new")].tolist()
    assert len(stored) + len(result.failed) == 100


def test_images_between_others_keep_their_place(
    service: HostedStandIn, dataset: npd.Dataset, image: Path, lowered: int
) -> None:
    frame = items(120)
    frame.loc[[30, 31, 90], "image_url"] = str(image)
    frame.nucleus.append(dataset)
    assert dataset.items.to_frame()["reference_id"].tolist() == frame["reference_id"].tolist()
    assert [row for row, url in enumerate(dataset.items.to_frame()["image_url"]) if "cdn" in url] == [30, 31, 90]
