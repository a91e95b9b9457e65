"""Outputs of detectors as frames, by the attributes that their packages have."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nucleus_pandas as npd

SIDES = ["x", "y", "width", "height"]
CORNERS = [[10.0, 20.0, 40.0, 80.0], [0.0, 1.0, 5.0, 9.0]]
SIZES = [[10.0, 20.0, 30.0, 60.0], [0.0, 1.0, 5.0, 8.0]]
NAMES = {0: "person", 2: "car"}
POSE = [[float(number), 2.0 * number] for number in range(17)]


class Tensor:
    """What of a tensor matters here: it is on another device, needs gradients, and NumPy may not know its dtype."""

    def __init__(self, values: Any, dtype: str = "torch.float32", *, state: str = "cuda") -> None:
        self._values, self.dtype, self._state = np.asarray(values), dtype, state

    def detach(self) -> Tensor:
        return Tensor(self._values, self.dtype, state="detached")

    def cpu(self) -> Tensor:
        return Tensor(self._values, self.dtype, state="cpu" if self._state == "detached" else self._state)

    def float(self) -> Tensor:
        return Tensor(self._values, state=self._state)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self._state != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy, or one that requires grad")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._values.astype(dtype or self._values.dtype)


def boxes(frame: pd.DataFrame) -> list[list[float]]:
    found: list[list[float]] = frame[SIDES].to_numpy().tolist()
    return found


# Ultralytics


def result(path: str = "images/a.jpg", **parts: Any) -> SimpleNamespace:
    """A `Results` object of Ultralytics."""
    own = {"boxes": None, "masks": None, "probs": None, "keypoints": None, "obb": None, **parts}
    return SimpleNamespace(path=path, names=NAMES, orig_shape=(100, 200), orig_img=None, **own)


def found(corners: Any = CORNERS, classes: Any = (2, 0), tracks: Any = None, **more: Any) -> SimpleNamespace:
    """A `Boxes` object of Ultralytics."""
    return SimpleNamespace(
        xyxy=Tensor(np.reshape(corners, (-1, 4))),
        conf=Tensor(np.linspace(0.9, 0.8, len(classes)), "torch.bfloat16"),
        cls=Tensor(np.array(classes, dtype="float32")),
        id=None if tracks is None else Tensor(tracks),
        is_track=tracks is not None,
        **more,
    )


def test_results_of_ultralytics_are_predictions() -> None:
    frame = npd.from_ultralytics([result(boxes=found(tracks=[7.0, 8.0])), result("b.jpg", boxes=found([], ()))])
    assert frame["reference_id"].tolist() == ["a.jpg", "a.jpg"]
    assert frame["label"].tolist() == ["car", "person"]
    assert frame["type"].tolist() == ["box", "box"]
    assert boxes(frame) == SIZES
    assert frame["confidence"].tolist() == pytest.approx([0.9, 0.8])
    assert frame["track_reference_id"].tolist() == ["7", "8"]
    assert frame.index.equals(pd.RangeIndex(2))


def test_results_without_objects_have_the_same_dtypes() -> None:
    some, none = npd.from_ultralytics(result(boxes=found())), npd.from_ultralytics([result(boxes=found([], ()))])
    assert len(none) == 0
    assert none.dtypes.equals(some.dtypes)
    assert npd.from_ultralytics([]).dtypes.equals(some.dtypes)
    assert npd.from_torchvision([]).dtypes.equals(some.dtypes)


def test_results_of_a_stream_are_read_one_by_one() -> None:
    alive = []

    def stream() -> Iterator[SimpleNamespace]:
        for number in range(3):
            alive.append(number)
            yield result(f"{number}.jpg", boxes=found())

    assert npd.from_ultralytics(stream())["reference_id"].nunique() == 3
    assert alive == [0, 1, 2]


def test_reference_ids_of_results() -> None:
    pair = [result("images/day/a.jpg", boxes=found()), result("images/night/a.jpg", boxes=found())]
    with pytest.raises(npd.InvalidInputError, match="Two outputs are of the image 'a.jpg'"):
        npd.from_ultralytics(pair)
    by_path = npd.from_ultralytics(pair, reference_ids=lambda path: path.removeprefix("images/"))
    assert by_path["reference_id"].unique().tolist() == ["day/a.jpg", "night/a.jpg"]
    by_list = npd.from_ultralytics(pair, reference_ids=pd.Series(["one", "two"]))
    assert by_list["reference_id"].unique().tolist() == ["one", "two"]
    assert npd.from_ultralytics(pair[0], reference_ids="one")["reference_id"].unique().tolist() == ["one"]
    for wrong, said in ((["one"], "There are more than 1 outputs and 1 reference ids"), (list("abc"), "There are 2 ")):
        with pytest.raises(npd.InvalidInputError, match=said):
            npd.from_ultralytics(pair, reference_ids=wrong)
    windows = npd.from_ultralytics(result("C:\\images\\a.jpg", boxes=found()))
    assert windows["reference_id"].unique().tolist() == ["a.jpg"]


def test_masks_of_ultralytics_are_outlines() -> None:
    outlines = [np.array([[1, 2], [30, 4], [5, 20]], dtype="float32"), np.zeros((0, 2), dtype="float32")]
    segmented = result(boxes=found(), masks=SimpleNamespace(xy=outlines))
    assert npd.from_ultralytics(segmented)["segmentation"].tolist() == [[[1.0, 2.0, 30.0, 4.0, 5.0, 20.0]], None]
    polygons = npd.from_ultralytics(
        result(boxes=found(CORNERS[:1], (2,)), masks=SimpleNamespace(xy=outlines[:1])), shape="polygon"
    )
    assert polygons["type"].tolist() == ["polygon"]
    assert polygons["geometry"][0]["vertices"][1] == {"x": 30.0, "y": 4.0}
    with pytest.raises(npd.InvalidInputError, match="'a.jpg' has no masks or oriented boxes, which shape='polygon'"):
        npd.from_ultralytics(result(boxes=found()), shape="polygon")


def test_oriented_boxes_are_polygons_and_may_be_boxes() -> None:
    corners = np.array([[[0, 0], [4, 1], [3, 5], [-1, 4]]], dtype="float32")
    oriented = result(obb=found([[-1, 0, 4, 5]], (0,), xyxyxyxy=Tensor(corners)))
    frame = npd.from_ultralytics(oriented)
    assert frame["type"].tolist() == ["polygon"]
    assert frame["geometry"][0]["vertices"][3] == {"x": -1.0, "y": 4.0}
    assert boxes(npd.from_ultralytics(oriented, shape="box")) == [[-1.0, 0.0, 5.0, 5.0]]


def test_poses_are_keypoints() -> None:
    points = SimpleNamespace(xy=Tensor([POSE]), conf=Tensor([[0.9] * 16 + [0.1]]))
    pose = result(boxes=found(CORNERS[:1], (0,)), keypoints=points)
    frame = npd.from_ultralytics(pose, shape="keypoints")
    (geometry,) = frame["geometry"]
    assert (geometry["names"][0], geometry["names"][16]) == ("nose", "right_ankle")
    assert geometry["keypoints"][1] == {"x": 1.0, "y": 2.0, "visible": True}
    assert geometry["keypoints"][16]["visible"] is False
    without = result(boxes=found(CORNERS[:1], (0,)), keypoints=SimpleNamespace(xy=Tensor([POSE]), conf=None))
    first, second = npd.from_ultralytics(without, shape="keypoints")["geometry"][0]["keypoints"][:2]
    assert (first["visible"], second["visible"]) == (False, True)  # (0, 0) is what was not found
    with pytest.raises(npd.InvalidInputError, match="There are 17 keypoints and 2 names"):
        npd.from_ultralytics(pose, shape="keypoints", keypoint_names=["a", "b"])
    assert len(npd.from_ultralytics(pose)) == 1  # a box


def test_classifications_are_categories() -> None:
    frame = npd.from_ultralytics(result(probs=SimpleNamespace(top1=2, top1conf=Tensor(0.75, state="cpu"))))
    assert frame[["label", "type", "confidence"]].to_numpy().tolist() == [["car", "category", 0.75]]
    with pytest.raises(npd.InvalidInputError, match="'a.jpg' has no boxes, which shape='box' needs"):
        npd.from_ultralytics(result(probs=SimpleNamespace(top1=2, top1conf=0.75)), shape="box")


# supervision


def detections(**more: Any) -> SimpleNamespace:
    """`Detections` of supervision."""
    own: dict[str, Any] = {
        "xyxy": np.array(CORNERS, dtype="float32"),
        "mask": None,
        "confidence": np.array([0.5, 0.25]),
        "class_id": np.array([2, 0]),
        "tracker_id": None,
        "data": {},
        "metadata": {},
    }
    return SimpleNamespace(**{**own, **more})


def test_detections_are_predictions() -> None:
    frame = npd.from_supervision(detections(), "a.jpg", names=NAMES)
    assert (frame["label"].tolist(), boxes(frame)) == (["car", "person"], SIZES)
    assert frame["reference_id"].tolist() == ["a.jpg"] * 2
    assert npd.from_supervision(detections(), "a.jpg")["label"].tolist() == ["2", "0"]
    named = detections(data={"class_name": np.array(["bus", "van"])}, tracker_id=np.array([3, 4]))
    assert npd.from_supervision(named, "a.jpg")["label"].tolist() == ["bus", "van"]
    assert npd.from_supervision(named, "a.jpg")["track_reference_id"].tolist() == ["3", "4"]
    assert npd.from_supervision(detections())["reference_id"].isna().all()


def test_detections_of_several_images_need_their_ids() -> None:
    with pytest.raises(npd.InvalidInputError, match="from_supervision.outputs, reference_ids=items.'reference_id'"):
        npd.from_supervision([detections(), detections()])
    both = npd.from_supervision([detections(), detections()], ["a.jpg", "b.jpg"])
    assert both["reference_id"].tolist() == ["a.jpg"] * 2 + ["b.jpg"] * 2


def test_masks_of_detections_are_run_lengths() -> None:
    masks = np.zeros((2, 4, 5), dtype=bool)
    masks[0, 1:3, 2] = masks[1, 0, 0] = True
    runs = npd.from_supervision(detections(mask=masks), "a.jpg")["segmentation"].tolist()
    assert runs == [{"size": [4, 5], "counts": [9, 2, 9]}, {"size": [4, 5], "counts": [0, 1, 19]}]


def test_oriented_detections_are_polygons() -> None:
    corners = np.arange(16, dtype="float32").reshape(2, 4, 2)
    frame = npd.from_supervision(detections(data={"xyxyxyxy": corners}), "a.jpg", shape="polygon")
    assert frame["geometry"][1]["vertices"][0] == {"x": 8.0, "y": 9.0}
    with pytest.raises(npd.InvalidInputError, match="has no oriented boxes"):
        npd.from_supervision(detections(), "a.jpg", shape="polygon")


# torchvision


def output(**more: Any) -> dict[str, Any]:
    """What a detector of torchvision returns for an image."""
    return {"boxes": Tensor(CORNERS), "labels": Tensor([1, 2], "torch.int64"), "scores": Tensor([0.9, 0.5]), **more}


CATEGORIES = ["__background__", "person", "car"]


def test_outputs_of_torchvision_are_predictions() -> None:
    frame = npd.from_torchvision([output(), output()], ["a.jpg", "b.jpg"], names=CATEGORIES)
    assert frame["label"].tolist() == ["person", "car"] * 2
    assert boxes(frame) == SIZES * 2
    with pytest.raises(npd.InvalidInputError, match="Class 2 has no name among the 2 in names="):
        npd.from_torchvision(output(), "a.jpg", names=CATEGORIES[:2])


def test_masks_and_keypoints_of_torchvision() -> None:
    probable = np.zeros((2, 1, 3, 2), dtype="float32")
    probable[0, 0, 0, 0], probable[1, 0, 2, 1] = 0.6, 0.4
    runs = npd.from_torchvision(output(masks=Tensor(probable)), "a.jpg")["segmentation"].tolist()
    assert runs == [{"size": [3, 2], "counts": [0, 1, 5]}, {"size": [3, 2], "counts": [6]}]
    points = np.array([[[*place, 1.0] for place in POSE]] * 2)
    points[0, 3, 2] = 0.0
    frame = npd.from_torchvision(output(keypoints=Tensor(points)), "a.jpg", shape="keypoints")
    assert [point["visible"] for point in frame["geometry"][0]["keypoints"][2:4]] == [True, False]
    with pytest.raises(npd.InvalidInputError, match="The output of 'a.jpg' has no keypoints"):
        npd.from_torchvision(output(), "a.jpg", shape="keypoints")


# transformers

OBJECTS = [
    {"score": 0.9, "label": "cat", "box": {"xmin": 10, "ymin": 20, "xmax": 40, "ymax": 80}},
    {"score": 0.5, "label": "dog", "box": {"xmin": 0, "ymin": 1, "xmax": 5, "ymax": 9}},
]


def test_results_of_a_pipeline_are_predictions() -> None:
    frame = npd.from_transformers(OBJECTS, "a.jpg")
    assert (frame["label"].tolist(), boxes(frame), frame["confidence"].tolist()) == (["cat", "dog"], SIZES, [0.9, 0.5])
    several = npd.from_transformers([OBJECTS, [], OBJECTS[:1]], ["a.jpg", "b.jpg", "c.jpg"])
    assert several["reference_id"].tolist() == ["a.jpg", "a.jpg", "c.jpg"]
    assert len(npd.from_transformers([], "a.jpg")) == 0


def test_segments_of_a_pipeline_have_boxes_and_masks() -> None:
    mask = np.zeros((6, 8), dtype="uint8")
    mask[1:3, 2:5] = 255
    frame = npd.from_transformers([{"score": None, "label": "sky", "mask": mask}], "a.jpg")
    assert boxes(frame) == [[2.0, 1.0, 3.0, 2.0]]
    assert np.isnan(frame["confidence"][0])
    assert frame["segmentation"][0]["size"] == [6, 8]
    assert sum(frame["segmentation"][0]["counts"][1::2]) == 6


def test_processed_outputs_are_predictions() -> None:
    processed = {"scores": Tensor([0.9, 0.5]), "labels": Tensor([0, 2]), "boxes": Tensor(CORNERS)}
    frame = npd.from_transformers([processed], ["a.jpg"], names={"0": "person", "2": "car"})
    assert (frame["label"].tolist(), boxes(frame)) == (["person", "car"], SIZES)
    grounded = {
        "scores": Tensor([0.9, 0.5]),
        "boxes": Tensor(CORNERS),
        "text_labels": ["a cat", "a dog"],
        "labels": None,
    }
    assert npd.from_transformers(grounded, "a.jpg")["label"].tolist() == ["a cat", "a dog"]
    relative = {**processed, "boxes": Tensor(np.array(CORNERS) / 100)}
    with pytest.raises(npd.InvalidInputError, match="fractions of their image. Pass its size.* target_sizes="):
        npd.from_transformers(relative, "a.jpg")
    pixels = np.zeros((6, 8), dtype="int32")
    pixels[1:3, 2:5] = 1
    segments = {"segmentation": Tensor(pixels), "segments_info": [{"id": 1, "label_id": 2, "score": 0.75}]}
    instance = npd.from_transformers(segments, "a.jpg", names=NAMES)
    assert (instance["label"].tolist(), boxes(instance)) == (["car"], [[2.0, 1.0, 3.0, 2.0]])


@pytest.mark.parametrize(
    "function", [npd.from_ultralytics, npd.from_supervision, npd.from_torchvision, npd.from_transformers]
)
@pytest.mark.parametrize("wrong", [7, "a.jpg", {"boxes": 1}, [object()], None, np.zeros((2, 4))])
def test_other_objects_are_rejected(function: Any, wrong: Any) -> None:
    with pytest.raises(npd.InvalidInputError, match=f"{function.__name__} takes "):
        function(wrong)


# What the frames are for


def test_the_frames_are_sent_and_evaluated(local: npd.NucleusClient) -> None:
    dataset = local.create_dataset("D")
    dataset.append(pd.DataFrame({"reference_id": ["a.jpg", "b.jpg"], "image_url": "https://example.org/a.jpg"}))
    truth = pd.DataFrame({"reference_id": "a.jpg", "label": ["car", "person"]})
    truth[SIDES] = SIZES
    truth.nucleus.annotate(dataset)
    predictions = npd.from_ultralytics([result(boxes=found(tracks=[1, 2])), result("b.jpg", boxes=found([], ()))])
    run = dataset.create_model_run(local.add_model("M", reference_id="m"))
    assert predictions.nucleus.predict(run).predictions_processed == 2
    assert run.predictions["track_reference_id"].tolist() == ["1", "2"]
    assert npd.evaluate(predictions, dataset).summary["AP"] == pytest.approx(1.0)
    polygons = npd.from_ultralytics(
        result("b.jpg", boxes=found(CORNERS[:1], (0,)), masks=SimpleNamespace(xy=[np.array(POSE[:5])])), shape="polygon"
    )
    assert polygons.nucleus.predict(run).predictions_processed == 1


def test_masks_are_evaluated_as_segmentations() -> None:
    masks = np.zeros((2, 40, 50), dtype=bool)
    masks[0, 10:30, 10:30] = masks[1, 0:8, 0:8] = True
    predictions = npd.from_supervision(detections(mask=masks), "a.jpg", names=NAMES)
    assert npd.evaluate(predictions, predictions, iou_type="segm").summary["AP"] == pytest.approx(1.0)


# The packages themselves


@pytest.mark.adapters
@pytest.mark.filterwarnings("ignore:OpenCV .* is not installed:UserWarning")
def test_detections_of_the_real_supervision() -> None:
    import supervision as sv

    made = sv.Detections(
        xyxy=np.array(CORNERS),
        confidence=np.array([0.5, 0.25]),
        class_id=np.array([2, 0]),
        data={"class_name": np.array(["car", "person"])},
    )
    frame = npd.from_supervision(made, "a.jpg")
    assert (frame["label"].tolist(), boxes(frame)) == (["car", "person"], SIZES)
    assert frame["confidence"].tolist() == [0.5, 0.25]
    assert len(npd.from_supervision(sv.Detections.empty(), "a.jpg")) == 0
    masks = np.zeros((2, 40, 50), dtype=bool)
    masks[:, 2:5, 2:5] = True
    masked = sv.Detections(xyxy=np.array(CORNERS), mask=masks, class_id=np.array([0, 1]))
    assert npd.from_supervision(masked, "a.jpg")["segmentation"][0]["size"] == [40, 50]
    inferred = sv.Detections.from_inference(
        {
            "image": {"width": 200, "height": 100},
            "predictions": [
                {"x": 25, "y": 50, "width": 30, "height": 60, "confidence": 0.5, "class_id": 2, "class": "car"}
            ],
        }
    )
    assert boxes(npd.from_supervision(inferred, "a.jpg")) == SIZES[:1]
