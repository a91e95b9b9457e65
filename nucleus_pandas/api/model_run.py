"""Model runs: predictions on a dataset, and what they match."""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import pandas as pd

from nucleus_pandas.api.run_evaluation import (
    Assessment,
    RunEvaluation,
    ServedEvaluation,
    find_served_evaluation,
    stored_matches,
)
from nucleus_pandas.api.web_urls import page_url
from nucleus_pandas.errors import InvalidInputError, ServerError
from nucleus_pandas.evaluation import Engine, LabelPairs
from nucleus_pandas.evaluation.average_precision import require
from nucleus_pandas.evaluation.examples import MatchType, check_choice, examples
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
from nucleus_pandas.uploads.options import IfExists, OnError, Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.upload import upload
from nucleus_pandas.views import PredictionsView, RunIndexer, stacked
from nucleus_pandas.wire.bulk import RunPlace


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
        return self._transport.get("modelRun", self.id, "info")

    @property
    def url(self) -> str:
        """The address of the page that shows what the run found; see `NucleusClient.url`."""
        return page_url(self._transport, "runs", self.id)

    def _known(self) -> dict[str, object]:
        return {"dataset_id": self.__dict__.get("_home", self._dataset_id)}

    def __getitem__(self, key: str) -> Any:
        if key == "model_run_id":
            return self.id
        if key in ("model_id", "name", "status", "metadata"):
            return self.info[key]
        known = "'model_run_id', 'model_id', 'name', 'status', 'metadata'"
        raise KeyError(f"{key!r} is not a key of a model run; there are {known}.")

    def predict(
        self,
        predictions: SendableRows,
        *,
        dataset: Resource | str | None = None,
        columns: Mapping[str, Hashable] | None = None,
        bbox: BoxColumn | None = None,
        bbox_format: BoxFormat = "xywh",
        metadata: MetadataColumns = True,
        if_exists: IfExists = "skip",
        on_error: OnError = "raise",
        batch_size: int | None = None,
        progress: bool | None = None,
        wait: bool = True,
        journal: str | os.PathLike[str] | None = None,
    ) -> UploadResult:
        """Send predictions to a run, or to a model.

        A frame, or as in the original client ``{"annotations": […]}`` or that list of dicts: `ModelRun.predict` takes
        all three. `Model.predict` says where the predictions of a model go.

        Parameters
        ----------
        predictions : pandas.DataFrame, dict or list of dict
            The columns of `Dataset.annotate`, ``confidence`` in [0, 1], and perhaps ``class_pdf`` (dicts, structs or
            JSON strings of labels and their probabilities).
        dataset : Dataset or str, optional
            The dataset that reference ids are looked up in: of a model, or of a run that spans datasets
            (`Model.create_model_run`). Without it such a run takes items by ``dataset_item_id``. A run on one dataset
            needs none.
        columns : dict, optional
            Canonical names and what the frame calls them: ``{"label": "class"}``. Named index levels count too.
        bbox : hashable or sequence of four, optional
            One column of lists, arrays or structs, or four columns, that hold the boxes instead.
        bbox_format : {"xywh", "xyxy", "cxcywh"}
            What the four numbers of `bbox` are: corner and size, two corners, or centre and size.
        metadata : bool or list of str
            True sends the column ``metadata`` (dicts, structs, JSON strings) and the columns ``metadata.<key>``, a list
            names plain columns to send instead, False sends none. Missing values are left out.
        if_exists : {"skip", "update", "error"}
            What becomes of a prediction whose ``annotation_id`` its item has already: nothing, or it is replaced, its
            metadata included, or an error is raised.
        on_error : {"raise", "collect"}
            Whether rejected rows raise an error, or are only reported in the result.
        batch_size : int, optional
            Rows per request.
        progress : bool, optional
            Whether to show a bar; by default on a terminal or in a notebook only.
        wait : bool
            Whether to wait for the jobs that the hosted service makes of uploads. Without it, ``result.wait()`` does.
        journal : path-like, optional
            A file, created when absent, that remembers which requests were answered, so that the same call resumes
            where an earlier one ended. With ``if_exists="update"`` it knows the last frame alone.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame; also answers ``["model_id"]``,
            ``["name"]``, ``["status"]`` and ``["metadata"]``.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is wrong; nothing was sent.
        UploadError
            The server refused rows, such as those of unknown items; the others are stored.
        FrozenRunError
            The run is committed, and this would change it.
        """
        layout = ColumnLayout(columns, bbox, bbox_format, metadata)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target(dataset), predictions, layout, options, journal=journal)

    def _target(self, dataset: Resource | str | None = None) -> Target:
        """Return where rows go."""
        names = ("model_id", "name", "status", "metadata")
        context = {"model_run_id": self.id} | {name: lambda name=name: self.info[name] for name in names}
        if dataset is not None:
            home = id_of(dataset, "ds_", "a Dataset")
            route: tuple[str, ...] = ("dataset", home, "modelRun", self.id, "uploadPredictions")
            return Target("predictions", self._transport, route, context | {"dataset_id": home})
        route = ("modelRun", self.id, "predict")
        return Target("predictions", self._transport, route, context, Terms(by_item_id=self._spans_datasets))

    def _spans_datasets(self) -> bool:
        return self._home is None and "lookup" in self._transport.extensions

    def commit(
        self,
        *,
        class_agnostic: bool | None = None,
        allowed_label_matches: Sequence[tuple[str, str]] | Sequence[Mapping[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Match the predictions with the ground truth, and freeze the run.

        In each image the pair of boxes with the highest IoU is matched first, each box at most once. Annotations
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
            pairs = label_pairs(allowed_label_matches)
            try:
                LabelRule.of(class_agnostic, pairs)
            except ValueError as error:
                raise InvalidInputError(str(error)) from None
            body["allowed_label_matches"] = [
                {"ground_truth_label": truth, "model_prediction_label": predicted} for truth, predicted in pairs
            ]
        if class_agnostic is not None:
            body["class_agnostic"] = class_agnostic
        answer = self._transport.look_up(dict[str, Any], "modelRun", self.id, "commit", body=body)
        if "model_run_id" not in answer:
            raise ServerError(f"The server's answer does not say whether the run '{self.id}' is committed.")
        return answer

    def matches(self, iou_threshold: float | None = None) -> pd.DataFrame:
        """Read what the commit matched.

        The hosted service does not give its matches: there they are made here, from what it gives back, whatever the
        labels; ``run.evaluate(class_agnostic=False).matches`` has others.

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
        """
        if iou_threshold is not None and not isinstance(iou_threshold, numbers.Real):
            raise InvalidInputError(
                f"iou_threshold is a number from 0 to 1, not {iou_threshold!r}.", argument="iou_threshold"
            )
        return stacked(list(self._match_frames(iou_threshold)))

    def _match_frames(self, iou_threshold: float | None) -> Iterator[pd.DataFrame]:
        if "matches" in self._transport.extensions:
            return stored_matches(self._transport, self.id, iou_threshold)
        return iter([self._matched_here(iou_threshold)])

    def _matched_here(self, iou_threshold: float | None) -> pd.DataFrame:
        read = Assessment.read(self._transport, self.id, self._single_dataset())
        try:
            return matches_frame(read.sides, match_rows(read.sides, Parameters.of()), iou_threshold)
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
        """Evaluate the predictions against the ground truth as both are now.

        Boxes are read from the server with all items of the dataset, so that images without boxes count and
        `Evaluation.by` knows the metadata; the numbers are computed here. Where the hosted service has finished an
        evaluation of its own, and no argument but `iou_threshold` is given, its numbers are taken as far as it gives
        them; `RunEvaluation.computed_by` and the notes say so. The run need not be committed.

        Parameters
        ----------
        iou_threshold : float in (0, 1], default 0.5
            From which IoU on a pair counts, in all that the Nucleus match counts. The COCO numbers have their own ten.
        class_agnostic : bool, optional
            Whether boxes of different labels may match in the Nucleus match.
        allowed_label_matches : iterable of (str, str), optional
            Pairs of a ground-truth label and a predicted label, which alone may match, and are right. Where neither
            this nor `class_agnostic` is given, labels may pair as in the commit of the run; without one, or where the
            server does not tell of it, they all may.
        max_dets, area_ranges, engine
            As in `nucleus_pandas.evaluate`.

        Returns
        -------
        RunEvaluation
            An `Evaluation` that also says whether the commit is stale.

        Raises
        ------
        InvalidInputError
            An argument is none of those above, or the run spans datasets.
        MissingExtraError
            hotcoco is asked for and not installed.

        Warns
        -----
        NucleusWarning
            Boxes have changed since the commit; `max_dets` leaves predictions out; rows are not boxes.

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
        asked = Parameters.of(
            iou_threshold=iou_threshold,
            class_agnostic=class_agnostic,
            allowed_label_matches=allowed_label_matches,
            max_dets=max_dets,
            area_ranges=area_ranges,
            engine=engine,
        )
        require(asked)
        read = Assessment.read(self._transport, self.id, self._single_dataset())
        as_committed = class_agnostic is None and allowed_label_matches is None
        # A server does not tell by which arguments it evaluated: its numbers stand for the defaults alone.
        defaults = as_committed and asked == Parameters.of(iou_threshold=iou_threshold)
        if defaults and "commits" not in self._transport.extensions:
            served = find_served_evaluation(self._transport, self.id, iou_threshold)
            if served is not None:
                return ServedEvaluation(read, asked, served)
        return read.evaluation(read.as_committed(asked) if as_committed else asked)

    def examples(
        self,
        match_type: MatchType,
        *,
        sort_by: str | None = None,
        ascending: bool = False,
        limit: int | None = None,
        iou_threshold: float = 0.5,
    ) -> pd.DataFrame:
        """Return true positives, false positives or false negatives with all that is needed to look at them.

        They are those of ``run.evaluate(iou_threshold=…).matches``: of the boxes as they are now, whose labels pair as
        in the commit. No engine is needed.

        Parameters
        ----------
        match_type : {"TP", "FP", "FN"}
            Which to give.
        sort_by : str, optional
            A column of the frame, such as ``"confidence"``, ``"iou"``, ``"area"`` or ``"reference_id"``; missing values
            stand last. By default they stand in the order of the images.
        ascending : bool
            Whether the smallest stands first; by default the largest.
        limit : int, optional
            How many to give at most.
        iou_threshold : float in (0, 1], default 0.5
            From which IoU on a pair counts.

        Returns
        -------
        pandas.DataFrame
            Text: ``dataset_item_id``, ``reference_id``, ``image_url``, ``match_type``; of the ground truth
            ``annotation_id`` and ``label``, of the prediction ``prediction_id`` and ``predicted_label``. Int64, in
            pixels: ``image_width``, ``image_height`` of the image as its item tells them. float64, in pixels: ``x``,
            ``y``, ``width``, ``height`` of the ground truth, ``predicted_x``, ``predicted_y``, ``predicted_width``,
            ``predicted_height`` of the prediction; then ``confidence``, ``iou``, and ``area`` (square pixels) of the
            box in question, which is the prediction of an FP, else the ground truth. The side that is missing is null.
            A confusion is an FP that shows both sides, and an FN that shows the ground truth.

            The frame can be sent on: its ground truth as it is, its predictions with
            ``columns={"label": "predicted_label"}`` and
            ``bbox=("predicted_x", "predicted_y", "predicted_width", "predicted_height")``.

        Raises
        ------
        InvalidInputError
            An argument is none of those above, or the run spans datasets.

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
        asked = Parameters.of(iou_threshold=iou_threshold)
        read = Assessment.read(self._transport, self.id, self._single_dataset())
        return examples(
            read.sides,
            read.as_committed(asked),
            read.items,
            match_type,
            sort_by=sort_by,
            ascending=ascending,
            limit=limit,
        )

    @property
    def predictions(self) -> PredictionsView:
        """The predictions, as a frame that is read when it is asked for."""
        return PredictionsView(self._transport, ("modelRun", self.id), self._dataset)

    @property
    def iloc(self) -> RunIndexer:
        """Predictions on items by their position in the dataset.

        ``run.iloc[key]`` is ``run.predictions.iloc[key]``, a frame. ``run.iloc(0)`` is a call: plain dicts.
        """
        return RunIndexer(self.predictions, "iloc")

    @property
    def loc(self) -> RunIndexer:
        """Predictions on items by their item id.

        ``run.loc[key]`` is ``run.predictions.loc[key]``, a frame. ``run.loc("di_…")`` is a call: plain dicts.
        """
        return RunIndexer(self.predictions, "loc")

    @property
    def refloc(self) -> RunIndexer:
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

    @cached_property
    def _home(self) -> str | None:
        """The dataset, as far as it can be known."""
        if self._dataset_id is None and "lookup" in self._transport.extensions:
            return self._transport.read(RunPlace, "_nucleus_pandas", "modelRun", self.id).dataset_id
        return self._dataset_id

    def _single_dataset(self) -> str:
        """Return the dataset to evaluate on."""
        if self._spans_datasets():
            raise InvalidInputError(
                f"The run '{self.id}' spans datasets, and is evaluated on one at a time: give npd.evaluate its "
                "run.predictions.to_frame(), without those on items of other datasets, and "
                "dataset.annotations.to_frame()."
            )
        return self._dataset()

    def _dataset(self) -> str:
        if self._home is not None:
            return self._home
        if "lookup" in self._transport.extensions:
            raise InvalidInputError(
                f"The run '{self.id}' spans datasets: its items have no positions and no single reference ids. "
                "run.predictions.to_frame() reads everything, run.loc[…] takes item ids, and dataset.predictions(run) "
                "has those on one dataset."
            )
        raise InvalidInputError(
            f"This server does not tell to which dataset the run '{self.id}' belongs; give it: "
            f"client.get_model_run('{self.id}', dataset_id='ds_…')."
        )


def parts_of(run: ModelRun, what: Collection[ExportKind]) -> list[ExportFile]:
    """Return what an export writes of a run; matches if it is committed."""
    info = run.info
    about = {"model_run_id": run.id, "model_run_name": info.get("name"), "model_id": info.get("model_id")}
    parts = []
    if "predictions" in what:
        parts.append(ExportFile("predictions", partial(rows_of, run.predictions), about))
    if "matches" in what and info.get("status") == "committed":
        parts.append(ExportFile("matches", partial(run._match_frames, None), about))
    return parts
