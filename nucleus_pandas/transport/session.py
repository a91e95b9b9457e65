"""The HTTP session: requests, retries and answers. No other module uses the network."""

from __future__ import annotations

import logging
import os
import random
import re
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.exceptions import InvalidHeader, NewConnectionError
from urllib3.util import Retry

from nucleus_pandas._util.threads import renew_in_children
from nucleus_pandas.errors import (
    APIError,
    ConfigurationError,
    InvalidInputError,
    NetworkError,
    NucleusError,
    ServerError,
    UnsupportedError,
    from_status,
)
from nucleus_pandas.transport.auth import Key, hide_signed_urls, unlogged
from nucleus_pandas.transport.multipart import Multipart
from nucleus_pandas.wire.decoding import prepared

T = TypeVar("T")
Reopen: TypeAlias = "tuple[Callable[..., Transport], tuple[Any, ...]]"
"""A function of a module and its arguments, which contain no key: they create the same transport in another process."""

log = logging.getLogger("nucleus_pandas")

_STORED_PATH = re.compile(r"(images|masks)/[\w./-]+", re.ASCII)
RETRIED = frozenset({429, 500, 502, 503, 504, 520, 524})
_UNDONE = (501, 507)  # above 500, but nothing was done: not supported, or no space
_LONGEST_PAUSE = 60.0  # seconds, whatever Retry-After says


def quoted(segment: str) -> str:
    """Quote an id as one segment of a path.

    Examples
    --------
    >>> quoted("a/b c"), quoted("..")
    ('a%2Fb%20c', '%2E%2E')
    """
    # Clients and proxies drop the segments "." and "..".
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    try:
        return quote(segment, safe="")
    except UnicodeEncodeError:
        raise InvalidInputError(f"The id {segment!r} contains a lone surrogate, which is not valid Unicode.") from None


