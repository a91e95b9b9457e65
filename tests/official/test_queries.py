"""The official client's queries, unmodified, on a served embedded Nucleus."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

pytestmark = [
    pytest.mark.newest,
    pytest.mark.filterwarnings("ignore:Calling .* is deprecated:DeprecationWarning"),
    # what it calls itself: newer versions of aiohttp and asyncio
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:nucleus\."),
]


@pytest.fixture
def official_dataset(nucleus: Any, official: Any) -> Any:
    """The official client's dataset of nine images with as many boxes as their number."""
    made = official.create_dataset("Street scenes", is_scene=False)
    items = [
        nucleus.DatasetItem(
            f"https://example.org/{n}.jpg",
            reference_id=f"{n}.jpg",
            metadata={"frame_number": n, "animal": "dog" if n % 2 else "cat"},
        )
        for n in range(9)
    ]
    made.append(items).sleep_until_complete()
    made.annotate(
        [
            nucleus.BoxAnnotation(
                "traffic light" if place % 2 else "truck",
                place,
                2,
                3,
                4,
                reference_id=f"{n}.jpg",
                annotation_id=f"{n}-{place}",
                metadata={"distance_to_device": 100 * place},
            )
            for n in range(9)
            for place in range(n)
        ]
    )
    return made


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("annotations.count > 6", [7, 8]),
        ('metadata.animal = "dog"', [1, 3, 5, 7]),
        ("metadata.frame_number % 5 = 0", [0, 5]),
        ('metadata.animal = "dog" AND metadata.frame_number >= 3 AND metadata.frame_number <= 5', [3, 5]),
        ('annotations."traffic light" >= 2 AND annotations.truck = 2', [4]),
        ('annotations.truck + annotations."traffic light" >= 7', [7, 8]),
        ("annotations.metadata.distance_to_device > 550", [7, 8]),
        ('annotations."traffic light".distance_to_device > 550', [8]),
        ("annotations.dimensions.x < 6 AND annotations.position.x = 7", [8]),
        ('reference_id = "3.jpg" OR reference_id = 4', [3]),
        ("metadata.animal != dog", [0, 2, 4, 6, 8]),
        ("", list(range(9))),
    ],
)
def test_items_are_queried(official_dataset: Any, query: str, numbers: list[int]) -> None:
    expected = [f"{n}.jpg" for n in numbers]
    assert [item.reference_id for item in official_dataset.query_items(query)] == expected
    rows = list(official_dataset.items_and_annotation_generator(query=query, page_size=2))
    assert [row["item"].reference_id for row in rows] == expected
    assert [len(row["annotations"]["box"]) for row in rows] == numbers


def test_annotations_and_predictions_are_queried(nucleus: Any, official: Any, official_dataset: Any) -> None:
    kinds = import_module("nucleus.dataset").ObjectQueryType
    model = official.create_model("Detector", "det-0.5")
    official_dataset.upload_predictions(
        model,
        [
            nucleus.BoxPrediction("van", n, 2, 3, 4, reference_id=f"{n}.jpg", confidence=n / 10, annotation_id=f"p{n}")
            for n in range(9)
        ],
    )
    run = official_dataset.model_runs[0]

    def ids(query: str, kind: Any, *run: str) -> list[str]:
        return [one.annotation_id for one in official_dataset.query_objects(query, kind, *run)]

    assert ids("annotations.metadata.distance_to_device > 650", kinds.GROUND_TRUTH_ONLY) == ["8-7"]
    assert ids('label = "truck" and item.metadata.frame_number = 3', kinds.GROUND_TRUTH_ONLY) == ["3-0", "3-2"]
    assert len(ids("annotations.count > 6", kinds.GROUND_TRUTH_ONLY)) == 15
    assert ids("confidence > 0.65", kinds.PREDICTIONS_ONLY, run) == ["p7", "p8"]
    assert ids("predictions.confidence > 0.65 and annotations.truck = 4", kinds.PREDICTIONS_ONLY, run) == ["p7", "p8"]
    assert isinstance(
        next(iter(official_dataset.query_objects("", kinds.PREDICTIONS_ONLY, run))), nucleus.BoxPrediction
    )


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("annotations.count >", 400, "line 1, column 20 of the query"),
        ('metadata.animal = "dog', 400, "This string has no end"),
        ("nobody = 3", 400, "There is no field 'nobody'"),
        ('scene.metadata.foo = "baz"', 501, "This server has no scenes"),
    ],
)
def test_a_wrong_query_is_an_error(nucleus: Any, official_dataset: Any, query: str, status: int, reason: str) -> None:
    kinds = import_module("nucleus.dataset").ObjectQueryType
    for ask in (
        official_dataset.query_items,
        lambda text: official_dataset.query_objects(text, kinds.GROUND_TRUTH_ONLY),
    ):
        with pytest.raises(nucleus.NucleusAPIError, match=reason) as caught:
            list(ask(query))
        assert caught.value.status_code == status


def test_scenes_are_not_kept(nucleus: Any, official_dataset: Any) -> None:
    with pytest.raises(nucleus.NucleusAPIError, match="query items instead") as caught:
        list(official_dataset.query_scenes('metadata.animal = "dog"'))
    assert caught.value.status_code == 501
