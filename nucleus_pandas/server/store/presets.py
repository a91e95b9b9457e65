"""Rows of presets: labels and exclusions that evaluations share."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
from msgspec import UNSET

from nucleus_pandas.errors import ConflictError, NotFoundError
from nucleus_pandas.server.store.datasets import json_or_none
from nucleus_pandas.server.store.ids import new_tag, now, tag_of
from nucleus_pandas.wire.evaluations import ChangePreset, CreatePreset, PresetEntry, RollupGroup

_COLUMNS = "tag, name, rollup_groups, exclusion_rules, created_at, updated_at"


def _entry(row: tuple[Any, ...]) -> PresetEntry:
    tag, name, groups, rules, created, updated = row
    return PresetEntry(
        id=f"prev_{tag}",
        name=name,
        rollup_groups=groups and msgspec.json.decode(groups, type=list[RollupGroup]),
        exclusion_rules=rules and msgspec.json.decode(rules),
        created_at=created,
        updated_at=updated,
    )


def create(db: sqlite3.Connection, request: CreatePreset) -> PresetEntry:
    """Create a preset."""
    _check_name(db, request.name)
    tag, moment = new_tag(), now()
    db.execute(
        "INSERT INTO preset (tag, name, rollup_groups, exclusion_rules, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            tag,
            request.name,
            json_or_none(request.rollup_groups),
            json_or_none(request.exclusion_rules),
            moment,
            moment,
        ),
    )
    return find(db, f"prev_{tag}")


def _check_name(db: sqlite3.Connection, name: str, own: str | None = None) -> None:
    row = db.execute("SELECT tag FROM preset WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != own:
        raise ConflictError(f"The preset 'prev_{row[0]}' is named '{name}'; names of presets are unique.")


def find(db: sqlite3.Connection, public_id: str) -> PresetEntry:
    """Find a preset, or raise NotFoundError."""
    row = db.execute(f"SELECT {_COLUMNS} FROM preset WHERE tag = ?", (tag_of(public_id, "prev_"),)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no preset '{public_id}'.")
    return _entry(row)


def listing(db: sqlite3.Connection) -> list[PresetEntry]:
    """List every preset, oldest first."""
    return [_entry(row) for row in db.execute(f"SELECT {_COLUMNS} FROM preset ORDER BY id")]


def change(db: sqlite3.Connection, preset: PresetEntry, request: ChangePreset) -> PresetEntry:
    """Change what the request names."""
    tag = tag_of(preset.id, "prev_")
    if request.name is not UNSET:
        _check_name(db, request.name, tag)
        db.execute("UPDATE preset SET name = ? WHERE tag = ?", (request.name, tag))
    for column in ("rollup_groups", "exclusion_rules"):
        value = getattr(request, column)
        if value is not UNSET:
            db.execute(f"UPDATE preset SET {column} = ? WHERE tag = ?", (json_or_none(value), tag))
    db.execute("UPDATE preset SET updated_at = ? WHERE tag = ?", (now(), tag))
    return find(db, preset.id)


def delete(db: sqlite3.Connection, preset: PresetEntry) -> None:
    """Remove a preset; evaluations that were made with it keep what it said."""
    db.execute("DELETE FROM preset WHERE tag = ?", (tag_of(preset.id, "prev_"),))
