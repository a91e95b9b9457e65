"""Frames of metadata that is merged into that of items."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema.coerce import to_strings
from nucleus_pandas.schema.column_names import NamedColumns
from nucleus_pandas.schema.metadata import MetadataColumns, differing_keys, metadata
from nucleus_pandas.schema.problems import Problems
from nucleus_pandas.wire.column_json import StringArray, item_objects, quoted, with_commas


@dataclass(frozen=True, slots=True)
class Changes:
    """Checked changes: reference ids, each once, and JSON objects."""

    reference_ids: StringArray
    objects: StringArray

    def __len__(self) -> int:
        return len(self.reference_ids)

    def bodies(self, size: int) -> Iterator[bytes]:
        """Write them as the bodies of requests that hold so many at most."""
        for start in range(0, len(self), size):
            fields = {
                "reference_id": quoted(self.reference_ids.slice(start, size)),
                "metadata": self.objects.slice(start, size),
            }
            yield b"".join((b'{"metadata":[', with_commas(*item_objects(fields)), b'],"level":"item"}'))


def check_changes(
    frame: pd.DataFrame, columns: Mapping[str, Hashable] | None, metadata_from: MetadataColumns
) -> tuple[Changes, Problems]:
    """Look at a frame of changes; rows that change nothing are left out, and so are repeats.

    Raises
    ------
    InvalidInputError
        A column is missing, or there is no metadata at all.
    """
    named = NamedColumns(frame, columns)
    problems = Problems(named.index)
    reference_ids = to_strings(named.need("reference_id"), problems, required=np.ones(len(named), dtype=bool))
    objects = metadata(named, metadata_from, problems)
    if objects is None:
        raise InvalidInputError(
            "The frame holds no metadata: name its columns by metadata=['weather'], or call them 'metadata.weather'."
        )
    kept: dict[str, int] = {}
    written = objects.to_pylist()
    for row, name in enumerate(reference_ids.to_pylist()):
        if name is None or written[row] is None:
            continue
        first = kept.setdefault(name, row)
        if keys := differing_keys(written[first], written[row]):
            differing = ", ".join(map(repr, sorted(keys)))
            reason = f"is that of row {first} too, which differs in {differing}. Keep one of them."
            problems.add_one(row, str(named.name("reference_id")), reason)
    rows = pa.array(list(kept.values()), pa.int64())
    return Changes(reference_ids.take(rows), objects.take(rows)), problems
