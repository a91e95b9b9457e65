"""What holds for every call, and what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Twelve boxes in three row groups."""
    frame = pd.DataFrame({"reference_id": ["a.jpg"] * 12, "label": "car", "x": range(12)})
    frame.assign(y=1.0, width=20.0, height=30.0).to_parquet(tmp_path / "boxes.parquet", row_group_size=4)
    return tmp_path / "boxes.parquet"


def test_bars_are_shown_or_not_for_every_call(
    local: npd.NucleusClient, boxes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = local.create_dataset("Scenes")
    dataset.append([{"reference_id": "a.jpg", "image_url": "https://example.org/a.jpg"}])
    frame = pd.read_parquet(boxes)

    def shown(**options: bool) -> tuple[bool, bool]:
        frame.nucleus.annotate(dataset, batch_size=5, **options)
        upload = capsys.readouterr().err
        npd.import_parquet(boxes, dataset, "annotations", journal=False, **options)
        return "annotations" in upload, "annotations" in capsys.readouterr().err

    assert shown() == (False, False)
    with npd.set_options(progress=True):
        assert shown() == (True, True)
        with npd.set_options(progress=False):
            assert shown() == (False, False)
            assert shown(progress=True) == (True, True)
        assert shown(progress=False) == (False, False)
        assert shown() == (True, True)
    assert shown() == (False, False)
    npd.set_options(progress=True)
    assert shown() == (True, True)
    npd.set_options(progress=None)
    assert shown() == (False, False)
    with pytest.raises(npd.InvalidInputError, match="progress must be True, False or None, not 1"):
        npd.set_options(progress=1)  # type: ignore[arg-type]


NOTEBOOK = """
import sys, types, warnings
warnings.simplefilter("error")
shell = types.ModuleType("ipykernel.zmqshell")
python = types.ModuleType("IPython")
python.get_ipython = lambda: types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules |= {"ipykernel": types.ModuleType("ipykernel"), "ipykernel.zmqshell": shell, "IPython": python}
sys.modules |= dict.fromkeys(["ipywidgets", "IPython.html", "IPython.html.widgets"])  # not installed
import nucleus_pandas as npd
with npd.NucleusClient.local() as client:
    dataset = client.create_dataset("Scenes")
    images = [{"reference_id": f"{n}.jpg", "image_url": f"https://example.org/{n}.jpg"} for n in range(3)]
    dataset.append(images, batch_size=1)
    npd.set_options(progress=False)
    dataset.append(images, batch_size=1)
"""


def test_notebooks_without_widgets_have_a_bar_of_text() -> None:
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("row/s]")
    assert done.stdout.count("items: 100%") == 1


def test_versions_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleus_pandas._util.options._OPTIONAL", ("no-such-package",))
    npd.show_versions()
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["nucleus_pandas"] == npd.__version__
    assert lines["pandas"] == pd.__version__
    assert lines["no-such-package"] == "not installed"
    npd.show_versions(as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["pandas"], told["no-such-package"]) == (pd.__version__, None)
