"""The demo of the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.cli import main


def test_the_demo_reports_and_runs_again_without_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", str(folder)]) == 0
    first = capsys.readouterr().out
    assert "12 images, 166 ground-truth boxes, 287 predictions" in first
    assert "careful (simulated)      eager (simulated)" in first
    assert "AP is COCO's (hotcoco " in first
    assert all(line == line.rstrip() for line in first.splitlines())
    assert max(map(len, first.replace(str(folder), "").splitlines())) <= 100
    assert str(folder) in first
    assert main(["demo", str(folder), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["counts"] == {"images": 12, "ground-truth boxes": 166, "predictions": 287}
    with npd.NucleusClient.local(folder) as client:
        assert len(client.list_datasets()) == 1
        assert len(client.get_dataset(client.list_datasets()[0]).model_runs) == 2


def test_the_demo_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    from nucleus_pandas.cli import demo

    with npd.NucleusClient.local(tmp_path / "demo") as client:
        model = client.add_model("careful detector (simulated)", reference_id="sample-careful")
        client.create_dataset("Sample").create_model_run(model)
    assert demo.run(tmp_path / "demo").counts["predictions"] == 287
    with npd.NucleusClient.local(tmp_path / "demo") as client:
        runs = client.create_dataset("Sample", exist_ok=True).model_runs
        assert [run.info["status"] for run in runs] == ["committed", "committed"]


def test_the_demo_counts_every_box_once(tmp_path: Path) -> None:
    from nucleus_pandas import sample
    from nucleus_pandas.cli import demo

    report = demo.run(tmp_path / "demo")
    for detector, table in report.per_class.items():
        crowds = sample.ground_truth()["metadata"].str.contains("iscrowd").sum()
        assert table[["TP", "FN"]].sum().sum() == len(sample.ground_truth()) - crowds
        assert table[["TP", "FP"]].sum().sum() == len(sample.detections(detector))  # type: ignore[arg-type]


def test_the_demo_evaluates_as_the_frames_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nucleus_pandas import sample

    assert main(["demo", str(tmp_path / "demo"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert main(["demo", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    careful, eager = (
        npd.evaluate(sample.detections(name), sample.ground_truth(), items=sample.items()) for name in sample.DETECTORS
    )
    compared = careful.compare(eager)
    for name, found in (("careful", careful), ("eager", eager)):
        assert report["summary"][name] == pytest.approx(found.summary.to_dict(), abs=1e-12)
        table = pd.DataFrame(report["per_class"][name]).set_index("label")
        own = found.per_class[list(table.columns)]
        pd.testing.assert_frame_equal(table.loc[own.index], own, check_names=False, check_index_type=False)
        rest = table.drop(index=own.index)
        assert rest["AP"].isna().all()
        assert (rest[["TP", "FP", "FN"]] == 0).all(axis=None)
    assert report["difference"] == pytest.approx(compared.summary["difference"].to_dict(), abs=1e-12)
    assert (report["won"], report["lost"]) == (len(compared.won), len(compared.lost))
    assert (report["simulated"], report["engine"]) == (True, f"hotcoco {careful.engine_version}")
    lines = [line.split() for line in text.splitlines()]
    whole = [f"{careful.summary['AP']:.2f}", "81", "12", "83", f"{eager.summary['AP']:.2f}", "132", "62", "32"]
    assert ["all", "classes", *whole] in lines
    for name in ("AP", "AP50", "precision", "recall", "F1"):
        row = compared.summary.loc[name]
        assert [name, f"{row['this']:.3f}", f"{row['other']:.3f}", f"{row['difference']:+.3f}"] in lines
    assert [line[0] for line in lines[6:10]] == ["person", "car", "wine", "cup"]
    assert f"Objects found by the eager detector alone: {len(compared.won)}" in text


@pytest.mark.newest
def test_the_demo_draws_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", str(folder)]) == 0
    image = folder / "precision_recall.png"
    assert f"is drawn in {image}" in capsys.readouterr().out
    with Image.open(image) as found:
        assert (found.format, found.size) == ("PNG", (1200, 480))
        assert len(found.convert("RGB").getcolors(1 << 20)) > 100


def test_without_matplotlib_the_demo_tells_how_to_get_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", str(tmp_path / "demo")]) == 0
    assert "pip install 'nucleus_pandas[plot]' adds a plot." in capsys.readouterr().out
    assert main(["demo", str(tmp_path / "demo"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plot"] is None
