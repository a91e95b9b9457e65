"""An open embedded Nucleus: its database, its files and its worker thread."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from nucleus_pandas._util.threads import ForkSafeLock, renew_in_children
from nucleus_pandas.errors import StoreError
from nucleus_pandas.server.media.files import FileStore, make_folder, sync_folder
from nucleus_pandas.server.media.thumbnails import Thumbnails
from nucleus_pandas.server.store import jobs, purge
from nucleus_pandas.server.store.database import Database

log = logging.getLogger("nucleus_pandas.server")

_CHUNK = 1 << 20
_LEFTOVER_SECONDS = 24 * 3600.0
_PURGE_AT_ONCE = 3  # steps within the request of a delete


class EmbeddedNucleus:
    """The store of an embedded Nucleus, opened.

    Parameters
    ----------
    path : str or path-like, optional
        The folder, created if absent. None creates a temporary one, which is removed on close.

    Attributes
    ----------
    folder : pathlib.Path
        The folder, absolute.
    database : Database
        The database.
    images, masks : FileStore
        The files.
    thumbnails : Thumbnails
        Small copies of the images.
    owner : str
        The name of this process in its jobs.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._temporary: weakref.finalize[..., Any] | None = None
        if path is None:
            path = tempfile.mkdtemp(prefix="nucleus_pandas-")
            self._temporary = weakref.finalize(self, _remove_temporary, path, os.getpid())
        try:
            self.folder = Path(path).expanduser().absolute()
            is_file = self.folder.exists() and not self.folder.is_dir()
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(f"{str(path)[:200]!r} is not a valid folder name: {error}.") from None
        if is_file:
            raise StoreError(f"'{self.folder}' is a file; the store of an embedded Nucleus is a folder.")
        self.database = Database(self.folder)
        self.images = FileStore(self.folder / "images")
        self.masks = FileStore(self.folder / "masks")
        self.thumbnails = Thumbnails(self.images, self.folder / "thumbnails")
        self.uploads = self.folder / "uploads"
        self.owner = _owner()
        self._is_closing = False
        self._worker: ThreadPoolExecutor | None = None
        self._worker_lock = ForkSafeLock()
        renew_in_children(self)
        self._tidy()

    def renew_in_child(self) -> None:
        """Continue in a forked child, without the parent's worker thread and as the owner of other jobs."""
        self.owner, self._worker = _owner(), None

    def _tidy(self) -> None:
        with self.database.write() as db:
            for file in jobs.forget_expired_uploads(db):
                (self.uploads / file).unlink(missing_ok=True)
            named = jobs.upload_files(db)
            left = purge.is_left(db)
        # files of killed processes; younger ones may be in use by another process
        for folder in (self.uploads, self.images.incoming, self.masks.incoming, self.thumbnails.incoming):
            for path in folder.iterdir() if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # another process has just removed it
                    if path.name not in named and path.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
                        path.unlink()
        if left:
            self.submit(self._purge)

    def submit(self, work: Callable[[], None]) -> None:
        """Run something in the worker thread; closing and interpreter exit wait for it."""
        with self._worker_lock:
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="nucleus_pandas")
            self._worker.submit(_logged, work)

    def purge(self) -> None:
        """Remove deleted rows and files: a few steps at once, the rest in the worker thread."""
        for _ in range(_PURGE_AT_ONCE):
            if not self._purge_step():
                return
        self.submit(self._purge)

    def _purge(self) -> None:
        while not self._is_closing and self._purge_step():
            pass

    def _purge_step(self) -> bool:
        with self.database.read() as db:
            if not purge.is_left(db):
                return False
        with self.database.write() as db:
            jobs.beat(db, self.owner)
            purge.purge_some(db)
            # No other transaction can name one of these files before this one ends; if it fails, they are listed
            # again.
            for kind, file in purge.released(db):
                (self.images if kind == "images" else self.masks).remove(file)
                if kind == "images":
                    self.thumbnails.remove(file)
        return True

    def receive(self, stream: BinaryIO, token: str) -> None:
        """Store the body of a signed upload: its file first, then its name in the database."""
        with self.database.read() as db:
            jobs.open_upload(db, token)
        make_folder(self.uploads)
        name = secrets.token_hex(16)
        path = self.uploads / name
        try:
            with path.open("xb") as out:
                shutil.copyfileobj(stream, out, _CHUNK)
                out.flush()
                os.fsync(out.fileno())
            sync_folder(self.uploads)
            with self.database.write() as db:
                upload = jobs.open_upload(db, token)
                jobs.set_upload_file(db, upload, name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if upload.file is not None:
            (self.uploads / upload.file).unlink(missing_ok=True)

    def check_open(self) -> None:
        """Raise StoreError if this is closed."""
        if self._is_closing:
            raise StoreError(f"The store '{self.folder}' is closed; open it again.")

    def close(self) -> None:
        """Wait for running jobs, close the database, and remove a temporary folder."""
        self._is_closing = True
        with self._worker_lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=True)
        self.database.close()
        if self._temporary is not None:
            self._temporary()


def _owner() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _remove_temporary(path: str, process: int) -> None:
    """Remove a temporary store in the process that created it; its forked children only use it."""
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("Work in the background failed.")
