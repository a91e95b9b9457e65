"""
Make the README's gallery anew: ``python -m tests.tools.make_gallery``. It needs Chromium.

It shows eight of the sample's photographs with what one of its two simulated detectors found on them, right and wrong.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from nucleus_pandas import Gallery, sample
from tests.support.paths import NOTEBOOKS

IMAGE = NOTEBOOKS / "gallery.png"
SHOWN = ["184324", "352257", "261888", "269314", "208901", "458756", "491525", "360452"]
SIZE = 236  # pixels of a photograph
WIDTH, HEIGHT = 4 * SIZE + 3 * 16 + 2 * 16, 530


def gallery() -> Gallery:
    """Show the matches on some photographs."""
    items, truth, found = sample.items(), sample.ground_truth(), sample.detections("eager")
    names = [f"{number:0>12}.jpg" for number in SHOWN]
    some = found[found["reference_id"].isin(names) & (found["confidence"] >= 0.2)]
    evaluation = some.nucleus.evaluate(truth[truth["reference_id"].isin(names)])
    order = evaluation.matches.set_index("reference_id").loc[names].reset_index()
    return order.nucleus.show(items=items.drop(columns="metadata"), ground_truth=truth, predictions=some, size=SIZE)


def photograph(page: Path, image: Path, width: int, height: int, *, dark: bool = False) -> None:
    """Have a browser draw a page."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("There is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        options += [f"--blink-settings=preferredColorScheme={int(not dark)}", f"--window-size={width},{height}"]
        command = [browser, *options, f"--screenshot={image}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page, drawn = Path(folder) / "gallery.html", Path(folder) / "gallery.png"
        gallery().save(page)
        photograph(page, drawn, WIDTH, HEIGHT)
        with Image.open(drawn) as image:
            image.convert("RGB").save(IMAGE, optimize=True)
    print(IMAGE, IMAGE.stat().st_size)


if __name__ == "__main__":
    main()
