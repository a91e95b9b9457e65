"""API keys, and signed URLs that contain a key: neither is in a log, an error or a repr."""

from __future__ import annotations

import logging
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from requests.auth import AuthBase

from nucleus_pandas.errors import NucleusError

_SHORTEST_SECRET = 8  # characters; shorter ones occur in any text


class Key(AuthBase):
    """An API key that is never shown in logs, errors or reprs.

    Parameters
    ----------
    api_key, limited_access_key : str, optional
        At most one of them. Without either nothing is sent, not even the contents of a .netrc file.
    """

    def __init__(self, api_key: str | None = None, limited_access_key: str | None = None) -> None:
        self._api_key = api_key
        self._limited_access_key = limited_access_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the key to the headers of a request."""
        if self._api_key is not None:
            request.headers["Authorization"] = f"Basic {b64encode(f'{self._api_key}:'.encode()).decode()}"
        if self._limited_access_key is not None:
            request.headers["x-limited-access-key"] = self._limited_access_key
        return request

    def redact(self, text: str) -> str:
        """Remove the key from a server's text.

        Examples
        --------
        >>> Key("live_0123456789").redact("There is no key live_0123456789.")
        'There is no key ….'
        """
        for key in (self._api_key, self._limited_access_key):
            if key is not None and len(key) >= _SHORTEST_SECRET:
                for form in (key, b64encode(f"{key}:".encode()).decode()):
                    text = text.replace(form, "…")
        return text

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> str:
        raise NucleusError("Keys and connections cannot be pickled; create a client where it is needed.")


_thread = threading.local()


def _is_logged(record: logging.LogRecord) -> bool:
    """Drop the records of threads that are in `unlogged`."""
    return not getattr(_thread, "is_unlogged", False)


def hide_signed_urls() -> None:
    """Add the filter of `unlogged` to urllib3's logger, which records every URL at DEBUG; idempotent."""
    logging.getLogger("urllib3.connectionpool").addFilter(_is_logged)


@contextmanager
def unlogged() -> Iterator[None]:
    """Suppress urllib3's log of this thread's requests, while they go to URLs that contain a key."""
    _thread.is_unlogged = True
    try:
        yield
    finally:
        _thread.is_unlogged = False
