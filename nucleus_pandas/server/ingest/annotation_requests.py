"""Requests that store annotations or predictions: as JSON, as columns of boxes, or with mask files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from nucleus_pandas.errors import BadRequestError
from nucleus_pandas.server.ingest.rows import RowsToClear, StoredRows, Storing, store_annotations, store_boxes
from nucleus_pandas.server.ingest.targets import AnnotationTarget
from nucleus_pandas.server.ingest.uploaded_files import UploadedFile, settle, uploaded_files
from nucleus_pandas.server.nucleus import EmbeddedNucleus
from nucleus_pandas.server.store.database import run_or_undo
from nucleus_pandas.server.store.pending_files import StoredFile
from nucleus_pandas.wire.bulk import AnnotateRows, BoxColumns
from nucleus_pandas.wire.requests import Annotate


def store_request(
    nucleus: EmbeddedNucleus,
    request: Annotate,
    mask_parts: Sequence[Any] | None,
    target: AnnotationTarget,
    *,
    anywhere: bool = False,
    since: int | None = None,
) -> StoredRows:
    """Store the annotations or predictions of a request.

    Parameters
    ----------
    mask_parts : sequence, optional
        The mask files of a multipart body, one per segmentation; None for a JSON body.
    anywhere : bool
        Whether a reference id without dataset names the only item that has it in any dataset.
    since : int, optional
        As in `Storing`.

    Raises
    ------
    BadRequestError
        The request mixes annotations with columns of boxes, or its files do not match its segmentations.
    """
    boxes: BoxColumns | None = None
    update, reject_existing, check_only = request.update, False, False
    clear: RowsToClear | None = None
    if isinstance(request, AnnotateRows):
        boxes = request.boxes
        if request.if_exists is not None:
            update, reject_existing = request.if_exists == "update", request.if_exists == "error"
        if request.if_exists == "replace":
            clear = RowsToClear(request.clear or (), request.clear_by)
        check_only = request.check_only
    rows = [*request.annotations, *request.segmentations]
    count = len(request.annotations)
    if mask_parts is not None:
        if count or boxes is not None or len(mask_parts) != len(rows):
            raise BadRequestError(
                "A multipart request holds only segmentations, with one file in a part `mask` for each; this one has "
                f"{len(request.segmentations)} segmentations and {len(mask_parts)} files."
            )
        with nucleus.database.read() as db:
            target.check(db)  # before files are written
    elif boxes is not None and rows:
        raise BadRequestError("A request holds either annotations or the columns of `boxes` - at `$.boxes`.")

    def path(row: int) -> str:
        return f"$.annotations[{row}]" if row < count else f"$.segmentations[{row - count}]"

    uploading = nullcontext() if mask_parts is None else uploaded_files(nucleus, "masks", mask_parts)
    with uploading as files, nucleus.database.write() as db:

        def store() -> StoredRows:
            layer, dataset = target.open(db, request.trained_slice_id)
            how = Storing(update, reject_existing or check_only, anywhere, clear, since)
            how.counts_outside = isinstance(request, AnnotateRows) and not check_only
            if boxes is not None:
                stored = store_boxes(db, layer, dataset, boxes, how)
            else:
                mask_files = None if files is None else _names(files)
                stored = store_annotations(db, layer, dataset, rows, how, mask_files=mask_files, path=path)
            if how.update:
                stored.since, stored.beside = how.since, how.beside
            return stored

        if check_only:
            stored = run_or_undo(db, store, lambda _: False)
            stored.outcomes = ["unsent" if outcome == "new" else outcome for outcome in stored.outcomes]
            return stored
        stored = store()
        settle(db, "masks", files)
    if stored.count("updated") or clear is not None:
        nucleus.purge()  # of masks that were replaced
    return stored


def _names(files: Sequence[UploadedFile]) -> list[str]:
    names = [file.name for file in files if isinstance(file, StoredFile)]
    if len(names) < len(files):
        raise BadRequestError("A mask is an empty file; nothing was stored.")
    return names
