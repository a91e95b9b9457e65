"""Models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from nucleus_pandas.columns import plain
from nucleus_pandas.management import names_of
from nucleus_pandas.resource import Resource
from nucleus_pandas.transport import Transport
from nucleus_pandas.wire import ModelAdded, ModelEntry


class Model(Resource):
    """A model: what makes predictions. Made by `NucleusClient.add_model`, found by `NucleusClient.get_model`."""

    def __init__(self, transport: Transport, model_id: str, reference_id: str | None = None) -> None:
        super().__init__(transport, model_id)
        if reference_id is not None:
            self.reference_id = reference_id

    @cached_property
    def _entry(self) -> ModelEntry:
        return self._transport.read(ModelEntry, "model", self.id)

    @property
    def name(self) -> str:
        """The name."""
        return self._entry.name

    @cached_property
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
        return self._transport.get("model", self.id)

    @property
    def tags(self) -> list[str]:
        """The tags, as the server has them now."""
        return self._transport.read(ModelEntry, "model", self.id).tags or []

    def add_tags(self, tags: str | Sequence[str]) -> None:
        """Tag the model; those that it has already change nothing.

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
        """Take tags off the model, or raise BadRequestError where it has not all of them."""
        self._change("DELETE", "tag", "tags", tags)

    @property
    def trained_slice_ids(self) -> list[str]:
        """The slices that the model was trained on, as the server has them now."""
        return self._transport.read(ModelEntry, "model", self.id).trained_slice_ids or []

    def add_trained_slice_ids(self, slice_ids: str | Sequence[str]) -> None:
        """Note slices that the model was trained on."""
        self._change("POST", "trainedSliceId", "trained_slice_ids", slice_ids)

    def remove_trained_slice_ids(self, slice_ids: str | Sequence[str]) -> None:
        """Forget slices, or raise BadRequestError where not all of them are noted."""
        self._change("DELETE", "trainedSliceId", "trained_slice_ids", slice_ids)

    def _change(self, method: str, route: str, field: str, names: str | Sequence[str]) -> None:
        self.__dict__.pop("_entry", None)
        self._transport.request(method, "model", self.id, route, body={field: names_of(names)})

    def _known(self) -> dict[str, object]:
        entry: ModelEntry | None = self.__dict__.get("_entry")
        return {"name": entry and entry.name, "reference_id": self.__dict__.get("reference_id")}

    def __getitem__(self, key: str) -> str:
        if key == "model_id":
            return self.id
        raise KeyError(f"{key!r} is not a key of a model; there is 'model_id'.")


def model_of(transport: Transport, fields: Mapping[str, Any]) -> Model:
    """Make a model on the server."""
    body = plain({"metadata": {}, **fields}, "$")
    made = transport.create(ModelAdded, "models", "add", body=body)
    return Model(transport, made.model_id, fields["reference_id"])
