"""What detectors return, as frames of predictions; none of their packages is imported.

Outputs are recognised by their attributes and keys. Tensors are moved to the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from nucleus_pandas._util.arrays import Floats
from nucleus_pandas._util.compat import TEXT
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema import PREDICTIONS, frame, type_name
from nucleus_pandas.schema.boxes import to_xywh

Shape: TypeAlias = Literal["box", "polygon", "keypoints", "category"]
"""The kind of annotation that each detected object becomes."""

ClassNames: TypeAlias = Mapping[Any, str] | Sequence[str]
"""Names of classes by their numbers: ``model.names``, ``model.config.id2label``, ``weights.meta["categories"]``."""

ReferenceIds: TypeAlias = str | Iterable[str] | None
"""The reference id of each image: one for a single output, else as many as there are outputs."""

OUTPUT_COLUMNS: dict[str, str] = {
    **{name: PREDICTIONS[name] for name in ("reference_id", "label", "type", "x", "y", "width", "height")},
    "confidence": "float64",
    "geometry": "O",
    "segmentation": "O",
    "track_reference_id": TEXT,
}
"""Columns of the frames of model outputs."""

_COCO_KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
_VISIBLE = 0.5  # confidence of a keypoint
_MASK = 0.5  # probability of a pixel, as torchvision's own examples use it


def from_ultralytics(
    results: Any,
    *,
    reference_ids: ReferenceIds | Callable[[str], str] = None,
    shape: Shape | None = None,
    keypoint_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the results of an Ultralytics model (YOLO, RT-DETR, SAM) as a frame of predictions.

    Parameters
    ----------
    results : ultralytics.engine.results.Results, or iterable of them
        What ``model(…)``, ``model.predict(…)`` or ``model.track(…)`` returns; with ``stream=True`` each result is
        released before the next is read.
    reference_ids : str, iterable of str, or callable, optional
        The reference id of each image, or a function of its path, such as ``lambda path: os.path.relpath(path,
        "images")`` for the ids of `read_images`. By default the name of the file.
    shape : {"box", "polygon", "keypoints", "category"}, optional
        What each object becomes. By default a box; a polygon for oriented boxes; a category for classifications, by
        their most probable class. ``"polygon"`` is the outline of the mask, ``"keypoints"`` the pose.
    keypoint_names : sequence of str, optional
        The names of the keypoints; by default those of COCO for 17 keypoints, otherwise their numbers.

    Returns
    -------
    pandas.DataFrame
        One row per object, as `ModelRun.predict` and `evaluate` accept it: ``reference_id``, ``label``, ``type`` and
        ``track_reference_id`` (text), ``x``, ``y``, ``width``, ``height`` (``float64``, pixels from the top-left
        corner), ``confidence`` (``float64``), ``geometry`` (dicts, for other shapes than boxes) and ``segmentation``
        (the outlines of masks as COCO has them, for ``evaluate(…, iou_type="segm")``). Dtypes are the same without
        objects.

    Raises
    ------
    InvalidInputError
        These are not such results; they lack what `shape` needs; or two images have the same reference id.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> boxes = SimpleNamespace(xyxy=np.array([[10, 20, 40, 80]]), conf=np.array([0.5]), cls=np.array([2.0]), id=None)
    >>> result = SimpleNamespace(path="images/a.jpg", names={2: "car"}, orig_shape=(480, 640), boxes=boxes)
    >>> from_ultralytics([result])[["reference_id", "label", "x", "width", "confidence"]].to_dict("records")
    [{'reference_id': 'a.jpg', 'label': 'car', 'x': 10.0, 'width': 30.0, 'confidence': 0.5}]
    """
    rows = _Rows()
    own_ids = None if callable(reference_ids) else reference_ids
    name_of = reference_ids if callable(reference_ids) else _file_name
    for result, given in _numbered(results, own_ids, _is_ultralytics, "from_ultralytics", "Results of Ultralytics"):
        rows.start(given if own_ids is not None else name_of(str(result.path)))
        kind = shape or _ultralytics_shape(result)
        if kind == "category":
            if getattr(result, "probs", None) is None:
                raise _lacks(rows, "classifications", kind)
            rows.add(
                [_name(result.names, int(result.probs.top1))],
                confidence=[float(_array(result.probs.top1conf))],
                kind=kind,
            )
            continue
        found = result.boxes if getattr(result, "boxes", None) is not None else getattr(result, "obb", None)
        if found is None:
            if getattr(result, "probs", None) is not None:
                raise _lacks(rows, "boxes", kind)
            continue
        common = {
            "confidence": _array(found.conf),
            "tracks": None if found.id is None else _array(found.id),
        }
        labels = _labels(_array(found.cls), result.names)
        masks = getattr(result, "masks", None)
        outlines = [None] * len(labels) if masks is None else [_array(outline) for outline in masks.xy]
        if kind == "box":
            segmentations = [None if each is None else _outline(each) for each in outlines]
            rows.add(labels, _array(found.xyxy), segmentations=segmentations, **common)
        elif kind == "polygon":
            if hasattr(found, "xyxyxyxy"):
                outlines = list(_array(found.xyxyxyxy).reshape(-1, 4, 2))
            elif masks is None and labels:
                raise _lacks(rows, "masks or oriented boxes", kind)
            rows.add(labels, kind=kind, geometries=[_polygon(each) for each in outlines], **common)
        else:
            keypoints = getattr(result, "keypoints", None)
            if keypoints is None and labels:
                raise _lacks(rows, "keypoints", kind)
            poses = [] if keypoints is None else _poses(keypoints, keypoint_names)
            rows.add(labels, kind=kind, geometries=poses[: len(labels)], **common)
    return rows.frame()


