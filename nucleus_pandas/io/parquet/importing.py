"""Imports of Parquet files into a dataset or a run, row group by row group."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from nucleus_pandas._util.options import new_bar, shows_progress
from nucleus_pandas._util.threads import workers
from nucleus_pandas.errors import AlreadyExistsError, InvalidInputError, NucleusWarning, UploadError
from nucleus_pandas.io.parquet.export_schema import exported_as
from nucleus_pandas.io.parquet.rejects import Rejects, holds_rejects
from nucleus_pandas.io.parquet.row_groups import ReadPlan, RowGroupFrame, without_views
from nucleus_pandas.io.parquet.sources import SourceFile, SourceFiles, first_line
from nucleus_pandas.schema import NOT_SENT, LocalFiles, Units, warn
from nucleus_pandas.schema.checked_rows import RowKind
from nucleus_pandas.schema.outside import Outside
from nucleus_pandas.schema.validate import ColumnLayout, validate, warn_of_outside
from nucleus_pandas.uploads.batches import Upload
from nucleus_pandas.uploads.existing import existing_units
from nucleus_pandas.uploads.journal import FILE_NAME, Journal, PartJournal, UploadJournal, user_folder
from nucleus_pandas.uploads.options import Options, Target
from nucleus_pandas.uploads.results import ACCEPTED, COUNTED, ERROR, STATUSES, UNSENT, ImportResult
from nucleus_pandas.uploads.upload import begin_entries, end_entries, send, warn_of_beside

_GIANT_ROWS, _GIANT_BYTES = 1_000_000, 512 << 20  # of a row group, which has to fit into memory
_REPEATS = "repeats"  # beside the statuses, in the journal's counts of a row group
_SHOWN = 5  # rejected rows in a message
_OF_COUNTERS = {
    "new_items": "new",
    "updated_items": "updated",
    "ignored_items": "ignored",
    "upload_errors": "failed",
    "annotations_processed": "processed",
    "annotations_ignored": "ignored",
    "predictions_processed": "processed",
    "predictions_ignored": "ignored",
}


class Progress:
    """A progress bar, on a terminal or in a notebook.

    Parameters
    ----------
    what : str
        The kind of the rows.
    total : int
        Rows of all files.
    wanted : bool or None
        Whether to show it; None shows it on a terminal and in notebooks.
    """

    def __init__(self, what: str, total: int, wanted: bool | None) -> None:
        self._bar: Any = None
        self._done = 0  # rows of the finished row groups
        self._rows = self._units = self._sent = 0  # of the current row group
        wanted = shows_progress(wanted)
        if wanted is not False:
            self._bar = new_bar(wanted, total, what, unit_scale=True)

    def begin(self, rows: int, units: int) -> None:
        """Begin a row group of some rows, which are sent as some units."""
        self._rows, self._units, self._sent = rows, units, 0

    def sent(self, units: int) -> None:
        """Record that units were sent."""
        self._sent += units
        self._show(self._done + self._rows * self._sent // max(self._units, 1))

    def end(self, rows: int, counts: Mapping[str, int]) -> None:
        """Record that a row group is finished, and show the counts of all rows so far."""
        self._done += rows
        if self._bar is not None:
            # As strings: tqdm writes numbers in three digits, 12,345 as 1.23e+4.
            shown = {name: f"{counts[name]:,}" for name in COUNTED if counts.get(name)}
            self._bar.set_postfix(shown, refresh=False)
        self._show(self._done)

    def _show(self, rows: int) -> None:
        if self._bar is not None:
            self._bar.update(rows - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class Records:
    """The journal and the rejects of an import.

    Attributes
    ----------
    journal : path-like, bool or None
        A file, or False for none; by default in the user's cache folder, or beside the source if that is read-only or a
        journal is there.
    rejects : path-like or None
        A file; by default beside the source, or in the user's cache folder if that is read-only.
    max_rejects : int or None
        The import ends when more rows than this are rejected.
    """

    journal: str | os.PathLike[str] | bool | None = None
    rejects: str | os.PathLike[str] | None = None
    max_rejects: int | None = None

    def __post_init__(self) -> None:
        """Check the number of rows."""
        wrong = isinstance(self.max_rejects, bool) or not isinstance(self.max_rejects, int) or self.max_rejects < 0
        if self.max_rejects is not None and wrong:
            raise InvalidInputError(
                f"max_rejects is a number of rows, not {self.max_rejects!r}.", argument="max_rejects"
            )


@dataclass(frozen=True)
class _Group:
    """A row group to send."""

    file: SourceFile
    number: int
    first: int
    rows: int
    plan: ReadPlan
    part: PartJournal | None
    was_sent: bool  # from an earlier version of its file


class RowsImport:
    """One import: its files, and the counts of its rows so far.

    The files are validated when it is created, so that a dataset for its rows can be created after that.

    Raises
    ------
    InvalidInputError
        A file cannot be read, or a column is missing or has a wrong type.
    """

    target: Target

    def __init__(
        self,
        kind: RowKind,
        sources: SourceFiles,
        layout: ColumnLayout,
        options: Options,
        records: Records,
        local_files: LocalFiles,
    ) -> None:
        if options.if_exists == "replace":
            raise InvalidInputError(
                "An import cannot replace the rows of images as a whole, since those of one image may be in several "
                "row groups. Read the file, and use dataset.annotate(frame, if_exists='replace') or run.predict(…).",
                argument="if_exists",
            )
        self.kind = kind
        self.sources = replace(sources, files=_without_rejects(sources.files))
        self.layout = layout
        self.options = options
        self.records = records
        self.local_files = local_files
        self.counts: Counter[str] = Counter()
        self.repeats = self.beside = 0
        self.since: int | None = None
        self.outside = Outside()
        self.boxes = 0
        self.existing: dict[tuple[str, int], dict[int, str]] = {}
        self.changed: list[str] = []
        self.first_rejected: list[str] = []
        self.place = ""  # of the current row group
        self.plans = {file.name: self._plan(file) for file in self.sources.files}

    def run(self, target: Target) -> ImportResult:
        """Send everything that was not sent before."""
        self.target = target
        files = self.sources.files
        with ExitStack() as stack:
            journal = self._journal()
            log = None
            if journal is not None:
                log = begin_entries(stack.enter_context(journal), target, *self._what())
            rejects = stack.enter_context(Rejects(self._rejects_path()))
            total = sum(rows for file in files for rows, _ in file.groups)

            def so_far() -> ImportResult:
                return ImportResult(
                    kind=self.kind,
                    files=len(files),
                    rows=total,
                    counts=self.counts,
                    repeats=self.repeats,
                    changed=tuple(self.changed),
                    rejects=rejects.path if rejects.count else None,
                    journal=None if journal is None else journal.path,
                )

            try:
                with Progress(self.kind, total, self.options.progress) as bar:
                    error = self._send_all(log, rejects, bar)
            except KeyboardInterrupt as interrupt:
                vars(interrupt)["result"] = so_far()
                raise
            result = so_far()
            warn_of_beside(self.beside)
            self.local_files.warn()
            warn_of_outside(self.outside, self.boxes, self.layout)
            if error is not None:
                raise self._stopped(error, result) from error
            if log is not None:
                end_entries(log, target)
        if result.failed and self.options.on_error == "raise":
            if self.existing:
                raise AlreadyExistsError(f"{self.rejected_rows(result)}\nNothing was stored.", result)
            raise UploadError(f"{self.rejected_rows(result)}\nThe other rows are stored.", result)
        return result

    def _plan(self, file: SourceFile) -> ReadPlan:
        """Validate the columns of a file; this happens for all files before a row is sent."""
        plan = ReadPlan(file.schema, file.partitions, self.kind, self.layout)
        try:
            validate(self.kind, plan.sample(), self.layout, update=self.options.if_exists == "update")
            plan.check_types()
        except InvalidInputError as error:
            what = exported_as(file.schema)
            if what is not None and what != self.kind:
                raise InvalidInputError(
                    f"{file.name} is an export of {what}, but {self.kind} are imported. Name only the files of "
                    f"{self.kind}. Did you mean kind={what!r}?"
                ) from None
            raise InvalidInputError(f"{file.name}: {error}") from None
        for number, (rows, size) in enumerate(file.groups):
            if rows > _GIANT_ROWS or size > _GIANT_BYTES:
                warn(
                    f"Row group {number} of '{file.name}' has {rows:,} rows and {size >> 20:,} MB, which are "
                    "in memory at once. Write it with smaller row groups: frame.to_parquet(…, row_group_size=100_000)."
                )
                break
        return plan

    def _what(self) -> list[object]:
        """Return what identifies this upload in the journal: the target and the layout of its rows."""
        layout = self.layout
        mapping = sorted((str(key), repr(value)) for key, value in (layout.columns or {}).items())
        made_of = [mapping, repr(layout.bbox), layout.bbox_format or "xywh", repr(layout.metadata)]
        base = self.local_files.base
        files = [self.local_files.local, *([] if base is None else [str(base)])]
        return [self.kind, *self.target.route, self.options.if_exists, *made_of, *files]

    def _journal(self) -> Journal | None:
        journal = self.records.journal
        if journal is False:
            return None
        return Journal(_journal_path(self.sources) if journal is None or journal is True else Path(journal))

    def _rejects_path(self) -> Path:
        if self.records.rejects is not None:
            return Path(self.records.rejects)
        files = self.sources.files
        name = Path(files[0].name).stem if len(files) == 1 else "files"
        return _rejects_folder(self.sources) / f"_{name}.{self.kind}.rejects.parquet"

    def _send_all(self, log: UploadJournal | None, rejects: Rejects, bar: Progress) -> Exception | None:
        """Send the row groups; return the error that ended this early, if any."""
        groups = self._groups(log, bar)
        if self.options.if_exists == "error":
            waiting = list(groups)
            self._find_existing(waiting, bar)
            groups = iter(waiting)
        for group, table in _read_ahead(groups):
            self.place = f"{group.file.name}, row group {group.number}"
            rows, upload = self._validate(group, table, bar)
            outcomes = upload.outcomes
            bar.begin(group.rows, len(upload.units))
            outcomes.since = self.since
            if self.existing:
                outcomes.reject_existing(self.existing.get((group.file.name, group.number), {}))
            else:
                try:
                    send(upload)
                except KeyboardInterrupt:
                    self.counts += counted(upload)
                    del self.counts["failed"]
                    raise
            self.since = outcomes.since
            self.beside += outcomes.beside
            self.outside = self.outside.plus(outcomes.outside)
            self.boxes += len(upload.units)
            upload.wait_for_jobs()
            counts = counted(upload)
            counts = +(counts + Counter(failed=len(rows.rejected)))
            if group.was_sent and outcomes.recalled < len(upload.units):
                self._warn_changed(group.file)
            if outcomes.failure is not None:
                del counts["failed"]  # the next import sends them again
                self.counts += counts
                return outcomes.failure
            self.counts += counts
            self._reject(group, upload, rows, table, rejects)
            bar.end(group.rows, self.counts)
            limit = self.records.max_rejects
            if limit is not None and not self.existing and self.counts["failed"] > limit:
                return _TooManyError(f"More rows are rejected than max_rejects={limit} allows")
            if group.part is not None and not counts["failed"] and not upload.units.files:  # local files may change
                group.part.finish(group.file.identity, counts | Counter({_REPEATS: len(upload.checked.repeats)}))
            del table, rows, upload, outcomes  # frees memory for the next row group
        return None

    def _find_existing(self, groups: Sequence[_Group], bar: Progress) -> None:
        """Find the rows that exist, before any is sent; if there are some, none is."""
        for group, table in _read_ahead(iter(groups)):
            self.place = f"{group.file.name}, row group {group.number}"
            repeats = self.repeats
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NucleusWarning)  # given when the rows are sent
                rows, upload = self._validate(group, table, bar)
            self.repeats = repeats
            if found := existing_units(upload):
                self.existing[group.file.name, group.number] = found
            for unit in sorted(found)[: _SHOWN - len(self.first_rejected)]:
                at = int(np.flatnonzero(upload.checked.unit_of_row == unit)[0])
                row = group.first + int(rows.source[at])
                self.first_rejected.append(f"  {group.file.name}, row {row}: {found[unit]}")
        self.local_files = replace(self.local_files)  # what it noted is noted when the rows are sent

    def _groups(self, log: UploadJournal | None, bar: Progress) -> Iterator[_Group]:
        """Yield the row groups that an earlier import did not finish; the journal holds the counts of the others."""
        for file in self.sources.files:
            if log is not None:
                self._record_version(file, log)
            first = 0
            for number, (rows, _) in enumerate(file.groups):
                part = None if log is None else log.part(f"{file.name}#{number}")
                done, was_sent = (None, False) if part is None else part.finished(file.identity)
                if done is not None:
                    self.repeats += done.pop(_REPEATS, 0)
                    skipped = done.get("skipped", 0)
                    self.counts.update(skipped=skipped, already_sent=sum(done.values()) - skipped)
                    bar.end(rows, self.counts)
                elif rows:
                    yield _Group(file, number, first, rows, self.plans[file.name], part, was_sent)
                first += rows

    def _record_version(self, file: SourceFile, log: UploadJournal) -> None:
        """Record the version of a file, and warn if an earlier import had another; a new time alone is not a change."""
        seen = log.file_identity(file.name)
        if seen is not None and not file.is_same(seen):
            self._warn_changed(file)
        if seen != file.identity:
            log.record_file(file.name, file.identity, len(file.groups))

    def _warn_changed(self, file: SourceFile) -> None:
        if file.name in self.changed:
            return
        self.changed.append(file.name)
        existing = "replaced" if self.options.if_exists == "update" else "kept"
        warn(
            f"'{file.name}' has changed since it was imported. Its rows are compared with what was sent, and batches "
            f"that differ are sent; existing rows are {existing} (if_exists={self.options.if_exists!r})."
        )

    def _validate(self, group: _Group, table: Any, bar: Progress) -> tuple[RowGroupFrame, Upload[Units]]:
        try:
            rows = group.plan.rows(table)
            source, checked = validate(
                self.kind, rows.frame, self.layout, local_files=self.local_files, terms=self.target.terms
            )
        except InvalidInputError as error:
            raise InvalidInputError(f"{self.place}: {error}") from None
        self.repeats += len(checked.repeats)
        return rows, Upload(self.target, self.options, source, checked, journal=group.part, watch=bar.sent)

    def _reject(self, group: _Group, upload: Upload[Units], rows: RowGroupFrame, table: Any, rejects: Rejects) -> None:
        """Write the rejected rows of a row group to the rejects."""
        rejected: list[tuple[int | None, str | None, str]] = [(row, *why) for row, why in rows.rejected.items()]
        for at, column, reason in rejections(upload):
            box = "" if rows.box is None else f"Box {rows.box[at]}: "
            rejected.append((int(rows.source[at]), column, f"{box}{reason}"))
        rejected.sort(key=lambda rejection: rejection[0] or 0)
        rejected += [(None, None, note) for note in upload.outcomes.notes]  # about rows that the server does not name
        if not rejected:
            return
        numbers = [row if row is None else group.first + row for row, _, _ in rejected]
        for number, (_, column, reason) in list(zip(numbers, rejected, strict=True))[
            : _SHOWN - len(self.first_rejected)
        ]:
            in_column = f", column '{column}'" if column else ""
            self.first_rejected.append(f"  {group.file.name}, row {number}{in_column}: {reason}")
        rejects.add(
            group.file.name,
            group.number,
            numbers,
            [column for _, column, _ in rejected],
            [reason for _, _, reason in rejected],
            table.take(pa.array([row for row, _, _ in rejected], pa.int64())),
        )

    def rejected_rows(self, result: ImportResult) -> str:
        """Return a message with the number of rejected rows and the first of them."""
        lines = [f"{result.failed:,} of {result.rows:,} rows are rejected:", *self.first_rejected]
        if result.failed > len(self.first_rejected):
            lines.append(f"  … and {result.failed - len(self.first_rejected):,} more")
        return "\n".join([*lines, f"All of them are in '{result.rejects}'."])

    def _stopped(self, error: Exception, result: ImportResult) -> Exception:
        """Return the error of an import that ended early, with how far it came."""
        stored = sum(self.counts.values()) - self.counts["failed"]
        if isinstance(error, _TooManyError):
            return UploadError(
                f"{error}, so the import ended at {self.place}.\n{self.rejected_rows(result)}\n"
                "Correct them, and run the import again: it resumes where it ended.",
                result,
            )
        if not stored:
            return error
        effect = "it resumes where it ended" if result.journal else "rows that exist already are ignored"
        return UploadError(
            f"The import ended at {self.place}: {error}\n{stored:,} rows are stored. Run the import again: {effect}.",
            result,
        )


class _TooManyError(Exception):
    """More rows are rejected than max_rejects allows."""


def _read_ahead(groups: Iterator[_Group]) -> Iterator[tuple[_Group, Any]]:
    """Yield row groups with their tables; each is read while the previous one is sent."""
    with workers(1, "nucleus_pandas-read") as reader:
        reading = _Reader()
        waiting: tuple[_Group, Any] | None = None
        for group in groups:
            future = reader.submit(reading.read, group)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = group, future
        if waiting is not None:
            yield waiting[0], waiting[1].result()


class _Reader:
    """Reads row groups, and keeps the current file open."""

    def __init__(self) -> None:
        self._file: SourceFile | None = None
        self._state: object = None  # of the file, when it was opened
        self._opened: Any = None

    def read(self, group: _Group) -> Any:
        """Read the needed columns of a row group."""
        file, before = group.file, f"Rows before row group {group.number} are stored"
        table, reason, has_changed = None, "", False
        try:
            if self._file is not file:
                self._state = file.state()
                self._opened = file.open()
                self._file = file
            table = without_views(self._opened.read_row_group(group.number, columns=group.plan.columns))
            table.validate(full=True)  # checks that strings are UTF-8
        except (pa.ArrowException, OSError) as error:
            reason = first_line(error)
        try:
            state = file.state()
            has_changed = state != self._state or not file.is_found(state)
        except OSError as error:
            reason = reason or first_line(error)
        if has_changed:
            raise InvalidInputError(f"'{file.name}' changed while it was imported. {before}; run the import again.")
        if reason:
            raise InvalidInputError(f"Row group {group.number} of '{file.name}' cannot be read: {reason}. {before}.")
        return table


def _without_rejects(files: Sequence[SourceFile]) -> Sequence[SourceFile]:
    """Return the files without rejects of earlier imports; a single file is kept in any case."""
    if len(files) == 1:
        return files
    kept = []
    for file in files:
        if holds_rejects(file.schema):
            warn(f"'{file.name}' holds rejected rows of an import, and is left out. Name it alone to import it.")
        else:
            kept.append(file)
    return kept


def counted(upload: Upload[Units]) -> Counter[str]:
    """Count the outcomes of a row group: of sent units, of invalid rows, and of rows with nothing to send.

    Where the server counts rows without naming them, accepted units that no counter covers have failed.
    """
    checked, outcomes = upload.checked, upload.outcomes
    has_unit = checked.unit_of_row != NOT_SENT
    counts: Counter[str] = Counter()
    for status, count in enumerate(np.bincount(outcomes.statuses, minlength=len(STATUSES)).tolist()):
        if status not in (ERROR, UNSENT, ACCEPTED):
            counts[STATUSES[status]] += count
    accepted = int(np.count_nonzero(outcomes.statuses == ACCEPTED))
    totals = Counter({_OF_COUNTERS[name]: count for name, count in outcomes.counts.items()})
    named = ("new", "updated", "processed", "ignored")
    totals["failed"] = max(0, accepted - sum(totals[status] for status in named))
    counts.update(totals)
    wrong = np.isin(outcomes.statuses, (ERROR, UNSENT))
    counts["failed"] += int(np.count_nonzero(wrong[checked.unit_of_row[has_unit]])) + int(checked.problems.bad.sum())
    counts["skipped"] += int(np.count_nonzero(~has_unit & ~checked.problems.bad))
    return +counts


def rejections(upload: Upload[Units]) -> Iterator[tuple[int, str | None, str]]:
    """Yield the position, the column and the reason of every rejected row."""
    result = upload.result()
    rows = np.flatnonzero(result.is_error)
    if not len(rows):
        return
    reasons: dict[int, list[tuple[str, str]]] = {}
    problems = upload.checked.problems.frame()
    for row, column, reason in zip(*(problems[name].tolist() for name in ("row", "column", "reason")), strict=True):
        reasons.setdefault(row, []).append((column, reason))
    for row in rows.tolist():
        of_row = reasons.get(row, [])
        column = of_row[0][0] or None if of_row else None
        yield row, column, of_row[0][1] if len(of_row) == 1 else str(result.error_of(row))


def _rejects_folder(sources: SourceFiles) -> Path:
    """Return the folder for rejects: that of the files, or one in the user's cache if it is read-only."""
    if sources.is_local and os.access(sources.root, os.W_OK):
        return Path(sources.root)
    return user_folder(sources.root)


def _journal_path(sources: SourceFiles) -> Path:
    """Return the file of the journal: in the user's cache, unless one is beside the files or the cache is read-only."""
    folder, beside = user_folder(sources.root), Path(sources.root) / FILE_NAME
    if sources.is_local and (beside.exists() or not _is_writable(folder)):
        return beside
    return folder / FILE_NAME


def _is_writable(folder: Path) -> bool:
    """Create a folder, and return True if files can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
