"""Sessions of the page: a signed cookie that expires, and the token that its forms carry."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from itsdangerous import BadData, Signer, URLSafeTimedSerializer

SECONDS = 12 * 3600
"""How long a session lasts."""
_SECRET_FILE = "page.secret"
_SECRET_BYTES = 32


class Session(NamedTuple):
    """The content of a cookie.

    Attributes
    ----------
    name : str
        Random, so that the tokens of one browser are invalid in another.
    is_known : bool
        Whether a valid API key was given.
    """

    name: str
    is_known: bool


class Sessions:
    """Writes and reads cookies and form tokens.

    A cookie holds no key and nothing derived from one. The signing key is derived from a secret of the store and from
    all API keys of the server, so that changing the keys ends every session. Cookies and tokens are signed with
    different salts: neither can stand in for the other.

    Parameters
    ----------
    folder : pathlib.Path
        The store, which holds the secret.
    keys : sequence of bytes
        The API keys of the server.
    """

    def __init__(self, folder: Path, keys: Sequence[bytes]) -> None:
        key_digest = sha256()
        for key in sorted(keys):
            key_digest.update(len(key).to_bytes(8, "big") + key)
        signing_key = hmac.digest(_store_secret(folder), key_digest.digest(), "sha256")
        self._cookies = URLSafeTimedSerializer(
            signing_key, "session", signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
        )
        self._tokens = Signer(signing_key, "form", key_derivation="hmac", digest_method=sha256)

    def new(self, *, is_known: bool) -> Session:
        """Create a session."""
        return Session(secrets.token_urlsafe(16), is_known)

    def write(self, session: Session) -> str:
        """Return the cookie of a session, which is valid from now on."""
        return str(self._cookies.dumps(session))

    def read(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None if the cookie is invalid or expired."""
        try:
            return Session(*self._cookies.loads((cookie or "").encode("utf-8", "replace"), max_age=SECONDS))
        except BadData:
            return None

    def token(self, session: Session) -> str:
        """Return the token that the forms of a session carry and that other sites cannot know."""
        return self._tokens.get_signature(session.name).decode()

    def is_token(self, session: Session, token: str) -> bool:
        """Return True if a token belongs to a session."""
        return self._tokens.verify_signature(session.name, token.encode("utf-8", "replace"))


def _store_secret(folder: Path) -> bytes:
    """Return the secret of a store, which the first process creates; all processes read the same one."""
    path = folder / _SECRET_FILE
    incoming = folder / f"{_SECRET_FILE}.{secrets.token_hex(8)}"
    for _ in range(2):
        with suppress(FileNotFoundError):
            secret = path.read_bytes()
            if len(secret) == _SECRET_BYTES:
                return secret
            path.unlink(missing_ok=True)  # a full disk left a part of it
        with os.fdopen(os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(secrets.token_bytes(_SECRET_BYTES))
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # another process was first
            os.link(incoming, path)
        incoming.unlink()
    return path.read_bytes()
