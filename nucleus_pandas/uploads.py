"""Rows on their way to the server: checked whole, sent in batches, accounted for one by one."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec
import pandas as pd
from msgspec import Struct

from nucleus_pandas.columns import plain
from nucleus_pandas.errors import (
    APIError,
    BadRequestError,
    InvalidInputError,
    NetworkError,
    UnsupportedError,
    UploadError,
)
from nucleus_pandas.results import COUNTERS, Kind, UploadResult
from nucleus_pandas.transport import Multipart, Transport
from nucleus_pandas.wire import (
    AnnotationCounters,
    AnyAnnotation,
    Counters,
    Item,
    MultiCategory,
    PredictionCounters,
    convert,
    fill_annotation_ids,
    item_key,
)

IfExists: TypeAlias = Literal["skip", "update"]
OnError: TypeAlias = Literal["raise", "collect"]
Payload: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]

REMOTE = ("http", "https", "s3", "gs", "gcs")
BATCH = 5_000
PICTURES = 10  # a request
_SHOWN = 5  # refused rows in an error's text

# What may be sent, and what is added on the way back: a dict that was read may be sent again.
_READ_BACK = frozenset({"id", "dataset_item_id", "ref_id", "original_image_url", "phash", "processed_url"})
_ITEM_KEYS = frozenset(Item.__struct_fields__) | _READ_BACK
_ANNOTATION_KEYS = frozenset(name for shape in get_args(AnyAnnotation) for name in shape.__struct_fields__)
_ANNOTATION_KEYS |= _READ_BACK | {"type"}

_ANSWERS: dict[Kind, type[Struct]] = {
    "items": Counters,
    "annotations": AnnotationCounters,
    "predictions": PredictionCounters,
}


@dataclass(frozen=True)
class Target:
    """Where rows go: the contract's route, what the result tells besides, and how rows are keyed."""

    kind: Kind
    transport: Transport
    route: tuple[str, ...]
    context: Mapping[str, Any]


class _Tally:
    """Collects the outcome of every row while batches come back."""

    def __init__(self, target: Target, source: Sequence[Mapping[str, Any]]) -> None:
        self.target = target
        self.source = source
        self.statuses = ["skipped"] * len(source)
        self.errors: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.broken: Exception | None = None  # why nothing more is sent
        self.notes: list[str] = []  # of refusals that no row can be blamed for

    def refuse(self, row: int, reason: str) -> None:
        self.statuses[row] = "error"
        self.errors[row] = reason

    def answer(self, rows: Sequence[int], answer: Mapping[str, Any]) -> None:
        """Note the answer to a batch."""
        if "outcomes" in answer:
            at = iter(rows)
            for outcome, count in answer["outcomes"]:
                for _ in range(count):
                    self.statuses[next(at)] = outcome
            for number, reason in answer["row_errors"]:
                self.errors[rows[number]] = reason
            return
        counters = msgspec.to_builtins(convert(answer, _ANSWERS[self.target.kind], "The server's answer"))
        counts = {name: counters.get(name, 0) for name in COUNTERS[self.target.kind]}
        reasons: list[str] = counters.get("errors") or []
        lost = len(rows) - sum(counts.values()) + counts.get("upload_errors", 0)
        statuses = [statuses[-1] for name, statuses in COUNTERS[self.target.kind].items() if counts[name] == len(rows)]
        if statuses and not lost:
            for row in rows:
                self.statuses[row] = statuses[0]
            return
        # The server only counts: its rows cannot be told apart, unless it took none of them.
        self.counts.update(counts)
        self.counts["upload_errors"] -= counts.get("upload_errors", 0) if lost == len(rows) else 0
        for row in rows:
            self.statuses[row] = "accepted"
            if lost == len(rows):
                self.refuse(row, "; ".join(reasons[:_SHOWN]) or "The server did not store it, and did not say why.")
        if lost and lost < len(rows):
            said = f" It says: {'; '.join(reasons[:_SHOWN])}" if reasons else ""
            self.notes.append(f"{len(rows) - lost} of the {len(rows)} rows {rows[0]} to {rows[-1]} are stored.{said}")

    def result(self) -> UploadResult:
        counted = Counter(self.statuses)
        counts = {
            name: self.counts[name] + sum(counted[status] for status in statuses)
            for name, statuses in COUNTERS[self.target.kind].items()
        }
        target = self.target
        return UploadResult(
            target.kind, self.source, self.statuses, errors=self.errors, counts=counts, context=target.context
        )


