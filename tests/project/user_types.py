"""What indexers and views return, for the type checkers: a wrong type, or one that is not known, is an error."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
import pandas as pd

import nucleus_pandas as npd


def index_items(dataset: npd.Dataset, part: npd.Slice, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    for rows in (dataset.iloc, part.iloc, dataset.items.iloc):
        assert_type(rows[0], "pd.Series[Any]")
        assert_type(rows[np.int64(-1)], "pd.Series[Any]")
        assert_type(rows[:5], pd.DataFrame)
        assert_type(rows[[2, 0]], pd.DataFrame)
        assert_type(rows[range(3)], pd.DataFrame)
        assert_type(rows[mask], pd.DataFrame)
        assert_type(rows[pd.Series([True])], pd.DataFrame)
        assert_type(rows[:5, 0], "pd.Series[Any]")
        assert_type(rows[0, :], "pd.Series[Any]")
        assert_type(rows[:, [0, 1]], pd.DataFrame)
        assert_type(rows[0, 0], Any)
        rows["a.jpg"]  # type: ignore[call-overload]
    for named in (dataset.refloc, part.loc, dataset.items.refloc, dataset.loc):
        assert_type(named["a.jpg"], "pd.Series[Any]")
        assert_type(named[["a.jpg", "b.jpg"]], pd.DataFrame)
        assert_type(named[pd.Index(["a.jpg"])], pd.DataFrame)
        assert_type(named[:, "image_url"], "pd.Series[Any]")
        assert_type(named[["a.jpg"], ["image_url"]], pd.DataFrame)
        assert_type(named["a.jpg", "image_url"], Any)
        assert_type(named[lambda rows: rows["reference_id"] == "a.jpg"], Any)
        named[0]  # type: ignore[call-overload]
    assert_type(dataset.refloc("a.jpg"), dict[str, Any])


def index_annotations(dataset: npd.Dataset, part: npd.Slice, run: npd.ModelRun) -> None:
    for rows in (dataset.annotations.iloc, part.annotations.iloc, run.predictions.iloc, run.iloc):
        assert_type(rows[0], pd.DataFrame)
        assert_type(rows[:5, [0, 1]], pd.DataFrame)
        rows["a.jpg"]  # type: ignore[index]
    for named in (dataset.annotations.refloc, part.annotations.loc, run.predictions.refloc, run.refloc):
        assert_type(named["a.jpg"], pd.DataFrame)
        assert_type(named[["a.jpg", "b.jpg"], "label"], pd.DataFrame)
        named[0]  # type: ignore[index]
    assert_type(run.matches(), pd.DataFrame)
    assert_type(run.refloc("a.jpg"), dict[str, Any])


def read_views(dataset: npd.Dataset, run: npd.ModelRun) -> None:
    for view in (dataset.items, dataset.annotations, run.predictions):
        assert_type(view["reference_id"], "pd.Series[Any]")
        assert_type(view[["reference_id", "metadata"]], pd.DataFrame)
        assert_type(view.head(), pd.DataFrame)
        assert_type(view.sample(3, random_state=1), pd.DataFrame)
        assert_type(view.shape, tuple[int, int])
        assert_type(view.empty, bool)
        view.describe()  # type: ignore[union-attr]
        view[0]  # type: ignore[call-overload]
    assert_type(npd.sample.items(), pd.DataFrame)
    npd.nonsense  # type: ignore[attr-defined]  # noqa: B018


def send(frame: pd.DataFrame, dataset: npd.Dataset, run: npd.ModelRun) -> None:
    assert_type(frame.nucleus.append(dataset), npd.UploadResult)
    assert_type(frame.nucleus.predict(run, if_exists="update"), npd.UploadResult)
    assert_type(frame[["x"]].nucleus.check(), pd.DataFrame)
    frame.nucleus.append(run)  # type: ignore[arg-type]
    frame.nucleus.annotat(dataset)  # type: ignore[attr-defined]
