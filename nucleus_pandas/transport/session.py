"""The only module that talks HTTP: sessions, retries, answers."""

from __future__ import annotations

import email.utils
import logging
import random
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.exceptions import NewConnectionError

from nucleus_pandas.errors import (
    APIError,
    ConfigurationError,
    InvalidInputError,
    NetworkError,
    ServerError,
    from_status,
)
from nucleus_pandas.transport.auth import Key, secret_addresses
from nucleus_pandas.transport.multipart import Multipart
from nucleus_pandas.wire.decoding import known

T = TypeVar("T")

log = logging.getLogger("nucleus_pandas")

RETRIED = frozenset({429, 500, 502, 503, 504, 520, 524})
_UNDONE = (501, 507)  # above 500, but nothing was done: it cannot be, or there is no room
_LONGEST_WAIT = 60.0  # seconds, whatever Retry-After says


def quoted(segment: str) -> str:
    """Quote an id as one segment of a path.

    Examples
    --------
    >>> quoted("a/b c"), quoted("..")
    ('a%2Fb%20c', '%2E%2E')
    """
    # Clients and proxies drop the segments "." and ".." wherever they stand.
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    try:
        return quote(segment, safe="")
    except UnicodeEncodeError:
        raise InvalidInputError(f"The id {segment!r} holds half a surrogate pair, which is no Unicode.") from None


