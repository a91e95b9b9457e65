"""The caller's columns by their canonical names."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from nucleus_pandas.errors import InvalidInputError
from nucleus_pandas.schema.foreign_frames import FrameLike, frame_of

CANONICAL = (
    "reference_id",
    "image_url",
    "image_width",
    "image_height",
    "image_error",
    "dataset_item_id",
    "annotation_id",
    "label",
    "type",
    "x",
    "y",
    "width",
    "height",
    "geometry",
    "taxonomy_name",
    "confidence",
    "class_pdf",
    "track_reference_id",
    "task_id",
    "embedding_vector",
    "metadata",
)
"""The names of columns, as on the wire; one mapping serves items, annotations and predictions of a joint frame."""

LIKE_CONFIDENCE = ("score", "scores", "conf", "prob", "probability")
"""What others call the confidence of a prediction, in lower case."""

_LIKE = {
    "confidence": LIKE_CONFIDENCE,
    "label": ("class", "category", "class_name", "category_name", "name", "cls"),
    "reference_id": ("image_id", "file_name", "filename", "image_name", "file", "image"),
    "image_url": ("url", "uri", "path", "file_path", "filepath", "image_path"),
}
"""What others call columns, in lower case."""

_ACTIVE_GEOMETRY = "active_geometry_name"
_SHOWN = 20  # columns in an error's text


class NamedColumns:
    """A frame whose columns, and named index levels, are found by their canonical names.

    Parameters
    ----------
    frame : pandas.DataFrame, or a table that exports Arrow
        The caller's; never changed.
    columns : dict of str to hashable, optional
        The caller's column names by canonical name.
    canonical : sequence of str
        The known canonical names.

    Raises
    ------
    InvalidInputError
        This is not a frame, its column names are ambiguous, or the mapping names a column that does not exist.
    """

    def __init__(
        self, frame: FrameLike, columns: Mapping[str, Hashable] | None, canonical: Sequence[str] = CANONICAL
    ) -> None:
        frame = frame_of(frame)
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()].unique().tolist()
            raise InvalidInputError(
                f"The frame has several columns named {', '.join(map(repr, twice[:_SHOWN]))}. Drop or rename all but "
                "one: frame.loc[:, ~frame.columns.duplicated()] keeps the first."
            )
        self.frame = frame
        # Looked up by hand: `in` and [] of a MultiIndex take a part of a name for the whole.
        self._positions: dict[Hashable, int] = {name: at for at, name in enumerate(frame.columns)}
        self._levels: dict[Hashable, int] = {name: at for at, name in enumerate(frame.index.names) if name is not None}
        if columns is not None and not isinstance(columns, Mapping):
            raise InvalidInputError(
                f"columns= is a dict such as {{'reference_id': 'your_column'}}, not {type(columns).__name__}.",
                argument="columns",
            )
        self._mapping = dict(columns or {})
        self._canonical = canonical
        if "geometry" not in self._mapping and not self.holds("geometry") and hasattr(type(frame), _ACTIVE_GEOMETRY):
            active = getattr(frame, _ACTIVE_GEOMETRY)  # of a GeoDataFrame
            self._mapping |= {} if active is None else {"geometry": active}
        self.check_direction(self._mapping)
        for name, own in self._mapping.items():
            if name not in canonical:
                like = difflib.get_close_matches(str(name), canonical, 1)
                hint = f" Is {like[0]!r} meant?" if like else ""
                raise InvalidInputError(
                    f"columns= maps {name!r}, which is not a known column name; known are "
                    f"{', '.join(map(repr, canonical))}.{hint} Write columns={{'reference_id': 'your_column'}}.",
                    argument="columns",
                )
            if not self.holds(own):
                near = next(iter(self._near(own)), self.example(name))
                use = f"Use columns={{{name!r}: {near!r}}}."
                raise InvalidInputError(f"{self.missing(own, f' for {name!r}')} {use}")

    def check_direction(self, columns: Mapping[str, Hashable]) -> None:
        """Reject a mapping of the caller's names to known ones, as ``df.rename`` takes it."""

        def is_turned(name: str, own: Hashable) -> bool:
            is_right = name in self._canonical and self.holds(own)
            return not is_right and own in self._canonical and self.holds(name)

        turned = {own: name for name, own in columns.items() if is_turned(name, own)}
        if turned:
            rest = {name: own for name, own in columns.items() if name not in turned.values()}
            raise InvalidInputError(
                "columns= maps known names to yours, the other way round than df.rename. "
                f"Write columns={turned | rest!r}.",
                argument="columns",
            )

    def __len__(self) -> int:
        return len(self.frame)

    def some(self, rows: Sequence[int]) -> NamedColumns:
        """Return the rows at some positions, under the same names."""
        return NamedColumns(self.frame.iloc[list(rows)], self._mapping, self._canonical)

    @property
    def index(self) -> pd.Index[Any]:
        """The labels of the rows."""
        return self.frame.index

    @property
    def names(self) -> list[Hashable]:
        """The caller's names of columns and index levels."""
        return [*self._positions, *(name for name in self._levels if name not in self._positions)]

    def holds(self, own: Hashable) -> bool:
        """Return True if the caller has a column or an index level of this name."""
        if not isinstance(own, Hashable):
            raise InvalidInputError(f"{own!r}, a {type(own).__name__}, is not a column name.")
        try:
            return own in self._positions or own in self._levels
        except TypeError:  # a tuple that holds a list
            raise InvalidInputError(f"{own!r} is not a column name.") from None

    def own(self, own: Hashable, use: str = "") -> pd.Series[Any]:
        """Return a column, or an index level, by the caller's name."""
        if not self.holds(own):
            raise InvalidInputError(self.missing(own, use))
        if own in self._positions:
            column: pd.Series[Any] = self.frame.iloc[:, self._positions[own]]
            return column
        if list(self.index.names).count(own) > 1:
            raise InvalidInputError(f"The index has several levels named {own!r}. Rename all but one.")
        # By its number, without names: a level may be called 1, and be the first.
        unnamed = self.index.set_names([None] * self.index.nlevels)
        return pd.Series(unnamed.get_level_values(self._levels[own]), index=None, name=own)

    def name(self, canonical: str) -> Hashable:
        """Return the caller's name of a canonical column."""
        return self._mapping.get(canonical, canonical)

    def has(self, canonical: str) -> bool:
        """Return True if the caller has a canonical column."""
        return self.holds(self.name(canonical))

    def get(self, canonical: str) -> pd.Series[Any] | None:
        """Return a canonical column, or None."""
        return self.own(self.name(canonical)) if self.has(canonical) else None

    def need(self, canonical: str, remedy: str = "") -> pd.Series[Any]:
        """Return a canonical column, or raise InvalidInputError."""
        if not self.has(canonical):
            hint = remedy or f"Use columns={{{canonical!r}: {self.example(canonical)!r}}}."
            raise InvalidInputError(f"{self.missing(self.name(canonical))} {hint}")
        return self.own(self.name(canonical))

    def image_side(self, side: str, *, has_boxes: bool | None = None) -> pd.Series[Any] | None:
        """Return the widths or heights of images: ``image_width``, or ``width`` in a frame without columns of boxes.

        Parameters
        ----------
        side : {"width", "height"}
            Which side.
        has_boxes : bool, optional
            Whether ``width`` and ``height`` are those of boxes; by default beside ``x`` or ``y``.
        """
        if self.has(f"image_{side}"):
            return self.get(f"image_{side}")
        if has_boxes is None:
            has_boxes = self.has("x") or self.has("y")
        return None if has_boxes else self.get(side)

    def is_mapped(self, canonical: str) -> bool:
        """Return True if the caller has said which column this is."""
        return canonical in self._mapping

    def mapping_with(self, more: Mapping[str, Hashable]) -> dict[str, Hashable]:
        """Return the caller's names by canonical name, and more of them."""
        return {**self._mapping, **more}

    def example(self, canonical: str) -> Hashable:
        """Return the name of a column that may be meant by a canonical name, for an error's remedy."""
        near = self._near(canonical)
        return near[0] if near else "your_column"

    def _near(self, wanted: Hashable) -> Sequence[Hashable]:
        names = {str(name): name for name in self.names}
        folded = {name.lower().replace("_", "").replace(" ", ""): name for name in names}
        key = str(wanted).lower().replace("_", "").replace(" ", "")
        near = difflib.get_close_matches(str(wanted), names, 3, 0.6)
        near += [folded[match] for match in difflib.get_close_matches(key, folded, 3, 0.6)]
        near += [name for name in names if len(name) > 2 and (name.lower() in key or key in name.lower())]
        like = _LIKE.get(str(wanted), ())
        near += [name for known in like for name in names if name.lower() == known]
        return [names[name] for name in dict.fromkeys(near)]

    def missing(self, own: Hashable, use: str = "") -> str:
        """Return the message for a missing column: what was looked up, what exists, and what may be meant."""
        names = self.names
        there = ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
        near = self._near(own)
        hint = f" Is {' or '.join(map(repr, near[:3]))} meant?" if near else ""
        return f"Column {own!r}{use} not found; there {'are ' + there if names else 'is none'}.{hint}"
