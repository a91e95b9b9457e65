"""What was answered is there, whatever ends the server, and several processes write into one store at once.

How often servers are killed says NUCLEUS_PANDAS_KILLS.
"""

from __future__ import annotations

import copy
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.transport.multipart import Multipart
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.wire.responses import SignedUrl
from tests.factories import noise_png
from tests.support.concurrent_writer import CALLS, ROWS, work, write
from tests.support.private import dataset_handle, model_handle, send_request, transport_of

KILLS = int(os.environ.get("NUCLEUS_PANDAS_KILLS", "3"))

if sys.platform == "win32":
    pytest.skip("there is no kill -9", allow_module_level=True)
from tests.support.server_process import CONTEXT, Served  # noqa: E402
from tests.support.stored_files import check_purged, check_whole, database_of  # noqa: E402

# Killed at random moments


@dataclass
class Known:
    """Everything that can be read of a story: the rows, in their order where there is one."""

    items: list[tuple[str, str]] = field(default_factory=list)
    annotations: dict[tuple[str, str], tuple[object, ...]] = field(default_factory=dict)
    predictions: dict[tuple[str, str], tuple[object, ...]] = field(default_factory=dict)
    matches: Counter[str] | None = None
    made: set[str] = field(default_factory=set)


Effect = Callable[[Known], object]


@dataclass
class Step:
    """What somebody does with one call: one request or several, and what each makes of the rows."""

    name: str
    act: Callable[[npd.NucleusClient], object]
    effects: list[Effect]


def item_rows(names: list[str], pad: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in names]
    return [{**row, "metadata": {"pad": "x" * pad}} for row in rows] if pad else rows


def box_rows(names: list[str], each: int, prefix: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": "box",
            "label": f"label {n % 3}",
            "reference_id": name,
            "annotation_id": f"{prefix}{n}",
            "geometry": {"x": 20.0 * n, "y": float(at), "width": 10.0, "height": 5.5},
            **fields,
        }
        for at, name in enumerate(names)
        for n in range(each)
    ]


def as_frame(boxes: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{**{k: v for k, v in box.items() if k != "geometry"}, **box["geometry"]} for box in boxes])


def as_known(boxes: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[object, ...]]:
    return {(b["reference_id"], b["annotation_id"]): (b["label"], *b["geometry"].values()) for b in boxes}


