"""COCO files to frames."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from nucleus_pandas._util.arrays import Bools, Floats
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.coco.parsing import (
    CocoContent,
    CocoKey,
    CocoSource,
    entries,
    key_of,
    keys_of,
    number_of,
    objects,
    parse,
)
from nucleus_pandas.io.coco.segmentation import box_around, is_empty
from nucleus_pandas.io.files import Faults
from nucleus_pandas.io.frames import LARGEST_BOX, LARGEST_IMAGE, Frames, boxes_frame, items_frame
from nucleus_pandas.io.image_folder import ImageFolder, folder_of, is_known_remote
from nucleus_pandas.schema import column
from nucleus_pandas.schema.checked_rows import shown
from nucleus_pandas.wire.column_json import ARROW_STRING
from nucleus_pandas.wire.decoding import uncollected

HEAD = "coco"
"""The key in `attrs` of the items for what a COCO file holds in addition to images and annotations."""

COMPUTED = "bbox_source"
"""The key in the metadata of boxes that were computed from a segmentation."""

_URLS = ("coco_url", "flickr_url")


def read_coco(
    source: CocoSource,
    *,
    images: str | os.PathLike[str] | None = None,
    ground_truth: CocoSource | Frames | None = None,
    allow_outside: bool = False,
) -> Frames:
    """Read a COCO file: ground truth, detections with scores, or a list of results.

    Common deviations are accepted: a byte order mark, NaN, numbers as strings, ``""`` for a missing value, ids as
    numbers in one place and strings in another, annotations without ``id``, ``area`` or ``iscrowd``. Anything else is
    an error that names the place. If an object repeats a key, the last value counts.

    Parameters
    ----------
    source : path, dict or list
        The file, or its content.
    images : path, optional
        The folder of the images; ``image_url`` is then the path in it. Otherwise it is the ``coco_url`` or
        ``flickr_url`` in the file, and missing where there is neither: fill it before `append`.
    ground_truth : path, dict or Frames, optional
        Required for a list of results: the COCO file of the images and categories that the results name by id, or
        the `Frames` that `read_coco` returned for it.
    allow_outside : bool
        Whether names may lead out of `images`, links resolved. Such files would be uploaded, so that is an error by
        default.

    Returns
    -------
    Frames
        In the file's order. ``reference_id`` is the ``file_name``, with ``/`` between folders; without one, the last
        part of the URL, else the id. ``annotation_id`` is the id, if it is present and unique. Every annotation is a
        box, since Nucleus matches boxes: polygons and masks are in the column ``segmentation`` and in the metadata. A
        missing box is computed from the segmentation, which its metadata records (``bbox_source``). Further
        columns are ``area`` (square pixels) and ``iscrowd`` of ground truth, as `evaluate` reads them, and
        ``confidence`` where there are scores. The metadata holds, unchanged, all that has no column (``id``,
        ``license``, ``date_captured``, ``category_id``, ``attributes``, …); `to_coco` writes it back.
        With a list of results, the items are those of the ground truth.

    Raises
    ------
    InvalidInputError
        The file is empty, truncated or not COCO; an entry is invalid, or names an unknown image or category; images
        share an id or a name. The message names places such as ``annotations[17].bbox``, reasons and remedies;
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
    folder = None if images is None else ImageFolder(folder_of(images, "images"), allow_outside)
    with uncollected():
        return _read(source, folder, ground_truth)


def _read(source: CocoSource, folder: ImageFolder | None, ground_truth: CocoSource | Frames | None) -> Frames:
    parsed = parse(source)
    if isinstance(parsed.value, Mapping):
        if ground_truth is not None:
            raise InvalidInputError(
                f"{parsed.name} has its own images and categories; ground_truth= is for lists of results. Leave "
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
            f"{parsed.name} is a list of results, which holds only the ids of images and categories. Pass their COCO "
            "file: ground_truth='instances.json'.",
            argument="ground_truth",
        )
    if isinstance(ground_truth, Frames):
        items = ground_truth.items
        names = names_of(items, ground_truth.annotations)
        if folder is not None:
            faults = Faults(names.source)
            urls = [
                folder.url(name, f"items[{at}].reference_id", faults)
                for at, name in enumerate(names.image_items.values())
            ]
            faults.check()
            items = items.assign(image_url=column(urls, TEXT).array)
    else:
        instances = parse(ground_truth, "The ground truth")
        if not isinstance(instances.value, Mapping):
            raise InvalidInputError(
                f"{instances.name} is a list, not a COCO file with 'images' and 'categories'.", argument="ground_truth"
            )
        items, image_items = images_of(instances, folder)
        names = CocoNames(image_items, labels_of(instances)[0], instances.name)
    return Frames(items, results_of(parsed, CocoNames(names.image_items, names.labels, parsed.name)))


