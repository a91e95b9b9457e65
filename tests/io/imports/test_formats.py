"""COCO, YOLO and VOC into datasets and runs, and what the command line says of any import."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas.cli import main
from tests.support.paths import VOC2012_100

DATA = VOC2012_100
SOURCES = {"coco": "coco_cvat.json", "yolo": "yolo", "voc": "voc_xml"}
CORNERS = ("--bbox", "xmin", "ymin", "xmax", "ymax", "--bbox-format", "xyxy")
BOX = ["reference_id", "label", "x", "y", "width", "height"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ground truth of a hundred photographs in three formats, with images of their sizes beside it."""
    folder = tmp_path_factory.mktemp("voc") / "annotations"
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("images"))  # those are made small
    (folder.parent / "images").mkdir()
    for image in json.loads((DATA / "coco_cvat.json").read_text())["images"]:
        shade = image["id"] % 256
        Image.new("L", (image["width"], image["height"]), shade).save(folder.parent / "images" / image["file_name"])
    return folder


@pytest.fixture
def run_command(store: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `nucleus-pandas import …` on the store: exit code, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["import", *map(str, arguments), "--store", str(store)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def boxes_in(client: npd.NucleusClient, name: str) -> pd.DataFrame:
    dataset = client.create_dataset(name, exist_ok=True)
    return dataset.annotations.to_frame()[BOX].sort_values(BOX[:5], ignore_index=True)


def test_three_formats_give_the_same_frames(files: Path, run_command: Any, store: Path) -> None:
    for form, source in SOURCES.items():
        code, out, _ = run_command(files / source, form, "--format", form, "--no-journal")
        assert code == 0
        assert "items: 100 rows" in out
        assert "annotations: 273 rows" in out
    with npd.NucleusClient.local(store) as client:
        coco, yolo, voc = (boxes_in(client, form) for form in SOURCES)
        assert len(coco) == 273
        pd.testing.assert_frame_equal(coco, voc)
        pd.testing.assert_frame_equal(coco, yolo, atol=0.001, rtol=0)
        items = [
            client.create_dataset(form, exist_ok=True).items.to_frame().set_index("reference_id").sort_index()
            for form in SOURCES
        ]
        for other in items[1:]:
            columns = ["image_url", "image_width", "image_height"]
            pd.testing.assert_frame_equal(items[0][columns], other[columns])
        assert all(Path(url).is_file() for url in items[0]["image_url"])


def test_an_import_of_a_format_goes_on_where_it_ended(
    files: Path, local: npd.NucleusClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = local.create_dataset("COCO")
    first = npd.import_files(files / "coco_cvat.json", dataset, "coco", journal=tmp_path / "journal")
    assert {kind: (result.new, result.already_sent) for kind, result in first.items()} == {
        "items": (100, 0),
        "annotations": (273, 0),
    }
    from nucleus_pandas.transport.session import Transport

    request = Transport.request

    def only_reads(self: Transport, method: str, *segments: str, **options: Any) -> Any:
        assert segments[-1] in ("generation", "marks"), "something was sent"
        return request(self, method, *segments, **options)

    monkeypatch.setattr(Transport, "request", only_reads)
    again = npd.import_files(files / "coco_cvat.json", dataset, "coco", journal=tmp_path / "journal")
    assert {kind: result.already_sent for kind, result in again.items()} == {"items": 100, "annotations": 273}
    assert {result.new for result in again.values()} == {0}


def test_an_interrupted_import_of_images_sends_the_others(
    files: Path, local: npd.NucleusClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nucleus_pandas.uploads import images

    monkeypatch.setattr(images, "_BATCH_FILES", 10)
    dataset, journal = local.create_dataset("COCO"), tmp_path / "journal"
    begun: list[range] = []
    whole = images.start_batch

    def interrupted(upload: Any, batch: range, *arguments: Any) -> Any:
        begun.append(batch)
        if len(begun) == 9:
            raise KeyboardInterrupt
        return whole(upload, batch, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(images, "start_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            npd.import_files(files / "coco_cvat.json", dataset, "coco", journal=journal)
    stored = len(dataset)
    assert 0 < stored < 100
    result = npd.import_files(files / "coco_cvat.json", dataset, "coco", journal=journal)["items"]
    assert (result.new, result.already_sent, len(dataset)) == (100 - stored, stored, 100)
    order = [image["file_name"] for image in json.loads((files / "coco_cvat.json").read_text())["images"]]
    assert dataset.items.to_frame()["reference_id"].tolist() == order


def test_a_folder_of_images_is_imported(files: Path, run_command: Any, store: Path, tmp_path: Path) -> None:
    images = shutil.copytree(files.parent / "images", tmp_path / "images")
    (images / "night").mkdir()
    shutil.copy(images / "2007_000027.jpg", images / "night" / "again.jpg")
    (images / "2007_000032.jpg").write_bytes(b"no image")
    (images / "2007_000033.jpg").write_bytes(b"")
    code, out, _ = run_command(images, "Images", "--format", "images")
    assert code == 3
    assert "items: 101 rows" in out
    assert "99 new, 2 rejected" in out
    rejects = pd.read_parquet(images / "_images.items.rejects.parquet")
    assert rejects["reference_id"].tolist() == ["2007_000032.jpg", "2007_000033.jpg"]
    with npd.NucleusClient.local(store) as client:
        (dataset,) = map(client.get_dataset, client.list_datasets())
        items = dataset.items.to_frame().set_index("reference_id")
        assert list(items.index) == sorted(items.index)
        assert items.loc["night/again.jpg", "image_url"] == items.loc["2007_000027.jpg", "image_url"]
        with Image.open(items.loc["2007_000027.jpg", "image_url"]) as image:
            assert items.loc["2007_000027.jpg", ["image_width", "image_height"]].tolist() == list(image.size)
        stored = [path for path in (store / "images").rglob("*") if path.is_file()]
        assert len(stored) == 98
    for name in ("2007_000032.jpg", "2007_000033.jpg"):
        shutil.copy(files.parent / "images" / name, images / name)
    code, out, _ = run_command(images, "Images", "--format", "images", "--json")
    told = json.loads(out)["items"]
    assert (code, told["new"] + told["ignored"], told["failed"]) == (0, 101, 0)
    assert not (images / "_images.items.rejects.parquet").exists()


def test_a_folder_with_names_of_any_bytes_is_imported(run_command: Any, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (b"a.png", b"caf\xe9.png"):
        Image.new("L", (8, 6)).save(os.fsdecode(os.fsencode(folder) + b"/" + name))
    (folder / "lost.png").symlink_to("nowhere")
    for done in ("new", "already sent"):
        code, out, _ = run_command(folder, "Images", "--format", "images")
        assert (code, f"1 {done}, 2 rejected" in out) == (3, True)
    rejects = pd.read_parquet(folder / "_folder.items.rejects.parquet")
    assert rejects["reference_id"].tolist() == ["caf�.png", "lost.png"]
    assert rejects["reject_reason"].str.contains("has a name that is not UTF-8|No such file").all()


def test_detections_go_to_a_run(files: Path, run_command: Any, store: Path) -> None:
    options = ("--format", "coco", "--no-journal")
    assert run_command(files / "coco_cvat.json", "COCO", *options)[0] == 0
    detections = (files / "coco_results.json", "COCO", *options, "--ground-truth", files / "coco_cvat.json")
    code, out, _ = run_command(*detections, "--model", "detector", "--json")
    told = json.loads(out)
    assert (code, told["predictions"]["new"], "items" in told) == (0, 452, False)
    code, out, _ = run_command(*detections, "--run", told["run"])
    assert (code, "452 ignored" in out) == (0, True)
    code, _, err = run_command(*detections)
    assert code == 1
    assert "these are predictions, which need a run: --run RUN." in err
    code, _, err = run_command(files / "coco_cvat.json", "COCO", *options, "--model", "detector")
    assert code == 1
    assert "holds no confidences" in err
    with npd.NucleusClient.local(store) as client:
        run = client.get_model_run(told["run"])
        assert len(run.predictions) == 452
        summary = run.evaluate().summary
        assert 0.2 < summary["AP50"] < 0.9


def test_images_that_cannot_be_found_are_told_before_anything_is_sent(
    files: Path, run_command: Any, store: Path, tmp_path: Path
) -> None:
    shutil.copy(files / "coco_cvat.json", tmp_path / "alone.json")
    code, _, err = run_command(tmp_path / "alone.json", "COCO", "--format", "coco")
    assert code == 1
    assert "No image of" in err
    assert "Name their folder: --images your_folder" in err
    code, out, _ = run_command(tmp_path / "alone.json", "COCO", "--format", "coco", "--images", files.parent / "images")
    assert (code, "100 new" in out) == (0, True)


def test_what_does_not_go_together_is_refused(files: Path, run_command: Any, local: npd.NucleusClient) -> None:
    coco = files / "coco_cvat.json"
    for arguments, says in (
        ((coco, "D", "--format", "coco", "--kind", "items"), "--kind applies to the columns of Parquet files"),
        ((coco, "D", "--format", "coco", "--bbox", "b"), "--bbox applies to the columns"),
        ((coco, "D", "--format", "coco", "--bbox-format", "xyxy"), "--bbox-format applies to the columns"),
        ((coco, coco, "D", "--format", "coco"), "takes one source, not 2"),
        ((coco, "D", "--format", "coco", "--names", "n"), "--names applies to 'yolo', not to 'coco'"),
        ((coco, "D", "--images", "n"), "--images: n does not exist. Name the folder that holds the files"),
        ((coco, "D", "--names", "n"), "--names goes with --format yolo."),
        (
            (coco, "D"),
            "is not a Parquet file. Annotation files of other formats are imported by import_files: --format",
        ),
        ((coco, "D", "--kind", "annotations", "--model", "m"), "--run and --model are for predictions"),
        ((files / "none.json", "D", "--format", "coco"), "There is no file"),
        ((coco, "D", "--column", "label"), "--column takes NAME=COLUMN"),
        ((files, "D", "--format", "coco"), "is a folder, but COCO is a file: name it"),
        ((coco, "D", "--format", "coco", "--ground-truth", coco), "--ground-truth is for lists of results"),
        ((files / "coco_results.json", "D", "--format", "coco"), "COCO file: --ground-truth instances.json.\n"),
        ((coco, "D", "--batch-size", "0"), "--batch-size must be a whole number"),
        ((files / "yolo", "D", "--format", "yolo", "--names", files / "none"), "none': No such file or directory.\n"),
    ):
        code, _, err = run_command(*arguments)
        assert code == 1
        assert says in err, (arguments, err)
    with pytest.raises(npd.InvalidInputError, match="form is 'coco' or 'yolo' or 'voc' or 'images'"):
        npd.import_files(coco, local.create_dataset("D"), "csv")  # type: ignore[arg-type]


def test_refused_rows_are_written_down_and_raised(files: Path, local: npd.NucleusClient, tmp_path: Path) -> None:
    images = shutil.copytree(files.parent / "images", tmp_path / "images")
    (images / "2007_000027.jpg").write_bytes(b"")
    dataset, rejects = local.create_dataset("COCO"), tmp_path / "r.parquet"
    with pytest.raises(
        npd.UploadError, match=r"items: 1 of 100 rows are rejected:\n  coco_cvat.json, row \d+"
    ) as refused:
        npd.import_files(files / "coco_cvat.json", dataset, "coco", images=images, rejects=rejects, journal=False)
    lost = refused.value.result["annotations"].failed
    assert (refused.value.result["items"].new, refused.value.result["annotations"].new) == (99, 273 - lost)
    items, boxes = (pd.read_parquet(rejects.with_suffix(f".{kind}.parquet")) for kind in ("items", "annotations"))
    assert items["reference_id"].tolist() == ["2007_000027.jpg"]
    assert items["reject_reason"].str.contains("is an empty file").all()
    assert boxes["reference_id"].tolist() == ["2007_000027.jpg"] * lost
    assert lost > 0


# The command line


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A Parquet file of one's own: other names, two corners, plain columns of metadata."""
    frame = pd.DataFrame(
        {
            "file": [f"{number // 3}.jpg" for number in range(30)],
            "class": "car",
            "xmin": 1.0,
            "ymin": 2.0,
            "xmax": [20.0 + number for number in range(30)],
            "ymax": 44.0,
            "weather": "rain",
            "score": 0.5,
        }
    )
    frame["url"] = "https://example.org/" + frame["file"]
    frame.to_parquet(tmp_path / "mine.parquet", row_group_size=10)
    return tmp_path / "mine.parquet"


def test_each_error_says_what_to_type(mine: Path, run_command: Any, store: Path) -> None:
    typed: list[object] = [mine, "Mine"]
    code, _, err = run_command(*typed)
    assert (code, "Use --column reference_id=file" in err) == (1, True)
    typed += ["--column", "reference_id=file"]
    code, _, err = run_command(*typed)
    assert (code, "Use --column image_url=url" in err) == (1, True)
    typed += ["--column", "image_url=url"]
    code, out, _ = run_command(*typed, "--metadata", "weather")
    assert (code, out.startswith("items: 30 rows of 1 file into the dataset 'ds_"), "10 new" in out) == (0, True, True)
    typed = [mine, "Mine", "--kind", "annotations", "--column", "reference_id=file"]
    code, _, err = run_command(*typed)
    assert (code, "Use --bbox xmin ymin xmax ymax with --bbox-format xyxy" in err) == (1, True)
    typed += ["--bbox", "xmin", "ymin", "xmax", "ymax"]
    code, _, err = run_command(*typed)
    assert (code, "Use --bbox-format xyxy" in err) == (1, True)
    typed += ["--bbox-format", "xyxy"]
    code, _, err = run_command(*typed)
    assert (code, "Use --column label=class" in err) == (1, True)
    typed += ["--column", "label=class"]
    code, _, err = run_command(*typed, "--metadata", "wether")
    assert (code, "Is 'weather' meant?" in err) == (1, True)
    code, out, _ = run_command(*typed, "--metadata", "weather", "--json")
    assert (code, json.loads(out)["new"]) == (0, 30)
    code, _, err = run_command(*typed, "--kind", "predictions", "--column", "confidence=score")
    assert (code, "name it with --run RUN, or a model with --model MODEL" in err) == (1, True)
    code, out, _ = run_command(*typed, "--kind", "predictions", "--column", "confidence=score", "--model", "det")
    assert (code, "into the run 'run_" in out) == (0, True)
    with npd.NucleusClient.local(store) as client:
        (dataset,) = map(client.get_dataset, client.list_datasets())
        assert dataset.annotations.to_frame()["width"].tolist() == [19.0 + number for number in range(30)]
        assert dataset.items.to_frame()["metadata"].tolist() == [{"weather": "rain"}] * 10
        assert len(dataset.model_runs[0].predictions) == 30


def test_nothing_is_made_for_files_that_cannot_be_sent(
    mine: Path, files: Path, run_command: Any, store: Path, tmp_path: Path
) -> None:
    wrong = (
        (mine, "Mine"),
        (mine, "Mine", "--column", "reference_id=file", "--column", "image_url=url", "--metadata", "wether"),
        (mine, tmp_path / "none.parquet", "Mine"),
        (files / "coco_results.json", "Mine", "--format", "coco"),
        (files / "coco_results.json", "Mine", "--format", "coco", "--ground-truth", files / "coco_cvat.json"),
    )
    for arguments in wrong:
        assert run_command(*arguments)[0] == 1
        assert not store.exists()
    names = ("--column", "reference_id=file", "--column", "image_url=url")
    assert run_command(mine, "Mine", *names)[0] == 0
    boxes = ("--kind", "predictions", *names, "--column", "label=class", "--bbox", "xmin", "ymin", "xmax", "y")
    for arguments in (
        (mine, "Mine", *boxes, "--model", "det"),
        (files / "coco_results.json", "Mine", "--format", "coco", "--model", "det"),
        (files / "coco_cvat.json", "Mine", "--format", "coco", "--model", "det"),
    ):
        assert run_command(*arguments)[0] == 1
    code, _, err = run_command(mine, "Mime", *names, "--column", "label=class", "--kind", "annotations", *CORNERS)
    assert (code, "There is no dataset 'Mime', by id or by name. Similar names: 'Mine'" in err) == (1, True)
    with npd.NucleusClient.local(store) as client:
        (dataset,) = client.list_datasets()
        assert client.models.empty
        assert client.get_dataset(dataset).model_runs == []


def test_a_model_has_one_open_run_for_all_its_imports(mine: Path, run_command: Any, store: Path) -> None:
    names = ("--column", "reference_id=file", "--column", "image_url=url", "--column", "label=class")
    run_command(mine, "Mine", *names)
    corners = ("--bbox", "xmin", "ymin", "xmax", "ymax", "--bbox-format", "xyxy", "--column", "confidence=score")
    command = (mine, "Mine", *names, *corners, "--kind", "predictions", "--model", "det", "--json")
    first = json.loads(run_command(*command)[1])
    again = json.loads(run_command(*command)[1])
    assert (again["run"], again["already_sent"]) == (first["run"], 30)
    with npd.NucleusClient.local(store) as client:
        client.get_model_run(first["run"]).commit()
    other = json.loads(run_command(*command)[1])
    assert other["run"] != first["run"]
    assert other["new"] == 30


def test_the_exit_code_tells_of_refused_rows(mine: Path, run_command: Any, tmp_path: Path) -> None:
    frame = pd.read_parquet(mine)
    frame.loc[[3, 17], "xmax"] = 0.0
    frame.to_parquet(mine, row_group_size=10)
    names = ("--column", "reference_id=file", "--column", "image_url=url", "--column", "label=class")
    run_command(mine, "Mine", *names)
    corners = ("--bbox", "xmin", "ymin", "xmax", "ymax", "--bbox-format", "xyxy", "--kind", "annotations")
    code, out, _ = run_command(mine, "Mine", *names, *corners)
    assert code == 3
    assert "28 new, 2 rejected" in out
    assert f"are in '{tmp_path / '_mine.annotations.rejects.parquet'}'" in out
    rejects = pd.read_parquet(tmp_path / "_mine.annotations.rejects.parquet")
    assert rejects["reject_row"].tolist() == [3, 17]
    assert rejects["reject_row_group"].tolist() == [0, 1]
    assert rejects["reject_column"].tolist() == ["xmax", "xmax"]
    assert rejects["reject_reason"].str.contains("less than x1").all()
    assert rejects["file"].tolist() == ["1.jpg", "5.jpg"]
    code, _, err = run_command(mine, "Mine", *names, *corners, "--max-rejects", "1")
    assert code == 1
    assert "More rows are rejected than --max-rejects 1 allows" in err
    frame.assign(xmax=50.0).to_parquet(mine, row_group_size=10)
    code, out, err = run_command(mine, "Mine", *names, *corners)
    assert code == 0
    assert "nucleus-pandas: warning: 'mine.parquet' has changed since it was imported" in err
    assert not (tmp_path / "_mine.annotations.rejects.parquet").exists()


def test_lists_of_structs_are_named_as_they_have_to_be_typed(run_command: Any, tmp_path: Path) -> None:
    boxes = [[{"bbox": [1.0, 2.0, 3.0, 4.0], "category": "car"}]]
    pd.DataFrame({"reference_id": ["0.jpg"], "objects": boxes}).to_parquet(tmp_path / "nested.parquet")
    typed: list[object] = [tmp_path / "nested.parquet", "Mine", "--kind", "annotations"]
    code, _, err = run_command(*typed)
    assert (code, "Use --bbox objects.bbox, with --bbox-format xywh, or" in err) == (1, True)
    typed += ["--bbox", "objects.bbox", "--bbox-format", "xywh"]
    code, _, err = run_command(*typed, "--column", "label=category")
    assert (code, "Is 'objects.category' meant? Use --column label=objects.category." in err) == (1, True)


def test_an_export_is_imported_file_by_file(mine: Path, run_command: Any, store: Path, tmp_path: Path) -> None:
    names = ("--column", "reference_id=file", "--column", "image_url=url")
    run_command(mine, "Mine", *names)
    export = ["export", "Mine", str(tmp_path / "export"), "--store", str(store)]
    assert main(export) == 0
    assert main(export) == 1
    code, _, err = run_command(tmp_path / "export", "Copy")
    assert code == 1
    assert "is not empty. --overwrite replaces an earlier export." in err
    assert "annotations.parquet is an export of annotations, but items are imported." in err
    assert "Name only the files of items. Did you mean --kind annotations?" in err
    code, out, _ = run_command(tmp_path / "export" / "items.parquet", "Copy")
    assert (code, "10 new" in out) == (0, True)


def test_the_help_of_an_import_is_complete() -> None:
    command = [sys.executable, "-m", "nucleus_pandas.cli", "import", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in (
        *("--format", "--kind", "--run", "--model", "--column", "--bbox", "--bbox-format", "--metadata", "--local"),
        *("--if-exists", "--batch-size", "--max-rejects", "--rejects", "--journal", "--no-journal", "--no-progress"),
        *("--images", "--names", "--ground-truth", "--json", "--store", "--endpoint", "Exit codes: 0"),
    ):
        assert option in text
