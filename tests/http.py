"""Requests to an embedded Nucleus as they are written, without a client of it."""

from __future__ import annotations

import json
import uuid
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from nucleus_pandas.server.app import create_app
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from tests.factories import item

PREFIX = "http://127.0.0.1/v1/nucleus"
ITEMS_AT_ONCE = 10_000


class Http:
    """Sends requests to an embedded Nucleus in process, and reads the JSON of its answers."""

    def __init__(self, nucleus: EmbeddedNucleus) -> None:
        self.nucleus = nucleus
        self.application: Flask = create_app(nucleus)
        self.client: FlaskClient = self.application.test_client()

    def __call__(self, method: str, path: str, body: object = None, status: int = 200, **fields: Any) -> Any:
        """Send a request that must be answered with a status; the path may be a whole address."""
        if body is not None:
            text = body if isinstance(body, bytes) else json.dumps(body)
            fields |= {"data": text, "content_type": "application/json"}
        address = path if path.startswith("http") else f"{PREFIX}/{path}"
        response = self.client.open(address, method=method, **fields)
        assert response.status_code == status, response.text
        found = json.loads(response.data)
        response.close()
        assert status < 400 or (found["status_code"] == status and found["error"]), found
        return found

    def refused(self, method: str, path: str, body: object, status: int) -> str:
        """Send what must be refused, and return the reason."""
        reason: str = self(method, path, body, status)["error"]
        return reason

    def new_dataset(self, *reference_ids: str, **fields: object) -> str:
        """Create a dataset of remote images."""
        dataset_id: str = self("POST", "dataset/create", {"name": "Street scenes", **fields})["dataset_id"]
        for start in range(0, len(reference_ids), ITEMS_AT_ONCE):
            rows = [item(name) for name in reference_ids[start : start + ITEMS_AT_ONCE]]
            self("POST", f"dataset/{dataset_id}/append", {"items": rows})
        return dataset_id

    def new_run(self, dataset_id: str | None, reference_id: str | None = None) -> str:
        """Create a run on a dataset, or one that spans datasets; its model is made where there is none of that name."""
        model = {"name": "A model", "reference_id": reference_id or uuid.uuid4().hex}
        model_id = self("POST", "models/add", model)["model_id"]
        route = f"model/{model_id}/modelRun/create" if dataset_id is None else f"dataset/{dataset_id}/modelRun/create"
        run_id: str = self("POST", route, {"model_id": model_id})["model_run_id"]
        return run_id

    def table(self, name: str, order: str = "") -> list[tuple[Any, ...]]:
        """Read a whole table of the store."""
        with self.nucleus.database.read() as db:
            return db.execute(f"SELECT * FROM {name} {order}").fetchall()
