"""An import that is cut off anywhere goes on when it is run again, and ends as if nothing had happened.

Schedules are seeded; NUCLEUS_PANDAS_FAULTS says how many are run, and NUCLEUS_PANDAS_KILLS how often processes are
killed.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.support.faulty_network import (
    ALWAYS,
    PASSING,
    RETRIES,
    SCHEDULES,
    Clock,
    FaultyNetwork,
    at,
    behind_proxy,
    serving,
    some,
    sound,
    stop_clock,
)
from tests.support.faulty_proxy import BEFORE, FAULTS, REFUSALS, Request
from tests.support.hosted_stand_in import KEY, HostedStandIn
from tests.support.import_sources import (
    Destination,
    box_rows,
    image_items,
    masks,
    read_journal,
    read_rejects,
    same,
    sorted_rows,
    with_files,
    with_refused,
    write,
)

CASES: dict[str, tuple[str, Any]] = {
    "items": ("items", image_items()),
    "local images": ("items", image_items(11)),
    "annotations": ("annotations", box_rows()),
    "predictions": ("predictions", box_rows()),
    "refused": ("annotations", with_refused(box_rows())),
    "local masks": ("annotations", None),
}


def source_of(case: str, folder: Path) -> Path:
    """Write the file of a case."""
    folder.mkdir()
    _, frame = CASES[case]
    files = folder / "files"
    if case == "local images":
        frame = with_files(frame, files)
    return write(masks(files) if frame is None else frame, folder / "source.parquet")


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


@dataclass(frozen=True)
class Undisturbed:
    """How an import ends that nothing happens to."""

    result: npd.ImportResult
    rows: pd.DataFrame
    rejects: pd.DataFrame | None
    requests: int


_UNDISTURBED: dict[tuple[str, str], Undisturbed] = {}


def undisturbed(network: FaultyNetwork, case: str, folder: Path) -> Undisturbed:
    """Import where nothing is broken, once for all tests."""
    if (network.kind, case) not in _UNDISTURBED:
        destination = Destination.make(network.clean, CASES[case][0])
        source = source_of(case, folder)
        with network.client() as client, network.proxy.breaking(sound) as seen:
            result = destination.imported(client, source, on_error="collect")
        rows = destination.rows(ordered=network.kind == "embedded")
        rejects = None if result.rejects is None else read_rejects(result.rejects)
        _UNDISTURBED[network.kind, case] = Undisturbed(result, rows, rejects, len(seen))
    return _UNDISTURBED[network.kind, case]


def attempt(destination: Destination, client: npd.NucleusClient, source: Path) -> tuple[npd.ImportResult | None, bool]:
    """Import, and return what is told of it, also where it ends early, and whether it came to its end."""
    try:
        return destination.imported(client, source, on_error="collect"), True
    except npd.UploadError as error:
        ended = error
    except (npd.NetworkError, npd.APIError):
        return None, False
    assert "resumes where it ended" in str(ended)
    return ended.result, False


def is_disguised(network: FaultyNetwork, seen: Sequence[Request]) -> bool:
    """Return whether an embedded server hid its extensions: all is sent by the contract's routes then."""
    asked = [request.fault for request in seen if request.target.endswith("/_nucleus_pandas")]
    return network.kind == "embedded" and any(fault is not None and fault not in PASSING for fault in asked)


def check_end(
    network: FaultyNetwork,
    case: str,
    destination: Destination,
    source: Path,
    expected: Undisturbed,
    *,
    disguised: bool = False,
) -> None:
    """See that everything is there once, and that a further import knows it, or sends it again to the contract."""
    ordered = network.kind == "embedded" and not (disguised and case == "local images")  # those travel side by side
    rows = expected.rows if ordered else sorted_rows(expected.rows)
    same(destination.rows(ordered=ordered), rows)
    noted = read_journal(source.parent / ".nucleus_import.sqlite")
    total = sum(expected.result.counts.values())
    if case != "refused":
        assert sum(noted.answered.values()) == total or disguised  # where some were sent in two ways
        assert sum(noted.finished.values()) == (0 if "local" in case else total)  # their files may change
    with network.client() as client, network.proxy.breaking(sound) as seen:
        again = destination.imported(client, source, on_error="collect")
    sent = [request for request in seen if request.method == "POST" and not request.target.endswith("/marks")]
    assert again.failed == expected.result.failed
    assert sum(again.counts.values()) == total
    if network.kind == "embedded":
        assert len(sent) == (0 if case != "refused" else 2)  # the batches with rows that the server refuses
        assert again.already_sent <= sum(noted.answered.values())
        assert again.already_sent == total or case == "refused"
    else:
        assert sent
        assert (again.already_sent, again.new) == (0, 0)
    if expected.rejects is not None:
        pd.testing.assert_frame_equal(read_rejects(again.rejects), expected.rejects)
    same(destination.rows(ordered=ordered), rows)


def agree(
    first: npd.ImportResult | None,
    second: npd.ImportResult,
    expected: npd.ImportResult,
    *,
    exactly: bool,
    again: bool = False,
) -> None:
    """See that counts are right, or that some rows are counted as ignored which were stored without an answer."""
    assert sum(second.counts.values()) == sum(expected.counts.values())
    assert second.failed == expected.failed
    together = Counter({} if first is None else first.counts)
    del together["failed"], together["already_sent"]
    stored = sum(together.values())
    together += Counter(second.counts)
    del together["already_sent"]
    for name in ("new", "processed", "updated"):
        assert together[name] <= expected.counts.get(name, 0)
    if exactly:
        assert again or second.already_sent + second.skipped >= stored
        assert again or {name: together[name] for name in ("new", "processed", "updated", "ignored")} == {
            name: expected.counts.get(name, 0) for name in ("new", "processed", "updated", "ignored")
        }


