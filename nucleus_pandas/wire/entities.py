"""What a dataset holds, on the wire: items, and annotations as one union tagged by ``type``.

A prediction is an annotation with a confidence. Coordinates are pixels from the top-left corner;
beyond 1e150 areas would be infinite.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

JsonObject: TypeAlias = dict[str, Any]
NonEmptyString: TypeAlias = Annotated[str, Meta(min_length=1)]
Coordinate: TypeAlias = Annotated[float, Meta(ge=-1e150, le=1e150)]
SideLength: TypeAlias = Annotated[float, Meta(ge=0, le=1e150)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
ClassProbabilities: TypeAlias = dict[str, Fraction]
Vector: TypeAlias = list[float]
Pixels: TypeAlias = Annotated[int, Meta(gt=0, lt=2**31)]


class Item(Struct, kw_only=True, omit_defaults=True):
    """An image (or a point cloud) on its way to a dataset."""

    reference_id: NonEmptyString
    image_url: NonEmptyString | None = None
    pointcloud_url: NonEmptyString | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    metadata: JsonObject | None = None
    embedding_info: JsonObject | None = None
    update: bool | None = None


class BoxGeometry(Struct, gc=False):
    """A box by its top-left corner and its size."""

    x: Coordinate
    y: Coordinate
    width: SideLength
    height: SideLength


class Vertex(Struct, gc=False):
    """A point of a line or a polygon."""

    x: Coordinate
    y: Coordinate


class Vertices(Struct):
    """The geometry of a line or a polygon."""

    vertices: Annotated[list[Vertex], Meta(min_length=1)]


class Keypoint(Struct, gc=False):
    """A keypoint; one that is not visible may lack its place."""

    x: Coordinate | UnsetType | None = UNSET
    y: Coordinate | UnsetType | None = UNSET
    visible: bool = True


class KeypointsGeometry(Struct):
    """Named keypoints and the pairs of them that the skeleton joins."""

    keypoints: list[Keypoint]
    names: list[str]
    skeleton: list[tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        """Reject what the official client could not read back."""
        count = len(self.keypoints)
        if len(self.names) != count:
            raise ValueError(f"There are {count} keypoints and {len(self.names)} names")
        if len(set(self.names)) < count:
            raise ValueError("Two keypoints have one name")
        for number, point in enumerate(self.keypoints):
            if point.visible and not all(isinstance(side, (int, float)) for side in (point.x, point.y)):
                raise ValueError(f"The keypoint {number} is visible, so it needs `x` and `y`")
        for pair in self.skeleton or ():
            if not all(-count <= end < count for end in pair):
                raise ValueError(f"The skeleton joins {list(pair)}, but there are {count} keypoints")


class Point3D(Struct, gc=False):
    """A point in the scene's frame, in metres."""

    x: Coordinate
    y: Coordinate
    z: Coordinate


class Size3D(Struct, gc=False):
    """The size of a cuboid along its three axes, in metres."""

    x: SideLength
    y: SideLength
    z: SideLength


class CuboidGeometry(Struct):
    """A cuboid by its centre, its size and its heading in radians."""

    position: Point3D
    dimensions: Size3D
    yaw: float


class Segment(Struct, omit_defaults=True):
    """What one value of a mask's pixels means."""

    label: str
    index: Annotated[int, Meta(ge=0, lt=2**31)]
    metadata: JsonObject | None = None


class Annotation(Struct, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every annotation and prediction may hold."""

    reference_id: NonEmptyString | None = None
    item_id: NonEmptyString | None = None
    dataset_id: NonEmptyString | None = None
    annotation_id: NonEmptyString | None = None
    metadata: JsonObject | None = None
    confidence: Fraction | None = None
    class_pdf: ClassProbabilities | None = None
    track_reference_id: str | None = None
    task_id: str | None = None
    embedding_vector: Vector | None = None


DETAILS = ("class_pdf", "track_reference_id", "task_id", "embedding_vector")
"""Fields that any annotation may have, and few have; the first one is that of predictions."""


class Labelled(Annotation, kw_only=True, omit_defaults=True):
    """What every type of annotation with one label holds."""

    label: NonEmptyString


class Box(Labelled, kw_only=True, tag="box"):
    """A box."""

    geometry: BoxGeometry


class Line(Labelled, kw_only=True, tag="line"):
    """An open line."""

    geometry: Vertices


class Polygon(Labelled, kw_only=True, tag="polygon"):
    """A closed line."""

    geometry: Vertices


class Keypoints(Labelled, kw_only=True, tag="keypoints"):
    """Keypoints of one object."""

    geometry: KeypointsGeometry


class Cuboid(Labelled, kw_only=True, tag="cuboid"):
    """A cuboid in a point cloud."""

    geometry: CuboidGeometry


class Category(Labelled, kw_only=True, tag="category"):
    """A label of a whole image or scene."""

    geometry: JsonObject | None = None
    taxonomy_name: str | None = None


class MultiCategory(Annotation, kw_only=True, tag="multicategory"):
    """Several labels of a whole image."""

    labels: list[NonEmptyString]
    geometry: JsonObject | None = None
    taxonomy_name: str | None = None


class Mask(Annotation, kw_only=True, tag="mask"):
    """A segmentation: a PNG whose pixel values `annotations` explains."""

    mask_url: NonEmptyString
    annotations: list[Segment]


AnyAnnotation: TypeAlias = Box | Line | Polygon | Keypoints | Cuboid | Category | MultiCategory | Mask

GROUND_TRUTH_KEYS: tuple[str, ...] = (
    "box",
    "line",
    "polygon",
    "keypoints",
    "segmentation",
    "cuboid",
    "category",
    "multicategory",
)
"""The keys under which annotations are read back; masks stand under ``segmentation``."""

PREDICTION_KEYS: tuple[str, ...] = tuple(key for key in GROUND_TRUTH_KEYS if key != "multicategory")
"""The keys under which predictions are read back; the official client takes no other."""
