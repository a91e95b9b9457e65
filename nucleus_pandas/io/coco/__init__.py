"""COCO: ground truth and results, https://cocodataset.org/#format-data."""

from nucleus_pandas.io.coco.parsing import CocoSource
from nucleus_pandas.io.coco.reading import read_coco
from nucleus_pandas.io.coco.writing import to_coco

__all__ = ["CocoSource", "read_coco", "to_coco"]
