"""Send rows: check them whole, send them by the protocol that fits, report each."""

from __future__ import annotations

import os
from pathlib import Path

from nucleus_pandas.errors import AlreadyExistsError, APIError, InvalidInputError, NetworkError, UploadError
from nucleus_pandas.schema.validate import Layout, Rows, look_at
from nucleus_pandas.uploads.accounting import Tally
from nucleus_pandas.uploads.batches import send_batches
from nucleus_pandas.uploads.images import send_items
from nucleus_pandas.uploads.journal import Journal
from nucleus_pandas.uploads.options import Options, Target
from nucleus_pandas.uploads.results import UploadResult
from nucleus_pandas.uploads.signed_url import send_signed


def upload(
    target: Target,
    rows: Rows,
    layout: Layout,
    options: Options,
    *,
    local: bool = False,
    journal: str | os.PathLike[str] | None = None,
) -> UploadResult:
    """Look at rows whole, then send them.

    Raises
    ------
    InvalidInputError
        Rows were refused by the check, and nothing was sent.
    UploadError
        Rows were refused by the server, while the others are stored.
    """
    source, checked = look_at(target.kind, rows, layout, local=local, terms=target.terms)
    if journal is None:
        return _upload(Tally(target, source, checked), options)
    if not options.wait:
        raise InvalidInputError(
            "A journal notes how jobs end, so wait=False does not go with journal=.", argument="wait"
        )
    with Journal(Path(journal)) as opened:
        part = opened.upload(target.kind, *target.route, options.if_exists).part("")
        return _upload(Tally(target, source, checked, log=part), options)


def _upload(tally: Tally, options: Options) -> UploadResult:
    checked = tally.checked
    if checked.problems.bad.any() and options.on_error == "raise":
        result = tally.result()
        raise InvalidInputError(
            f"{tally.sentence(result)}\nNothing was sent. on_error='collect' sends the other rows.",
            result,
            checked.problems.frame(),
        )
    send(tally, options)
    if tally.jobs:
        return _with_jobs(tally, options)
    return _finished(tally, options)


def send(tally: Tally, options: Options) -> None:
    """Send what was looked at; the tally tells of all rows, whatever happens on the way."""
    if not len(tally.checked.units):
        return
    try:
        extensions = tally.target.transport.extensions
    except (APIError, NetworkError) as error:  # an upload accounts for its rows also when it cannot begin
        tally.fail(0, len(tally.checked.units), error, [])
        tally.broken = error
        return
    tally.in_order = tally.log is not None and "outcomes" in extensions
    if tally.target.kind == "items" and "outcomes" not in extensions:
        send_signed(tally, options)
    elif tally.target.kind == "items" and tally.checked.units.files:
        send_items(tally, options)
    else:
        send_batches(tally, options)


def _with_jobs(tally: Tally, options: Options) -> UploadResult:
    """Return a result that can wait for what the server still works on."""

    def wait(timeout: float | None = None) -> UploadResult:
        tally.wait(timeout, none_may_exist=options.if_exists == "error")
        return _finished(tally, options)

    if not options.wait:
        return tally.result(wait)
    try:
        tally.wait(None, none_may_exist=options.if_exists == "error")
    except (APIError, NetworkError) as error:
        reason = str(error)
    else:
        return _finished(tally, options)
    result = tally.result(wait)
    if options.on_error == "collect":
        return result
    lines = [tally.sentence(result)] if tally.failed else []
    names = ", ".join(f"'{job.id}'" for job in result.jobs)
    lines.append(f"What was sent is accepted, but it could not be asked how {names} ended: {reason}")
    lines.append("The server goes on; .result.wait() asks again.")
    raise UploadError("\n".join(lines), result)


def _finished(tally: Tally, options: Options) -> UploadResult:
    result = tally.result()
    if options.on_error == "collect" or not tally.failed:
        return result
    if tally.refusal is not None:
        raise tally.refusal
    outcome = "The other rows are stored" if tally.stored else "No row is stored"
    if tally.doubtful:
        known = f"{outcome}. " if tally.stored else ""
        outcome = f"{known}What had no right answer may be stored; sending it again stores nothing twice"
    kind = AlreadyExistsError if tally.existing else UploadError
    raise kind(f"{tally.sentence(result)}\n{outcome}; .result tells of each.", result)
