"""YOLO: one text file per image, one line per box in fractions of the image, and a file of class names."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import yaml

from nucleus_pandas._util.arrays import Floats
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io.files import Faults, files_below, read_text, stem_of, write
from nucleus_pandas.io.frame_rows import (
    CheckedBoxes,
    CheckedItems,
    check_boxes_to_write,
    check_items_to_write,
    check_rows,
    paths_of,
)
from nucleus_pandas.io.frames import Frames, boxes_frame, items_frame
from nucleus_pandas.io.image_folder import ImageFolder, folder_of, size_of
from nucleus_pandas.schema import FrameLike, Problems
from nucleus_pandas.schema.checked_rows import shown

ClassNames: TypeAlias = str | os.PathLike[str] | Sequence[str] | Mapping[int, str]
"""The path of a names file, or the names in the order of their numbers, or by their numbers."""

HEAD = "yolo"
"""The key in `attrs` of the items for the names of all classes."""

_NOT_LABELS = frozenset(("classes", "train", "val", "valid", "test"))
"""Text files among the labels that are not labels."""

_NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "obj.names")
_GIVE_NAMES = "Give the names in their order: names=['person', 'cat', …], or the path of a file with one name per line."

_SLACK = 0.01  # of the image: tools round beyond its edge

_LABEL_FOLDERS = ("labels", "obj_train_data")  # of Ultralytics and of Darknet


@dataclass
class _Labels:
    """The lines of all label files."""

    image: list[int] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    fractions: list[tuple[float, float, float, float]] = field(default_factory=list)  # centre and size
    confidence: list[float] = field(default_factory=list)
    polygon: list[list[float] | None] = field(default_factory=list)


def read_yolo(
    labels: str | os.PathLike[str],
    *,
    names: ClassNames | None = None,
    images: str | os.PathLike[str] | None = None,
    sizes: FrameLike | None = None,
    allow_outside: bool = False,
) -> Frames:
    """Read YOLO's label files.

    A line is ``class centre_x centre_y width height``, optionally with a confidence. All but the class are
    fractions of the width and height of the image, so sizes are needed. An empty file, and an image without a file,
    are images without boxes. A line of a class and three or more points is a polygon: it becomes its bounding box, and
    is kept in the column ``segmentation`` and in the metadata in pixels, as `read_coco` keeps polygons. Poses cannot
    be distinguished from polygons and must not be among the files.

    Parameters
    ----------
    labels : path
        The folder of the files, including subfolders; or its parent, if it is named ``labels`` (Ultralytics) or
        ``obj_train_data`` (Darknet).
    names : path, list of str or dict, optional
        The names of the classes: a file with one name per line (``classes.txt``, ``obj.names``), a ``data.yaml`` with
        ``names``, or the names themselves. By default the only such file in `labels` or up to two folders above.
    images : path, optional
        The folder of the images, with the same subfolders. Sizes are read from their headers, as `read_images`
        does.
    sizes : pandas.DataFrame or table that exports Arrow, optional
        Images with ``reference_id``, ``image_width`` and ``image_height`` (pixels), such as items of another
        format or of a dataset. With `images`, the headers of these images are not read.
    allow_outside : bool
        Whether `images` may contain links to files elsewhere. Such files would be uploaded, so that is an error by
        default.

    Returns
    -------
    Frames
        The images of `images`, sorted by name, else those of `sizes` in their order; and their boxes, in the order
        of the images and lines. ``reference_id`` is the name of the image with its extension and its
        folders below `images`, as in ``train/a.jpg``. There is a column ``confidence`` if a line has one.

    Raises
    ------
    InvalidInputError
        A line is invalid, a file has no image, an image no size, or a class no name; the message names files and
        lines. Or the folder contains no label file.
    OSError
        A file cannot be opened.

    See Also
    --------
    to_yolo : Write such files.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> sizes = pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "image_width": 640, "image_height": 480})
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_text("1 0.5 0.5 0.25 0.5")
    ...     items, boxes = npd.read_yolo(folder, names=["person", "car"], sizes=sizes)
    >>> boxes[["reference_id", "label", "x", "y", "width", "height"]]
      reference_id label      x      y  width  height
    0        a.jpg   car  240.0  120.0  160.0   240.0
    """
    folder = folder_of(labels, "labels")
    folder = next((folder / name for name in _LABEL_FOLDERS if (folder / name).is_dir()), folder)
    if images is None and sizes is None:
        raise InvalidInputError(
            "read_yolo needs the sizes of the images, since boxes are fractions of them. Pass the folder of the "
            "images, images='images', or a frame with reference_id, image_width and image_height, sizes=items.",
            argument="images",
        )
    class_names = _read_names(_find_names(folder)) if names is None else _names_from(names)
    faults = Faults(str(folder))
    given: dict[str, tuple[tuple[int | None, int | None], str | None, dict[str, Any]]] = {}
    if sizes is not None:
        checked = check_items_to_write(sizes)
        columns = zip(checked.sizes, checked.urls, checked.metadata, strict=True)
        given = dict(zip(checked.references, columns, strict=True))
    files = {} if images is None else ImageFolder(folder_of(images, "images"), allow_outside).images(faults)
    image_names = list(given if images is None else files)
    lines = _read_files(_label_files(folder, image_names, faults), class_names, faults)
    box_sizes = np.ones((len(image_names), 2))
    with_boxes = set(lines.image)
    rows = []
    for at, name in enumerate(image_names):
        size, url, metadata = given.get(name, ((None, None), None, {}))
        if None in size and name in files:
            size = size_of(files[name], faults) or size
        if None not in size:
            box_sizes[at] = size
        elif at in with_boxes and name not in files:
            faults.add(name, "has no size: its image_width or image_height is missing in sizes=. Fill them.")
        rows.append((str(files[name]) if name in files else url, size, metadata))
    faults.check()
    urls, image_sizes, metadata_of_images = zip(*rows, strict=True) if rows else ((), (), ())
    items = items_frame(image_names, urls, image_sizes, metadata_of_images)
    items.attrs[HEAD] = {"names": [class_names.get(number, "") for number in range(max(class_names, default=-1) + 1)]}
    return Frames(items, _boxes(lines, image_names, box_sizes))


def _names_from(source: ClassNames) -> dict[int, str]:
    """Return the names of classes by their numbers."""
    if isinstance(source, (str, os.PathLike)):
        return _read_names(Path(source).expanduser())
    pairs = list(source.items() if isinstance(source, Mapping) else enumerate(source))
    for number, name in pairs:
        if not isinstance(name, str) or not name or isinstance(number, bool) or not isinstance(number, int):
            raise InvalidInputError(
                f"names= has {name!r} for class {number!r}; names are strings, by whole numbers.", argument="names"
            )
    return dict(pairs)


def _find_names(labels: Path) -> Path:
    """Find the names file that belongs to a folder of labels: in it, or up to two folders above."""
    for folder in (labels, *labels.resolve().parents[:2]):
        candidates = [folder / name for name in _NAMES_FILES if (folder / name).is_file()]
        candidates += [path for path in sorted(folder.glob("*.names")) if path not in candidates]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            listed = ", ".join(path.name for path in candidates)
            raise InvalidInputError(
                f"{folder} holds several files of names ({listed}). Name the right one by names=.", argument="names"
            )
    raise InvalidInputError(
        f"{labels}: the labels are numbers, and no file of names ({', '.join(_NAMES_FILES)}) is in it or above it. "
        f"{_GIVE_NAMES}",
        argument="names",
    )


def _read_names(path: Path) -> dict[int, str]:
    """Read a names file: one name per line, or the ``names`` of a data.yaml."""
    text = read_text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return yaml_names(text, str(path))
    lines = [line.strip() for line in text.split("\n")]
    return {number: line for number, line in enumerate(lines) if line}


def yaml_names(text: str, source: str) -> dict[int, str]:
    r"""Read the ``names`` of a data.yaml, a list or a mapping.

    The nodes of the document are read, not its values: a name is the string that is written, also where YAML has
    another meaning for it (``no``, ``7``), and errors name the line.

    Raises
    ------
    InvalidInputError
        This is not YAML, or it has no names of classes.

    Examples
    --------
    >>> yaml_names("nc: 2\nnames:\n  0: person  # a comment\n  1: no\n", "data.yaml")
    {0: 'person', 1: 'no'}
    """
    faults = Faults(source)
    try:
        document = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        place = "" if mark is None else f"line {mark.line + 1}"
        raise faults.error(place, f"cannot be read as YAML: {reason}. {_GIVE_NAMES}") from None
    entries = document.value if isinstance(document, yaml.MappingNode) else []
    keys = {key.value: value for key, value in entries if isinstance(key, yaml.ScalarNode)}
    if "kpt_shape" in keys:
        raise faults.error("kpt_shape", "is set: these are labels of poses, and read_yolo reads boxes and polygons.")
    node = keys.get("names")
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(number), value) for number, value in enumerate(node.value)]
    else:
        reason = "there is no 'names:' in it" if node is None else "names: is neither a list nor a mapping"
        raise faults.error("", f"{reason}. {_GIVE_NAMES}")
    names: dict[int, str] = {}
    for key, value in pairs:
        place = f"line {value.start_mark.line + 1}"
        if not (isinstance(key, str) and re.fullmatch("[0-9]{1,6}", key)):
            faults.add(place, "has a key that is not the number of a class.")
        elif int(key) in names:
            faults.add(place, f"names class {int(key)} a second time.")
        elif not isinstance(value, yaml.ScalarNode) or not value.value:
            faults.add(place, f"has no name for class {int(key)}: a name is a string.")
        else:
            names[int(key)] = value.value
    faults.check()
    return names


def _label_files(folder: Path, image_names: list[str], faults: Faults) -> dict[int, Path]:
    """Return the label file of each image by the image's position."""
    by_stem: dict[str, list[int]] = {}
    for at, name in enumerate(image_names):
        for stem in {name, stem_of(name)}:
            by_stem.setdefault(stem, []).append(at)
    files: dict[int, Path] = {}
    texts = files_below(folder, (".txt",))
    if image_names and not texts:
        raise InvalidInputError(f"{folder} contains no .txt file, of which YOLO has one per image.")
    for name, path in texts.items():
        owners = by_stem.get(name.removesuffix(".txt"), [])
        if len(owners) == 1:
            files[owners[0]] = path
        elif owners:
            several = ", ".join(shown(image_names[at]) for at in owners)
            faults.add(name, f"may belong to {several}. Rename all but one, and their files.")
        elif name.removesuffix(".txt") not in _NOT_LABELS:
            example = f", but {shown(image_names[0])}" if image_names else ""
            faults.add(name, f"has no image: no image has that name{example}. Add it, or remove the file.")
    return {at: files[at] for at in sorted(files)}


