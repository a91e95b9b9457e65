"""
Make the packaged sample anew: ``python -m tests.tools.make_sample SOURCE_FOLDER``.

SOURCE_FOLDER holds ``images/`` and ``instances.json``: images of COCO 2017 and their annotations in COCO's
format. The same images, annotations and library versions give the same files, byte by byte.
"""

import argparse
import io
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageCms

from tests.support.paths import ROOT

PACKAGED = ROOT / "nucleus_pandas" / "sample"

LONGER_SIDE = 320
LICENSE_ID = 4  # CC BY 2.0, in the list of licences that COCO's files share

SCENES = {
    "000000030213.jpg": "kitchen",
    "000000116740.jpg": "street",
    "000000166918.jpg": "table",
    "000000175364.jpg": "kitchen",
    "000000184324.jpg": "street",
    "000000208901.jpg": "sky",
    "000000261888.jpg": "street",
    "000000269314.jpg": "animal",
    "000000352257.jpg": "sports",
    "000000360452.jpg": "sports",
    "000000458756.jpg": "table",
    "000000491525.jpg": "animal",
}

SIMILAR = (
    ("airplane", "bird", "kite"),
    ("apple", "orange", "sports ball"),
    ("backpack", "handbag", "suitcase"),
    ("banana", "carrot"),
    ("baseball bat", "tennis racket"),
    ("bicycle", "motorcycle"),
    ("bottle", "cup", "vase", "wine glass"),
    ("bowl", "cup"),
    ("bus", "car", "truck"),
    ("cat", "dog"),
    ("chair", "couch"),
    ("clock", "stop sign"),
    ("cow", "horse"),
    ("dining table", "bench"),
    ("fork", "knife", "spoon"),
    ("microwave", "oven", "refrigerator", "toaster"),
    ("parking meter", "traffic light"),
)

TEXT, NUMBER, WHOLE = pa.string(), pa.float64(), pa.int64()
BOX = [("x", NUMBER), ("y", NUMBER), ("width", NUMBER), ("height", NUMBER)]
ITEMS = pa.schema([("reference_id", TEXT), ("image_width", WHOLE), ("image_height", WHOLE), ("metadata", TEXT)])
GROUND_TRUTH = pa.schema([("reference_id", TEXT), ("label", TEXT), *BOX, ("metadata", TEXT), ("annotation_id", TEXT)])
DETECTIONS = pa.schema([("detector", TEXT), ("reference_id", TEXT), ("label", TEXT), *BOX, ("confidence", NUMBER)])

Row = dict[str, Any]


class Box(NamedTuple):
    """A box by its upper left corner and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Size(NamedTuple):
    """The size of an image, in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Detector:
    """How a simulated detector errs; each number but the last three is a chance."""

    name: str
    misses_small: float
    misses_large: float
    confuses: float
    doubles: float
    sees_background: float
    jitter: float  # of an edge, as a share of the box's side
    boldness: float  # added to the logit of every confidence
    lowest: float  # confidence that is still reported


DETECTORS = (
    Detector("careful", 0.65, 0.06, 0.02, 0.01, 0.15, jitter=0.03, boldness=0.3, lowest=0.3),
    Detector("eager", 0.25, 0.01, 0.09, 0.14, 0.5, jitter=0.06, boldness=0.0, lowest=0.05),
)
BACKGROUND_TRIES = 4  # at each image, every one of which comes true with the chance `sees_background`


def box_of(row: Row) -> Box:
    """Return the row's box."""
    return Box(row["x"], row["y"], row["width"], row["height"])


def inside(left: float, top: float, right: float, bottom: float, size: Size) -> Box | None:
    """Cut the box at the image's edges and round it to hundredths; None where nothing is left."""
    x, y = (round(max(edge, 0.0), 2) for edge in (left, top))
    width = round(min(right, size.width) - x, 2)
    height = round(min(bottom, size.height) - y, 2)
    # the sum of two rounded numbers can end a hair outside, and readers may compare it strictly
    if x + width > size.width:
        width = round(width - 0.01, 2)
    if y + height > size.height:
        height = round(height - 0.01, 2)
    return Box(x, y, width, height) if width > 0 and height > 0 else None


def iou(one: Box, other: Box) -> float:
    """Return the share of the two boxes' union that both cover."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if wide <= 0 or high <= 0:
        return 0.0
    common = wide * high
    return common / (one.width * one.height + other.width * other.height - common)


def in_srgb(image: Image.Image) -> Image.Image:
    """Return the image in sRGB, which is what viewers take a file without a colour profile to be."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert converted is not None
    return converted


