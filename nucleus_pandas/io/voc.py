"""Pascal VOC: one XML file per image, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.files import Faults, files_below, write
from nucleus_pandas.io.frame_rows import (
    CheckedBoxes,
    CheckedItems,
    check_boxes_to_write,
    check_items_to_write,
    check_rows,
    paths_of,
)
from nucleus_pandas.io.frames import LARGEST_BOX, LARGEST_IMAGE, Frames, boxes_frame, items_frame
from nucleus_pandas.io.image_folder import ImageFolder, folder_of
from nucleus_pandas.io.safe_xml import Element, document, parse_xml, unwritable, value_of
from nucleus_pandas.schema import FrameLike, Problems, warn
from nucleus_pandas.schema.checked_rows import shown

VocSource: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A folder, a file, or several files."""

_NUMBERS = frozenset(
    "area category_id crop depth difficult id ignore iscrowd occluded segmented truncated".split()  # noqa: SIM905
)
"""Elements with a number as text."""

_EXACT = Context(prec=1200, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Adds decimals without rounding: a float64 has its digits within 1,100 places."""


def read_voc(source: VocSource, *, images: str | os.PathLike[str] | None = None, allow_outside: bool = False) -> Frames:
    """Read Pascal VOC's XML files.

    A box is ``x = xmin``, ``y = ymin``, ``width = xmax - xmin``, ``height = ymax - ymin``, as in
    tools that convert VOC to COCO and to YOLO. VOC itself counted pixels from 1 and included both ends, so that its
    boxes were a pixel larger and began a pixel further to the left and top; to get those, subtract 1 from ``x`` and
    ``y`` and add it to ``width`` and ``height``. Differences are computed in decimal, so that no digit is lost.

    Parameters
    ----------
    source : path or list of paths
        A folder (all ``.xml`` in it and its subfolders, sorted by name), a file, or several.
    images : path, optional
        The folder of the images; ``image_url`` is then the path in it, and missing otherwise.
    allow_outside : bool
        Whether names may lead out of `images`, links resolved. Such files would be uploaded, so that is an error by
        default.

    Returns
    -------
    Frames
        In the order of the files, then of the objects in them. ``reference_id`` is the ``filename``, or without one
        the name of the XML file. There is a column ``confidence`` if an object has such an element. Everything else is
        metadata: of images ``folder``, ``source``, ``size`` (``depth``), ``segmented``; of boxes ``pose``,
        ``truncated``, ``difficult``, ``occluded``, ``attributes`` (as CVAT writes them) and whatever else there is.
        Their values are strings, but numbers for the flags, ``depth``, ``area``, ``iscrowd`` and ids.

    Raises
    ------
    InvalidInputError
        A file is not XML or not VOC, has a document type (which could read other files or fill the memory), an object
        lacks its name or box, or two files are about one image; the message names files and places.
    OSError
        A file cannot be opened.

    See Also
    --------
    to_voc : Write such files.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> box = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>80</ymax></bndbox>"
    >>> text = f"<annotation><filename>a.jpg</filename><object><name>car</name>{box}</object></annotation>"
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.xml").write_text(text)
    ...     items, boxes = npd.read_voc(folder)
    >>> boxes[["reference_id", "label", "x", "y", "width", "height"]]
      reference_id label     x     y  width  height
    0        a.jpg   car  10.0  20.0   30.0    60.0
    """
    folder = None if images is None else ImageFolder(folder_of(images, "images"), allow_outside)
    root, files = _files(source)
    faults = Faults(root)
    references: list[str | None] = []
    urls: list[str | None] = []
    sizes: list[tuple[int | None, int | None]] = []
    metadata: list[dict[str, Any]] = []
    objects: list[tuple[str | None, str | None, list[float], float, dict[str, Any]]] = []
    first: dict[str, str] = {}
    for name, path in files.items():
        annotation = parse_xml(path)
        if annotation.tag != "annotation":
            hint = (
                " That is CVAT's own format; export as 'Pascal VOC' or 'COCO'."
                if annotation.tag == "annotations"
                else ""
            )
            faults.add(name, f"is <{annotation.tag}>, but VOC's files are <annotation>.{hint}")
            continue
        reference = _text(annotation, "filename").replace("\\", "/") or path.stem
        if reference in first:
            faults.add(
                name,
                f"is about {shown(reference)}, and so is {first[reference]}. Remove one, or add folders to the names.",
            )
        first.setdefault(reference, name)
        references.append(reference)
        urls.append(None if folder is None else folder.url(reference, f"{name}: filename", faults))
        sizes.append((_side(annotation, "width", name, faults), _side(annotation, "height", name, faults)))
        metadata.append(_rest(annotation))
        for at, element in enumerate(annotation.findall("object")):
            objects.append((reference, *_object(element, f"{name}: object[{at}]", faults)))
    faults.check()
    others: list[tuple[str, str, Any]] = []
    if any(not math.isnan(confidence) for *_, confidence, _ in objects):
        others.append(("confidence", "float64", np.array([confidence for *_, confidence, _ in objects])))
    boxes = boxes_frame(
        [reference for reference, *_ in objects],
        [None] * len(objects),
        [label for _, label, *_ in objects],
        np.array([box for _, _, box, *_ in objects], dtype=np.float64).reshape(-1, 4),
        [rest for *_, rest in objects],
        others,
    )
    return Frames(items_frame(references, urls, sizes, metadata), boxes)


def _files(source: VocSource) -> tuple[str, dict[str, Path]]:
    """Return the name of the source and its files by their names in messages."""
    if not isinstance(source, (str, os.PathLike)):
        paths = [Path(each).expanduser() for each in source]
        return "VOC", {str(path): path for path in paths}
    path = Path(source).expanduser()
    if path.is_dir():
        files = files_below(path, (".xml",))
        if not files and any(path.iterdir()):
            raise InvalidInputError(f"{path} contains no .xml file, of which VOC has one per image.")
        return str(path), files
    return "VOC", {str(path): path}


def _text(element: Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _side(annotation: Element, side: str, name: str, faults: Faults) -> int | None:
    """Read the width or the height of an image; 0 means unknown."""
    text = _text(annotation, f"size/{side}")
    try:
        number = float(text or 0)
    except ValueError:
        number = math.nan
    if number == 0:
        return None
    if not 0 < number <= LARGEST_IMAGE or number != int(number):
        faults.add(
            f"{name}: size/{side}", f"is {shown(text)}; it must be a whole number of pixels. Correct it, or remove it."
        )
        return None
    return int(number)


def _rest(annotation: Element) -> dict[str, Any]:
    """Return the metadata of an image: everything but its name, its size and the objects."""
    kept = Element(annotation.tag, annotation.attrib)
    kept.extend(child for child in annotation if child.tag not in ("filename", "object", "size"))
    value = value_of(kept)
    rest = {key: _typed(key, part) for key, part in value.items()} if isinstance(value, dict) else {}
    size = annotation.find("size")
    sides = value_of(size) if size is not None else {}
    if isinstance(sides, dict):
        other = {key: _typed(key, part) for key, part in sides.items() if key not in ("width", "height")}
        rest |= {"size": other} if other else {}
    return rest


def _typed(key: str, value: Any) -> Any:
    """Return a number for a string that is exactly how Python writes that number."""
    if key in _NUMBERS and isinstance(value, str):
        for kind in (int, float):
            try:
                if str(kind(value)) == value and math.isfinite(kind(value)):
                    return kind(value)
            except (ValueError, OverflowError):
                continue
    return value


def _object(element: Element, place: str, faults: Faults) -> tuple[str | None, list[float], float, dict[str, Any]]:
    """Return the label, the box, the confidence and the metadata of an object."""
    value = value_of(element)
    rest: dict[str, Any] = value if isinstance(value, dict) else {}
    label = rest.pop("name", "")
    if not isinstance(label, str) or not label:
        faults.add(f"{place}/name", f"is {shown(label) if label else 'missing'}; every object has one name.")
        label = None
    box = _box(rest.pop("bndbox", None), "robndbox" in rest, f"{place}/bndbox", faults)
    text = rest.pop("confidence", None)
    confidence = math.nan
    if text is not None:
        with suppress(TypeError, ValueError):
            confidence = float(text)
        if not 0 <= confidence <= 1:
            faults.add(f"{place}/confidence", f"is {shown(text)}; it must be in [0, 1]. Divide percentages by 100.")
    pairs = rest.get("attributes")
    if isinstance(pairs, dict) and set(pairs) == {"attribute"}:
        rest["attributes"] = _attributes(pairs)
    return label, box, confidence, {key: _typed(key, part) for key, part in rest.items()}


def _attributes(pairs: dict[str, Any]) -> dict[str, Any]:
    """Return CVAT's attributes, which are pairs of a name and a value, as a dict."""
    attributes = pairs["attribute"] if isinstance(pairs["attribute"], list) else [pairs["attribute"]]
    if all(isinstance(pair, dict) and set(pair) == {"name", "value"} for pair in attributes):
        names = [pair["name"] for pair in attributes]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return {pair["name"]: pair["value"] for pair in attributes}
    return pairs


def _box(corners: Any, is_rotated: bool, place: str, faults: Faults) -> list[float]:
    """Return x, y, width and height."""
    if not isinstance(corners, Mapping):
        reason = "is missing, but every object needs a box. Add it, or remove the object."
        if is_rotated:
            reason = "is missing: the box is rotated (robndbox), which Nucleus does not support. Export upright boxes."
        faults.add(place, reason)
        return [0.0] * 4
    numbers: list[Decimal] = []
    for name in ("xmin", "ymin", "xmax", "ymax"):
        text = corners.get(name, "")
        try:
            number = Decimal(text)
            if not number.is_finite():
                raise ValueError
            numbers.append(number)
        except (InvalidOperation, TypeError, ValueError):
            what = "missing" if text == "" else shown(text)
            faults.add(
                f"{place}/{name}", f"is {what}; it must be a number of pixels. Correct it, or remove the object."
            )
    if len(numbers) < 4:
        return [0.0] * 4
    low, high = numbers[:2], numbers[2:]
    box = [*map(float, low), *(float(_EXACT.subtract(end, start)) for start, end in zip(low, high, strict=True))]
    if min(box[2:]) < 0:
        faults.add(place, "ends before it begins: xmax is less than xmin, or ymax than ymin. Swap them.")
    elif max(map(abs, box)) > LARGEST_BOX:
        faults.add(place, f"exceeds {LARGEST_BOX:g} pixels, beyond which areas are infinite. Correct it.")
    return box


def to_voc(items: FrameLike, annotations: FrameLike, folder: str | os.PathLike[str]) -> None:
    """Write frames as Pascal VOC's XML files.

    For each image ``<reference_id without extension>.xml``, with ``xmin = x`` and ``xmax = x + width`` to the last
    digit (see `read_voc`). Files of the same names are replaced, others are kept.

    What `read_voc` read is written unchanged, apart from white space, comments and the order of elements. ``image_url``
    and ids are lost; values of metadata become strings, except the numbers that `read_voc` recognises. Metadata that
    XML cannot represent (lists in lists, keys that are not element names) is left out with a warning; keys in
    ``attributes`` may be any string.

    Parameters
    ----------
    items : pandas.DataFrame, or a table that exports Arrow
        Images with ``reference_id``, perhaps ``image_width``, ``image_height`` (pixels) and metadata.
    annotations : pandas.DataFrame, or a table that exports Arrow
        Boxes on them, in the form that `Dataset.annotate` takes, perhaps with ``confidence``. Rows of other types are
        left out with a warning.
    folder : path
        The folder, which is created if it does not exist.

    Raises
    ------
    InvalidInputError
        A column is missing, a row is invalid, or a name cannot be written. Nothing was written.

    Warns
    -----
    NucleusWarning
        Rows, or keys of metadata, are left out.

    See Also
    --------
    read_voc : Read such files.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> from tempfile import TemporaryDirectory
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_width": [640], "image_height": [480]})
    >>> boxes = pd.DataFrame({"reference_id": "a.jpg", "label": ["car"], "x": 1, "y": 2, "width": 3, "height": 4})
    >>> with TemporaryDirectory() as folder:
    ...     npd.to_voc(items, boxes.assign(metadata=[{"difficult": 1}]), folder)
    ...     npd.read_voc(folder).annotations[["label", "x", "width", "metadata"]]
      label    x  width          metadata
    0   car  1.0    3.0  {'difficult': 1}
    """
    image_items = check_items_to_write(items)
    boxes = check_boxes_to_write(annotations, image_items, "VOC")
    paths = paths_of(image_items, ".xml")
    _check_texts(image_items, boxes)
    left_out: set[str] = set()
    objects: list[list[dict[str, Any]]] = [[] for _ in paths]
    for at, image in enumerate(boxes.image):
        objects[image].append(_written_object(boxes, at, left_out))
    files = [
        document("annotation", _written_image(image_items, at, left_out) | ({"object": each} if each else {}))
        for at, each in enumerate(objects)
    ]
    if left_out:
        keys = ", ".join(map(repr, sorted(left_out)))
        warn(f"The metadata {keys} is left out, because VOC's XML cannot represent it.")
    for path, data in zip(paths, files, strict=True):
        file = Path(folder).expanduser() / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, data)
    Path(folder).expanduser().mkdir(parents=True, exist_ok=True)


