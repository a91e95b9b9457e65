"""Models and their runs."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from nucleus_pandas.columns import MATCHES, frame, plain
from nucleus_pandas.errors import InvalidInputError, UnsupportedError
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.outcomes import outcomes
from nucleus_pandas.resource import Resource
from nucleus_pandas.results import UploadResult
from nucleus_pandas.transport import Transport
from nucleus_pandas.uploads import IfExists, OnError, Payload, Target, send_annotations
from nucleus_pandas.views import Indexer
from nucleus_pandas.wire import DatasetSize, ModelAdded, ModelEntry


class Model(Resource):
    """A model: what makes predictions. Made by `NucleusClient.add_model`, found by `NucleusClient.get_model`."""

    @cached_property
    def _entry(self) -> ModelEntry:
        return self._transport.read(ModelEntry, "model", self.id)

    @property
    def name(self) -> str:
        """The name."""
        return self._entry.name

    @property
    def reference_id(self) -> str:
        """The id that its maker chose."""
        return self._entry.ref_id

    @property
    def metadata(self) -> dict[str, Any]:
        """What its maker noted."""
        return self._entry.metadata or {}

    @property
    def info(self) -> dict[str, Any]:
        """Id, name, reference id, metadata and tags, as the server has them now."""
        answer: dict[str, Any] = self._transport.get("model", self.id)
        return answer

    def __getitem__(self, key: str) -> str:
        if key == "model_id":
            return self.id
        raise KeyError(f"{key!r} is not a key of a model; there is 'model_id'.")


class ModelRun(Resource):
    """A run of a model on a dataset: its predictions, and after `commit` what they matched.

    Made by `Dataset.create_model_run`, found by `NucleusClient.get_model_run`.
    """

    def __init__(self, transport: Transport, run_id: str, dataset_id: str | None = None) -> None:
        super().__init__(transport, run_id)
        self._dataset_id = dataset_id

    @property
    def info(self) -> dict[str, Any]:
        """``model_id``, ``name``, ``status`` and ``metadata``, as the server has them now."""
        answer: dict[str, Any] = self._transport.get("modelRun", self.id, "info")
        return answer

    def __getitem__(self, key: str) -> Any:
        if key == "model_run_id":
            return self.id
        if key in ("model_id", "name", "status", "metadata"):
            return self.info[key]
        known = "'model_run_id', 'model_id', 'name', 'status', 'metadata'"
        raise KeyError(f"{key!r} is not a key of a model run; there are {known}.")

    def predict(
        self, predictions: Payload, *, if_exists: IfExists = "skip", on_error: OnError = "raise"
    ) -> UploadResult:
        """Send predictions.

        Parameters
        ----------
        predictions : dict or list of dict
            ``{"annotations": […]}`` or the list itself. Each names its item by ``reference_id`` or ``item_id``, and
            has ``label``, ``type`` and ``geometry`` (pixels from the top-left corner), ``confidence`` in [0, 1], and
            perhaps ``annotation_id`` and ``metadata``. Without ``annotation_id`` one is computed from the content, so
            that sending the same again changes nothing.
        if_exists : {"skip", "update"}
            What becomes of one that is there already.
        on_error : {"raise", "collect"}
            Whether refused rows raise an error, or are only told in the result.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row; also answers ``["model_id"]``, ``["name"]``, ``["status"]`` and
            ``["metadata"]``.

        Raises
        ------
        InvalidInputError
            A row is wrong; nothing was sent.
        UploadError
            The server refused rows, such as those of unknown items; the others are stored.
        FrozenRunError
            The run is committed, and this would change it.
        """
        names = ("model_id", "name", "status", "metadata")
        context = {"model_run_id": self.id} | {name: lambda name=name: self.info[name] for name in names}
        target = Target("predictions", self._transport, ("modelRun", self.id, "predict"), context)
        return send_annotations(target, predictions, if_exists=if_exists, on_error=on_error)

    def commit(
        self,
        *,
        class_agnostic: bool | None = None,
        allowed_label_matches: Sequence[tuple[str, str]] | Sequence[Mapping[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Match the predictions with the ground truth, and freeze the run.

        In each picture the pair of boxes with the highest IoU is matched first, each box at most once. Annotations
        whose metadata says ``iscrowd`` are left out. Committing again matches again, also with other parameters.

        Parameters
        ----------
        class_agnostic : bool, optional
            Whether boxes of different labels may match; they may, unless pairs are given.
        allowed_label_matches : sequence of (str, str), optional
            Pairs of a ground-truth label and a predicted label. They alone may match, and count as right.

        Returns
        -------
        dict
            ``{"model_run_id": …}``

        Raises
        ------
        InvalidInputError
            `class_agnostic=True` together with pairs, or something that is no pair.
        """
        body: dict[str, Any] = {}
        if allowed_label_matches is not None:
            if isinstance(allowed_label_matches, (str, bytes)) or not isinstance(allowed_label_matches, Iterable):
                raise InvalidInputError(f"allowed_label_matches holds pairs, it is no {allowed_label_matches!r}.")
            pairs = [_pair(pair) for pair in allowed_label_matches]
            try:
                LabelRule.of(class_agnostic, pairs)
            except ValueError as error:
                raise InvalidInputError(str(error)) from None
            body["allowed_label_matches"] = [
                {"ground_truth_label": truth, "model_prediction_label": predicted} for truth, predicted in pairs
            ]
        if class_agnostic is not None:
            body["class_agnostic"] = class_agnostic
        answer: dict[str, Any] = self._transport.request("POST", "modelRun", self.id, "commit", body=body)
        return answer

    def matches(self, iou_threshold: float | None = None) -> pd.DataFrame:
        """Read what the commit matched.

        Parameters
        ----------
        iou_threshold : float in [0, 1], optional
            Pairs below it fall apart into a false positive and a false negative. None keeps every pair that overlaps.

        Returns
        -------
        pandas.DataFrame
            Columns ``dataset_item_id``, ``reference_id``, ``annotation_id``, ``prediction_id``, ``label``,
            ``predicted_label``, ``confidence``, ``iou`` and ``match_type`` (``TP``, ``FP`` or ``FN``). The side that is
            missing is null, and then ``iou`` is NaN. A pair with different labels gives two rows: the FP shows both
            sides, so that confusions can be counted from it, the FN shows the ground truth alone. Hence at every
            threshold TP + FN is the number of ground truths, and TP + FP the number of predictions.

        Raises
        ------
        ConflictError
            The run is not committed.
        UnsupportedError
            The server is the hosted Nucleus, whose matches this version cannot read yet.
        """
        if iou_threshold is not None and not isinstance(iou_threshold, numbers.Real):
            raise InvalidInputError(f"iou_threshold is a number from 0 to 1, not {iou_threshold!r}.")
        if "matches" not in self._transport.extensions:
            raise UnsupportedError("Matches can be read from an embedded Nucleus only, so far.")
        columns: dict[str, list[Any]] = {}
        place: dict[str, object] = {}
        while True:
            page = self._transport.get("_nucleus_pandas", "modelRun", self.id, "matches", **place)
            for name, values in page["columns"].items():
                columns.setdefault(name, []).extend(values)
            if page["next"] is None:
                return _matches_frame(columns, iou_threshold)
            place["after"] = page["next"]

    @property
    def refloc(self) -> Indexer:
        """The predictions of an item, by its reference id: ``run.refloc("a.jpg")``."""
        return Indexer(self._transport, ("modelRun", self.id), "refloc")

    @property
    def iloc(self) -> Indexer:
        """The predictions of an item, by its position in the dataset: ``run.iloc(0)``."""
        return Indexer(self._transport, ("modelRun", self.id), "iloc", self._length if self._dataset_id else None)

    @property
    def loc(self) -> Indexer:
        """The predictions of an item, by its id: ``run.loc("di_…")``."""
        return Indexer(self._transport, ("modelRun", self.id), "loc")

    def _length(self) -> int:
        return self._transport.read(DatasetSize, "dataset", str(self._dataset_id), "size").count