@pytest.mark.parametrize("fault", FAULTS)
def test_an_import_goes_on_after_a_fault_at_any_request(network: FaultyNetwork, tmp_path: Path, fault: str) -> None:
    numbers = itertools.count()
    cases = [
        (case, place)
        for case in CASES
        for place in [*range(undisturbed(network, case, tmp_path / f"whole {case}").requests), ALWAYS]
        if fault != "too late" or place != ALWAYS
    ]
    chance = random.Random(fault)
    for case, place in some(cases, f"{network.kind} {fault}", 2):
        retries = chance.choice([0, RETRIES])
        expected = undisturbed(network, case, tmp_path)
        destination = Destination.make(network.clean, CASES[case][0])
        source = source_of(case, tmp_path / str(next(numbers)))
        try:
            timeout = 0.2 if fault == "too late" else 20.0
            with network.client(timeout, retries) as client, network.proxy.breaking(at(place, fault)) as seen:
                first, has_ended = attempt(destination, client, source)
            stored = len(destination.rows())
            with network.client() as client:
                second = destination.imported(client, source, on_error="collect")
            if first is not None:
                assert first.new <= stored
            disguised = is_disguised(network, seen)
            if not disguised:
                if first is not None:
                    lost = 2 if case == "refused" else 0  # of batches that hold refused rows
                    known = sum(first.counts.values()) - first.failed - lost
                    assert second.already_sent >= (0 if has_ended and network.kind == "contract" else known)
                unseen = fault in BEFORE or fault in REFUSALS
                # batches with refused rows are sent again, and so is what a job was started for that was lost sight of
                once = case != "refused" and (network.kind == "embedded" or CASES[case][0] != "items")
                again = has_ended and network.kind == "contract"
                agree(first, second, expected.result, exactly=unseen and once, again=again)
            check_end(network, case, destination, source, expected, disguised=disguised)
        except BaseException as error:
            error.add_note(f"{case}, request {place}, {retries} retries")
            raise


@pytest.mark.parametrize("fault", ["500", "500, done", "503", "answer lost"])
@pytest.mark.parametrize("place", [0, 3])
def test_no_item_overtakes_those_before_it(served: str, clock: Clock, tmp_path: Path, fault: str, place: int) -> None:
    with behind_proxy(served, tmp_path, "embedded") as network:
        destination = Destination.make(network.clean, "items")
        source = source_of("items", tmp_path / "source")
        with network.client(max_retries=0) as client, network.proxy.breaking(at(place, fault)) as seen:
            first, has_ended = attempt(destination, client, source)
            assert not has_ended
            assert first is None or place
        assert len(seen) == place + 1
        with network.client() as client:
            destination.imported(client, source)
        names = destination.rows()["reference_id"].tolist()
        assert names == CASES["items"][1]["reference_id"].tolist()


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_an_import_goes_on_after_a_schedule_of_faults(network: FaultyNetwork, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    case = chance.choice(sorted(CASES))
    often = chance.choice([0.1, 0.3, 0.6])
    kinds = [fault for fault in FAULTS if fault != "too late" or chance.random() < 0.1]

    def plan(request: Request) -> str | None:
        return chance.choice(kinds) if chance.random() < often else None

    expected = undisturbed(network, case, tmp_path / "whole")
    destination = Destination.make(network.clean, CASES[case][0])
    source = source_of(case, tmp_path / "broken")
    known, disguised = 0, False
    for _ in range(chance.randint(1, 5)):
        with network.client(0.5, chance.choice([0, 1, 4])) as client, network.proxy.breaking(plan) as seen:
            result, has_ended = attempt(destination, client, source)
        known = max(known, 0 if result is None else result.already_sent)
        known = 0 if has_ended and network.kind == "contract" else known
        disguised = disguised or is_disguised(network, seen)
    with network.client() as client:
        result = destination.imported(client, source, on_error="collect")
    if not disguised:
        assert result.already_sent >= known
        agree(None, result, expected.result, exactly=False)
    check_end(network, case, destination, source, expected, disguised=disguised)


@pytest.mark.parametrize("kind", ["items", "annotations", "predictions"])
def test_an_import_into_the_hosted_service_goes_on_after_any_request(clock: Clock, tmp_path: Path, kind: str) -> None:
    frame = CASES[kind][1]
    with HostedStandIn().answering() as service, npd.NucleusClient(KEY, max_retries=0, max_concurrency=1) as client:
        whole = Destination.make(client, kind)
        start = len(service.seen)
        expected = whole.imported(client, write(frame, tmp_path / "source.parquet"), journal=False)
        count, rows = len(service.seen) - start, whole.rows(ordered=kind == "items")
        assert count > 6
        for place in range(count):
            destination = Destination.make(client, kind)
            folder = tmp_path / str(place)
            folder.mkdir()
            source = write(frame, folder / "source.parquet")
            service.breaks_after(place)
            with npd.NucleusClient(KEY, max_retries=0, max_concurrency=1) as other:
                first, has_ended = attempt(destination, other, source)
            service.breaks_after(None)
            second = destination.imported(client, source)
            known = 0 if first is None or has_ended else sum(first.counts.values())
            assert second.already_sent == known
            agree(first, second, expected, exactly=False)
            same(destination.rows(ordered=kind == "items"), rows)
            again = destination.imported(client, source)  # the service does not say whether rows were deleted meanwhile
            assert (again.already_sent, again.new) == (0, 0)
            same(destination.rows(ordered=kind == "items"), rows)
