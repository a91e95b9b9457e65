"""Files that are broken or change, and journals that are none, when files are imported."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nucleus_pandas as npd
from nucleus_pandas.uploads.journal import Journal
from tests.support.contract_only import contract_only, count_requests
from tests.support.import_sources import (
    JOURNAL,
    Destination,
    box_rows,
    image_items,
    read_journal,
    same,
    with_files,
    write,
)
from tests.support.private import transport_of

Requests = Counter[str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder of the files."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def items(local: npd.NucleusClient) -> Destination:
    """A dataset without items."""
    return Destination.make(local, "items")


@pytest.fixture
def annotations(local: npd.NucleusClient) -> Destination:
    """A dataset of six items."""
    return Destination.make(local, "annotations")


@pytest.fixture
def sent(local: npd.NucleusClient) -> Requests:
    """Counts what is asked of the server."""
    return count_requests(local)


def names(destination: Destination) -> list[str]:
    found: list[str] = destination.rows()["reference_id"].tolist()
    return found


# Files that are broken


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


NO_PARQUET: dict[str, tuple[bytes | Callable[[bytes], bytes], str]] = {
    "empty": (b"", "is empty: 0 bytes"),
    "some bytes": (b"PAR1PAR1", "is not a Parquet file: it has 8 bytes"),
    "CSV": (b"reference_id,image_url\na.jpg,https://example.org/a.jpg\n", "CSV is read by pd.read_csv"),
    "JSON": (json.dumps({"images": [], "annotations": []}).encode(), "imported by import_files: form='coco'"),
    "cut off": (cut, "is truncated: it begins as Parquet, but has no footer. Copy it again"),
    "without its last byte": (lambda content: content[:-1], "is truncated"),
    "without its first half": (lambda content: content[len(content) // 2 :], "is damaged|cannot be read"),
    "zeros": (lambda content: bytes(len(content)), "is not a Parquet file"),
    "an encrypted footer": (lambda content: content[:-4] + b"PARE", "is encrypted; decrypt it first"),
    "a footer too long": (lambda content: content[:-8] + b"\xff\xff\xff\x00PAR1", "is damaged: its footer cannot be"),
    "a negative footer": (lambda content: content[:-8] + b"\xff\xff\xff\xffPAR1", "is damaged: its footer cannot be"),
    "another footer": (lambda content: content[:-40] + b"\x07" * 32 + content[-8:], "cannot be read as Parquet"),
    "a footer of no text": (lambda content: content.replace(b"image_url", b"image\xff\xfe\xfdl"), "cannot be read"),
}


@pytest.mark.parametrize("what", NO_PARQUET)
def test_nothing_is_sent_where_a_file_is_no_parquet(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests, what: str
) -> None:
    content, said = NO_PARQUET[what]
    write(image_items(), source / "a.parquet")
    broken = write(image_items(5, 50), source / "b.parquet")
    broken.write_bytes(content if isinstance(content, bytes) else content(broken.read_bytes()))
    with pytest.raises(npd.InvalidInputError, match=said) as caught:
        items.imported(local, source)
    assert "'b.parquet'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sent.total() == 0
    assert sorted(path.name for path in source.iterdir()) == ["a.parquet", "b.parquet"]


def test_a_file_cut_off_anywhere_is_refused(items: Destination, local: npd.NucleusClient, source: Path) -> None:
    path = write(image_items(3), source / "a.parquet")
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(npd.InvalidInputError, match="a.parquet"):
            items.imported(local, path)
    assert names(items) == []


@pytest.mark.parametrize("groups", [0, 1])
def test_a_file_without_rows_is_imported(
    items: Destination, local: npd.NucleusClient, source: Path, groups: int
) -> None:
    table = pa.Table.from_pandas(image_items(), preserve_index=False).slice(0, 0)
    with pq.ParquetWriter(source / "a.parquet", table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table)
    write(image_items(3), source / "b.parquet")
    result = items.imported(local, source)
    assert (result.files, result.rows, dict(result.counts)) == (2, 3, {"new": 3})
    assert items.imported(local, source / "a.parquet").counts == {}


def damage(path: Path, row_group: int, column: str) -> bytes:
    """Change a byte in the middle of a column of a row group; return what the file was."""
    content = path.read_bytes()
    metadata = pq.read_metadata(path)
    chunk = metadata.row_group(row_group).column(metadata.schema.names.index(column))
    at = chunk.data_page_offset + chunk.total_compressed_size - 4
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    return content


def test_what_stands_before_damage_is_stored_and_the_rest_when_it_is_mended(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests
) -> None:
    path = write(
        image_items(), source / "a.parquet", compression="none", use_dictionary=False, write_page_checksum=True
    )
    modified = path.stat().st_mtime_ns
    whole = damage(path, 1, "reference_id")
    with pytest.raises(npd.InvalidInputError, match="Row group 1 of 'a.parquet' cannot be read: .* are stored"):
        items.imported(local, path)
    assert names(items) == [f"{number:02}.jpg" for number in range(5)]
    path.write_bytes(whole)
    os.utime(path, ns=(modified, modified))
    sent.clear()
    result = items.imported(local, path)
    assert (result.new, result.already_sent, result.changed) == (7, 5, ())
    assert sent["append"] == 4
    assert names(items) == [f"{number:02}.jpg" for number in range(12)]


def test_a_text_that_is_no_unicode_is_refused_with_its_row_group(
    items: Destination, local: npd.NucleusClient, source: Path
) -> None:
    path = write(image_items(), source / "a.parquet", compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace(b"07.jpg", b"\xff7.jpg"))
    with pytest.raises(npd.InvalidInputError, match="Row group 1 of 'a.parquet' cannot be read: .*UTF-?8"):
        items.imported(local, path)
    assert names(items) == [f"{number:02}.jpg" for number in range(5)]


@pytest.mark.parametrize("seed", range(int(os.environ.get("NUCLEUS_PANDAS_FAULTS", "4")) * 5))
def test_a_damaged_file_is_imported_or_refused(local: npd.NucleusClient, source: Path, seed: int) -> None:
    draw = random.Random(seed)
    kind, frame = draw.choice([("items", image_items(40)), ("annotations", box_rows(40))])
    compression = draw.choice(["none", "snappy", "zstd"])
    path = write(frame, source / "a.parquet", 10, compression=compression, use_dictionary=draw.random() < 0.5)
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 2, 8])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)
    destination = Destination.make(local, kind)
    try:
        result = destination.imported(local, path, on_error="collect")
    except npd.InvalidInputError as error:
        told = str(error)
        assert "a.parquet" in told
    else:
        assert sum(result.counts.values()) == result.rows
        assert len(destination.rows()) == result.new


# Columns of wrong types


WRONG: dict[str, tuple[str, pd.DataFrame, str]] = {
    "numbers as ids": ("items", image_items().assign(reference_id=1.5), "'reference_id' holds double"),
    "truth as ids": ("items", image_items().assign(reference_id=True), "'reference_id' holds bool"),
    "times as addresses": (
        "items",
        image_items().assign(image_url=pd.Timestamp("2026")),
        "'image_url' holds timestamp",
    ),
    "text as x": ("annotations", box_rows().assign(x="1"), "'x' holds .*string, but 'x' is a number"),
    "truth as width": ("annotations", box_rows().assign(width=True), "'width' holds bool"),
    "numbers as labels": ("annotations", box_rows().assign(label=0.5), "'label' holds double"),
    "text as confidence": ("predictions", box_rows().assign(confidence="high"), "'confidence' holds"),
    "no labels": ("annotations", box_rows().drop(columns="label"), "label"),
    "no x": ("annotations", box_rows().drop(columns="x"), "'x'"),
    "no ids": ("items", image_items().drop(columns="reference_id"), "reference_id"),
    "no addresses": ("items", image_items().drop(columns="image_url"), "image_url"),
}


@pytest.mark.parametrize("what", WRONG)
def test_nothing_is_sent_where_a_second_file_has_wrong_columns(
    local: npd.NucleusClient, source: Path, sent: Requests, what: str
) -> None:
    kind, frame, said = WRONG[what]
    destination = Destination.make(local, kind)
    write(image_items() if kind == "items" else box_rows(), source / "a.parquet")
    write(frame, source / "b.parquet")
    sent.clear()
    with pytest.raises(npd.InvalidInputError, match=said) as caught:
        destination.imported(local, source)
    assert str(caught.value).startswith("b.parquet: ")
    assert sent.total() == 0


def test_ids_may_be_numbers_in_one_file_and_text_in_another(
    items: Destination, local: npd.NucleusClient, source: Path
) -> None:
    write(image_items(3).assign(reference_id=[1, 2, 3]), source / "a.parquet")
    write(image_items(3, 3).assign(reference_id=["4", "five", "1"]), source / "b.parquet")
    result = items.imported(local, source)
    assert (result.new, result.ignored) == (5, 1)
    assert names(items) == ["1", "2", "3", "4", "five"]


# Files that change


def rewrite(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write a file anew, as another one in the place of the first."""
    other = write(frame, path.with_name("_other"), **options)
    os.replace(other, path)


