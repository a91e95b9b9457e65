"""Model runs: the predictions of a model on a dataset, and their matches."""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import pandas as pd

from nucleus_pandas.api.dataset_admin import ReferenceIds, ids_of
from nucleus_pandas.api.run_evaluation import (
    RunData,
    RunEvaluation,
    ServedEvaluation,
    find_served_evaluation,
    stored_matches,
)
from nucleus_pandas.api.web_urls import page_url
from nucleus_pandas.errors import InvalidInputError, NotFoundError, ServerError
from nucleus_pandas.evaluation import Engine, LabelPairs
from nucleus_pandas.evaluation.average_precision import require
from nucleus_pandas.evaluation.examples import check_choice, examples
from nucleus_pandas.evaluation.match_rows import match_rows, matches_frame
from nucleus_pandas.evaluation.matching import LabelRule
from nucleus_pandas.evaluation.parameters import Parameters, label_pairs
from nucleus_pandas.io.parquet.export import ExportFile, rows_of
from nucleus_pandas.io.parquet.export_schema import ExportKind
from nucleus_pandas.schema import BoxColumn, MetadataColumns, Terms
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.validate import ColumnLayout, SendableRows
from nucleus_pandas.transport.resource import Resource, id_of
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.options import IfAnnotated, OnError, Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.upload import upload
from nucleus_pandas.views import DatasetPredictionsView, Position, PredictionsView, RunIndexer, stacked
from nucleus_pandas.wire.bulk import DeleteRows, RowsDeleted, RunPlace
from nucleus_pandas.wire.evaluations import MatchType
from nucleus_pandas.wire.responses import RunInfo


