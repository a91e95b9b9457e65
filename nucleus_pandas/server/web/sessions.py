"""Who may see the page, and which forms are ours: a signed cookie, and tokens that belong to it."""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

SECONDS = 12 * 3600  # that somebody stays logged in
_SECRET = "page.secret"
_BYTES = 32
_VISITOR, _KNOWN = "v", "k"


class Session(NamedTuple):
    """What a cookie says.

    Attributes
    ----------
    name : str
        Random, so that tokens of one browser are worth nothing in another.
    known : bool
        Whether a right API key was given.
    expires : int
        Seconds since the epoch.
    """

    name: str
    known: bool
    expires: int


class Sessions:
    """Makes and reads cookies and tokens.

    A cookie holds no key and nothing made from one. Its signature comes from a secret of the store and from all keys
    of the server, so that whoever changes the keys ends every session.

    Parameters
    ----------
    folder : pathlib.Path
        The store, where the secret lies.
    keys : sequence of bytes
        The keys that are let in.
    """

    def __init__(self, folder: Path, keys: Sequence[bytes]) -> None:
        seal = sha256()
        for key in sorted(keys):
            seal.update(len(key).to_bytes(8, "big") + key)
        self._secret = hmac.digest(_secret(folder), seal.digest(), "sha256")

    def new(self, *, known: bool) -> Session:
        """Begin a session."""
        return Session(secrets.token_urlsafe(16), known, int(time.time()) + SECONDS)

    def write(self, session: Session) -> str:
        """Return the cookie of a session."""
        text = f"{_KNOWN if session.known else _VISITOR}.{session.expires}.{session.name}"
        return f"{text}.{self._sign('session', text)}"

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None where it is not ours or too old."""
        text, _, signature = (cookie or "").rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign("session", text).encode()):
            return None
        kind, expires, name = text.split(".")
        found = Session(name, kind == _KNOWN, int(expires))
        return found if found.expires > time.time() else None

    def token(self, session: Session) -> str:
        """Return what forms of a session carry, which pages of others cannot know."""
        return self._sign("form", session.name)

    def is_token(self, session: Session, token: str) -> bool:
        """Return whether a form was made for a session."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(session).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.digest(self._secret, f"{purpose}\0{text}".encode("utf-8", "replace"), "sha256").hex()


def _secret(folder: Path) -> bytes:
    """Return the secret of a store, for which one is made when there is none; all processes find the same."""
    path = folder / _SECRET
    incoming = folder / f"{_SECRET}.{secrets.token_hex(8)}"
    for _ in range(2):
        with suppress(FileNotFoundError):
            found = path.read_bytes()
            if len(found) == _BYTES:
                return found
            path.unlink(missing_ok=True)  # a disk that was full left a part of it
        with os.fdopen(os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_bytes(_BYTES))
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # another process was first
            os.link(incoming, path)
        incoming.unlink()
    return path.read_bytes()
