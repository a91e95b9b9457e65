"""Send rows: validate them all, send them by the protocol that fits, and report the outcome of each."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from nucleus_pandas.errors import AlreadyExistsError, APIError, InvalidInputError, NetworkError, UploadError
from nucleus_pandas.schema import LocalFiles, SendableItems, Units, label_of, warn
from nucleus_pandas.schema.validate import ColumnLayout, SendableRows, validate, warn_of_outside, warn_of_repeats
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.uploads.batches import Upload, send_batches
from nucleus_pandas.uploads.existing import reject_existing
from nucleus_pandas.uploads.images import send_items
from nucleus_pandas.uploads.journal import Journal, UploadJournal
from nucleus_pandas.uploads.options import Options, Target
from nucleus_pandas.uploads.outcomes import INNOCENT
from nucleus_pandas.uploads.replacing import by_image, send_replacing
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.signed_url import send_signed
from nucleus_pandas.wire.bulk import Generation, LeaveMark, MarkLeft

_ENDED = ""  # the mark of an upload that has ended, if the server takes none
_SHOWN = 5  # rows in an error's text


def upload(
    target: Target,
    rows: SendableRows,
    layout: ColumnLayout,
    options: Options,
    *,
    local_files: LocalFiles | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> UploadResult:
    """Validate rows, then send them.

    Raises
    ------
    InvalidInputError
        Rows are invalid, and nothing was sent.
    UploadError
        The server rejected rows, while the others are stored.
    """
    if options.if_exists == "replace":
        if target.kind == "items":
            raise InvalidInputError(
                "if_exists must be 'skip' or 'update' or 'error' for items, not 'replace'; 'update' replaces an item.",
                argument="if_exists",
            )
        target.transport.require("replace", "replace the rows of images as a whole (if_exists='replace')")
    local_files = local_files or LocalFiles()
    update = options.if_exists in ("update", "replace")
    source, checked = validate(target.kind, rows, layout, local_files=local_files, terms=target.terms, update=update)
    if journal is None:
        return _upload(Upload(target, options, source, checked), layout, local_files)
    if not options.wait:
        raise InvalidInputError(
            "journal= cannot be combined with wait=False, because the journal records how jobs end.", argument="wait"
        )
    with Journal(Path(journal)) as opened:
        entries = begin_entries(opened, target, target.kind, *target.route, options.if_exists)
        made = Upload(target, options, source, checked, journal=entries.part(""))
        result = _upload(made, layout, local_files)
        if made.outcomes.failure is None:
            end_entries(entries, target)
        return result


def begin_entries(journal: Journal, target: Target, *identity: object) -> UploadJournal:
    """Return the entries of an upload for which the server vouches, after leaving a mark on the server.

    Parameters
    ----------
    journal : Journal
        The file.
    target : Target
        Where the rows go.
    *identity : JSON values
        What distinguishes this upload from others.
    """
    transport = target.transport
    generation = ""
    if "generation" in transport.extensions:
        generation = transport.read(Generation, "_nucleus_pandas", *target.route[:2], "generation").generation
    entries = journal.upload(*identity, generation=generation)
    if "marks" in transport.extensions:
        _leave_mark(transport, entries)
    elif entries.mark == _ENDED:
        entries.clear()
    return entries


def end_entries(entries: UploadJournal, target: Target) -> None:
    """Record that an upload has sent everything, after leaving another mark on the server."""
    if "marks" not in target.transport.extensions:
        entries.set_mark(_ENDED)
        return
    with suppress(APIError, NetworkError):  # the first mark holds
        _leave_mark(target.transport, entries)


def _leave_mark(transport: Transport, entries: UploadJournal) -> None:
    """Leave a new mark on the server, and clear the entries if it does not have the last one."""
    request = LeaveMark(mark=token_hex(8), replaces=entries.mark or None)
    if not transport.look_up(MarkLeft, "_nucleus_pandas", "marks", body=request).known:
        entries.clear()
    entries.set_mark(request.mark)


def _upload(upload: Upload[Units], layout: ColumnLayout, local_files: LocalFiles) -> UploadResult:
    problems = upload.checked.problems
    replaces_images = upload.options.if_exists == "replace"
    if problems.bad.any() and (upload.options.on_error == "raise" or replaces_images):
        result = upload.result()
        raise InvalidInputError(
            f"{_describe(upload, result)}\nNothing was sent. "
            + (
                "if_exists='replace' would lose the invalid rows of images; correct or leave them out."
                if replaces_images
                else "on_error='collect' sends the other rows."
            ),
            result,
            problems.frame(),
        )
    if replaces_images:
        upload.checked = by_image(upload.checked)
    local_files.warn()
    warn_of_repeats(upload.checked, upload.source, layout)
    try:
        send(upload)
    except KeyboardInterrupt as interrupt:
        upload.outcomes.interrupt()
        vars(interrupt)["result"] = upload.result()
        raise
    warn_of_beside(upload.outcomes.beside)
    warn_of_outside(upload.outcomes.outside, len(upload.units), layout)
    return _result_of_jobs(upload) if upload.outcomes.jobs else _result(upload)


def warn_of_beside(count: int) -> None:
    """Warn of rows that an update added beside older ones instead of replacing them, if there are any."""
    if count:
        warn(
            f"if_exists='update' added {count} rows without annotation_id beside others of their images, and replaced "
            "none by them: an id that is computed changes with label, coordinates and confidence. if_exists='replace' "
            "replaces all rows of the images; run.delete_predictions(ids) and dataset.delete_annotations(ids) delete."
        )


def send(upload: Upload[Units]) -> None:
    """Send checked rows; every unit has an outcome afterwards, whatever happens on the way."""
    if not len(upload.units) and not upload.checked.cleared:
        return
    try:
        extensions = upload.extensions
    except (APIError, NetworkError) as error:
        upload.outcomes.reject(range(len(upload.units)), str(error))
        upload.outcomes.abort(error)
        return
    if upload.options.if_exists == "replace":
        send_replacing(upload)
        return
    if upload.options.if_exists == "error" and reject_existing(upload):
        return
    if _has_items(upload) and "outcomes" not in extensions:
        send_signed(upload)
    elif _has_items(upload) and upload.units.files:
        send_items(upload)
    else:
        send_batches(upload)


def _has_items(upload: Upload[Any]) -> TypeGuard[Upload[SendableItems]]:
    return isinstance(upload.units, SendableItems)


def _result_of_jobs(upload: Upload[Units]) -> UploadResult:
    """Return the result when the server's jobs have ended, or one that can wait for them."""
    outcomes = upload.outcomes

    def wait(timeout: float | None = None) -> UploadResult:
        outcomes.wait(timeout)
        return _result(upload)

    if not upload.options.wait:
        return upload.result(wait)
    try:
        outcomes.wait()
    except (APIError, NetworkError) as error:
        reason = str(error)
    else:
        return _result(upload)
    result = upload.result(wait)
    if upload.options.on_error == "collect":
        return result
    lines = [_describe(upload, result)] if outcomes.has_failures else []
    names = ", ".join(f"'{job.id}'" for job in result.jobs)
    lines.append(f"The rows were accepted, but the server did not say how {names} ended: {reason}")
    lines.append("The server continues; .result.wait() waits for it again.")
    raise UploadError("\n".join(lines), result)


