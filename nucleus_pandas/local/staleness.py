"""Whether what was evaluated has changed since."""

from __future__ import annotations

from nucleus_pandas.local.embedded import EmbeddedNucleus
from nucleus_pandas.local.scopes import Scope
from nucleus_pandas.local.store import evaluations
from nucleus_pandas.local.store.evaluations import Evaluation


def is_stale(nucleus: EmbeddedNucleus, evaluation: Evaluation) -> bool:
    """Tell whether ground truth or predictions of a finished evaluation are others than those that it evaluated.

    Their hash is computed only when a dataset or a run has changed since the last time; what it told then is kept.
    """
    if evaluation.status != "succeeded":
        return False
    with nucleus.database.read() as db:
        sources = evaluations.sources(db, evaluation)
        if all(evaluations.revisions(db, source) == (source.revision, source.arrivals) for source in sources):
            return evaluation.stale
        scope = Scope(db, sources, evaluation.benchmark)
        stale = scope.content(evaluation.request) != evaluation.content
    with nucleus.database.write() as db:
        evaluations.note_staleness(db, evaluation, stale, scope.sources)
    return stale