class Transport:
    """Sends requests to one endpoint.

    Parameters
    ----------
    endpoint : str
        The base URL of the API, such as ``https://api.scale.com/v1/nucleus``.
    key : Key
        The API key.
    max_retries : int
        Maximum retries after a transient failure.
    timeout : float
        Seconds to wait for a connection, and between two bytes of an answer.
    max_concurrency : int
        Maximum number of connections.
    reopen : (callable, tuple)
        Creates the transport again where a pickle of it is loaded.
    adapter : requests.adapters.BaseAdapter, optional
        Sends the requests instead of sockets.
    folder : pathlib.Path, optional
        The store of an embedded Nucleus in this process.
    session : requests.Session, optional
        Sends the requests, with its adapters, proxies and certificates. It is not changed: the key is not added to it.
    verify : bool or str, optional
        Whether certificates are checked, or the file or folder of trusted ones. None: as the session has it.
    """

    def __init__(
        self,
        endpoint: str,
        key: Key,
        *,
        max_retries: int,
        timeout: float,
        max_concurrency: int,
        reopen: Reopen,
        adapter: BaseAdapter | None = None,
        folder: Path | None = None,
        session: requests.Session | None = None,
        verify: bool | str | None = None,
    ) -> None:
        try:
            parts = urlsplit(endpoint)
            port_is_right = parts.port is None or parts.port > 0
        except ValueError:
            parts, port_is_right = urlsplit(""), False
        if not port_is_right or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("An endpoint is an http or https URL, such as 'http://127.0.0.1:8765/v1/nucleus'.")
        if parts.username is not None or parts.password is not None:
            raise ConfigurationError("An endpoint must not contain a key; pass it as api_key= or in NUCLEUS_API_KEY.")
        self.endpoint = endpoint.rstrip("/")
        self.folder = folder
        self.max_retries = max_retries
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self._key = key
        self._closed = False
        self._extensions: frozenset[str] | None = None
        self._verify = verify
        self._owns_session = session is None
        hide_signed_urls()
        if session is None:
            session = requests.Session()
            carrier = adapter or HTTPAdapter(pool_connections=1, pool_maxsize=max_concurrency)
            session.mount(f"{parts.scheme}://", carrier)
        elif verify is None and session.verify is not True:
            self._verify = session.verify  # before REQUESTS_CA_BUNDLE, which requests prefers to it
        self._session = session
        self._reopen = reopen
        self._token = uuid.uuid4().hex
        _transports[self._token] = self
        renew_in_children(self)

    def renew_in_child(self) -> None:
        """Use connections of its own in a forked child; those of the parent stay open for the parent."""
        for adapter in self._session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                vars(adapter).update(vars(copy(adapter)))  # a copy has pools of its own

    def __copy__(self) -> Transport:
        return self

    def __deepcopy__(self, memo: object) -> Transport:
        return self

    def __reduce__(self) -> tuple[Callable[..., Transport], tuple[Any, ...]]:
        """Pickle a reference: to this transport within its process, else to the same endpoint or store."""
        return _transport_of, (self._token, *self._reopen)

    def close(self) -> None:
        """Close all connections; requests that other threads still send are not retried."""
        self._closed = True
        for adapter in self._session.adapters.values() if self._owns_session else ():
            adapter.close()

    @property
    def extensions(self) -> frozenset[str]:
        """The extensions of the REST API that the server has; requested once.

        An answer that is not a JSON object with ``extensions`` comes from the hosted service, which has none. A
        transient failure says nothing about that, and is raised.
        """
        if self._extensions is None:
            try:
                answer = self.request("GET", "_nucleus_pandas")
            except APIError as error:
                if error.status_code in RETRIED:
                    raise
                answer = None
            names = answer.get("extensions") if isinstance(answer, dict) else None
            self._extensions = frozenset(names) if isinstance(names, list) else frozenset()
        return self._extensions

    def require(self, extension: str, purpose: str) -> None:
        """Raise UnsupportedError, before anything is sent, if the server lacks an extension."""
        if extension not in self.extensions:
            raise UnsupportedError(
                f"The server cannot {purpose}: the API of the hosted service has no request for it. An embedded "
                "Nucleus of this version can. Nothing was sent."
            )

    def get(self, *segments: str) -> dict[str, Any]:
        """Read a JSON object of any shape."""
        return self.read(dict[str, Any], *segments)

    def read(self, shape: type[T], *segments: str, **params: object) -> T:
        """Read JSON of a known shape."""
        answer: T = self.request("GET", *segments, params=params, shape=shape)
        return answer

    def describe(self, *segments: str, embedded: type[T], **params: object) -> T | None:
        """Read what a `repr` shows from an embedded Nucleus in process; None where that takes a connection, or fails.

        A `repr` never waits for a network, and never raises.
        """
        if self.folder is None:
            return None
        try:
            return self.read(embedded, *segments, **params)
        except NucleusError:
            return None

    def look_up(self, shape: type[T], *segments: str, body: object) -> T:
        """Read JSON of a known shape by a request with a body."""
        answer: T = self.request("POST", *segments, body=body, shape=shape)
        return answer

    def create(self, shape: type[T], *segments: str, body: object) -> T:
        """Create something that a second request would create twice.

        Failures are retried if the server knows idempotency keys, else only if the request did not reach it.
        """
        answer: T = self.request(
            "POST",
            *segments,
            body=body,
            creates=True,
            idempotency_key=uuid.uuid4().hex if "idempotency" in self.extensions else None,
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
        creates: bool = False,
        idempotency_key: str | None = None,
        doubts: list[str] | None = None,
        shape: Any = Any,
    ) -> Any:
        """Send a request, retry transient failures, and return the JSON of the answer.

        Parameters
        ----------
        method : str
            The HTTP method.
        *segments : str
            The path below the endpoint; ids are quoted here. With an empty last segment the path ends with a slash.
        params : dict, optional
            The query.
        body : object, optional
            Is sent as JSON; bytes are JSON already.
        multipart : Multipart, optional
            Is sent instead of `body`.
        creates : bool
            Whether a second request would create something twice. Without a key it is retried only if the server
            cannot have acted.
        idempotency_key : str, optional
            Has the server answer a repeated creation as the first one.
        doubts : list of str, optional
            Receives the reason of every attempt that the server may have acted on although no answer said so.
        shape : type
            The expected type of the answer.

        Raises
        ------
        NetworkError
            There was no complete answer.
        APIError
            The server answered with an error.
        UnreadableFileError
            A file of the multipart body cannot be sent; the request had no effect.
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
            response = self._retry(what, self.endpoint, send, once=creates and idempotency_key is None, doubts=doubts)
            return _parse_response(what, response, shape, doubts, self._key)
        except (APIError, NetworkError) as error:
            if multipart is not None and multipart.failure is not None:
                raise multipart.failure from None  # in process a server that reads half a body can answer
            if creates and doubts:
                raise _with_sentence(error, _MAY_EXIST) from None
            raise

    def image(self, url: str) -> bytes | None:
        """Read an image or a mask that this server stores.

        Parameters
        ----------
        url : str
            The URL in an item or an annotation of this server.

        Returns
        -------
        bytes or None
            None if the image is elsewhere, where the key must not be sent, or cannot be read.
        """
        base = f"{self.endpoint}/_nucleus_pandas/"
        if not url.startswith(base) or not _STORED_PATH.fullmatch(url.removeprefix(base)):
            return None

        def send() -> requests.Response:
            return self._send("GET", url, {"Accept": "image/*"}, None)

        try:
            response = self._retry(f"GET {urlsplit(url).path}", self.endpoint, send, once=False, doubts=[])
        except NetworkError:
            return None
        return response.content if response.status_code == 200 else None

    def put(self, url: str, body: BinaryIO, length: int) -> None:
        """Send a body to a signed URL: without key, content type or the contents of .netrc, which would leak there.

        Parameters
        ----------
        url : str
            The URL; it contains a secret, and is not in any message.
        body : binary file
            Read from its beginning at every attempt.
        length : int
            Its size in bytes.

        Raises
        ------
        NetworkError
            There was no complete answer.
        APIError
            The body was rejected.
        """
        what = "PUT of an upload to its signed URL"
        prepared = _prepare_put(url)
        if prepared is None:
            raise ServerError("The server returned an invalid upload URL.", 200)
        prepared.body, prepared.headers["Content-Length"] = body, str(length)  # type: ignore[assignment]

        def send() -> requests.Response:
            request = prepared
            for _ in range(_MOST_REDIRECTS):
                body.seek(0)
                with unlogged(), _clear_errors():
                    settings = self._session.merge_environment_settings(request.url, {}, False, self._verify, None)
                    response = self._session.send(request, timeout=self.timeout, allow_redirects=False, **settings)
                target = _redirect(response)
                redirected = None if target is None else _prepare_put(target)
                if redirected is None:
                    break
                redirected.body, redirected.headers["Content-Length"] = prepared.body, str(length)
                request = redirected
            return response

        response = self._retry(what, urlsplit(url).hostname or "", send, once=False, doubts=[])
        if not 200 <= response.status_code < 300:
            status = response.status_code
            raise from_status(status, f"{what} was answered with {status}{_where(response)}.")

    def _retry(
        self, what: str, server: str, send: Callable[[], requests.Response], *, once: bool, doubts: list[str]
    ) -> requests.Response:
        """Send until there is an answer that is not a transient failure, or no attempt is left.

        `doubts` receives a reason for every attempt after which the server may have acted; with `once` there is no
        further attempt then.
        """
        attempt = 0
        while True:
            is_last, began = attempt == self.max_retries, time.perf_counter()
            response = failure = None
            is_final = is_last
            try:
                response = send()
            except requests.RequestException as error:
                log.debug("%s: %s", what, type(error).__name__)
                failure = _failure(error, server)
                is_final = is_last or _untrusted(error) is not None
                if not _unreached(error):
                    doubts.append(failure)
            if response is None:
                # Not in the block above: the error would hold what requests raised, and that the request with its key.
                if is_final or (once and doubts) or self._pause(attempt, None):
                    raise NetworkError(f"{what} got no answer from {server}: {failure}.")
            else:
                status = response.status_code
                log.debug("%s: %d in %.3f s", what, status, time.perf_counter() - began)
                if status >= 500 and status not in _UNDONE:
                    doubts.append(f"it was answered with {status}")
                if status not in RETRIED or is_last or (once and doubts):
                    return response
                if self._pause(attempt, response.headers.get("Retry-After")):
                    return response
            attempt += 1

    def _send(self, method: str, url: str, headers: dict[str, str], data: Any) -> requests.Response:
        for _ in range(_MOST_REDIRECTS):
            request = requests.Request(method, self.endpoint, headers=headers, auth=self._key)
            prepared = self._session.prepare_request(request)
            prepared.url = url  # as it is: requests would unquote it and drop dots
            if data is not None:
                prepared.body = data
                prepared.headers["Content-Length"] = str(len(data))
            with _clear_errors():
                settings = self._session.merge_environment_settings(self.endpoint, {}, False, self._verify, None)
                response = self._session.send(prepared, timeout=self.timeout, allow_redirects=False, **settings)
            target = _redirect(response)
            if target is None or method != "GET" or not _is_same_server(self.endpoint, target):
                break
            url = target
        return response

    def _pause(self, attempt: int, retry_after: str | None) -> bool:
        """Pause before the next attempt; return True if there is none, because the client is closed."""
        if not self._closed:
            seconds = _parse_retry_after(retry_after)
            if seconds is None:
                seconds = min(0.5 * 2**attempt, 16.0) * random.uniform(0.5, 1.0)
            time.sleep(min(seconds, _LONGEST_PAUSE))
        return self._closed


_MOST_REDIRECTS = 5
_transports: weakref.WeakValueDictionary[str, Transport] = weakref.WeakValueDictionary()


def _transport_of(token: str, reopen: Callable[..., Transport], arguments: tuple[Any, ...]) -> Transport:
    """Return the transport of a pickle: the same one in the process of the pickle and in its forked children."""
    transport = _transports.get(token)
    if transport is None:
        transport = reopen(*arguments)
        transport._token = token
        _transports[token] = transport
    return transport


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Raise what requests raises for unusable certificate files and proxies as errors of the configuration."""
    try:
        yield
    except requests.exceptions.InvalidProxyURL:
        raise ConfigurationError(f"{_proxy_names()} contains an invalid URL of a proxy.") from None
    except requests.exceptions.InvalidSchema as error:
        raise ConfigurationError(f"This proxy is not supported: {error}.") from None
    except (requests.RequestException, NucleusError):
        raise
    except OSError as error:
        raise ConfigurationError(
            f"The file of trusted certificates cannot be used: {error}. Correct verify=, REQUESTS_CA_BUNDLE or "
            "CURL_CA_BUNDLE."
        ) from None