def _result(upload: Upload[Units]) -> UploadResult:
    """Return the result, or raise it if rows failed."""
    result, outcomes = upload.result(), upload.outcomes
    if upload.options.on_error == "collect" or not outcomes.has_failures:
        return result
    if outcomes.common_error is not None:
        raise outcomes.common_error
    summary = "The other rows are stored" if outcomes.has_stored else "No row is stored"
    if outcomes.doubtful:
        known = f"{summary}. " if outcomes.has_stored else ""
        summary = f"{known}Rows without a proper answer may be stored; sending them again stores nothing twice"
    error = AlreadyExistsError if outcomes.existing else UploadError
    raise error(f"{_describe(upload, result)}\n{summary}; .result has the outcome of each row.", result)


def _describe(upload: Upload[Units], result: UploadResult) -> str:
    """Describe what failed, by the first rows with errors."""
    source = upload.source
    lines = list(upload.outcomes.notes)
    index = source.index if isinstance(source, pd.DataFrame) else pd.RangeIndex(len(source))
    failed = np.flatnonzero(result.is_error)
    innocent = 0
    if upload.outcomes.existing:  # the rows that exist are named, wherever they stand
        is_innocent = np.array([result.error_of(row) in INNOCENT for row in failed.tolist()], dtype=bool)
        failed, innocent = failed[~is_innocent], int(is_innocent.sum())
    if len(failed):
        what = "were rejected" if upload.outcomes.errors else "are invalid"
        lines.append(f"{len(failed)} of {len(source)} rows {what}:")
    lines += [f"  {label_of(index, row)}: {result.error_of(row)}" for row in failed[:_SHOWN].tolist()]
    if len(failed) > _SHOWN:
        lines.append(f"  … and {len(failed) - _SHOWN} more")
    if innocent:
        lines.append(f"The other {innocent} rows are not stored for that reason.")
    return "\n".join(lines)