def _read_files(files: Mapping[int, Path], names: Mapping[int, str], faults: Faults) -> _Labels:
    lines = _Labels()
    for at, path in files.items():
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            parts = line.split()
            if parts:
                try:
                    _read_line(parts, names, lines)
                    lines.image.append(at)
                except ValueError as error:
                    faults.add(f"{path.relative_to(faults.source).as_posix()}:{number}", str(error))
    return lines


def _read_line(parts: list[str], names: Mapping[int, str], lines: _Labels) -> None:
    """Add a line to the labels, or raise ValueError and leave them unchanged."""
    try:
        values = list(map(float, parts))
    except ValueError:
        raise ValueError(f"is {shown(' '.join(parts))}; a line holds numbers, separated by spaces.") from None
    if not all(map(math.isfinite, values)):
        raise ValueError("holds a number that is not finite. Correct it, or remove the line.")
    polygon = None
    if len(values) in (5, 6):
        places, confidence = values[1:5], values[5] if len(values) == 6 else math.nan
    elif len(values) >= 7 and len(values) % 2:
        places, confidence = values[1:], math.nan
        polygon = places
    else:
        raise ValueError(
            f"holds {len(values)} numbers; a box has 5, or 6 with its confidence, a polygon 7, 9, 11 or more."
        )
    if values[0] < 0 or not values[0].is_integer():
        raise ValueError(f"begins with {parts[0]}; the class is a whole number, 0 or more.")
    label = names.get(int(values[0]))
    if label is None:
        known = f"there are {len(names)}, {min(names)} to {max(names)}" if names else "there are none"
        raise ValueError(f"is of class {int(values[0])}, which has no name; {known}. Is it the right names file?")
    if min(places) < -_SLACK or max(places) > 1 + _SLACK:
        worst = max(places, key=lambda place: abs(place - 0.5))
        raise ValueError(f"holds {worst:g}; places are fractions of the image, from 0 to 1. Divide pixels by its size.")
    if confidence < 0 or confidence > 1:
        raise ValueError(f"ends with {confidence:g}; a confidence lies in [0, 1]. Divide percentages by 100.")
    if polygon is not None:
        x, y = polygon[0::2], polygon[1::2]
        width, height = max(x) - min(x), max(y) - min(y)
        places = [min(x) + width / 2, min(y) + height / 2, width, height]
    elif places[2] < 0 or places[3] < 0:
        raise ValueError("has a negative width or height. Correct it, or remove the line.")
    lines.label.append(label)
    lines.fractions.append((places[0], places[1], places[2], places[3]))
    lines.confidence.append(confidence)
    lines.polygon.append(polygon)


