"""
Make the README's plot anew: ``python -m tests.tools.make_plot``.

It shows the sample's two simulated detectors, as ``nucleus-pandas demo`` draws them.
"""

from nucleus_pandas import sample
from nucleus_pandas.cli import demo
from tests.support.paths import NOTEBOOKS

PLOT = NOTEBOOKS / "precision_recall.png"


def main() -> None:
    truth, photographs = sample.ground_truth(), sample.items()
    evaluations = {
        name: sample.detections(name).nucleus.evaluate(truth, items=photographs) for name in sample.DETECTORS
    }
    print(demo.draw(evaluations, PLOT))


if __name__ == "__main__":
    main()
