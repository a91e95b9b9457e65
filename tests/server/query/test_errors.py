"""Where an error points when a query is wrong, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import nucleus_pandas as npd
from tests.server.query.oracle import QueriedDataset, Row


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("metadata.weather = ", 1, 19, "The query ends too early; expected a field or a value"),
        ("metadata.weather = 'rain", 1, 20, "This string has no end"),
        ("metadata.weather = rain rain", 1, 25, "'rain' is unexpected here; expected an operator"),
        ("width > > 5", 1, 9, "'>' is unexpected here"),
        ("(width > 5", 1, 11, r"ends too early; expected 'or' or '\)'"),
        ("width > 5)", 1, 10, r"'\)' is unexpected here"),
        ("width ~ 5", 1, 7, "The character '~' is invalid"),
        ("width = 5x", 1, 9, "not a number"),
        ("width = 1e999", 1, 9, "too large"),
        ("width = -1e999", 1, 9, "too large"),
        ("width in (1e999)", 1, 11, "too large"),
        ("width in ()", 1, 11, "expected a field or a value"),
        ("width in 5", 1, 10, "a list in parentheses"),
        ("width in (1, null)", 1, 14, "add 'or … is null'"),
        ("width = null", 1, 9, "use 'is null'"),
        ("null", 1, 1, "This is a value"),
        ("width is 5", 1, 10, "'null' or 'not null'"),
        ("width < 1 < 2", 1, 11, "'<' is unexpected here"),
        ("width", 1, 1, "This is a number, not true or false"),
        ("reference_id", 1, 1, "This is a string, not true"),
        ("'rain'", 1, 1, "This is a value"),
        ("5", 1, 1, "This is a value"),
        ("not 5", 1, 5, "This is a value"),
        ("width + 5", 1, 1, "This is a value"),
        ("(width > 5) + 1 = 2", 1, 8, "a condition, but a value is needed"),
        ("(width > 5) = true", 1, 8, "a condition, but a value is needed"),
        ("width + 'a' > 5", 1, 9, "a string; only numbers can be calculated with"),
        ("width * true > 5", 1, 9, "a boolean; only numbers can be calculated with"),
        ("-reference_id = 5", 1, 2, "a string; only numbers can be calculated with"),
        ("widht > 5", 1, 1, "There is no field 'widht'. Did you mean 'width'?"),
        ("nobody > 5", 1, 1, "There is no field 'nobody'. Fields: reference_id"),
        ("width > heigth", 1, 9, "There is no field 'heigth'. Did you mean 'height'?"),
        ("rain = metadata.weather", 1, 1, "There is no field 'rain'"),
        ("label = 'car'", 1, 1, "There is no field 'label'"),
        ("width.x > 5", 1, 7, "'width' has no fields, so 'x' cannot follow it"),
        ("annotations.count.x > 5", 1, 19, "'count' has no fields"),
        ("annotations.label.x = 5", 1, 19, "'label' has no fields"),
        ("annotations.box.car.x = 5", 1, 21, "'car' has no fields"),
        ("annotations > 5", 1, 1, "A field of the annotations"),
        ("annotations.box > 5", 1, 13, "A field is needed: annotations.box.count"),
        ("annotations.position > 5", 1, 13, "An axis is needed"),
        ("annotations.position.w > 5", 1, 13, "An axis is needed"),
        ("annotations.metadata = 5", 1, 13, "A key is needed"),
        ("annotations.car.speed > annotations.bus.speed", 1, 37, "both labels 'car' and 'bus'"),
        ("metadata = 5", 1, 1, "A key is needed"),
        ("metadata.'' = 5", 1, 10, "A key must not be empty"),
        ('metadata."a""b" = 5', 1, 10, "A key must not be empty"),
        ("metadata.'\\' = 5", 1, 10, "A key must not be empty"),
        ("metadata.'a\0' = 5", 1, 10, "A key must not be empty"),
        ("slice.x = 5", 1, 7, "There is no slice field 'x'"),
        ("metadata[width > 5]", 1, 1, "Brackets may only follow 'annotations'"),
        ("annotations[annotations[x > 1]]", 1, 13, "Brackets cannot be nested"),
        ("annotations[x > 1].label = 'a'", 1, 20, "Only .count may follow"),
        ("annotations[x > 1].count", 1, 1, "This is a value"),
        ("annotations[x > 1] = 5", 1, 1, "Only .count may follow"),
        ("annotations[width]", 1, 13, "This is a number, not true"),
        ("width like 5", 1, 12, "'like' takes a string"),
        ("width like reference_id", 1, 12, "'like' takes a string"),
        ("width = 5 and\n  height = 7 or\n  depth = 3", 3, 3, "There is no field 'depth'"),
        ("\n\nwidth =", 3, 8, "ends too early"),
    ],
)
def test_an_error_says_what_is_wrong_and_points_at_it(
    queried: QueriedDataset, text: str, line: int, column: int, sentence: str
) -> None:
    with pytest.raises(npd.BadRequestError, match=sentence) as caught:
        queried.dataset.query(text)
    said, excerpt, caret = str(caught.value).split("\n")
    assert said.endswith(f" - line {line}, column {column} of the query:")
    rows = text.split("\n")
    assert excerpt == "    " + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in rows[line - 1])
    assert caret == " " * (4 + column - 1) + "^"
    assert isinstance(caught.value, ValueError)


def test_a_long_line_is_cut_around_the_place(queried: QueriedDataset) -> None:
    text = " or ".join(["width = 5"] * 20) + " or depth = 5" + " or width = 5" * 20
    with pytest.raises(npd.BadRequestError) as caught:
        queried.dataset.query(text)
    _, excerpt, caret = str(caught.value).split("\n")
    assert excerpt[caret.index("^") :].startswith("depth = 5")
    assert (excerpt[4], excerpt[-1]) == ("…", "…")
    assert len(excerpt) < 110


@pytest.mark.parametrize(
    "field", ["scene.metadata.foo", "autotag.image.rain", "scale_metadata.task_id", "item.scene.x"]
)
def test_what_this_server_does_not_have_is_told(queried: QueriedDataset, field: str) -> None:
    with pytest.raises(npd.UnsupportedError, match="line 1, column"):
        queried.dataset.query(f'{field} = "baz"')


@pytest.mark.parametrize(
    ("given", "options", "reason"),
    [
        (7, {}, "A query is a string"),
        (None, {}, "A query is a string"),
        ("true", {"kind": "boxes"}, "kind is 'items', 'annotations' or 'predictions'"),
        ("true", {"kind": "predictions"}, "Predictions belong to a run; pass run="),
        ("true", {"run": 7}, "run is a ModelRun or its id"),
        ("true", {"metadata_as": "flat"}, "metadata_as"),
    ],
)
def test_mistakes_are_told_here(queried: QueriedDataset, given: Any, options: Row, reason: str) -> None:
    with pytest.raises(npd.InvalidInputError, match=reason):
        queried.dataset.query(given, **options)


def test_a_run_on_another_dataset_is_refused(local: npd.NucleusClient) -> None:
    one, two = local.create_dataset("One"), local.create_dataset("Two")
    run = two.create_model_run(local.add_model("M", "m"))
    for kind in ("items", "annotations"):
        with pytest.raises(npd.BadRequestError, match="on another dataset"):
            one.query("predictions.count > 0", kind, run=run)
    with pytest.raises(npd.NotFoundError):
        one.query("true", "predictions", run="run_0")
