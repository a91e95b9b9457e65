"""The command line."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import nucleus_pandas as npd
from nucleus_pandas.cli import main, parser
from nucleus_pandas.cli.common import find_dataset

pytestmark = pytest.mark.smoke


def test_serve_prints_its_endpoint_and_answers(endpoint: str) -> None:
    assert endpoint.startswith("http://127.0.0.1:")
    assert endpoint.endswith("/v1/nucleus")
    with npd.NucleusClient(endpoint=endpoint) as client:
        assert client.list_datasets() == []


def test_a_store_outlives_its_server(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nucleus_pandas.cli", "serve", str(store), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    endpoint = json.loads(process.stdout.readline())["endpoint"]
    with npd.NucleusClient(endpoint=endpoint) as client:
        public_id = client.create_dataset("kept").id
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    with npd.NucleusClient.local(store) as client:
        assert client.list_datasets() == [public_id]


def test_a_server_ends_well_when_told_to(store: Path) -> None:
    command = [sys.executable, "-m", "nucleus_pandas.cli", "serve", str(store), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_wrong_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str) -> None:
    assert main(["serve", str(tmp_path / "store"), "--port", port]) == 1
    assert "from 0 to 65535" in capsys.readouterr().err


def test_a_taken_port_is_told_in_a_sentence(endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = endpoint.split(":")[2].split("/")[0]
    assert main(["serve", str(tmp_path / "other"), "--port", port]) == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_file_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo", str(tmp_path / "file")]) == 1
    assert "is a file" in capsys.readouterr().err


def test_without_a_command_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "usage: nucleus-pandas" in capsys.readouterr().err


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return found


def test_every_command_and_each_of_its_options_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(commands()) == ["demo", "serve", "import", "export", "datasets"]
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name, command in commands().items():
        assert re.search(rf"^ +{name} +\S", text, re.MULTILINE), name
        assert all(action.help for action in command._actions), name
        assert any("--json" in action.option_strings for action in command._actions), name
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"nucleus-pandas {name}" in capsys.readouterr().out


def test_the_module_runs_as_the_command_does() -> None:
    command = [sys.executable, "-m", "nucleus_pandas.cli", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == (
        f"nucleus_pandas {npd.__version__}\n"
    )


@pytest.fixture
def two_datasets(local: npd.NucleusClient) -> list[npd.Dataset]:
    """A dataset of two images, and an empty one, in the store."""
    made = [local.create_dataset("Street scenes"), local.create_dataset("日本")]
    made[0].append([{"reference_id": name, "image_url": f"https://example.org/{name}"} for name in "ab"])
    return made


def test_datasets_are_listed(store: Path, two_datasets: list[npd.Dataset], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (dataset.id for dataset in two_datasets)
    assert main(["datasets", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"id": first, "items": 2, "name": "Street scenes"},
        {"id": second, "items": 0, "name": "日本"},
    ]
    assert main(["datasets", "--store", str(store)]) == 0
    assert [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()] == [
        ["id", "items", "name"],
        [first, "2", "Street scenes"],
        [second, "0", "日本"],
    ]


def test_without_datasets_there_is_a_sentence_or_an_empty_list(
    local: npd.NucleusClient, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["datasets", "--store", str(store)]) == 0
    assert main(["datasets", "--store", str(store), "--json"]) == 0
    assert capsys.readouterr().out == "There are no datasets.\n[]\n"


def test_a_dataset_that_goes_while_it_is_listed_has_no_size(
    store: Path,
    two_datasets: list[npd.Dataset],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    get_dataset = npd.NucleusClient.get_dataset

    def deleting(client: npd.NucleusClient, dataset_id: str) -> npd.Dataset:
        if dataset_id == two_datasets[0].id:
            client.delete_dataset(dataset_id)
        return get_dataset(client, dataset_id)

    monkeypatch.setattr(npd.NucleusClient, "get_dataset", deleting)
    assert main(["datasets", "--store", str(store)]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["items", "-", "0"]


def test_a_command_works_on_the_store_or_the_server_it_is_told(
    served: str, two_datasets: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npd.NucleusClient.local(tmp_path / "empty").close()
    monkeypatch.setenv("NUCLEUS_ENDPOINT", served)
    assert main(["datasets", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    monkeypatch.setenv("NUCLEUS_PANDAS_STORE", str(tmp_path / "empty"))
    assert main(["datasets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["datasets", "--json", "--endpoint", served]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    monkeypatch.setenv("NUCLEUS_PANDAS_STORE", str(tmp_path / "store"))
    assert main(["datasets", "--json", "--store", str(tmp_path / "empty")]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_command_is_told_one_nucleus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["datasets", "--store", str(tmp_path), "--endpoint", "http://127.0.0.1:1"])
    assert ended.value.code == 2
    assert "not allowed with argument --store" in capsys.readouterr().err


def test_a_command_without_a_nucleus_names_the_ways_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets"]) == 1
    text = capsys.readouterr().err
    for way in ("--store", "NUCLEUS_PANDAS_STORE", "--endpoint", "NUCLEUS_ENDPOINT", "NUCLEUS_API_KEY"):
        assert way in text


@pytest.mark.parametrize("exists", [True, False])
def test_a_command_that_reads_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str], exists: bool) -> None:
    folder = tmp_path / "mistyped"
    if exists:
        folder.mkdir()
    assert main(["datasets", "--store", str(folder)]) == 1
    assert f"There is no store of an embedded Nucleus in '{folder}'" in capsys.readouterr().err
    assert folder.exists() == exists
    assert list(tmp_path.rglob("*.sqlite")) == []


def test_who_stops_reading_is_told_nothing(store: Path, two_datasets: list[npd.Dataset]) -> None:
    command = [sys.executable, "-m", "nucleus_pandas.cli", "datasets", "--store", str(store)]
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_dataset_is_found_by_id_or_by_name(local: npd.NucleusClient, two_datasets: list[npd.Dataset]) -> None:
    for dataset in two_datasets:
        assert find_dataset(local, dataset.id) == dataset
        assert find_dataset(local, dataset.name) == dataset
    odd = local.create_dataset("ds_named")
    assert find_dataset(local, "ds_named") == odd


def test_a_name_that_several_datasets_have_is_refused_with_their_ids(local: npd.NucleusClient) -> None:
    ids = [local.create_dataset("Twice").id for _ in range(2)]
    with pytest.raises(npd.InvalidInputError, match=f"2 datasets are named 'Twice': {ids[0]}, {ids[1]}"):
        find_dataset(local, "Twice")


def test_an_unknown_dataset_is_told_with_its_near_misses(
    local: npd.NucleusClient, two_datasets: list[npd.Dataset]
) -> None:
    with pytest.raises(npd.NotFoundError, match="no dataset 'street scene'.* Similar names: 'Street scenes'"):
        find_dataset(local, "street scene")
    with pytest.raises(npd.NotFoundError, match="'ds_0'.*`nucleus-pandas datasets` lists all"):
        find_dataset(local, "ds_0")


@pytest.fixture
def exportable(local: npd.NucleusClient, two_datasets: list[npd.Dataset]) -> list[str]:
    """Two runs on the first dataset, of which the first is committed, with a prediction each."""
    model = local.add_model("Detector", "det")
    box = {"reference_id": "a", "label": "car", "confidence": 0.5, "type": "box"}
    box["geometry"] = {"x": 1, "y": 2, "width": 30, "height": 40}  # type: ignore[assignment]
    runs = [two_datasets[0].create_model_run(model) for _ in range(2)]
    for run in runs:
        run.predict([box])
    runs[0].commit()
    return [run.id for run in runs]


def test_export_writes_what_the_library_writes(
    store: Path, local: npd.NucleusClient, exportable: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = local.create_dataset("Street scenes", exist_ok=True)
    assert main(["export", "Street scenes", str(tmp_path / "cli"), "--store", str(store), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = dataset.to_parquet(tmp_path / "cli", overwrite=True)
    assert pd.DataFrame(told)["path"].tolist() == expected["path"].tolist()
    assert [file["rows"] for file in told] == [2, 0, 1, 1, 1]
    assert [file["model_run_id"] for file in told] == [None, None, exportable[0], exportable[0], exportable[1]]
    assert [file["what"] for file in told] == ["items", "annotations", "predictions", "matches", "predictions"]
    pd.testing.assert_frame_equal(pd.read_parquet(told[0]["path"]), dataset.items.to_frame(metadata_as="json"))


def test_export_tells_people_what_it_wrote(
    store: Path, exportable: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cli"
    command = ["export", "Street scenes", str(folder), "--store", str(store)]
    options = ["--what", "matches", "--what", "predictions", "--run", exportable[0], "--run", exportable[1]]
    assert main([*command, *options]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [Path(line[-1]).name for line in lines] == ["predictions.parquet", "matches.parquet", "predictions.parquet"]
    assert all(line[:2] == ["1", "rows"] for line in lines)
    assert all(int(line[2]) == Path(line[-1]).stat().st_size for line in lines)
    assert main(command) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--what", "items"]) == 0
    assert [path.name for path in folder.iterdir()] == ["items.parquet"]


def test_export_refuses_what_it_does_not_know(
    store: Path, exportable: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "Street scenes", str(tmp_path / "cli"), "--store", str(store)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--what", "images"])
    assert ended.value.code == 2
    assert main([*command, "--run", "run_0"]) == 1
    assert "has no run 'run_0'" in capsys.readouterr().err
    assert main(["export", "Nowhere", str(tmp_path / "cli"), "--store", str(store)]) == 1
    assert "There is no dataset 'Nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "cli").exists()


def test_export_takes_a_server(
    served: str, exportable: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "Street scenes", str(tmp_path / "cli"), "--endpoint", served, "--what", "items", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)[0]["rows"] == 2
