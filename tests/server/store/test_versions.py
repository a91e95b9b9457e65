"""Stores of earlier versions are opened, keep everything, and become ones of this version."""

from __future__ import annotations

import io
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nucleus_pandas.schema.image_urls import STORE_FILE
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store.database import VERSION
from tests.http import Http
from tests.support.paths import DATA
from tests.support.scored_scenes import StoredScene


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_store_of_an_earlier_version_is_brought_to_this_one(
    stored_scene: StoredScene, tmp_path: Path, version: int
) -> None:
    stored_scene.http("POST", f"modelRun/{stored_scene.run}/commit", {})
    stored_scene.http("DELETE", f"dataset/{stored_scene.dataset}/refloc/2.jpg", {})
    stored_scene.http("GET", f"dataset/{stored_scene.dataset}/signedUrl/1", {})
    stored_scene.benchmark()
    stored_scene.http("POST", f"dataset/{stored_scene.dataset}/tags", {"tags": ["new"]})
    stored_scene.http.nucleus.close()
    older = tmp_path / "older"
    older.mkdir()
    tables = fill_version(version, older / STORE_FILE, stored_scene.http.nucleus.folder / STORE_FILE)
    assert {"dataset", "item", "annotation", "prediction", "match", "hole", "upload", "model", "run"} <= set(tables)
    assert version < 2 or {"benchmark", "benchmark_item"} <= set(tables)
    nucleus = EmbeddedNucleus(older)
    http = Http(nucleus)
    for name, rows in tables.items():
        assert sorted(http.table(name), key=repr) == rows, name
    made = StoredScene(http, stored_scene.scene, stored_scene.dataset, stored_scene.model, stored_scene.run)
    evaluation = made.evaluate_on(made.benchmark())
    assert made.examples(evaluation)["total"] > 0
    made.http("POST", f"dataset/{made.dataset}/create_slice", {"name": "s", "reference_ids": ["1.jpg"]})
    assert append_image(http, stored_scene.dataset)["new_items"] == 1
    assert http("POST", f"dataset/{stored_scene.dataset}/tags", {"tags": ["old"]}) == {
        "tags": ["old"] if version < 3 else ["new", "old"]
    }
    nucleus.close()
    with sqlite3.connect(older / STORE_FILE) as db:
        reached = db.execute("PRAGMA user_version").fetchone()
        fresh = sqlite3.connect(stored_scene.http.nucleus.folder / STORE_FILE)
        assert (reached, schema_of(db)) == ((VERSION,), schema_of(fresh))
        fresh.close()
    db.close()


def schema_of(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """List tables and indexes with their SQL, which SQLite keeps with its comments: those may differ."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2")
    return [(kind, name, " ".join(re.sub("--.*", "", sql).split())) for kind, name, sql in rows]


def append_image(http: Http, dataset: str) -> Any:
    """Send an image, and then its item."""
    address = "http://127.0.0.1/v1/nucleus/_nucleus_pandas/images"
    answer = http.client.post(address, data={"image": (io.BytesIO(b"image"), "a.png")}).json
    assert answer is not None
    item = {"reference_id": "with_image", "image": answer["images"][0]["image"]}
    return http("POST", f"_nucleus_pandas/dataset/{dataset}/append", {"items": [item]})


def fill_version(version: int, path: Path, source: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Create a store as an earlier version did, with the rows of another one; return those that it holds."""
    script = (DATA / f"schema_{version}.sql").read_text("utf-8")
    db = sqlite3.connect(path, isolation_level=None)
    for statement in script.split(";\n\n"):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {0x4E55434C}")
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("ATTACH ? AS source", (str(source),))
    kept = {}
    for (name,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        db.execute(f"DELETE FROM main.{name}")
        db.execute(f"INSERT INTO main.{name} SELECT * FROM source.{name}")
        if not name.startswith("sqlite_"):
            kept[name] = sorted(db.execute(f"SELECT * FROM main.{name}").fetchall(), key=repr)
    db.close()
    return {name: rows for name, rows in kept.items() if rows}