class Story:
    """Requests of every kind about datasets of one number."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.title, self.doomed = f"Images {number}", f"Doomed {number}"
        self.ids: dict[str, str] = {}
        self.known = Known()
        folder = folder / str(number)
        folder.mkdir()
        self.images = [folder / f"{n}.png" for n in range(14)]
        for n, path in enumerate(self.images):
            path.write_bytes(noise_png(100 * number + n))
        self.mask = folder / "mask.png"
        Image.new("L", (8, 8), number % 256).save(self.mask)
        self.steps = list(self._steps())

    def _steps(self) -> Iterator[Step]:
        framed = [f"frame-{n}" for n in range(100)]
        posted = [*(f"posted-{n}" for n in range(50)), "gone"]
        signed = [f"signed-{n}" for n in range(50)]
        large = [f"large-{n}" for n in range(5_200)]

        yield Step("create", self._create, [lambda known: known.made.update({self.title, self.doomed, "run", "other"})])

        def appended(names: list[str]) -> Effect:
            return lambda known: known.items.extend((name, f"https://example.org/{name}") for name in names)

        rows = item_rows(framed)
        yield Step(
            "append a frame",
            lambda client: self._dataset(client).append(pd.DataFrame(rows), batch_size=40),
            [appended(framed[start : start + 40]) for start in (0, 40, 80)],
        )
        yield Step("append", self._post("append", items=item_rows(posted)), [appended(posted)])
        yield Step("append by upload", self._upload("append", item_rows(signed)), [appended(signed)])
        yield Step(
            "append by a large upload",
            self._upload("append", item_rows(large, pad=800)),
            [appended(large[:5_000]), appended(large[5_000:])],
        )
        uploaded = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in self.images]
        images = pd.DataFrame({"reference_id": [path.name for path in self.images], "image_url": self.images})
        yield Step(
            "append images",
            lambda client: self._dataset(client).append(images[:12], batch_size=10),
            [lambda known: known.items.extend(uploaded[:10]), lambda known: known.items.extend(uploaded[10:12])],
        )
        yield Step(
            "append items with their images",
            self._post_images,
            [lambda known: known.items.extend(uploaded[12:])],
        )

        def annotated(boxes: list[dict[str, Any]]) -> Effect:
            return lambda known: known.annotations.update(as_known(boxes))

        def predicted(boxes: list[dict[str, Any]]) -> Effect:
            return lambda known: known.predictions.update(as_known(boxes))

        truth, few, fewer = box_rows(framed, 10, "f"), box_rows(posted[:-1], 6, "p"), box_rows(signed, 6, "s")
        yield Step(
            "annotate with a frame",
            lambda client: self._dataset(client).annotate(as_frame(truth), batch_size=500),
            [annotated(truth[:500]), annotated(truth[500:])],
        )
        yield Step("annotate", self._post("annotate", annotations=few), [annotated(few)])
        yield Step("annotate by upload", self._upload("annotate", fewer), [annotated(fewer)])
        mask = ("frame-0", hashlib.sha256(self.mask.read_bytes()).hexdigest())
        yield Step("annotate a mask", self._post_mask, [lambda known: known.annotations.update({mask: ("mask",)})])

        guesses = box_rows(framed, 10, "f", confidence=0.5)
        others = box_rows(posted[:-1], 3, "p", confidence=0.25)
        run = lambda client: client.get_model_run(self.ids["run"])  # noqa: E731
        yield Step(
            "predict with a frame",
            lambda client: run(client).predict(as_frame(guesses), batch_size=500),
            [predicted(guesses[:500]), predicted(guesses[500:])],
        )
        yield Step(
            "predict",
            lambda client: send_request(
                client, "POST", "modelRun", self.ids["run"], "predict", body={"annotations": others}
            ),
            [predicted(others)],
        )
        matches = Counter(TP=len(guesses) + len(others), FN=len(truth) + len(few) + len(fewer))
        matches["FN"] -= matches["TP"]
        yield Step("commit", lambda client: run(client).commit(), [lambda known: setattr(known, "matches", matches)])
        yield Step(
            "delete an item",
            lambda client: self._delete(client, "dataset", self.ids[self.title], "refloc", "gone"),
            [lambda known: known.items.remove(("gone", "https://example.org/gone"))],
        )
        yield Step(
            "delete a run",
            lambda client: self._delete(client, "modelRun", self.ids["other"]),
            [lambda known: known.made.remove("other")],
        )
        yield Step(
            "delete a dataset",
            lambda client: self._delete(client, "dataset", self.ids[self.doomed]),
            [lambda known: known.made.remove(self.doomed)],
        )

    def _create(self, client: npd.NucleusClient) -> None:
        """Create what the story is about, under keys that make it once; no kill comes here."""
        if self.ids:
            return
        for name in (self.title, self.doomed):
            self.ids[name] = client.create_dataset(name).id
        dataset = client.get_dataset(self.ids[self.doomed])
        dataset.append(item_rows([f"doomed-{n}" for n in range(100)]))
        dataset.append({"items": [{"reference_id": "mine", "image_url": str(self.images[0])}]}, local=True)
        dataset.annotate({"annotations": box_rows([f"doomed-{n}" for n in range(100)], 5, "d")})
        model = client.add_model("Detector", reference_id=f"detector {self.number}")
        for name in ("run", "other"):
            made = self._dataset(client).create_model_run(model)
            self.ids[name] = made.id

    def _dataset(self, client: npd.NucleusClient) -> npd.Dataset:
        return client.get_dataset(self.ids[self.title])

    def _post(self, route: str, **body: object) -> Callable[[npd.NucleusClient], object]:
        return lambda client: send_request(client, "POST", "dataset", self.ids[self.title], route, body=body)

    def _post_images(self, client: npd.NucleusClient) -> object:
        rows = [{"reference_id": path.name} for path in self.images[12:]]
        files = [("image", path, path.name) for path in self.images[12:]]
        sent = Multipart({"items": json.dumps(rows).encode()}, files)
        return send_request(client, "POST", "dataset", self.ids[self.title], "append", multipart=sent)

    def _post_mask(self, client: npd.NucleusClient) -> object:
        segments = [{"label": "sky", "index": 1}]
        row = {"type": "mask", "reference_id": "frame-0", "mask_url": "mask.png", "annotations": segments}
        fields = {"serialized_request": json.dumps({"segmentations": [row]}).encode()}
        sent = Multipart(fields, [("mask", self.mask, "mask.png")])
        return send_request(client, "POST", "dataset", self.ids[self.title], "annotate", multipart=sent)

    def _upload(self, route: str, rows: list[dict[str, Any]]) -> Callable[[npd.NucleusClient], object]:
        lines = b"\n".join(json.dumps(row).encode() for row in rows)

        def act(client: npd.NucleusClient) -> object:
            transport, dataset = transport_of(client), self.ids[self.title]
            request_id = os.urandom(8).hex()
            url = transport.read(SignedUrl, "dataset", dataset, "signedUrl", request_id).signed_url
            transport.put(url, BytesIO(lines), len(lines))
            body = {"requestId": request_id}
            job = transport.request("POST", "dataset", dataset, route, params={"async": 1}, body=body)
            ended = Job(transport, job["job_id"]).wait()
            assert ended.status == "Completed"
            return ended

        return act

    def _delete(self, client: npd.NucleusClient, *route: str) -> None:
        with suppress(npd.NotFoundError):  # when everything is sent again it is gone already
            send_request(client, "DELETE", *route)

    def tell(self, client: npd.NucleusClient, step: Step) -> float:
        """Do a step, and note what it made of the rows; return the seconds that it lasted."""
        began = time.perf_counter()
        step.act(client)
        for effect in step.effects:
            effect(self.known)
        return time.perf_counter() - began

    def tell_again(self, client: npd.NucleusClient, steps: list[Step]) -> None:
        """Send everything again; afterwards there is what the steps make of nothing."""
        self.known = Known()
        for step in steps:
            self.tell(client, step)

    def read(self, client: npd.NucleusClient) -> Known:
        """Read everything back."""
        found = Known()
        dataset = self._dataset(client)
        items = dataset.items.to_frame(metadata_as=False)
        addresses = [Path(url).stem if "/images/" in url else url for url in items["image_url"]]
        found.items = list(zip(items["reference_id"], addresses, strict=True))
        boxes = dataset.annotations.to_frame()
        found.annotations = _boxes(boxes[boxes["type"] == "box"])
        for row in boxes[boxes["type"] == "mask"].itertuples():
            found.annotations[row.reference_id, Path(row.geometry["mask_url"]).stem] = ("mask",)
        run = client.get_model_run(self.ids["run"])
        found.predictions = _boxes(run.predictions.to_frame())
        if run.info["status"] == "committed":
            found.matches = Counter(run.matches()["match_type"])
        names = client.datasets["name"].tolist()
        runs = [run.id for run in dataset.model_runs]
        found.made = {name for name in (self.title, self.doomed) if name in names}
        found.made |= {name for name in ("run", "other") if self.ids[name] in runs}
        return found

    def check(self, client: npd.NucleusClient, unanswered: Step | None = None) -> None:
        """See that what was answered is there, and that of a step without an answer each request did all or nothing."""
        found, expected = self.read(client), copy.deepcopy(self.known)
        for effect in () if unanswered is None else unanswered.effects:
            if found == expected:
                return
            effect(expected)
        assert found == expected


def _boxes(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[object, ...]]:
    columns = ("reference_id", "annotation_id", "label", "x", "y", "width", "height")
    rows = list(zip(*(frame[name].tolist() for name in columns), strict=True))
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert len(found) == len(rows), "an annotation is there twice"
    return found


def send_until_killed(story: Story, client: npd.NucleusClient, step: Step, server: Served, seconds: float) -> bool:
    """Do a step, and kill the server in the midst of it; whether it was answered all the same."""
    failures: list[BaseException] = []

    def act() -> None:
        try:
            story.tell(client, step)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    time.sleep(seconds)
    server.kill()
    thread.join()
    for error in failures:
        if not isinstance(error, (npd.NetworkError, npd.UploadError)):
            raise error
    return not failures


@pytest.mark.parametrize("moment", ["between", "inside"])
def test_what_was_answered_survives_a_kill(store: Path, tmp_path: Path, moment: str) -> None:
    draw = random.Random(moment)
    server = Served(store)
    lasted: dict[str, float] = {}  # seconds, of each step
    targets: list[int] = []
    kills: Counter[str] = Counter()
    numbers = iter(range(1, 10 + 5 * KILLS))
    try:
        while kills.total() < KILLS:
            story = Story(next(numbers), tmp_path)
            if not lasted:
                with server.client() as client:
                    lasted = {step.name: story.tell(client, step) for step in story.steps}
                    story.check(client)
                continue
            targets = targets or draw.sample(range(1, len(story.steps)), len(story.steps) - 1)
            target = story.steps[targets.pop()]
            with server.client() as client:
                for step in story.steps[: story.steps.index(target)]:
                    lasted[step.name] = story.tell(client, step)
                unanswered = None
                if moment == "between":
                    server.kill()
                elif not send_until_killed(story, client, target, server, draw.uniform(0, lasted[target.name])):
                    unanswered = target
            check_whole(store)
            server = Served(store)
            with server.client() as client:
                story.check(client, unanswered)
                if moment == "between" or unanswered is not None:
                    kills[target.name] += 1
                story.tell_again(client, story.steps)  # and what was not sent yet
                story.check(client)
    finally:
        server.kill()
    check_purged(store)
    print(dict(kills))


# Killed at every point of a request


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(1, tmp_path)


# Each request, where it is cut off, at the how manieth time, and how many of its effects are there.
POINTS = [
    ("append a frame", "stored", 1, 0),
    ("append a frame", "committed", 1, 1),
    ("append by upload", "arrived", 1, 0),
    ("append by upload", "committed", 3, 0),  # the job is there, and did nothing
    ("append by a large upload", "committed", 4, 1),
    ("append by a large upload", "stored", 5, 1),
    ("append images", "staged", 4, 0),
    ("append images", "stored", 1, 0),
    ("append images", "committed", 1, 0),  # they wait, and are not there yet
    ("append images", "published", 1, 0),
    ("append images", "stored", 2, 0),
    ("append images", "committed", 3, 1),
    ("append images", "committed", 4, 2),
    ("append items with their images", "staged", 2, 0),
    ("append items with their images", "committed", 1, 0),
    ("append items with their images", "published", 1, 0),
    ("append items with their images", "stored", 2, 0),
    ("append items with their images", "committed", 2, 1),
    ("annotate with a frame", "stored", 2, 1),
    ("annotate a mask", "published", 1, 0),
    ("predict", "committed", 1, 1),
    ("commit", "stored", 1, 0),
    ("delete a dataset", "committed", 1, 1),
]


@pytest.mark.parametrize(("name", "point", "times", "effects"), POINTS)
def test_a_request_cut_off_is_whole_or_absent(
    store: Path, story: Story, name: str, point: str, times: int, effects: int
) -> None:
    steps = story.steps[: 1 + [step.name for step in story.steps].index(name)]
    *before, target = steps
    with Served(store, point=(point, times)) as server, server.client(max_concurrency=1) as client:
        for step in before:
            story.tell(client, step)
        server.mark.touch()
        with pytest.raises((npd.NetworkError, npd.UploadError)):
            target.act(client)
        server.process.join(20)
        assert server.process.exitcode == -signal.SIGKILL
    check_whole(store)
    check_purged(store)
    for effect in target.effects[:effects]:
        effect(story.known)
    with npd.NucleusClient.local(store) as client:
        story.check(client)
        story.tell_again(client, steps)
        story.check(client)
    check_purged(store)


def test_half_a_body_is_nothing(store: Path, story: Story) -> None:
    with Served(store) as server, server.client() as client:
        for step in story.steps[:2]:
            story.tell(client, step)
        body = json.dumps({"items": item_rows([f"half-{n}" for n in range(1_000)])}).encode()
        with socket.create_connection((urlsplit(server.endpoint).hostname, urlsplit(server.endpoint).port)) as sent:
            head = f"POST /v1/nucleus/dataset/{story.ids[story.title]}/append HTTP/1.1\r\nHost: localhost\r\n"
            sent.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
            story.check(client)  # others are served meanwhile
            server.kill()
    check_whole(store)
    with npd.NucleusClient.local(store) as client:
        story.check(client)


def test_a_job_cut_off_is_given_up_once_its_heart_stands_still(store: Path, story: Story) -> None:
    rows = item_rows([f"large-{n}" for n in range(5_200)], pad=800)
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    with Served(store) as server, server.client() as client:
        story.tell(client, story.steps[0])
        transport, route = transport_of(client), ("dataset", story.ids[story.title])
        transport.put(transport.read(SignedUrl, *route, "signedUrl", "1").signed_url, BytesIO(lines), len(lines))
        consume: dict[str, Any] = {"params": {"async": 1}, "body": {"requestId": "1"}}
        job = transport.request("POST", *route, "append", **consume)["job_id"]
        server.kill()
    check_whole(store)
    with npd.NucleusClient.local(store) as client:
        assert client.get_job(job).status == "Running"  # somebody else may work on it
        assert send_request(client, "POST", *route, "append", **consume)["job_id"] == job
        assert len(client.get_dataset(route[1])) in (0, 5_000)
        with database_of(store) as db:
            db.execute("UPDATE job SET heartbeat = heartbeat - 100")
        assert client.get_job(job).status == "Errored_Server"
        assert "send the request again" in client.get_job(job).info["message"]["final_error"]
        story._upload("append", rows)(client)
        names = client.get_dataset(route[1]).items.to_frame()["reference_id"]
        assert names.tolist() == [row["reference_id"] for row in rows]


# Several processes


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("how", ["in process", "servers"])
def test_processes_write_at_once(store: Path, how: str, count: int) -> None:
    with npd.NucleusClient.local(store) as client:
        client.create_dataset("All")
    counts = _in_processes(store, count) if how == "in process" else _on_servers(store, count)
    calls = CALLS * ROWS
    assert counts == {
        "item new": calls * (count + 1),
        "item ignored": calls * (count - 1),
        "box new": calls * (2 * count + count + 1),
        "box ignored": calls * (count - 1),
    }
    check_whole(store)
    with npd.NucleusClient.local(store) as client:
        dataset = client.get_dataset(client.list_datasets()[0])
        names = dataset.items.to_frame()["reference_id"]
        assert len(names) == len(set(names)) == calls * (count + 1)
        for number in range(count):
            own = [name for name in names if name.startswith(f"own-{number}-")]
            assert own == [f"own-{number}-{call}-{n}" for call in range(CALLS) for n in range(ROWS)]
        boxes = dataset.annotations.to_frame()
        found = boxes.groupby("reference_id")["annotation_id"].agg(sorted)
        everyone = [*(f"of {number}" for number in range(count)), "same"]
        for name, ids in found.items():
            assert ids == (everyone if str(name).startswith("shared") else [f"of {str(name).split('-')[1]}", "same"])


def _in_processes(store: Path, count: int) -> Counter[str]:
    words = [CONTEXT.Pipe() for _ in range(count)]
    writers = [CONTEXT.Process(target=work, args=(store, number, theirs)) for number, (_, theirs) in enumerate(words)]
    for writer in writers:
        writer.start()
    for ours, _ in words:
        assert ours.recv() == "open"
    for ours, _ in words:
        ours.send("go")
    counts = sum((ours.recv() for ours, _ in words), Counter())
    for writer, ends in zip(writers, words, strict=True):
        writer.join(20)
        assert writer.exitcode == 0
        for end in ends:
            end.close()
    return counts


def _on_servers(store: Path, count: int) -> Counter[str]:
    with ExitStack() as stack:
        clients = [stack.enter_context(stack.enter_context(Served(store)).client()) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            return sum(pool.map(write, clients, range(count)), Counter())


# Answers that do not arrive


class Cutter(ThreadingHTTPServer):
    """A proxy that hands requests on, and cuts the answers of the first of them that make something."""

    daemon_threads = True

    def __init__(self, endpoint: str, *, cuts: int, half: bool = False, extensions: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _CutAnswer)
        self.upstream = urlsplit(endpoint).netloc
        self.endpoint = f"http://127.0.0.1:{self.server_port}/v1/nucleus"
        self.cuts, self.half, self.extensions = cuts, half, extensions
        self.keys: list[str | None] = []  # of the requests that make something


class _CutAnswer(BaseHTTPRequestHandler):
    server: Cutter
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._hand_on()

    def do_POST(self) -> None:
        self._hand_on()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(http.client.HTTPConnection(self.server.upstream, timeout=20)) as upstream:
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
        status = answer.status
        if self.path.endswith("/_nucleus_pandas") and not self.server.extensions:
            status, content = 404, b"<html>Not found</html>"
        cut = self.command == "POST" and len(self.server.keys) < self.server.cuts
        if self.command == "POST":
            self.server.keys.append(self.headers.get("Idempotency-Key"))
        self.close_connection = cut
        if cut and not self.server.half:
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def cutting(endpoint: str, **options: Any) -> Iterator[Cutter]:
    with Cutter(endpoint, **options) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


@pytest.fixture
def made(served: str) -> dict[str, Any]:
    """A dataset and a model, whose ids do not change."""
    with npd.NucleusClient(endpoint=served) as client:
        dataset, model = client.create_dataset("First"), client.add_model("First", reference_id="first")
        return {"datasets": [dataset.id], "models": [model.id], "runs": []}


CREATIONS: dict[str, Callable[[npd.NucleusClient, dict[str, Any]], Any]] = {
    "datasets": lambda client, made: client.create_dataset("Cut off"),
    "models": lambda client, made: client.add_model("Cut off", reference_id="cut"),
    "runs": lambda client, made: dataset_handle(client, made["datasets"][0]).create_model_run(
        model_handle(client, made["models"][0])
    ),
}


def what_there_is(endpoint: str) -> dict[str, list[str]]:
    with npd.NucleusClient(endpoint=endpoint) as client:
        datasets = client.list_datasets()
        runs = [run.id for run in client.get_dataset(datasets[0]).model_runs]
        return {"datasets": datasets, "models": client.models["id"].tolist(), "runs": runs}


@pytest.mark.parametrize("half", [False, True], ids=["nothing arrives", "half arrives"])
@pytest.mark.parametrize("what", CREATIONS)
def test_what_is_made_is_made_once_when_answers_are_cut(
    served: str, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, what: str, half: bool
) -> None:
    monkeypatch.setattr(Transport, "_pause", lambda *arguments: False)
    with cutting(served, cuts=3, half=half) as proxy, npd.NucleusClient(endpoint=proxy.endpoint) as client:
        new = CREATIONS[what](client, made)
    assert len(proxy.keys) == 4
    assert len(set(proxy.keys)) == 1
    assert proxy.keys[0]
    assert what_there_is(served) == {**made, what: [*made[what], new.id]}


@pytest.mark.parametrize("half", [False, True], ids=["nothing arrives", "half arrives"])
@pytest.mark.parametrize("what", CREATIONS)
def test_a_server_without_keys_is_not_asked_twice(served: str, made: dict[str, Any], what: str, half: bool) -> None:
    with cutting(served, cuts=1, half=half, extensions=False) as proxy:
        with (
            npd.NucleusClient(endpoint=proxy.endpoint) as client,
            pytest.raises(npd.NetworkError, match="may exist nevertheless: check before you create it again"),
        ):
            CREATIONS[what](client, made)
        assert proxy.keys == [None]
    there = what_there_is(served)
    assert {kind: len(ids) for kind, ids in there.items()} == {
        kind: len(ids) + (kind == what) for kind, ids in made.items()
    }


def test_two_creations_under_two_keys_are_two(served: str) -> None:
    with npd.NucleusClient(endpoint=served) as client:
        assert client.create_dataset("Twice").id != client.create_dataset("Twice").id
