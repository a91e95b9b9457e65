"""What tests with the official client share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.official.objects import ByModel, ByRun, append, remote_items


@pytest.fixture
def official_dataset(nucleus: Any, official: Any) -> Any:
    """The official client's dataset of three remote images."""
    made = official.create_dataset("Street scenes", is_scene=False)
    append(made, remote_items(nucleus))
    return made


@pytest.fixture
def model(official: Any) -> Any:
    """The official client's model."""
    return official.create_model("Detector", "det-0.5", {"epochs": 3})


@pytest.fixture
def image_paths(tmp_path: Path) -> list[Path]:
    """23 local images, each of its own size: three requests."""
    paths = [tmp_path / f"image {n}.png" for n in range(23)]
    for n, path in enumerate(paths):
        Image.new("RGB", (10 + n, 20 + n), "red").save(path)
    return paths


@pytest.fixture(params=["by model", "by run"])
def predictor(request: pytest.FixtureRequest, official_dataset: Any, model: Any) -> Any:
    """Both routes of predictions, with one face."""
    return ByModel(official_dataset, model) if request.param == "by model" else ByRun(official_dataset, model)
