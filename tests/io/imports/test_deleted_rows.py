"""A journal never claims rows that the server does not have: deleted ones, or what a restored copy lacks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.contract_only import contract_only
from tests.support.private import transport_of

IDS = ["a.jpg", "b.jpg", "c.jpg"]


def items() -> pd.DataFrame:
    return pd.DataFrame({"reference_id": IDS, "image_url": "https://example.org/x"})


def boxes(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"reference_id": IDS, "label": "car", "x": 1.0, "y": 1.0, "width": 5.0, "height": 5.0, **columns}
    )


@pytest.fixture
def dataset(client: npd.NucleusClient) -> npd.Dataset:
    return client.create_dataset("D")


@pytest.mark.parametrize("how", ["file", "frame"])
def test_items_that_were_deleted_are_sent_again(dataset: npd.Dataset, tmp_path: Path, how: str) -> None:
    items().to_parquet(tmp_path / "items.parquet")

    def send() -> Any:
        if how == "file":
            return npd.import_parquet(tmp_path / "items.parquet", dataset).new
        return items().nucleus.append(dataset, journal=tmp_path / "journal").new_items

    assert send() == 3
    dataset.delete_items(IDS[:2])
    send()
    assert sorted(dataset.items["reference_id"]) == IDS
    dataset.delete_items(["c.jpg"])
    send()
    assert sorted(dataset.items["reference_id"]) == IDS


@pytest.mark.parametrize("how", ["file", "frame"])
def test_annotations_that_were_deleted_are_sent_again(dataset: npd.Dataset, tmp_path: Path, how: str) -> None:
    items().nucleus.append(dataset)
    boxes().to_parquet(tmp_path / "boxes.parquet")

    def send() -> None:
        if how == "file":
            npd.import_parquet(tmp_path / "boxes.parquet", dataset, "annotations")
        else:
            boxes().nucleus.annotate(dataset, journal=tmp_path / "journal")

    send()
    dataset.delete_annotations(["a.jpg", "b.jpg"])
    send()
    assert sorted(dataset.annotations["reference_id"]) == IDS


def test_predictions_on_items_that_were_deleted_are_sent_again(client: npd.NucleusClient, tmp_path: Path) -> None:
    dataset = client.create_dataset("D")
    items().nucleus.append(dataset)
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    dataset.delete_items(["b.jpg"])
    items().nucleus.append(dataset)
    boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    assert sorted(run.predictions["reference_id"]) == IDS


def test_a_dataset_of_the_same_name_is_another_target(client: npd.NucleusClient, tmp_path: Path) -> None:
    items().to_parquet(tmp_path / "items.parquet")
    first = client.create_dataset("Same")
    assert npd.import_parquet(tmp_path / "items.parquet", first).new == 3
    client.delete_dataset(first.id)
    second = client.create_dataset("Same")
    assert npd.import_parquet(tmp_path / "items.parquet", second).new == 3
    assert len(second.items) == 3


def test_without_a_deletion_nothing_is_sent_twice(dataset: npd.Dataset, tmp_path: Path) -> None:
    items().to_parquet(tmp_path / "items.parquet")
    assert npd.import_parquet(tmp_path / "items.parquet", dataset).already_sent == 0
    assert npd.import_parquet(tmp_path / "items.parquet", dataset).already_sent == 3


def test_predictions_that_others_replaced_are_sent_again(client: npd.NucleusClient, tmp_path: Path) -> None:
    dataset = client.create_dataset("D")
    items().nucleus.append(dataset)
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    boxes(confidence=0.5).head(1).assign(label="bus").nucleus.predict(run, if_exists="replace")
    boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    assert sorted(run.predictions["label"]) == ["bus", "car", "car", "car"]
    run.clear()
    again = boxes(confidence=0.5).nucleus.predict(run, journal=tmp_path / "journal")
    assert (again.predictions_processed, again.already_sent, len(run.predictions)) == (3, 0, 3)


# Stores that are restored from a copy


def send_items(store: Path, journal: Path, *, count: int = 3) -> npd.UploadResult:
    """Send items to the only dataset of a store, in batches of one."""
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("D", exist_ok=True)
        return items().head(count).nucleus.append(dataset, journal=journal, batch_size=1)


def names_in(store: Path) -> list[str]:
    with npd.NucleusClient.local(store) as client:
        return sorted(client.create_dataset("D", exist_ok=True).items["reference_id"])


@pytest.mark.parametrize("copied", ["before", "in part", "whole"])
def test_a_store_that_is_restored_gets_what_it_lacks(tmp_path: Path, copied: str) -> None:
    store, journal = tmp_path / "store", tmp_path / "journal"
    with npd.NucleusClient.local(store) as client:
        client.create_dataset("D")
    if copied == "before":
        shutil.copytree(store, tmp_path / "copy")
    send_items(store, journal, count=1)
    if copied == "in part":
        shutil.copytree(store, tmp_path / "copy")
    assert (send_items(store, journal).new_items, send_items(store, journal).already_sent) == (2, 3)
    if copied == "whole":
        shutil.copytree(store, tmp_path / "copy")
    for known in (3 if copied == "whole" else 0, 0):  # the second time, the journal has gone on with the first copy
        shutil.rmtree(store)
        shutil.copytree(tmp_path / "copy", store)
        assert send_items(store, journal).already_sent == known
        assert names_in(store) == IDS
    assert send_items(store, journal).already_sent == 3


def test_a_restored_store_that_has_grown_since_gets_what_it_lacks(tmp_path: Path) -> None:
    store, journal = tmp_path / "store", tmp_path / "journal"
    with npd.NucleusClient.local(store) as client:
        client.create_dataset("D")
    shutil.copytree(store, tmp_path / "copy")
    send_items(store, journal)
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "copy", store)
    with npd.NucleusClient.local(store) as client:
        other = items().assign(reference_id=["d.jpg", "e.jpg", "f.jpg"])
        other.nucleus.append(client.create_dataset("D", exist_ok=True), journal=tmp_path / "another")
    assert send_items(store, journal).new_items == 3
    assert len(names_in(store)) == 6


def test_an_import_into_a_restored_store_sends_everything(tmp_path: Path) -> None:
    store, source = tmp_path / "store", tmp_path / "items.parquet"
    items().to_parquet(source)
    with npd.NucleusClient.local(store) as client:
        client.create_dataset("D")
    shutil.copytree(store, tmp_path / "copy")

    def imported() -> npd.ImportResult:
        with npd.NucleusClient.local(store) as client:
            return npd.import_parquet(source, client.create_dataset("D", exist_ok=True))

    assert (imported().new, imported().already_sent) == (3, 3)
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "copy", store)
    assert (imported().new, imported().already_sent) == (3, 3)
    assert names_in(store) == IDS


# The hosted service does not say whether rows were deleted


def test_the_contract_alone_resumes_what_was_interrupted_and_sends_again_what_had_ended(
    client: npd.NucleusClient, tmp_path: Path
) -> None:
    dataset = client.create_dataset("D")
    items().nucleus.append(dataset)
    contract_only(client)
    request = transport_of(client).request
    sent: list[str] = []

    def interrupted(method: str, *segments: str, **options: Any) -> Any:
        if segments[-1] == "annotate":
            if len(sent) == 2:
                raise KeyboardInterrupt
            sent.append(segments[-1])
        return request(method, *segments, **options)

    def send() -> npd.UploadResult:
        return boxes().nucleus.annotate(dataset, journal=tmp_path / "journal", batch_size=1)

    transport_of(client).request = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt) as caught:
        send()
    transport_of(client).request = request  # type: ignore[method-assign]
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.rows["status"].tolist() == ["processed", "processed", "error"]
    assert result.failed["reference_id"].tolist() == ["c.jpg"]
    again = send()
    assert (again.annotations_processed, again.already_sent) == (1, 2)
    dataset.delete_annotations(["a.jpg"])
    last = send()
    assert (last.annotations_processed, last.annotations_ignored, last.already_sent) == (1, 2, 0)
    assert sorted(dataset.annotations["reference_id"]) == IDS


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_the_contract_alone_resumes_what_a_failure_ended(
    client: npd.NucleusClient, tmp_path: Path, on_error: Any
) -> None:
    dataset = client.create_dataset("D")
    items().nucleus.append(dataset)
    contract_only(client)
    request = transport_of(client).request
    sent: list[str] = []

    def failing(method: str, *segments: str, **options: Any) -> Any:
        if segments[-1] == "annotate":
            if len(sent) == 2:
                raise npd.NetworkError("The connection broke.")
            sent.append(segments[-1])
        return request(method, *segments, **options)

    def send() -> npd.UploadResult:
        return boxes().nucleus.annotate(dataset, journal=tmp_path / "journal", batch_size=1, on_error=on_error)

    transport_of(client).request = failing  # type: ignore[method-assign]
    if on_error == "raise":
        with pytest.raises(npd.UploadError):
            send()
    else:
        assert send().rows["status"].tolist() == ["processed", "processed", "error"]
    transport_of(client).request = request  # type: ignore[method-assign]
    again = send()
    assert (again.annotations_processed, again.already_sent) == (1, 2)


# Where the journal is


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_journal_is_in_the_cache_and_not_among_the_data(dataset: npd.Dataset, tmp_path: Path, cache: Path) -> None:
    source = tmp_path / "data" / "items.parquet"
    source.parent.mkdir()
    items().to_parquet(source)
    result = npd.import_parquet(source, dataset)
    assert result.journal is not None
    assert cache / "nucleus_pandas" in result.journal.parents
    assert [path.name for path in source.parent.iterdir()] == ["items.parquet"]
    assert npd.import_parquet(source, dataset).already_sent == 3
    (tmp_path / "other").mkdir()
    items().to_parquet(tmp_path / "other" / "items.parquet")
    other = npd.import_parquet(tmp_path / "other" / "items.parquet", dataset)
    assert (other.already_sent, other.ignored) == (0, 3)
    assert other.journal != result.journal


def test_a_journal_of_an_earlier_version_among_the_data_is_used(
    dataset: npd.Dataset, tmp_path: Path, cache: Path
) -> None:
    items().to_parquet(tmp_path / "items.parquet")
    beside = tmp_path / ".nucleus_import.sqlite"
    first = npd.import_parquet(tmp_path / "items.parquet", dataset, journal=beside)
    again = npd.import_parquet(tmp_path / "items.parquet", dataset)
    assert (first.new, again.already_sent, again.journal) == (3, 3, beside)
    assert not (cache / "nucleus_pandas").exists()


# Ctrl+C


@pytest.mark.parametrize("kind", ["append", "annotate", "predict", "import"])
def test_an_interrupt_carries_the_result(client: npd.NucleusClient, tmp_path: Path, kind: str) -> None:
    dataset = client.create_dataset("D")
    if kind not in ("append", "import"):
        items().nucleus.append(dataset)
    run = dataset.create_model_run(client.add_model("M", reference_id="m"))
    items().to_parquet(tmp_path / "items.parquet", row_group_size=1)
    acts: dict[str, Any] = {
        "append": lambda: items().nucleus.append(dataset, batch_size=1),
        "annotate": lambda: boxes().nucleus.annotate(dataset, batch_size=1),
        "predict": lambda: boxes(confidence=0.5).nucleus.predict(run, batch_size=1),
        "import": lambda: npd.import_parquet(tmp_path / "items.parquet", dataset),
    }
    request = transport_of(client).request
    sent: list[str] = []

    def interrupted(method: str, *segments: str, **options: Any) -> Any:
        if segments[-1] in ("append", "annotate", "predict"):
            sent.append(segments[-1])
            if len(sent) == 3:
                raise KeyboardInterrupt
        return request(method, *segments, **options)

    transport_of(client).request = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt) as caught:
        acts[kind]()
    transport_of(client).request = request  # type: ignore[method-assign]
    result = caught.value.result  # type: ignore[attr-defined]
    if kind == "import":
        assert (result.new, result.failed) == (2, 0)
    else:
        assert result.rows["status"].tolist() == ["new", "new", "error"]
        assert "interrupted" in result.rows["error"].iloc[2]
        assert result.failed.index.tolist() == [2]
    acts[kind]()
    view = {
        "append": dataset.items,
        "import": dataset.items,
        "annotate": dataset.annotations,
        "predict": run.predictions,
    }
    assert sorted(view[kind]["reference_id"]) == IDS
