"""Every exception that this package raises on purpose.

::

    NucleusError
    ├── ConfigurationError      (ValueError)       no key, two keys, an endpoint that is none
    ├── MissingExtraError       (ImportError)      an optional dependency is not installed
    ├── ValidationError         (ValueError)       a value is invalid (internal)
    │   └── InvalidInputError                      input is invalid, found before anything was sent
    ├── NetworkError            (ConnectionError)  no answer: refused, cut off, timed out
    ├── UploadError                                some rows were refused; `.result` tells which
    │   └── AlreadyExistsError                     rows exist, and if_exists="error" lets none be
    ├── JobTimeoutError     (TimeoutError)         a job goes on, and the time to wait for it is up
    ├── FileError               (OSError)          a file or folder that cannot be written or read
    ├── StoreError              (OSError)          a folder that is no embedded Nucleus, or a newer one
    ├── JournalError            (OSError)          the journal of an upload cannot be read or written
    └── APIError                                   the server answered with a refusal
        ├── BadRequestError     (ValueError)       400, 422
        ├── AuthenticationError (PermissionError)  401, 403
        ├── NotFoundError       (KeyError)         404
        │   └── PositionError   (IndexError)       404 for a position outside the data set
        ├── ConflictError                          409
        │   └── FrozenRunError                     409: the run is committed
        ├── TooLargeError       (ValueError)       413
        ├── UnsupportedError                       501
        └── ServerError                            500 and above, after all retries

`NucleusWarning` (UserWarning) is the only warning.

The embedded Nucleus raises the `APIError` leaves, its answers carry their status and text, and the client raises the
same leaf again: a mistake looks the same in process and over a socket. Code that validates values and does not use
HTTP (schema, wire, images) raises `ValidationError` or `InvalidInputError`. The server answers a `ValidationError`
about a request with 400, which is `BadRequestError` at the client; what the client finds before it sends anything is
`InvalidInputError`. So there is one public class for each of the two cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import pandas as pd


class RowResult(Protocol):
    """What became of every row of an upload: an `UploadResult`."""

    @property
    def rows(self) -> pd.DataFrame:
        """Status and error of every row."""

    @property
    def failed(self) -> Any:
        """The caller's own rows, ready to send again."""


class NucleusWarning(UserWarning):
    """Something can be done, but is probably not what is meant."""


class NucleusError(Exception):
    """Root of all errors of this package."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument; a sentence is shown as it is.
        return str(self.args[0]) if self.args else ""


class ConfigurationError(NucleusError, ValueError):
    """The client was not given what it needs, or was given two things that exclude each other."""


class MissingExtraError(NucleusError, ImportError):
    """An optional dependency is not installed; the text holds the line to type."""


class ValidationError(NucleusError, ValueError):
    """A value is invalid. Internal: users receive `InvalidInputError`, or `BadRequestError` from a server.

    Parameters
    ----------
    reason : str
        What is wrong: a sentence, or its predicate where there is a subject.
    subject : str, optional
        What is wrong, such as "The image". A caller that knows the exact place (a row and a column, a file) uses
        `reason` and names that place instead.

    Examples
    --------
    >>> error = ValidationError("is an empty file.", subject="The image")
    >>> str(error), error.reason
    ('The image is an empty file.', 'is an empty file.')
    """

    def __init__(self, reason: str, *, subject: str | None = None) -> None:
        super().__init__(reason if subject is None else f"{subject} {reason}")
        self.reason = reason


class InvalidInputError(ValidationError):
    """Input is invalid, which was found before anything was sent.

    Attributes
    ----------
    result : UploadResult or None
        For invalid rows: the outcome of every row.
    problems : pandas.DataFrame or None
        For invalid rows: ``row``, ``column`` and ``reason`` of every problem, on the caller's index. For an invalid
        file: ``place`` and ``reason``.
    argument : str or None
        The name of the argument that is invalid, where the message is about one.
    """

    def __init__(
        self,
        message: str,
        result: RowResult | None = None,
        problems: pd.DataFrame | None = None,
        *,
        argument: str | None = None,
    ) -> None:
        super().__init__(message)
        self.result = result
        self.problems = problems
        self.argument = argument


class NetworkError(NucleusError, ConnectionError):
    """The server gave no whole answer, after all retries."""


class JobTimeoutError(NucleusError, TimeoutError):
    """A job was still running when the time to wait for it was up; it goes on."""


class StoreError(NucleusError, OSError):
    """A folder cannot be opened as the store of an embedded Nucleus."""


class JournalError(NucleusError, OSError):
    """The journal of an upload cannot be read or written; what was answered until then is stored."""


class FileError(NucleusError, OSError):
    """A file or a folder cannot be written or read, such as on a full disk."""


class UploadError(NucleusError):
    """Some rows were refused, while the others were stored.

    Attributes
    ----------
    result : UploadResult, ImportResult or dict of str to ImportResult
        What became of every row; of an import, of how many rows.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result: Any = result  # which of the two is known to who called

    def __reduce__(self) -> tuple[type[UploadError], tuple[str, Any]]:
        return type(self), (str(self), self.result)


class AlreadyExistsError(UploadError):
    """Rows exist already, and ``if_exists="error"`` was asked for; none was overwritten."""


class APIError(NucleusError):
    """The server refused a request.

    Attributes
    ----------
    status_code : int
        The HTTP status.
    """

    default_status: ClassVar[int] = 500

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = self.default_status if status_code is None else status_code


class BadRequestError(APIError, ValueError):
    """The request itself is wrong; the text names the place in it."""

    default_status = 400


class AuthenticationError(APIError, PermissionError):
    """The key is absent, wrong, or not allowed to do this."""

    default_status = 401


class NotFoundError(APIError, KeyError):
    """There is no such dataset, item, annotation, model, run, job or route."""

    default_status = 404


class PositionError(NotFoundError, IndexError):
    """A position lies outside the dataset."""


class ConflictError(APIError):
    """What is there already forbids the request."""

    default_status = 409


class FrozenRunError(ConflictError):
    """A committed run is immutable."""


class TooLargeError(APIError, ValueError):
    """A body is larger than its route takes."""

    default_status = 413


class UnsupportedError(APIError):
    """Only Scale's hosted service can do this, or this version cannot do it yet."""

    default_status = 501


class ServerError(APIError):
    """The server failed."""


_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    422: BadRequestError,
    501: UnsupportedError,
}
_BY_NAME: dict[str, type[APIError]] = {leaf.__name__: leaf for leaf in (PositionError, FrozenRunError)}


def from_status(status_code: int, message: str, name: str | None = None) -> APIError:
    """Return the error that stands for an HTTP status.

    Parameters
    ----------
    status_code : int
        The HTTP status, 400 or above.
    message : str
        The server's sentence.
    name : str, optional
        The leaf that the embedded Nucleus named, where one status stands for two errors.

    Examples
    --------
    >>> from_status(404, "There is no dataset 'ds_1'.")
    NotFoundError("There is no dataset 'ds_1'.")
    """
    leaf = _BY_NAME.get(name or "")
    if leaf is None or leaf.default_status != status_code:
        leaf = _BY_STATUS.get(status_code, ServerError if status_code >= 500 else APIError)
    return leaf(message, status_code)