def _boxes(lines: _Labels, image_names: list[str], sizes: Floats) -> pd.DataFrame:
    count = len(lines.label)
    scale = sizes[lines.image] if count else np.zeros((0, 2))
    fractions = np.array(lines.fractions).reshape(count, 4)
    boxes = np.hstack([(fractions[:, :2] - fractions[:, 2:] / 2) * scale, fractions[:, 2:] * scale])
    segmentations: list[Any] = [None] * count
    for at, polygon in enumerate(lines.polygon):
        if polygon is not None:
            points = np.array(polygon).reshape(-1, 2) * scale[at]
            low, high = points.min(axis=0), points.max(axis=0)
            boxes[at] = *low, *(high - low)
            segmentations[at] = [points.ravel().tolist()]
    others: list[tuple[str, str, Any]] = []
    if not all(map(math.isnan, lines.confidence)):
        others.append(("confidence", "float64", np.array(lines.confidence)))
    if any(polygon is not None for polygon in lines.polygon):
        others.append(("segmentation", "O", segmentations))
    metadata: list[dict[str, Any]] = [{} if each is None else {"segmentation": each} for each in segmentations]
    references = [image_names[at] for at in lines.image]
    return boxes_frame(references, [None] * count, lines.label, boxes, metadata, others)


def to_yolo(
    items: FrameLike,
    annotations: FrameLike,
    folder: str | os.PathLike[str],
    *,
    names: ClassNames | None = None,
) -> None:
    r"""Write frames as YOLO's label files.

    For each image ``labels/<reference_id without extension>.txt``, empty where it has no boxes, and ``data.yaml``
    with the names of the classes. The images are not copied: put them into ``images`` beside ``labels``, where
    data.yaml expects them. Files of the same names are replaced, others are kept.

    Places are written with six decimals, so boxes are exact to half a millionth of the image's sides; a confidence is
    written in full. Sizes, URLs, ids and metadata, including polygons, are lost.

    Parameters
    ----------
    items : pandas.DataFrame, or a table that exports Arrow
        Images with ``reference_id``, ``image_width`` and ``image_height`` (pixels).
    annotations : pandas.DataFrame, or a table that exports Arrow
        Boxes on them, in the form that `Dataset.annotate` takes. Rows of other types are left out with a warning.
    folder : path
        The folder, which is created if it does not exist.
    names : path, list of str or dict, optional
        The names of the classes in the order of their numbers, or a file of them, see `read_yolo`; any other label is
        an error. By default the names that `read_yolo` read, followed by the other labels, sorted.

    Raises
    ------
    InvalidInputError
        A column is missing, a row is invalid, an image has boxes and no size, a box lies outside of its image, or two
        images would share a file. Nothing was written.

    Warns
    -----
    NucleusWarning
        Rows are left out because they are not boxes.

    See Also
    --------
    read_yolo : Read such files.

    Examples
    --------
    >>> import pandas as pd
    >>> import nucleus_pandas as npd
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_width": [640], "image_height": [480]})
    >>> boxes = pd.DataFrame({"reference_id": "a.jpg", "label": ["car"], "x": 1, "y": 2, "width": 3, "height": 4})
    >>> with TemporaryDirectory() as folder:
    ...     npd.to_yolo(items, boxes, folder)
    ...     Path(folder, "labels", "a.txt").read_text()
    '0 0.003906 0.008333 0.004687 0.008333\n'
    """
    image_names = check_items_to_write(items)
    boxes = check_boxes_to_write(annotations, image_names, "YOLO")
    paths = paths_of(image_names, ".txt")
    numbers, written_names = _classes(boxes, image_names, names)
    fractions = _fractions(boxes, image_names)
    lines: list[list[str]] = [[] for _ in paths]
    for at, image in enumerate(boxes.image):
        line = [str(numbers[at]), *(f"{place:.6f}" for place in fractions[at].tolist())]
        if boxes.confidence is not None and not math.isnan(boxes.confidence[at]):
            line.append(repr(float(boxes.confidence[at])))
        lines[image].append(" ".join(line) + "\n")
    place = Path(folder).expanduser()
    (place / "labels").mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, lines, strict=True):
        file = place / "labels" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, "".join(text).encode())
    data = {"train": "images", "val": "images", "names": dict(enumerate(written_names))}
    data_yaml = yaml.dump(data, Dumper=_DataYaml, allow_unicode=True, sort_keys=False, width=math.inf)
    write(place / "data.yaml", data_yaml.encode())


