"""The annotations of a dataset, and the predictions of a run."""

from __future__ import annotations

from nucleus_pandas.images.gallery import SIZE, Gallery, check_size, gallery
from nucleus_pandas.schema import ANNOTATIONS, PREDICTIONS
from nucleus_pandas.views.annotation_indexer import AnnotatedItems, AnnotationIndexer
from nucleus_pandas.views.bulk_source import BulkSource
from nucleus_pandas.views.items import ItemsView
from nucleus_pandas.views.keys import Position
from nucleus_pandas.views.rest_source import (
    RestAnnotations,
    RestFreePredictions,
    RestModelPredictions,
    RestPartOfRun,
    RestRunPredictions,
)
from nucleus_pandas.views.source import RowSource
from nucleus_pandas.wire.bulk import ROWS


class AnnotationsView(AnnotatedItems):
    """The ground truth of a dataset, as a frame read on demand: `Dataset.annotations`.

    The frame has a RangeIndex, one row per annotation, in the order of the items, then of arrival. (The hosted REST API
    answers type by type: boxes first.) Its columns are ``dataset_item_id``, ``reference_id``,
    ``annotation_id``, ``label`` and ``type`` (text), ``x``, ``y``, ``width`` and ``height`` (``float64``, pixels from
    the top-left corner; those of boxes), ``geometry`` (dicts; of all other types), ``track_reference_id`` and
    ``task_id`` (text), ``embedding_vector`` (lists of float) and ``metadata`` (dicts).

    ``iloc``, ``loc`` and ``refloc`` address *items*, in the order and as often as asked, and return a frame with the
    annotations of these, and the columns of the key's second part.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> client = npd.NucleusClient.local()
    >>> dataset = client.create_dataset("Doc")
    >>> _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}"} for n in ("a.jpg", "b.jpg")])
    >>> box = {"type": "box", "label": "car", "geometry": {"x": 1, "y": 2, "width": 3, "height": 4}}
    >>> _ = dataset.annotate([{"reference_id": "b.jpg", **box}])
    >>> dataset.annotations.refloc["b.jpg", ["label", "x", "width"]]
      label    x  width
    0   car  1.0    3.0
    >>> len(dataset.annotations.iloc[0])
    0
    >>> client.close()
    """

    _kinds = ANNOTATIONS
    _noun = "annotations"

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        if "lookup" in self._transport.extensions:
            return BulkSource(self._transport, self._dataset, (*self._route, self._noun))
        return self._contract()

    def _contract(self) -> RowSource:
        return RestAnnotations(self._transport, self._dataset)

    def _items_view(self) -> ItemsView:
        """Return the view of the items."""
        return ItemsView(self._transport, ("dataset", self._dataset()), self._dataset)

    @property
    def iloc(self) -> AnnotationIndexer[Position]:
        """Rows of items by their position."""
        return AnnotationIndexer(self, "iloc")

    @property
    def loc(self) -> AnnotationIndexer[str]:
        """Rows of items by their item id."""
        return AnnotationIndexer(self, "loc")

    @property
    def refloc(self) -> AnnotationIndexer[str]:
        """Rows of items by their reference id."""
        return AnnotationIndexer(self, "refloc")

    def show(self, n: int = 12, *, size: int = SIZE) -> Gallery:
        """Show the first images of the dataset, and what lies on them.

        Parameters
        ----------
        n : int
            How many images.
        size : int
            Of an image's longer side, in pixels of the page.

        Returns
        -------
        Gallery
            See `nucleus_pandas.show`. Images that an embedded Nucleus keeps are put into it.

        Raises
        ------
        InvalidInputError
            The run spans datasets.
        MissingExtraError
            Pillow is not installed, and images have to be made small.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> with npd.NucleusClient.local() as client:
        ...     dataset = client.create_dataset("Doc")
        ...     _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        ...     dataset.annotations.show(4)
        <Gallery of 4 images>
        """
        check_size(n, size)
        items = self._items_view().iloc[: int(n)]
        rows = self.loc[items.index.tolist()]
        is_truth = self._noun == "annotations"
        return gallery(
            items,
            int(n),
            ground_truth=rows if is_truth else None,
            predictions=None if is_truth else rows,
            size=size,
            fetch=self._transport.image,
        )

    def __len__(self) -> int:
        # Servers do not count rows, but they can leave columns out.
        name = "dataset_item_id"
        return sum(len(page[name]) for page in self._source().pages([name], ROWS))


class PredictionsView(AnnotationsView):
    """The predictions of a model run, as a frame read on demand: `ModelRun.predictions`.

    As `AnnotationsView`, with the columns ``confidence`` (``float64``, from 0 to 1; missing where none was sent) and
    ``class_pdf`` (dicts of labels and their probabilities; None where none was sent).

    A run may span datasets. Then `to_frame` reads all its predictions and ``loc`` takes item ids, but positions and
    reference ids have no meaning.
    """

    _kinds = PREDICTIONS
    _noun = "predictions"

    def _contract(self) -> RowSource:
        return RestRunPredictions(self._transport, self._dataset, self._route[1])


class DatasetPredictionsView(PredictionsView):
    """The predictions of a model, or of one of its runs, on a dataset: `Dataset.predictions`, read on demand.

    As `PredictionsView`; those of a run that spans datasets have positions and reference ids here.
    """

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        if "model-predictions" in self._transport.extensions:
            return BulkSource(self._transport, self._dataset, (*self._route, self._noun))
        _, _, kind, public_id = self._route
        reader = RestModelPredictions if kind == "model" else RestPartOfRun
        return reader(self._transport, self._dataset, public_id)


class ModelPredictionsView(PredictionsView):
    """The predictions of a model that belong to no run: `Model.predictions`, read on demand.

    As `PredictionsView`. They may lie on items of any dataset: ``loc`` takes item ids, and as long as they all lie on
    one dataset, ``iloc`` and ``refloc`` are those of its items. The hosted REST API returns them item by item
    only, by ``loc`` and ``refloc``.
    """

    def _source(self) -> RowSource:
        """Create the source that one operation reads."""
        if "model-predictions" in self._transport.extensions:
            return BulkSource(self._transport, self._dataset, (*self._route, self._noun, "rows"))
        return RestFreePredictions(self._transport, self._dataset, self._route[1])

    def _items_view(self) -> ItemsView:
        """Return the view of the items."""
        if "model-predictions" in self._transport.extensions:
            return super()._items_view()
        return ItemsView(self._transport, self._route, self._dataset)
