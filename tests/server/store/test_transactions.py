"""Transactions, threads and processes on one store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from nucleus_pandas.server.ingest.rows import Storing, store_annotations, store_items
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store import datasets
from nucleus_pandas.server.store.database import Database
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.wire.requests import CreateDataset
from tests.http import Http
from tests.server.store.store_http import TABLES, StoreHttp, box_row, image_row, new_box, new_items, rows_in


def test_a_failing_transaction_leaves_nothing(nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Whole"))
    before = rows_in(nucleus, *TABLES)

    def fail() -> None:
        with nucleus.database.write() as db:
            store_items(db, dataset, new_items(["0", "1"]), update=False)
            store_annotations(db, AnnotationLayer(None, ("dataset", dataset.id)), dataset, [new_box("0")], Storing())
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert rows_in(nucleus, *TABLES) == before
    with nucleus.database.write() as db:
        assert datasets.find(db, dataset.public_id).length == 0
        assert store_items(db, dataset, new_items(["0"]), update=False).outcomes == ["new"]


def test_a_refused_request_leaves_nothing(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset_of(1)
    before = rows_in(nucleus, *TABLES)
    http("POST", f"dataset/{dataset}/append", {"items": [image_row("x"), {"reference_id": "y"}]}, 400)
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [box_row("0", "a"), box_row("0", "b", type="?")]}, 400)
    http("POST", f"dataset/{dataset}/annotate", {"annotations": [box_row("0", "a", item_id="di_1")]}, 400)
    assert rows_in(nucleus, *TABLES) == before


def test_a_reader_sees_one_moment(nucleus: EmbeddedNucleus) -> None:
    with nucleus.database.write() as db:
        dataset = datasets.create(db, CreateDataset(name="Moment"))
    with nucleus.database.read() as reader:
        assert datasets.find(reader, dataset.public_id).length == 0
        with nucleus.database.write() as db:
            store_items(db, dataset, new_items(["0"]), update=False)
        assert datasets.find(reader, dataset.public_id).length == 0
    with nucleus.database.read() as reader:
        assert datasets.find(reader, dataset.public_id).length == 1


def test_threads_append_at_once(http: StoreHttp, nucleus: EmbeddedNucleus) -> None:
    dataset = http.new_dataset()
    counts: list[int] = []
    failures: list[BaseException] = []

    def work(number: int, mine: Http) -> None:
        try:
            for call in range(10):
                names = [f"own-{number}-{call}-{n}" for n in range(10)] + [f"shared-{call}-{n}" for n in range(10)]
                rows = [image_row(name) for name in names]
                counts.append(mine("POST", f"dataset/{dataset}/append", {"items": rows})["new_items"])
                boxes = [box_row(name, "x") for name in names]
                mine("POST", f"dataset/{dataset}/annotate", {"annotations": boxes})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number, StoreHttp(nucleus))) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(counts) == 6 * 100 + 100
    assert http("GET", f"dataset/{dataset}/size") == {"count": 700}
    assert rows_in(nucleus, "item", "annotation") == {"item": 700, "annotation": 700}


def test_many_open_a_new_folder_at_once(tmp_path: Path) -> None:
    for number in range(5):
        barrier = threading.Barrier(6)
        opened: list[Database] = []
        failures: list[BaseException] = []

        def work(folder: Path, barrier: threading.Barrier, opened: list[Database], failures: list[Any]) -> None:
            barrier.wait()
            try:
                opened.append(Database(folder))
            except BaseException as error:
                failures.append(error)

        arguments = (tmp_path / str(number), barrier, opened, failures)
        threads = [threading.Thread(target=work, args=arguments) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for database in opened:
            database.close()
        assert failures == []