def from_supervision(
    detections: Any,
    reference_ids: ReferenceIds = None,
    *,
    names: ClassNames | None = None,
    shape: Literal["box", "polygon"] = "box",
) -> pd.DataFrame:
    """Return supervision's ``Detections`` as a frame of predictions.

    Parameters
    ----------
    detections : supervision.Detections, or iterable of them
        The detections in one image, or those in several.
    reference_ids : str or iterable of str, optional
        The reference id of each image, which detections do not have. Without it, ``reference_id`` is missing in the
        frame of a single image, to be filled by ``.assign(reference_id="a.jpg")``.
    names : dict or sequence of str, optional
        The names of the classes, where the detections have none in ``data["class_name"]``; by default the numbers.
    shape : {"box", "polygon"}
        What each object becomes. ``"polygon"`` is for oriented boxes.

    Returns
    -------
    pandas.DataFrame
        As for `from_ultralytics`. Masks are in ``segmentation``, as run-length encodings.

    Raises
    ------
    InvalidInputError
        These are not detections, or there are not as many reference ids.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> found = SimpleNamespace(xyxy=np.array([[10, 20, 40, 80]]), confidence=np.array([0.5]), class_id=np.array([0]),
    ...     tracker_id=None, mask=None, data={"class_name": np.array(["car"])})
    >>> from_supervision(found, "a.jpg")[["reference_id", "label", "x", "width"]].to_dict("records")
    [{'reference_id': 'a.jpg', 'label': 'car', 'x': 10.0, 'width': 30.0}]
    """
    rows = _Rows()
    kind = "Detections of supervision"
    for found, given in _numbered(detections, reference_ids, _is_supervision, "from_supervision", kind):
        rows.start(given)
        corners, data = _array(found.xyxy).reshape(-1, 4), getattr(found, "data", None) or {}
        labels: list[str | None] = [None] * len(corners)
        if "class_name" in data and names is None:
            labels = [str(name) for name in data["class_name"]]
        elif found.class_id is not None:
            labels = [*_labels(_array(found.class_id), names)]
        tracks, masks = found.tracker_id, found.mask
        common: dict[str, Any] = {
            "confidence": None if found.confidence is None else _array(found.confidence),
            "tracks": None if tracks is None else _array(tracks),
        }
        if shape == "polygon":
            oriented = data.get("xyxyxyxy")
            if oriented is None and len(corners):
                raise _lacks(rows, "oriented boxes (data['xyxyxyxy'])", shape)
            outlines = [] if oriented is None else list(_array(oriented).reshape(-1, 4, 2))
            rows.add(labels, kind=shape, geometries=[_polygon(each) for each in outlines], **common)
        else:
            segmentations = None if masks is None else [_runs(np.asarray(masks[at])) for at in range(len(corners))]
            rows.add(labels, corners, segmentations=segmentations, **common)
    return rows.frame()


