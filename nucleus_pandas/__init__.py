"""Nucleus, pandas-first: vision datasets, annotations, predictions and their matching.

>>> import nucleus_pandas as npd
>>> client = npd.NucleusClient.local()  # embedded: no account, no key, no port
>>> dataset = client.create_dataset("Street scenes")
>>> dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
UploadResult(new_items=1, updated_items=0, ignored_items=0, upload_errors=0)
>>> client.close()
"""

import logging

from nucleus_pandas._version import __version__
from nucleus_pandas.client import NucleusClient
from nucleus_pandas.datasets import Dataset
from nucleus_pandas.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    FrozenRunError,
    InvalidInputError,
    MissingExtraError,
    NetworkError,
    NotFoundError,
    NucleusError,
    PositionError,
    ServerError,
    StoreError,
    TooLargeError,
    UnsupportedError,
    UploadError,
)
from nucleus_pandas.models import Model, ModelRun
from nucleus_pandas.results import UploadResult

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "Dataset",
    "FrozenRunError",
    "InvalidInputError",
    "MissingExtraError",
    "Model",
    "ModelRun",
    "NetworkError",
    "NotFoundError",
    "NucleusClient",
    "NucleusError",
    "PositionError",
    "ServerError",
    "StoreError",
    "TooLargeError",
    "UnsupportedError",
    "UploadError",
    "UploadResult",
    "__version__",
]

logging.getLogger("nucleus_pandas").addHandler(logging.NullHandler())
