"""Plots of an evaluation: each takes ``ax=`` and gives the axes back, as those of pandas and scikit-learn do.

They are the methods ``plot_…`` of `Evaluation`. matplotlib is imported when the first one is drawn; neither its
settings nor its backend are changed.
"""

from nucleus_pandas.evaluation.plots.bars import comparison, per_class, score_histogram, tide
from nucleus_pandas.evaluation.plots.confusion_matrix import confusion_matrix
from nucleus_pandas.evaluation.plots.curves import f1_curve, pr_curve

__all__ = ["comparison", "confusion_matrix", "f1_curve", "per_class", "pr_curve", "score_histogram", "tide"]
