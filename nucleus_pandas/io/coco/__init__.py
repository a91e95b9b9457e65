"""COCO: ground truth and results, https://cocodataset.org/#format-data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

import msgspec
import pandas as pd

from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.coco.parsing import Source, parse
from nucleus_pandas.io.coco.reading import Names, dataset_of, images_of, labels_of, names_of, results_of
from nucleus_pandas.io.coco.writing import dataset_from, results_from
from nucleus_pandas.io.files import Faults, write
from nucleus_pandas.io.frames import Frames
from nucleus_pandas.io.image_folder import folder_of, local_url
from nucleus_pandas.schema import column
from nucleus_pandas.wire.decoding import uncollected

__all__ = ["read_coco", "to_coco"]


def read_coco(
    source: Source,
    *,
    images: str | os.PathLike[str] | None = None,
    ground_truth: Source | Frames | None = None,
) -> Frames:
    """Read a COCO file: ground truth, detections with scores, or a list of results.

    What tools write is taken with its obvious meaning: a byte order mark, NaN, numbers as text, ``""`` for nothing,
    ids as numbers here and as text there, annotations without ``id``, ``area`` or ``iscrowd``. What has no meaning is
    an error that names the place. Of keys that an object repeats the last one counts.

    Parameters
    ----------
    source : path, dict or list
        The file, or what it holds.
    images : path, optional
        The folder of the images; ``image_url`` is then the path in it. Otherwise it is the ``coco_url`` or
        ``flickr_url`` that the file has, and missing where it has none: fill it before `append`.
    ground_truth : path, dict or Frames, optional
        For a list of results, which it must have: the COCO file of the images and categories that the results name
        by id, or what `read_coco` made of it.

    Returns
    -------
    Frames
        In the file's order. ``reference_id`` is the ``file_name`` as it is written, with ``/`` between folders;
        where there is none, the last part of the address, else the id. ``annotation_id`` is the id, where it is there
        and unique. Every annotation is a box, since boxes are what Nucleus matches: polygons and masks stand in the
        column ``segmentation`` and in the metadata. A box that is missing is computed from the segmentation, and
        says so in its metadata (``bbox_source``). Further columns are ``area`` (square pixels) and ``iscrowd`` of
        ground truth, as `evaluate` reads them, and ``confidence`` where there are scores. The metadata holds all
        that has no column (``id``, ``license``, ``date_captured``, ``category_id``, ``attributes``, …) as it stands
        in the file; `to_coco` writes it back. With a list of results, the items are those of the ground truth.

    Raises
    ------
    InvalidInputError
        The file is empty, cut off or no COCO; an entry is wrong, or names an image or category that is not there;
        images share an id or a name. The text names places such as ``annotations[17].bbox``, reasons and remedies,
        ``.problems`` holds all of them.
    OSError
        The file cannot be opened.

    See Also
    --------
    to_coco : Write such a file.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> coco = {
    ...     "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
    ...     "annotations": [{"id": 9, "image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 60], "iscrowd": 0}],
    ...     "categories": [{"id": 3, "name": "car"}],
    ... }
    >>> items, boxes = npd.read_coco(coco, images=".")
    >>> boxes[["reference_id", "annotation_id", "label", "x", "y", "width", "height"]]
      reference_id annotation_id label     x     y  width  height
    0        a.jpg             9   car  10.0  20.0   30.0    60.0
    >>> results = [{"image_id": 1, "category_id": 3, "bbox": [11, 20, 30, 60], "score": 0.9}]
    >>> npd.read_coco(results, ground_truth=coco).annotations["confidence"].tolist()
    [0.9]
    """
    folder = None if images is None else folder_of(images, "images")
    with uncollected():
        return _read(source, folder, ground_truth)


def _read(source: Source, folder: Path | None, ground_truth: Source | Frames | None) -> Frames:
    parsed = parse(source)
    if isinstance(parsed.value, Mapping):
        if ground_truth is not None:
            raise InvalidInputError(
                f"{parsed.name} has images and categories of its own; ground_truth= is for lists of results. Leave "
                "it out.",
                argument="ground_truth",
            )
        return dataset_of(parsed, folder)
    if not isinstance(parsed.value, (list, tuple)):
        raise InvalidInputError(
            f"{parsed.name} holds a {type(parsed.value).__name__}; COCO is an object with 'images', 'annotations' and "
            "'categories', or a list of results."
        )
    if ground_truth is None:
        raise InvalidInputError(
            f"{parsed.name} is a list, as results are, whose images and categories are only numbers. Give the COCO "
            "file that they are about: ground_truth='instances.json'.",
            argument="ground_truth",
        )
    if isinstance(ground_truth, Frames):
        items = ground_truth.items
        names = names_of(items, ground_truth.annotations)
        if folder is not None:
            faults = Faults(names.source)
            urls = [
                local_url(folder, name, f"items[{at}].reference_id", faults)
                for at, name in enumerate(names.image_items.values())
            ]
            faults.check()
            items = items.assign(image_url=column(urls, TEXT).array)
    else:
        truth = parse(ground_truth, "The ground truth")
        if not isinstance(truth.value, Mapping):
            raise InvalidInputError(
                f"{truth.name} is no COCO file with 'images' and 'categories', but a list.", argument="ground_truth"
            )
        items, image_items = images_of(truth, folder)
        names = Names(image_items, labels_of(truth)[0], truth.name)
    return Frames(items, results_of(parsed, Names(names.image_items, names.labels, parsed.name)))


@overload
def to_coco(
    items: pd.DataFrame,
    annotations: pd.DataFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    results: Literal[False] = False,
    like: Source | None = None,
) -> dict[str, Any]: ...


@overload
def to_coco(
    items: pd.DataFrame,
    annotations: pd.DataFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    results: Literal[True],
    like: Source | None = None,
) -> list[dict[str, Any]]: ...


def to_coco(
    items: pd.DataFrame,
    annotations: pd.DataFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    results: bool = False,
    like: Source | None = None,
) -> dict[str, Any] | list[dict[str, Any]]:
    """Write frames as a COCO file.

    What `read_coco` read is written as it was. What a COCO file cannot hold, or a frame could not, is lost: paths
    of images on this machine, annotation ids that are no numbers, names of columns beside those below. Numbers that
    were written as text become numbers; what was missing is filled in: ids by the next free number, ``area`` by width
    times height, ``iscrowd`` by 0, ``segmentation`` by ``[]``. Where the frames went through something that drops
    ``items.attrs``, such as Nucleus, ``info``, ``licenses`` and categories without boxes are lost too, unless `like`
    has them.

    Parameters
    ----------
    items : pandas.DataFrame
        Images, as of `read_coco` or of ``dataset.items.to_frame()``: ``reference_id``, perhaps ``width``, ``height``,
        ``image_url`` (an address becomes ``coco_url``) and metadata, whose keys become keys of the image.
    annotations : pandas.DataFrame
        Boxes on them, as of `read_coco` or of ``dataset.annotations.to_frame()``: ``reference_id`` or
        ``dataset_item_id``, ``label``, ``x``, ``y``, ``width``, ``height``, perhaps ``confidence``, which becomes
        ``score``, ``area``, ``iscrowd``, ``segmentation``, and metadata, whose keys become keys of the annotation.
        Polygons are written with the boxes around them; rows of other types are left out with a warning.
    path : path, optional
        Where to write. The file appears whole or not at all, and replaces one that is there.
    results : bool
        Whether to give a list of results, as evaluation servers take them. It needs ``confidence``, and ids of the
        ground truth.
    like : path or dict, optional
        A COCO file whose ids of images (by name) and categories (by name), ``info`` and ``licenses`` are used. By
        default ids are those in the metadata (``id``, ``category_id``), and others are numbered.

    Returns
    -------
    dict, or list of dict with `results`
        What was written.

    Raises
    ------
    InvalidInputError
        A column is missing, a row is wrong, names an image that `items` lacks, or an id of results is not known.

    Warns
    -----
    NucleusWarning
        Rows are left out, for they are neither boxes nor polygons.

    See Also
    --------
    read_coco : Read such a file.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "width": [640], "height": [480]})
    >>> boxes = pd.DataFrame({"reference_id": "a.jpg", "label": ["car"], "x": 1, "y": 2, "width": 3, "height": 4})
    >>> coco = npd.to_coco(items, boxes)
    >>> coco["categories"], coco["annotations"][0]["bbox"]
    ([{'id': 1, 'name': 'car'}], [1.0, 2.0, 3.0, 4.0])
    >>> npd.to_coco(items, boxes.assign(confidence=0.5), results=True, like=coco)
    [{'image_id': 1, 'category_id': 1, 'bbox': [1.0, 2.0, 3.0, 4.0], 'score': 0.5}]
    """
    model = None if like is None else parse(like, "like=")
    if model is not None and not isinstance(model.value, Mapping):
        raise InvalidInputError(
            f"{model.name} is no COCO file with 'images' and 'categories'; like= needs one.", argument="like"
        )
    with uncollected():
        made = results_from(items, annotations, model) if results else dataset_from(items, annotations, model)
    if path is not None:
        write(Path(path).expanduser(), _encoded(made))
    return made


def _encoded(made: Any) -> bytes:
    try:
        return msgspec.json.encode(made)
    except OverflowError:  # an integer of more than 64 bits
        return json.dumps(made, ensure_ascii=False, allow_nan=False).encode()
