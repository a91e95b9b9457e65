"""What the page says of runs is what the client computes, and every number opens its examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.server.evaluation import compute
from nucleus_pandas.server.web import run_metrics
from nucleus_pandas.server.web.routes import examples
from tests.support.html_tree import Node
from tests.support.private import send_request
from tests.support.sample_page import SampleSite, Visitor, asked_by, last_segment, lines, run_line
from tests.support.waiting import finish_work


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("threshold", ["0.50", "0.65", "0.95"])
def test_the_numbers_of_a_run_are_those_of_its_evaluation(sample_site: SampleSite, which: int, threshold: str) -> None:
    run = sample_site.runs[which]
    expected = run.evaluate(iou_threshold=float(threshold))
    page = sample_site.get(f"/runs/{run.id}", iou=threshold)
    numbers = {one.one("dt").text: one.one("dd").text for one in page.all(cls="number")}
    names = {
        "AP": "AP",
        "AP50": "AP50",
        "AP75": "AP75",
        "AP, small": "AP_small",
        "AP, medium": "AP_medium",
        "AP, large": "AP_large",
    }
    names |= {"Precision": "precision", "Recall": "recall", "F1": "F1"}
    for name, key in names.items():
        assert numbers[name] == f"{expected.summary[key]:.3f}"
    per_class = expected.per_class
    for name, key in {"True positives": "TP", "False positives": "FP", "False negatives": "FN"}.items():
        assert numbers[name] == str(per_class[key].sum())
    rows = page.one("table", "per-class").one("tbody").all("tr")
    assert {row.one("th").text for row in rows} == set(
        per_class.index[per_class[["ground_truths", "predictions"]].any(axis=1)]
    )
    counts = expected.counts
    misplaced = misplaced_of(run, float(threshold))["label"].value_counts()
    for row in rows:
        one, cells = per_class.loc[row.one("th").text], [cell.text for cell in row.all("td")]
        ap = ["-" if np.isnan(one[name]) else f"{one[name]:.3f}" for name in ("AP", "AP50")]
        whole = [str(one[name]) for name in ("ground_truths", "predictions")]
        assert cells[:7] == [*whole, *ap, *(str(one[name]) for name in ("TP", "FP", "FN"))]
        assert cells.pop(7) == str(misplaced.get(row.one("th").text, 0))
        shares = [counts.loc[row.one("th").text, name] for name in ("precision", "recall")]
        assert cells[7:] == ["-" if np.isnan(share) else f"{share:.2f}" for share in shares]
    tide = {row.one("th").text: int(row.one("td", "n").text) for row in page.one("table", "tide").all("tr")}
    assert tide == expected.tide["count"].to_dict()
    assert f"hotcoco {expected.engine_version}" in page.text


def matrix_of(page: Node) -> dict[tuple[str, str], tuple[int, str]]:
    """The confusion matrix: counts and the addresses of their examples by both labels."""
    table = page.one("table", "matrix")
    columns = [head.text for head in table.one("thead").all("th")]
    found = {}
    for row in table.one("tbody").all("tr"):
        for name, cell in zip(columns, row.all("td"), strict=True):
            if cell.text:
                found[row.one("th").text, name] = int(cell.text), cell.one("a")["href"]
    return found


@pytest.mark.parametrize("threshold", ["0.50", "0.80"])
def test_every_cell_of_the_confusion_matrix_opens_exactly_its_examples(sample_site: SampleSite, threshold: str) -> None:
    run = sample_site.runs[1]
    expected = run.evaluate(iou_threshold=float(threshold)).confusion_matrix.rename(
        index={"__background__": "background"}, columns={"__background__": "missed"}
    )
    cells = matrix_of(sample_site.get(f"/runs/{run.id}", iou=threshold))
    shown = {head for pair in cells for head in pair}
    inside = expected.loc[[name in shown for name in expected.index], [name in shown for name in expected.columns]]
    assert {pair: count for pair, (count, _) in cells.items()} == {
        pair: count for pair, count in inside.stack().items() if count and pair in cells
    }
    assert sum(count for count, _ in cells.values()) > 150
    for (truth, predicted), (count, address) in cells.items():
        page = sample_site.get(address)
        examples = page.all("li", "card")
        assert len(examples) == count
        assert page.one("h2", "what").one("span", "dim").text.split()[0] == str(count)
        frame = run_line(sample_site.client, lines(page)[0])
        assert len(frame) == count
        names = [asked_by(one.one("a")) for one in examples]
        assert [one.get("see") for one in names] == [None if pd.isna(v) else v for v in frame["prediction_id"]]
        keys = [last_segment(one.one("a")) for one in examples]
        assert keys == frame["dataset_item_id"].tolist()
        if truth != "background":
            assert frame["label"].eq(truth).all()
        if predicted != "missed":
            assert frame["predicted_label"].eq(predicted).all()


def misplaced_of(run: npd.ModelRun, threshold: float) -> pd.DataFrame:
    """What would be right from an IoU of 0.1 on, but lies below the threshold."""
    near = run.matches(iou_threshold=0.1)
    return near[(near["match_type"] == "TP") & (near["iou"] < threshold)]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("threshold", ["0.80", "0.95"])
def test_what_is_found_in_the_wrong_place_can_be_opened(sample_site: SampleSite, which: int, threshold: str) -> None:
    run = sample_site.runs[which]
    expected = misplaced_of(run, float(threshold))
    missed = run.matches(iou_threshold=float(threshold))
    missed = missed[missed["match_type"] == "FN"]
    assert set(expected["annotation_id"]) <= set(missed["annotation_id"])
    page = sample_site.get(f"/runs/{run.id}", iou=threshold, sort="misplaced")
    foot = page.one("table", "per-class").one("tfoot")
    assert foot.all("td")[7].text == str(len(expected))
    most = page.one("table", "per-class").one("tbody").all("tr")[0]
    of_label = expected[expected["label"] == most.one("th").text]
    for row, some in ((foot, expected), (most, of_label)):
        link = row.all("td")[7].one("a")
        shown = sample_site.get(link["href"])
        assert shown.one("h2", "what").one("span", "dim").text.split()[0] == str(len(some))
        pd.testing.assert_frame_equal(run_line(sample_site.client, lines(shown)[0]), some)
        for card, pair in zip(shown.all("li", "card"), some.itertuples(), strict=False):
            asked = asked_by(card.one("a"))
            assert (asked["see_truth"], asked["see"]) == (pair.annotation_id, pair.prediction_id)
            assert card.one("span", "outcome").text == "FN"
            assert card.one(cls="card-facts").text == f"conf. {pair.confidence:.2f} · IoU {pair.iou:.2f}"
            assert [len(group.all("rect")) for group in card.one("svg").all("g")] == [1, 1]
    assert sample_site.shown(run=run.id, match="misplaced", iou=threshold) == sample_site.ids(expected["reference_id"])
    surest = sample_site.get(f"/runs/{run.id}/examples", match="misplaced", sort="farthest", iou=threshold)
    assert [asked_by(card.one("a"))["see"] for card in surest.all("li", "card")] == expected.sort_values(
        ["iou"], kind="stable"
    )["prediction_id"].tolist()[: examples.PAGE]


def test_one_goes_from_one_kind_of_outcome_to_the_next_of_the_same_label(sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    found = run.matches(iou_threshold=0.5)
    page = sample_site.get(f"/runs/{run.id}/examples", match="FN", truth="car", iou="0.5")
    tabs = {tab.text: tab["href"] for tab in page.one("nav", "tabs").all("a")}
    expected = {
        "True positives": ((found["match_type"] == "TP") & (found["label"] == "car")).sum(),
        "False positives": ((found["match_type"] == "FP") & (found["predicted_label"] == "car")).sum(),
        "False negatives": ((found["match_type"] == "FN") & (found["label"] == "car")).sum(),
        "Misplaced": misplaced_of(run, 0.5)["label"].eq("car").sum(),
    }
    counts = {
        name: sample_site.get(href).one("h2", "what").one("span", "dim").text.split()[0] for name, href in tabs.items()
    }
    assert counts == {name: str(count) for name, count in expected.items()}
    assert page.all("a", aria_current="page")[-1].text == "False negatives"
    assert not page.all("input", name="confidence_from")  # what is missed has none
    cell = sample_site.get(f"/runs/{run.id}/examples", alone="1", truth="car")
    assert not cell.all("nav", "tabs")


@pytest.mark.parametrize("match", ["TP", "FP", "FN", "misplaced"])
def test_a_image_of_an_example_counts_as_it_and_leads_to_the_next(sample_site: SampleSite, match: str) -> None:
    run = sample_site.runs[1]
    found = misplaced_of(run, 0.8) if match == "misplaced" else run.matches(iou_threshold=0.8)
    found = found[found["match_type"] == match] if match != "misplaced" else found
    side, column = ("predicted", "predicted_label") if match == "FP" else ("truth", "label")
    people = found[found[column] == "person"]
    page = sample_site.get(f"/runs/{run.id}/examples", match=match, iou="0.8", **{side: "person"})
    images = people["dataset_item_id"].drop_duplicates().tolist()
    seen, link = [], page.all("li", "card")[0].one("a")
    while True:
        shown = sample_site.get(link["href"])
        seen.append(last_segment(link))
        heads = [head.text for head in shown.one("section", "layer-1").one("thead").all("th")]
        assert "Match at 0.80" in heads
        rows = shown.one("section", "layer-1").one("tbody").all("tr")
        matches = run.matches(iou_threshold=0.8)
        ours = matches[(matches["dataset_item_id"] == seen[-1]) & matches["prediction_id"].notna()]
        ours = ours[ours["match_type"] != "FN"].set_index("prediction_id")["match_type"]
        assert {row.one("td", "id").text: row.one("span", "outcome").text for row in rows} == ours.to_dict()
        following = shown.one("nav", "pages").all("a", rel="next")
        if not following:
            break
        link = following[0]
    assert seen == images
    assert len(images) > 1


@pytest.mark.parametrize("match", ["TP", "FP", "FN"])
def test_examples_are_those_of_the_commit_in_every_order(
    sample_site: SampleSite, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "PAGE", 7)
    run = sample_site.runs[1]
    found = run.matches(iou_threshold=0.5)
    found = found[found["match_type"] == match]
    for sort, column, ascending in (
        ("image", None, True),
        ("surest", "confidence", False),
        ("unsurest", "confidence", True),
        ("nearest", "iou", False),
        ("farthest", "iou", True),
    ):
        page, shown = sample_site.get(f"/runs/{run.id}/examples", match=match, sort=sort), []
        assert page.one("h2", "what").one("span", "dim").text.split()[0] == str(len(found))
        while True:
            shown += page.all("li", "card")
            following = page.all("a", rel="next")
            if not following:
                break
            page = sample_site.get(following[0]["href"])
        names = [asked_by(one.one("a")) for one in shown]
        ours = [(one.get("see"), one.get("see_truth")) for one in names]
        theirs = [
            tuple(None if pd.isna(value) else value for value in pair)
            for pair in found[["prediction_id", "annotation_id"]].itertuples(index=False)
        ]
        assert sorted(map(str, ours)) == sorted(map(str, theirs))
        if column is None:
            assert ours == theirs
        elif match != "FN":
            ordered = found.set_index("prediction_id")[column]
            values = [ordered[name] for name, _ in ours]  # ids of predictions are unique in the sample
            expected = found[column].sort_values(ascending=ascending, na_position="last")
            np.testing.assert_array_equal(np.array(values, dtype=float), expected.to_numpy())
        assert all(one.one("span", "outcome").text == match for one in shown)


def test_the_histogram_counts_and_opens_its_bins(sample_site: SampleSite) -> None:
    run = sample_site.runs[1]
    expected = run.evaluate().score_histogram
    page = sample_site.get(f"/runs/{run.id}")
    chart = page.one("svg", role="group")
    for name in ("TP", "FP"):
        bars = [link for link in chart.all("a") if link.all("rect", f"bar-{name.lower()}")]
        counts = [int(link["aria-label"].split()[0]) for link in bars]
        assert counts == [count for count in expected[name] if count]
        for link, count in zip(bars, counts, strict=True):
            assert len(sample_site.get(link["href"]).all("li", "card")) == count


def test_curves_are_the_engines(sample_site: SampleSite) -> None:
    run = sample_site.runs[0]
    page = sample_site.get(f"/runs/{run.id}", iou="0.75")
    curve = run.evaluate().pr_curve
    curve = curve[curve["iou_threshold"] == 0.75]
    mean = curve.groupby("recall")["precision"].mean()
    points = [tuple(map(float, point.split(","))) for point in page.one("polyline", "mean")["points"].split()]
    height = np.interp(np.linspace(38, 450, 101), *zip(*points, strict=True))
    assert (296 - height) / (296 - 8) == pytest.approx(mean.to_numpy(), abs=2e-3)
    assert len(page.all("polyline", "curve")) == curve["label"].nunique() + 1


@pytest.mark.parametrize("sort", ["label", "truths", "ap", "fp", "misplaced", "recall"])
def test_the_table_of_labels_is_sorted_as_asked(sample_site: SampleSite, sort: str) -> None:
    page = sample_site.get(f"/runs/{sample_site.runs[1].id}", sort=sort)
    column = {"label": 0, "truths": 1, "ap": 3, "fp": 6, "misplaced": 8, "recall": 10}[sort]
    rows = page.one("table", "per-class").one("tbody").all("tr")
    values = [[cell.text for cell in (row.one("th"), *row.all("td"))][column] for row in rows]
    if sort == "label":
        assert values == sorted(values, key=str.lower)
    else:
        numbers = [-1.0 if value == "-" else float(value) for value in values]
        assert numbers == sorted(numbers, reverse=True)


def test_lines_of_a_run_give_its_tables(sample_site: SampleSite) -> None:
    page = sample_site.get(f"/runs/{sample_site.runs[1].id}", iou="0.75")
    expected = sample_site.runs[1].evaluate(iou_threshold=0.75)
    per_class, matrix = (run_line(sample_site.client, line) for line in lines(page))
    pd.testing.assert_frame_equal(per_class, expected.per_class)
    pd.testing.assert_frame_equal(matrix, expected.confusion_matrix)


def test_boxes_that_changed_since_the_commit_are_told(own_sample_site: SampleSite) -> None:
    address = f"/runs/{own_sample_site.runs[0].id}"
    assert not own_sample_site.get(address).all(cls="notice")
    box = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    own_sample_site.dataset.annotate([{**box, "reference_id": own_sample_site.items["reference_id"].iloc[0]}])
    assert "Boxes have changed since this match" in own_sample_site.get(address).one(cls="notice").text
    own_sample_site.runs[0].commit(class_agnostic=False)
    assert not own_sample_site.get(address).all(cls="notice")


def test_numbers_of_many_boxes_are_computed_in_the_background_and_kept(
    own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "SMALL", 10)
    address = f"/runs/{own_sample_site.runs[0].id}"
    response = own_sample_site.visitor.ask(address)
    assert response.status_code == 202
    assert response.headers["Refresh"] == "2"
    assert "being computed" in response.text
    nucleus = own_sample_site.nucleus
    finish_work(nucleus)
    numbers = own_sample_site.get(address).one("dl", "numbers").text
    monkeypatch.setattr(run_metrics, "_compute", lambda *rest: pytest.fail("it is known"))
    again = Visitor(nucleus)  # after a new start too
    assert again.get(address).one("dl", "numbers").text == numbers
    total = sum(path.stat().st_size for path in (nucleus.folder / "page").iterdir())
    assert 0 < total < 1_000_000


def test_what_cannot_be_computed_is_told(own_sample_site: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(compute, "SMALL", 10)
    monkeypatch.setattr(run_metrics, "_compute", fail)
    address = f"/runs/{own_sample_site.runs[0].id}"
    own_sample_site.get(address, 202)
    finish_work(own_sample_site.nucleus)
    assert "see its log" in own_sample_site.get(address, 409).text


def test_answers_of_an_older_state_are_forgotten(own_sample_site: SampleSite) -> None:
    address = f"/runs/{own_sample_site.runs[0].id}"
    for _ in range(3):
        own_sample_site.get(address)
        own_sample_site.runs[0].commit()
    own_sample_site.get(address)
    folder = own_sample_site.nucleus.folder / "page"
    assert len(list(folder.glob(f"{own_sample_site.runs[0].id}-*.json"))) == 1
    assert not list(folder.glob("*.incoming"))


def test_an_evaluation_is_shown_beside_the_commit(own_sample_site: SampleSite) -> None:
    run = own_sample_site.runs[1]
    rules = [{"class_name": "vehicle", "labels": ["car", "bus", "truck"]}]
    body = {"rollupGroups": rules, "name": "Rolled up"}
    made = send_request(own_sample_site.client, "POST", "modelRun", run.id, "evaluationsV2", body=body)
    key = made["evaluation_id"]
    page = own_sample_site.get(f"/runs/{run.id}", by=key)
    assert page.one("select", name="by").all("option")[0].text == "the commit"
    charts = send_request(own_sample_site.client, "POST", "evaluationsV2", key, "charts", body={"iouThreshold": 0.5})
    totals = {one.one("dt").text: one.one("dd").text for one in page.all(cls="number")}
    counts = charts["totalCounts"]
    assert [totals[f"{name} positives"] for name in ("True", "False")] == [str(counts["tp"]), str(counts["fp"])]
    assert totals["AP"] == f"{charts['mapSummary']['mapAt5095']:.3f}"
    tide = {row.one("th").text: int(row.one("td", "n").text) for row in page.one("table", "tide").all("tr")}
    assert tide == {name: charts["tideAttribution"][name] for name in tide}
    for (truth, predicted), (count, address) in matrix_of(page).items():
        assert len(own_sample_site.get(address).all("li", "card")) == count, (truth, predicted)
    assert "vehicle" in page.one("table", "per-class").text


# Two runs


@pytest.mark.parametrize("threshold", ["0.50", "0.75"])
def test_two_runs_are_compared_as_the_client_compares_them(sample_site: SampleSite, threshold: str) -> None:
    second, first = sample_site.runs[1:]
    page = sample_site.get("/compare", run=[first.id, second.id], iou=threshold)
    one, other = (run.evaluate(iou_threshold=float(threshold)) for run in (first, second))
    expected = one.compare(other)
    numbers = page.one("section", aria_labelledby="t-numbers").one("tbody").all("tr")
    rows = {row.one("th").text: [cell.text for cell in row.all("td")] for row in numbers}
    for name in ("AP", "AP50", "AP75"):
        number = expected.summary.loc[name]
        assert rows[name] == [f"{number['this']:.3f}", f"{number['other']:.3f}", f"{number['difference']:+.3f}"]
    assert rows["Found by this run only"][:2] == [str(len(expected.lost)), str(len(expected.won))]
    table = page.one("table", "per-class").one("tbody").all("tr")
    for row in table:
        cells = [cell.text for cell in row.all("td")]
        number = expected.per_class.loc[row.one("th").text]
        assert cells[4:] == [str(int(number["lost"])), str(int(number["won"]))]
        assert cells[1] == ("-" if np.isnan(number["AP"]) else f"{number['AP']:.3f}")
    for table, frame in zip((0, 1), (expected.lost, expected.won), strict=True):
        shown = sample_site.get(numbers[-1].all("a")[table]["href"])
        names = [asked_by(one.one("a")) for one in shown.all("li", "card")]
        keys = [last_segment(one.one("a")) for one in shown.all("li", "card")]
        assert shown.one("h2", "what").one("span", "dim").text.split()[0] == str(len(frame))
        whole = list(zip(keys, [one["see_truth"] for one in names], strict=True))
        pairs = list(frame[["dataset_item_id", "annotation_id"]].itertuples(index=False, name=None))
        assert set(whole) <= set(pairs)
        assert len(whole) == min(48, len(pairs))
        assert len(run_line(sample_site.client, lines(shown)[0])) == len(frame)
    pd.testing.assert_frame_equal(run_line(sample_site.client, lines(page)[0]), expected.per_class)


def test_two_runs_are_needed_and_on_the_same_images(own_sample_site: SampleSite) -> None:
    assert "Select exactly two runs" in own_sample_site.get("/compare", 400).text
    assert "Select exactly two runs" in own_sample_site.get("/compare", 400, run=[own_sample_site.runs[0].id] * 2).text
    elsewhere = own_sample_site.client.create_dataset("Elsewhere")
    other = elsewhere.create_model_run(own_sample_site.client.add_model("Other", "other"))
    other.commit()
    assert "different datasets" in own_sample_site.get("/compare", 400, run=[own_sample_site.runs[0].id, other.id]).text
    assert (
        "different label rules"
        in own_sample_site.get("/compare", run=[own_sample_site.runs[0].id, own_sample_site.runs[1].id])
        .one(cls="notice")
        .text
    )
    assert not own_sample_site.get("/compare", run=[own_sample_site.runs[1].id, own_sample_site.runs[2].id]).all(
        cls="notice"
    )
