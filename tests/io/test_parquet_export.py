"""Exports: files that keep everything, say what they hold, and appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nucleus_pandas as npd
from nucleus_pandas.io.parquet import export as exporting
from nucleus_pandas.io.parquet.export import ROW_GROUP, ExportFile, export
from nucleus_pandas.io.parquet.export_schema import EXPORT_KINDS
from nucleus_pandas.schema import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    ITEM_COLUMNS,
    ITEMS,
    MATCH_COLUMNS,
    MATCHES,
    PREDICTION_COLUMNS,
    PREDICTIONS,
)
from tests.support.contract_only import contract_only, count_requests
from tests.support.draws import draws
from tests.support.every_type import IDS, annotations, fill, spelled, without_ids

BACKENDS: list[Any] = [{}, {"dtype_backend": "numpy_nullable"}, {"dtype_backend": "pyarrow"}]


@pytest.fixture
def filled(client: npd.NucleusClient) -> npd.Dataset:
    """A dataset with rows of every kind, and a run that is not committed."""
    return fill(client)


@pytest.fixture
def committed(filled: npd.Dataset) -> npd.ModelRun:
    """Its run, committed."""
    (run,) = filled.model_runs
    run.commit()
    return run


@pytest.fixture
def plain(local: npd.NucleusClient) -> npd.Dataset:
    """A dataset of twelve images, each with a box, without runs."""
    dataset = local.create_dataset("Plain")
    names = [f"{number:02}.jpg" for number in range(12)]
    dataset.append(pd.DataFrame({"reference_id": names, "image_url": "https://example.org/a.jpg"}))
    dataset.annotate(pd.DataFrame({"reference_id": names, "label": "car", "x": 1, "y": 2, "width": 30, "height": 4}))
    return dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where an export goes: nothing is there, and nothing beside it."""
    return tmp_path / "exports" / "street"


def with_texts(frame: pd.DataFrame, **backend: Any) -> pd.DataFrame:
    """A frame as it is exported: shapes, probabilities and embeddings are JSON text."""
    written = {}
    for name in ("geometry", "class_pdf", "embedding_vector"):
        if name in frame:
            dumped = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)
            texts = [None if value is None else dumped(value) for value in frame[name]]
            written[name] = pd.Series(texts, frame.index, frame["label"].dtype)
    return frame.assign(**written)


def written(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def about(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pq.read_schema(file).metadata[b"nucleus_pandas"])
    return found


def cut(dataset: npd.Dataset, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Any]) -> None:
    """Let reading go wrong after the first row group of the annotations."""
    monkeypatch.setattr(exporting, "ROW_GROUP", 5)
    chunks = type(dataset.annotations).iter_frames

    def fails(view: Any, *arguments: Any, **options: Any) -> Iterator[pd.DataFrame]:
        for frame in chunks(view, *arguments, **options):
            yield frame
            if view._kinds is ANNOTATIONS:
                error()

    monkeypatch.setattr(type(dataset.annotations), "iter_frames", fails)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pandas_reads_what_the_library_gives(
    filled: npd.Dataset, committed: npd.ModelRun, folder: Path, backend: Any
) -> None:
    filled.to_parquet(folder)
    items = pd.read_parquet(folder / "items.parquet", **backend)
    pd.testing.assert_frame_equal(items, filled.items.to_frame(metadata_as="json", **backend))
    truth = pd.read_parquet(folder / "annotations.parquet", **backend)
    pd.testing.assert_frame_equal(truth, with_texts(filled.annotations.to_frame(metadata_as="json", **backend)))
    assert truth["geometry"].notna().sum() == 7
    predictions = pd.read_parquet(
        folder / "predictions" / f"model_run_id={committed.id}" / "predictions.parquet", **backend
    )
    expected = with_texts(committed.predictions.to_frame(metadata_as="json", **backend))
    pd.testing.assert_frame_equal(predictions, expected)
    assert predictions["confidence"].isna().sum() == 1


def test_matches_are_read_as_the_library_gives_them(filled: npd.Dataset, committed: npd.ModelRun, folder: Path) -> None:
    filled.to_parquet(folder)
    matches = pd.read_parquet(folder / "matches" / f"model_run_id={committed.id}" / "matches.parquet")
    pd.testing.assert_frame_equal(matches, committed.matches(0))
    assert set(matches["match_type"]) == {"TP", "FP", "FN"}


