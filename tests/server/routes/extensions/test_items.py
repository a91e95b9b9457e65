"""Look-ups of many items."""

from __future__ import annotations

import random

import msgspec
import pytest

from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.wire.bulk import KEYS, ROWS, ItemPage
from tests.factories import item
from tests.server.routes.extensions.extension_http import HOSTILE, ExtensionHttp, ids_in, references


def test_items_come_as_columns(http: ExtensionHttp) -> None:
    dataset = http.new_dataset()
    rows = [item("a", width=64, height=48, metadata={"rain": True}), item("b")]
    http.append(dataset, [], items=rows)
    found = msgspec.convert(http.items(dataset), ItemPage).columns
    assert (found.reference_id, found.width, found.height) == (["a", "b"], [64, None], [48, None])
    assert (found.image_url, found.metadata) == (
        ["https://example.org/a", "https://example.org/b"],
        [{"rain": True}, {}],
    )
    assert found.dataset_item_id[0].startswith("di_")


def test_a_point_cloud_has_no_image_url(http: ExtensionHttp) -> None:
    dataset = http.new_dataset()
    http.append(dataset, [], items=[{"reference_id": "a", "pointcloud_url": "https://example.org/a.json"}])
    assert http.items(dataset)["columns"]["image_url"] == [None]


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_items_come_in_the_order_of_their_keys(http: ExtensionHttp, abc: str, by: str) -> None:
    ids = ids_in(http, abc)
    keys = {"positions": [2, 0, 2], "reference_ids": ["c", "a", "c"], "item_ids": [ids["c"], ids["a"], ids["c"]]}
    page = http.items(abc, **{by: keys[by]})
    assert (references(page), page["missing"], page["next"]) == (["c", "a", "c"], [], None)


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_keys_that_name_no_item_are_told_by_their_place(http: ExtensionHttp, abc: str, by: str) -> None:
    foreign = ids_in(http, http.new_dataset("a"))["a"]
    own = ids_in(http, abc)
    keys = {
        "positions": [3, 1, 2**31 - 1],
        "reference_ids": ["x", "b", ""],
        "item_ids": [foreign, own["b"], own["b"][:-8] + "000000ff"],
    }
    page = http.items(abc, **{by: keys[by]})
    assert (references(page), page["missing"]) == (["b"], [0, 2])


@pytest.mark.parametrize("key", ["", "di_", "di_" + "f" * 20, "di_" + "g" * 20, "a", "ds_0"])
def test_what_is_no_item_id_is_missing(http: ExtensionHttp, abc: str, key: str) -> None:
    assert http.items(abc, item_ids=[key])["missing"] == [0]


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_no_keys_give_no_rows(http: ExtensionHttp, abc: str, by: str) -> None:
    page = http.items(abc, **{by: []})
    assert (references(page), page["missing"], page["next"]) == ([], [], None)


def test_hostile_reference_ids_are_found(http: ExtensionHttp) -> None:
    dataset = http.new_dataset(*HOSTILE)
    assert references(http.items(dataset, reference_ids=HOSTILE[::-1])) == HOSTILE[::-1]


@pytest.mark.parametrize("seed", range(4))
def test_positions_skip_deleted_items(http: ExtensionHttp, seed: int) -> None:
    draw = random.Random(seed)
    names = [str(n) for n in range(700)]
    dataset = http.new_dataset(*names)
    gone = {*map(str, range(128, 192)), *draw.sample(names, 40), "0", "699"}  # a whole block of positions among them
    http.forget(dataset, *gone)
    left = [name for name in names if name not in gone]
    wanted = [draw.randrange(len(left) + 20) for _ in range(300)]
    page = http.items(dataset, positions=wanted, columns=["reference_id"])
    assert references(page) == [left[n] for n in wanted if n < len(left)]
    assert page["missing"] == [place for place, n in enumerate(wanted) if n >= len(left)]
    assert references(http.items(dataset, positions=list(range(len(left))))) == left
    assert references(http.items(dataset, positions=[100, 101])) == left[100:102]


def test_the_last_of_a_block_of_positions_is_found(http: ExtensionHttp) -> None:
    names = [str(n) for n in range(128)]
    dataset = http.new_dataset(*names)
    http.forget(dataset, "5")
    left = [name for name in names if name != "5"]
    assert references(http.items(dataset, positions=list(range(127)))) == left