def _check_texts(image_items: CheckedItems, boxes: CheckedBoxes) -> None:
    """Raise InvalidInputError for names that would not survive XML."""
    for named, rows, column, values in (
        (image_items.named, range(len(image_items.references)), "reference_id", image_items.references),
        (boxes.named, boxes.rows.tolist(), "label", boxes.labels),
    ):
        problems = Problems(named.index)
        for row, value in zip(rows, values, strict=True):
            if (reason := unwritable(value)) is not None:
                problems.add_one(row, column, f"{reason}. Clean it: .str.strip().")
        check_rows(problems, "items" if column == "reference_id" else "annotations")


def _written_image(image_items: CheckedItems, at: int, left_out: set[str]) -> dict[str, Any]:
    metadata = dict(image_items.metadata[at])
    size = metadata.pop("size", {})
    rest = _elements(metadata, ("filename", "object"), left_out)
    if isinstance(size, dict):
        size = _elements(size, ("width", "height"), left_out)
    else:
        left_out.add("size")
        size = {}
    width, height = image_items.sizes[at]
    sides = {name: pixels for name, pixels in (("width", width), ("height", height)) if pixels is not None}
    folder = {"folder": rest.pop("folder")} if "folder" in rest else {}
    attributes = {key: rest.pop(key) for key in list(rest) if key.startswith("@")}
    return {
        **attributes,
        **folder,
        "filename": image_items.references[at],
        **({"size": {**sides, **size}} if sides or size else {}),
        **rest,
    }