def test_matches_of_many_pages_are_read_page_by_page(local: npd.NucleusClient, folder: Path) -> None:
    count = 10_050
    dataset = local.create_dataset("Many")
    dataset.append([{"reference_id": "a", "image_url": "https://example.org/a.jpg"}])
    boxes = pd.DataFrame({"reference_id": "a", "label": "car", "x": range(0, 9 * count, 9), "y": 2.0})
    run = dataset.create_model_run(local.add_model("Detector", "det"))
    run.predict(boxes.assign(width=3, height=4, confidence=0.5))
    run.commit()
    asked = count_requests(local)
    files = dataset.to_parquet(folder, what=["matches"])
    assert (files["rows"].tolist(), asked["matches"]) == ([count], 2)
    pd.testing.assert_frame_equal(pd.read_parquet(files["path"][0]), run.matches(0))


def test_the_predictions_of_all_runs_are_read_with_their_run(
    client: npd.NucleusClient, filled: npd.Dataset, folder: Path
) -> None:
    second = filled.create_model_run(client.get_model(filled.model_runs[0]["model_id"]))
    second.predict(annotations().iloc[:2])
    filled.to_parquet(folder)
    found = pd.read_parquet(folder / "predictions")
    counts = found["model_run_id"].value_counts()
    assert counts.to_dict() == {filled.model_runs[0].id: 10, second.id: 2}
    assert list(found.columns) == [*PREDICTIONS, "model_run_id"]


def send(how: str, folder: Path, dataset: npd.Dataset, run: npd.ModelRun, of: npd.ModelRun) -> None:
    """Send an export to another dataset and another run: as frames, or as files."""
    predictions = folder / "predictions" / f"model_run_id={of.id}"
    if how == "frames":
        pd.read_parquet(folder / "items.parquet").nucleus.append(dataset)
        pd.read_parquet(folder / "annotations.parquet").nucleus.annotate(dataset)
        pd.read_parquet(predictions).nucleus.predict(run)
    else:
        npd.import_parquet(folder / "items.parquet", dataset)
        npd.import_parquet(folder / "annotations.parquet", dataset, "annotations")
        npd.import_parquet(predictions, dataset, "predictions", run)


@pytest.mark.parametrize("how", ["frames", "files"])
@pytest.mark.parametrize("metadata_as", ["dict", "json"])
def test_an_export_goes_into_another_dataset_and_comes_back_equal(
    client: npd.NucleusClient, filled: npd.Dataset, folder: Path, metadata_as: Any, how: str
) -> None:
    run = filled.model_runs[0]
    twice = pd.DataFrame({"reference_id": ["a.jpg"] * 2, "label": "car", "x": 3.5, "y": 1, "width": 7, "height": 8})
    for send_rows in (filled.annotate, run.predict):
        with pytest.warns(npd.NucleusWarning, match="1 row repeats another exactly"):
            send_rows(twice)
    filled.to_parquet(folder)
    other = client.create_dataset("To")
    again = other.create_model_run(client.get_model(run["model_id"]))
    send(how, folder, other, again, run)
    for view, back in (
        (filled.items, other.items),
        (filled.annotations, other.annotations),
        (run.predictions, again.predictions),
    ):
        sent, found = view.to_frame(metadata_as), back.to_frame(metadata_as)
        pd.testing.assert_frame_equal(without_ids(sent), without_ids(found))
        assert spelled(sent["metadata"]) == spelled(found["metadata"])
    ids = other.annotations.to_frame()["annotation_id"]
    assert ids.str.fullmatch("[0-9a-f]{32}-1").sum() == 1
    assert len(ids) == 13