def from_torchvision(
    outputs: Any,
    reference_ids: ReferenceIds = None,
    *,
    names: ClassNames | None = None,
    shape: Literal["box", "keypoints"] = "box",
    keypoint_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the outputs of torchvision's detection models as a frame of predictions.

    Parameters
    ----------
    outputs : dict, or iterable of dict
        What the model returns in evaluation mode: ``boxes`` (two corners in pixels), ``labels``, ``scores`` and, where
        the model has them, ``masks`` and ``keypoints``.
    reference_ids : str or iterable of str, optional
        The reference id of each image, as for `from_supervision`.
    names : dict or sequence of str, optional
        The names of the classes: ``weights.meta["categories"]``; by default the numbers.
    shape : {"box", "keypoints"}
        What each object becomes.
    keypoint_names : sequence of str, optional
        As for `from_ultralytics`.

    Returns
    -------
    pandas.DataFrame
        As for `from_ultralytics`. Masks (probability above 0.5) are in ``segmentation``, as run-length encodings.

    Raises
    ------
    InvalidInputError
        These are not such outputs, or there are not as many reference ids.

    Examples
    --------
    >>> output = {"boxes": np.array([[10, 20, 40, 80]]), "labels": np.array([1]), "scores": np.array([0.5])}
    >>> frame = from_torchvision([output], ["a.jpg"], names=["__background__", "person"])
    >>> frame[["reference_id", "label", "x", "width"]].to_dict("records")
    [{'reference_id': 'a.jpg', 'label': 'person', 'x': 10.0, 'width': 30.0}]
    """
    rows = _Rows()
    kind = "outputs of a torchvision model in evaluation mode (model.eval())"
    for output, given in _numbered(outputs, reference_ids, _is_torchvision, "from_torchvision", kind):
        rows.start(given)
        labels, scores = _labels(_array(output["labels"]), names), _array(output["scores"])
        if shape == "keypoints":
            if "keypoints" not in output:
                raise _lacks(rows, "keypoints", shape)
            points = _array(output["keypoints"])
            poses = [_pose(each[:, :2], each[:, 2] > 0, keypoint_names) for each in points]
            rows.add(labels, kind=shape, geometries=poses, confidence=scores)
            continue
        segmentations = None
        if "masks" in output:
            masks = _array(output["masks"])
            segmentations = [_runs(mask.reshape(mask.shape[-2:]) > _MASK) for mask in masks]
        rows.add(labels, _array(output["boxes"]), confidence=scores, segmentations=segmentations)
    return rows.frame()


def from_transformers(
    outputs: Any, reference_ids: ReferenceIds = None, *, names: ClassNames | None = None
) -> pd.DataFrame:
    """Return detections of Hugging Face's transformers as a frame of predictions.

    Parameters
    ----------
    outputs : list or dict
        What a pipeline for object detection or image segmentation returns, for one image or several; or what
        ``processor.post_process_object_detection(outputs, target_sizes=[(height, width)])`` returns, its siblings for
        grounded detection and for instance segmentation included.
    reference_ids : str or iterable of str, optional
        The reference id of each image, as for `from_supervision`. A list of one pipeline's objects is one image.
    names : dict or sequence of str, optional
        The names of the classes, ``model.config.id2label``, where labels are numbers; by default the numbers.

    Returns
    -------
    pandas.DataFrame
        As for `from_ultralytics`. Masks are in ``segmentation``, as run-length encodings, and their boxes in the
        columns of boxes.

    Raises
    ------
    InvalidInputError
        These are not such outputs, or boxes are fractions of the image because ``target_sizes`` was left out.

    Examples
    --------
    >>> objects = [{"score": 0.5, "label": "cat", "box": {"xmin": 10, "ymin": 20, "xmax": 40, "ymax": 80}}]
    >>> from_transformers(objects, "a.jpg")[["reference_id", "label", "x", "width"]].to_dict("records")
    [{'reference_id': 'a.jpg', 'label': 'cat', 'x': 10.0, 'width': 30.0}]
    """
    rows = _Rows()
    if _is_pipeline(outputs) and (outputs or isinstance(reference_ids, str | None)):
        outputs = [outputs]
        reference_ids = [reference_ids] if isinstance(reference_ids, str) else reference_ids
    kind = (
        "results of a pipeline or of processor.post_process_object_detection(outputs, target_sizes=[(height, width)])"
    )
    for output, given in _numbered(outputs, reference_ids, _is_transformers, "from_transformers", kind):
        rows.start(given)
        if isinstance(output, Mapping):
            _add_processed(rows, output, names)
        else:
            _add_pipeline(rows, output)
    return rows.frame()


class _Rows:
    """Rows of predictions, image by image."""

    def __init__(self) -> None:
        self.reference_id: str | None = None
        self._images: set[str] = set()
        self._columns: dict[str, list[Any]] = {name: [] for name in OUTPUT_COLUMNS}

    def start(self, reference_id: str | None) -> None:
        """Begin the next image."""
        if reference_id is not None and reference_id in self._images:
            raise InvalidInputError(
                f"Two outputs are of the image {reference_id!r}, and their rows could not be distinguished. Frames of "
                "a video have the path of the video, and files in several folders may share a name: pass "
                "reference_ids=, with one id per output.",
                argument="reference_ids",
            )
        self._images.add(reference_id or "")
        self.reference_id = reference_id

    def add(
        self,
        labels: Sequence[str | None],
        corners: Any = None,
        *,
        kind: Shape = "box",
        confidence: Any = None,
        tracks: Any = None,
        geometries: Sequence[Any] | None = None,
        segmentations: Sequence[Any] | None = None,
    ) -> None:
        """Add the objects of the image; corners are x1, y1, x2, y2 in pixels."""
        count = len(labels)
        sides = np.full((count, 4), np.nan)
        if corners is not None:
            sides = to_xywh(np.asarray(corners, dtype=np.float64).reshape(-1, 4), "xyxy")
        none = [None] * count
        values = {
            "reference_id": [self.reference_id] * count,
            "label": list(labels),
            "type": [kind] * count,
            **dict(zip(("x", "y", "width", "height"), sides.T.tolist(), strict=True)),
            "confidence": [np.nan] * count if confidence is None else np.asarray(confidence, np.float64).tolist(),
            "geometry": none if geometries is None else list(geometries),
            "segmentation": none if segmentations is None else list(segmentations),
            "track_reference_id": none if tracks is None else [_track(track) for track in np.asarray(tracks).tolist()],
        }
        for name, column in values.items():
            if len(column) != count:
                raise InvalidInputError(
                    f"The output of {self._image()} has {count} labels and {len(column)} values of {name}. Pass it as "
                    "the model returned it."
                )
            self._columns[name] += column

    def _image(self) -> str:
        return "the image" if self.reference_id is None else repr(self.reference_id)

    def frame(self) -> pd.DataFrame:
        """Return the rows of all images."""
        return frame(self._columns, OUTPUT_COLUMNS)


def _numbered(
    outputs: Any, reference_ids: ReferenceIds, is_one: Callable[[Any], bool], function: str, kind: str
) -> Iterator[tuple[Any, str | None]]:
    """Yield each output with its reference id, or None where the caller has given none."""
    is_single = is_one(outputs)
    if not is_single and (isinstance(outputs, (str, bytes, Mapping)) or not isinstance(outputs, Iterable)):
        raise _wrong(outputs, function, kind)
    several = isinstance(reference_ids, str) or reference_ids is None
    ids = [reference_ids] if isinstance(reference_ids, str) else None if reference_ids is None else list(reference_ids)
    count = 0
    for output in [outputs] if is_single else outputs:
        if not is_one(output):
            raise _wrong(output, function, kind)
        count += 1
        if ids is not None and count > len(ids):
            raise _wrong_count(f"more than {len(ids)}", ids)
        if ids is None and several and count > 1 and function != "from_ultralytics":
            raise InvalidInputError(
                "There are several outputs, which do not say what images they are of. Pass one id for each: "
                f"{function}(outputs, reference_ids=items['reference_id']).",
                argument="reference_ids",
            )
        yield output, None if ids is None else str(ids[count - 1])
    if ids is not None and count < len(ids):
        raise _wrong_count(str(count), ids)


def _wrong(value: object, function: str, kind: str) -> InvalidInputError:
    return InvalidInputError(f"{function} takes {kind}, one or several, not {type_name(value)}.")


def _wrong_count(count: str, ids: Sequence[str]) -> InvalidInputError:
    return InvalidInputError(
        f"There are {count} outputs and {len(ids)} reference ids. Pass one id per output.", argument="reference_ids"
    )


def _lacks(rows: _Rows, what: str, shape: str) -> InvalidInputError:
    image = "" if rows.reference_id is None else f" of {rows.reference_id!r}"
    return InvalidInputError(
        f"The output{image} has no {what}, which shape={shape!r} needs. Leave shape= out for what it has.",
        argument="shape",
    )


def _is_ultralytics(value: object) -> bool:
    return all(hasattr(value, name) for name in ("orig_shape", "names", "path"))


def _is_supervision(value: object) -> bool:
    return all(hasattr(value, name) for name in ("xyxy", "class_id", "confidence", "tracker_id"))


def _is_torchvision(value: object) -> bool:
    return isinstance(value, Mapping) and all(name in value for name in ("boxes", "labels", "scores"))


def _is_transformers(value: object) -> bool:
    if isinstance(value, Mapping):
        return _is_torchvision(value) or "segments_info" in value or {"boxes", "scores", "text_labels"} <= set(value)
    return _is_pipeline(value)


def _is_pipeline(value: object) -> bool:
    """Return True for the objects of one image: dicts with a label, and a box or a mask."""
    return isinstance(value, list) and all(
        isinstance(each, Mapping) and "label" in each and ("box" in each or "mask" in each) for each in value
    )


def _ultralytics_shape(result: Any) -> Shape:
    if getattr(result, "boxes", None) is None:
        if getattr(result, "obb", None) is not None:
            return "polygon"
        if getattr(result, "probs", None) is not None:
            return "category"
    return "box"


def _add_processed(rows: _Rows, output: Mapping[str, Any], names: ClassNames | None) -> None:
    if "segments_info" in output:
        segments = output["segments_info"]
        pixels = _array(output["segmentation"])
        if pixels.ndim != 2:
            raise InvalidInputError(
                "The segmentation is not a map of segments. Call post_process_instance_segmentation without "
                "return_coco_annotation and return_binary_maps."
            )
        masks = [pixels == segment["id"] for segment in segments]
        labels = _labels(np.array([segment["label_id"] for segment in segments], dtype=np.int64), names)
        scores = [_score(segment.get("score")) for segment in segments]
        corners = np.array([_corners(mask) for mask in masks], dtype=np.float64).reshape(-1, 4)
        rows.add(labels, corners, confidence=scores, segmentations=list(map(_runs, masks)))
        return
    corners = _array(output["boxes"]).reshape(-1, 4).astype(np.float64)
    if len(corners) and np.abs(corners).max() <= 1.5:  # a little over 1 where a box reaches beyond the image
        raise InvalidInputError(
            "The boxes are fractions of their image. Pass its size in pixels to the processor: "
            "post_process_object_detection(outputs, target_sizes=[(height, width)])."
        )
    found = output.get("text_labels") if output.get("text_labels") is not None else output["labels"]
    labels = [str(label) for label in found or ()] if _are_texts(found) else _labels(_array(found), names)
    rows.add(labels, corners, confidence=_array(output["scores"]))


def _add_pipeline(rows: _Rows, objects: Sequence[Mapping[str, Any]]) -> None:
    masks = [None if each.get("mask") is None else np.asarray(each["mask"]) > 0 for each in objects]
    corners = np.full((len(objects), 4), np.nan)
    for at, (each, mask) in enumerate(zip(objects, masks, strict=True)):
        box = each.get("box")
        corners[at] = _corners(mask) if box is None else [box[side] for side in ("xmin", "ymin", "xmax", "ymax")]
    rows.add(
        [str(each["label"]) for each in objects],
        corners,
        confidence=[_score(each.get("score")) for each in objects],
        segmentations=[None if mask is None else _runs(mask) for mask in masks],
    )


def _are_texts(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and all(isinstance(value, str) for value in values)


def _score(value: Any) -> float:
    return np.nan if value is None else float(value)


def _array(value: Any) -> Any:
    """Return a tensor or an array-like as an array; half precision of either kind as single."""
    for move in ("detach", "cpu"):
        if hasattr(value, move):
            value = getattr(value, move)()
    if "float16" in str(getattr(value, "dtype", "")) and hasattr(value, "float"):
        value = value.float()  # NumPy has no bfloat16
    return np.asarray(value)


def _labels(classes: Any, names: ClassNames | None) -> list[str]:
    return [_name(names, int(number)) for number in classes.tolist()]


def _name(names: ClassNames | None, number: int) -> str:
    """Return the name of a class; the keys of a mapping that was read from JSON are strings."""
    if names is None:
        return str(number)
    if isinstance(names, Mapping):
        name = names.get(number, names.get(str(number)))
    else:
        name = names[number] if 0 <= number < len(names) else None
    if name is None:
        raise InvalidInputError(
            f"Class {number} has no name among the {len(names)} in names=. Pass those of the model that returned it: "
            "model.names, model.config.id2label or weights.meta['categories'].",
            argument="names",
        )
    return str(name)


def _track(track: Any) -> str | None:
    if track is None or track != track:
        return None
    return str(int(track)) if isinstance(track, (int, float)) else str(track)


def _file_name(path: str) -> str:
    return PurePath(re.sub(r"[?#].*", "", path) if "://" in path else path.replace("\\", "/")).name


def _points(outline: Floats) -> list[dict[str, float]]:
    return [{"x": float(x), "y": float(y)} for x, y in outline]


def _polygon(outline: Floats | None) -> dict[str, Any]:
    return {"vertices": [] if outline is None else _points(outline)}


def _outline(outline: Floats) -> list[list[float]] | None:
    """Return an outline as COCO has polygons; None where the mask was empty."""
    return [np.asarray(outline, dtype=np.float64).ravel().tolist()] if len(outline) >= 3 else None


def _poses(keypoints: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    places = _array(keypoints.xy)
    confidences = getattr(keypoints, "conf", None)
    visible = (places != 0).any(axis=-1) if confidences is None else _array(confidences) >= _VISIBLE
    return [_pose(place, seen, names) for place, seen in zip(places, visible, strict=True)]


def _pose(places: Floats, visible: Any, names: Sequence[str] | None) -> dict[str, Any]:
    count = len(places)
    if names is None:
        names = _COCO_KEYPOINTS if count == len(_COCO_KEYPOINTS) else [str(number) for number in range(count)]
    if len(names) != count:
        raise InvalidInputError(
            f"There are {count} keypoints and {len(names)} names in keypoint_names=.", argument="keypoint_names"
        )
    points = [{**point, "visible": bool(seen)} for point, seen in zip(_points(places), visible, strict=True)]
    return {"keypoints": points, "names": list(names)}


def _corners(mask: Any) -> tuple[float, float, float, float]:
    """Return the corners of the box around a mask; NaN for one without pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.nan, np.nan, np.nan, np.nan
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _runs(mask: Any) -> dict[str, Any]:
    """Return a mask of shape (height, width) as COCO's run-length encoding, uncompressed: column by column."""
    pixels = np.asarray(mask).astype(bool).T.ravel()
    changes = np.flatnonzero(np.diff(pixels)) + 1
    edges = np.concatenate([[0], changes, [len(pixels)]])
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if len(pixels) and pixels[0] else counts}
