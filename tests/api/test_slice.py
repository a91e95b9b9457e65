"""Slices in the client: how they are named, indexed, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import nucleus_pandas as npd
from nucleus_pandas.schema import item_ids
from tests.support.contract_only import contract_only, count_requests
from tests.support.draws import draws
from tests.support.private import dataset_handle, send_request

NAMES = [f"{number:02}.jpg" for number in range(30)]
ORDER = [*NAMES[20:5:-1], "a/b c?.jpg", "00.jpg"]


@pytest.fixture(scope="module", params=["lookup", "contract"])
def sliced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[npd.Slice]:
    """A slice of some images, most of which have boxes; the server has the extension, or the contract alone."""
    with npd.NucleusClient.local(tmp_path_factory.mktemp("slices") / "store") as client:
        if request.param == "contract":
            contract_only(client, page=7)
        dataset = client.create_dataset("Streets")
        names = [*NAMES, "a/b c?.jpg"]
        dataset.append(pd.DataFrame({"reference_id": names, "image_url": "https://example.org/x", "width": 640}))
        boxes = pd.DataFrame({"reference_id": np.repeat(names[::2], 3), "label": "car", "x": range(48), "y": 2})
        dataset.annotate(boxes.assign(width=3, height=4))
        yield dataset.create_slice("some", ORDER)


many_examples = settings(
    max_examples=draws(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
positions = st.integers(-20, 20)
labels = st.sampled_from([*ORDER, "01.jpg", "nobody"])
columns = st.sampled_from(["reference_id", "image_width", ["metadata", "image_width"], slice(None)])


def keys(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    masks = st.lists(st.booleans(), min_size=len(ORDER), max_size=len(ORDER))
    return st.one_of(one, st.lists(one, max_size=5), masks, st.just(slice(None, None, -1)))


def outcome(index: Any) -> Any:
    try:
        return index()
    except (KeyError, IndexError) as error:
        return IndexError if isinstance(error, IndexError) else KeyError


def compare(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, pd.DataFrame):
        assert_frame_equal(found, expected)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected)
    else:
        assert found is expected or found == expected


@many_examples
@given(rows=keys(positions), part=columns)
def test_positions_of_a_slice_are_those_of_its_frame(sliced: npd.Slice, rows: Any, part: Any) -> None:
    whole = sliced.to_frame()
    compare(outcome(lambda: sliced.iloc[rows]), outcome(lambda: whole.iloc[rows]))
    places = [0, 2] if isinstance(part, list) else 1
    compare(outcome(lambda: sliced.iloc[rows, places]), outcome(lambda: whole.iloc[rows, places]))


@many_examples
@given(rows=keys(labels), part=columns)
def test_reference_ids_of_a_slice_are_those_of_its_frame(sliced: npd.Slice, rows: Any, part: Any) -> None:
    whole = sliced.to_frame().reset_index().set_index("reference_id")
    if part == "reference_id":
        part = "image_url"
    compare(outcome(lambda: sliced.refloc[rows, part]), outcome(lambda: whole.loc[rows, part]))


@many_examples
@given(rows=keys(positions))
def test_annotations_are_read_by_positions_in_the_slice(sliced: npd.Slice, rows: Any) -> None:
    items, whole = sliced.to_frame()["reference_id"], sliced.annotations.to_frame()
    named = outcome(lambda: np.atleast_1d(np.asarray(items.iloc[rows], dtype=object)).tolist())
    found = outcome(lambda: sliced.annotations.iloc[rows])
    if named is IndexError:
        assert found is IndexError
        return
    parts = [whole[whole["reference_id"] == name] for name in named]
    expected = pd.concat(parts, ignore_index=True) if parts else whole.iloc[:0].reset_index(drop=True)
    assert_frame_equal(found, expected.astype(whole.dtypes))


def test_the_law_holds_after_items_are_deleted(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Streets")
    dataset.append(pd.DataFrame({"reference_id": NAMES, "image_url": "https://example.org/x"}))
    made = dataset.create_slice("all", NAMES[::-1])
    for name in NAMES[::3]:
        send_request(local, "DELETE", "dataset", dataset.id, "refloc", name, body={})
    left = [name for name in NAMES[::-1] if name not in NAMES[::3]]
    assert made.to_frame()["reference_id"].tolist() == left
    assert made.iloc[[3, -1, 0]]["reference_id"].tolist() == [left[3], left[-1], left[0]]
    assert [len(one) for one in made.items.iter_frames(7)] == [7, 7, 6]
    assert len(made) == 20


def test_a_look_up_costs_one_request_on_an_embedded_nucleus(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Streets")
    dataset.append(pd.DataFrame({"reference_id": NAMES, "image_url": "https://example.org/x"}))
    made = dataset.create_slice("all", NAMES[::-1])
    counted = count_requests(local)
    assert made.iloc[[3, 1]]["reference_id"].tolist() == [NAMES[-4], NAMES[-2]]
    assert made.refloc[NAMES[:9], "image_width"].isna().all()
    assert len(made.annotations.iloc[:5]) == 0
    assert dict(counted) == {"items": 2, "annotations": 1, "info": 1}
    assert len(made) == 30


def test_many_thousand_items_go_in_several_requests(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("Many")
    names = [str(number) for number in range(20_500)]
    dataset.append(pd.DataFrame({"reference_id": names, "image_url": "https://example.org/x"}))
    counted = count_requests(local)
    made = dataset.create_slice("all", range(20_499, -1, -1))
    assert dict(counted) == {"create_slice": 1, "append": 2}
    assert made.iloc[[0, 10_000, -1]]["reference_id"].tolist() == ["20499", "10499", "0"]
    by_id = dataset.create_slice("by id", made.to_frame()[["image_width"]])
    assert_frame_equal(by_id.to_frame(), made.to_frame())


@pytest.mark.parametrize(
    ("given", "by", "ids"),
    [
        (None, "reference_id", []),
        ([], "reference_id", []),
        (["b", "a", "b"], "reference_id", ["b", "a"]),
        ((name for name in "ba"), "reference_id", ["b", "a"]),
        ([7, np.int64(8)], "reference_id", ["7", "8"]),
        (pd.Series(["b", "a"]), "reference_id", ["b", "a"]),
        (pd.Series(["b", "a"], dtype="category"), "reference_id", ["b", "a"]),
        (pd.Index([3, 1]), "reference_id", ["3", "1"]),
        (np.array(["b", "a"]), "reference_id", ["b", "a"]),
        (pd.DataFrame({"reference_id": ["b"], "dataset_item_id": ["di_1"]}), "reference_id", ["b"]),
        (pd.DataFrame({"k": [1]}, index=pd.Index(["b"], name="reference_id")), "reference_id", ["b"]),
        (pd.DataFrame({"k": [1]}, index=pd.Index(["di_1"], name="dataset_item_id")), "dataset_item_id", ["di_1"]),
        (pd.DataFrame({"reference_id": pd.Series(dtype=object)}), "reference_id", []),
    ],
)
def test_items_are_named_in_many_forms(given: Any, by: str, ids: list[str]) -> None:
    assert item_ids(given) == (by, ids)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("a.jpg", "by a list of ids, or by a DataFrame, not by str"),
        ({"a.jpg": 1}, "not by dict"),
        (7, "not by int"),
        (["a", None], "row 1, column 'reference_id': is missing"),
        (["a", 7.5], "row 1, column 'reference_id': is the number 7.5"),
        ([True], "is the boolean True"),
        ([""], "is an empty text"),
        (pd.DataFrame({"ref": ["a"]}), "Column 'reference_id' not found; there are 'ref'"),
        (pd.DataFrame({"reference_id": ["a", None]}, index=["x", "y"]), "row 'y' .position 1., column 'reference_id'"),
    ],
)
def test_what_names_no_items_is_refused_before_anything_is_sent(
    local: npd.NucleusClient, given: Any, reason: str
) -> None:
    dataset = local.create_dataset("Streets")
    counted = count_requests(local)
    with pytest.raises(npd.InvalidInputError, match=reason):
        dataset.create_slice("s", given)
    assert dict(counted) == {}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda d: d.create_slice(""), "A slice needs a name"),
        (lambda d: d.create_slice({"reference_ids": ["a"]}), "A slice needs a name"),
        (lambda d: d.create_slice({"name": "s", "items": ["a"]}), "A slice has no field 'items'"),
        (lambda d: d.create_slice({"name": "s", "reference_ids": ["a"]}, ["b"]), "not from both"),
        (lambda d: d.create_slice({"name": "s", "reference_ids": ["a"], "dataset_item_ids": ["b"]}), "not from both"),
        (lambda d: d.build_slice("s", 0), "at least 1"),
        (lambda d: d.build_slice("s", True), "at least 1"),
        (lambda d: d.build_slice("s", 5.0), "at least 1"),
        (lambda d: d.build_slice(None, 5), "A slice needs a name"),
        (lambda d: d.build_slice("s", 5, "Best"), "'Random' or 'Uniqueness'"),
        (lambda d: d.build_slice("s", 5, filters={"autotag": "x"}), "filters= takes 'slice_id', not 'autotag'"),
        (lambda d: d.create_slice("s").add_tags(["x", None]), "Tags must be strings"),
    ],
)
def test_mistakes_are_told_here(local: npd.NucleusClient, act: Any, reason: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=reason):
        act(local.create_dataset("Streets"))


def test_a_seed_draws_the_same_again(local: npd.NucleusClient) -> None:
    drawn = []
    for name in ("One", "Two"):
        dataset = local.create_dataset(name)
        dataset.append(pd.DataFrame({"reference_id": NAMES, "image_url": "https://example.org/x"}))
        drawn.append(dataset.build_slice(name, 6, seed=np.int64(3).item()).to_frame()["reference_id"].tolist())
    assert drawn[0] == drawn[1]
    with pytest.raises(npd.UnsupportedError, match="embeddings"):
        dataset.build_slice("unique", 6, "Uniqueness")
    with pytest.raises(npd.InvalidInputError, match="Only an embedded Nucleus supports seed="):
        dataset_handle(contract_only(local), dataset.id).build_slice("seeded", 6, seed=3)


def test_tags_are_removed(local: npd.NucleusClient) -> None:
    made = local.create_dataset("Streets").create_slice("s")
    made.add_tags(["a", "b", "c"])
    assert made.remove_tags(["b", "nobody"]) == made.tags == ["a", "c"]


def test_a_run_on_another_dataset_has_no_predictions_on_a_slice(local: npd.NucleusClient) -> None:
    one, two = local.create_dataset("One"), local.create_dataset("Two")
    run = two.create_model_run(local.add_model("M", "m"))
    with pytest.raises(npd.BadRequestError, match="on another dataset"):
        one.create_slice("s").predictions(run).to_frame()


def test_a_slice_reads_its_frame_back_into_another_dataset(local: npd.NucleusClient, tmp_path: Path) -> None:
    dataset, other = local.create_dataset("One"), local.create_dataset("Two")
    dataset.append(pd.DataFrame({"reference_id": NAMES, "image_url": "https://example.org/x", "metadata.n": range(30)}))
    dataset.annotate(pd.DataFrame({"reference_id": NAMES, "label": "car", "x": 1, "y": 2, "width": 3, "height": 4}))
    made = dataset.create_slice("some", NAMES[5:2:-1])
    other.append(made.to_frame())
    other.annotate(made.annotations.to_frame())
    assert other.items.to_frame()["metadata"].tolist() == [{"n": 5}, {"n": 4}, {"n": 3}]
    assert other.annotations.to_frame()["reference_id"].tolist() == NAMES[5:2:-1]


def test_a_slice_shows_itself(local: npd.NucleusClient) -> None:
    made = local.create_dataset("Streets").create_slice("rain & fog")
    assert repr(made) == f"<Slice {made.id} 'rain & fog'>"
    assert "rain &amp; fog" in made._repr_html_()
    assert bool(made)
    with pytest.raises(TypeError):
        iter(made)
    with pytest.raises(KeyError, match="'slice_id', 'name', 'dataset_id'"):
        made["items"]
