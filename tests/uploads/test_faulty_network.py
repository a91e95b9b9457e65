"""Every operation over a network that breaks: it ends right, or with an error that tells what is known to be stored.

Schedules are seeded; NUCLEUS_PANDAS_FAULTS says how many are run.
"""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.faulty_network import (
    ALWAYS,
    MAX_CONCURRENCY,
    PASSING,
    SCHEDULES,
    Clock,
    FaultyNetwork,
    at,
    behind_proxy,
    handle,
    interrupted,
    numbered_boxes,
    numbered_items,
    only,
    serving,
    some,
    sound,
    stop_clock,
)
from tests.support.faulty_proxy import FAULTS, REFUSALS, Request
from tests.support.private import dataset_handle, extensions_of, model_handle, run_handle, set_extensions
from tests.support.waiting import wait_for


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_clock(monkeypatch)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a server in a thread, for all tests."""
    with serving(tmp_path_factory.mktemp("served")) as endpoint:
        yield endpoint


@pytest.fixture(params=["embedded", "contract"])
def network(request: pytest.FixtureRequest, served: str, clock: Clock, tmp_path: Path) -> Iterator[FaultyNetwork]:
    """A server with a proxy before it, which may hide what is beyond the contract."""
    with behind_proxy(served, tmp_path, request.param) as made:
        yield made


@pytest.fixture
def hosted(served: str, clock: Clock, tmp_path: Path) -> Iterator[FaultyNetwork]:
    """A server that looks like the hosted service, with a proxy before it."""
    with behind_proxy(served, tmp_path, "contract") as made:
        yield made


def uploads(
    network: FaultyNetwork,
    frame: pd.DataFrame,
    send: Callable[[npd.NucleusClient, Any], npd.UploadResult],
    stored: Callable[[], pd.DataFrame],
    key: str,
) -> Callable[[npd.NucleusClient], bool]:
    """An upload that is accounted for row by row, and mended by sending what failed, or everything, again."""

    def act(client: npd.NucleusClient) -> bool:
        result, error, before = None, None, len(network.proxy.requests)
        try:
            result = send(client, frame)
        except npd.UploadError as caught:
            result, error = caught.result, caught
        except (npd.NetworkError, npd.APIError) as caught:
            error = caught
        network.proxy.plan = sound
        there = stored()[key].tolist()
        assert len(there) == len(set(there)), "doubled"
        wanted = frame[key].tolist()
        assert set(there) <= set(wanted)
        if result is None:
            assert there == [], f"{error!r} tells nothing of what is stored"
        else:
            check_rows(result, wanted, there, error)
        again = frame if result is None or random.Random(len(there)).random() < 0.5 else result.failed
        if len(again):
            send(network.clean, again)
        requests = network.proxy.requests[before:]
        if key == "reference_id" and not any(map(alone, requests)) and sum(map(with_image, requests)) <= 1:
            assert stored()[key].tolist() == wanted, "another order"
        assert sorted(stored()[key]) == sorted(wanted)
        whole(stored(), frame, key)
        return error is None

    return act


def alone(request: Request) -> bool:
    """Return whether a batch is refused by what it meets, and the next is sent: they are stored in another order."""
    fault = request.fault or ""
    return fault.startswith("500") or ("/_upload/" in request.target and "200" in fault)


def with_image(request: Request) -> bool:
    """Return whether items come with their images: such requests travel side by side, and none waits for another."""
    return request.target.endswith("append?async=1") and "multipart" in (request.header("Content-Type") or "")


def check_rows(result: npd.UploadResult, wanted: list[str], there: list[str], error: BaseException | None) -> None:
    """What a result says of every row must be so."""
    for name, status, reason in zip(wanted, result.rows["status"], result.rows["error"], strict=True):
        if status in ("new", "updated", "ignored", "processed", "accepted"):
            assert name in there, f"{name} is said to be {status}"
        elif "may be stored" not in str(reason):
            assert name not in there, f"{name} is said to be {status}: {reason}"
    assert (error is not None) == (result.rows["status"].eq("error").any() or bool(result.jobs))
    if result.jobs:
        assert "the server did not say how" in str(error)
        with suppress(npd.UploadError):  # of the rows that were not sent
            result.wait()
        assert result.jobs == []
        assert all(name in there for name, status in zip(wanted, result.rows["status"], strict=True) if status == "new")


def whole(stored: pd.DataFrame, frame: pd.DataFrame, key: str) -> None:
    """Rows are stored as they were sent."""
    columns = [name for name in frame if name in stored and name != "image_url"]
    one = stored.sort_values(key)[columns].reset_index(drop=True)
    other = frame.sort_values(key)[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, other, check_dtype=False)


def append_remote(network: FaultyNetwork) -> Any:
    dataset = network.dataset()
    return uploads(
        network,
        numbered_items(),
        lambda client, rows: handle(client, dataset).append(rows, batch_size=5),
        lambda: dataset.items.to_frame(),
        "reference_id",
    )


def append_images(network: FaultyNetwork) -> Any:
    dataset = network.dataset()
    frame = pd.DataFrame({"reference_id": [path.name for path in sorted(network.images)]})
    frame["image_url"] = [str(path) for path in sorted(network.images)]
    return uploads(
        network,
        frame,
        lambda client, rows: handle(client, dataset).append(rows),
        lambda: dataset.items.to_frame(),
        "reference_id",
    )


def append_both(network: FaultyNetwork) -> Any:
    dataset = network.dataset()
    frame = numbered_items(6).drop(columns="metadata")
    frame.loc[[1, 4], "image_url"] = [str(path) for path in network.images[:2]]
    return uploads(
        network,
        frame,
        lambda client, rows: handle(client, dataset).append(rows),
        lambda: dataset.items.to_frame(),
        "reference_id",
    )


def annotate(network: FaultyNetwork) -> Any:
    dataset = network.dataset(6)
    return uploads(
        network,
        numbered_boxes(),
        lambda client, rows: handle(client, dataset).annotate(rows, batch_size=3),
        lambda: dataset.annotations.to_frame(),
        "annotation_id",
    )


def predict(network: FaultyNetwork) -> Any:
    dataset = network.dataset(6)
    run = dataset.create_model_run(network.clean.add_model("M", reference_id=network.name()))
    return uploads(
        network,
        numbered_boxes().assign(confidence=0.25),
        lambda client, rows: run_handle(client, run.id, dataset.id).predict(rows, batch_size=2),
        lambda: run.predictions.to_frame(),
        "annotation_id",
    )


def creates(
    make: Callable[[npd.NucleusClient], Any], found: Callable[[], list[str]]
) -> Callable[[npd.NucleusClient], bool]:
    """Something is made once, or an error says that it may be there."""

    def act(client: npd.NucleusClient) -> bool:
        try:
            made, told = make(client), ""
        except (npd.NetworkError, npd.APIError) as error:
            made, told = None, str(error)
        there = found()
        assert len(there) <= 1, "made twice"
        assert made is not None or not there or "may exist" in told
        assert made is None or there == [made.id]
        return made is not None

    return act


def create_dataset(network: FaultyNetwork) -> Any:
    name = network.name()

    def found() -> list[str]:
        datasets = network.clean.datasets
        return datasets["id"][datasets["name"] == name].tolist()

    return creates(lambda client: client.create_dataset(name), found)


def add_model(network: FaultyNetwork) -> Any:
    name = network.name()

    def found() -> list[str]:
        models = network.clean.models
        return models["id"][models["reference_id"] == name].tolist()

    return creates(lambda client: client.add_model("M", reference_id=name), found)


def create_model_run(network: FaultyNetwork) -> Any:
    dataset, model = network.dataset(), network.clean.add_model("M", reference_id=network.name())
    return creates(
        lambda client: handle(client, dataset).create_model_run(model_handle(client, model.id)),
        lambda: [run.id for run in dataset.model_runs],
    )


def reads(network: FaultyNetwork, read: Callable[[npd.NucleusClient], Any]) -> Callable[[npd.NucleusClient], bool]:
    """What is read is what is there."""
    expected = read(network.clean)

    def act(client: npd.NucleusClient) -> bool:
        try:
            found = read(client)
        except npd.NucleusError:
            return False
        if isinstance(expected, (pd.DataFrame, pd.Series)):
            assert found.to_csv() == expected.to_csv()
        else:
            assert found == expected
        return True

    return act


@pytest.fixture(scope="module")
def library(served: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[npd.Dataset, npd.ModelRun]:
    """Something to read."""
    folder = tmp_path_factory.mktemp("library")
    with behind_proxy(served, folder, "embedded") as network:
        dataset, run = network.run()
        run.commit()
    return dataset, run


def readings(network: FaultyNetwork, library: tuple[npd.Dataset, npd.ModelRun]) -> dict[str, Callable[..., Any]]:
    dataset, run = library
    first = dataset.items.to_frame().index[0]

    def its(client: npd.NucleusClient) -> npd.ModelRun:
        return run_handle(client, run.id, dataset.id)

    found = {
        "list_datasets": lambda client: client.list_datasets(),
        "datasets": lambda client: client.datasets,
        "models": lambda client: client.models,
        "get_dataset": lambda client: client.get_dataset(dataset.id).name,
        "len": lambda client: len(handle(client, dataset)),
        "model_runs": lambda client: [run.id for run in handle(client, dataset).model_runs],
        "iloc": lambda client: handle(client, dataset).iloc[1:4],
        "loc": lambda client: handle(client, dataset).loc[first],
        "refloc": lambda client: handle(client, dataset).refloc[["03.jpg", "01.jpg"]],
        "refloc call": lambda client: handle(client, dataset).refloc("03.jpg"),
        "items": lambda client: handle(client, dataset).items.to_frame(),
        "frames": lambda client: pd.concat(handle(client, dataset).annotations.iter_frames(2)),
        "predictions": lambda client: its(client).predictions.to_frame(),
        "predictions refloc": lambda client: its(client).predictions.refloc[["03.jpg", "01.jpg"]],
        "predictions call": lambda client: its(client).refloc("03.jpg"),
    }
    if network.kind == "embedded":
        found["matches"] = lambda client: its(client).matches()
    return found


def delete_dataset(network: FaultyNetwork) -> Any:
    dataset = network.dataset(2)

    def act(client: npd.NucleusClient) -> bool:
        try:
            answer = client.delete_dataset(dataset.id)
        except (npd.NetworkError, npd.APIError):
            ended = False
        else:
            ended = "message" in answer  # the contract names no key that must be there
            assert not ended or dataset.id not in network.clean.list_datasets()
        if dataset.id in network.clean.list_datasets():
            network.clean.delete_dataset(dataset.id)
        return ended

    return act


def delete_model_run(network: FaultyNetwork) -> Any:
    dataset, run = network.run()

    def act(client: npd.NucleusClient) -> bool:
        try:
            answer = client.delete_model_run(run.id)
        except (npd.NetworkError, npd.APIError):
            return False
        ended = "message" in answer
        assert not ended or dataset.model_runs == []
        return ended

    return act


def commit(network: FaultyNetwork) -> Any:
    _, run = network.run()

    def act(client: npd.NucleusClient) -> bool:
        try:
            run_handle(client, run.id).commit()
        except (npd.NetworkError, npd.APIError):
            run.commit()
            ended = False
        else:
            ended = True
        assert run.info["status"] == "committed"
        assert run.matches()["match_type"].eq("TP").all()
        return ended

    return act


SENDING = {
    one.__name__: one
    for one in (
        append_remote,
        append_images,
        append_both,
        annotate,
        predict,
        create_dataset,
        add_model,
        create_model_run,
        delete_dataset,
        delete_model_run,
        commit,
    )
}
CREATIONS = ("create_dataset", "add_model", "create_model_run")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_sent_is_stored_or_told(network: FaultyNetwork, fault: str) -> None:
    timeout, places = (0.2, [1]) if fault == "too late" else (20.0, [0, 1, 2, 3, ALWAYS])
    for name, place in some(itertools.product(SENDING, places), f"{network.kind} {fault}", 3):
        act = SENDING[name](network)
        with network.client(timeout) as client, network.proxy.breaking(at(place, fault)) as seen:
            ended = act(client)
        case = (name, place, [(request.fault, request.method, request.target) for request in seen])
        if place == ALWAYS:
            assert not ended or fault.startswith("an object"), case
        elif fault in PASSING and not (name in CREATIONS and network.kind == "contract" and fault not in REFUSALS):
            assert ended, case


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "too late"])
def test_what_is_read_is_right_or_an_error(
    network: FaultyNetwork, library: tuple[npd.Dataset, npd.ModelRun], fault: str
) -> None:
    known = readings(network, library)
    for name, place in some(itertools.product(known, [0, 1, 2, ALWAYS]), f"{network.kind} {fault}", 5):
        act = reads(network, known[name])
        with network.client() as client, network.proxy.breaking(at(place, fault)):
            ended = act(client)
        if place == ALWAYS:
            assert not ended or fault.startswith("an object"), name
        else:
            assert ended or fault not in PASSING, (name, place)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_a_schedule_of_faults_loses_nothing(
    network: FaultyNetwork, library: tuple[npd.Dataset, npd.ModelRun], seed: int
) -> None:
    chance = random.Random(seed)
    often = chance.choice([0.1, 0.3, 0.6])
    kinds = [fault for fault in FAULTS if fault != "too late" or chance.random() < 0.1]

    def plan(request: Request) -> str | None:
        return chance.choice(kinds) if chance.random() < often else None

    with network.client(0.5, chance.choice([0, 1, 4])) as client:
        for name in chance.sample(sorted(SENDING), 5):
            act = SENDING[name](network)
            with network.proxy.breaking(plan):
                act(client)
        for read in readings(network, library).values():
            act = reads(network, read)
            with network.proxy.breaking(plan):
                act(client)


@pytest.mark.parametrize("fault", ["answer lost", "cut before", "503", "page, 502", "an object, 200"])
def test_a_job_that_cannot_be_looked_at_goes_on(hosted: FaultyNetwork, fault: str) -> None:
    dataset = hosted.dataset()
    with hosted.client() as client:
        with hosted.proxy.breaking(only("/job/", fault)), pytest.raises(npd.UploadError) as caught:
            handle(client, dataset).append(numbered_items(3))
        result = caught.value.result
        assert "accepted" in str(caught.value)
        assert ".result.wait() waits for it again" in str(caught.value)
        assert result.rows["status"].tolist() == ["accepted"] * 3
        assert len(result.failed) == 0
        (job,) = result.jobs
        assert job.id in str(caught.value)
        assert result.wait().rows["status"].tolist() == ["new"] * 3
        assert (result.new_items, result.jobs) == (3, [])
        with hosted.proxy.breaking(only("/job/", fault)):
            result = handle(client, dataset).append(numbered_items(3), on_error="collect")
            assert result.rows["status"].tolist() == ["accepted"] * 3
            with pytest.raises(npd.NucleusError):
                result.wait()
        assert result.wait().ignored_items == 3


def test_nothing_overtakes_a_job_that_cannot_be_looked_at(hosted: FaultyNetwork) -> None:
    dataset = hosted.dataset()
    frame = numbered_items(3).drop(columns="metadata")
    frame.loc[1, "image_url"] = str(hosted.images[0])
    with (
        hosted.client() as client,
        hosted.proxy.breaking(only("/job/", "503")),
        pytest.raises(npd.UploadError, match="the server did not say how") as caught,
    ):
        handle(client, dataset).append(frame)
    assert caught.value.result.rows["status"].tolist() == ["accepted", "error", "error"]
    assert caught.value.result.failed["reference_id"].tolist() == ["01.jpg", "02.jpg"]
    assert dataset.items.to_frame()["reference_id"].tolist() == ["00.jpg"]


@pytest.mark.parametrize("fault", ["answer lost", "502, done"])
def test_rows_that_exist_may_be_those_of_an_earlier_try(network: FaultyNetwork, fault: str) -> None:
    dataset = network.dataset(6)
    with network.client() as client:
        assert len(handle(client, dataset)) == 6
        first = 1 if "check-existing" in extensions_of(client) else 4  # requests that look for rows store nothing
        with network.proxy.breaking(at(first, fault)), pytest.raises(npd.AlreadyExistsError) as caught:
            handle(client, dataset).annotate(numbered_boxes(4), if_exists="error")
        assert "an earlier attempt of the same request, which got no answer, stored it" in str(caught.value)
        assert "No row is stored" not in str(caught.value)
        with pytest.raises(npd.AlreadyExistsError, match="No row is stored") as caught:
            handle(client, dataset).annotate(numbered_boxes(4), if_exists="error")
        assert "earlier attempt" not in str(caught.value)


@pytest.mark.parametrize("extensions", [None, frozenset(), frozenset({"outcomes"})])
def test_what_cannot_be_stored_is_not_said_to_be_in_doubt(clock: Clock, extensions: frozenset[str] | None) -> None:
    client = npd.NucleusClient(endpoint="http://127.0.0.1:9/v1/nucleus")
    if extensions is not None:
        set_extensions(client, extensions)
    with pytest.raises(npd.UploadError, match="No row is stored") as caught:
        dataset_handle(client, "ds_1").annotate(numbered_boxes(4), batch_size=2)
    assert "may be stored" not in str(caught.value) + str(caught.value.result.rows["error"].tolist())


@pytest.mark.parametrize("retries", [0, 1, 4])
@pytest.mark.parametrize("fault", ["cut before", "answer lost", "429", "500", "503", "524", "half an answer"])
def test_tries_are_counted_and_pauses_grow(network: FaultyNetwork, clock: Clock, fault: str, retries: int) -> None:
    with (
        network.client(max_retries=retries) as client,
        network.proxy.breaking(at(ALWAYS, fault)) as seen,
        pytest.raises((npd.NetworkError, npd.APIError)),
    ):
        client.list_datasets()
    assert len(seen) == retries + 1
    assert len(clock.slept) == retries
    for attempt, pause in enumerate(clock.slept):
        assert 0.25 * 2**attempt <= pause <= 0.5 * 2**attempt


@pytest.mark.parametrize(("fault", "least", "most"), [("429, seconds", 7, 7), ("429, date", 25, 30)])
def test_the_server_says_how_long_to_wait(
    network: FaultyNetwork, clock: Clock, fault: str, least: float, most: float
) -> None:
    with network.client() as client, network.proxy.breaking(at(0, fault)):
        assert client.list_datasets() == network.clean.list_datasets()
    (pause,) = clock.slept
    assert least <= pause <= most


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_says_that_nothing_is_in_doubt(network: FaultyNetwork, fault: str) -> None:
    dataset = network.dataset(6)
    with network.client() as client:
        _ = extensions_of(client)
        with network.proxy.breaking(at(ALWAYS, fault)), pytest.raises(npd.APIError) as caught:
            handle(client, dataset).annotate(numbered_boxes(2))
        with network.proxy.breaking(at(ALWAYS, fault)), pytest.raises(npd.APIError) as creation:
            client.create_dataset("never")
    assert "may" not in str(caught.value) + str(creation.value)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda dataset: dataset.annotate(numbered_boxes(600), batch_size=1), id="send"),
        pytest.param(lambda dataset: dataset.refloc[["00.jpg", "01.jpg", "02.jpg", "03.jpg"]], id="read"),
    ],
)
def test_ctrl_c_ends_at_once_though_nobody_answers(hosted: FaultyNetwork, act: Callable[[npd.Dataset], Any]) -> None:
    made = hosted.dataset(6)
    with hosted.client(timeout=3) as client:
        dataset = handle(client, made)
        _ = extensions_of(client)
        with hosted.proxy.breaking(at(ALWAYS, "too late")) as seen, interrupted(hosted.proxy, 3):
            act(dataset)
        assert len(seen) == 3
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("nucleus_pandas-")]
    for thread in threads:  # a client that is closed tries nothing again
        thread.join(20)
        assert not thread.is_alive()
    assert threads


def test_a_program_ends_at_once_by_ctrl_c(hosted: FaultyNetwork) -> None:
    dataset = hosted.dataset(6)
    code = f"""
import pandas as pd, nucleus_pandas as npd
client = npd.NucleusClient(endpoint={hosted.proxy.endpoint!r}, timeout=30)
dataset = client.get_dataset({dataset.id!r})
frame = pd.DataFrame({{"reference_id": ["00.jpg"] * 99, "x": range(99)}})
frame = frame.assign(label="car", y=1, width=2, height=3)
dataset.annotate(frame, batch_size=1)
"""
    with hosted.proxy.breaking(only("/annotate", "too late")):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        wait_for(lambda: any("/annotate" in request.target for request in hosted.proxy.requests))
        sent = len(hosted.proxy.requests)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)  # less than a request waits for its answer
        assert len(hosted.proxy.requests) - sent < MAX_CONCURRENCY
    assert "KeyboardInterrupt" in said
    assert process.returncode != 0
