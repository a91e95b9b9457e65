"""Processor time and memory of COCO files: ``python tests/benchmarks/bench_formats.py``."""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANNOTATIONS, IMAGES = 500_000, 50_000


def made(path):
    """A file like COCO's own: polygons of ten to sixty numbers, eighty categories, some ten boxes an image."""
    import numpy as np

    rng = np.random.default_rng(0)
    box = np.hstack([rng.uniform(0, 500, (ANNOTATIONS, 2)), rng.uniform(1, 140, (ANNOTATIONS, 2))]).round(2)
    points = rng.integers(5, 31, ANNOTATIONS) * 2
    outline = (rng.uniform(0, 640, 100_000)).round(2).tolist()
    starts = rng.integers(0, 99_000, ANNOTATIONS).tolist()
    columns = (rng.integers(1, 81, ANNOTATIONS).tolist(), box.tolist(), (box[:, 2] * box[:, 3]).tolist())
    annotations = [
        {
            "segmentation": [outline[start : start + count]],
            "area": area,
            "iscrowd": 0,
            "image_id": at % IMAGES,
            "bbox": sides,
            "category_id": category,
            "id": at + 1,
        }
        for at, (start, count, category, sides, area) in enumerate(zip(starts, points.tolist(), *columns, strict=True))
    ]
    images = [{"id": at, "file_name": f"{at:012d}.jpg", "width": 640, "height": 480} for at in range(IMAGES)]
    categories = [{"id": at, "name": f"class {at}", "supercategory": "thing"} for at in range(1, 81)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def measured(what, path):
    """Do one thing in a process of its own: its seconds, and the most memory it took in MB."""
    done = subprocess.run([sys.executable, __file__, what, path], check=True, capture_output=True, text=True)
    return tuple(map(float, done.stdout.split()))


def do(what, path):
    if what == "made":
        made(Path(path))
        return
    import resource

    import nucleus_pandas as npd

    frames = npd.read_coco(path) if what == "to_coco" else None
    if what == "pycocotools":
        from pycocotools.coco import COCO
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    if what == "json.load":
        with open(path) as file:
            json.load(file)
    elif what == "pycocotools":
        with contextlib.redirect_stdout(io.StringIO()):
            COCO(path)
    elif what == "read_coco":
        npd.read_coco(path)
    else:
        npd.to_coco(*frames, f"{path}.written")
    seconds = time.process_time() - started
    print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coco.json")
        measured("made", str(path))
        size = path.stat().st_size / 1e6
        print(f"{ANNOTATIONS:,} annotations on {IMAGES:,} images, {size:.0f} MB; best of 3, each in its own process")
        peer = None
        for what in ("pycocotools", "json.load", "read_coco", "to_coco"):
            seconds, megabytes = min(measured(what, str(path)) for _ in range(3))
            peer = peer or (seconds, megabytes)
            ratio = f"{peer[0] / seconds:5.1f} times as fast as pycocotools, {megabytes / peer[1]:4.2f} of its memory"
            print(f"  {what:<12} {seconds:6.2f} s, {megabytes:6.0f} MB: {ratio}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        do(*sys.argv[1:])
    else:
        main()