class _DataYaml(yaml.SafeDumper):
    """Writes strings so that they are read back as they are."""


def _represent_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # in quotes with escapes, since YAML folds line breaks, of which it knows more than \n, to spaces
    style = None if value.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_DataYaml.add_representer(str, _represent_string)


def _classes(boxes: CheckedBoxes, items: CheckedItems, names: ClassNames | None) -> tuple[list[int], list[str]]:
    """Return the class of each box, and all names in their order."""
    if names is None:
        head = items.named.frame.attrs.get(HEAD)
        known = list(head["names"]) if isinstance(head, Mapping) and "names" in head else []
        known += sorted(set(boxes.labels) - set(known))
    else:
        by_number = _names_from(names)
        known = [by_number.get(number, "") for number in range(max(by_number, default=-1) + 1)]
    number_of: dict[str, int] = {}
    for number, name in enumerate(known):
        if name:
            number_of.setdefault(name, number)
    problems = Problems(boxes.named.index)
    for row, label in zip(boxes.rows.tolist(), boxes.labels, strict=True):
        if label not in number_of:
            problems.add_one(
                row, "label", f"is {shown(label)}, which is not among names=. Add it, or leave names= out."
            )
    check_rows(problems, "annotations")
    return [number_of[label] for label in boxes.labels], [name or f"class {at}" for at, name in enumerate(known)]


