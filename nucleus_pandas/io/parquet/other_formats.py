"""Files of other formats, and folders of images, as frames that are imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.io import Frames, read_coco, read_voc, read_yolo
from nucleus_pandas.io.image_folder import read_images
from nucleus_pandas.io.parquet.frame_source import FrameFile, state_of
from nucleus_pandas.schema import CANONICAL

Form: TypeAlias = Literal["coco", "yolo", "voc", "images"]

FORMS: tuple[Form, ...] = get_args(Form)
_TAKES = {"coco": ("images", "ground_truth"), "yolo": ("images", "names"), "voc": ("images",), "images": ()}


@dataclass(frozen=True)
class Read:
    """What files hold.

    Attributes
    ----------
    items : FrameFile
        Images.
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


def takers(name: str) -> list[str]:
    """Return with which formats an argument goes: ``images``, ``names`` or ``ground_truth``."""
    return [form for form, taken in _TAKES.items() if name in taken]


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
    if form not in FORMS:
        raise InvalidInputError(f"form is {' or '.join(map(repr, FORMS))}, not {form!r}.", argument="form")
    given = {"images": images, "names": names, "ground_truth": ground_truth}
    for name, value in given.items():
        if value is not None and name not in _TAKES[form]:
            raise InvalidInputError(
                f"{name}= goes with {' and '.join(map(repr, takers(name)))}, not with {form!r}.", argument=name
            )
    path = Path(os.path.expanduser(source)).absolute()
    if not path.exists():
        raise InvalidInputError(f"There is no file '{source}'.")
    if form == "images":
        frame_file = FrameFile(path.name, read_images(path), state_of([path]), images=True)
        return Read(frame_file, None, False, path)
    if form == "yolo" and images is None:
        images = next((folder for folder in _beside(path) if folder.name == "images" and folder.is_dir()), None)
    frames = _frames(path, form, images, names, ground_truth)
    if images is None and frames.items["image_url"].isna().any():
        images = next((folder for folder in _beside(path) if _holds(folder, frames.items)), None)
        if images is not None:
            frames = _frames(path, form, images, names, ground_truth)
        elif frames.items["image_url"].isna().all() and len(frames.items) and "confidence" not in frames.annotations:
            raise InvalidInputError(
                f"No image of '{source}' has an address, and they are not beside it. Name their folder: "
                "images='your_folder'.",
                argument="images",
            )
    state = state_of([path, *(place for place in (images, names, ground_truth) if place is not None)])
    return Read(
        FrameFile(path.name, _sent(frames.items), state, images=images is not None),
        FrameFile(path.name, _sent(frames.annotations), state),
        "confidence" in frames.annotations,
        path if path.is_dir() else path.parent,
    )


def _frames(
    path: Path,
    form: Form,
    images: str | os.PathLike[str] | None,
    names: str | os.PathLike[str] | None,
    ground_truth: str | os.PathLike[str] | None,
) -> Frames:
    if form == "coco":
        return read_coco(path, images=images, ground_truth=ground_truth)
    if form == "yolo":
        return read_yolo(path, images=images, names=names)
    return read_voc(path, images=images)


def _beside(path: Path) -> list[Path]:
    """Return the folders in which images usually are."""
    folder = path if path.is_dir() else path.parent
    return [folder / "images", folder.parent / "images", folder, folder.parent.parent / "images"]


def _holds(folder: Path, items: pd.DataFrame) -> bool:
    """Return whether a folder holds all images."""
    return folder.is_dir() and all((folder / name).is_file() for name in items["reference_id"])


def _sent(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the columns that are for other uses; the metadata holds what they say."""
    return frame[[name for name in frame if name in CANONICAL]]
