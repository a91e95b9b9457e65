"""Queries without an end, and any text at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import nucleus_pandas as npd
from tests.server.query.oracle import EXAMPLES, QueriedDataset, found, names

# Queries without an end


@pytest.mark.parametrize(
    "text",
    [
        "(" * 49_000,
        "(" * 24_000 + "width" + ")" * 24_000 + " = 5",
        "(" * 51 + "width = 5" + ")" * 51,
        "not " * 12_000 + "true",
        "- " * 20 + "width = 5",
        "width" + " + width" * 6_000 + " = 5",
        "width" + " % width" * 6_000 + " = 5",
        "width = 5" + " or width = 5" * 3_000,
        "width = 5" + " and (width = 5" * 3_000 + ")" * 3_000,
        "annotations[" * 4_000,
        "metadata" + ".a" * 24_000 + " = 5",
        "width in (" + "1," * 24_000 + "1)",
        "width in (" + "1," * 9_999 + "1) or width in (1)",
        "width = " + "9" * 49_000,
        "reference_id = '" + "a" * 49_000,
        "reference_id like '" + "%a" * 2_000 + "'",
        "'" * 49_001,
        "a" * 1_000_000,
        "width = 5 or " * 80_000 + "true",
        "\N{GRINNING FACE}" * 49_000,
    ],
    ids=lambda text: f"{text[:12]} {len(text)}",
)
def test_a_query_without_an_end_is_refused(queried: QueriedDataset, text: str) -> None:
    with pytest.raises(npd.BadRequestError) as caught:
        queried.dataset.query(text)
    assert len(str(caught.value)) < 500


def test_what_is_just_within_the_limits_is_answered(queried: QueriedDataset) -> None:
    parentheses = "(" * 50 + "width = 640" + ")" * 50
    assert found(queried, parentheses) == names(lambda one: "width" in one)
    assert found(queried, " or ".join(["width = 640"] * 100)) == names(lambda one: "width" in one)
    many = ", ".join(f"'{number}'" for number in range(4_999))
    assert found(queried, f"reference_id in ({many}, '7.jpg')") == ["7.jpg"]
    assert found(queried, f"width + {' + '.join(['0'] * 197)} = 640") == names(lambda one: "width" in one)
    assert found(queried, "metadata.weather = '" + "a" * 40_000 + "'") == []


NESTS: list[tuple[str, str, str]] = [
    ("width = 640 and (height = 0 or ", ")", "width = 640"),
    ("not (true and ", ")", "metadata.weather = metadata.hour"),
    ("metadata.hour + (2 * ", ") ", "metadata.hour"),
    ("metadata.hour % (7 - ", ")", "metadata.hour"),
    ("1 - -(1 / ", ")", "metadata.deep.k"),
    ("annotations.x % (annotations.metadata.speed * ", ")", "predictions.confidence"),
]


@pytest.mark.parametrize(("before", "behind", "core"), NESTS)
@pytest.mark.parametrize("around", ["{}", "annotations[{}]", "predictions[{}]", "annotations[{}].count > 1 or true"])
def test_nesting_is_refused_by_the_language_and_never_by_the_store(
    queried: QueriedDataset, before: str, behind: str, core: str, around: str
) -> None:
    answered = []
    for depth in range(16):
        text = before * depth + core + behind * depth
        if "=" not in before + core:
            text = f"{text} = 5"
        try:
            queried.dataset.query(around.format(text))
            answered.append(depth)
        except npd.BadRequestError as error:
            sentence = str(error)
    assert "A query may be nested at most 10 deep" in sentence
    assert answered == [*range(len(answered))]
    assert len(answered) >= 3


# Anything at all


words = st.sampled_from(
    [
        *[
            "width",
            "metadata",
            "metadata.weather",
            "annotations",
            "annotations.count",
            "predictions.car",
            "item",
            "slice",
        ],
        *["and", "or", "not", "in", "like", "is", "null", "true", "(", ")", "[", "]", ",", ".", "=", "!=", "<", ">="],
        *["+", "-", "*", "/", "%", "5", "7.5", "1e400", "2021-01-01", '"rain"', "'%a'", '""', "rain", "label", "count"],
        *[
            "\N{GRINNING FACE}",
            "\0",
            "'",
            '"',
            "annotations[",
            "\\",
            "\n",
            "ü",
            "x",
            "position",
            "scene",
            "_",
            "$",
            "--",
        ],
    ]
)


@settings(max_examples=EXAMPLES * 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(st.lists(words, max_size=14).map(" ".join), st.lists(words, max_size=8).map("".join), st.text()),
    kind=st.sampled_from(["items", "annotations", "predictions"]),
)
@example(text='metadata."a\0" is null', kind="items")
@example(text="width = 5 'a\nb'", kind="items")
@example(text="annotations.label.'a\nb' = 5", kind="annotations")
def test_any_text_is_answered_or_refused_with_a_place(queried: QueriedDataset, text: str, kind: Any) -> None:
    sentence = ""
    try:
        queried.dataset.query(text, kind=kind, run=queried.run if kind == "predictions" else None)
    except (npd.BadRequestError, npd.UnsupportedError) as error:
        sentence = str(error)
    assert not sentence or (" - line " in sentence and sentence.split("\n")[2].strip() == "^")