def _written_object(boxes: CheckedBoxes, at: int, left_out: set[str]) -> dict[str, Any]:
    rest = _elements(boxes.metadata[at], ("name", "bndbox", "confidence"), left_out)
    pairs = boxes.metadata[at].get("attributes")
    if isinstance(pairs, dict) and pairs and set(pairs) != {"attribute"}:
        written = {name: value for name, value in pairs.items() if unwritable(name) is None and _is_element(value)}
        left_out.update(f"attributes.{name}" for name in pairs if name not in written)
        rest["attributes"] = {"attribute": [{"name": name, "value": value} for name, value in written.items()]}
        left_out.discard("attributes")
    x, y, width, height = (Decimal(repr(side)) for side in boxes.sides[at].tolist())
    corners = (x, y, _EXACT.add(x, width), _EXACT.add(y, height))
    box = {name: _digits(corner) for name, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)}
    confidence = {}
    if boxes.confidence is not None and not math.isnan(boxes.confidence[at]):
        confidence["confidence"] = repr(float(boxes.confidence[at]))
    return {"name": boxes.labels[at], **rest, "bndbox": box, **confidence}


def _elements(metadata: Mapping[str, Any], ours: Sequence[str], left_out: set[str]) -> dict[str, Any]:
    """Return the metadata that XML can represent, and record the keys of the rest."""
    kept = {}
    for key, value in metadata.items():
        if value is None or value in ([], {}):
            continue
        if key not in ours and _is_element(value) and unwritable({key: value}) is None:
            kept[key] = value
        else:
            left_out.add(key)
    return kept


def _is_element(value: Any) -> bool:
    """Return True if a value survives a round trip: a string or number, a dict of such, or a list of these."""
    if isinstance(value, dict):
        return bool(value) and all(map(_is_element, value.values())) and set(value) != {"#text"}
    if isinstance(value, list):
        return len(value) > 1 and all(_is_element(part) and not isinstance(part, list) for part in value)
    return value is not None and unwritable(value) is None


def _digits(number: Decimal) -> str:
    """Format a number, in plain digits unless it is very large or small."""
    short = number.normalize(_EXACT) if number else Decimal(0)  # rather than -0
    return f"{short:f}" if -30 < short.adjusted() < 30 and len(short.as_tuple().digits) < 40 else str(short)