class ModelRun(Resource):
    """A run of a model on a dataset: its predictions, and after `commit` their matches.

    Created by `Dataset.create_model_run`, found by `NucleusClient.get_model_run`.
    """

    _views: ClassVar = {"predictions": PredictionsView}

    def __init__(self, transport: Transport, run_id: str, dataset_id: str | None = None) -> None:
        super().__init__(transport, run_id)
        self._dataset_id = dataset_id
        self._looked_up = False
        self._info: RunInfo | None = None

    @property
    def info(self) -> dict[str, Any]:
        """``model_id``, ``name``, ``status`` and ``metadata``, as the server has them now."""
        return self._transport.get("modelRun", self.id, "info")

    def _cached_info(self) -> RunInfo:
        if self._info is None:
            self._info = self._transport.read(RunInfo, "modelRun", self.id, "info")
        return self._info

    @property
    def name(self) -> str:
        """The name, by default that of the model."""
        return self._cached_info().name or ""

    @property
    def status(self) -> str:
        """``open`` or ``committed``, as the server has it now."""
        self._info = None
        return str(self._cached_info().status)

    @property
    def url(self) -> str:
        """The URL of the page that shows the run; see `NucleusClient.url`."""
        return page_url(self._transport, "runs", self.id)

    def _known(self) -> dict[str, object]:
        info = self._info
        return {"name": info and info.name, "dataset_id": self._dataset_id}

    def _described(self) -> dict[str, object]:
        described = self._transport.describe("_nucleus_pandas", "modelRun", self.id, embedded=RunPlace, counts=1)
        if described is None or described.status is None:
            return super()._described()
        return {"name": described.name, "status": described.status, "predictions": described.predictions}

    @property
    def model(self) -> Any:
        """The model, as a `Model`."""
        return Resource._kinds["Model"](self._transport, self._cached_info().model_id)

    @property
    def dataset(self) -> Any:
        """The dataset, as a `Dataset`.

        Raises
        ------
        InvalidInputError
            The run spans datasets, or the server does not say which dataset it is on.
        """
        return Resource._kinds["Dataset"](self._transport, self._require_dataset_id())

    def __getitem__(self, key: str) -> Any:
        if key == "model_run_id":
            return self.id
        if key in ("model_id", "name", "status", "metadata"):
            return self.info[key]
        keys = "'model_run_id', 'model_id', 'name', 'status', 'metadata'"
        raise KeyError(f"{key!r} is not a key of a model run; its keys are {keys}.")

    def predict(
        self,
        predictions: SendableRows,
        *,
        dataset: Resource | str | None = None,
        columns: Mapping[str, Hashable] | None = None,
        bbox: BoxColumn | None = None,
        bbox_format: BoxFormat | None = None,
        metadata: MetadataColumns = True,
        if_exists: IfAnnotated = "skip",
        on_error: OnError = "raise",
        batch_size: int | None = None,
        progress: bool | None = None,
        wait: bool = True,
        journal: str | os.PathLike[str] | None = None,
    ) -> UploadResult:
        """Send predictions to a run, or to a model.

        `ModelRun.predict` accepts a frame, or as in the original client ``{"annotations": […]}`` or that list of dicts.
        `Model.predict` documents where the predictions of a model go.

        Parameters
        ----------
        predictions : pandas.DataFrame, dict or list of dict
            The columns of `Dataset.annotate`, ``confidence`` in [0, 1], and optionally ``class_pdf`` (dicts, structs or
            JSON strings of labels and their probabilities).
        dataset : Dataset or str, optional
            The dataset to look up reference ids in, for a model or for a run that spans datasets
            (`Model.create_model_run`). Without it, such a run needs ``dataset_item_id``. A run on one dataset needs no
            `dataset`.
        columns : dict, optional
            Canonical names and the frame's names for them: ``{"label": "class"}``. Named index levels count too.
        bbox : hashable or sequence of four, optional
            One column of lists, arrays or structs, or four columns, that hold the boxes instead.
        bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
            The meaning of the four numbers of `bbox`: corner and size, two corners, or centre and size. Needed
            with `bbox`, unless the names of the four columns, or of the fields of a struct, say x, y, width, height.
        metadata : bool or list of str
            True sends the column ``metadata`` (dicts, structs, JSON strings) and the columns ``metadata.<key>``, a list
            names plain columns to send instead, False sends none. Missing values are omitted.
        if_exists : {"skip", "update", "error", "replace"}
            What to do with a prediction whose ``annotation_id`` exists on its item: leave it, replace it including its
            metadata, or raise an error that names it, with nothing stored. A computed ``annotation_id`` changes with
            label, coordinates and confidence, so ``"update"`` needs given ones. ``"replace"`` replaces the predictions
            of each image that the frame names as a whole and at once, those of an image without boxes by none; only an
            embedded Nucleus can.
        on_error : {"raise", "collect"}
            Whether rejected rows raise an error, or are only reported in the result.
        batch_size : int, optional
            Rows per request.
        progress : bool, optional
            Whether to show a progress bar; by default only on a terminal or in a notebook.
        wait : bool
            Whether to wait for the jobs that the hosted service starts for uploads. Without it, ``result.wait()`` does.
        journal : path-like, optional
            A file, created when absent, that records which requests were answered, so that the same call resumes
            where an earlier one ended. With ``if_exists="update"`` only the last frame is recorded.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame; also supports ``["model_id"]``,
            ``["name"]``, ``["status"]`` and ``["metadata"]``.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is invalid; nothing was sent.
        UploadError
            The server rejected rows, such as those of unknown items; the others are stored.
        FrozenRunError
            The run is committed, and the call would change it.
        """
        layout = ColumnLayout(columns, bbox, bbox_format, metadata)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target(dataset), predictions, layout, options, journal=journal)

    def _target(self, dataset: Resource | str | None = None) -> Target:
        """Return the target of an upload."""
        names = ("model_id", "name", "status", "metadata")
        context: dict[str, Any] = {"model_run_id": self.id} | {
            name: lambda name=name: self.info[name] for name in names
        }
        if dataset is not None:
            dataset_id = id_of(dataset, "ds_", "a Dataset")
            route: tuple[str, ...] = ("dataset", dataset_id, "modelRun", self.id, "uploadPredictions")
            view = DatasetPredictionsView(
                self._transport, ("dataset", dataset_id, "modelRun", self.id), lambda: dataset_id
            )
            context["dataset_id"] = dataset_id
            return Target("predictions", self._transport, route, context, view._source)
        route = ("modelRun", self.id, "predict")
        terms = Terms(by_item_id=self._spans_datasets)
        return Target("predictions", self._transport, route, context, self.predictions._source, terms)

    def delete_predictions(self, reference_ids: ReferenceIds, *, dataset: Resource | str | None = None) -> int:
        """Delete the predictions of items from an open run, all at once.

        Parameters
        ----------
        reference_ids : str or list-like of str
            The items, as in `Dataset.delete_items`.
        dataset : Dataset or str, optional
            The dataset of the reference ids, for a run that spans datasets.

        Returns
        -------
        int
            Number of deleted predictions.

        Raises
        ------
        NotFoundError
            Items do not exist; the error is a KeyError that names them, and nothing is deleted.
        FrozenRunError
            The run is committed.
        UnsupportedError
            The server is not an embedded Nucleus; the hosted service deletes whole runs only.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items())
        >>> run = dataset.create_model_run(client.add_model("Careful", reference_id="careful"))
        >>> _ = run.predict(sample.detections("careful"))
        >>> count = run.delete_predictions(["000000116740.jpg"])
        >>> len(run.predictions.refloc["000000116740.jpg"]), run.clear() > 0, len(run.predictions)
        (0, True, 0)
        >>> client.close()
        """
        names = ids_of(reference_ids)
        if not names:
            raise InvalidInputError(
                "There are no ids, so nothing was deleted. Name the items: delete_predictions(['a.jpg']); run.clear() "
                "deletes all predictions of the run."
            )
        if dataset is None and self._spans_datasets():
            raise InvalidInputError(
                f"The run '{self.id}' spans datasets, so a reference id is not unique: pass dataset=.",
                argument="dataset",
            )
        answer = self._delete_rows(DeleteRows(reference_ids=names), dataset)
        if answer.missing:
            missing = ", ".join(repr(names[place]) for place in answer.missing)
            raise NotFoundError(f"There is no item {missing} in the dataset of the run. Nothing was deleted.")
        return answer.deleted

    def clear(self) -> int:
        """Delete all predictions of an open run at once, and return their number; see `delete_predictions`."""
        return self._delete_rows(DeleteRows(), None).deleted

    def _delete_rows(self, rows: DeleteRows, dataset: Resource | str | None) -> RowsDeleted:
        self._transport.require("delete-predictions", "delete predictions of a run")
        place = () if dataset is None else ("dataset", id_of(dataset, "ds_", "a Dataset"))
        route = ("_nucleus_pandas", *place, "modelRun", self.id, "delete_predictions")
        return self._transport.look_up(RowsDeleted, *route, body=rows)

    def _spans_datasets(self) -> bool:
        return self._known_dataset_id() is None and "lookup" in self._transport.extensions

    def commit(
        self,
        *,
        class_agnostic: bool | None = None,
        allowed_label_matches: Sequence[tuple[str, str]] | Sequence[Mapping[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Match the predictions with the ground truth, and freeze the run.

        In each image the pair of boxes with the highest IoU is matched first, each box at most once. Annotations
        with ``iscrowd`` in their metadata are ignored. Committing again matches again, also with other parameters.

        Parameters
        ----------
        class_agnostic : bool, optional
            Whether boxes of different labels may match. By default they may, unless `allowed_label_matches` is given.
        allowed_label_matches : sequence of (str, str), optional
            Pairs of a ground-truth label and a predicted label. Only these may match, and they count as correct.

        Returns
        -------
        dict
            ``{"model_run_id": …}``

        Raises
        ------
        InvalidInputError
            `class_agnostic=True` together with pairs, or an invalid pair.
        """
        body: dict[str, Any] = {}
        if allowed_label_matches is not None:
            pairs = label_pairs(allowed_label_matches)
            try:
                LabelRule.of(class_agnostic, pairs)
            except ValueError as error:
                raise InvalidInputError(str(error)) from None
            body["allowed_label_matches"] = [
                {"ground_truth_label": label, "model_prediction_label": predicted} for label, predicted in pairs
            ]
        if class_agnostic is not None:
            body["class_agnostic"] = class_agnostic
        answer = self._transport.look_up(dict[str, Any], "modelRun", self.id, "commit", body=body)
        if "model_run_id" not in answer:
            raise ServerError(f"The server's response does not show whether the run '{self.id}' is committed.")
        return answer

    def matches(self, iou_threshold: float = 0.5) -> pd.DataFrame:
        """Return the matches of the commit.

        The hosted service does not provide its matches: they are computed here from its data, regardless of labels;
        ``run.evaluate(class_agnostic=False).matches`` respects them.

        Parameters
        ----------
        iou_threshold : float in [0, 1], default 0.5
            Pairs below it count as a false positive and a false negative; the default is that of `evaluate` and
            `examples`. 0 keeps every pair of the commit, which overlaps to any degree.

        Returns
        -------
        pandas.DataFrame
            Columns ``dataset_item_id``, ``reference_id``, ``annotation_id``, ``prediction_id``, ``label``,
            ``predicted_label``, ``confidence``, ``iou`` and ``match_type`` (``TP``, ``FP`` or ``FN``). A missing side
            is null, and then ``iou`` is NaN. A pair with different labels gives two rows: the FP shows both sides, so
            that confusions can be counted from it, the FN shows only the ground truth. At every threshold TP + FN is
            therefore the number of ground-truth objects, and TP + FP the number of predictions.

        Raises
        ------
        ConflictError
            The run is not committed.
        """
        if not isinstance(iou_threshold, numbers.Real):
            raise InvalidInputError(
                f"iou_threshold must be a number from 0 to 1, not {iou_threshold!r}.", argument="iou_threshold"
            )
        return stacked(list(self._match_frames(iou_threshold)))

    def _match_frames(self, iou_threshold: float) -> Iterator[pd.DataFrame]:
        if "matches" in self._transport.extensions:
            return stored_matches(self._transport, self.id, iou_threshold)
        return iter([self._computed_matches(iou_threshold)])

    def _computed_matches(self, iou_threshold: float) -> pd.DataFrame:
        data = RunData.read(self._transport, self.id, self._single_dataset())
        try:
            return matches_frame(data.sides, match_rows(data.sides, Parameters.of()), iou_threshold)
        except ValueError as error:
            raise InvalidInputError(str(error)) from None

    def evaluate(
        self,
        *,
        iou_threshold: float = 0.5,
        class_agnostic: bool | None = None,
        allowed_label_matches: LabelPairs | None = None,
        max_dets: int | Iterable[int] = 100,
        area_ranges: Mapping[str, tuple[float, float]] | None = None,
        engine: Engine | None = None,
    ) -> RunEvaluation:
        """Evaluate the current predictions against the current ground truth.

        Boxes are read from the server with all items of the dataset, so that images without boxes count and
        `Evaluation.by` has the metadata; the numbers are computed here. If the hosted service has finished an
        evaluation of its own, and only `iou_threshold` is given, its numbers are used as far as it provides them;
        `RunEvaluation.computed_by` and the notes record that. The run need not be committed.

        Parameters
        ----------
        iou_threshold : float in (0, 1], default 0.5
            Minimum IoU of a pair in the Nucleus match. The COCO numbers use their own ten thresholds.
        class_agnostic : bool, optional
            Whether boxes of different labels may match in the Nucleus match.
        allowed_label_matches : iterable of (str, str), optional
            Pairs of a ground-truth label and a predicted label. Only these may match, and they count as correct. If
            neither this nor `class_agnostic` is given, labels pair as in the commit of the run; without a commit, or if
            the server does not report it, all labels may pair.
        max_dets, area_ranges, engine
            As in `nucleus_pandas.evaluate`.

        Returns
        -------
        RunEvaluation
            An `Evaluation` that also reports whether the commit is stale.

        Raises
        ------
        InvalidInputError
            An argument is invalid, or the run spans datasets.
        MissingExtraError
            `engine="hotcoco"` is given, and hotcoco is not installed.

        Warns
        -----
        NucleusWarning
            Boxes have changed since the commit; `max_dets` excludes predictions; rows are not boxes.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        >>> run = dataset.create_model_run(client.add_model("Careful", reference_id="careful"))
        >>> _ = run.predict(sample.detections("careful"))
        >>> evaluation = run.evaluate()
        >>> evaluation.summary[["AP", "AP50", "precision", "recall"]].round(2).to_dict()
        {'AP': 0.43, 'AP50': 0.52, 'precision': 0.87, 'recall': 0.49}
        >>> evaluation.by("metadata.scene")["images"].to_dict()
        {'animal': 2, 'kitchen': 2, 'sky': 1, 'sports': 2, 'street': 3, 'table': 2}
        >>> client.close()
        """
        parameters = Parameters.of(
            iou_threshold=iou_threshold,
            class_agnostic=class_agnostic,
            allowed_label_matches=allowed_label_matches,
            max_dets=max_dets,
            area_ranges=area_ranges,
            engine=engine,
        )
        require(parameters)
        data = RunData.read(self._transport, self.id, self._single_dataset())
        as_committed = class_agnostic is None and allowed_label_matches is None
        # A server does not report the arguments of its evaluations, so its numbers are used for the defaults only.
        defaults = as_committed and parameters == Parameters.of(iou_threshold=iou_threshold)
        if defaults and "commits" not in self._transport.extensions:
            served = find_served_evaluation(self._transport, self.id, iou_threshold)
            if served is not None:
                return ServedEvaluation(data, parameters, served)
        return data.evaluation(data.as_committed(parameters) if as_committed else parameters)

    def examples(
        self,
        match_type: MatchType,
        *,
        sort_by: str | None = None,
        ascending: bool = False,
        limit: int | None = None,
        iou_threshold: float = 0.5,
    ) -> pd.DataFrame:
        """Return true positives, false positives or false negatives with all that is needed to inspect them.

        They are those of ``run.evaluate(iou_threshold=…).matches``, from the current boxes, with labels paired as in
        the commit. No engine is needed.

        Parameters
        ----------
        match_type : {"TP", "FP", "FN"}
            Which rows to return.
        sort_by : str, optional
            A column of the frame, such as ``"confidence"``, ``"iou"``, ``"area"`` or ``"reference_id"``; missing values
            stand last. By default they stand in the order of the images.
        ascending : bool
            Whether the smallest stands first; by default the largest.
        limit : int, optional
            Maximum number of rows.
        iou_threshold : float in (0, 1], default 0.5
            Minimum IoU of a pair.

        Returns
        -------
        pandas.DataFrame
            Strings: ``dataset_item_id``, ``reference_id``, ``image_url``, ``match_type``; of the ground truth
            ``annotation_id`` and ``label``, of the prediction ``prediction_id`` and ``predicted_label``. Int64, in
            pixels: ``image_width``, ``image_height`` of the image according to its item. float64, in pixels: ``x``,
            ``y``, ``width``, ``height`` of the ground truth, ``predicted_x``, ``predicted_y``, ``predicted_width``,
            ``predicted_height`` of the prediction; then ``confidence``, ``iou``, and ``area`` (square pixels) of the
            box in question, which is the prediction for an FP, else the ground truth. A missing side is null.
            A confusion is an FP that shows both sides, and an FN that shows the ground truth.

            The frame can be sent to a server: its ground truth as it is, its predictions with
            ``columns={"label": "predicted_label"}`` and
            ``bbox=("predicted_x", "predicted_y", "predicted_width", "predicted_height")``.

        Raises
        ------
        InvalidInputError
            An argument is invalid, or the run spans datasets.

        Warns
        -----
        NucleusWarning
            Boxes have changed since the commit; rows are not boxes.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        >>> run = dataset.create_model_run(client.add_model("Careful", reference_id="careful"))
        >>> _ = run.predict(sample.detections("careful"))
        >>> wrong = run.examples("FP", sort_by="confidence", limit=2)
        >>> wrong[["label", "predicted_label", "confidence", "iou"]].round(2)
           label predicted_label  confidence   iou
        0    bus           truck        0.86  0.88
        1  chair           couch        0.86  0.89
        >>> client.close()
        """
        check_choice(match_type, sort_by, limit)
        parameters = Parameters.of(iou_threshold=iou_threshold)
        data = RunData.read(self._transport, self.id, self._single_dataset())
        return examples(
            data.sides,
            data.as_committed(parameters),
            data.items,
            match_type,
            sort_by=sort_by,
            ascending=ascending,
            limit=limit,
        )

    @property
    def predictions(self) -> PredictionsView:
        """The predictions, as a frame that is read on demand."""
        return PredictionsView(self._transport, ("modelRun", self.id), self._require_dataset_id)

    @property
    def iloc(self) -> RunIndexer[Position]:
        """Predictions on items by their position in the dataset.

        ``run.iloc[key]`` is ``run.predictions.iloc[key]``, a frame. ``run.iloc(0)`` is a call: plain dicts.
        """
        return RunIndexer(self.predictions, "iloc")

    @property
    def loc(self) -> RunIndexer[str]:
        """Predictions on items by their item id.

        ``run.loc[key]`` is ``run.predictions.loc[key]``, a frame. ``run.loc("di_…")`` is a call: plain dicts.
        """
        return RunIndexer(self.predictions, "loc")

    @property
    def refloc(self) -> RunIndexer[str]:
        """Predictions on items by their reference id.

        ``run.refloc[key]`` is ``run.predictions.refloc[key]``, a frame. ``run.refloc("a.jpg")`` is a call: plain
        dicts.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        >>> run = dataset.create_model_run(client.add_model("Doc", reference_id="doc"))
        >>> box = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
        >>> _ = run.predict([{"reference_id": "a.jpg", "confidence": 0.5, **box}])
        >>> run.refloc["a.jpg", ["label", "confidence"]]
          label  confidence
        0   car         0.5
        >>> run.refloc("a.jpg")["annotations"][0]["confidence"]
        0.5
        >>> client.close()
        """
        return RunIndexer(self.predictions, "refloc")

    def _known_dataset_id(self) -> str | None:
        """Return the dataset as far as it can be known; only an embedded Nucleus looks it up, once."""
        if self._dataset_id is None and not self._looked_up and "lookup" in self._transport.extensions:
            self._dataset_id = self._transport.read(RunPlace, "_nucleus_pandas", "modelRun", self.id).dataset_id
            self._looked_up = True
        return self._dataset_id

    def _single_dataset(self) -> str:
        """Return the id of the dataset to evaluate on."""
        if self._spans_datasets():
            raise InvalidInputError(
                f"The run '{self.id}' spans datasets, and is evaluated on one at a time: pass npd.evaluate its "
                "run.predictions.to_frame(), without those on items of other datasets, and "
                "dataset.annotations.to_frame()."
            )
        return self._require_dataset_id()

    def _require_dataset_id(self) -> str:
        dataset_id = self._known_dataset_id()
        if dataset_id is not None:
            return dataset_id
        if "lookup" in self._transport.extensions:
            raise InvalidInputError(
                f"The run '{self.id}' spans datasets: its items have no positions and no unique reference ids. "
                "run.predictions.to_frame() reads everything, run.loc[…] takes item ids, and dataset.predictions(run) "
                "returns those on one dataset."
            )
        raise InvalidInputError(
            f"This server does not report which dataset the run '{self.id}' belongs to. Name it: "
            f"client.get_model_run('{self.id}', dataset_id='ds_…')."
        )


def export_files(run: ModelRun, what: Collection[ExportKind]) -> list[ExportFile]:
    """Return the files that an export writes for a run; matches only if it is committed."""
    info = run.info
    about = {"model_run_id": run.id, "model_run_name": info.get("name"), "model_id": info.get("model_id")}
    files = []
    if "predictions" in what:
        files.append(ExportFile("predictions", partial(rows_of, run.predictions), about))
    if "matches" in what and info.get("status") == "committed":
        files.append(ExportFile("matches", partial(run._match_frames, 0.0), about))
    return files