def test_a_dataset_without_items_left_has_no_positions(http: ExtensionHttp, abc: str) -> None:
    http.forget(abc, "a", "b", "c")
    assert http.items(abc, positions=list(range(40)))["missing"] == list(range(40))


def test_as_many_keys_as_a_look_up_takes(http: ExtensionHttp) -> None:
    dataset = http.new_dataset("a")
    page = http.items(dataset, reference_ids=["a"] * (KEYS - 1) + ["b"], columns=["reference_id"])
    assert (len(references(page)), page["missing"]) == (KEYS - 1, [KEYS - 1])


@pytest.mark.parametrize("by", ["positions", "reference_ids", "item_ids"])
def test_too_many_keys_are_refused(http: ExtensionHttp, abc: str, by: str) -> None:
    assert by in http.items(abc, 400, **{by: [0 if by == "positions" else "a"] * (KEYS + 1)})["error"]


@pytest.mark.parametrize(
    "selection",
    [
        {"positions": [0], "reference_ids": ["a"]},
        {"positions": [0], "item_ids": []},
        {"positions": [-1]},
        {"positions": [2**31]},
        {"positions": [0.5]},
        {"positions": [0], "after": "0"},
        {"limit": 0},
        {"limit": ROWS + 1},
        {"nonsense": 1},
        {"columns": "metadata"},
    ],
    ids=str,
)
def test_a_wrong_selection_is_refused(http: ExtensionHttp, abc: str, selection: dict[str, object]) -> None:
    http.items(abc, 400, **selection)
    http.annotations(abc, 400, **selection)


def test_items_come_in_pages(http: ExtensionHttp) -> None:
    names = [str(n) for n in range(7)]
    dataset = http.new_dataset(*names)
    found, after = [], None
    for size in (3, 3, 1):
        page = http.items(dataset, limit=3, **({} if after is None else {"after": after}))
        assert len(references(page)) == size
        found += references(page)
        after = page["next"]
    assert (found, after) == (names, None)


def test_a_page_that_holds_the_last_item_is_the_last(http: ExtensionHttp, abc: str) -> None:
    assert http.items(abc, limit=3)["next"] is None


def test_deletes_between_pages_lose_and_repeat_nothing(http: ExtensionHttp) -> None:
    dataset = http.new_dataset(*"abcdef")
    first = http.items(dataset, limit=2)
    http.forget(dataset, "a", "b", "d")
    second = http.items(dataset, limit=2, after=first["next"])
    http.append(dataset, ["b"])
    third = http.items(dataset, limit=2, after=second["next"])
    assert [references(page) for page in (first, second, third)] == [["a", "b"], ["c", "e"], ["f", "b"]]


@pytest.mark.parametrize("after", ["", "x", "-1", "1-1-1", "f" * 16, "f" * 30, "0 OR 1", "0"])
def test_what_no_page_ended_with_is_refused(http: ExtensionHttp, abc: str, after: str) -> None:
    assert "token" in http.items(abc, 400, after=after)["error"]
    assert "token" in http.annotations(abc, 400, after=after)["error"]


def test_a_page_of_another_dataset_has_no_next_here(http: ExtensionHttp, abc: str) -> None:
    other = http.items(http.new_dataset("a", "b"), limit=1)["next"]
    assert "another dataset" in http.items(abc, 400, after=other)["error"]


def test_only_the_columns_that_are_asked_for_are_answered(http: ExtensionHttp, abc: str) -> None:
    assert list(http.items(abc, columns=["width", "reference_id"])["columns"]) == ["width", "reference_id"]


def test_unknown_columns_are_refused_with_the_known_ones(http: ExtensionHttp, abc: str) -> None:
    assert "reference_id, image_url" in http.items(abc, 400, columns=["label"])["error"]
    assert "label" in http.annotations(abc, 400, columns=["image_url"])["error"]


def test_item_ids_alone_read_nothing_else(http: ExtensionHttp, abc: str, nucleus: EmbeddedNucleus) -> None:
    said: list[str] = []
    with nucleus.database.read() as db:
        db.set_trace_callback(said.append)
    ids = http.items(abc, columns=["dataset_item_id"])
    http.items(abc, columns=["dataset_item_id"], item_ids=ids["columns"]["dataset_item_id"])
    assert any("FROM item" in text for text in said)
    assert not any("metadata" in text for text in said)