def scale_image(source: Path, target: Path) -> Size:
    """Write the image at the sample's size, without the metadata of its file."""
    with Image.open(source) as opened:
        image = in_srgb(opened)
    ratio = LONGER_SIDE / max(image.size)
    size = Size(round(image.width * ratio), round(image.height * ratio))
    scaled = image.resize(size, Image.Resampling.LANCZOS)
    scaled.info = {}
    scaled.save(target, "JPEG", quality=85, optimize=True)
    return size


def similar_to(label: str) -> list[str]:
    """Return the labels that a detector may take this one for."""
    return sorted({other for group in SIMILAR if label in group for other in group if other != label})


def confidence(rng: random.Random, quality: float, boldness: float) -> float:
    """Draw a confidence that grows with the quality of the box, both between 0 and 1."""
    logit = boldness + 5.0 * (quality - 0.5) + rng.gauss(0.0, 0.6)
    return round(min(max(1.0 / (1.0 + math.exp(-logit)), 0.001), 0.999), 3)


def moved(rng: random.Random, box: Box, jitter: float, size: Size) -> Box:
    """Return the box with every edge moved a little."""

    def around(edge: float, side: float) -> float:
        return edge + rng.gauss(0.0, jitter * side) + rng.gauss(0.0, 0.25)

    left, top = around(box.x, box.width), around(box.y, box.height)
    right = max(around(box.x + box.width, box.width), left + 1.0)
    bottom = max(around(box.y + box.height, box.height), top + 1.0)
    return inside(left, top, right, bottom, size) or box


def on_background(rng: random.Random, taken: Sequence[Box], size: Size) -> Box | None:
    """Return a box that covers none of the annotated ones, or None where no place was found."""
    for _ in range(20):
        width = size.width * math.exp(rng.uniform(math.log(0.04), math.log(0.4)))
        height = min(width * math.exp(rng.uniform(-0.7, 0.7)), 0.8 * size.height)
        x, y = rng.uniform(0.0, size.width - width), rng.uniform(0.0, size.height - height)
        box = inside(x, y, x + width, y + height, size)
        if box is not None and all(iou(box, other) < 0.2 for other in taken):
            return box
    return None


def simulate(
    detector: Detector, reference_id: str, size: Size, annotated: Sequence[Row], scene_labels: Sequence[str]
) -> list[Row]:
    """Return the detections that this detector might have reported for the image."""
    # seeded by names, so that another image or detector changes none of these detections
    rng = random.Random(f"{detector.name} {reference_id}")
    rows: list[Row] = []

    def report(label: str, box: Box, quality: float) -> None:
        sure = confidence(rng, quality, detector.boldness)
        if sure >= detector.lowest:
            where = {"detector": detector.name, "reference_id": reference_id, "label": label}
            rows.append({**where, **box._asdict(), "confidence": sure})

    for row in annotated:
        if json.loads(row["metadata"]).get("iscrowd"):
            continue
        true = box_of(row)
        visible = min(1.0, math.sqrt(true.width * true.height) / 64.0)
        if rng.random() < detector.misses_small * (1.0 - visible) + detector.misses_large * visible:
            continue
        clarity = 0.65 + 0.35 * visible
        others = similar_to(row["label"])
        confused = bool(others) and rng.random() < detector.confuses
        label = rng.choice(others) if confused else row["label"]
        found = moved(rng, true, detector.jitter, size)
        report(label, found, (0.6 if confused else 1.0) * iou(found, true) * clarity)
        if rng.random() < detector.doubles:
            again = moved(rng, true, 2.5 * detector.jitter, size)
            report(label, again, 0.6 * iou(again, true) * clarity)

    taken = [box_of(row) for row in annotated]
    for _ in range(BACKGROUND_TRIES):
        if rng.random() < detector.sees_background:
            box = on_background(rng, taken, size)
            if box is not None:
                report(rng.choice(scene_labels), box, rng.uniform(0.0, 0.4))

    return sorted(rows, key=lambda row: (-row["confidence"], row["label"], row["x"], row["y"]))


def write_table(rows: list[Row], schema: pa.Schema, path: Path) -> None:
    """Write the rows in the schema's columns, with nothing in the file but them."""
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd", store_schema=False)