class CocoNames(NamedTuple):
    """The names that ids in a COCO file refer to: of images and of labels."""

    image_items: dict[CocoKey, str]
    labels: dict[CocoKey, str]
    source: str


def images_of(parsed: CocoContent, images: ImageFolder | None) -> tuple[pd.DataFrame, dict[CocoKey, str]]:
    """Read the images of a COCO file: the frame of items, and their names by their keys."""
    faults = Faults(parsed.name)
    objects = entries(parsed, "images", needed=True)
    ids = keys_of([image.get("id") for image in objects])
    names = [_name(image, at, faults) for at, image in enumerate(objects)]
    _check_unique(ids, "images[{}].id", "Every image needs an id of its own, since annotations name it.", faults)
    _check_unique(
        names,
        "images[{}].file_name",
        "Names identify images: prefix them with their folders, as in 'train/a.jpg'.",
        faults,
    )
    sizes = [
        (
            _side(image.get("width"), f"images[{at}].width", faults),
            _side(image.get("height"), f"images[{at}].height", faults),
        )
        for at, image in enumerate(objects)
    ]
    if images is None:
        urls = [_url(image, name) for image, name in zip(objects, names, strict=True)]
    else:
        urls = [images.url(name, f"images[{at}].file_name", faults) if name else None for at, name in enumerate(names)]
    faults.check()
    frame = items_frame(names, urls, sizes, [_rest(image, name) for image, name in zip(objects, names, strict=True)])
    frame.attrs[HEAD] = {name: part for name, part in parsed.value.items() if name not in ("images", "annotations")}
    return frame, dict(zip(ids, names, strict=True))  # type: ignore[arg-type]  # checked above


def _name(image: Mapping[str, Any], at: int, faults: Faults) -> str | None:
    """Return the name of an image; None if it has none."""
    name = image.get("file_name")
    if isinstance(name, str) and name:
        return name.replace("\\", "/")
    if name is None or name == "":
        for key in _URLS:
            url = image.get(key)
            if isinstance(url, str) and url.rpartition("/")[2]:
                return url.rpartition("/")[2]
        number = key_of(image.get("id"))
        return None if number is None else str(number)
    if type(name) is int:
        return str(name)
    faults.add(f"images[{at}].file_name", f"is {shown(name)}; it must be a string.")
    return None


def _check_unique(values: Sequence[object], place: str, remedy: str, faults: Faults) -> None:
    if len(set(values)) == len(values) and None not in values:
        return
    first: dict[object, int] = {}
    for at, value in enumerate(values):
        if value is None:
            if "id" in place.rpartition(".")[2]:
                faults.add(place.format(at), "is missing, or neither a whole number nor a string. " + remedy)
        elif value in first:
            faults.add(place.format(at), f"is {shown(value)}, as is {place.format(first[value])}. " + remedy)
        else:
            first[value] = at


def _side(value: object, place: str, faults: Faults) -> int | None:
    """Read the width or the height of an image; 0 means unknown."""
    if type(value) is int and 0 < value <= LARGEST_IMAGE:
        return value
    number = number_of(value)
    if number is not None and (math.isnan(number) or number == 0):
        return None
    if number is None or not 0 < number <= LARGEST_IMAGE or number != int(number):
        faults.add(place, f"is {shown(value)}; it must be a whole number of pixels. Correct it, or leave it out.")
        return None
    return int(number)


