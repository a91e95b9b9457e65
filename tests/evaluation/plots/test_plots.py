"""What is drawn is what the DataFrames hold; axes go in and come out; nothing of pyplot is left changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.evaluation import Evaluation

NAMES = [
    "plot_pr_curve",
    "plot_f1_curve",
    "plot_confusion_matrix",
    "plot_score_histogram",
    "plot_tide",
    "plot_per_class",
    "plot_comparison",
]
BACKGROUND = "__background__"


def boxes(labels: list[str], images: int, shift: float, seed: int) -> pd.DataFrame:
    """Boxes of every label on every image, in places that all calls share but for the shift."""
    places = np.random.default_rng(0)
    noise = np.random.default_rng(seed)
    count = len(labels) * images
    return pd.DataFrame(
        {
            "reference_id": [f"{number}.jpg" for number in range(images) for _ in labels],
            "label": labels * images,
            "x": np.tile(np.arange(len(labels)) * 100.0, images) + noise.normal(0, shift, count),
            "y": places.uniform(0, 10, count) + noise.normal(0, shift, count),
            "width": 40.0,
            "height": 40.0,
        }
    )


def evaluation(labels: list[str], seed: int = 1, shift: float = 8.0, **options: Any) -> Evaluation:
    """Of predictions that are off, partly of wrong labels; the last label has predictions only."""
    truth = boxes(labels, 6, 0.0, 0)
    found = boxes(labels, 6, shift, seed)
    noise = np.random.default_rng(seed)
    swapped = noise.random(len(found)) < 0.3
    found.loc[swapped, "label"] = noise.choice(labels, int(swapped.sum()))
    found["confidence"] = noise.uniform(0, 1, len(found)).round(2)
    return npd.evaluate(found, truth[truth["label"] != labels[-1]], class_agnostic=True, **options)


@pytest.fixture
def few() -> Evaluation:
    return evaluation(["bus", "car", "person", "zebra"])


@pytest.fixture
def many() -> Evaluation:
    """Eighty labels, some of them long, and one that would be a formula."""
    return evaluation([f"label {number:02} " + "of a very long name " * (number % 9 == 0) for number in range(80)])


@pytest.fixture
def nothing() -> Evaluation:
    return npd.evaluate(boxes([], 0, 0, 0).assign(confidence=1.0), boxes([], 0, 0, 0))


def draw(found: Evaluation, name: str, ax: Any = None) -> Any:
    plot: Callable[..., Any] = getattr(found, name)
    return plot(found, ax=ax) if name == "plot_comparison" else plot(ax=ax)


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def ticks(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def line(ax: Any, label: str) -> Any:
    return next(line for line in ax.lines if label in str(line.get_label()))


# --- axes


@pytest.mark.parametrize("name", NAMES)
def test_the_axes_that_are_given_are_drawn_on_and_given_back(pyplot: Any, few: Evaluation, name: str) -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert draw(few, name, ax) is ax
    assert ax.lines or ax.patches or ax.images
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", NAMES)
def test_without_axes_one_figure_is_made_and_stays_open(pyplot: Any, few: Evaluation, name: str) -> None:
    before = pyplot.figure()
    ax = draw(few, name)
    assert ax.figure is not before
    assert pyplot.get_fignums() == [before.number, ax.figure.number]


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_the_current_figure_of_pyplot_stay(pyplot: Any, few: Evaluation, name: str) -> None:
    import matplotlib

    figure, (one, two) = pyplot.subplots(1, 2)
    pyplot.sca(two)
    settings, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    draw(few, name, one)
    figure.canvas.draw()
    assert (pyplot.gcf(), pyplot.gca()) == (figure, two)
    assert (dict(matplotlib.rcParams), matplotlib.get_backend()) == (settings, backend)


@pytest.mark.parametrize("name", NAMES)
def test_a_title_says_the_matcher_and_the_overlap_and_axes_have_names(pyplot: Any, few: Evaluation, name: str) -> None:
    ax = draw(few, name)
    said = ax.get_title(loc="left")
    key = {"plot_comparison": "per_class"}.get(name, name.removeprefix("plot_"))
    assert f"matcher: {few.matchers[key]}" in said
    assert "IoU" in said
    assert ax.get_xlabel()


def test_a_title_follows_the_parameters(pyplot: Any) -> None:
    strict = evaluation(["bus", "car"], iou_threshold=0.75, max_dets=7)
    assert "IoU ≥ 0.75" in strict.plot_score_histogram().get_title(loc="left")
    assert "max_dets 7" in strict.plot_per_class().get_title(loc="left")
    assert "IoU ≥ 0.65" in strict.plot_pr_curve(iou_thresholds=0.65).get_title(loc="left")


@pytest.mark.parametrize("name", NAMES)
def test_eighty_labels_are_drawn_within_the_figure(pyplot: Any, many: Evaluation, name: str) -> None:
    ax = draw(many, name)
    ax.figure.canvas.draw()
    shown, room = ax.get_tightbbox(), ax.figure.bbox
    assert shown.x0 >= -1
    assert shown.y0 >= -1
    assert shown.x1 <= room.x1 + 1
    assert shown.y1 <= room.y1 + 1


@pytest.mark.parametrize("name", ["plot_per_class", "plot_comparison"])
def test_names_do_not_overlap(pyplot: Any, many: Evaluation, name: str) -> None:
    ax = draw(many, name)
    ax.figure.canvas.draw()
    lows = sorted(text.get_window_extent().y0 for text in ax.get_yticklabels())
    height = max(text.get_window_extent().height for text in ax.get_yticklabels())
    assert len(lows) == len(many.per_class)
    assert min(np.diff(lows)) >= 0.8 * height  # of which a fifth is the room below letters


def test_names_that_have_no_room_are_thinned_out(pyplot: Any, many: Evaluation) -> None:
    ax = many.plot_per_class(ax=pyplot.subplots(figsize=(3, 2))[1])
    assert 10 < len(ax.get_yticks()) < 40
    assert len(ax.patches) == many.per_class["AP"].notna().sum()


def test_a_name_is_no_formula_and_none_is_hidden(pyplot: Any) -> None:
    found = evaluation(["_private", "$a$ and $b$", "$", "last"])
    for name in NAMES:
        draw(found, name).figure.canvas.draw()
    assert set(ticks(found.plot_per_class().yaxis)) == {"_private", "$a$ and $b$", "$", "last"}
    matrix = found.plot_confusion_matrix()
    assert ticks(matrix.xaxis) == ticks(matrix.yaxis)
    assert not any(text.get_parse_math() for text in (*matrix.get_xticklabels(), *matrix.get_yticklabels()))
    legend = found.plot_pr_curve().get_legend()
    assert any(text.get_text().endswith("_private") for text in legend.get_texts())
    assert not any(text.get_parse_math() for text in legend.get_texts())


# --- curves


def test_lines_of_labels_are_their_precision(pyplot: Any, few: Evaluation) -> None:
    ax = few.plot_pr_curve(iou_thresholds=0.6)
    frame = few.pr_curve
    at = frame[frame["iou_threshold"] == 0.6]
    for label, curve in at.groupby("label"):
        drawn = line(ax, f"  {label}")
        assert drawn.get_xdata().tolist() == curve["recall"].tolist()
        assert drawn.get_ydata().tolist() == curve["precision"].tolist()
    mean = line(ax, "mean of 3 labels")
    assert mean.get_ydata() == pytest.approx(at.groupby("recall")["precision"].mean().to_numpy())
    assert mean.get_linewidth() > 2 * drawn.get_linewidth()


def test_the_legend_gives_the_average_precision(pyplot: Any, few: Evaluation) -> None:
    ax = few.plot_pr_curve()
    assert f"AP50 {few.summary['AP50']:.3f}  mean of 3 labels" in ax.get_legend_handles_labels()[1]
    assert f"AP50 {few.per_class.loc['car', 'AP50']:.3f}  car" in ax.get_legend_handles_labels()[1]


def test_of_many_labels_six_are_told_and_all_are_drawn(pyplot: Any, many: Evaluation) -> None:
    ax = many.plot_pr_curve()
    assert len(ax.get_legend_handles_labels()[1]) == 6 + 1 + 1
    assert len(ax.lines) == 79 + 1
    wanted = ["label 07 ", "label 11 "]
    told = many.plot_pr_curve(labels=wanted).get_legend_handles_labels()[1]
    assert [text.split("  ")[1] for text in told[1:3]] == ["label 07", "label 11"]


def test_at_several_thresholds_means_are_drawn(pyplot: Any, few: Evaluation) -> None:
    frame = few.pr_curve[few.pr_curve["label"].isin(["bus", "car"])]
    ax = few.plot_pr_curve(iou_thresholds=[0.5, 0.9], labels=["bus", "car"])
    assert len(ax.lines) == 2
    for threshold, drawn in zip([0.5, 0.9], ax.lines, strict=True):
        curve = frame[frame["iou_threshold"] == threshold].groupby("recall")["precision"].mean()
        assert drawn.get_ydata() == pytest.approx(curve.to_numpy())
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": ["tram"]}, "There is no curve of 'tram'"),
        ({"labels": ["zebra"]}, "There is no curve of 'zebra': it has no ground truth"),
        ({"iou_thresholds": 0.52}, "There is no curve at IoU 0.52"),
        ({"iou_thresholds": []}, "iou_thresholds names none"),
    ],
)
def test_a_curve_that_there_is_not_is_refused(
    pyplot: Any, few: Evaluation, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(npd.InvalidInputError, match=sentence):
        few.plot_pr_curve(**options)
    assert pyplot.get_fignums() == []


def test_the_f1_curve_is_drawn_and_its_best_point_marked(pyplot: Any, few: Evaluation) -> None:
    ax = few.plot_f1_curve()
    for name in ("F1", "precision", "recall"):
        drawn = next(line for line in ax.lines if line.get_label() == name)
        assert drawn.get_xdata().tolist() == few.f1_curve["confidence"].tolist()[::-1]
        assert drawn.get_ydata().tolist() == few.f1_curve[name].tolist()[::-1]
        assert drawn.get_drawstyle() == "steps-pre"
    best = line(ax, "best")
    assert best.get_xdata() == [few.summary["best_confidence"]]
    assert best.get_ydata() == [few.f1_curve["F1"].max()]


# --- confusion


def cells(ax: Any) -> dict[tuple[str, str], str]:
    rows, columns = ticks(ax.yaxis), ticks(ax.xaxis)
    return {(rows[round(y)], columns[round(x)]): text.get_text() for text in ax.texts for x, y in [text.get_position()]}


def test_cells_hold_the_counts(pyplot: Any, few: Evaluation) -> None:
    matrix = few.confusion_matrix.rename(index={BACKGROUND: "background"}, columns={BACKGROUND: "background"})
    ax = few.plot_confusion_matrix()
    assert cells(ax) == {
        (truth, predicted): str(count) for (truth, predicted), count in matrix.stack().items() if count
    }
    assert ax.images[0].get_array().filled(0).tolist() == matrix.to_numpy().tolist()


@pytest.mark.parametrize(("normalize", "axis"), [("truth", 1), ("predicted", 0)])
def test_shares_sum_to_one(pyplot: Any, few: Evaluation, normalize: Any, axis: int) -> None:
    ax = few.plot_confusion_matrix(normalize=normalize)
    values = ax.images[0].get_array().filled(0)
    total = few.confusion_matrix.to_numpy().sum(axis=axis)
    assert values.sum(axis=axis) == pytest.approx((total > 0).astype(float))
    share = few.confusion_matrix.loc["bus", "bus"] / total[0]
    assert values[0, 0] == pytest.approx(share)
    assert cells(ax)["bus", "bus"] == f"{share:.2f}".removeprefix("0")


def test_other_labels_are_summed_and_said(pyplot: Any, many: Evaluation) -> None:
    matrix = many.confusion_matrix
    ax = many.plot_confusion_matrix(top=5)
    values = ax.images[0].get_array().filled(0)
    assert values.shape == (7, 7)
    assert values.sum() == matrix.to_numpy().sum()
    assert ticks(ax.yaxis)[-2:] == ["75 others", "background"]
    size = matrix.sum(axis=0) + matrix.sum(axis=1)
    kept = size[size.index != BACKGROUND].sort_values(ascending=False, kind="stable").index[:5]
    others = matrix.index.difference([*kept, BACKGROUND])
    block = matrix.loc[others, others].to_numpy()
    assert values[5, 5] == block.sum()
    assert values[5, 6] == matrix.loc[others, BACKGROUND].sum()
    assert values[6, 5] == matrix.loc[BACKGROUND, others].sum()
    assert np.diag(values)[:5].tolist() == [matrix.loc[label, label] for label in sorted(kept)]
    same = np.trace(block)
    assert f"among the others: {same} pairs of one label, {block.sum() - same} of two" in ax.get_title(loc="left")


def test_a_label_of_the_name_background_is_told_from_the_background(pyplot: Any) -> None:
    ax = evaluation(["background", "car"]).plot_confusion_matrix()
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["background", "car", BACKGROUND]


def test_many_labels_are_read_from_the_colours(pyplot: Any, many: Evaluation) -> None:
    ax = many.plot_confusion_matrix(top=None)
    assert texts(ax) == []
    assert ax.images[0].get_array().filled(0).tolist() == many.confusion_matrix.to_numpy().tolist()


@pytest.mark.parametrize("options", [{"normalize": "all"}, {"top": 0}, {"top": True}, {"top": 2.5}])
def test_a_matrix_that_there_is_not_is_refused(pyplot: Any, few: Evaluation, options: dict[str, Any]) -> None:
    with pytest.raises(npd.InvalidInputError, match=next(iter(options))):
        few.plot_confusion_matrix(**options)


# --- bars


def test_bars_of_confidence_stand_on_each_other(pyplot: Any, few: Evaluation) -> None:
    right, wrong = few.plot_score_histogram().containers
    bins = few.score_histogram
    assert [bar.get_height() for bar in right] == bins["TP"].tolist()
    assert [bar.get_height() for bar in wrong] == bins["FP"].tolist()
    assert [bar.get_y() for bar in wrong] == bins["TP"].tolist()
    assert [bar.get_x() for bar in right] == bins["low"].tolist()
    assert {bar.get_hatch() for bar in right}.isdisjoint({bar.get_hatch() for bar in wrong})


def test_predictions_without_confidence_are_named(pyplot: Any) -> None:
    truth = boxes(["car"], 4, 0.0, 0)
    found = npd.evaluate(truth.assign(confidence=[0.5, None, 0.25, None]), truth)
    assert "2 predictions without one are not drawn" in found.plot_score_histogram().get_xlabel()


def test_bars_of_errors_are_their_counts(pyplot: Any, few: Evaluation) -> None:
    ax = few.plot_tide()
    wrong, missed = ax.containers
    assert [bar.get_width() for bar in (*wrong, *missed)] == few.tide["count"].tolist()
    assert ticks(ax.yaxis) == few.tide.index.tolist()
    assert [int(text.split()[0]) for text in texts(ax)] == few.tide["count"].tolist()
    assert f"({few.tide['share'].iloc[0]:.0%})" in texts(ax)[0]
    assert wrong[0].get_hatch() != missed[0].get_hatch()


@pytest.mark.parametrize("metric", ["AP", "AP50", "AP75", "AR"])
def test_bars_of_labels_fall_and_those_without_are_named(pyplot: Any, few: Evaluation, metric: Any) -> None:
    ax = few.plot_per_class(metric=metric)
    values = few.per_class[metric].dropna().sort_values(ascending=False, kind="stable")
    assert ticks(ax.yaxis) == [*values.index, "zebra"]
    assert [bar.get_width() for bar in ax.patches] == values.tolist()
    assert texts(ax) == [*(f"{value:.3f}" for value in values), "NaN: no ground truth"]
    assert f"{values.mean():.3f}" in ax.get_xlabel()


def test_some_labels_can_be_chosen(pyplot: Any, few: Evaluation) -> None:
    assert set(ticks(few.plot_per_class(labels=["car", "bus"]).yaxis)) == {"car", "bus"}
    with pytest.raises(npd.InvalidInputError, match="There is no label 'tram'"):
        few.plot_per_class(labels=["tram"])
    wrong: Any = "F1"
    with pytest.raises(npd.InvalidInputError, match="metric is 'AP', 'AP50', 'AP75' or 'AR', not 'F1'"):
        few.plot_per_class(metric=wrong)


@pytest.mark.parametrize("metric", ["AP", "AP50", "AR"])
def test_bars_of_two_evaluations_are_their_differences(pyplot: Any, few: Evaluation, metric: Any) -> None:
    other = evaluation(["bus", "car", "person", "zebra"], seed=2, shift=5.0)
    ax = few.plot_comparison(other, metric=metric)
    table = few.compare(other).per_class
    differences = table[f"{metric}_difference"].dropna()
    assert ticks(ax.yaxis)[-1] == "zebra"
    for label, bar in zip(ticks(ax.yaxis)[:-1], sorted(ax.patches, key=lambda bar: bar.get_y()), strict=True):
        assert bar.get_width() == pytest.approx(differences[label])
        assert bool(bar.get_hatch()) == (differences[label] < 0)
    assert texts(ax)[:-1:2] == [
        *(f"{differences[label]:+.3f}" for label in ticks(ax.yaxis)[:-1]),
        "NaN: no ground truth",
    ]
    beside = dict(zip(ticks(ax.yaxis), texts(ax)[1:-1:2], strict=True))
    for label, text in beside.items():
        won, lost = table.loc[label, ["won", "lost"]].astype(int)
        assert text == (" ".join([f"+{won}"] * bool(won) + [f"-{lost}"] * bool(lost)) or "0")
    name = "AR_100" if metric == "AR" else metric
    assert f"{few.summary[name]:.3f} → {other.summary[name]:.3f}" in ax.get_title(loc="left")


# --- nothing


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_evaluation_draws_a_sentence(pyplot: Any, nothing: Evaluation, name: str) -> None:
    ax = draw(nothing, name)
    ax.figure.canvas.draw()
    assert "There is no ground truth" in " ".join(texts(ax)).replace("\n", " ")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["no predictions", "no ground truth", "no confidence", "one label"])
def test_half_an_evaluation_is_drawn(pyplot: Any, name: str, side: str) -> None:
    truth = boxes(["car"], 3, 0.0, 0)
    found = truth.assign(confidence=np.nan if side == "no confidence" else 0.5)
    half = npd.evaluate(
        found[:0] if side == "no predictions" else found,
        truth[:0] if side == "no ground truth" else truth,
        items=truth[["reference_id"]],
    )
    ax = draw(half, name)
    ax.figure.canvas.draw()
    assert ax.texts or ax.lines or ax.patches


def test_without_matplotlib_the_line_to_type_is_told(monkeypatch: pytest.MonkeyPatch, few: Evaluation) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in NAMES:
        with pytest.raises(npd.MissingExtraError, match=r"pip install 'nucleus_pandas\[plot\]'"):
            draw(few, name)


def test_importing_the_package_does_not_load_matplotlib() -> None:
    import subprocess

    code = "import sys, nucleus_pandas; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