def send_items(
    target: Target, payload: Payload, *, local: bool = False, if_exists: IfExists = "skip", on_error: OnError = "raise"
) -> UploadResult:
    """Check items whole, then send them: remote ones in batches, pictures of this machine at most ten a request."""
    _check_choices(if_exists, on_error)
    source = _rows_of(payload, "items")
    tally = _Tally(target, source)
    items: dict[int, Item] = {}
    files: dict[int, Path] = {}
    seen: dict[str, int] = {}
    for row, given in enumerate(source):
        place = f"$.items[{row}]"
        try:
            item = convert(_named(given, place, _ITEM_KEYS), Item, "The item", place)
            if item.reference_id in seen:
                first = seen[item.reference_id]
                raise BadRequestError(f"Row {first} has the reference_id '{item.reference_id}' too - at `{place}`.")
            if (item.image_url is None) == (item.pointcloud_url is None):
                raise BadRequestError(f"An item needs `image_url` (or `pointcloud_url`) - at `{place}`.")
            seen[item.reference_id] = row
            if item.image_url is not None and (local or not _is_remote(item.image_url, place)):
                files[row] = _readable(item.image_url, place)
                item.image_url = files[row].name
            items[row] = item
        except BadRequestError as error:
            tally.refuse(row, str(error))
    _stop_on_refused(tally, on_error)
    remote = [row for row in items if row not in files]
    for rows in _batches(remote, BATCH):
        body = {"items": [items[row] for row in rows], "update": if_exists == "update"}
        _post(tally, rows, partial(msgspec.json.encode, body))
    for rows in _batches(list(files), PICTURES):
        for row in rows:
            items[row].update = if_exists == "update"
        text = msgspec.json.encode([items[row] for row in rows])
        parts = [("image", files[row], files[row].name) for row in rows]
        _post(tally, rows, partial(Multipart, "items", text, parts))
    return _finish(tally, on_error)


def send_annotations(
    target: Target, payload: Payload, *, if_exists: IfExists = "skip", on_error: OnError = "raise"
) -> UploadResult:
    """Check annotations or predictions whole, give ids to those that have none, then send them in batches."""
    _check_choices(if_exists, on_error)
    source = _rows_of(payload, "annotations", "segmentations")
    tally = _Tally(target, source)
    annotations: dict[int, AnyAnnotation] = {}
    seen: dict[tuple[str, str], int] = {}
    for row, given in enumerate(source):
        place = f"$.annotations[{row}]"
        try:
            annotation = _annotation(_named(given, place, _ANNOTATION_KEYS), place)
            if isinstance(annotation, MultiCategory) and target.kind == "predictions":
                raise BadRequestError(f"Predictions of type multicategory do not exist - at `{place}.type`.")
            key = item_key(annotation, place)[1]
            if annotation.annotation_id is not None:
                first = seen.setdefault((key, annotation.annotation_id), row)
                if first != row:
                    name = annotation.annotation_id
                    raise BadRequestError(f"Row {first} has the annotation_id '{name}' too - at `{place}`.")
            annotations[row] = annotation
        except BadRequestError as error:
            tally.refuse(row, str(error))
    _stop_on_refused(tally, on_error)
    fill_annotation_ids(list(annotations.values()), predictions=target.kind == "predictions")
    for rows in _batches(list(annotations), BATCH):
        body = {"annotations": [annotations[row] for row in rows], "update": if_exists == "update"}
        _post(tally, rows, partial(msgspec.json.encode, body))
    return _finish(tally, on_error)


def _check_choices(if_exists: str, on_error: str) -> None:
    if if_exists not in ("skip", "update"):
        raise InvalidInputError(f"if_exists is 'skip' or 'update', not {if_exists!r}.")
    if on_error not in ("raise", "collect"):
        raise InvalidInputError(f"on_error is 'raise' or 'collect', not {on_error!r}.")


def _rows_of(payload: Payload, *names: str) -> list[Mapping[str, Any]]:
    """Give the rows of a payload dict, or of a list of dicts."""
    expected = " or ".join(f'{{"{name}": [...]}}' for name in names)
    if isinstance(payload, Mapping):
        unknown = set(payload) - set(names)
        if unknown or not payload:
            found = ", ".join(repr(name) for name in payload) or "nothing"
            raise InvalidInputError(f"A payload is {expected} or a list of dicts; this one holds {found}.")
        parts = [payload[name] for name in names if name in payload]
    else:
        parts = [payload]
    rows: list[Mapping[str, Any]] = []
    for part in parts:
        if isinstance(part, (str, bytes, pd.DataFrame)) or not isinstance(part, Sequence):
            raise InvalidInputError(f"A payload is {expected} or a list of dicts, not {type(part).__name__}.")
        rows += part
    return rows


