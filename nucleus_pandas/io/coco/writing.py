"""Frames to COCO files."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import msgspec
import numpy as np

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.coco.parsing import CocoContent, CocoKey, CocoSource, key_of, keys_of, parse
from nucleus_pandas.io.coco.reading import COMPUTED, HEAD, images_of, is_crowd, labels_of
from nucleus_pandas.io.files import write
from nucleus_pandas.io.frame_rows import (
    CheckedBoxes,
    CheckedItems,
    check_boxes_to_write,
    check_items_to_write,
    check_rows,
)
from nucleus_pandas.io.image_folder import is_known_remote
from nucleus_pandas.schema import FrameLike, Problems
from nucleus_pandas.schema.boxes import areas
from nucleus_pandas.schema.checked_rows import shown
from nucleus_pandas.wire.decoding import uncollected

_OURS = ("id", "image_id", "category_id", "bbox", "score", "supercategory", COMPUTED)


@overload
def to_coco(
    items: FrameLike,
    annotations: FrameLike,
    path: str | os.PathLike[str] | None = None,
    *,
    results: Literal[False] = False,
    like: CocoSource | None = None,
) -> dict[str, Any]: ...


@overload
def to_coco(
    items: FrameLike,
    annotations: FrameLike,
    path: str | os.PathLike[str] | None = None,
    *,
    results: Literal[True],
    like: CocoSource | None = None,
) -> list[dict[str, Any]]: ...


def to_coco(
    items: FrameLike,
    annotations: FrameLike,
    path: str | os.PathLike[str] | None = None,
    *,
    results: bool = False,
    like: CocoSource | None = None,
) -> dict[str, Any] | list[dict[str, Any]]:
    """Write frames as a COCO file.

    What `read_coco` read is written unchanged. What COCO cannot hold is lost: paths of local images, annotation ids
    that are not numbers, columns other than those below. Numbers that were strings become numbers; missing values are
    filled: ids with the next free number, ``area`` with width times height, ``iscrowd`` with 0, ``segmentation`` with
    ``[]``. ``info``, ``licenses`` and categories without boxes are kept in ``items.attrs``, which do not survive
    Nucleus and some pandas operations; `like` restores them.

    Parameters
    ----------
    items : pandas.DataFrame, or a table that exports Arrow
        Images, as of `read_coco` or of ``dataset.items.to_frame()``: ``reference_id``, perhaps ``image_width``,
        ``image_height``, ``image_url`` (a URL becomes ``coco_url``) and metadata; its keys become keys of the image.
    annotations : pandas.DataFrame, or a table that exports Arrow
        Boxes on them, as of `read_coco` or of ``dataset.annotations.to_frame()``: ``reference_id`` or
        ``dataset_item_id``, ``label``, ``x``, ``y``, ``width``, ``height``, perhaps ``confidence``, which becomes
        ``score``, ``area``, ``iscrowd``, ``segmentation``, and metadata; its keys become keys of the annotation.
        Polygons are written with their bounding boxes; rows of other types are left out with a warning.
    path : path, optional
        The file, which is written atomically and replaced if it exists.
    results : bool
        Whether to return a list of results, as evaluation servers take them. It needs ``confidence``, and ids of
        the ground truth.
    like : path or dict, optional
        A COCO file with the ids of images and categories (by name), ``info`` and ``licenses`` to use. By default ids
        are those in the metadata (``id``, ``category_id``), and others are numbered.

    Returns
    -------
    dict, or list of dict with `results`
        What was written.

    Raises
    ------
    InvalidInputError
        A column is missing, a row is invalid or belongs to an image that `items` lacks, or an id for results is
        unknown.

    Warns
    -----
    NucleusWarning
        Rows are left out because they are neither boxes nor polygons.

    See Also
    --------
    read_coco : Read such a file.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_width": [640], "image_height": [480]})
    >>> boxes = pd.DataFrame({"reference_id": "a.jpg", "label": ["car"], "x": 1, "y": 2, "width": 3, "height": 4})
    >>> coco = npd.to_coco(items, boxes)
    >>> coco["categories"], coco["annotations"][0]["bbox"]
    ([{'id': 1, 'name': 'car'}], [1.0, 2.0, 3.0, 4.0])
    >>> npd.to_coco(items, boxes.assign(confidence=0.5), results=True, like=coco)
    [{'image_id': 1, 'category_id': 1, 'bbox': [1.0, 2.0, 3.0, 4.0], 'score': 0.5}]
    """
    template = None if like is None else parse(like, "like=")
    if template is not None and not isinstance(template.value, Mapping):
        raise InvalidInputError("like= needs a COCO file with 'images' and 'categories', not a list.", argument="like")
    with uncollected():
        content = results_from(items, annotations, template) if results else dataset_from(items, annotations, template)
    if path is not None:
        write(Path(path).expanduser(), _encoded(content))
    return content


def _encoded(content: Any) -> bytes:
    try:
        return msgspec.json.encode(content)
    except OverflowError:  # an integer of more than 64 bits
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


class CocoCategories(NamedTuple):
    """Categories as they are written, and the category id of each box."""

    written: list[dict[str, Any]]
    ids: list[Any]


def dataset_from(items: FrameLike, annotations: FrameLike, like: CocoContent | None) -> dict[str, Any]:
    """Return the content of a COCO file for frames."""
    image_items = check_items_to_write(items)
    boxes = check_boxes_to_write(annotations, image_items, "COCO", polygons=True)
    head = _head(image_items, like)
    image_ids = _image_ids(image_items, like)
    images = _images(image_items, image_ids)
    ids = _unique([_given_id(row, name) for row, name in zip(boxes.metadata, boxes.ids, strict=True)])
    categories = _categories(boxes, head, closed=False)
    return {
        **head,
        "images": images,
        "annotations": _annotations(boxes, ids, image_ids, categories.ids),
        "categories": categories.written,
    }


def results_from(items: FrameLike, annotations: FrameLike, like: CocoContent | None) -> list[dict[str, Any]]:
    """Return the list of results for frames; ids are those of the ground truth, never new ones."""
    image_items = check_items_to_write(items)
    boxes = check_boxes_to_write(annotations, image_items, "COCO")
    problems = Problems(boxes.named.index)
    if boxes.confidence is None:
        raise InvalidInputError(boxes.named.missing("confidence") + " results=True is for predictions, which need it.")
    unsure = np.isnan(boxes.confidence)
    for row in boxes.rows[unsure].tolist():
        problems.add_one(row, "confidence", "is missing, but every result needs a score. Fill it, or drop the row.")
    image_ids = _image_ids(image_items, like, new=False)
    for row, image in zip(boxes.rows.tolist(), boxes.image, strict=True):
        if image_ids[image] is None:
            problems.add_one(
                row,
                "reference_id",
                f"is {shown(image_items.references[image])}, which has no COCO id: neither 'id' in the items' "
                "metadata nor like= has it. Pass the ground truth: like='instances.json'.",
            )
    categories = _categories(boxes, _head(image_items, like), closed=True)
    for row, label, number in zip(boxes.rows.tolist(), boxes.labels, categories.ids, strict=True):
        if number is None:
            problems.add_one(
                row,
                "label",
                f"is {shown(label)}, which has no COCO id: neither 'category_id' in the metadata nor like= "
                "has it. Pass the ground truth: like='instances.json'.",
            )
    check_rows(problems, "predictions")
    segmentations = boxes.values("segmentation")
    written = []
    for at, (row, image) in enumerate(zip(boxes.metadata, boxes.image, strict=True)):
        entry: dict[str, Any] = {"image_id": image_ids[image], "category_id": categories.ids[at]}
        if row.get(COMPUTED) != "segmentation":  # with a box, evaluations would use its area instead of the mask's
            entry["bbox"] = boxes.sides[at].tolist()
        entry["score"] = float(boxes.confidence[at])
        entry.update((name, value) for name, value in row.items() if name not in _OURS[1:])
        if segmentations[at] is not None:
            entry["segmentation"] = segmentations[at]
        written.append(entry)
    return written


def _head(items: CheckedItems, like: CocoContent | None) -> dict[str, Any]:
    """Return the parts of a COCO file other than images and annotations, from `like` or as they were read."""
    known = items.named.frame.attrs.get(HEAD) if like is None else like.value
    if not isinstance(known, Mapping):
        return {"info": {}, "licenses": []}
    return deepcopy({name: part for name, part in known.items() if name not in ("images", "annotations")})


def _image_ids(image_items: CheckedItems, like: CocoContent | None, *, new: bool = True) -> list[Any]:
    given = [row.get("id") for row in image_items.metadata]
    if like is not None:
        names = images_of(like, None)[1].values()
        known = {name: image["id"] for name, image in zip(names, like.value["images"], strict=True)}
        given = [known.get(name, given_id) for name, given_id in zip(image_items.references, given, strict=True)]
    return _unique(given, new=new)


def _unique(given: Sequence[Any], *, new: bool = True) -> list[Any]:
    """Return unique ids: the first use of a valid id keeps it, the others are numbered from the largest on."""
    keys = keys_of(given)
    fresh = count(max([key for key in keys if isinstance(key, int)], default=0) + 1)
    used: set[CocoKey] = set()
    ids: list[Any] = []
    for key, given_id in zip(keys, given, strict=True):
        if key is not None and key not in used:
            used.add(key)
            ids.append(given_id)
        else:
            ids.append(next(fresh) if new else None)
    return ids


def _given_id(row: Mapping[str, Any], name: str | None) -> Any:
    """Return the id of an annotation: the one in its metadata, else its annotation id if that is a number."""
    if key_of(row.get("id")) is not None:
        return row["id"]
    key = key_of(name)
    return key if isinstance(key, int) else None


def _images(image_items: CheckedItems, ids: Sequence[Any]) -> list[dict[str, Any]]:
    written = []
    for at, (name, row) in enumerate(zip(image_items.references, image_items.metadata, strict=True)):
        image: dict[str, Any] = {"id": ids[at], "file_name": name}
        spelled = row.pop("file_name", None)
        if isinstance(spelled, (str, int)) and str(spelled).replace("\\", "/") == name:
            image["file_name"] = spelled
        for side, pixels in zip(("width", "height"), image_items.sizes[at], strict=True):
            row.pop(side, None)
            if pixels is not None:
                image[side] = pixels
        url = image_items.urls[at]
        if url is not None and url != name and url not in row.values() and is_known_remote(url):
            image["coco_url"] = url
        written.append({**row, **image})
    return written


def _categories(boxes: CheckedBoxes, head: dict[str, Any], *, closed: bool) -> CocoCategories:
    """Return the categories, and that of each box: by the id that it was read with, else by its label.

    An id that occurs in the metadata of several labels, as after a change of labels, belongs to the label with the most
    boxes. With `closed`, labels without an id get none.
    """
    written = list(head.pop("categories", None) or [])
    name_of = labels_of(CocoContent({"categories": written}, "The categories", False))[0]
    spelled = {key_of(category.get("id")): category.get("id") for category in written}
    claims = Counter(
        (label, key)
        for label, row in zip(boxes.labels, boxes.metadata, strict=True)
        if (key := key_of(row.get("category_id"))) is not None
    )
    for (label, key), _ in claims.most_common():  # equal counts in order of their first rows
        name_of.setdefault(key, label)
    key_by_name: dict[str, CocoKey] = {}
    for key, label in name_of.items():
        key_by_name.setdefault(label, key)
    if not closed:
        fresh = count(max([key for key in name_of if isinstance(key, int)], default=0) + 1)
        for label in sorted(set(boxes.labels) - set(key_by_name)):
            key_by_name[label] = next(fresh)
            name_of[key_by_name[label]] = label
    ids: list[Any] = []
    supers: dict[CocoKey, Any] = {}
    for label, row in zip(boxes.labels, boxes.metadata, strict=True):
        key = key_of(row.get("category_id"))
        if key is None or name_of.get(key) != label:
            key = key_by_name.get(label)
        else:
            spelled.setdefault(key, row["category_id"])
            if "supercategory" in row:
                supers.setdefault(key, row["supercategory"])
        ids.append(key)
    known = {key_of(category.get("id")) for category in written}
    for key in sorted((key for key in name_of if key not in known), key=_order):
        category = {"id": spelled.get(key, key), "name": name_of[key]}
        written.append(category | ({"supercategory": supers[key]} if key in supers else {}))
    return CocoCategories(written, [spelled.get(key, key) for key in ids])


def _order(key: CocoKey) -> tuple[bool, int, str]:
    return isinstance(key, str), key if isinstance(key, int) else 0, str(key)


def _annotations(
    boxes: CheckedBoxes, ids: Sequence[Any], image_ids: Sequence[Any], category_ids: Iterable[Any]
) -> list[dict[str, Any]]:
    given_areas, crowds, segmentations = boxes.numbers("area"), boxes.values("iscrowd"), boxes.values("segmentation")
    scores = [None] * len(ids) if boxes.confidence is None else boxes.confidence.tolist()
    columns = zip(
        ids,
        (image_ids[image] for image in boxes.image),
        category_ids,
        boxes.sides.tolist(),
        areas(boxes.sides).tolist(),
        scores,
        boxes.metadata,
        strict=True,
    )
    written = []
    for at, (number, image, category, box, area, score, row) in enumerate(columns):
        polygon = boxes.polygons.get(at)
        for name in _OURS:
            row.pop(name, None)
        entry: dict[str, Any] = {"id": number, "image_id": image, "category_id": category, "bbox": box}
        entry["segmentation"] = [] if polygon is None else [polygon]
        entry |= row
        if segmentations[at] is not None:
            entry["segmentation"] = segmentations[at]
        if given_areas[at] is not None:
            entry["area"] = given_areas[at]
        elif not _is_number(row.get("area")):
            entry["area"] = area if polygon is None else _area(polygon)
        entry["iscrowd"] = int(is_crowd(row.get("iscrowd") if crowds[at] is None else crowds[at]))
        if score is not None and score == score:
            entry["score"] = score
        written.append(entry)
    return written


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _area(polygon: Sequence[float]) -> float:
    """Return the area of a polygon, by the shoelace formula."""
    x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
