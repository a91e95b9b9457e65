"""Keys, and addresses that carry their own: shown to the server alone."""

from __future__ import annotations

import logging
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from requests.auth import AuthBase

from nucleus_pandas.errors import NucleusError

_SHORTEST_SECRET = 8  # characters; less is found in any text


class Key(AuthBase):
    """An API key, which shows itself to the server only.

    Parameters
    ----------
    api_key, limited_access_key : str, optional
        At most one of them. Without either nothing is sent, not even what a .netrc file says.
    """

    def __init__(self, api_key: str | None = None, limited_access_key: str | None = None) -> None:
        self._api_key = api_key
        self._limited_access_key = limited_access_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the key into a request's headers."""
        if self._api_key is not None:
            request.headers["Authorization"] = f"Basic {b64encode(f'{self._api_key}:'.encode()).decode()}"
        if self._limited_access_key is not None:
            request.headers["x-limited-access-key"] = self._limited_access_key
        return request

    def redact(self, text: str) -> str:
        """Take the key out of what a server said, should it have said it.

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
        raise NucleusError("Keys and connections are not pickled; make a client where it is needed.")


class _Silence(logging.Filter):
    """Drops what threads note that are in `secret_addresses`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a note passes."""
        return not getattr(_here, "keeps_secret", False)


_here = threading.local()
logging.getLogger("urllib3.connectionpool").addFilter(_Silence())  # at DEBUG it writes down every address


@contextmanager
def secret_addresses() -> Iterator[None]:
    """Have urllib3 note nothing of this thread's requests, while they go to addresses that carry their own key."""
    _here.keeps_secret = True
    try:
        yield
    finally:
        _here.keeps_secret = False