def after_requests(client: npd.NucleusClient, count: int, act: Callable[[], object]) -> None:
    """Do something while a client sends its so manieth batch."""
    transport = transport_of(client)
    request, seen = transport.request, Counter[str]()

    def watching(method: str, *segments: str, **options: Any) -> Any:
        if segments[-1] in ("append", "annotate", "predict"):
            seen["batches"] += 1
            if seen["batches"] == count:
                act()
        return request(method, *segments, **options)

    transport.request = watching  # type: ignore[method-assign]


def interrupt() -> None:
    """Press Ctrl+C."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["replaced", "overwritten", "removed"])
def test_a_file_that_changes_while_it_is_imported_is_noticed(
    items: Destination, local: npd.NucleusClient, source: Path, how: str
) -> None:
    path = write(image_items(40), source / "a.parquet")
    corrected = image_items(40).assign(image_url="https://example.org/corrected.jpg")

    def change() -> None:
        if how == "replaced":
            rewrite(corrected, path)
        elif how == "overwritten":
            path.write_bytes(write(corrected, source / "_other").read_bytes())
        else:
            path.unlink()

    after_requests(local, 5, change)  # in the second row group, while the third is read or was read already
    with pytest.raises(npd.InvalidInputError, match="'a.parquet' changed while it was imported. Rows before"):
        items.imported(local, path)
    there = items.rows()
    assert there["reference_id"].tolist() == [f"{number:02}.jpg" for number in range(len(there))]
    assert len(there) in (10, 15)
    assert not there["image_url"].str.contains("corrected").any()
    if how == "removed":
        write(corrected, path)
    with pytest.warns(npd.NucleusWarning, match="'a.parquet' has changed since it was imported"):
        result = items.imported(local, path, if_exists="skip")
    assert result.changed == ("a.parquet",)
    assert (result.new, result.ignored) == (40 - len(there), len(there))
    assert items.rows()["image_url"].str.contains("corrected").sum() == result.new


def test_of_a_changed_file_batches_that_differ_are_sent(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests
) -> None:
    path = write(image_items(), source / "a.parquet")
    write(image_items(5, 50), source / "b.parquet")
    items.imported(local, source, if_exists="update")
    before = items.rows()
    frame = image_items()
    frame.loc[[6, 11], "image_url"] = "https://example.org/other.jpg"
    rewrite(frame, path)
    sent.clear()
    with pytest.warns(npd.NucleusWarning, match="'a.parquet' has changed .* are replaced .if_exists='update'"):
        result = items.imported(local, source, if_exists="update")
    assert sent == {"append": 2}
    assert (result.changed, result.new, result.updated) == (("a.parquet",), 0, 4)
    assert result.already_sent == 13
    before.loc[[6, 11], "image_url"] = "https://example.org/other.jpg"
    same(items.rows(), before)
    sent.clear()
    assert items.imported(local, source, if_exists="update").changed == ()
    assert sent.total() == 0


def test_a_file_that_is_what_it_was_once_is_sent_again(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests
) -> None:
    path = write(image_items(), source / "a.parquet")
    first, modified = path.read_bytes(), path.stat().st_mtime_ns
    items.imported(local, path, if_exists="update")
    before = items.rows()
    rewrite(image_items().assign(image_url="https://example.org/other.jpg"), path, row_group_size=20)
    with pytest.warns(npd.NucleusWarning, match="has changed"):
        items.imported(local, path, if_exists="update")
    assert items.rows()["image_url"].str.contains("other").all()
    path.write_bytes(first)
    os.utime(path, ns=(modified, modified))
    sent.clear()
    with pytest.warns(npd.NucleusWarning, match="has changed"):
        result = items.imported(local, path, if_exists="update")
    same(items.rows(), before)
    assert sent["append"] == 7  # row groups that the file did not have meanwhile are forgotten too
    assert sum(result.counts.values()) == 12


def test_what_an_import_began_to_replace_is_not_taken_for_sent(
    items: Destination, local: npd.NucleusClient, store: Path, source: Path
) -> None:
    path = write(image_items(), source / "a.parquet")
    first, modified = path.read_bytes(), path.stat().st_mtime_ns
    items.imported(local, path, if_exists="update")
    before = items.rows()
    rewrite(image_items().assign(image_url="https://example.org/other.jpg"), path)
    with npd.NucleusClient.local(store) as other:
        after_requests(other, 3, interrupt)
        with pytest.warns(npd.NucleusWarning, match="has changed"), pytest.raises(KeyboardInterrupt):
            items.imported(other, path, if_exists="update")
    assert items.rows()["image_url"].str.contains("other").sum() == 4
    path.write_bytes(first)
    os.utime(path, ns=(modified, modified))
    with pytest.warns(npd.NucleusWarning, match="has changed"):
        items.imported(local, path, if_exists="update")
    same(items.rows(), before)


def test_a_file_with_another_time_alone_is_not_sent_again(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests
) -> None:
    path = write(image_items(), source / "a.parquet")
    items.imported(local, path)
    os.utime(path, ns=(1, 1))
    sent.clear()
    result = items.imported(local, path)
    assert (sent.total(), result.changed, result.new, result.already_sent) == (0, (), 0, 12)


@pytest.mark.parametrize("kind", ["embedded", "contract"])
def test_images_are_sent_again_where_their_files_changed(store: Path, source: Path, kind: str) -> None:
    with npd.NucleusClient.local(store) as client:
        items = Destination.make(client, "items")
        if kind == "contract":
            contract_only(client)
        sent = count_requests(client)
        frame = with_files(image_items(11), source / "images")
        path = write(frame, source / "a.parquet")
        items.imported(client, path)
        sent.clear()
        again = items.imported(client, path)
        if kind == "contract":  # which does not say whether items were deleted
            assert again.ignored == 11
            return
        assert again.already_sent == 11
        assert sent.total() == 0
        os.utime(frame["image_url"][7], ns=(1, 1))
        result = items.imported(client, path)
        assert (result.already_sent, result.ignored) == (9, 2)
        assert sent["append"] == 1


def test_a_change_that_no_footer_tells_of_is_noticed(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests
) -> None:
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    path = write(image_items(), source / "a.parquet", **options)
    items.imported(local, path)
    path.write_bytes(path.read_bytes().replace(b"/07.jpg", b"/70.jpg"))
    sent.clear()
    with pytest.warns(npd.NucleusWarning, match="'a.parquet' has changed .* existing rows are kept .if_exists='skip'"):
        result = items.imported(local, path)
    assert (sent, result.changed, result.ignored) == ({"append": 1}, ("a.parquet",), 2)


def test_a_folder_goes_on_where_it_was_moved_to(
    annotations: Destination, local: npd.NucleusClient, source: Path, sent: Requests
) -> None:
    (source / "below").mkdir()
    write(box_rows(), source / "a.parquet")
    write(box_rows(40).assign(label="bus"), source / "below" / "b.parquet")
    after_requests(local, 9, interrupt)
    with pytest.raises(KeyboardInterrupt):
        annotations.imported(local, source)
    moved = source.with_name("elsewhere")
    source.rename(moved)
    sent.clear()
    result = annotations.imported(local, moved)
    assert sent["annotate"] == 24  # of 8 + 24
    assert result.changed == ()
    assert sum(result.counts.values()) == 53
    assert result.journal == moved / JOURNAL


# Journals


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text)")


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def make_torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def scribble(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


BAD_JOURNALS: dict[str, tuple[bool, Callable[[Path], object], str]] = {
    "a text": (False, lambda path: path.write_text("notes\n" * 100), "cannot be opened: file is not a database"),
    "a database": (False, make_foreign, "is not a journal; name another file with journal="),
    "a folder": (False, lambda path: path.mkdir(), "cannot be opened: unable to open database file"),
    "a newer one": (True, make_newer, "is a journal of another version"),
    "torn": (True, make_torn, "cannot be (opened|read): .*malformed"),
    "of no text": (True, scribble(b"[[2, 2]]", b"[[2, \xff]]"), "cannot be read"),
    "of no rows": (True, scribble(b"[[2, 2]]", b"[[2, 0]]"), "cannot be read: it is damaged"),
    "of no JSON": (True, scribble(b'{"new": 5}', b'{"new" 55}'), "cannot be read: it is damaged"),
    "of another shape": (True, scribble(b'{"new": 5}', b'["n", "ew"]'[:10]), "cannot be read: it is damaged"),
}


@pytest.mark.parametrize("what", BAD_JOURNALS)
def test_a_journal_that_is_none_is_refused_with_a_way_out(
    items: Destination, local: npd.NucleusClient, source: Path, what: str
) -> None:
    path, journal = write(image_items(), source / "a.parquet"), source / JOURNAL
    begun, break_it, said = BAD_JOURNALS[what]
    if begun:
        assert items.imported(local, path).journal == journal
        if "rows" in what or "text" in what:
            os.utime(path, ns=(1, 1))  # so that row groups are compared that were answered whole
    break_it(journal)
    there = journal.read_bytes() if journal.is_file() else None
    with pytest.raises(npd.JournalError, match=said) as caught:
        items.imported(local, path)
    assert str(journal) in str(caught.value)
    assert "journal=" in str(caught.value)
    if what in ("a text", "a database", "a newer one"):
        assert journal.read_bytes() == there
    assert items.imported(local, path, journal=source / "another").ignored == (12 if begun else 0)
    assert items.imported(local, path, journal=False).ignored == 12
    assert names(items) == [f"{number:02}.jpg" for number in range(12)]


@pytest.mark.parametrize("wrong", [b"[[9, 2]]", b"[[2, 1]]", b"[[7, 2]]"])
def test_what_nobody_wrote_into_a_journal_is_sent_again(
    items: Destination, local: npd.NucleusClient, source: Path, sent: Requests, wrong: bytes
) -> None:
    path = write(image_items(), source / "a.parquet")
    items.imported(local, path)
    os.utime(path, ns=(1, 1))
    scribble(b"[[2, 2]]", wrong)(source / JOURNAL)
    sent.clear()
    with pytest.warns(npd.NucleusWarning, match="has changed"):
        result = items.imported(local, path)
    assert (sent, result.already_sent, result.ignored) == ({"append": 5}, 2, 10)


def test_a_journal_waits_for_another_process_that_begins_it(source: Path) -> None:
    path = source / JOURNAL
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        timer.start()
        with Journal(path) as journal:
            journal.upload(1).record_file("a", "b", 1)
        timer.join()
    assert read_journal(path).answered == {}


def test_an_empty_journal_is_begun(items: Destination, local: npd.NucleusClient, source: Path) -> None:
    (source / JOURNAL).touch()
    assert items.imported(local, write(image_items(), source / "a.parquet")).new == 12
    assert sum(read_journal(source / JOURNAL).finished.values()) == 12


def test_a_name_that_is_not_utf_8_is_told(items: Destination, local: npd.NucleusClient, source: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9.parquet"))
    strange.touch()
    for wanted in (strange, source, source / "*.parquet"):
        with pytest.raises(npd.InvalidInputError, match=r"has, or holds, a name that is not UTF-8\. Rename it\."):
            items.imported(local, wanted)


def test_a_mistyped_name_is_told_with_what_it_is_near(
    items: Destination, local: npd.NucleusClient, source: Path
) -> None:
    for name in ("items.parquet", "_item.items.rejects.parquet", ".iten.parquet"):
        (source / name).touch()
    with pytest.raises(
        npd.InvalidInputError, match=r"There is no file '.*item.parquet'\. Did you mean 'items.parquet'\?$"
    ):
        items.imported(local, source / "item.parquet")
    with pytest.raises(npd.InvalidInputError, match=r"Its folder holds 'items.parquet'\.$"):
        items.imported(local, source / "q.parquet")
