"""
Make the README's plot anew: ``python tests/make_plot.py``.

It shows the sample's two simulated detectors, as ``nucleus-pandas demo`` draws them.
"""

from pathlib import Path

from nucleus_pandas import sample
from nucleus_pandas.cli import demo

PLOT = Path(__file__).resolve().parent.parent / "notebooks" / "precision_recall.png"


def main() -> None:
    truth, photographs = sample.ground_truth(), sample.items()
    evaluations = {
        name: sample.detections(name).nucleus.evaluate(truth, items=photographs) for name in sample.DETECTORS
    }
    print(demo.draw(evaluations, PLOT))


if __name__ == "__main__":
    main()
