"""Models."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from nucleus_pandas.columns import plain
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
