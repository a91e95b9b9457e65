"""Where the project, its data and its notebooks lie."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
DATA = TESTS / "data"
NOTEBOOKS = ROOT / "notebooks"
COCO_VAL2014_100 = DATA / "coco_val2014_100"
VOC2012_100 = DATA / "voc2012_100"