def test_an_empty_dataset_has_files_with_all_dtypes(client: npd.NucleusClient, folder: Path) -> None:
    dataset = client.create_dataset("Empty")
    run = dataset.create_model_run(client.add_model("Detector", "det"))
    run.commit()
    files = dataset.to_parquet(folder)
    assert (files["what"].tolist(), files["rows"].tolist()) == (list(EXPORT_KINDS), [0, 0, 0, 0])
    for path, expected in zip(
        files["path"],
        (
            dataset.items.to_frame("json"),
            with_texts(dataset.annotations.to_frame("json")),
            with_texts(run.predictions.to_frame("json")),
            run.matches(0),
        ),
        strict=True,
    ):
        pd.testing.assert_frame_equal(pd.read_parquet(path), expected)


def test_items_without_annotations_are_exported(dataset: npd.Dataset, folder: Path) -> None:
    files = dataset.to_parquet(folder)
    assert dict(zip(files["what"], files["rows"], strict=True)) == {"items": 3, "annotations": 0}
    assert written(folder) == ["annotations.parquet", "items.parquet"]


def test_images_of_this_machine_are_exported_by_their_path(local: npd.NucleusClient, image: Path, folder: Path) -> None:
    first, second = local.create_dataset("From"), local.create_dataset("To")
    first.append([{"reference_id": "a", "image_url": str(image)}], local=True)
    first.to_parquet(folder)
    found = pd.read_parquet(folder / "items.parquet")
    assert Path(found["image_url"].iloc[0]).read_bytes() == image.read_bytes()
    found.nucleus.append(second)
    pd.testing.assert_frame_equal(without_ids(first.items.to_frame()), without_ids(second.items.to_frame()))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values.filter(lambda value: value is not None), max_size=4)
coordinates = st.floats(-1e150, 1e150) | st.just(-0.0)
sizes = st.floats(0, 1e150)
box_rows = st.fixed_dictionaries(
    {
        "label": texts.filter(bool),
        "x": coordinates,
        "y": coordinates,
        "width": sizes,
        "height": sizes,
        "confidence": st.none() | st.floats(0, 1),
        "metadata": objects,
    }
)


