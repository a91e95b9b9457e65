"""Images of frames."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import pandas as pd

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.functions.send import frame_of
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.images.gallery import SIZE, ColourBy, FrameSource, Gallery, gallery
from nucleus_pandas.schema import BoxColumn
from nucleus_pandas.schema.boxes import BoxFormat
from nucleus_pandas.views import AnnotationsView, ItemsView


def show(
    frame: pd.DataFrame,
    n: int = 12,
    *,
    items: pd.DataFrame | Dataset | None = None,
    ground_truth: pd.DataFrame | Dataset | None = None,
    predictions: pd.DataFrame | ModelRun | None = None,
    color: ColourBy | None = None,
    size: int = SIZE,
    columns: Mapping[str, Hashable] | None = None,
    bbox: BoxColumn | None = None,
    bbox_format: BoxFormat = "xywh",
) -> Gallery:
    """Show the first images that a frame names, with the boxes on them.

    Local images are put into the gallery, as small copies; those of the web are linked, so that a browser
    loads them. One that cannot be shown leaves its name and the reason. Ground truth is drawn in solid lines and named
    above, predictions in dashed ones and named below. A row that cannot be drawn is counted below its image.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any of these; the order of the images is that in which it first names them.

        * Items: ``image_url`` and ``reference_id``, perhaps ``width`` and ``height``.
        * Boxes, as `annotate` and `predict` take them; with ``confidence`` they are predictions. Each image is shown
          once. Lines, polygons, keypoints and masks are drawn too, and categories written below.
        * What `ModelRun.examples` gives: each row is shown, with the boxes of both sides.
        * What names boxes by their ids, which `ground_truth` and `predictions` explain: matches, of `ModelRun.matches`
          or `Evaluation.matches`, where a true positive is drawn with both of its boxes; `Evaluation.suspects`; what a
          `Comparison` has won and lost.
    n : int
        How many images.
    items : pandas.DataFrame or Dataset, optional
        Where the images are, if the frame has no ``image_url``; and their sizes, without which boxes on images of
        the web cannot be placed. By default that of `ground_truth` or `predictions`. The images that a Nucleus
        server keeps are fetched and put into the gallery if a `Dataset` or a `ModelRun` is given, since only these
        know how to ask; otherwise they are linked.
    ground_truth : pandas.DataFrame or Dataset, optional
        Ground truth to draw besides.
    predictions : pandas.DataFrame or ModelRun, optional
        Predictions to draw besides.
    color : {"label", "match_type"}, optional
        What the colours tell; by default true and false positives and false negatives where the frame has
        ``match_type``, else labels.
    size : int
        Of an image's longer side, in pixels of the page.
    columns : dict, optional
        Canonical names and what the frame calls them: ``{"image_url": "path"}``. Named index levels count too.
    bbox : hashable or sequence of four, optional
        One column of lists, arrays or structs, or four columns, that hold the boxes instead.
    bbox_format : {"xywh", "xyxy", "cxcywh"}
        What the four numbers of `bbox` are: corner and size, two corners, or centre and size.

    Returns
    -------
    Gallery
        A notebook shows it; ``save("gallery.html")`` writes a page that needs no server and no script.

    Raises
    ------
    InvalidInputError
        A column is missing, so that nobody knows where the images or the boxes are; an argument is none of those.
    MissingExtraError
        Pillow is not installed, and images have to be made small.

    Notes
    -----
    Boxes go by the ``width`` and ``height`` that are told of an image, else by those of its file; so a copy of another
    size than the one that was annotated is drawn rightly where the frame tells the size of that.

    Examples
    --------
    >>> from nucleus_pandas import sample
    >>> found = sample.detections("careful")
    >>> found.nucleus.show(items=sample.items(), ground_truth=sample.ground_truth())
    <Gallery of 12 images>
    """
    run = predictions if isinstance(predictions, ModelRun) else None
    home = next((one for one in (items, ground_truth) if isinstance(one, Dataset)), None)
    if home is None and run is not None:
        home = Dataset(run._transport, run._single_dataset())
    return gallery(
        frame_of(frame),
        n,
        items=_read(home if items is None else items, "items"),
        ground_truth=_read(ground_truth, "ground_truth"),
        predictions=_read(predictions, "predictions"),
        color=color,
        size=size,
        columns=columns,
        bbox=bbox,
        bbox_format=bbox_format,
        fetch=None if home is None else home._transport.image,
    )


def _read(given: object, name: str) -> FrameSource | None:
    """Return a frame, or what reads one of the images that are asked for."""
    if given is None or isinstance(given, pd.DataFrame):
        return given
    view: ItemsView | AnnotationsView
    if isinstance(given, ModelRun) and name == "predictions":
        view = given.predictions
    elif isinstance(given, Dataset) and name != "predictions":
        view = given.items if name == "items" else given.annotations
    else:
        wanted = "ModelRun" if name == "predictions" else "Dataset"
        raise InvalidInputError(f"{name}= takes a DataFrame or a {wanted}, not {type(given).__name__}.", argument=name)

    def read(key: str, ids: list[str]) -> pd.DataFrame:
        found: pd.DataFrame = view.refloc[ids] if key == "reference_id" else view.loc[ids]
        return found

    return read
