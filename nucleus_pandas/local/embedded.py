"""An open embedded Nucleus: its store, its files and its worker."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from nucleus_pandas.errors import StoreError
from nucleus_pandas.local.images import Images, sync_folder
from nucleus_pandas.local.store import jobs
from nucleus_pandas.local.store.database import Database
from nucleus_pandas.local.store.purge import purge_some

log = logging.getLogger("nucleus_pandas.local")

_CHUNK = 1 << 20
_PURGE_AT_ONCE = 3  # steps that a delete waits for


class EmbeddedNucleus:
    """The store of an embedded Nucleus, opened.

    Parameters
    ----------
    path : str or path-like, optional
        The folder; made when absent. None makes a temporary one, which goes when this is closed.

    Attributes
    ----------
    folder : pathlib.Path
        The folder, absolute.
    database : Database
        The rows.
    images, masks : Images
        The files.
    owner : str
        What this process writes on the jobs that it works on.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._temporary = path is None
        if path is None:
            path = tempfile.mkdtemp(prefix="nucleus_pandas-")
        self.folder = Path(path).expanduser().absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"'{self.folder}' is a file; the store of an embedded Nucleus is a folder.")
        self.database = Database(self.folder)
        self.images = Images(self.folder / "images")
        self.masks = Images(self.folder / "masks")
        self.uploads = self.folder / "uploads"
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._closing = threading.Event()
        self._worker: ThreadPoolExecutor | None = None
        self._worker_lock = threading.Lock()
        self._tidy()

    def _tidy(self) -> None:
        with self.database.write() as db:
            for file in jobs.expired_uploads(db):
                (self.uploads / file).unlink(missing_ok=True)
            left = db.execute("SELECT EXISTS (SELECT 1 FROM dataset WHERE deleted)").fetchone()[0]
        if left:
            self.submit(self._purge)

    def submit(self, work: Callable[[], None]) -> None:
        """Have the worker thread do something; closing and interpreter exit wait for it."""
        with self._worker_lock:
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="nucleus_pandas")
            self._worker.submit(_logged, work)

    def purge(self) -> None:
        """Remove the rows of what was deleted: a few steps at once, the rest in the worker thread."""
        for _ in range(_PURGE_AT_ONCE):
            if not self._purge_step():
                return
        self.submit(self._purge)

    def _purge(self) -> None:
        while not self._closing.is_set() and self._purge_step():
            pass

    def _purge_step(self) -> bool:
        files: list[str] = []
        with self.database.write() as db:
            more = purge_some(db, files)
            # Inside the transaction: nobody can name one of these files again before they are gone.
            for file in files:
                self.images.remove(file)
        return more

    def receive(self, stream: BinaryIO, token: str) -> None:
        """Take the body of a signed upload: to the disk first, then into the store."""
        with self.database.read() as db:
            jobs.open_upload(db, token)
        self.uploads.mkdir(exist_ok=True)
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
        """Raise StoreError when this was closed."""
        if self._closing.is_set():
            raise StoreError(f"The store '{self.folder}' is closed; open it again.")

    def close(self) -> None:
        """Wait for running jobs, close the database, and remove a temporary folder."""
        self._closing.set()
        with self._worker_lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=True)
        self.database.close()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("Work in the background failed.")
