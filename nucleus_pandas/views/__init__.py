"""Items, annotations and predictions as frames: read whole, in chunks, or by the indexers."""

from nucleus_pandas.schema import Backend, no_backend
from nucleus_pandas.views.annotation_indexer import RunIndexer
from nucleus_pandas.views.annotations import (
    AnnotationsView,
    DatasetPredictionsView,
    ModelPredictionsView,
    PredictionsView,
)
from nucleus_pandas.views.base import MetadataAs, View, stacked
from nucleus_pandas.views.item_indexer import DatasetIndexer, ItemIndexer
from nucleus_pandas.views.items import ItemsView
from nucleus_pandas.views.keys import Position
from nucleus_pandas.views.queries import Query, QueryKind, check_query, query_frame
from nucleus_pandas.views.slices import SliceAnnotationsView, SliceItemsView, SlicePredictionsView

__all__ = [
    "AnnotationsView",
    "Backend",
    "DatasetIndexer",
    "DatasetPredictionsView",
    "ItemIndexer",
    "ItemsView",
    "MetadataAs",
    "ModelPredictionsView",
    "Position",
    "PredictionsView",
    "Query",
    "QueryKind",
    "RunIndexer",
    "View",
    "no_backend",
    "stacked",
    "SliceAnnotationsView",
    "SliceItemsView",
    "SlicePredictionsView",
    "check_query",
    "query_frame",
]
