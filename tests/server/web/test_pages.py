"""What pages show is what the client reads: datasets, images, their boxes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.web import annotation_rows as rows
from nucleus_pandas.server.web.routes import grid
from tests.support.private import send_request
from tests.support.sample_page import (
    DASH,
    SampleSite,
    Visitor,
    boxes_of,
    ids_on,
    last_segment,
    layer_of,
    lines,
    place_on,
    rows_of,
    run_line,
    sides,
)


def test_datasets_are_listed_the_newest_first(own_sample_site: SampleSite) -> None:
    own_sample_site.client.create_dataset("Empty")
    rows = [
        [cell.text for cell in row.all("td")][:3]
        for row in own_sample_site.get("/").one("table", "list").one("tbody").all("tr")
    ]
    assert rows == [["Empty", "0", "0"], ["Sample", "12", "3"]]
    assert run_line(own_sample_site.client, lines(own_sample_site.get("/"))[0])["name"].tolist() == ["Sample", "Empty"]


def test_an_empty_store_and_an_empty_dataset_say_what_to_type(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    visitor = Visitor(nucleus)
    assert "create_dataset" in visitor.get("/").text
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Empty")
        assert "There are no images here yet." in visitor.get(f"/datasets/{dataset.id}").text
        assert "create_model_run" in visitor.get(f"/datasets/{dataset.id}/runs").text
        assert "create_slice" in visitor.get(f"/datasets/{dataset.id}/slices").text
    nucleus.close()


def test_the_grid_shows_every_image_with_its_boxes(sample_site: SampleSite) -> None:
    cards = sample_site.get(sample_site.grid, run=sample_site.runs[0].id).all("li", "card")
    guesses = sample_site.runs[0].predictions.to_frame()
    assert [card.one(cls="caption").text for card in cards] == sample_site.items["reference_id"].tolist()
    for card, (key, row) in zip(cards, sample_site.items.iterrows(), strict=True):
        truth, guess = (frame[frame["dataset_item_id"] == key] for frame in (sample_site.truth, guesses))
        assert card.one("svg")["viewbox"] == f"0 0 {row['image_width']} {row['image_height']}"
        assert boxes_of(card.one("g", "truth")) == sides(truth)[: grid._SHAPES]
        assert boxes_of(card.one("g", "guess")) == sides(guess)[: grid._SHAPES]
        assert card.one(cls="card-facts").text == f"{len(truth)} annotated · {len(guess)} predicted"
        copy = sample_site.visitor.ask(card.one("img")["src"])
        assert (copy.status_code, copy.content_type) == (200, "image/jpeg")


def test_pages_are_walked_by_key_forward_and_backward(sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 5)
    pages, page = [], sample_site.get(sample_site.grid)
    while True:
        pages.append(ids_on(page))
        following = page.all("a", rel="next")
        if not following:
            break
        page = sample_site.get(following[0]["href"])
    assert [len(one) for one in pages] == [5, 5, 2]
    assert [key for one in pages for key in one] == sample_site.items.index.tolist()
    assert place_on(page) == f"11{DASH}12 of 12"
    before = sample_site.get(page.all("a", rel="prev")[0]["href"])
    assert ids_on(before) == pages[1]
    assert ids_on(sample_site.get(before.all("a", rel="prev")[0]["href"])) == pages[0]
    last = sample_site.get(sample_site.grid).all("a", aria_label="Last page")[0]
    assert ids_on(sample_site.get(last["href"])) == sample_site.items.index.tolist()[-5:]
    assert not sample_site.get(sample_site.grid).all("a", rel="prev")


@pytest.mark.parametrize(("at", "first"), [(1, 0), (7, 6), (12, 11), (99, 11), (0, 0)])
def test_one_can_go_to_a_image_by_its_number(sample_site: SampleSite, at: int, first: int) -> None:
    response = sample_site.visitor.ask(f"{sample_site.grid}?at={at}&run={sample_site.runs[0].id}")
    page = sample_site.get(response.headers["Location"])
    assert ids_on(page)[0] == sample_site.items.index[first]
    assert place_on(page).startswith(f"{first + 1}{DASH}")
    assert page.one("select", name="run").all("option", selected="")[0]["value"] == sample_site.runs[0].id


def test_deleted_images_leave_no_holes_in_pages(own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 3)
    names = own_sample_site.items["reference_id"].tolist()
    for name in names[1:8]:
        send_request(own_sample_site.client, "DELETE", "dataset", own_sample_site.dataset.id, "refloc", name)
    left = own_sample_site.dataset.items.to_frame()
    assert own_sample_site.shown() == left.index.tolist()
    page = own_sample_site.get(own_sample_site.grid)
    assert place_on(page) == f"1{DASH}3 of {len(left)}"
    second = own_sample_site.get(page.all("a", rel="next")[0]["href"])
    assert place_on(second) == f"4{DASH}5 of {len(left)}"
    assert run_line(own_sample_site.client, lines(second)[0]).index.tolist() == left.index.tolist()[3:]


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "99999999999"])
def test_an_address_that_means_nothing_is_told(sample_site: SampleSite, text: str) -> None:
    for name in ("at", "start", "until"):
        assert f"`{name}` must be a whole number" in sample_site.get(sample_site.grid, 400, **{name: text}).text
    assert "no run" in sample_site.get(sample_site.grid, 404, run=text).text
    assert "from 0 to 1" in sample_site.get(sample_site.grid, 400, confidence_from="x" + text).text
    assert "`iou` must be one of" in sample_site.get(sample_site.grid, 400, iou="x" + text).text


@pytest.mark.parametrize(
    "path", ["/datasets/ds_x", "/runs/run_x", "/slices/slc_x", "/datasets/ds_x/runs", "/datasets/"]
)
def test_what_is_not_there_is_told(sample_site: SampleSite, path: str) -> None:
    response = sample_site.visitor.ask(path, headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert "There is no" in response.text


# An image


@pytest.mark.parametrize("place", [0, 2, 4, 7])
def test_a_image_shows_every_box_where_it_is(sample_site: SampleSite, place: int) -> None:
    key, row = sample_site.items.index[place], sample_site.items.iloc[place]
    page = sample_site.get(f"{sample_site.grid}/items/{key}", run=[run.id for run in sample_site.runs])
    stage = page.one(id="stage")
    assert stage["viewbox"] == f"0 0 {row['image_width']} {row['image_height']}"
    image = stage.one("image")
    assert (image["width"], image["height"]) == (str(row["image_width"]), str(row["image_height"]))
    whole = sample_site.visitor.ask(image["href"])
    assert whole.data == Path(row["image_url"]).read_bytes()
    frames = [sample_site.truth, *(run.predictions.to_frame() for run in sample_site.runs)]
    for at, frame in enumerate(frames):
        frame = frame[frame["dataset_item_id"] == key]
        layer = layer_of(page, at)
        rects = layer.all("rect")
        assert boxes_of(layer) == sides(frame)
        rows = rows_of(page, at)
        assert [one["data-n"] for one in rows] == [rect["data-n"] for rect in rects]
        assert [one.one("span", "label").text for one in rows] == frame["label"].tolist()
        assert [one.one("td", "id").text for one in rows] == frame["annotation_id"].tolist()
    assert page.one("details", "metadata").one("dl").text.startswith(f"scene {row['metadata']['scene']}")
    for line, frame in zip(lines(page), frames, strict=True):
        expected = frame[frame["dataset_item_id"] == key].reset_index(drop=True)
        pd.testing.assert_frame_equal(run_line(sample_site.client, line).reset_index(drop=True), expected)


@pytest.mark.parametrize("which", [0, 1])
def test_rows_tell_what_the_commit_matched(sample_site: SampleSite, which: int) -> None:
    run = sample_site.runs[which]
    found = run.matches(iou_threshold=0.5)
    for key in sample_site.items.index:
        page = sample_site.get(f"{sample_site.grid}/items/{key}", run=run.id)
        here = found[found["dataset_item_id"] == key]
        guesses = here[here["match_type"] != "FN"].set_index("prediction_id")
        names = {}
        for row in rows_of(page, 1):
            match = guesses.loc[row.one("td", "id").text]
            assert row.one("span", "outcome").text == match["match_type"]
            names[row.one("td", "id").text] = row
        truths = here[here["match_type"] != "FP"].set_index("annotation_id")
        for row in rows_of(page, 0):
            name = row.one("td", "id").text
            if name in truths.index:  # crowds are no outcome
                assert row.one("span", "outcome").text == truths.loc[name, "match_type"]
            else:
                assert not row.all("span", "outcome")
            pair = here[(here["annotation_id"] == name) & here["prediction_id"].notna()]
            partner = names[pair["prediction_id"].iloc[0]]["data-n"] if len(pair) else None
            assert row.attributes.get("data-p") == partner


def test_one_walks_from_image_to_image_within_the_filters(sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    expected = sample_site.shown(run=run.id, match="FP")
    page = sample_site.get(sample_site.grid, run=run.id, match="FP")
    walked = [last_segment(page.all("a", "card-link")[0])]
    page = sample_site.get(page.all("a", "card-link")[0]["href"])
    while page.all("a", rel="next"):
        page = sample_site.get(page.one("a", rel="next")["href"])
        walked.append(page.one("p", "facts").all("span", "mono")[0].text)
    assert walked == expected
    back = sample_site.get(page.one("a", data_up="")["href"])
    assert expected[-1] in ids_on(back)


def test_many_boxes_come_in_pages(own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS", 10)
    key = own_sample_site.items.index[2]
    expected = own_sample_site.truth[own_sample_site.truth["dataset_item_id"] == key]["annotation_id"].tolist()
    page, found = own_sample_site.get(f"{own_sample_site.grid}/items/{key}"), []
    while True:
        found += [row.one("td", "id").text for row in page.all("tr", tabindex="0")]
        following = [link for link in page.all("a") if link.text == "Next rows"]
        if not following:
            break
        page = own_sample_site.get(following[0]["href"])
    assert found == expected
    seen = own_sample_site.get(f"{own_sample_site.grid}/items/{key}", see_truth=expected[-1])
    name = seen.one(id="stage")["data-see"]
    row = seen.one("tr", data_n=name)
    assert row.one("td", "id").text == expected[-1]


def test_images_on_other_servers_are_shown_only_where_they_may_be(store: Path) -> None:
    nucleus = EmbeddedNucleus(store)
    with npd.NucleusClient.local(store) as client:
        dataset = client.create_dataset("Remote")
        url = "https://example.org/a.jpg?x=1&y=2"
        dataset.append([{"reference_id": "a", "image_url": url}, {"reference_id": "b", "image_url": "gs://b/b.jpg"}])
        key = dataset.items.to_frame().index[0]
    for remote in (False, True):
        visitor = Visitor(nucleus, remote_images=remote)
        page, image = visitor.get(f"/datasets/{dataset.id}"), visitor.get(f"/datasets/{dataset.id}/items/{key}")
        assert [one["src"] for one in page.all("img")] == ([url] if remote else [])
        assert [one["referrerpolicy"] for one in page.all("img")] == (["no-referrer"] if remote else [])
        assert [one["href"] for one in image.all("image")] == ([url] if remote else [])
        assert ("--remote-images" in image.text) == (not remote)
        assert [one.text for one in page.all(cls="no-image")] == (
            ["Kept in gs"] if remote else ["On another server", "Kept in gs"]
        )
    nucleus.close()
