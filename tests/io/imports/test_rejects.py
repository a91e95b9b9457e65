"""Rows that repeat each other and rows that are refused, when files are imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import nucleus_pandas as npd
from nucleus_pandas import cli
from tests.support.contract_only import count_requests
from tests.support.import_sources import (
    JOURNAL,
    Destination,
    box_rows,
    image_items,
    read_rejects,
    same,
    with_refused,
    write,
)
from tests.support.private import transport_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder of the files."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def annotations(local: npd.NucleusClient) -> Destination:
    """A dataset of six items."""
    return Destination.make(local, "annotations")


def repeated(*numbers: int) -> pd.DataFrame:
    """Boxes that are the same where their numbers are."""
    frame = pd.DataFrame({"reference_id": "00.jpg", "label": "car", "x": numbers})
    return frame.assign(y=1.0, width=10.0, height=20.0)


# Repeats


def test_repeats_in_a_row_group_are_rows_of_their_own_and_elsewhere_the_same(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    write(repeated(1, 1, 2, 1, 3, 1, 2, 1, 4, 5), source / "a.parquet", 5)
    write(repeated(1, 6, 6, 2, 2), source / "b.parquet", 5)
    result = annotations.imported(local, source)
    # of the first row group all; of the second 4 and 5, since 1 was there twice, and 2; of b 6 twice, and a second 2
    assert (result.new, result.ignored, result.repeats) == (5 + 2 + 3, 3 + 2, 2 + 1 + 2)
    there = annotations.rows()
    assert there["x"].tolist() == [1, 1, 2, 1, 3, 4, 5, 6, 6, 2]
    assert there["annotation_id"].is_unique
    again = annotations.imported(local, source)
    assert (again.new, again.ignored, again.repeats, again.already_sent) == (0, 0, 5, 15)
    again = annotations.imported(local, source, journal=False)
    assert (again.new, again.ignored, again.repeats, again.already_sent) == (0, 15, 5, 0)
    same(annotations.rows(), there)


def test_an_import_in_pieces_repeats_what_it_repeats_in_one(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    path = write(repeated(1, 1, 2, 1, 3, 1, 2, 1, 4, 5), source / "a.parquet", 5)
    other = Destination.make(local, "annotations")
    whole = annotations.imported(local, path, journal=source / "whole")
    for count in range(1, 5):
        transport = transport_of(local)
        request, seen = transport.request, []

        def ended(method: str, *segments: str, **options: Any) -> Any:
            seen.append(segments)  # noqa: B023
            if len(seen) == 2:  # noqa: B023
                raise KeyboardInterrupt
            return request(method, *segments, **options)  # noqa: B023

        transport.request = ended  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            other.imported(local, path)
        transport.request = request  # type: ignore[method-assign]
        assert len(other.rows()) <= 2 * count
    result = other.imported(local, path)
    assert (dict(result.counts), result.repeats) == (dict(whole.counts), whole.repeats)
    same(other.rows(), annotations.rows())


# Rejects


def test_rejects_hold_where_rows_stood_and_what_they_held(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    frame = with_refused(box_rows())
    path = write(frame, source / "a.parquet")
    result = annotations.imported(local, path, on_error="collect")
    assert (result.failed, result.rejects) == (3, source / "_a.annotations.rejects.parquet")
    table = pq.read_table(result.rejects)
    assert [str(kind) for kind in table.schema.types[:5]] == ["string", "int64", "int64", "string", "string"]
    kinds = pq.read_schema(path)
    assert {field.name: field.type for field in table.schema}.items() >= {
        field.name: field.type for field in kinds
    }.items()
    assert table.schema.field("reject_row").metadata[b"description"] == b"the row of the file, from 0"
    rejects = table.to_pandas()
    assert rejects["reject_file"].tolist() == ["a.parquet"] * 3
    assert rejects["reject_row_group"].tolist() == [0, 1, 3]
    assert rejects["reject_row"].tolist() == [4, 5, 15]
    assert rejects["reject_column"].fillna("").tolist() == ["width", "", ""]
    assert "negative" in rejects["reject_reason"][0]
    assert all("absent.jpg" in reason for reason in rejects["reject_reason"][1:])
    held = rejects.drop(columns=[name for name in rejects if name.startswith("reject_")])
    pd.testing.assert_frame_equal(held, frame.iloc[[4, 5, 15]].reset_index(drop=True)[list(held)])


def test_rejects_of_files_with_other_columns_stand_in_one_file(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    bad = box_rows(12).iloc[:2].assign(width=-1.0)
    write(bad.assign(reference_id=[1, 2]), source / "a.parquet")
    write(bad.assign(metadata=[{"a": 1}, {"a": 2}]), source / "b.parquet")
    write(bad.assign(metadata=['{"a":3}', None]).drop(columns="confidence"), source / "c.parquet")
    write(box_rows(), source / "d.parquet")
    result = annotations.imported(local, source, on_error="collect", metadata=True)
    assert (result.failed, result.new) == (6, 12)
    assert result.rejects == source / "_files.annotations.rejects.parquet"
    rejects = pd.read_parquet(result.rejects)
    assert rejects["reject_file"].tolist() == [f"{name}.parquet" for name in "aabbcc"]
    assert rejects["reference_id"].tolist() == ["1", "2", "00.jpg", "01.jpg", "00.jpg", "01.jpg"]
    assert rejects["metadata"].isna().tolist() == [True, True, False, False, False, True]
    assert '"a":3' in rejects["metadata"][4]
    assert rejects["width"].tolist() == [-1.0] * 6


def test_rejects_name_the_box_of_a_image(annotations: Destination, local: npd.NucleusClient, source: Path) -> None:
    good, bad = [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, -3.0, 4.0]
    frame = pd.DataFrame(
        {
            "reference_id": ["00.jpg", "01.jpg", "02.jpg"],
            "boxes": [[good, bad, bad], [good, good], []],
            "label": [["car", "bus", "car"], ["car"], []],
        }
    )
    path = write(frame, source / "a.parquet")
    result = annotations.imported(local, path, bbox="boxes", bbox_format="xywh", on_error="collect")
    assert (result.new, result.skipped, result.failed) == (1, 1, 3)
    rejects = pd.read_parquet(result.rejects)
    assert rejects["reject_row"].tolist() == [0, 0, 1]
    assert [reason.split(":")[0] for reason in rejects["reject_reason"][:2]] == ["Box 1", "Box 2"]
    assert rejects["label"].map(list).tolist() == [["car", "bus", "car"], ["car", "bus", "car"], ["car"]]


def test_rejects_are_replaced_and_removed_by_later_imports(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    counted = count_requests(local)
    frame = with_refused(box_rows())
    path = write(frame, source / "a.parquet")
    first = annotations.imported(local, path, on_error="collect")
    assert len(read_rejects(first.rejects)) == 3
    frame.loc[4, "width"], frame.loc[5, "reference_id"] = 7.0, "05.jpg"
    write(frame, path)
    counted.clear()
    with pytest.warns(npd.NucleusWarning, match="has changed"):
        second = annotations.imported(local, path, on_error="collect")
    assert second.rejects == first.rejects
    assert read_rejects(second.rejects)["reject_row"].tolist() == [15]
    assert counted["annotate"] == 3  # the new row 4, that of row 5, and row 15 again
    frame.loc[15, "reference_id"] = "00.jpg"
    write(frame, path)
    with pytest.warns(npd.NucleusWarning, match="has changed"):
        third = annotations.imported(local, path)
    assert (third.rejects, third.failed) == (None, 0)
    assert {one.name for one in source.iterdir()} <= {"a.parquet", JOURNAL, f"{JOURNAL}-shm", f"{JOURNAL}-wal"}
    assert len(annotations.rows()) == 15


def test_another_file_in_the_place_of_rejects_stays(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    path = write(with_refused(box_rows()), source / "a.parquet")
    for other in (path, source / "notes"):
        other.touch()
        there = other.read_bytes()
        with pytest.raises(
            npd.InvalidInputError, match="exists and is not a file of rejects; name another file by rejects="
        ):
            annotations.imported(local, path, rejects=other)
        assert other.read_bytes() == there
    assert annotations.rows().empty


def test_rejects_may_stand_in_a_folder_that_is_not_made_yet(
    annotations: Destination, local: npd.NucleusClient, source: Path
) -> None:
    path = write(with_refused(box_rows()), source / "a.parquet")
    wanted = source / "new" / "folder" / "refused.parquet"
    with pytest.raises(npd.UploadError, match="3 of 16 rows are rejected:") as caught:
        annotations.imported(local, path, rejects=wanted, journal=False)
    assert "a.parquet, row 4, column 'width': " in str(caught.value)
    assert f"All of them are in '{wanted}'.\nThe other rows are stored." in str(caught.value)
    assert len(read_rejects(wanted)) == 3
    assert caught.value.result.new == 12


# As many as may be


@pytest.mark.parametrize(("most", "refused", "stored"), [(0, 1, 4), (1, 2, 8), (2, 3, 13), (3, 3, 13), (None, 3, 13)])
def test_too_many_refused_rows_end_an_import_early(
    annotations: Destination, local: npd.NucleusClient, source: Path, most: int | None, refused: int, stored: int
) -> None:
    path = write(with_refused(box_rows()), source / "a.parquet")
    if most is None or most >= 3:
        result = annotations.imported(local, path, on_error="collect", max_rejects=most)
    else:
        with pytest.raises(npd.UploadError, match=f"More rows are rejected than max_rejects={most} allows") as caught:
            annotations.imported(local, path, on_error="collect", max_rejects=most)
        result = caught.value.result
        assert f"ended at a.parquet, row group {[0, 1, 3][most]}.\n{refused} of 16 rows are rejected:" in str(
            caught.value
        )
    assert (result.failed, result.new + result.ignored) == (refused, stored)
    assert len(read_rejects(result.rejects)) == refused
    again = annotations.imported(local, path, on_error="collect")
    assert (again.failed, again.new + again.ignored + again.already_sent) == (3, 13)
    assert len(annotations.rows()) == 12


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 3, "16 rows of 1 file into the dataset 'ds_"),
        (
            ["--max-rejects", "3"],
            3,
            "12 new, 1 ignored, 3 rejected\n  source.parquet, row ",
        ),
        (["--max-rejects", "2"], 1, "More rows are rejected than --max-rejects 2 allows, so the import ended at"),
        (["--journal", "."], 1, "Name another file with --journal, or work without one with --no-journal."),
        (["--rejects", "{source}"], 1, "name another file by --rejects, or move it"),
        (["--bbox", "q"], 1, "nucleus-pandas: source.parquet: "),
    ],
)
def test_the_exit_code_tells_of_refused_rows(
    store: Path, source: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    path = write(with_refused(box_rows()), source / "source.parquet")
    with npd.NucleusClient.local(store) as client:
        destination = Destination.make(client, "annotations")
    arguments = [*destination.arguments(path, 2), "--store", str(store), *options]
    assert cli.main([one.replace("{source}", str(path)) for one in arguments]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
    if code == 3:
        assert cli.main(arguments) == 3
        assert "already sent, 3 rejected" in capsys.readouterr().out
        good = write(box_rows(), source / "good.parquet")
        assert cli.main([*destination.arguments(good, 2), "--store", str(store)]) == 0


def test_items_that_exist_are_refused_where_none_may(local: npd.NucleusClient, source: Path) -> None:
    items = Destination.make(local, "items")
    write(image_items(5), source / "a.parquet")
    path = write(image_items(10), source / "b.parquet")
    items.imported(local, source / "a.parquet")
    with pytest.raises(npd.AlreadyExistsError, match="10 of 10 rows are rejected"):
        items.imported(local, path, if_exists="error")
    rejects = pd.read_parquet(source / "_b.items.rejects.parquet")
    assert rejects["reject_row"].tolist() == list(range(10))
    assert rejects["reject_reason"].str.contains("exists already").tolist() == [True] * 5 + [False] * 5
    assert len(items.rows()) == 5


def test_rejects_among_the_files_are_no_data(local: npd.NucleusClient, source: Path) -> None:
    items = Destination.make(local, "items")
    frame = image_items(5)
    frame.loc[2, "image_url"] = None
    write(frame, source / "a.parquet")
    rejects = source / "refused.parquet"
    assert items.imported(local, source, rejects=rejects, on_error="collect").failed == 1
    with pytest.warns(npd.NucleusWarning, match=r"'refused.parquet' holds rejected rows of an import, and is left out"):
        result = items.imported(local, source, rejects=rejects, on_error="collect")
    assert (result.files, result.rows, result.failed) == (1, 5, 1)
    assert items.imported(local, rejects, on_error="collect").rows == 1
