"""The functional interface: frames in, frames out. `DataFrame.nucleus` has the same functions as methods."""

from nucleus_pandas.api.functions.import_files import import_files, import_parquet
from nucleus_pandas.api.functions.read import read_annotations, read_items, read_predictions
from nucleus_pandas.api.functions.send import annotate, append, check, predict
from nucleus_pandas.api.functions.show import show
from nucleus_pandas.evaluation.report import evaluate

__all__ = [
    "annotate",
    "append",
    "check",
    "evaluate",
    "import_files",
    "import_parquet",
    "predict",
    "read_annotations",
    "read_items",
    "read_predictions",
    "show",
]