def model_of(transport: Transport, fields: Mapping[str, Any]) -> Model:
    """Make a model on the server."""
    return Model(transport, transport.create(ModelAdded, "models", "add", body=plain(fields, "$")).model_id)


def _pair(pair: object) -> tuple[str, str]:
    if isinstance(pair, Mapping):
        pair = (pair.get("ground_truth_label"), pair.get("model_prediction_label"))
    if isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(label, str) for label in pair):
        return pair[0], pair[1]
    raise InvalidInputError(f"allowed_label_matches holds pairs (ground-truth label, predicted label), not {pair!r}.")


def _matches_frame(columns: Mapping[str, list[Any]], iou_threshold: float | None) -> pd.DataFrame:
    stored = {name: np.array(values, dtype=object) for name, values in columns.items()}
    try:
        found = outcomes(
            stored["iou"].astype(np.float64),
            stored["annotation_id"] != None,  # noqa: E711  # elementwise
            stored["prediction_id"] != None,  # noqa: E711
            stored["agrees"].astype(np.bool_),
            iou_threshold,
        )
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    shown: dict[str, np.ndarray[Any, Any]] = {
        name: stored[name][found.row] for name in ("dataset_item_id", "reference_id")
    }
    sides = {
        "annotation_id": found.ground_truth,
        "prediction_id": found.prediction,
        "label": found.ground_truth,
        "predicted_label": found.prediction,
        "confidence": found.prediction,
        "iou": found.ground_truth & found.prediction,
    }
    for name, side in sides.items():
        shown[name] = stored[name][found.row]
        shown[name][~side] = None
    shown["match_type"] = found.match_type.astype(object)
    return frame(shown, MATCHES)
