"""COCO: ground truth and results, https://cocodataset.org/#format-data."""

from __future__ import annotations

import os
from collections.abc import Mapping

from nucleus_pandas._compat import TEXT
from nucleus_pandas.columns import column
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.formats.coco.parsing import Source, parse
from nucleus_pandas.formats.coco.reading import Names, dataset_of, labels_of, names_of, pictures_of, results_of
from nucleus_pandas.formats.faults import Faults
from nucleus_pandas.formats.pictures import folder_of, local_url
from nucleus_pandas.formats.tables import Frames

__all__ = ["read_coco"]


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
        The folder of the pictures; ``image_url`` is then the path in it. Otherwise it is the ``coco_url`` or
        ``flickr_url`` that the file has, and missing where it has none: fill it before `append`.
    ground_truth : path, dict or Frames, optional
        For a list of results, which it must have: the COCO file of the pictures and categories that the results name
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
        The file is empty, cut off or no COCO; an entry is wrong, or names a picture or category that is not there;
        pictures share an id or a name. The text names places such as ``annotations[17].bbox``, reasons and remedies,
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
    folder = None if images is None else folder_of(images, "images=")
    parsed = parse(source)
    if isinstance(parsed.value, Mapping):
        if ground_truth is not None:
            raise InvalidInputError(
                f"{parsed.name} has pictures and categories of its own; ground_truth= is for lists of results. Leave "
                "it out."
            )
        return dataset_of(parsed, folder)
    if not isinstance(parsed.value, (list, tuple)):
        raise InvalidInputError(
            f"{parsed.name} holds a {type(parsed.value).__name__}; COCO is an object with 'images', 'annotations' and "
            "'categories', or a list of results."
        )
    if ground_truth is None:
        raise InvalidInputError(
            f"{parsed.name} is a list, as results are, whose pictures and categories are only numbers. Give the COCO "
            "file that they are about: ground_truth='instances.json'."
        )
    if isinstance(ground_truth, Frames):
        items = ground_truth.items
        names = names_of(items, ground_truth.annotations)
        if folder is not None:
            faults = Faults(names.source)
            urls = [
                local_url(folder, name, f"items[{at}].reference_id", faults)
                for at, name in enumerate(names.pictures.values())
            ]
            faults.check()
            items = items.assign(image_url=column(urls, TEXT).array)
    else:
        truth = parse(ground_truth, "The ground truth")
        if not isinstance(truth.value, Mapping):
            raise InvalidInputError(f"{truth.name} is no COCO file with 'images' and 'categories', but a list.")
        items, pictures = pictures_of(truth, folder)
        names = Names(pictures, labels_of(truth)[0], truth.name)
    return Frames(items, results_of(parsed, Names(names.pictures, names.labels, parsed.name)))