@pytest.mark.parametrize("how", ["frames", "files"])
@settings(max_examples=draws(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=st.lists(box_rows, min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore:No number of any box is above 1")
def test_any_boxes_with_any_metadata_survive(
    local: npd.NucleusClient, tmp_path: Path, how: str, boxes: list[dict[str, Any]]
) -> None:
    sent = pd.DataFrame(boxes).assign(reference_id=[str(number) for number in range(len(boxes))])
    first, second = local.create_dataset("From"), local.create_dataset("To")
    sent[["reference_id", "metadata"]].assign(image_url="https://example.org/a.jpg").nucleus.append(first)
    model = local.add_model("Detector", "det")
    runs = [dataset.create_model_run(model) for dataset in (first, second)]
    sent.nucleus.predict(runs[0])
    for earlier in tmp_path.glob("export"):
        shutil.rmtree(earlier)
    first.to_parquet(tmp_path / "export")
    send(how, tmp_path / "export", second, runs[1], runs[0])
    for one, two in ((first.items, second.items), (runs[0].predictions, runs[1].predictions)):
        before, after = one.to_frame(), two.to_frame()
        pd.testing.assert_frame_equal(without_ids(before), without_ids(after), check_exact=True)
        assert spelled(before["metadata"]) == spelled(after["metadata"])
    back = runs[1].predictions.to_frame()
    assert spelled(back["metadata"]) == [json.dumps(row["metadata"]) for row in boxes]
    for name in ("x", "y", "width", "height"):
        assert back[name].tolist() == [row[name] for row in boxes]


def test_a_file_says_what_its_columns_mean_and_where_its_rows_come_from(
    filled: npd.Dataset, committed: npd.ModelRun, folder: Path
) -> None:
    files = filled.to_parquet(folder)
    tables = {"items": ITEMS, "annotations": ANNOTATIONS, "predictions": PREDICTIONS, "matches": MATCHES}
    for what, path in zip(files["what"], files["path"], strict=True):
        found = pq.read_schema(path)
        assert found.names == list(tables[what])
        for each in found:
            kind = tables[what][each.name]
            assert each.type == {"Int64": pa.int64(), "float64": pa.float64()}.get(kind, pa.string())
            assert each.metadata[b"description"]
            pixels = each.name.removeprefix("image_") in ("x", "y", "width", "height")
            fraction = each.name in ("confidence", "iou")
            unit = b"pixels" if pixels else b"0 to 1" if fraction else b"JSON object" if kind == "O" else None
            assert each.metadata.get(b"unit") == unit
        said = about(Path(path))
        exported_at = pd.Timestamp(said.pop("exported_at"))
        assert abs(pd.Timestamp.now("UTC") - exported_at) < pd.Timedelta(minutes=5)
        run = {"model_run_id": committed.id, "model_run_name": committed["name"], "model_id": committed["model_id"]}
        assert said == {
            "format": 1,
            "what": what,
            "dataset_id": filled.id,
            "dataset_name": "From",
            "exported_by": npd.__version__,
            **(run if what in ("predictions", "matches") else {}),
        }


def test_every_column_has_a_meaning_of_its_kind() -> None:
    for kinds, meanings in (
        (ITEMS, ITEM_COLUMNS),
        (ANNOTATIONS, ANNOTATION_COLUMNS),
        (PREDICTIONS, PREDICTION_COLUMNS),
        (MATCHES, MATCH_COLUMNS),
    ):
        assert kinds.keys() == meanings.keys()
        assert not any(meaning.description.endswith(".") for meaning in meanings.values())
    assert not any("annotation" in meaning.description for meaning in PREDICTION_COLUMNS.values())


def test_the_result_tells_of_every_file(filled: npd.Dataset, committed: npd.ModelRun, folder: Path) -> None:
    files = filled.to_parquet(folder)
    assert files["what"].tolist() == list(EXPORT_KINDS)
    assert files["rows"].tolist() == [5, 11, 10, 6]
    assert files["model_run_id"].isna().tolist() == [True, True, False, False]
    assert set(files["model_run_id"].dropna()) == {committed.id}
    assert sorted(files["path"]) == [str(folder / name) for name in written(folder)]
    assert files["bytes"].tolist() == [Path(path).stat().st_size for path in files["path"]]
    assert (str(files["rows"].dtype), str(files["bytes"].dtype)) == ("Int64", "Int64")


def test_rows_go_in_groups_of_100000_compressed_with_zstd(folder: Path) -> None:
    assert ROW_GROUP == 100_000

    def rows() -> Iterator[pd.DataFrame]:
        for start in range(0, 250_000, 30_000):
            size = min(30_000, 250_000 - start)
            yield pd.DataFrame({**dict.fromkeys(MATCHES, "a"), "confidence": 0.5, "iou": range(start, start + size)})

    files = export(folder, [ExportFile("matches", rows)], {}, overwrite=False)
    found = pq.ParquetFile(files["path"][0])
    assert [found.metadata.row_group(at).num_rows for at in range(found.num_row_groups)] == [100_000, 100_000, 50_000]
    assert {found.metadata.row_group(0).column(at).compression for at in range(len(MATCHES))} == {"ZSTD"}
    assert pd.read_parquet(files["path"][0])["iou"].tolist() == list(range(250_000))


def test_no_more_than_a_row_group_is_in_memory(folder: Path) -> None:
    size, alive = 25_000, []
    held: list[int] = []
    before = pa.total_allocated_bytes()

    def rows() -> Iterator[pd.DataFrame]:
        for number in range(40):
            texts = pd.array([f"{number} {row:0200}" for row in range(size)], dtype=pd.ArrowDtype(pa.string()))
            made = pd.DataFrame({**dict.fromkeys(MATCHES, "a"), "label": texts, "confidence": 0.5, "iou": 0.5})
            del texts
            alive.append(weakref.ref(made))
            yield made
            del made
            held.append(pa.total_allocated_bytes() - before)

    export(folder, [ExportFile("matches", rows)], {}, overwrite=False)
    assert len(held) == 40
    assert max(held[20:]) < 1.5 * max(held[:8])
    assert sum(one() is not None for one in alive) == 0


def test_the_views_are_read_row_group_by_row_group(
    local: npd.NucleusClient, plain: npd.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROW_GROUP", 5)
    asked = count_requests(local)
    files = plain.to_parquet(folder)
    assert (asked["items"], asked["annotations"]) == (3, 3)
    for path in files["path"]:
        found = pq.ParquetFile(path).metadata
        assert [found.row_group(at).num_rows for at in range(found.num_row_groups)] == [5, 5, 2]
    pd.testing.assert_frame_equal(pd.read_parquet(files["path"][0]), plain.items.to_frame("json"))


def test_what_and_runs_choose_what_is_written(
    client: npd.NucleusClient, filled: npd.Dataset, committed: npd.ModelRun, tmp_path: Path
) -> None:
    second = filled.create_model_run(client.get_model(committed["model_id"]))
    filled.to_parquet(tmp_path / "a", what=["annotations", "items"])
    assert written(tmp_path / "a") == ["annotations.parquet", "items.parquet"]
    filled.to_parquet(tmp_path / "b", what="matches")  # type: ignore[arg-type]  # one text is meant as one
    assert written(tmp_path / "b") == [f"matches/model_run_id={committed.id}/matches.parquet"]
    filled.to_parquet(tmp_path / "c", what=["predictions", "matches"], runs=[second, second.id])
    assert written(tmp_path / "c") == [f"predictions/model_run_id={second.id}/predictions.parquet"]
    filled.to_parquet(tmp_path / "d", what=["predictions", "matches"], runs=committed.id)
    assert len(written(tmp_path / "d")) == 2
    filled.to_parquet(tmp_path / "e", runs=[])
    assert written(tmp_path / "e") == ["annotations.parquet", "items.parquet"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": ["item"]}, "what= is a list of 'items', 'annotations', 'predictions', 'matches', not"),
        ({"what": []}, "what= is a list of"),
        ({"runs": ["run_0"]}, "has no run 'run_0'; its runs are none"),
        ({"what": ["items"], "runs": ["run_0"]}, "what= includes neither"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(
    plain: npd.Dataset, folder: Path, options: Any, message: str
) -> None:
    with pytest.raises(npd.InvalidInputError, match=message):
        plain.to_parquet(folder, **options)
    assert not folder.parent.exists()


def test_the_run_of_another_dataset_is_refused(local: npd.NucleusClient, plain: npd.Dataset, folder: Path) -> None:
    model = local.add_model("Detector", "det")
    own, other = plain.create_model_run(model), local.create_dataset("Other").create_model_run(model)
    with pytest.raises(npd.InvalidInputError, match=f"has no run '{other.id}'; its runs are '{own.id}'"):
        plain.to_parquet(folder, runs=[other])


def test_a_strange_run_id_stays_in_the_folder(folder: Path) -> None:
    name = "../..\\a b=ü/%"
    row = {**dict.fromkeys(PREDICTIONS), "label": "a"}
    export(
        folder,
        [ExportFile("predictions", lambda: iter([pd.DataFrame([row])]), {"model_run_id": name})],
        {},
        overwrite=False,
    )
    assert list(folder.parent.iterdir()) == [folder]
    assert pd.read_parquet(folder / "predictions")["model_run_id"].tolist() == [name]


def test_an_existing_export_is_kept_unless_told(plain: npd.Dataset, folder: Path) -> None:
    plain.to_parquet(folder)
    before = {name: (folder / name).read_bytes() for name in written(folder)}
    with pytest.raises(npd.InvalidInputError, match="is not empty. overwrite=True replaces"):
        plain.to_parquet(folder, what=["items"])
    assert before == {name: (folder / name).read_bytes() for name in written(folder)}
    plain.to_parquet(folder, what=["items"], overwrite=True)
    assert written(folder) == ["items.parquet"]
    assert list(folder.parent.iterdir()) == [folder]


def test_an_export_that_was_imported_is_replaced_too(
    plain: npd.Dataset, local: npd.NucleusClient, folder: Path
) -> None:
    plain.to_parquet(folder)
    other = local.create_dataset("To")
    journal = folder / ".nucleus_import.sqlite"
    source = folder / "annotations.parquet"
    result = npd.import_parquet(source, other, "annotations", on_error="collect", journal=journal)
    assert result.rejects is not None  # it has no items
    assert result.rejects.parent == folder
    assert journal.exists()
    plain.to_parquet(folder, overwrite=True)
    assert written(folder) == ["annotations.parquet", "items.parquet"]


def test_an_empty_folder_is_taken(plain: npd.Dataset, folder: Path) -> None:
    folder.mkdir(parents=True)
    plain.to_parquet(folder)
    assert written(folder) == ["annotations.parquet", "items.parquet"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize(
    "strange",
    [
        "notes.txt",
        "items.parquet.bak",
        "backup/items.parquet",
        "predictions/mine.parquet",
        "predictions/model_run_id=a/b/predictions.parquet",
        "matches/model_run_id=a/matches.parquet/mine",
    ],
)
def test_a_folder_with_anything_else_is_never_replaced(plain: npd.Dataset, folder: Path, strange: str) -> None:
    plain.to_parquet(folder)
    (folder / strange).parent.mkdir(parents=True, exist_ok=True)
    (folder / strange).write_text("mine")
    before = written(folder)
    with pytest.raises(npd.InvalidInputError, match=f"contains other files than an export, such as '{strange}'"):
        plain.to_parquet(folder, overwrite=True)
    assert written(folder) == before


def test_a_link_to_a_folder_is_followed(plain: npd.Dataset, folder: Path, tmp_path: Path) -> None:
    plain.to_parquet(folder)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    plain.to_parquet(tmp_path / "link", what=["items"], overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert written(folder) == ["items.parquet"]


def test_the_working_folder_is_not_replaced(plain: npd.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for path in (".", folder.parent):
        with pytest.raises(npd.InvalidInputError, match="is the working folder"):
            plain.to_parquet(path)
    plain.to_parquet("here")
    assert written(folder / "here") == ["annotations.parquet", "items.parquet"]


def test_a_file_is_no_folder(plain: npd.Dataset, folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("mine")
    with pytest.raises(npd.InvalidInputError, match="is a file"):
        plain.to_parquet(folder, overwrite=True)
    assert folder.read_text() == "mine"
    with pytest.raises(npd.FileError, match="cannot be written"):
        plain.to_parquet(folder / "below")
    with pytest.raises(npd.InvalidInputError, match="not a valid folder name"):
        plain.to_parquet("a\0b")


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [KeyboardInterrupt(), npd.NetworkError("No answer."), ZeroDivisionError()])
@pytest.mark.parametrize("earlier", [False, True])
def test_an_export_that_is_interrupted_leaves_what_was_there(
    plain: npd.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, earlier: bool
) -> None:
    if earlier:
        plain.to_parquet(folder, what=["items"])
    cut(plain, monkeypatch, raising(error))
    with pytest.raises(type(error)) as caught:
        plain.to_parquet(folder, overwrite=True)
    assert caught.value is error
    assert list(folder.parent.iterdir()) == ([folder] if earlier else [])
    assert written(folder) == (["items.parquet"] if earlier else [])


def export_killed(store: Path, dataset: npd.Dataset, folder: Path, where: str) -> None:
    """Export in a process of its own, which dies where a line of Python calls `killed`."""
    code = f"""
import os, signal
from pathlib import Path
import nucleus_pandas as npd
from nucleus_pandas.views import AnnotationsView

def killed(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

rename = Path.rename
{where}
npd.NucleusClient.local({str(store)!r}).get_dataset({dataset.id!r}).to_parquet({str(folder)!r}, overwrite=True)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


def test_what_a_killed_export_leaves_is_removed_by_the_next_of_that_name(
    plain: npd.Dataset, store: Path, folder: Path
) -> None:
    other = folder.with_name("other")
    for each in (folder, other, folder):
        export_killed(store, plain, each, "AnnotationsView.iter_frames = killed")
        assert not each.exists()
    assert [len(written(left)) for left in folder.parent.iterdir()] == [1, 1]
    plain.to_parquet(folder)
    assert written(folder) == ["annotations.parquet", "items.parquet"]
    assert len(list(folder.parent.iterdir())) == 2  # what the export of the other name left stays
    plain.to_parquet(other)
    assert sorted(folder.parent.iterdir()) == sorted([folder, other])


def test_an_export_killed_while_it_replaces_another_loses_neither(
    plain: npd.Dataset, store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.to_parquet(folder, what=["items"])
    takes_its_name = f"target == Path({str(folder)!r})"
    export_killed(
        store,
        plain,
        folder,
        f"Path.rename = lambda path, target: (killed if {takes_its_name} else rename)(path, target)",
    )
    whole, earlier = sorted(folder.parent.iterdir())
    assert (written(whole), written(earlier)) == (["annotations.parquet", "items.parquet"], ["items.parquet"])
    with monkeypatch.context() as patch:
        cut(plain, patch, raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            plain.to_parquet(folder)
    assert sorted(folder.parent.iterdir()) == [whole, earlier]
    plain.to_parquet(folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_what_an_export_writes_that_goes_on_is_not_taken_for_left(
    plain: npd.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other() -> None:
        if not folder.exists():
            (going_on,) = folder.parent.iterdir()
            plain.to_parquet(folder, what=["items"])
            assert sorted(folder.parent.iterdir()) == sorted([going_on, folder])

    cut(plain, monkeypatch, other)
    plain.to_parquet(folder, overwrite=True)
    assert written(folder) == ["annotations.parquet", "items.parquet"]
    assert list(folder.parent.iterdir()) == [folder]


def test_two_exports_into_one_folder_do_not_mix(
    plain: npd.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other() -> None:
        if not folder.exists():
            plain.to_parquet(folder, what=["items"])

    cut(plain, monkeypatch, other)
    with pytest.raises(npd.InvalidInputError, match="is not empty"):
        plain.to_parquet(folder)
    assert written(folder) == ["items.parquet"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_full_disk_is_told_and_nothing_is_left(served: str, folder: Path) -> None:
    with npd.NucleusClient(endpoint=served) as client:
        dataset = client.create_dataset("Large")
        rows = pd.DataFrame({"reference_id": range(300), "image_url": "https://example.org/a.jpg"})
        rows["metadata"] = [{"noise": os.urandom(500).hex()} for _ in range(300)]
        dataset.append(rows)
    code = f"""
import resource, signal
import nucleus_pandas as npd
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    npd.NucleusClient(endpoint={served!r}).get_dataset({dataset.id!r}).to_parquet({str(folder)!r})
except npd.FileError as error:
    assert isinstance(error, OSError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert f"'{folder}' cannot be written, and nothing was kept: " in done.stdout
    assert "File too large" in done.stdout
    assert list(folder.parent.iterdir()) == []


def test_a_folder_that_cannot_take_its_name_leaves_the_earlier_one(
    plain: npd.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.to_parquet(folder, what=["items"])
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if target == folder and not path.name.endswith(".old"):
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(npd.FileError, match="Permission denied"):
        plain.to_parquet(folder, overwrite=True)
    assert written(folder) == ["items.parquet"]
    assert list(folder.parent.iterdir()) == [folder]


def test_an_unknown_dataset_leaves_no_folder(local: npd.NucleusClient, plain: npd.Dataset, folder: Path) -> None:
    local.delete_dataset(plain)
    with pytest.raises(npd.NotFoundError):
        plain.to_parquet(folder, runs=[])
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore:. rows .* are left out, since they are not boxes")
def test_a_server_that_knows_only_the_contract_gives_the_same_files(
    client: npd.NucleusClient, filled: npd.Dataset, committed: npd.ModelRun, tmp_path: Path
) -> None:
    names = filled.to_parquet(tmp_path / "ours")["path"]
    contract_only(client, page=2)
    found = client.get_dataset(filled.id).to_parquet(tmp_path / "theirs")
    assert found["rows"].tolist() == [5, 11, 10, 6]
    for ours, theirs in zip(names, found["path"], strict=True):
        one, two = pd.read_parquet(ours), pd.read_parquet(theirs)
        assert pq.read_schema(ours).equals(pq.read_schema(theirs))
        order = [name for name in ("reference_id", "annotation_id", "prediction_id", "type") if name in one]
        one, two = (part.sort_values(order, ignore_index=True) for part in (one, two))
        for part in (one, two):
            if "geometry" in part:
                part["geometry"] = [
                    json.dumps(json.loads(text), sort_keys=True) if isinstance(text, str) else None
                    for text in part["geometry"]
                ]
        pd.testing.assert_frame_equal(one, two)
    assert pd.read_parquet(found["path"][0])["reference_id"].tolist() == IDS
