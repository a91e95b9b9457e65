"""Where uploaded rows go: the items or the ground truth of a dataset, or the predictions of a run.

A run is named by its id, or by a model and a dataset. Predictions sent to a model and a dataset go to the newest
uncommitted run, which is created if there is none; reading by model and dataset reads the newest run.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Protocol

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.store import datasets, models
from nucleus_pandas.server.store.datasets import Dataset
from nucleus_pandas.server.store.layers import AnnotationLayer
from nucleus_pandas.server.store.models import Model, Run


class UploadTarget(Protocol):
    """Where the rows of a request go.

    Both methods return a layer, None for items, and a dataset, None for predictions that span datasets.
    """

    def check(self, db: sqlite3.Connection) -> tuple[AnnotationLayer | None, Dataset | None]:
        """Find the target without changing the store; the layer is also None for a run yet to be created."""

    def open(
        self, db: sqlite3.Connection, trained_slice_id: str | None = None
    ) -> tuple[AnnotationLayer | None, Dataset | None]:
        """Find the target, create its run if needed, and record the slice that its model was trained on."""


class AnnotationTarget(UploadTarget, Protocol):
    """Where annotations or predictions go."""

    def open(
        self, db: sqlite3.Connection, trained_slice_id: str | None = None
    ) -> tuple[AnnotationLayer, Dataset | None]:
        """Find the layer and the dataset."""


@dataclass(frozen=True, slots=True)
class ItemsOf:
    """The items of a dataset."""

    dataset_id: str

    def check(self, db: sqlite3.Connection, trained_slice_id: str | None = None) -> tuple[None, Dataset]:
        """Find the dataset."""
        return None, datasets.find(db, self.dataset_id)

    open = check


@dataclass(frozen=True, slots=True)
class GroundTruthOf:
    """The ground truth of a dataset."""

    dataset_id: str

    def check(self, db: sqlite3.Connection, trained_slice_id: str | None = None) -> tuple[AnnotationLayer, Dataset]:
        """Find the layer and the dataset."""
        dataset = datasets.find(db, self.dataset_id)
        return dataset.layer, dataset

    open = check


@dataclass(frozen=True, slots=True)
class FreePredictionsOf:
    """The predictions of a model that belong to no run; their items may be in any dataset."""

    model_id: str

    def check(self, db: sqlite3.Connection) -> tuple[None, None]:
        """Find the model."""
        models.find(db, self.model_id)
        return None, None

    def open(self, db: sqlite3.Connection, trained_slice_id: str | None = None) -> tuple[AnnotationLayer, None]:
        """Find the layer, and create it if needed."""
        model = models.find(db, self.model_id)
        models.note_trained(db, model, trained_slice_id)
        return models.free_run(db, model).layer, None


@dataclass(slots=True)
class RunPath:
    """The run that a path names, by its id or by a model and a dataset."""

    run_id: str | None = None
    dataset_id: str | None = None
    model_id: str | None = None

    def check(self, db: sqlite3.Connection) -> tuple[AnnotationLayer | None, Dataset | None]:
        """Find where predictions will go; the layer is None until `open` has found or created the run."""
        if self.run_id is None:
            return None, self._model_and_dataset(db)[1]
        return self._layer_and_dataset(db, models.find_run(db, self.run_id))

    def open(
        self, db: sqlite3.Connection, trained_slice_id: str | None = None
    ) -> tuple[AnnotationLayer, Dataset | None]:
        """Find where predictions go, and create the run if needed; later calls find the same run."""
        if self.run_id is None:
            self.run_id = models.open_run(db, *self._model_and_dataset(db)).public_id
        run = models.find_run(db, self.run_id)
        if trained_slice_id:
            models.note_trained(db, models.find(db, self.model_id or f"prj_{run.model_tag}"), trained_slice_id)
        return self._layer_and_dataset(db, run)

    def find(self, db: sqlite3.Connection) -> tuple[Run, AnnotationLayer, Dataset | None]:
        """Find the run to read, its predictions, and their dataset; None if they span datasets."""
        if self.run_id is None:
            run = models.newest_run(db, *self._model_and_dataset(db))
        else:
            run = models.find_run(db, self.run_id)
        return run, *self._layer_and_dataset(db, run)

    def find_on_dataset(self, db: sqlite3.Connection) -> tuple[Run, AnnotationLayer, Dataset]:
        """Find the run to read, or raise BadRequestError if it spans datasets and the path names none."""
        run, layer, dataset = self.find(db)
        if dataset is None:
            raise BadRequestError(
                "This run spans datasets, so its predictions have no position and no unique reference id."
            )
        return run, layer, dataset

    def _model_and_dataset(self, db: sqlite3.Connection) -> tuple[Model, Dataset]:
        return models.find(db, self.model_id or ""), datasets.find(db, self.dataset_id or "")

    def _layer_and_dataset(self, db: sqlite3.Connection, run: Run) -> tuple[AnnotationLayer, Dataset | None]:
        dataset = dataset_of_run(db, run)
        if self.dataset_id is None:
            return run.layer, dataset
        if dataset is not None and dataset.public_id != self.dataset_id:
            raise BadRequestError(
                f"The run '{run.public_id}' is on the dataset '{dataset.public_id}', not on '{self.dataset_id}'. "
                "To create a run that spans datasets, create it under its model, without a dataset."
            )
        return run.layer, datasets.find(db, self.dataset_id)


def dataset_of_run(db: sqlite3.Connection, run: Run) -> Dataset | None:
    """Return the dataset that a run is bound to; None if it spans datasets."""
    return None if run.dataset is None else datasets.by_number(db, run.dataset)