def _redirect(response: requests.Response) -> str | None:
    """Return the URL to which a response redirects a request without changing it."""
    location = response.headers.get("Location")
    return urljoin(response.url, location) if location and response.status_code in (301, 302, 307, 308) else None


def _where(response: requests.Response) -> str:
    """Return where a response redirects to, without the query, which may contain a key."""
    target = _redirect(response)
    return "" if target is None else f" and redirected to {urlsplit(target)._replace(query='', fragment='').geturl()}"


def _is_same_server(endpoint: str, url: str) -> bool:
    """Return True if the key of an endpoint may be sent to a URL: the same host and port, or its HTTPS version."""
    here, there = urlsplit(endpoint), urlsplit(url)
    if there.hostname != here.hostname:
        return False
    is_upgrade = here.scheme == "http" and there.scheme == "https" and here.port is None and there.port is None
    return is_upgrade or (here.scheme, here.port) == (there.scheme, there.port)


_ERROR_FIELDS = frozenset({"status_code", "error", "error_type"})  # the only fields of an answer that is an error
_MAY_EXIST = "What it creates may exist nevertheless: check before you create it again."


def _with_sentence(error: APIError | NetworkError, sentence: str) -> APIError | NetworkError:
    """Return the same error with another sentence."""
    text = f"{error} {sentence}"
    return type(error)(text, error.status_code) if isinstance(error, APIError) else NetworkError(text)


