"""What the columns of the frames that are handed out mean, in words for who meets them elsewhere."""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """What a column holds.

    Attributes
    ----------
    description : str
        A sentence without its full stop.
    unit : str or None
        The unit or the range of a number; what a text is, where it is more than words.
    """

    description: str
    unit: str | None = None


_PIXELS = "pixels"
_JSON = "JSON object"
_ITEM = {
    "dataset_item_id": Meaning("Id of the item, given by the server"),
    "reference_id": Meaning("Id of the item, given by who added it; unique in the dataset"),
}

ITEM_COLUMNS: dict[str, Meaning] = {
    **_ITEM,
    "image_url": Meaning("Where the picture stands: an address, or a path on the machine of an embedded Nucleus"),
    "width": Meaning("Width of the picture, null where it is not known", _PIXELS),
    "height": Meaning("Height of the picture, null where it is not known", _PIXELS),
    "metadata": Meaning("What was noted of the item", _JSON),
}
"""Of the columns of items."""

ANNOTATION_COLUMNS: dict[str, Meaning] = {
    **_ITEM,
    "annotation_id": Meaning("Id of the annotation, unique in its item"),
    "label": Meaning("What the annotation shows; null for a type without a label of its own"),
    "type": Meaning("box, line, polygon, keypoints, cuboid, category, multicategory or mask"),
    "x": Meaning("Left edge of a box, counted from the left edge of the picture; null for other types", _PIXELS),
    "y": Meaning("Upper edge of a box, counted from the upper edge of the picture; null for other types", _PIXELS),
    "width": Meaning("Width of a box; null for other types", _PIXELS),
    "height": Meaning("Height of a box; null for other types", _PIXELS),
    "geometry": Meaning("What annotations of other types than box have instead, coordinates in pixels", _JSON),
    "track_reference_id": Meaning("Id of the track that the annotation belongs to; null for one without"),
    "task_id": Meaning("Id of the labeling task that the annotation comes from; null for one without"),
    "embedding_vector": Meaning("The embedding of what the annotation shows; null for one without", _JSON),
    "metadata": Meaning("What was noted of the annotation", _JSON),
}
"""Of the columns of annotations."""

PREDICTION_COLUMNS: dict[str, Meaning] = {
    **{
        name: Meaning(text.replace("annotation", "prediction"), unit)
        for name, (text, unit) in ANNOTATION_COLUMNS.items()
    },
    "confidence": Meaning("How sure the model is; null where it does not say", "0 to 1"),
    "class_pdf": Meaning("Probabilities of all labels, from 0 to 1; null where the model does not say", _JSON),
}
"""Of the columns of predictions."""

MATCH_COLUMNS: dict[str, Meaning] = {
    **_ITEM,
    "annotation_id": Meaning("Id of the ground truth, unique in its item; null for a prediction alone"),
    "prediction_id": Meaning("Id of the prediction, unique in its item; null for a ground truth alone"),
    "label": Meaning("Label of the ground truth"),
    "predicted_label": Meaning("Label of the prediction"),
    "confidence": Meaning("How sure the model is; null where it does not say", "0 to 1"),
    "iou": Meaning("Area of the intersection over that of the union; null where a side is missing", "0 to 1"),
    "match_type": Meaning("TP (right), FP (wrong prediction) or FN (missed ground truth)"),
}
"""Of the columns of matches."""
