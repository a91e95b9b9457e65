"""Datasets of Hugging Face, as frames with one row per image; their package is not imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nucleus_pandas.errors import FileError, InvalidInputError
from nucleus_pandas.io.files import write
from nucleus_pandas.io.parquet.row_groups import class_names, named_classes, struct_field
from nucleus_pandas.schema import frame_of, type_name

_BATCH = 100  # images in memory at once
_SUFFIXES = {
    b"\x89PNG": ".png",
    b"\xff\xd8": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def from_huggingface(
    dataset: Any,
    images: str | os.PathLike[str] | None = None,
    *,
    image: str | None = None,
    reference_id: str | None = None,
) -> pd.DataFrame:
    """Return a dataset of Hugging Face as a frame with one row per image.

    Images that the dataset holds as bytes are written to a folder; others are named where they are. A struct of lists,
    such as ``objects`` in datasets for detection, becomes a column per field, and numbers of classes become names:
    ``frame.nucleus.annotate(…, bbox="objects.bbox", columns={"label": "objects.category"})`` takes a row per box.

    Parameters
    ----------
    dataset : datasets.Dataset or datasets.IterableDataset
        One split. It is read in batches, in its order.
    images : path-like, optional
        The folder for images that the dataset holds as bytes; created if absent. Files that are there already are
        kept, and must have the same content.
    image : str, optional
        The column of images; by default the first whose feature is an image.
    reference_id : str, optional
        The column whose values, as text, become reference ids and names of files. By default the name of the image's
        file, or the position of the row where it has none.

    Returns
    -------
    pandas.DataFrame
        ``reference_id`` and ``image_url`` (text), and the other columns of the dataset with Arrow dtypes, without those
        of other images, such as masks.

    Raises
    ------
    InvalidInputError
        This is no such dataset, it has no images, two images have the same reference id, or `images` is missing.
    FileError
        An image cannot be written, or another file of its name is there.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> table = pa.table({"image": [{"bytes": None, "path": "images/a.jpg"}], "scene": ["street"]})
    >>> batches = SimpleNamespace(iter=lambda batch_size: iter([table]))
    >>> dataset = SimpleNamespace(features=None, with_format=lambda kind: batches)  # or load_dataset(…)["train"]
    >>> from_huggingface(dataset).to_dict("records")
    [{'reference_id': 'a.jpg', 'image_url': 'images/a.jpg', 'scene': 'street'}]
    """
    if isinstance(dataset, Mapping):
        names = ", ".join(map(repr, dataset))
        raise InvalidInputError(
            f"from_huggingface takes one split, and this has {names}. Pass dataset[{next(iter(dataset), 'train')!r}]."
        )
    if not hasattr(dataset, "with_format") or not hasattr(dataset, "features"):
        raise InvalidInputError(f"from_huggingface takes a Dataset of Hugging Face, not {type_name(dataset)}.")
    writer = _Writer(None if images is None else Path(images), image, reference_id)
    tables = [writer.table(batch) for batch in dataset.with_format("arrow").iter(batch_size=_BATCH)]
    if not tables:
        tables = [pa.table({name: pa.array([], pa.large_string()) for name in ("reference_id", "image_url")})]
    return frame_of(pa.concat_tables(tables, promote_options="default"))


class _Writer:
    """Writes images, and names them in tables."""

    def __init__(self, folder: Path | None, image: str | None, reference_id: str | None) -> None:
        self._folder = folder
        self._image = image
        self._reference_id = reference_id
        self._rows = 0
        self._names: dict[str, int] = {}

    def table(self, batch: Any) -> Any:
        """Return the table of a batch, with the places of its images instead of these."""
        image = self._image or _image_column(batch.schema)
        for name in (image, *([self._reference_id] if self._reference_id else [])):
            if name not in batch.column_names:
                there = ", ".join(map(repr, batch.column_names))
                raise InvalidInputError(f"The dataset has no column {name!r}; it has {there}.")
        ids = None
        if self._reference_id is not None:
            ids = batch.column(self._reference_id).to_pylist()
        references, addresses = [], []
        for at, held in enumerate(batch.column(image).to_pylist()):
            reference, address = self._place(held, None if ids is None else ids[at])
            references.append(reference)
            addresses.append(address)
        own = {"reference_id": references, "image_url": addresses}
        named = {name: pa.array(values, pa.large_string()) for name, values in own.items()}
        return pa.table({**named, **{name: column for name, column in _flat(batch).items() if name not in named}})

    def _place(self, held: Any, given: Any) -> tuple[str, str]:
        """Return the reference id of an image and where it is, writing it if the dataset holds it."""
        row, self._rows = self._rows, self._rows + 1
        if not isinstance(held, Mapping) or (held.get("bytes") is None and not held.get("path")):
            raise InvalidInputError(f"Row {row} has no image. Leave it out: dataset.filter(…).")
        data, path = held.get("bytes"), held.get("path")
        name = None if not path else PurePath(str(path).replace("\\", "/")).name
        reference = str(given) if given is not None else name or f"{row:06d}{_suffix(data)}"
        if reference in self._names:
            raise InvalidInputError(
                f"Rows {self._names[reference]} and {row} both have the reference id {reference!r}. Name a column with "
                "an id per image: reference_id='image_id'. dataset.add_column('image_id', list(range(len(dataset)))) "
                "adds one."
            )
        self._names[reference] = row
        if data is None:
            return reference, str(path)
        if self._folder is None:
            raise InvalidInputError(
                "The dataset holds its images as bytes. Pass a folder to write them to: "
                "from_huggingface(dataset, 'images').",
                argument="images",
            )
        return reference, str(self._written(reference, data))

    def _written(self, reference: str, data: bytes) -> Path:
        assert self._folder is not None
        suffix = _suffix(data)
        safe = "".join("_" if letter in '/\\:*?"<>|\0' else letter for letter in reference).lstrip(".") or "_"
        path = self._folder / (safe if PurePath(safe).suffix else f"{safe}{suffix}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                if path.read_bytes() != data:
                    raise FileError(
                        f"'{path}' is another file than the image {reference!r}. Pass another folder as images=."
                    )
                return path
            write(path, data)
        except OSError as error:
            raise FileError(f"The image {reference!r} cannot be written to '{path}': {error}.") from error
        return path


def _image_column(schema: Any) -> str:
    """Return the first column of images."""
    for field in schema:
        if _is_image(field.type):
            return str(field.name)
    raise InvalidInputError("The dataset has no column of images. Name one: image='image'.", argument="image")


def _is_image(kind: Any) -> bool:
    return bool(pa.types.is_struct(kind)) and {kind.field(at).name for at in range(kind.num_fields)} == {
        "bytes",
        "path",
    }


def _flat(batch: Any) -> dict[str, Any]:
    """Return the columns without images, the fields of structs as columns, and numbers of classes as names."""
    names = class_names(batch.schema)
    flat: dict[str, Any] = {}

    def add(name: str, column: Any) -> None:
        if _is_image(column.type):
            return
        if pa.types.is_struct(column.type):
            for at in range(column.type.num_fields):
                field = column.type.field(at).name
                add(f"{name}.{field}", struct_field(column, field))
        else:
            flat[name] = _with_names(column, names[name]) if name in names else column

    for name in batch.column_names:
        column = batch.column(name)
        add(name, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return flat


def _with_names(column: Any, names: list[str]) -> Any:
    """Return the names of classes, also inside lists."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int64())
        return pa.LargeListArray.from_arrays(offsets, _with_names(pc.list_flatten(column), names))
    return named_classes(column, names).cast(pa.large_string())


def _suffix(data: bytes | None) -> str:
    if data is None:
        return ""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "")