def _parse_retry_after(header: str | None) -> float | None:
    try:
        return None if header is None else Retry().parse_retry_after(header)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _prepare_put(url: str) -> requests.PreparedRequest | None:
    """Create a request to a signed URL; None if that is invalid."""
    try:
        is_web = urlsplit(url).scheme in ("http", "https")
        return requests.Request("PUT", url, headers={"Accept": "*/*"}).prepare() if is_web else None
    except (requests.RequestException, ValueError):
        return None


def _unreached(error: requests.RequestException) -> bool:
    """Return True if the server cannot have received the request."""
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError)) or _untrusted(error) is not None:
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)


def _untrusted(error: requests.RequestException) -> str | None:
    """Return why a certificate was rejected, which no retry changes; None for all other failures.

    The text of the error itself must not be shown: it contains the URL, with its signature.
    """
    match = re.search(r"certificate verify failed: ([^()']+)", str(error))
    if not isinstance(error, requests.exceptions.SSLError) or match is None:
        return None
    return match[1].strip()[:200]


def _proxy_names() -> str:
    """Return the variables of the environment that name a proxy, with its host, but without its user and password."""
    names = [
        f"{name} ({urlsplit(url).hostname}:{urlsplit(url).port})"
        for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
        if (url := os.environ.get(name))
    ]
    return ", ".join(names) or "the session"


