"""Datasets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from nucleus_pandas.columns import plain
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.models import Model, ModelRun
from nucleus_pandas.resource import Resource
from nucleus_pandas.results import UploadResult
from nucleus_pandas.transport import Transport
from nucleus_pandas.uploads import (
    IfExists,
    OnError,
    Payload,
    Target,
    send_annotations,
    send_items,
)
from nucleus_pandas.views import Indexer
from nucleus_pandas.wire import DatasetName, DatasetSize, RunCreated


class Dataset(Resource):
    """A dataset: items in their order, and their ground truth.

    Made by `NucleusClient.create_dataset`, found by `NucleusClient.get_dataset`.
    """

    def __init__(self, transport: Transport, dataset_id: str, name: str | None = None) -> None:
        super().__init__(transport, dataset_id)
        if name is not None:
            self.name = name

    @cached_property
    def name(self) -> str:
        """The name."""
        return self._transport.read(DatasetName, "dataset", self.id, "name").name

    @property
    def info(self) -> dict[str, Any]:
        """``name``, number of items (``length``), ``model_run_ids``, ``slice_ids`` and more, as they are now."""
        answer: dict[str, Any] = self._transport.get("dataset", self.id, "info")
        return answer

    def __getitem__(self, key: str) -> str:
        if key == "dataset_id":
            return self.id
        if key == "name":
            return self.name
        raise KeyError(f"{key!r} is not a key of a dataset; there are 'dataset_id' and 'name'.")

    def __len__(self) -> int:
        return self._transport.read(DatasetSize, "dataset", self.id, "size").count

    __iter__ = None  # items are read by position or by id

    def __bool__(self) -> bool:
        return True  # an empty dataset is a dataset

    def append(
        self,
        items: Payload,
        local: bool = False,
        *,
        if_exists: IfExists = "skip",
        on_error: OnError = "raise",
    ) -> UploadResult:
        """Add items.

        Parameters
        ----------
        items : dict or list of dict
            ``{"items": […]}`` or the list itself. Each has ``reference_id``, ``image_url`` and perhaps ``metadata``,
            ``width`` and ``height`` (pixels). An address (http, https, s3, gs, gcs) is sent as it is, the file of a
            path is uploaded.
        local : bool
            Whether every ``image_url`` is a path; without it a path is known by having no ``://``.
        if_exists : {"skip", "update"}
            What becomes of an item whose ``reference_id`` is there already: nothing, or it is replaced, its metadata
            included.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row.

        Raises
        ------
        InvalidInputError
            A row is wrong, or its file is missing, empty or unreadable; nothing was sent.
        UploadError
            The server refused rows; the others are stored.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     item = {"image_url": "https://example.org/a.jpg", "reference_id": "a.jpg", "metadata": {"rain": True}}
        ...     first, second = dataset.append({"items": [item]}), dataset.append({"items": [item]})
        >>> first.new_items, second.ignored_items
        (1, 1)
        """
        target = Target("items", self._transport, ("dataset", self.id, "append"), {"dataset_id": self.id})
        return send_items(target, items, local=local, if_exists=if_exists, on_error=on_error)

    def annotate(
        self, annotations: Payload, *, if_exists: IfExists = "skip", on_error: OnError = "raise"
    ) -> UploadResult:
        """Add ground truth.

        Parameters
        ----------
        annotations : dict or list of dict
            ``{"annotations": […]}`` or the list itself. Each names its item by ``reference_id`` or ``item_id``, and
            has ``label``, ``type`` and ``geometry`` (pixels from the top-left corner), and perhaps ``annotation_id``
            and ``metadata``. Without ``annotation_id`` one is computed from the content, so that sending the same
            again changes nothing.
        if_exists : {"skip", "update"}
            What becomes of one whose ``annotation_id`` its item has already.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row.

        Raises
        ------
        InvalidInputError
            A row is wrong; nothing was sent.
        UploadError
            The server refused rows, such as those of unknown items; the others are stored.
        """
        target = Target("annotations", self._transport, ("dataset", self.id, "annotate"), {"dataset_id": self.id})
        return send_annotations(target, annotations, if_exists=if_exists, on_error=on_error)

    def create_model_run(self, model: Model | Mapping[str, Any], **fields: Any) -> ModelRun:
        """Make a run of a model on this dataset.

        Parameters
        ----------
        model : Model or dict
            The model, or the fields of the run: ``reference_id`` or ``model_id``, perhaps ``name`` and ``metadata``.
        **fields
            ``name`` and ``metadata`` beside a model.

        Raises
        ------
        NotFoundError
            There is no such model.
        """
        if isinstance(model, Model):
            body = {"model_id": model.id, **fields}
        elif isinstance(model, Mapping):
            body = {**model, **fields}
        else:
            raise InvalidInputError(f"A run is made of a Model or of a dict, not {type(model).__name__}.")
        unknown = set(body) - {"model_id", "reference_id", "name", "metadata", "annotation_metadata_schema"}
        if unknown:
            raise InvalidInputError(f"A run has no {', '.join(sorted(map(repr, unknown)))}.")
        made = self._transport.create(RunCreated, "dataset", self.id, "modelRun", "create", body=plain(body, "$"))
        return ModelRun(self._transport, made.model_run_id, self.id)

    @property
    def model_runs(self) -> list[ModelRun]:
        """The runs on this dataset, oldest first."""
        ids = self._transport.read(list[str], "dataset", self.id, "model_runs")
        return [ModelRun(self._transport, run_id, self.id) for run_id in ids]

    @property
    def refloc(self) -> Indexer:
        """An item with its annotations, by its reference id: ``dataset.refloc("a.jpg")``."""
        return Indexer(self._transport, ("dataset", self.id), "refloc")

    @property
    def iloc(self) -> Indexer:
        """An item with its annotations, by its position: ``dataset.iloc(0)`` is the first, -1 the last."""
        return Indexer(self._transport, ("dataset", self.id), "iloc", self.__len__)

    @property
    def loc(self) -> Indexer:
        """An item with its annotations, by its id: ``dataset.loc("di_…")``."""
        return Indexer(self._transport, ("dataset", self.id), "loc")
