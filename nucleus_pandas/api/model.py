"""Models, their runs and their predictions."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

from nucleus_pandas.api.dataset_admin import names_of
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.api.names import NamedList
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import BoxColumn, MetadataColumns, Terms, to_json
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.schema.validate import ColumnLayout, SendableRows
from nucleus_pandas.transport.resource import Resource, id_of
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.options import IfAnnotated, OnError, Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.upload import upload
from nucleus_pandas.views import DatasetPredictionsView, ModelPredictionsView
from nucleus_pandas.wire.bulk import RunPlace
from nucleus_pandas.wire.requests import CopyPredictions
from nucleus_pandas.wire.responses import ModelAdded, ModelEntry, ModelList, RunCreated

_WITHOUT_RUN = ("box", "polygon", "cuboid")  # the types that the contract allows without a run


class Model(Resource):
    """A model, which makes predictions. Created by `NucleusClient.add_model`, found by `NucleusClient.get_model`."""

    def __init__(self, transport: Transport, model_id: str, reference_id: str | None = None) -> None:
        super().__init__(transport, model_id)
        self._reference_id = reference_id
        self._entry: ModelEntry | None = None

    def _cached_entry(self) -> ModelEntry:
        if self._entry is None:
            self._entry = self._transport.read(ModelEntry, "model", self.id)
        return self._entry

    @property
    def name(self) -> str:
        """The name."""
        return self._cached_entry().name

    @property
    def reference_id(self) -> str:
        """The id that its creator chose."""
        return self._reference_id or self._cached_entry().ref_id

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata that its creator set."""
        return self._cached_entry().metadata or {}

    @property
    def info(self) -> dict[str, Any]:
        """Id, name, reference id, metadata and tags, as the server has them now."""
        return self._transport.get("model", self.id)

    @property
    def tags(self) -> list[str]:
        """The tags, as the server has them now."""
        return self._transport.read(ModelEntry, "model", self.id).tags or []

    def add_tags(self, tags: str | Sequence[str]) -> None:
        """Add tags to the model; tags that it already has are ignored.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> with npd.NucleusClient.local() as client:
        ...     model = client.add_model("Detector", reference_id="det-0.5")
        ...     model.add_tags(["night", "rain"])
        ...     model.remove_tags("night")
        ...     model.tags
        ['rain']
        """
        self._change("POST", "tag", "tags", tags)

    def remove_tags(self, tags: str | Sequence[str]) -> None:
        """Remove tags from the model, or raise BadRequestError if it lacks one of them."""
        self._change("DELETE", "tag", "tags", tags)

    @property
    def trained_slice_ids(self) -> list[str]:
        """The slices that the model was trained on, as the server has them now."""
        return self._transport.read(ModelEntry, "model", self.id).trained_slice_ids or []

    def add_trained_slice_ids(self, slice_ids: str | Sequence[str]) -> None:
        """Record slices that the model was trained on."""
        self._change("POST", "trainedSliceId", "trained_slice_ids", slice_ids)

    def remove_trained_slice_ids(self, slice_ids: str | Sequence[str]) -> None:
        """Remove slices from those that the model was trained on, or raise BadRequestError if one is not among them."""
        self._change("DELETE", "trainedSliceId", "trained_slice_ids", slice_ids)

    def create_model_run(
        self, name: str | None = None, metadata: Mapping[str, Any] | None = None, *, exist_ok: bool = False
    ) -> ModelRun:
        """Create a run of the model that may span datasets; `Dataset.create_model_run` creates one on a dataset.

        Parameters
        ----------
        name : str, optional
            By default that of the model.
        metadata : dict, optional
            Any metadata.
        exist_ok : bool
            If True, return the newest such run of that name if there is one, as in `Dataset.create_model_run`.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> model = client.add_model("Detector", reference_id="det-0.5")
        >>> run = model.create_model_run("everywhere")
        >>> found = {"label": "car", "type": "box", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
        >>> for name in ("day", "night"):
        ...     dataset = client.create_dataset(name)
        ...     _ = dataset.append([{"reference_id": "a.jpg", "image_url": f"https://example.org/{name}/a.jpg"}])
        ...     _ = run.predict([{"reference_id": "a.jpg", **found}], dataset=dataset)
        >>> len(run.predictions), len(dataset.predictions(run))
        (2, 1)
        >>> client.close()
        """
        body = {"name": name, "reference_id": None, "metadata": metadata}
        return run_of(self._transport, "model", self.id, body, exist_ok=exist_ok)

    @property
    def model_runs(self) -> NamedList[ModelRun]:
        """The runs of the model, oldest first; ``model.model_runs["night"]`` is the one of that name."""
        return runs_of(self._transport, "model", self.id)

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
        """Send predictions of the model: to its run on a dataset, or without any run.

        Parameters
        ----------
        predictions : pandas.DataFrame, dict or list of dict
            As in `ModelRun.predict`.
        dataset : Dataset or str, optional
            The dataset. The predictions go to the newest run of the model on it that is not committed, or to a new
            one; the result supports ``["model_run_id"]``, and `Dataset.predictions` reads them back. Without a dataset
            they belong to no run, and `predictions` reads them back: boxes, polygons and cuboids, on items of any
            dataset. Items are named by ``dataset_item_id``, or by a ``reference_id`` that only one dataset contains.
        columns, bbox, bbox_format, metadata, if_exists, on_error, batch_size, progress, wait, journal
            As in `Dataset.annotate`.

        Returns
        -------
        UploadResult
            Counters and the outcome of every row, on the index of the frame; also supports ``["model_id"]``.

        Raises
        ------
        InvalidInputError
            A column is missing or a row is invalid; nothing was sent.
        UploadError
            The server rejected rows, such as those of unknown items; the others are stored.

        Examples
        --------
        >>> import pandas as pd
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
        >>> model = client.add_model("Detector", reference_id="det-0.5")
        >>> found = pd.DataFrame({"reference_id": ["a.jpg"], "label": ["car"], "confidence": [0.9]})
        >>> found[["x", "y", "width", "height"]] = 10.0, 20.0, 30.0, 60.0
        >>> model.predict(found, dataset=dataset)
        UploadResult(predictions_processed=1, predictions_ignored=0)
        >>> dataset.predictions(model).refloc["a.jpg", ["label", "confidence"]]
          label  confidence
        0   car         0.9
        >>> _ = model.predict(found.assign(label="van"))
        >>> model.predictions.to_frame()["label"].tolist()
        ['van']
        >>> client.close()
        """
        layout = ColumnLayout(columns, bbox, bbox_format, metadata)
        options = Options(if_exists=if_exists, on_error=on_error, batch_size=batch_size, progress=progress, wait=wait)
        return upload(self._target(dataset), predictions, layout, options, journal=journal)

    def _target(self, dataset: Resource | str | None) -> Target:
        """Return the target of an upload."""
        if dataset is None:
            terms = Terms(_WITHOUT_RUN, "Send the others with dataset=, or to a run.", lambda: True)
            route: tuple[str, ...] = ("model", self.id, "predictions")
            reader = self.predictions._source
            return Target("predictions", self._transport, route, {"model_id": self.id}, reader, terms)
        dataset_id = id_of(dataset, "ds_", "a Dataset")
        route = ("dataset", dataset_id, "model", self.id, "uploadPredictions")
        context = {"model_id": self.id, "dataset_id": dataset_id}
        view = DatasetPredictionsView(self._transport, ("dataset", dataset_id, "model", self.id), lambda: dataset_id)
        return Target("predictions", self._transport, route, context, view._source)

    @property
    def predictions(self) -> ModelPredictionsView:
        """The predictions that belong to no run, as a frame that is read on demand.

        `Dataset.predictions` returns those of the model on a dataset.
        """
        return ModelPredictionsView(self._transport, ("model", self.id), self._only_dataset)

    def _only_dataset(self) -> str:
        if "model-predictions" in self._transport.extensions:
            dataset_id = self._transport.read(RunPlace, "_nucleus_pandas", "model", self.id).dataset_id
            if dataset_id is not None:
                return dataset_id
        raise InvalidInputError(
            f"The predictions without a run of the model '{self.id}' are on no single dataset, as far as is known, so "
            "positions and reference ids are ambiguous. Use item ids: model.predictions.loc[…]."
        )

    def copy_predictions_from_run(self, run: ModelRun | str) -> dict[str, Any]:
        """Copy the predictions of a run of the model to those without a run; the run is not changed.

        Parameters
        ----------
        run : ModelRun or str
            The run, or its id.

        Returns
        -------
        dict
            ``model_id``, ``model_run_ids``, ``predictions_copied`` (without those that existed already), and
            ``predictions_skipped_unsupported``, the number of those that are neither boxes, polygons nor cuboids.

        Raises
        ------
        BadRequestError
            The run belongs to another model.
        """
        body = CopyPredictions(model_run_id=id_of(run, "run_", "a ModelRun"))
        route = ("model", self.id, "predictions", "copyFromRun")
        answer: dict[str, Any] = self._transport.look_up(dict[str, Any], *route, body=body)
        return answer

    def _change(self, method: str, route: str, field: str, names: str | Sequence[str]) -> None:
        self._entry = None
        self._transport.request(method, "model", self.id, route, body={field: names_of(names)})

    def _described(self) -> dict[str, object]:
        if self._entry is None:
            self._entry = self._transport.describe("model", self.id, embedded=ModelEntry)
        return {} if self._entry is None else {"name": self._entry.name}

    def _known(self) -> dict[str, object]:
        return {"name": self._entry and self._entry.name, "reference_id": self._reference_id}

    def __getitem__(self, key: str) -> str:
        if key == "model_id":
            return self.id
        raise KeyError(f"{key!r} is not a key of a model; there is 'model_id'.")


