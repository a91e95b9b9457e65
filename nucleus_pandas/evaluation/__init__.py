"""Evaluation on arrays and frames; knows neither client nor server."""

from nucleus_pandas.evaluation.comparison import Comparison
from nucleus_pandas.evaluation.parameters import Engine, IouType, LabelPairs
from nucleus_pandas.evaluation.report import Evaluation

__all__ = ["Comparison", "Engine", "Evaluation", "IouType", "LabelPairs"]