def attribution(items: Sequence[Row]) -> str:
    """Return the text that names every source."""
    images = "\n".join(
        f"images/{row['reference_id']}\n  source: {json.loads(row['metadata'])['source']}\n"
        f"  CC BY 2.0, https://creativecommons.org/licenses/by/2.0/; scaled to {LONGER_SIDE} px\n"
        for row in items
    )
    return f"""\
ATTRIBUTION OF THE SAMPLE

Images (images/*.jpg, items.parquet)

The images are photographs from Flickr that are part of COCO 2017 (https://cocodataset.org). Each one is
under the Creative Commons Attribution 2.0 licence (CC BY 2.0,
https://creativecommons.org/licenses/by/2.0/). They were changed: each was scaled to {LONGER_SIDE} px on
its longer side, brought to sRGB where it had another colour profile, and saved as a JPEG file again. COCO
names no authors; the first number in the file name of a source address is the photograph's number at Flickr,
where its page names the author. The word for the scene in items.parquet is not COCO's; it was added for this
sample.

{images}
Annotations (ground_truth.parquet)

The annotations are by the COCO Consortium, under the Creative Commons Attribution 4.0 licence (CC BY 4.0,
https://creativecommons.org/licenses/by/4.0/). They were changed: the boxes were scaled with the images, and
only the boxes, their labels, their numbers and the crowd flag were kept.

  T.-Y. Lin, M. Maire, S. Belongie, J. Hays, P. Perona, D. Ramanan, P. Dollar, C. L. Zitnick: Microsoft COCO:
  Common Objects in Context. ECCV 2014. https://arxiv.org/abs/1405.0312

Detections (detections.parquet)

The detections are SIMULATED by this project: random changes of the annotations above, and random boxes. No
real detector made them, and they say nothing about any.
"""


def make(source: Path, target: Path) -> None:
    """Create the sample in the folder `target` from the images and annotations in `source`."""
    coco = json.loads((source / "instances.json").read_text(encoding="utf-8"))
    labels = {category["id"]: category["name"] for category in coco["categories"]}
    known = set(labels.values())
    unknown = sorted({label for group in SIMILAR for label in group} - known)
    if unknown:
        raise SystemExit(f"labels that the source does not have: {', '.join(unknown)}")
    images = {image["file_name"]: image for image in coco["images"]}
    missing = sorted(SCENES.keys() - images.keys())
    if missing:
        raise SystemExit(f"images that the source does not have: {', '.join(missing)}")

    (target / "images").mkdir(parents=True, exist_ok=True)
    items: list[Row] = []
    annotated: dict[str, list[Row]] = {}
    for reference_id, scene in sorted(SCENES.items()):
        image = images[reference_id]
        if image["license"] != LICENSE_ID:
            raise SystemExit(f"{reference_id} is not under CC BY 2.0")
        size = scale_image(source / "images" / reference_id, target / "images" / reference_id)
        about = {"scene": scene, "license": "CC BY 2.0", "source": image["flickr_url"]}
        items.append(
            {
                "reference_id": reference_id,
                "image_width": size.width,
                "image_height": size.height,
                "metadata": json.dumps(about),
            }
        )

        wider, higher = size.width / image["width"], size.height / image["height"]
        rows = annotated[reference_id] = []
        of_image = (row for row in coco["annotations"] if row["image_id"] == image["id"])
        for annotation in sorted(of_image, key=lambda row: int(row["id"])):
            x, y, width, height = annotation["bbox"]
            box = inside(x * wider, y * higher, (x + width) * wider, (y + height) * higher, size)
            if box is None:
                raise SystemExit(f"annotation {annotation['id']} has no area inside {reference_id}")
            rows.append(
                {
                    "reference_id": reference_id,
                    "label": labels[annotation["category_id"]],
                    **box._asdict(),
                    "metadata": json.dumps({"iscrowd": 1} if annotation["iscrowd"] else {}),
                    "annotation_id": str(annotation["id"]),
                }
            )

    of_scene: dict[str, set[str]] = {}
    for reference_id, scene in SCENES.items():
        for row in annotated[reference_id]:
            of_scene.setdefault(scene, set()).update([row["label"], *similar_to(row["label"])])

    detections = [
        row
        for detector in DETECTORS
        for item in items
        for row in simulate(
            detector,
            item["reference_id"],
            Size(item["image_width"], item["image_height"]),
            annotated[item["reference_id"]],
            sorted(of_scene[SCENES[item["reference_id"]]]),
        )
    ]

    write_table(items, ITEMS, target / "items.parquet")
    write_table([row for rows in annotated.values() for row in rows], GROUND_TRUTH, target / "ground_truth.parquet")
    write_table(detections, DETECTIONS, target / "detections.parquet")
    (target / "ATTRIBUTION").write_text(attribution(items), encoding="utf-8", newline="\n")


def main() -> None:
    """Read the folders from the command line."""
    parser = argparse.ArgumentParser(description="Make the packaged sample anew.")
    parser.add_argument("source", type=Path, help="folder with images/ and instances.json, in COCO's format")
    parser.add_argument("target", type=Path, nargs="?", default=PACKAGED, help="default: the package's folder")
    arguments = parser.parse_args()
    make(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
