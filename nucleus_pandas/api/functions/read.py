"""Read whole datasets and runs into frames."""

from __future__ import annotations

import pandas as pd

from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.functions.send import of_type
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.schema import Backend, no_backend
from nucleus_pandas.views import MetadataAs


def read_items(
    dataset: Dataset, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
) -> pd.DataFrame:
    """Read all items of a dataset.

    Parameters
    ----------
    dataset : Dataset
        The dataset to read.
    metadata_as, dtype_backend
        As in ``dataset.items.to_frame``.

    Returns
    -------
    pandas.DataFrame
        One row per item, in the order in which they were added, indexed by ``dataset_item_id``.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> with npd.NucleusClient.local() as client:
    ...     list(npd.read_items(client.create_dataset("Doc")).columns)
    ['reference_id', 'image_url', 'image_width', 'image_height', 'metadata']
    """
    items = of_type(dataset, Dataset, "read_items").items
    return items.to_frame(metadata_as=metadata_as, dtype_backend=dtype_backend)


def read_annotations(
    dataset: Dataset, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
) -> pd.DataFrame:
    """Read all annotations of a dataset.

    Parameters
    ----------
    dataset : Dataset
        The dataset to read.
    metadata_as, dtype_backend
        As in ``dataset.annotations.to_frame``.

    Returns
    -------
    pandas.DataFrame
        One row per annotation, ordered by the position of the item, then by arrival; boxes in pixels.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> with npd.NucleusClient.local() as client:
    ...     npd.read_annotations(client.create_dataset("Doc")).dtypes["x"]
    dtype('float64')
    """
    annotations = of_type(dataset, Dataset, "read_annotations").annotations
    return annotations.to_frame(metadata_as=metadata_as, dtype_backend=dtype_backend)


def read_predictions(
    run: ModelRun, *, metadata_as: MetadataAs = "dict", dtype_backend: Backend = no_backend
) -> pd.DataFrame:
    """Read all predictions of a model run.

    Parameters
    ----------
    run : ModelRun
        The run to read.
    metadata_as, dtype_backend
        As in ``run.predictions.to_frame``.

    Returns
    -------
    pandas.DataFrame
        One row per prediction, ordered by the position of the item, then by arrival; boxes in pixels, ``confidence``
        in [0, 1].
    """
    predictions = of_type(run, ModelRun, "read_predictions").predictions
    return predictions.to_frame(metadata_as=metadata_as, dtype_backend=dtype_backend)
