"""Files of other formats, and folders of pictures, as frames that are imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import pandas as pd

from nucleus_pandas.columns import CANONICAL
from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.formats import read_coco, read_voc, read_yolo
from nucleus_pandas.parquet.memory import FrameFile, state_of

Form: TypeAlias = Literal["coco", "yolo", "voc"]

_TAKES = {"coco": ("images", "ground_truth"), "yolo": ("images", "names"), "voc": ("images",)}


@dataclass(frozen=True)
class Read:
    """What files hold.

    Attributes
    ----------
    items : FrameFile
        Pictures.
    annotations : FrameFile or None
        Boxes; None where there can be none.
    predicted : bool
        Whether the boxes have confidences.
    folder : pathlib.Path
        Where the files are.
    """

    items: FrameFile
    annotations: FrameFile | None
    predicted: bool
    folder: Path


def read_files(
    source: str | os.PathLike[str],
    form: Form,
    *,
    images: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    ground_truth: str | os.PathLike[str] | None = None,
) -> Read:
    """Read files.

    Raises
    ------
    InvalidInputError
        One is not what it should be, or what is given besides does not go with its form.
    """
    if form not in get_args(Form):
        raise InvalidInputError(f"form is {' or '.join(map(repr, get_args(Form)))}, not {form!r}.")
    given = {"images": images, "names": names, "ground_truth": ground_truth}
    for name, value in given.items():
        if value is not None and name not in _TAKES[form]:
            takers = " and ".join(repr(other) for other, taken in _TAKES.items() if name in taken)
            raise InvalidInputError(f"{name}= goes with {takers}, not with {form!r}.")
    path = Path(os.path.expanduser(source)).absolute()
    if not path.exists():
        raise InvalidInputError(f"There is no file '{source}'.")
    if form == "coco":
        frames = read_coco(path, images=images, ground_truth=ground_truth)
    elif form == "yolo":
        frames = read_yolo(path, images=images, names=names)
    else:
        frames = read_voc(path, images=images)
    state = state_of([path, *(place for place in given.values() if place is not None)])
    return Read(
        FrameFile(path.name, _sent(frames.items), state, pictures=images is not None),
        FrameFile(path.name, _sent(frames.annotations), state),
        "confidence" in frames.annotations,
        path if path.is_dir() else path.parent,
    )


def _sent(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the columns that are for other uses; the metadata holds what they say."""
    return frame[[name for name in frame if name in CANONICAL]]