def model_of(transport: Transport, fields: Mapping[str, Any]) -> Model:
    """Create a model on the server."""
    body = to_json({"metadata": {}, **fields}, "$")
    added = transport.create(ModelAdded, "models", "add", body=body)
    return Model(transport, added.model_id, fields["reference_id"])


def run_of(
    transport: Transport,
    place: Literal["dataset", "model"],
    place_id: str,
    fields: Mapping[str, Any],
    *,
    exist_ok: bool,
) -> ModelRun:
    """Create a run on a dataset, or under a model, on the server; with `exist_ok` it may be there already."""
    if not isinstance(exist_ok, bool):
        raise InvalidInputError(f"exist_ok must be True or False, not {exist_ok!r}.", argument="exist_ok")
    route: tuple[str, ...] = (place, place_id, "modelRun", "create")
    dataset_id = place_id if place == "dataset" else None
    if exist_ok and "exist-ok" in transport.extensions:
        route, fields = ("_nucleus_pandas", *route), {**fields, "exist_ok": True}
    elif exist_ok and (found := _run_like(transport, place, place_id, fields)) is not None:
        return found
    created = transport.create(RunCreated, *route, body=to_json(fields, "$"))
    return ModelRun(transport, created.model_run_id, dataset_id)


def _run_like(transport: Transport, place: str, place_id: str, fields: Mapping[str, Any]) -> ModelRun | None:
    """Return the newest run that a request would create again, as far as a server of the contract says."""
    entries = transport.read(ModelList, "models", "").models
    wanted = place_id if place == "model" else fields.get("model_id")
    model = next(
        (e for e in entries if e.id == wanted or (wanted is None and e.ref_id == fields["reference_id"])), None
    )
    if model is None:
        return None
    name = fields.get("name") or model.name
    for run in reversed(runs_of(transport, place, place_id)):
        info = run.info
        if (info.get("model_id"), info.get("name")) == (model.id, name):
            return run
    return None


def runs_of(transport: Transport, place: str, place_id: str) -> NamedList[ModelRun]:
    """List the runs on a dataset or of a model, oldest first."""
    dataset_id, last = (place_id, "model_runs") if place == "dataset" else (None, "modelRun")
    ids = transport.read(list[str], place, place_id, last)
    return NamedList(ModelRun(transport, run_id, dataset_id) for run_id in ids)


def of_model_or_run(thing: Model | ModelRun | str) -> tuple[str, str]:
    """Return the kind and the id of a model or a run, as routes name them."""
    is_run = isinstance(thing, ModelRun) or (isinstance(thing, str) and thing.startswith("run_"))
    prefix, kind = ("run_", "modelRun") if is_run else ("prj_", "model")
    return kind, id_of(thing, prefix, "a Model or a ModelRun")
