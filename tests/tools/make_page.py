"""
Make the README's image of the page anew: ``python -m tests.tools.make_page``.

It shows the sample in a real browser: a run of a simulated detector, and one of its images.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.cli import demo
from tests.support.browsing import Watched, chromium, served
from tests.support.paths import NOTEBOOKS

IMAGE = NOTEBOOKS / "page.png"
WIDTH, GAP = 1280, 14
SHOWN = (("/runs/{run}", 560), ("/datasets/{dataset}/items/{item}?run={run}", 600))  # path, pixels
STREET = 4  # place of the image


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        demo.run(store)
        with npd.NucleusClient.local(store) as client:
            dataset = client.create_dataset("Sample", exist_ok=True)
            names = {
                "dataset": dataset.id,
                "run": dataset.model_runs[1].id,
                "item": dataset.items.to_frame().index[STREET],
            }
        parts = []
        with served(store) as origin, chromium() as browser:
            for path, height in SHOWN:
                tab = Watched(browser, origin, viewport={"width": WIDTH, "height": height}, color_scheme="light")
                tab.go(path.format(**names))
                parts.append(Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB"))
                tab.close()
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts) + GAP), "#c8c8c4")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height + GAP
    whole.quantize(256, kmeans=4, dither=Image.Dither.NONE).save(IMAGE, optimize=True)
    print(IMAGE)


if __name__ == "__main__":
    main()