def _url(image: Mapping[str, Any], name: str | None) -> str | None:
    """Return the URL of an image; paths are ignored, since the files that they name would be uploaded."""
    for url in (name, *(image.get(key) for key in _URLS)):
        if isinstance(url, str) and is_known_remote(url):
            return url
    return None


def _rest(image: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    rest = {key: value for key, value in image.items() if key not in ("width", "height", "file_name")}
    if image.get("file_name") not in (None, "", name):
        rest["file_name"] = image["file_name"]
    return rest


def labels_of(parsed: CocoContent) -> tuple[dict[CocoKey, str], dict[CocoKey, Any]]:
    """Read the categories of a COCO file: their names, and their supercategories where there are any."""
    faults = Faults(parsed.name)
    labels: dict[CocoKey, str] = {}
    supers: dict[CocoKey, Any] = {}
    for at, category in enumerate(entries(parsed, "categories", needed=False)):
        key, name = key_of(category.get("id")), category.get("name")
        if key is None:
            faults.add(
                f"categories[{at}].id", f"is {shown(category.get('id'))}; it must be a whole number or a string."
            )
            continue
        if isinstance(name, (str, int)) and not isinstance(name, bool) and name != "":
            if labels.setdefault(key, str(name)) != str(name):
                faults.add(
                    f"categories[{at}].id",
                    f"is {shown(key)}, the id of {labels[key]!r} and of {name!r}. Every category needs its own id.",
                )
        else:
            faults.add(f"categories[{at}].name", f"is {shown(name)}; every category needs a name, a string.")
        if category.get("supercategory") is not None:
            supers.setdefault(key, category["supercategory"])
    faults.check()
    return labels, supers


def dataset_of(parsed: CocoContent, images: ImageFolder | None) -> Frames:
    """Read a whole COCO file."""
    items, image_items = images_of(parsed, images)
    labels, supers = labels_of(parsed)
    annotations = entries(parsed, "annotations", needed=False)
    names = CocoNames(image_items, labels, parsed.name)
    boxes = _boxes_of(annotations, "annotations", names, is_owned=parsed.is_owned, supers=supers, results=False)
    return Frames(items, boxes)


def results_of(parsed: CocoContent, names: CocoNames) -> pd.DataFrame:
    """Read a list of results."""
    results = objects(parsed.value, "", Faults(parsed.name))
    return _boxes_of(results, "", names, is_owned=parsed.is_owned, supers={}, results=True)


def _boxes_of(
    annotations: Sequence[Mapping[str, Any]],
    part: str,
    names: CocoNames,
    *,
    is_owned: bool,
    supers: Mapping[CocoKey, Any],
    results: bool,
) -> pd.DataFrame:
    faults = Faults(names.source)
    image_items = _joined(annotations, f"{part}[{{}}].image_id", names.image_items, "image_id", faults)
    labels = _joined(annotations, f"{part}[{{}}].category_id", names.labels, "category_id", faults)
    boxes, computed = _sides(annotations, part, faults)
    others: list[tuple[str, str, Any]] = []
    scores = [entry.get("score") for entry in annotations]
    if results or any(score is not None for score in scores):
        others.append(("confidence", "float64", _confidences(scores, part, faults, needed=results)))
    else:
        others.append(("area", "float64", _areas(annotations, part, faults)))
        others.append(("iscrowd", "bool", [is_crowd(entry.get("iscrowd")) for entry in annotations]))
    others.append(("segmentation", "O", [_segmentation(entry.get("segmentation")) for entry in annotations]))
    faults.check()
    return boxes_frame(
        image_items,
        _ids(annotations),
        labels,
        boxes,
        _metadata(annotations, computed, supers, is_owned=is_owned),
        others,
    )


def _joined(
    annotations: Sequence[Mapping[str, Any]], place: str, names: Mapping[CocoKey, str], field: str, faults: Faults
) -> Any:
    """Return the name that each entry's id stands for, as an Arrow column."""
    number: dict[CocoKey | None, int] = {key: at for at, key in enumerate(names)}
    ids = [entry.get(field) for entry in annotations]
    positions = list(map(number.get, keys_of(ids)))
    if None in positions:
        kind = "image" if field == "image_id" else "category"
        for at, position in enumerate(positions):
            if position is None:
                faults.add(place.format(at), _unknown(ids[at], kind, names))
        return pa.nulls(len(ids), ARROW_STRING)
    return pa.array(names.values(), ARROW_STRING).take(pa.array(positions, pa.int64()))


def _unknown(value: object, kind: str, names: Mapping[CocoKey, str]) -> str:
    if value is None:
        return f"is missing; it names the {kind}. Add it, or drop the entry."
    known = ", ".join(map(repr, islice(names, 5))) + (", …" if len(names) > 5 else "")
    return (
        f"is {shown(value)}, which is not the id of any {kind}; there are {known or 'none'}. Add it, or drop the entry."
    )


def _sides(annotations: Sequence[Mapping[str, Any]], part: str, faults: Faults) -> tuple[Floats, list[int]]:
    """Read the boxes, and return the positions of those that were computed from a segmentation."""
    raw = [entry.get("bbox") for entry in annotations]
    computed: list[int] = []
    boxes = _valid_boxes(raw)
    if boxes is not None:
        return boxes, computed
    boxes = np.zeros((len(raw), 4))
    for at, value in enumerate(raw):
        place = f"{part}[{at}].bbox"
        if value is None or (isinstance(value, (str, list, tuple, Mapping)) and not len(value)):
            segmentation = annotations[at].get("segmentation")
            if is_empty(segmentation):
                faults.add(place, "is missing, as is a segmentation to compute it from. Drop the entry.")
                continue
            try:
                boxes[at] = box_around(segmentation)
            except ValueError as error:
                faults.add(f"{part}[{at}].segmentation", f"has no box: {error}. Correct it, or add a bbox.")
            computed.append(at)
        elif not isinstance(value, (list, tuple)) or len(value) != 4:
            faults.add(place, f"is {shown(value)}; a box is a list of four numbers, x, y, width and height in pixels.")
        else:
            numbers = [number_of(number) for number in value]
            if any(number is None or not math.isfinite(number) for number in numbers):
                faults.add(place, f"is {shown(value)}; all four must be finite numbers. Correct it, or drop the entry.")
            else:
                boxes[at] = numbers
    for at in np.flatnonzero(~_is_valid(boxes)).tolist():
        value = boxes[at].tolist()
        faults.add(
            f"{part}[{at}].bbox",
            f"is {shown(value)}: "
            + (
                "width and height must not be negative. If these are two corners, write x2 - x1 and y2 - y1."
                if (boxes[at, 2:] < 0).any()
                else f"it exceeds {LARGEST_BOX:g} pixels, beyond which areas are infinite."
            ),
        )
    return boxes, computed


def _valid_boxes(raw: Sequence[Any]) -> Floats | None:
    """Return all boxes at once if every one is valid; None otherwise."""
    if not set(map(type, raw)) <= {list, tuple} or not set(map(len, raw)) <= {4}:
        return None
    numbers = list(chain.from_iterable(raw))
    if not set(map(type, numbers)) <= {int, float}:
        return None
    try:
        boxes = np.array(numbers, dtype=np.float64).reshape(-1, 4)
    except OverflowError:
        return None
    return boxes if _is_valid(boxes).all() else None


def _is_valid(boxes: Floats) -> Bools:
    """Return which boxes are finite, not too large, and without a negative side."""
    is_valid: Bools = np.all(np.abs(boxes) <= LARGEST_BOX, axis=1) & np.all(boxes[:, 2:] >= 0, axis=1)
    return is_valid


def _confidences(scores: Sequence[object], part: str, faults: Faults, *, needed: bool) -> Floats:
    numbers = _floats(scores)
    with np.errstate(invalid="ignore"):
        wrong = ~((numbers >= 0) & (numbers <= 1))
    for at in np.flatnonzero(wrong).tolist():
        number = number_of(scores[at])
        if number is not None and math.isnan(number) and not needed:
            continue
        what = "is missing" if number is not None and math.isnan(number) else f"is {shown(scores[at])}"
        faults.add(f"{part}[{at}].score", f"{what}; a score lies in [0, 1]. Divide percentages by 100.")
    return numbers


def _areas(annotations: Sequence[Mapping[str, Any]], part: str, faults: Faults) -> Floats:
    values = [entry.get("area") for entry in annotations]
    areas = _floats(values)
    for at in np.flatnonzero(~(areas >= 0) | np.isinf(areas)).tolist():
        number = number_of(values[at])
        if number is None or not math.isnan(number):
            faults.add(
                f"{part}[{at}].area",
                f"is {shown(values[at])}; an area is 0 or more square pixels. Correct it, or leave it out.",
            )
    return areas


def _floats(values: Sequence[object]) -> Floats:
    """Parse numbers; NaN where one is missing or invalid."""
    if set(map(type, values)) <= {int, float, type(None)}:
        with suppress(OverflowError):
            return np.array(values, dtype=np.float64)
    numbers = map(number_of, values)
    return np.array([math.nan if number is None else number for number in numbers], dtype=np.float64)


def is_crowd(value: object) -> bool:
    """Return True for every value of ``iscrowd`` but a missing one, 0, False, ``""`` and ``"0"``."""
    return not (value is None or value != value or value in (0, "", "0"))


def _segmentation(value: Any) -> Any:
    if type(value) is list and value and value[0]:
        return value
    return None if is_empty(value) else value


def _ids(annotations: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return the ids of annotations as strings; None where an id is missing or not unique."""
    keys = keys_of([entry.get("id") for entry in annotations])
    if len(set(keys)) == len(keys) and None not in keys:
        return list(map(str, keys))
    counts: dict[CocoKey | None, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return [str(key) if key is not None and counts[key] == 1 else None for key in keys]


def _metadata(
    annotations: Sequence[Mapping[str, Any]], computed: Sequence[int], supers: Mapping[CocoKey, Any], *, is_owned: bool
) -> list[dict[str, Any]]:
    """Return what has no column, and what its column does not keep exactly."""
    in_columns = ("image_id", "bbox", "score")
    kept: list[dict[str, Any]]
    if is_owned:  # the dicts of the file become those of the frame: half the memory
        kept = annotations  # type: ignore[assignment]
        for entry in kept:
            for name in in_columns:
                entry.pop(name, None)
    else:
        kept = [{name: value for name, value in entry.items() if name not in in_columns} for entry in annotations]
    if supers:
        for entry in kept:
            key = key_of(entry["category_id"])
            if key is not None and key in supers:
                entry.setdefault("supercategory", supers[key])
    for at in computed:
        kept[at][COMPUTED] = "segmentation"
    return kept


def names_of(items: pd.DataFrame, annotations: pd.DataFrame) -> CocoNames:
    """Return the ids of the images and categories of frames that were read from a COCO file."""
    source = "The ground truth"
    metadata = [value if isinstance(value, Mapping) else {} for value in _column(items, "metadata")]
    ids = keys_of([value.get("id") for value in metadata])
    if None in ids:
        at = ids.index(None)
        raise InvalidInputError(
            f"{source}: items[{at}].metadata has no 'id', by which results name images. Pass the COCO file itself: "
            "ground_truth='instances.json'.",
            argument="ground_truth",
        )
    references = _column(items, "reference_id")
    labels: dict[CocoKey, str] = {}
    head = items.attrs.get(HEAD)
    if isinstance(head, Mapping) and head.get("categories"):
        labels = labels_of(CocoContent(head, source, False))[0]
    for value, label in zip(_column(annotations, "metadata"), _column(annotations, "label"), strict=True):
        key = key_of(value.get("category_id")) if isinstance(value, Mapping) else None
        if key is not None:
            labels.setdefault(key, str(label))
    return CocoNames(dict(zip(ids, map(str, references), strict=True)), labels, source)  # type: ignore[arg-type]


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    if not isinstance(frame, pd.DataFrame) or name not in frame.columns:
        raise InvalidInputError(
            f"ground_truth= has no column {name!r}. Pass the result of read_coco, or the path of the COCO file.",
            argument="ground_truth",
        )
    return frame[name].tolist()