class Transport:
    """Sends requests to one endpoint.

    Parameters
    ----------
    endpoint : str
        Where the API stands, such as ``https://api.scale.com/v1/nucleus``.
    key : Key
        What to identify with.
    max_retries : int
        How often a request is sent again after a passing failure.
    timeout : float
        Seconds to wait for a connection, and between two bytes of an answer.
    max_concurrency : int
        Connections at once.
    adapter : requests.adapters.BaseAdapter, optional
        What carries the requests instead of sockets.
    folder : pathlib.Path, optional
        The store of an embedded Nucleus in this process.
    """

    def __init__(
        self,
        endpoint: str,
        key: Key,
        *,
        max_retries: int,
        timeout: float,
        max_concurrency: int,
        adapter: BaseAdapter | None = None,
        folder: Path | None = None,
    ) -> None:
        try:
            parts = urlsplit(endpoint)
            port_is_right = parts.port is None or parts.port > 0
        except ValueError:
            parts, port_is_right = urlsplit(""), False
        if not port_is_right or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                "An endpoint is an http or https address, such as 'http://127.0.0.1:8765/v1/nucleus'."
            )
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError("An endpoint holds no key; give it as api_key= or in NUCLEUS_API_KEY.")
        self.endpoint = endpoint.rstrip("/")
        self.folder = folder
        self.max_retries = max_retries
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self._key = key
        self._closed = False
        self._session = requests.Session()
        self._session.auth = key
        self._bare = requests.Session()  # for signed addresses
        self._bare.auth = Key()  # nothing is sent, not even what a .netrc file says
        carrier = adapter or HTTPAdapter(pool_connections=1, pool_maxsize=max_concurrency)
        self._session.mount(f"{parts.scheme}://", carrier)
        if adapter is not None:
            self._bare.mount(f"{parts.scheme}://", carrier)

    def close(self) -> None:
        """Close all connections; what threads still try is not tried again."""
        self._closed = True
        self._session.close()
        self._bare.close()

    @cached_property
    def extensions(self) -> frozenset[str]:
        """What the server can do beyond the contract. Asked once.

        An answer that is no JSON object holding ``extensions`` comes from the hosted service, which has none. That of
        a server which fails for the moment tells nothing, and is raised.
        """
        try:
            answer = self.request("GET", "_nucleus_pandas")
        except APIError as error:
            if error.status_code in RETRIED:
                raise
            return frozenset()
        found = answer.get("extensions") if isinstance(answer, dict) else None
        return frozenset(found) if isinstance(found, list) else frozenset()

    def get(self, *segments: str) -> dict[str, Any]:
        """Read an object, whatever it holds."""
        return self.read(dict[str, Any], *segments)

    def read(self, shape: type[T], *segments: str, **params: object) -> T:
        """Read something of a shape that the contract knows."""
        answer: T = self.request("GET", *segments, params=params, shape=shape)
        return answer

    def look_up(self, shape: type[T], *segments: str, body: object) -> T:
        """Read something that takes a body to ask for."""
        answer: T = self.request("POST", *segments, body=body, shape=shape)
        return answer

    def create(self, shape: type[T], *segments: str, body: object) -> T:
        """Create something that a second request would make twice.

        It is sent again freely to a server that knows idempotency keys; to others only when the first request did
        not reach them.
        """
        known = "idempotency" in self.extensions
        answer: T = self.request(
            "POST",
            *segments,
            body=body,
            makes=True,
            idempotency_key=uuid.uuid4().hex if known else None,
            shape=shape,
        )
        return answer

    def request(
        self,
        method: str,
        *segments: str,
        params: dict[str, object] | None = None,
        body: object = None,
        multipart: Multipart | None = None,
        makes: bool = False,
        idempotency_key: str | None = None,
        doubts: list[str] | None = None,
        shape: Any = Any,
    ) -> Any:
        """Send a request, again if need be, and return the JSON that came back.

        Parameters
        ----------
        method : str
            The HTTP method.
        *segments : str
            The path below the endpoint; ids are quoted here. An empty last one ends the path with a slash.
        params : dict, optional
            The query.
        body : object, optional
            To send as JSON; bytes are JSON already.
        multipart : Multipart, optional
            To send instead of `body`.
        makes : bool
            Whether a second request would make something twice. Without a key it is sent again only where the server
            cannot have acted.
        idempotency_key : str, optional
            Makes the server answer a repeated creation as the first one.
        doubts : list of str, optional
            Is given the reason of every try that the server may have followed though no answer said so.
        shape : type
            What the answer has to be.

        Raises
        ------
        NetworkError
            No whole answer came.
        APIError
            The server refused.
        UnreadableFileError
            A file of the multipart body cannot be sent; nothing came of the request.
        """
        url = "/".join((self.endpoint, *map(quoted, segments))) + (f"?{urlencode(params)}" if params else "")
        headers = {"Accept": "application/json"}
        data: Any = None
        if multipart is not None:
            data, headers["Content-Type"] = multipart, multipart.content_type
            headers["Content-Length"] = str(len(multipart))
        elif body is not None:
            data = body if isinstance(body, bytes) else msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key

        def send() -> requests.Response:
            if multipart is not None:
                multipart.rewind()
            return self._send(method, url, headers, data)

        what = f"{method} {urlsplit(url).path}"
        doubts = [] if doubts is None else doubts
        try:
            response = self._persist(what, self.endpoint, send, once=makes and idempotency_key is None, doubts=doubts)
            return _answer(what, response, shape, doubts, self._key)
        except (APIError, NetworkError) as error:
            if multipart is not None and multipart.failure is not None:
                raise multipart.failure from None  # in process a server that reads half a body can answer
            if makes and doubts:
                error.args = (f"{error} {_MAY_EXIST}",)
            raise

    def image(self, url: str) -> bytes | None:
        """Read an image, or a mask, that this server keeps.

        Parameters
        ----------
        url : str
            As an item or an annotation of this server names it.

        Returns
        -------
        bytes or None
            None where the image lies elsewhere, where the key has no business, or cannot be had.
        """
        place = f"{self.endpoint}/_nucleus_pandas/"
        known = re.compile(r"(images|masks)/[\w./-]+", re.ASCII)
        if not url.startswith(place) or not known.fullmatch(url.removeprefix(place)):
            return None

        def send() -> requests.Response:
            return self._send("GET", url, {"Accept": "image/*"}, None)

        try:
            response = self._persist(f"GET {urlsplit(url).path}", self.endpoint, send, once=False, doubts=[])
        except NetworkError:
            return None
        return response.content if response.status_code == 200 else None

    def put(self, url: str, body: BinaryIO, length: int) -> None:
        """Send a body to a signed address: without key, content type or anything of .netrc, which would leak there.

        Parameters
        ----------
        url : str
            The address; it carries its own secret, and is never told.
        body : binary file
            Read from its beginning at every try.
        length : int
            Its bytes.

        Raises
        ------
        NetworkError
            No whole answer came.
        APIError
            The body was refused.
        """
        what = "PUT of an upload to its signed address"
        prepared = _signed(url)
        if prepared is None:
            raise ServerError("The server gave an address to upload to that is none.", 200)
        prepared.body, prepared.headers["Content-Length"] = body, str(length)  # type: ignore[assignment]
        settings = self._bare.merge_environment_settings(url, {}, False, None, None)

        def send() -> requests.Response:
            body.seek(0)
            with secret_addresses():
                return self._bare.send(prepared, timeout=self.timeout, allow_redirects=False, **settings)

        response = self._persist(what, urlsplit(url).hostname or "", send, once=False, doubts=[])
        if not 200 <= response.status_code < 300:
            raise from_status(response.status_code, f"{what} was answered with {response.status_code}.")

    def _persist(
        self, what: str, where: str, send: Callable[[], requests.Response], *, once: bool, doubts: list[str]
    ) -> requests.Response:
        """Send until there is an answer that is no passing failure, or until it was tried often enough."""
        for attempt in range(self.max_retries + 1):
            last = attempt == self.max_retries
            began = time.perf_counter()
            try:
                response = send()
                failure = None
            except requests.RequestException as error:
                log.debug("%s: %s", what, type(error).__name__)
                failure = _failure(error)
                if not _unreached(error):
                    doubts.append(failure)
            if failure is not None:
                # Not in the block above: the error would hold what requests raised, and that the request with its key.
                if last or (once and doubts) or self._wait(attempt, None):
                    raise NetworkError(f"{what} got no answer from {where}: {failure}.")
                continue
            status = response.status_code
            log.debug("%s: %d in %.3f s", what, status, time.perf_counter() - began)
            if status >= 500 and status not in _UNDONE:
                doubts.append(f"it was answered with {status}")
            if status not in RETRIED or last or (once and doubts):
                return response
            if self._wait(attempt, response.headers.get("Retry-After")):
                return response
        raise AssertionError("unreachable")

    def _send(self, method: str, url: str, headers: dict[str, str], data: Any) -> requests.Response:
        prepared = self._session.prepare_request(requests.Request(method, self.endpoint, headers=headers))
        prepared.url = url  # as it is: requests would take the quotes off, and drop dots
        if data is not None:
            prepared.body = data
            prepared.headers["Content-Length"] = str(len(data))
        settings = self._session.merge_environment_settings(self.endpoint, {}, False, None, None)
        return self._session.send(prepared, timeout=self.timeout, allow_redirects=False, **settings)

    def _wait(self, attempt: int, retry_after: str | None) -> bool:
        """Pause before the next try; tell whether there is none, since the client is closed."""
        if not self._closed:
            pause = _seconds(retry_after)
            if pause is None:
                pause = min(0.5 * 2**attempt, 16.0) * random.uniform(0.5, 1.0)
            time.sleep(min(pause, _LONGEST_WAIT))
        return self._closed