def _fractions(boxes: CheckedBoxes, image_names: CheckedItems) -> Floats:
    """Return the centre and the size of each box as fractions of its image."""
    unsized = Problems(image_names.named.index)
    for image in sorted(set(boxes.image)):
        for name, pixels in zip(("width", "height"), image_names.sizes[image], strict=True):
            if pixels is None:
                unsized.add_one(image, f"image_{name}", "is missing, but places in YOLO are fractions of it. Fill it.")
    check_rows(unsized, "items")
    sizes = np.array([image_names.sizes[image] for image in boxes.image], dtype=np.float64).reshape(-1, 2)
    fractions = np.hstack([(boxes.sides[:, :2] + boxes.sides[:, 2:] / 2) / sizes, boxes.sides[:, 2:] / sizes])
    problems = Problems(boxes.named.index)
    slack = 5e-7  # below six decimals
    for column, what in enumerate(("x", "y", "width", "height")):
        wrong = ~((fractions[:, column] >= -slack) & (fractions[:, column] <= 1 + slack))
        for at in np.flatnonzero(wrong).tolist():
            pixels = int(sizes[at, column % 2])
            fault = "puts the centre of the box outside of" if column < 2 else "is larger than"
            reason = f"{fault} the image, which has {pixels} pixels there; YOLO has no such boxes. Clip the box."
            problems.add_one(int(boxes.rows[at]), what, reason)
    check_rows(problems, "annotations")
    return np.clip(fractions, 0.0, 1.0) + 0.0  # -0 is 0
