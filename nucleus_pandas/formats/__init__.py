"""Files of annotations: read to frames, written from frames."""

from nucleus_pandas.formats.coco import read_coco, to_coco
from nucleus_pandas.formats.tables import Frames

__all__ = ["Frames", "read_coco", "to_coco"]