_REFUSAL = frozenset({"status_code", "error", "error_type"})  # what answers hold that hold nothing else
_MAY_EXIST = "What it makes may exist nevertheless: look before you make it again."


def _seconds(retry_after: str | None) -> float | None:
    """Read how long to wait: seconds, or a moment, which is in UTC unless it says otherwise."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _signed(url: str) -> requests.PreparedRequest | None:
    """Create a request to a signed address; None where that is no address."""
    try:
        return requests.Request("PUT", url, headers={"Accept": "*/*"}).prepare() if _is_web(url) else None
    except (requests.RequestException, ValueError):
        return None


def _is_web(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


def _unreached(error: requests.RequestException) -> bool:
    """Return whether the server cannot have seen the request."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)


def _failure(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "the time was up"
    if _unreached(error):
        return "nothing listens there, or the network is down"
    return "the connection broke"


def shaped(what: str, text: bytes, shape: Any, kind: str = "something else") -> Any:
    """Read JSON of a server that has to be of a shape, or raise ServerError where it is not."""
    try:
        return msgspec.json.decode(text, type=known(shape))
    except msgspec.ValidationError as error:
        reason = f"in a form that is not Nucleus': {error}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reason = f"with {kind} instead of JSON"
    raise ServerError(f"{what} was answered {reason}.", 200)


def _refused(response: requests.Response, key: Key) -> APIError | None:
    """Return the error in an answer with a success status, as the hosted service sends for some creations."""
    try:
        answer = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("error"), str):
        return None
    status = answer.get("status_code")
    return from_status(status if isinstance(status, int) and status >= 400 else 400, key.redact(answer["error"]))


def _answer(what: str, response: requests.Response, shape: Any, doubts: list[str], key: Key) -> Any:
    """Read an answer, or raise what it stands for."""
    if 200 <= response.status_code < 300:
        kind = key.redact(response.headers.get("Content-Type", "nothing known"))
        try:
            found = shaped(what, response.content, shape, kind)
        except ServerError as error:
            refusal = _refused(response, key)
            if refusal is None:
                doubts.append(f"it{str(error).removeprefix(what).rstrip('.')}")
            raise refusal or error from None
        if isinstance(found, dict) and found.keys() <= _REFUSAL and (refusal := _refused(response, key)):
            raise refusal  # a dict of anything takes it in
        return found
    try:
        answer = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    name = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        message, name = answer["error"], str(answer.get("error_type"))
    else:
        text = re.sub(r"<[^>]*>|\s+", " ", key.redact(response.text)).strip()
        message = f"{what} was answered with {response.status_code} {response.reason or ''}: {text[:300] or 'no text'}"
    raise from_status(response.status_code, key.redact(message), name)
