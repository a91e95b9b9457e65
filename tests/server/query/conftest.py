"""Fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.server.query.oracle import IMAGES, QueriedDataset


@pytest.fixture(scope="module")
def queried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueriedDataset]:
    with npd.NucleusClient.local(tmp_path_factory.mktemp("queries") / "store") as client:
        dataset = client.create_dataset("Streets")
        keys = ("reference_id", "metadata", "width", "height")
        dataset.append(
            [{key: one[key] for key in keys if key in one} | {"image_url": "https://e.org/x"} for one in IMAGES]
        )
        dataset.annotate([{**box, "reference_id": one["reference_id"]} for one in IMAGES for box in one["truths"]])
        model = client.add_model("M", "m")
        runs = []
        for label, every in (("van", 2), ("lorry", 3)):
            run = dataset.create_model_run(model)
            rows = pd.DataFrame({"reference_id": [one["reference_id"] for one in IMAGES[::every]], "label": label})
            rows["confidence"] = [number % 10 / 10 for number in range(len(rows))]
            run.predict(rows.assign(x=1, y=2, width=3, height=4))
            runs.append(run)
        runs[0].commit()
        dataset.create_slice("wet & dark", ["3.jpg", "1.jpg"])
        yield QueriedDataset(dataset, *runs)
