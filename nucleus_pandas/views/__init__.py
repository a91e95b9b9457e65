"""Items, annotations and predictions as frames: read whole, in chunks, or by the indexers."""

from nucleus_pandas.columns import Backend, no_backend
from nucleus_pandas.views.annotation_indexer import RunIndexer
from nucleus_pandas.views.annotations import AnnotationsView, PredictionsView
from nucleus_pandas.views.item_indexer import DatasetIndexer
from nucleus_pandas.views.items import ItemsView
from nucleus_pandas.views.metadata import MetadataAs
from nucleus_pandas.views.view import View, stacked

__all__ = [
    "AnnotationsView",
    "Backend",
    "DatasetIndexer",
    "ItemsView",
    "MetadataAs",
    "PredictionsView",
    "RunIndexer",
    "View",
    "no_backend",
    "stacked",
]