def _named(given: object, place: str, known: frozenset[str]) -> dict[str, Any]:
    """Make a row plain, with integer ids as text: COCO counts its pictures and categories."""
    if not isinstance(given, Mapping):
        raise BadRequestError(f"A row is a dict, not {type(given).__name__} - at `{place}`.")
    if unknown := [key for key in given if key not in known]:
        near = difflib.get_close_matches(str(unknown[0]), known, 1)
        hint = f" Is `{near[0]}` meant?" if near else " Metadata stands under `metadata`."
        raise BadRequestError(f"There is no field {unknown[0]!r} - at `{place}`.{hint}")
    try:
        row: dict[str, Any] = plain(given, place)
    except RecursionError:
        raise BadRequestError(f"The row is nested too deeply, or holds itself - at `{place}`.") from None
    for name in ("reference_id", "label"):
        if isinstance(row.get(name), int) and not isinstance(row[name], bool):
            row[name] = str(row[name])
    return row


def _annotation(row: dict[str, Any], place: str) -> AnyAnnotation:
    shape: Any = AnyAnnotation  # a union is no type to a type checker
    annotation: AnyAnnotation = convert(row, shape, "The annotation", place)
    return annotation


def _is_remote(url: str, place: str) -> bool:
    scheme, parted, _ = url.partition("://")
    scheme = scheme.lower() if parted else ""
    if scheme and scheme not in REMOTE:
        taken = f"{', '.join(REMOTE)} and local paths"
        raise BadRequestError(f"'{scheme}' addresses are not taken, only {taken} - at `{place}.image_url`.")
    return bool(scheme)


def _readable(name: str, place: str) -> Path:
    """Give the path of a picture that can be read, or say why not."""
    path = Path(name)
    reason = None
    try:
        path = path.expanduser()
        if path.is_dir():
            reason = "is a folder"
        else:
            with path.open("rb") as file:
                reason = None if file.read(1) else "is an empty file"
    except FileNotFoundError:
        reason = "does not exist"
    except (OSError, ValueError, RuntimeError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if reason is not None:
        raise BadRequestError(f"The picture '{name}' {reason} - at `{place}.image_url`.")
    return path


def _batches(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def _post(tally: _Tally, rows: list[int], make: Callable[[], bytes | Multipart]) -> None:
    """Send a batch; when it fails for good, its rows bear the reason and the other batches go on."""
    target = tally.target
    if tally.broken is not None:
        for row in rows:
            tally.refuse(row, f"Not sent, since an earlier request failed: {tally.broken}")
        return
    try:
        known = "outcomes" in target.transport.extensions
        route = ("_nucleus_pandas", *target.route) if known else target.route
        body = make()
        if isinstance(body, Multipart):
            answer = target.transport.request("POST", *route, multipart=body)
        else:
            answer = target.transport.request("POST", *route, body=body)
        if not isinstance(answer, Mapping) or "job_id" in answer:
            raise UnsupportedError(
                "The server took the rows as a job, whose outcome this version of nucleus_pandas cannot follow yet."
            )
        tally.answer(rows, answer)
    except (APIError, NetworkError, OSError) as error:
        for row in rows:
            tally.refuse(row, str(error))
        lasting = isinstance(error, APIError) and error.status_code in (401, 403, 404, 409, 501)
        if lasting or isinstance(error, NetworkError):
            tally.broken = error  # the next batch would meet the same


def _stop_on_refused(tally: _Tally, on_error: str) -> None:
    if tally.errors and on_error == "raise":
        text = _refused_text(tally)
        raise InvalidInputError(f"{text}\nNothing was sent. on_error='collect' sends the other rows.", tally.result())


def _finish(tally: _Tally, on_error: str) -> UploadResult:
    result = tally.result()
    if on_error == "collect" or not (tally.errors or tally.notes):
        return result
    stored = len(tally.source) - len(tally.errors)
    if isinstance(tally.broken, APIError) and not stored:
        raise tally.broken  # every row would bear the same reason
    if isinstance(tally.broken, NetworkError):
        outcome = "What the request without an answer held may be stored; sending it again stores nothing twice"
    else:
        outcome = "The other rows are stored" if stored else "No row is stored"
    raise UploadError(f"{_refused_text(tally)}\n{outcome}; .result tells of each.", result)


def _refused_text(tally: _Tally) -> str:
    lines = list(tally.notes)
    if tally.errors:
        lines.append(f"{len(tally.errors)} of {len(tally.source)} rows are refused:")
    lines += [f"  row {row}: {reason}" for row, reason in sorted(tally.errors.items())[:_SHOWN]]
    if len(tally.errors) > _SHOWN:
        lines.append(f"  … and {len(tally.errors) - _SHOWN} more")
    return "\n".join(lines)
