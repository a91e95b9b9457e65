"""Show the images of a frame with their boxes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import pandas as pd

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.images.gallery import SIZE, ColourBy, FrameSource, Gallery, gallery
from nucleus_pandas.schema import BoxColumn, FrameLike, as_frame, frame_of, type_name
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.views import AnnotationsView, ItemsView


def show(
    frame: FrameLike,
    n: int = 12,
    *,
    items: FrameLike | Dataset | None = None,
    ground_truth: FrameLike | Dataset | None = None,
    predictions: FrameLike | ModelRun | None = None,
    color: ColourBy | None = None,
    size: int = SIZE,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat | None = None,
) -> Gallery:
    """Show the first images of a frame with their boxes.

    Local images are embedded as thumbnails; images on the web are linked, so that the browser loads them. For an image
    that cannot be shown, its name and the reason are displayed. Ground truth is drawn with solid lines and labelled
    above, predictions with dashed lines and labelled below. Rows that cannot be drawn are counted below their image.

    Parameters
    ----------
    frame : pandas.DataFrame, or a table that exports Arrow
        One of these; images are ordered by first occurrence.

        * Items: ``image_url`` and ``reference_id``, optionally ``image_width`` and ``image_height``.
        * Boxes, as for `annotate` and `predict`; with ``confidence`` they are predictions. Each image is shown
          once. Lines, polygons, keypoints and masks are drawn too, and categories written below.
        * The result of `ModelRun.examples`: each row is shown, with the boxes of both sides.
        * Rows that name boxes by their ids, which `ground_truth` and `predictions` resolve: `ModelRun.matches` and
          `Evaluation.matches`, where a true positive is drawn with both of its boxes; `Evaluation.suspects`; ``won``
          and ``lost`` of a `Comparison`.
    n : int
        Number of images.
    items : pandas.DataFrame or Dataset, optional
        The URLs of the images, if the frame has no ``image_url``; and their sizes, without which boxes on images of
        the web cannot be placed. By default the dataset of `ground_truth` or `predictions`. Images stored on a Nucleus
        server are fetched and embedded if a `Dataset` or a `ModelRun` is given, since only these can authenticate;
        otherwise they are linked.
    ground_truth : pandas.DataFrame or Dataset, optional
        Additional ground truth to draw.
    predictions : pandas.DataFrame or ModelRun, optional
        Additional predictions to draw.
    color : {"label", "match_type"}, optional
        The meaning of colours; by default true and false positives and false negatives if the frame has
        ``match_type``, else labels.
    size : int
        Length of an image's longer side, in pixels of the page.
    columns : dict, optional
        Canonical names and the frame's names for them: ``{"image_url": "path"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}, optional
        The meaning of the four numbers of `bbox`: corner and size, two corners, or centre and size. Needed
        with `bbox`, unless the names of the four columns, or of the fields of a struct, say x, y, width, height.

    Returns
    -------
    Gallery
        Displayed by notebooks; ``save("gallery.html")`` writes a page that needs no server and no script.

    Raises
    ------
    InvalidInputError
        A column is missing, so that images or boxes cannot be located; or an argument is invalid.
    MissingExtraError
        Pillow is not installed, and thumbnails are needed.

    Notes
    -----
    Boxes are scaled by the frame's ``image_width`` and ``image_height``, else by the size of its file, so resized
    copies of the annotated image are drawn correctly if the frame has the original size.

    Examples
    --------
    >>> from nucleus_pandas import sample
    >>> detections = sample.detections("careful")
    >>> detections.nucleus.show(items=sample.items(), ground_truth=sample.ground_truth())
    <Gallery of 12 images>
    """
    run = predictions if isinstance(predictions, ModelRun) else None
    dataset = next((source for source in (items, ground_truth) if isinstance(source, Dataset)), None)
    if dataset is None and run is not None:
        dataset = Dataset(run._transport, run._single_dataset())
    return gallery(
        frame_of(frame),
        n,
        items=_frame_source(dataset if items is None else items, "items"),
        ground_truth=_frame_source(ground_truth, "ground_truth"),
        predictions=_frame_source(predictions, "predictions"),
        color=color,
        size=size,
        columns=columns,
        bbox=bbox,
        bbox_format=bbox_format,
        fetch=None if dataset is None else dataset._transport.image,
    )


def _frame_source(source: object, name: str) -> FrameSource | None:
    """Return a frame, or a function that reads the rows of given images."""
    frame = None if source is None else as_frame(source)
    if source is None or frame is not None:
        return frame
    view: ItemsView | AnnotationsView
    if isinstance(source, ModelRun) and name == "predictions":
        view = source.predictions
    elif isinstance(source, Dataset) and name != "predictions":
        view = source.items if name == "items" else source.annotations
    else:
        expected = "ModelRun" if name == "predictions" else "Dataset"
        raise InvalidInputError(f"{name}= takes a DataFrame or a {expected}, not {type_name(source)}.", argument=name)

    def read(key: str, ids: list[str]) -> pd.DataFrame:
        rows: pd.DataFrame = view.refloc[ids] if key == "reference_id" else view.loc[ids]
        return rows

    return read
