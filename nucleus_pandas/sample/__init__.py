"""A dozen photographs with their annotations and two simulated detectors, to try things on without a network.

The photographs are from COCO 2017, each under CC BY 2.0 and scaled to 320 pixels on the longer side; the
annotations are COCO's, under CC BY 4.0. The file ``ATTRIBUTION`` in this folder names every source.

The detections are **simulated**: drawn at random around the annotations, by no real detector. They show what
the tools do and say nothing about any model.
"""

from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import pandas as pd

__all__ = ["items", "ground_truth", "detections", "DETECTORS"]

Detector: TypeAlias = Literal["careful", "eager"]

#: Names of the two simulated detectors.
DETECTORS: Final[tuple[Detector, ...]] = get_args(Detector)

_FOLDER: Final = Path(__file__).resolve().parent


def items() -> pd.DataFrame:
    """
    Read the twelve images' table.

    Returns
    -------
    DataFrame
        One row per image: `reference_id` (the file name), `image_width` and `image_height` (in pixels),
        `metadata` (a JSON object as text, with the keys ``scene``, ``license`` and ``source``) and
        `image_url` (the path of the image on this machine).

    See Also
    --------
    ground_truth : The annotated boxes of these images.
    detections : Simulated detections on these images.

    Examples
    --------
    >>> import json
    >>> from nucleus_pandas import sample
    >>> images = sample.items()
    >>> images.columns.to_list()
    ['reference_id', 'image_width', 'image_height', 'metadata', 'image_url']
    >>> images["metadata"].map(json.loads).str["scene"].value_counts().sort_index().to_dict()
    {'animal': 2, 'kitchen': 2, 'sky': 1, 'sports': 2, 'street': 3, 'table': 2}
    """
    frame = pd.read_parquet(_FOLDER / "items.parquet")
    images = _FOLDER / "images"
    return frame.assign(image_url=[str(images / name) for name in frame["reference_id"]])


def ground_truth() -> pd.DataFrame:
    """
    Read the annotated boxes of the images.

    Returns
    -------
    DataFrame
        One row per box: `reference_id`, `label`, the upper left corner `x` and `y`, `width` and `height` (all
        in pixels of the scaled image), `metadata` (a JSON object as text: ``{"iscrowd": 1}`` on a box
        around a crowd, else ``{}``) and `annotation_id` (COCO's, as text).

    See Also
    --------
    items : The images.

    Examples
    --------
    >>> from nucleus_pandas import sample
    >>> boxes = sample.ground_truth()
    >>> boxes.loc[boxes["metadata"] == '{"iscrowd": 1}', ["reference_id", "label"]].values.tolist()
    [['000000166918.jpg', 'wine glass'], ['000000184324.jpg', 'person']]
    """
    return pd.read_parquet(_FOLDER / "ground_truth.parquet")


def detections(detector: Detector | None = None) -> pd.DataFrame:
    """
    Read the simulated detections of two detectors, or of one.

    No real detector made them: each is an annotated box that was moved, mislabelled, doubled or left out at
    random, or a box on the background. Boxes around crowds were left aside.

    Parameters
    ----------
    detector : {'careful', 'eager'}, optional
        The detector whose detections to read. ``'careful'`` reports few boxes and is seldom wrong;
        ``'eager'`` finds more of the objects, and adds duplicates, confused labels and boxes on the
        background. By default, both detectors are read.

    Returns
    -------
    DataFrame
        One row per detection: `detector` (only where none was named), `reference_id`, `label`, the upper left
        corner `x` and `y`, `width` and `height` (in pixels of the scaled image) and `confidence`, between 0
        and 1.

    Raises
    ------
    ValueError
        If `detector` is the name of neither detector.

    See Also
    --------
    ground_truth : The boxes that the simulation started from.

    Examples
    --------
    >>> from nucleus_pandas import sample
    >>> sample.detections("careful").columns.to_list()
    ['reference_id', 'label', 'x', 'y', 'width', 'height', 'confidence']
    >>> len(sample.detections("careful")) < len(sample.detections("eager"))
    True
    >>> sample.detections("bold")
    Traceback (most recent call last):
        ...
    ValueError: no detector 'bold' in the sample; it has 'careful' and 'eager'
    """
    if detector is not None and detector not in DETECTORS:
        known = " and ".join(map(repr, DETECTORS))
        raise ValueError(f"no detector {detector!r} in the sample; it has {known}")
    frame = pd.read_parquet(_FOLDER / "detections.parquet")
    if detector is None:
        return frame
    return frame.loc[frame["detector"] == detector].drop(columns="detector").reset_index(drop=True)
