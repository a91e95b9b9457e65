"""Parts of a dataset: what a query finds, and slices, which have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.runs import ModelRun
from nucleus_pandas.schema import Backend, Items, item_ids, no_backend
from nucleus_pandas.schema.item_ids import Named
from nucleus_pandas.slices import Slice, sample_of, slice_of, slices_of
from nucleus_pandas.transport.resource import Resource
from nucleus_pandas.views import MetadataAs, Query, QueryKind, check_query, query_frame


class Selecting(Resource):
    """What a dataset has for this, by inheritance."""

    @property
    def slices(self) -> list[Slice]:
        """The slices of this dataset."""
        return slices_of(self._transport, self.id)

    def create_slice(self, name: str | Mapping[str, Any], reference_ids: Items | None = None) -> Slice:
        """Make a slice of items of this dataset.

        Parameters
        ----------
        name : str or dict
            The name, which no other slice of the dataset may have; or the fields, ``{"name": …}`` with
            ``reference_ids`` or ``dataset_item_ids``.
        reference_ids : iterable of str, or pandas.DataFrame, optional
            Reference ids; or a frame with ``reference_id`` or ``dataset_item_id``, in a column or the index: items,
            annotations, or what `query` gives. Each item is in the slice once, in the order in which it comes first.
            Without any the slice is empty.

        Returns
        -------
        Slice
            It also answers ``["slice_id"]``.

        Raises
        ------
        InvalidInputError
            An id is missing or no text, or a frame names no items.
        NotFoundError
            Items are not in the dataset; no slice was made, or with more than 10,000 items, it holds those before.
        ConflictError
            The dataset has a slice of that name.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        >>> boxes = dataset.annotations.to_frame()
        >>> cats = dataset.create_slice("with cats", boxes[boxes["label"] == "cat"])
        >>> cats.to_frame()["reference_id"].tolist() == boxes["reference_id"][boxes["label"] == "cat"].unique().tolist()
        True
        >>> client.close()
        """
        if isinstance(name, Mapping):
            return slice_of(self._transport, self.id, *_slice_fields(name, reference_ids))
        return slice_of(self._transport, self.id, name, item_ids(reference_ids))

    def build_slice(
        self,
        name: str,
        sample_size: int,
        sample_method: str = "Random",
        filters: Mapping[str, str] | None = None,
        *,
        seed: int | None = None,
    ) -> Slice:
        """Make a slice of a sample of the items.

        Parameters
        ----------
        name : str
            The name, which no other slice of the dataset may have.
        sample_size : int
            How many items, if there are so many.
        sample_method : {"Random", "Uniqueness"}
            How to draw. Uniqueness needs the embeddings of the hosted service.
        filters : dict, optional
            ``{"slice_id": …}``: the slice from whose items to draw, instead of all.
        seed : int, optional
            What an embedded Nucleus draws by: the same items, the same seed, the same sample. Without it the name
            stands for the seed.

        Raises
        ------
        ConflictError
            The dataset has a slice of that name.
        UnsupportedError
            The server cannot draw by that method.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> names = [f"{number}.jpg" for number in range(100)]
        >>> _ = dataset.append([{"reference_id": n, "image_url": f"https://example.org/{n}"} for n in names])
        >>> tenth = dataset.build_slice("a tenth", 10, seed=1)
        >>> len(tenth), len(dataset.build_slice("half of it", 5, filters={"slice_id": tenth.id}))
        (10, 5)
        >>> client.close()
        """
        if unknown := set(filters or {}) - {"slice_id"}:
            raise InvalidInputError(f"A sample is filtered by 'slice_id', not by {', '.join(map(repr, unknown))}.")
        source = (filters or {}).get("slice_id")
        return sample_of(self._transport, self.id, name, sample_size, sample_method, source, seed)

    def query(
        self,
        text: str,
        kind: QueryKind = "items",
        *,
        run: ModelRun | str | None = None,
        metadata_as: MetadataAs = "dict",
        dtype_backend: Backend = no_backend,
    ) -> pd.DataFrame:
        """Find items, annotations or predictions by what they are like.

        Parameters
        ----------
        text : str
            The query, as below. An empty one finds everything.
        kind : {"items", "annotations", "predictions"}
            What to find.
        run : ModelRun or str, optional
            The run whose predictions are found, or are meant by ``predictions``. Without it ``predictions`` are those
            of any run.
        metadata_as, dtype_backend
            As in `ItemsView.to_frame`.

        Returns
        -------
        pandas.DataFrame
            As ``dataset.items.to_frame()``, ``dataset.annotations.to_frame()`` or ``run.predictions.to_frame()``, with
            the rows that the query finds.

        Raises
        ------
        BadRequestError
            The query is wrong; the text shows the line, and the place by a caret. Refused are also queries of more
            than 50,000 characters or 200 fields and values, and those nested more than 10 deep.
        UnsupportedError
            It asks for scenes, autotags or labeling tasks, which an embedded Nucleus does not have.
        InvalidInputError
            An argument is none of those above.

        Notes
        -----
        **Fields of items**: ``reference_id``, ``dataset_item_id``, ``width``, ``height``, ``metadata.<key>``, deeper
        ``metadata.<key>.<key>``, and ``slice``, the name of a slice that holds the item. Names that are no word stand
        in quotation marks: ``metadata."time of day"``.

        **Their annotations** (and likewise ``predictions``): ``annotations.count`` and ``annotations.<label>`` are
        numbers, as ``annotations."traffic light" >= 2``; ``annotations.box.count`` and ``annotations.box.<label>``
        those of one type. Categories have no place in the picture and are counted by ``annotations.category.count``
        alone. ``annotations.label``, ``.type``, ``.annotation_id``, ``.x``, ``.y``, ``.width``, ``.height``,
        ``.area``, ``.confidence``, ``.metadata.<key>``, ``.position.x``, ``.dimensions.x``, ``.taxonomy_name``,
        ``.track_reference_id``, ``.task_id``, ``.class_pdf.<label>`` and ``annotations.<label>.<key>`` (metadata of
        those with that label) are those of any one annotation: a comparison holds if it holds for one of them.
        ``annotations.<taxonomy> = "rainy"`` asks for a category. What one and the same annotation is to be like stands
        in brackets: ``annotations[label = "car" and width < 20]``, or ``annotations[…].count > 2``.

        **Fields of annotations and predictions**, where these are found: those that follow ``annotations.`` above,
        without it (``label = "car"``, ``metadata.occluded``); of their item ``item.metadata.<key>``, ``item.width``
        and so on, ``reference_id``, ``annotations.count``.

        **Operators**, from the weakest: ``or``, ``and``, ``not``; ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``,
        ``in ("rain", "fog")``, ``like "night%"`` (``%`` is any text, ``_`` any character, case does not matter),
        ``is null``, ``is not null``, ``not in``, ``not like``; ``+``, ``-``; ``*``, ``/``, ``%``; parentheses. Texts
        stand in ``"`` or ``'``, doubled where a text holds one itself; a single word may go without on the right of a
        comparison.

        **Missing values** are null, and so is JSON null; what is said of null is null, as in SQL, and finds nothing:
        ``metadata.weather != "rain"`` finds no item without weather. Texts, numbers and true or false are never equal
        to each other, and none is less than the other, which is no error; what is no number cannot be calculated with,
        and gives null, as division by zero does.

        This is what an embedded Nucleus takes. The hosted service has its own language, which agrees in
        ``metadata.<key>``, ``annotations.count``, ``annotations.<label>``, ``annotations.metadata.<key>`` and
        ``reference_id``, the comparisons, ``+``, ``-``, ``%``, ``and`` and ``or``.

        Examples
        --------
        >>> import nucleus_pandas as npd
        >>> from nucleus_pandas import sample
        >>> client = npd.NucleusClient.local()
        >>> dataset = client.create_dataset("Doc")
        >>> _ = dataset.append(sample.items()), dataset.annotate(sample.ground_truth())
        >>> dataset.query('metadata.scene = "street" and annotations.car > 6')["reference_id"].tolist()
        ['000000116740.jpg']
        >>> len(dataset.query('label = "car" and item.metadata.scene = "street"', kind="annotations"))
        14
        >>> dataset.query('metadata.scene = street andd width > 5')
        Traceback (most recent call last):
        nucleus_pandas.errors.BadRequestError: There cannot be 'andd' here; expected an operator, 'and', 'or' or ...
        >>> client.close()
        """
        run_id = run.id if isinstance(run, ModelRun) else run
        check_query(text, kind, run_id)
        here = ("dataset", self.id)
        return query_frame(
            self._transport, here, lambda: self.id, Query(text, run_id), kind, metadata_as, dtype_backend
        )


def _slice_fields(fields: Mapping[str, Any], reference_ids: Items | None) -> tuple[str, Named]:
    """Take the fields of a slice from a payload dict."""
    known = {"name", "reference_ids", "dataset_item_ids", "allow_empty"}
    if unknown := set(fields) - known:
        raise InvalidInputError(f"A slice has no {', '.join(sorted(map(repr, unknown)))}.")
    both = [name for name in ("reference_ids", "dataset_item_ids") if fields.get(name)]
    if len(both) + (reference_ids is not None) > 1:
        raise InvalidInputError("A slice is made of reference_ids or of dataset_item_ids, not of both.")
    if reference_ids is not None:
        return fields.get("name", ""), item_ids(reference_ids)
    if fields.get("dataset_item_ids"):
        return fields.get("name", ""), item_ids(fields["dataset_item_ids"], "dataset_item_id")
    return fields.get("name", ""), item_ids(fields.get("reference_ids"))