def _failure(error: requests.RequestException, server: str) -> str:
    """Return what failed and, for certificates and proxies, what to do."""
    if isinstance(error, requests.exceptions.SSLError):
        host = (urlsplit(error.request.url or "").hostname if error.request is not None else None) or server
        reason = _untrusted(error)
        if reason is None:
            code = re.search(r"\[SSL: (\w+)\]", str(error))
            return f"the TLS connection to {host} failed{'' if code is None else f' ({code[1]})'}"
        return (
            f"the certificate of {host} is not trusted ({reason}). If a proxy of your network inspects TLS, set "
            "REQUESTS_CA_BUNDLE, or verify= of NucleusClient, to the file of its certificate authority"
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy of {_proxy_names()} does not answer, or rejected the connection; correct or unset it"
    if isinstance(error, requests.Timeout):
        return "the request timed out"
    if _unreached(error):
        return "the connection was refused, or the network is down"
    return "the connection broke"


def shaped(what: str, text: bytes, shape: Any, kind: str = "something else") -> Any:
    """Parse JSON of a server; raise ServerError if it is not of the expected type."""
    try:
        return msgspec.json.decode(text, type=prepared(shape))
    except msgspec.ValidationError as error:
        reason = f"in an unexpected form: {error}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reason = f"with {kind} instead of JSON"
    raise ServerError(f"{what} was answered {reason}.", 200)


def _error_of(response: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer that is an error."""
    try:
        answer = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("error"), str) else None


def _error_in_success(response: requests.Response, key: Key) -> APIError | None:
    """Return the error in an answer with a success status, as the hosted service sends for some creations."""
    answer = _error_of(response)
    if answer is None:
        return None
    status = answer.get("status_code")
    return from_status(status if isinstance(status, int) and status >= 400 else 400, key.redact(answer["error"]))


def _parse_response(what: str, response: requests.Response, shape: Any, doubts: list[str], key: Key) -> Any:
    """Return the JSON of an answer, or raise its error."""
    if 200 <= response.status_code < 300:
        content_type = key.redact(response.headers.get("Content-Type", "an unknown type"))
        try:
            value = shaped(what, response.content, shape, content_type)
        except ServerError as error:
            api_error = _error_in_success(response, key)
            if api_error is None:
                doubts.append(f"it{str(error).removeprefix(what).rstrip('.')}")
            raise api_error or error from None
        if isinstance(value, dict) and value.keys() <= _ERROR_FIELDS:  # an error fits a dict of anything
            api_error = _error_in_success(response, key)
            if api_error is not None:
                raise api_error
        return value
    answer, name = _error_of(response), None
    if answer is not None:
        message, name = answer["error"], str(answer.get("error_type"))
    else:
        text = re.sub(r"<[^>]*>|\s+", " ", key.redact(response.text)).strip()
        status = f"{response.status_code} {response.reason or ''}{_where(response)}"
        message = f"{what} was answered with {status}: {text[:300] or 'empty'}"
    failure = getattr(response, "failure", None)  # of an embedded Nucleus in this process
    raise from_status(response.status_code, key.redact(message), name) from failure
