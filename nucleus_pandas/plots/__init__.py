"""Plots of an evaluation: each takes ``ax=`` and gives the axes back, as those of pandas and scikit-learn do.

They are the methods ``plot_…`` of `Evaluation`. matplotlib is imported when the first one is drawn; neither its
settings nor its backend are changed.
"""

from nucleus_pandas.plots.bars import comparison, per_class, score_histogram, tide
from nucleus_pandas.plots.curves import f1_curve, pr_curve
from nucleus_pandas.plots.matrix import confusion_matrix

__all__ = ["comparison", "confusion_matrix", "f1_curve", "per_class", "pr_curve", "score_histogram", "tide"]
