"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas import sample


@pytest.fixture
def image_items(tmp_path: Path) -> pd.DataFrame:
    """Items of three local images, 64 by 48 pixels: a.png, b.png, c.png."""
    for name, colour in (("a.png", "red"), ("b.png", "lime"), ("c.png", "blue")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / name)
    ids = ["a.png", "b.png", "c.png"]
    return pd.DataFrame({"reference_id": ids, "image_url": [str(tmp_path / name) for name in ids]})


@pytest.fixture
def committed(local: npd.NucleusClient) -> Iterator[tuple[npd.Dataset, npd.ModelRun]]:
    """The sample on an embedded Nucleus, with a committed run."""
    dataset = local.create_dataset("Sample")
    dataset.append(sample.items())
    dataset.annotate(sample.ground_truth())
    run = dataset.create_model_run(local.add_model("Eager", reference_id="eager"))
    run.predict(sample.detections("eager"))
    run.commit()
    return dataset, run
