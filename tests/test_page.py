"""What pages show is what the client reads: datasets, images, their boxes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from paged import (
    DASH,
    Site,
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

import nucleus_pandas as npd
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.web import annotation_rows as rows
from nucleus_pandas.server.web.routes import grid


def test_datasets_are_listed_the_newest_first(own: Site) -> None:
    own.client.create_dataset("Empty")
    rows = [
        [cell.text for cell in row.all("td")][:3] for row in own.get("/").one("table", "list").one("tbody").all("tr")
    ]
    assert rows == [["Empty", "0", "0"], ["Sample", "12", "3"]]
    assert run_line(own.client, lines(own.get("/"))[0])["name"].tolist() == ["Sample", "Empty"]


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


def test_the_grid_shows_every_image_with_its_boxes(site: Site) -> None:
    cards = site.get(site.grid, run=site.runs[0].id).all("li", "card")
    guesses = site.runs[0].predictions.to_frame()
    assert [card.one(cls="caption").text for card in cards] == site.items["reference_id"].tolist()
    for card, (key, row) in zip(cards, site.items.iterrows(), strict=True):
        truth, guess = (frame[frame["dataset_item_id"] == key] for frame in (site.truth, guesses))
        assert card.one("svg")["viewbox"] == f"0 0 {row['width']} {row['height']}"
        assert boxes_of(card.one("g", "truth")) == sides(truth)[: grid._SHAPES]
        assert boxes_of(card.one("g", "guess")) == sides(guess)[: grid._SHAPES]
        assert card.one(cls="card-facts").text == f"{len(truth)} annotated · {len(guess)} predicted"
        copy = site.visitor.ask(card.one("img")["src"])
        assert (copy.status_code, copy.content_type) == (200, "image/jpeg")


def test_pages_are_walked_by_key_forward_and_backward(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 5)
    pages, page = [], site.get(site.grid)
    while True:
        pages.append(ids_on(page))
        following = page.all("a", rel="next")
        if not following:
            break
        page = site.get(following[0]["href"])
    assert [len(one) for one in pages] == [5, 5, 2]
    assert [key for one in pages for key in one] == site.items.index.tolist()
    assert place_on(page) == f"11{DASH}12 of 12"
    before = site.get(page.all("a", rel="prev")[0]["href"])
    assert ids_on(before) == pages[1]
    assert ids_on(site.get(before.all("a", rel="prev")[0]["href"])) == pages[0]
    last = site.get(site.grid).all("a", aria_label="Last page")[0]
    assert ids_on(site.get(last["href"])) == site.items.index.tolist()[-5:]
    assert not site.get(site.grid).all("a", rel="prev")


@pytest.mark.parametrize(("at", "first"), [(1, 0), (7, 6), (12, 11), (99, 11), (0, 0)])
def test_one_can_go_to_a_image_by_its_number(site: Site, at: int, first: int) -> None:
    response = site.visitor.ask(f"{site.grid}?at={at}&run={site.runs[0].id}")
    page = site.get(response.headers["Location"])
    assert ids_on(page)[0] == site.items.index[first]
    assert place_on(page).startswith(f"{first + 1}{DASH}")
    assert page.one("select", name="run").all("option", selected="")[0]["value"] == site.runs[0].id


def test_deleted_images_leave_no_holes_in_pages(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "PAGE", 3)
    names = own.items["reference_id"].tolist()
    for name in names[1:8]:
        own.client._transport.request("DELETE", "dataset", own.dataset.id, "refloc", name)
    left = own.dataset.items.to_frame()
    assert own.shown() == left.index.tolist()
    page = own.get(own.grid)
    assert place_on(page) == f"1{DASH}3 of {len(left)}"
    second = own.get(page.all("a", rel="next")[0]["href"])
    assert place_on(second) == f"4{DASH}5 of {len(left)}"
    assert run_line(own.client, lines(second)[0]).index.tolist() == left.index.tolist()[3:]


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "99999999999"])
def test_an_address_that_means_nothing_is_told(site: Site, text: str) -> None:
    for name in ("at", "start", "until"):
        assert f"`{name}` is a whole number" in site.get(site.grid, 400, **{name: text}).text
    assert "no run" in site.get(site.grid, 404, run=text).text
    assert "from 0 to 1" in site.get(site.grid, 400, confidence_from="x" + text).text
    assert "`iou` is one of" in site.get(site.grid, 400, iou="x" + text).text


@pytest.mark.parametrize(
    "path", ["/datasets/ds_x", "/runs/run_x", "/slices/slc_x", "/datasets/ds_x/runs", "/datasets/"]
)
def test_what_is_not_there_is_told(site: Site, path: str) -> None:
    response = site.visitor.ask(path, headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert "There is no" in response.text


# An image


@pytest.mark.parametrize("place", [0, 2, 4, 7])
def test_a_image_shows_every_box_where_it_is(site: Site, place: int) -> None:
    key, row = site.items.index[place], site.items.iloc[place]
    page = site.get(f"{site.grid}/items/{key}", run=[run.id for run in site.runs])
    stage = page.one(id="stage")
    assert stage["viewbox"] == f"0 0 {row['width']} {row['height']}"
    image = stage.one("image")
    assert (image["width"], image["height"]) == (str(row["width"]), str(row["height"]))
    whole = site.visitor.ask(image["href"])
    assert whole.data == Path(row["image_url"]).read_bytes()
    frames = [site.truth, *(run.predictions.to_frame() for run in site.runs)]
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
        pd.testing.assert_frame_equal(run_line(site.client, line).reset_index(drop=True), expected)


@pytest.mark.parametrize("which", [0, 1])
def test_rows_tell_what_the_commit_matched(site: Site, which: int) -> None:
    run = site.runs[which]
    found = run.matches(iou_threshold=0.5)
    for key in site.items.index:
        page = site.get(f"{site.grid}/items/{key}", run=run.id)
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


def test_one_walks_from_image_to_image_within_the_filters(site: Site) -> None:
    run = site.runs[1]
    expected = site.shown(run=run.id, match="FP")
    page = site.get(site.grid, run=run.id, match="FP")
    walked = [last_segment(page.all("a", "card-link")[0])]
    page = site.get(page.all("a", "card-link")[0]["href"])
    while page.all("a", rel="next"):
        page = site.get(page.one("a", rel="next")["href"])
        walked.append(page.one("p", "facts").all("span", "mono")[0].text)
    assert walked == expected
    back = site.get(page.one("a", data_up="")["href"])
    assert expected[-1] in ids_on(back)


def test_many_boxes_come_in_pages(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS", 10)
    key = own.items.index[2]
    expected = own.truth[own.truth["dataset_item_id"] == key]["annotation_id"].tolist()
    page, found = own.get(f"{own.grid}/items/{key}"), []
    while True:
        found += [row.one("td", "id").text for row in page.all("tr", tabindex="0")]
        following = [link for link in page.all("a") if link.text == "Next rows"]
        if not following:
            break
        page = own.get(following[0]["href"])
    assert found == expected
    seen = own.get(f"{own.grid}/items/{key}", see_truth=expected[-1])
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
