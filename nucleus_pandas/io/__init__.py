"""Files of annotations: read to frames, written from frames."""

from nucleus_pandas.io.coco import CocoSource, read_coco, to_coco
from nucleus_pandas.io.frames import Frames
from nucleus_pandas.io.voc import read_voc, to_voc
from nucleus_pandas.io.yolo import read_yolo, to_yolo

__all__ = ["CocoSource", "Frames", "read_coco", "read_voc", "read_yolo", "to_coco", "to_voc", "to_yolo"]
