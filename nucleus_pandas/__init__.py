"""Nucleus, pandas-first: vision datasets, annotations, predictions and their matching.

>>> import pandas as pd
>>> import nucleus_pandas as npd
>>> items = pd.DataFrame({"reference_id": ["a.jpg"], "image_url": ["https://example.org/a.jpg"]})
>>> with npd.NucleusClient.local() as client:  # embedded: no account, no key, no port
...     dataset = client.create_dataset("Street scenes")
...     result = items.nucleus.append(dataset)
...     dataset.refloc["a.jpg", "image_url"]
'https://example.org/a.jpg'
>>> result
UploadResult(new_items=1, updated_items=0, ignored_items=0, upload_errors=0)
"""

import logging
import typing

from nucleus_pandas._util.compat import __version__
from nucleus_pandas._util.options import set_options, show_versions
from nucleus_pandas.api.accessor import NucleusAccessor as _NucleusAccessor  # noqa: F401  # registers df.nucleus
from nucleus_pandas.api.client import NucleusClient
from nucleus_pandas.api.dataset import Dataset
from nucleus_pandas.api.functions import (
    annotate,
    append,
    check,
    evaluate,
    import_files,
    import_parquet,
    predict,
    read_annotations,
    read_items,
    read_predictions,
    show,
)
from nucleus_pandas.api.model import Model
from nucleus_pandas.api.model_run import ModelRun
from nucleus_pandas.api.run_evaluation import RunEvaluation
from nucleus_pandas.api.slice import Slice
from nucleus_pandas.errors import (
    AlreadyExistsError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    FileError,
    FrozenRunError,
    InvalidInputError,
    JobTimeoutError,
    JournalError,
    MissingExtraError,
    NetworkError,
    NotFoundError,
    NucleusError,
    NucleusWarning,
    PositionError,
    ServerError,
    StoreError,
    TooLargeError,
    UnsupportedError,
    UploadError,
)
from nucleus_pandas.evaluation import Comparison, Evaluation
from nucleus_pandas.images.gallery import Gallery
from nucleus_pandas.io import Frames, read_coco, read_voc, read_yolo, to_coco, to_voc, to_yolo
from nucleus_pandas.io.huggingface import from_huggingface
from nucleus_pandas.io.image_folder import read_images
from nucleus_pandas.io.model_outputs import from_supervision, from_torchvision, from_transformers, from_ultralytics
from nucleus_pandas.uploads.jobs import Job
from nucleus_pandas.uploads.results import ImportResult, UploadResult

__all__ = [
    "APIError",
    "AlreadyExistsError",
    "AuthenticationError",
    "BadRequestError",
    "Comparison",
    "ConfigurationError",
    "ConflictError",
    "Dataset",
    "Evaluation",
    "FileError",
    "Frames",
    "FrozenRunError",
    "Gallery",
    "ImportResult",
    "InvalidInputError",
    "Job",
    "JobTimeoutError",
    "JournalError",
    "MissingExtraError",
    "Model",
    "ModelRun",
    "NetworkError",
    "NotFoundError",
    "NucleusClient",
    "NucleusError",
    "NucleusWarning",
    "PositionError",
    "RunEvaluation",
    "ServerError",
    "Slice",
    "StoreError",
    "TooLargeError",
    "UnsupportedError",
    "UploadError",
    "UploadResult",
    "__version__",
    "annotate",
    "append",
    "check",
    "evaluate",
    "from_huggingface",
    "from_supervision",
    "from_torchvision",
    "from_transformers",
    "from_ultralytics",
    "import_files",
    "import_parquet",
    "predict",
    "read_annotations",
    "read_coco",
    "read_images",
    "read_items",
    "read_predictions",
    "read_voc",
    "read_yolo",
    "set_options",
    "show",
    "show_versions",
    "to_coco",
    "to_voc",
    "to_yolo",
]

logging.getLogger("nucleus_pandas").addHandler(logging.NullHandler())


if typing.TYPE_CHECKING:
    from nucleus_pandas import sample as sample
else:  # type checkers would let every name pass

    def __getattr__(name: str) -> object:
        if name == "sample":  # the sample data, which are imported only where they are used
            from importlib import import_module

            return import_module("nucleus_pandas.sample")
        raise AttributeError(f"module 'nucleus_pandas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "sample"]
