"""The client: a connection to a server, with the datasets, models, runs, slices and jobs on it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import requests

from nucleus_pandas._util.html import isolated
from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.model import Model, model_of
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.api.names import only_of_name
from nucleus_pandas.api.slice import Slice
from nucleus_pandas.api.web_urls import page_url
from nucleus_pandas.errors import (
    ConfigurationError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    NucleusWarning,
    ServerError,
    StoreError,
)
from nucleus_pandas.schema import DATASETS, MODELS, frame, to_json, warn
from nucleus_pandas.transport.auth import Key
from nucleus_pandas.transport.resource import Resource, id_of
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.jobs import Job, jobs_frame
from nucleus_pandas.wire.bulk import DatasetMade
from nucleus_pandas.wire.requests import MergeRuns
from nucleus_pandas.wire.responses import (
    DatasetCreated,
    DatasetListEntry,
    DatasetName,
    JobView,
    ModelEntry,
    ModelList,
    RunsMerged,
)
from nucleus_pandas.wire.slices import LenientSlice

HOSTED = "https://api.scale.com/v1/nucleus"
_DATASET_FIELDS = {"name", "is_scene", "use_privacy_mode", "annotation_metadata_schema", "item_metadata_schema"}
_MODEL_FIELDS = ("name", "reference_id", "metadata", "tags", "bundle_name", "trained_slice_ids")


class NucleusClient:
    """A connection to Nucleus: to Scale's hosted service, to another server, or to an embedded one.

    Parameters
    ----------
    api_key : str, optional
        The API key; by default the value of ``NUCLEUS_API_KEY``.
    endpoint : str, optional
        The base URL of the API; by default the value of ``NUCLEUS_ENDPOINT``, else Scale's hosted service.
    limited_access_key : str, optional
        A limited-access key, instead of `api_key`.
    max_retries : int
        Maximum number of retries after transient failures.
    timeout : float
        Seconds to wait for a connection, and between two bytes of a response.
    max_concurrency : int
        Maximum number of connections.
    verify : bool or str, optional
        Whether the certificates of servers are checked, or the path of the trusted ones. By default True, unless
        ``NUCLEUS_SKIP_SSL_VERIFY`` is set, which warns; ``REQUESTS_CA_BUNDLE`` names a file of trusted ones.
    session : requests.Session, optional
        Sends the requests, with its adapters, proxies, certificates and headers. The key is not added to it.

    Raises
    ------
    ConfigurationError
        There is neither a key nor an endpoint, or an argument is invalid.

    Notes
    -----
    Clients, and the datasets, runs and views of them, are copied as references to the same connections. They may be
    used in forked processes, and pickled: a pickle contains the endpoint or the folder of the store, never a key. A
    process that loads it reads its key from its own ``NUCLEUS_API_KEY``.

    Examples
    --------
    >>> with NucleusClient.local() as client:
    ...     dataset = client.create_dataset("Street scenes")
    ...     client.list_datasets() == [dataset.id]
    True
    """

    def __init__(
        self,
        api_key: str | None = None,
        endpoint: str | None = None,
        *,
        limited_access_key: str | None = None,
        max_retries: int = 4,
        timeout: float = 120.0,
        max_concurrency: int = 8,
        verify: bool | str | os.PathLike[str] | None = None,
        session: requests.Session | None = None,
    ) -> None:
        if api_key is not None and limited_access_key is not None:
            raise ConfigurationError("Pass either api_key or limited_access_key, not both.")
        if api_key is None and limited_access_key is None:
            api_key = os.environ.get("NUCLEUS_API_KEY") or None
        endpoint = endpoint or os.environ.get("NUCLEUS_ENDPOINT") or None
        for key in (api_key, limited_access_key):
            if key is not None and (not isinstance(key, str) or not key or not key.isascii() or not key.isprintable()):
                raise ConfigurationError(
                    "A key is a string of printable ASCII characters; this one is empty or contains others."
                )
        if endpoint is None and api_key is None and limited_access_key is None:
            raise ConfigurationError(
                "There is no API key. Pass one as NucleusClient(api_key) or set NUCLEUS_API_KEY; "
                "or work without an account: NucleusClient.local('my_store')."
            )
        _check_number("max_retries", max_retries, least=0)
        _check_number("max_concurrency", max_concurrency, least=1)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {timeout!r}.")
        if session is not None and not isinstance(session, requests.Session):
            raise ConfigurationError(f"session must be a requests.Session, not {type(session).__name__}.")
        if verify is None and "NUCLEUS_SKIP_SSL_VERIFY" in os.environ:
            warnings.warn(
                "NUCLEUS_SKIP_SSL_VERIFY is set: certificates are not checked, so anybody in between can read the key.",
                NucleusWarning,
                stacklevel=2,
            )
            verify = False
        if verify is not None and not isinstance(verify, bool):
            verify = os.fspath(verify)
        has_key = api_key is not None or limited_access_key is not None
        self._transport = Transport(
            endpoint or HOSTED,
            Key(api_key, limited_access_key),
            max_retries=max_retries,
            timeout=timeout,
            max_concurrency=max_concurrency,
            reopen=(_reopen, (has_key, endpoint or HOSTED, max_retries, timeout, max_concurrency, verify)),
            session=session,
            verify=verify,
        )

    @classmethod
    def local(cls, path: str | os.PathLike[str] | None = None) -> NucleusClient:
        """Open an embedded Nucleus in process, without an account, a key or a port.

        Parameters
        ----------
        path : str or path-like, optional
            The folder of its store, created when absent. None creates a temporary store, which is
            deleted when the client is closed.

        Raises
        ------
        MissingExtraError
            The extra ``local`` is not installed.
        StoreError
            The folder cannot be opened as a store.
        """
        try:
            from nucleus_pandas.server.in_process import ENDPOINT, InProcessAdapter
            from nucleus_pandas.server.nucleus import EmbeddedNucleus
        except ImportError as error:
            if (error.name or "").startswith("nucleus_pandas"):
                raise
            raise MissingExtraError(
                f"The embedded Nucleus needs {error.name}: pip install 'nucleus_pandas[local]'"
            ) from error
        nucleus = EmbeddedNucleus(path)
        client = cls.__new__(cls)
        # No retries: there is no network in between. Several connections, since images wait for the disk.
        client._transport = Transport(
            ENDPOINT,
            Key(),
            max_retries=0,
            timeout=120.0,
            max_concurrency=4,
            reopen=(_reopen_local, (nucleus.folder,)),
            adapter=InProcessAdapter(nucleus),
            folder=nucleus.folder,
        )
        return client

    def close(self) -> None:
        """Close all connections; an embedded Nucleus in process finishes its jobs and closes too."""
        self._transport.close()

    def __enter__(self) -> NucleusClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def create_dataset(self, name: str | Mapping[str, Any], exist_ok: bool = False) -> Dataset:
        """Create a dataset.

        Parameters
        ----------
        name : str or dict
            The name, which need not be unique; or the fields, ``{"name": …}``, optionally with ``is_scene``,
            ``use_privacy_mode`` (every item then needs its size), ``annotation_metadata_schema`` and
            ``item_metadata_schema`` (rows whose metadata does not match are rejected).
        exist_ok : bool
            If True, return the oldest existing dataset of that name, so that a notebook can run twice. An embedded
            Nucleus gives several callers at once the same dataset; the hosted service has no request that does.

        Returns
        -------
        Dataset
            Also supports ``["dataset_id"]``.

        Warns
        -----
        NucleusWarning
            Several datasets have that name, as far as the server says.
        """
        fields = {"name": name} if isinstance(name, str) else name
        if not isinstance(fields, Mapping) or not isinstance(fields.get("name"), str) or not fields["name"]:
            raise InvalidInputError("A dataset needs a name: create_dataset('My Dataset').")
        if unknown := set(fields) - _DATASET_FIELDS:
            raise InvalidInputError(f"A dataset has no field {', '.join(sorted(map(repr, unknown)))}.")
        if not isinstance(exist_ok, bool):
            raise InvalidInputError(f"exist_ok must be True or False, not {exist_ok!r}.", argument="exist_ok")
        name = fields["name"]
        if "exist-ok" in self._transport.extensions:
            body = to_json({**fields, "exist_ok": exist_ok}, "$")
            made = self._transport.create(DatasetMade, "_nucleus_pandas", "dataset", "create", body=body)
            _warn_of_namesakes(name, made.dataset_id, made.namesakes, exist_ok=exist_ok)
            return Dataset(self._transport, made.dataset_id, name)
        existing = self._ids_of_datasets(name) if exist_ok else []
        if existing:
            _warn_of_namesakes(name, existing[0], len(existing) - 1, exist_ok=True)
            return Dataset(self._transport, existing[0], name)
        created = self._transport.create(DatasetCreated, "dataset", "create", body=to_json(fields, "$"))
        return Dataset(self._transport, created.dataset_id, name)

    def _ids_of_datasets(self, name: str) -> list[str]:
        """List the ids of the datasets of a name, oldest first."""
        entries = self._transport.read(list[DatasetListEntry], "dataset", "details")
        return [entry.id for entry in entries if entry.name == name]

    def get_dataset(self, dataset_id: str | None = None, *, name: str | None = None) -> Dataset:
        """Find a dataset by its id or its name.

        Parameters
        ----------
        dataset_id : str, optional
            The id.
        name : str, optional
            The name, instead of the id.

        Raises
        ------
        NotFoundError
            There is no such dataset; the error, a KeyError, lists similar names.
        InvalidInputError
            Several datasets have that name; the error lists their ids.

        Examples
        --------
        >>> with NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Street scenes")
        ...     client.get_dataset(name="Street scenes") == dataset
        True
        """
        if name is not None:
            _check_one("get_dataset", dataset_id, name)
            entries = self._transport.read(list[DatasetListEntry], "dataset", "details")
            found = only_of_name("dataset", name, [(entry.name, entry.id) for entry in entries])
            return Dataset(self._transport, found, name)
        _check_id("dataset", dataset_id)
        assert dataset_id is not None
        try:
            name = self._transport.read(DatasetName, "dataset", dataset_id, "name").name
        except NotFoundError as error:
            if dataset_id.startswith("ds_"):
                raise
            raise NotFoundError(
                f"{error} Ids start with 'ds_'; client.datasets lists them with their names, and "
                f"client.get_dataset(name={dataset_id!r}) finds a dataset by its name."
            ) from error
        return Dataset(self._transport, dataset_id, name)

    def url(self, thing: Dataset | ModelRun | Slice | None = None) -> str:
        """Return the URL of the web page that shows datasets, a run or a slice.

        Parameters
        ----------
        thing : Dataset, ModelRun or Slice, optional
            What the page shows; by default all datasets.

        Raises
        ------
        ConfigurationError
            The server has no page. An embedded Nucleus in process has none: ``nucleus-pandas serve`` serves it. The
            URLs of runs on the hosted service's dashboard are not documented.

        Examples
        --------
        >>> with NucleusClient("live_key") as client:
        ...     client.url()
        'https://dashboard.scale.com/nucleus'
        """
        return page_url(self._transport) if thing is None else thing.url

    def list_datasets(self) -> list[str]:
        """List the ids of all datasets, oldest first."""
        response_type: Any = list[str] | dict[str, list[str]]  # the oldest documentation shows a dict
        answer = self._transport.read(response_type, "dataset", "")
        ids: list[str] = answer if isinstance(answer, list) else next(iter(answer.values()), [])
        return ids

    @property
    def datasets(self) -> pd.DataFrame:
        """All datasets, oldest first: ``id``, ``name`` (strings) and ``is_public`` (bool).

        Examples
        --------
        >>> with NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Street scenes")
        ...     client.datasets["name"].tolist()
        ['Street scenes']
        """
        entries = self._transport.read(list[DatasetListEntry], "dataset", "details")
        return frame({name: [getattr(entry, name) for entry in entries] for name in DATASETS}, DATASETS)

    def delete_dataset(self, dataset_id: str | Dataset) -> dict[str, Any]:
        """Delete a dataset with its items, annotations and runs; return the server's response."""
        return self._delete("dataset", dataset_id)

    def add_model(
        self,
        name: str | Mapping[str, Any],
        reference_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Model:
        """Create a model.

        Parameters
        ----------
        name : str or dict
            The name; or all fields, ``{"name": …, "reference_id": …, "metadata": …}``.
        reference_id : str
            An id of your choice. If a model with it and the same fields exists, that model is returned.
        metadata : dict, optional
            Any metadata.
        **fields
            ``tags``, ``bundle_name``, ``trained_slice_ids``.

        Returns
        -------
        Model
            Also supports ``["model_id"]``.

        Raises
        ------
        ConflictError
            Another model has that reference id.
        """
        model: dict[str, Any] = dict(name) if isinstance(name, Mapping) else {"name": name}
        if reference_id is not None:
            model["reference_id"] = reference_id
        if metadata is not None:
            model["metadata"] = metadata
        model |= fields
        if unknown := set(model) - set(_MODEL_FIELDS):
            raise InvalidInputError(
                f"A model has no field {', '.join(sorted(map(repr, unknown)))}; its fields are "
                f"{', '.join(map(repr, _MODEL_FIELDS))}."
            )
        for key in ("name", "reference_id"):
            if not isinstance(model.get(key), str) or not model[key]:
                raise InvalidInputError(f"A model needs a {key}: add_model('My Model', reference_id='model-0.5').")
        return model_of(self._transport, model)

    create_model = add_model

    def get_model(
        self, model_id: str | None = None, *, reference_id: str | None = None, name: str | None = None
    ) -> Model:
        """Find a model by its id, by the id of one of its runs, by its reference id or by its name.

        Raises
        ------
        NotFoundError
            There is no such model; the error, a KeyError, lists similar reference ids or names.
        InvalidInputError
            Several models have that name; the error lists their ids.

        Examples
        --------
        >>> with NucleusClient.local() as client:
        ...     model = client.add_model("Detector", reference_id="det-0.5")
        ...     client.get_model(reference_id="det-0.5") == client.get_model(name="Detector") == model
        True
        """
        if reference_id is not None or name is not None:
            _check_one("get_model", model_id, reference_id, name)
            entries = self._transport.read(ModelList, "models", "").models
            if reference_id is not None:
                named = [(entry.ref_id, entry.id) for entry in entries]
                found = only_of_name("model", reference_id, named, "reference_id")
            else:
                found = only_of_name("model", str(name), [(entry.name, entry.id) for entry in entries])
            return Model(self._transport, found, next(entry.ref_id for entry in entries if entry.id == found))
        _check_id("model", model_id)
        assert model_id is not None
        try:
            entry = self._transport.read(ModelEntry, "model", model_id)
        except NotFoundError as error:
            if model_id.startswith(("prj_", "run_")):
                raise
            raise NotFoundError(
                f"{error} Ids start with 'prj_'; client.models lists them. By its reference id or name a model is "
                f"client.get_model(reference_id={model_id!r}) or client.get_model(name={model_id!r})."
            ) from None
        return Model(self._transport, entry.id, entry.ref_id)

    @property
    def models(self) -> pd.DataFrame:
        """All models: ``id``, ``name``, ``reference_id`` (strings), ``metadata`` (dicts) and ``tags`` (lists of str).

        Examples
        --------
        >>> with NucleusClient.local() as client:
        ...     model = client.add_model("Detector", reference_id="det-0.5", tags=["night"])
        ...     client.models[["reference_id", "tags"]]
          reference_id     tags
        0      det-0.5  [night]
        """
        entries = self._transport.read(ModelList, "models", "").models
        columns: dict[str, list[Any]] = {
            "id": [entry.id for entry in entries],
            "name": [entry.name for entry in entries],
            "reference_id": [entry.ref_id for entry in entries],
            "metadata": [entry.metadata or {} for entry in entries],
            "tags": [entry.tags or [] for entry in entries],
        }
        return frame(columns, MODELS)

    def delete_model(self, model_id: str | Model) -> dict[str, Any]:
        """Delete a model with its runs; return the server's response."""
        return self._delete("model", model_id)

    def get_model_run(self, model_run_id: str, dataset_id: str | None = None) -> ModelRun:
        """Find a model run by its id, or raise NotFoundError.

        Parameters
        ----------
        dataset_id : str, optional
            Its dataset. An embedded Nucleus knows it; on other servers, frames of predictions need it.
        """
        _check_id("model run", model_run_id)
        self._transport.get("modelRun", model_run_id, "info")
        return ModelRun(self._transport, model_run_id, dataset_id)

    def delete_model_run(self, model_run_id: str | ModelRun) -> dict[str, Any]:
        """Delete a model run with its predictions and matches; return the server's response."""
        return self._delete("modelRun", model_run_id)

    def merge_model_runs(
        self,
        runs: Iterable[ModelRun | str],
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ModelRun:
        """Create a run that holds the predictions of several runs of one model; those are not changed.

        Parameters
        ----------
        runs : iterable of ModelRun or str
            At least two runs, or their ids. Where several have a prediction with one annotation id on one item, that
            of the first run is kept.
        name : str, optional
            By default that of the model.
        metadata : dict, optional
            Any metadata.

        Returns
        -------
        ModelRun
            On the dataset of the runs; it spans datasets if they are on several.

        Raises
        ------
        BadRequestError
            There are fewer than two runs, one is named twice, or they belong to different models.

        Examples
        --------
        >>> with NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     model = client.add_model("Detector", reference_id="det-0.5")
        ...     runs = [dataset.create_model_run(model) for _ in range(2)]
        ...     client.merge_model_runs(runs, name="both")["name"]
        'both'
        """
        ids = [id_of(run, "run_", "a ModelRun") for run in runs]
        body = MergeRuns(model_run_ids=ids, name=name, metadata=None if metadata is None else to_json(metadata, "$"))
        merged = self._transport.create(RunsMerged, "modelRun", "merge", body=body)
        job = Job(self._transport, merged.job_id).ended()
        if job.status.startswith("Errored"):
            raise ServerError(f"The runs could not be merged: {job.message}")
        # An embedded Nucleus knows the dataset of a run; elsewhere it is the one of all merged predictions, if any.
        single = "lookup" not in self._transport.extensions and len(merged.dataset_ids) == 1
        return ModelRun(self._transport, merged.model_run_id, merged.dataset_ids[0] if single else None)

    def get_slice(self, slice_id: str) -> Slice:
        """Find a slice by its id, or raise NotFoundError."""
        _check_id("slice", slice_id)
        info = self._transport.read(LenientSlice, "slice", slice_id, "info")
        return Slice(self._transport, slice_id, info.name, info.dataset_id)

    def delete_slice(self, slice_id: str | Slice) -> dict[str, Any]:
        """Delete a slice, but not its items; return the server's response."""
        return self._delete("slice", slice_id)

    def get_job(self, job_id: str) -> Job:
        """Find a job by its id, or raise NotFoundError."""
        _check_id("job", job_id)
        self._transport.read(JobView, "job", job_id)
        return Job(self._transport, job_id)

    @property
    def jobs(self) -> pd.DataFrame:
        """All jobs, newest first: ``id``, ``type``, ``status`` (strings) and ``created_at`` (UTC).

        Examples
        --------
        >>> with NucleusClient.local() as client:
        ...     client.jobs.dtypes["created_at"]
        datetime64[us, UTC]
        """
        return jobs_frame(self._transport)

    def _delete(self, kind: str, thing: str | Dataset | Model | ModelRun | Slice) -> dict[str, Any]:
        public_id = thing.id if isinstance(thing, Resource) else thing
        _check_id(kind, public_id)
        doubts: list[str] = []
        try:
            answer: dict[str, Any] = self._transport.request(
                "DELETE", kind, public_id, body={}, doubts=doubts, shape=dict[str, Any]
            )
        except NotFoundError as error:
            if not doubts:
                raise
            return {"message": f"{error} An earlier attempt, which got no response, may have deleted it."}
        return answer

    def __repr__(self) -> str:
        is_connected = hasattr(self, "_transport")  # not if its creation failed
        return f"<NucleusClient {self._where if is_connected else 'that is not connected'}>"

    def _repr_html_(self) -> str:
        return f"<table><tr><th>NucleusClient</th><td>{isolated(self._where)}</td></tr></table>"

    @property
    def _where(self) -> str:
        folder = self._transport.folder
        return f"local '{folder}'" if folder is not None else self._transport.endpoint


def _check_one(function: str, *keys: object) -> None:
    if sum(key is not None for key in keys) > 1:
        raise InvalidInputError(f"{function}() takes one of its arguments, because each is enough.")


def _warn_of_namesakes(name: str, chosen: str, others: int, *, exist_ok: bool) -> None:
    if others:
        what = "this takes the oldest," if exist_ok else "the new one is"
        warn(
            f"{others + 1} datasets are named {name!r}; {what} '{chosen}'. client.datasets lists them; "
            "dataset.rename() gives one another name, and create_dataset(name, exist_ok=True) creates no second one."
        )


def _check_id(kind: str, public_id: object) -> None:
    if not isinstance(public_id, str) or not public_id:
        raise InvalidInputError(f"The id of a {kind} must be a string, not {public_id!r}.")


def _reopen(
    needs_key: bool, endpoint: str, max_retries: int, timeout: float, max_concurrency: int, verify: bool | str | None
) -> Transport:
    """Create the transport of an unpickled client, with the key of this process."""
    key = os.environ.get("NUCLEUS_API_KEY") or None
    if needs_key and key is None:
        raise ConfigurationError("A pickled client contains no key; set NUCLEUS_API_KEY in the process that loads it.")
    settings = {"max_retries": max_retries, "timeout": timeout, "max_concurrency": max_concurrency}
    return NucleusClient(key, endpoint, verify=verify, **settings)._transport  # type: ignore[arg-type]


def _reopen_local(folder: Path) -> Transport:
    """Open the store of an unpickled client."""
    if not folder.is_dir():
        raise StoreError(f"The store '{folder}' of a pickled client does not exist here, or was temporary.")
    return NucleusClient.local(folder)._transport


def _check_number(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigurationError(f"{name} must be an integer of at least {least}, not {value!r}.")
