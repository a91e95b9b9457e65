"""Every exception that this package raises on purpose.

::

    NucleusError
    ├── ConfigurationError      (ValueError)       no key, two keys, an invalid endpoint
    ├── MissingExtraError       (ImportError)      an optional dependency is not installed
    ├── ValidationError         (ValueError)       a value is invalid (internal)
    │   └── InvalidInputError                      input is invalid, found before anything was sent
    ├── NetworkError            (ConnectionError)  no answer: connection refused, lost or timed out
    ├── UploadError                                some rows were rejected; `.result` holds which
    │   └── AlreadyExistsError                     rows exist already, with if_exists="error"
    ├── JobTimeoutError     (TimeoutError)         the time to wait for a running job is up
    ├── FileError               (OSError)          a file or folder that cannot be written or read
    ├── StoreError              (OSError)          not the folder of an embedded Nucleus, or a newer one
    ├── JournalError            (OSError)          the journal of an upload cannot be read or written
    └── APIError                                   the server answered with an error
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
    """The outcome of every row of an upload: an `UploadResult`."""

    @property
    def rows(self) -> pd.DataFrame:
        """Status and error of every row."""

    @property
    def failed(self) -> Any:
        """The caller's own rows, ready to send again."""


class NucleusWarning(UserWarning):
    """Something is possible, but probably not intended."""


class NucleusError(Exception):
    """Root of all errors of this package."""

    def __str__(self) -> str:
        # KeyError would show the repr of its message.
        return str(self.args[0]) if self.args else ""


class ConfigurationError(NucleusError, ValueError):
    """A setting of the client is missing or invalid, or two settings exclude each other."""


class MissingExtraError(NucleusError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""


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
    """The server gave no complete answer, after all retries."""


class JobTimeoutError(NucleusError, TimeoutError):
    """A job was still running when the time to wait for it was up; it continues."""


class StoreError(NucleusError, OSError):
    """A folder cannot be opened as the store of an embedded Nucleus."""


class JournalError(NucleusError, OSError):
    """The journal of an upload cannot be read or written; rows that were answered before are stored."""


class FileError(NucleusError, OSError):
    """A file or a folder cannot be written or read, such as on a full disk."""


class UploadError(NucleusError):
    """Some rows were rejected, while the others were stored.

    Attributes
    ----------
    result : UploadResult, ImportResult or dict of str to ImportResult
        The outcome of every row; for an import, the number of rows with each outcome.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result: Any = result  # its type depends on the call

    def __reduce__(self) -> tuple[type[UploadError], tuple[str, Any]]:
        return type(self), (str(self), self.result)


class AlreadyExistsError(UploadError):
    """Rows exist already, and ``if_exists="error"`` was set; no row was overwritten."""


class APIError(NucleusError):
    """The server answered a request with an error.

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
    """The request is invalid; the message names the place in it."""

    default_status = 400


class AuthenticationError(APIError, PermissionError):
    """The key is missing, wrong, or lacks permission."""

    default_status = 401


class NotFoundError(APIError, KeyError):
    """There is no such dataset, item, annotation, model, run, job or route."""

    default_status = 404


class PositionError(NotFoundError, IndexError):
    """A position lies outside the dataset."""


class ConflictError(APIError):
    """The request conflicts with the current state."""

    default_status = 409


class FrozenRunError(ConflictError):
    """A committed run is immutable."""


class TooLargeError(APIError, ValueError):
    """A body is larger than its route allows."""

    default_status = 413


class UnsupportedError(APIError):
    """Only Scale's hosted service can do this, or this version cannot do it yet."""

    default_status = 501


class ServerError(APIError):
    """The server failed."""


_USUAL = (BadRequestError, AuthenticationError, NotFoundError, ConflictError, TooLargeError, UnsupportedError)
_BY_STATUS: dict[int, type[APIError]] = {leaf.default_status: leaf for leaf in _USUAL}
_BY_STATUS |= {403: AuthenticationError, 422: BadRequestError}
_BY_NAME: dict[str, type[APIError]] = {leaf.__name__: leaf for leaf in (PositionError, FrozenRunError)}


def from_status(status_code: int, message: str, name: str | None = None) -> APIError:
    """Return the error for an HTTP status.

    Parameters
    ----------
    status_code : int
        The HTTP status, 400 or above.
    message : str
        The server's message.
    name : str, optional
        The name of the error that the embedded Nucleus raised, where one status has two errors.

    Examples
    --------
    >>> from_status(404, "There is no dataset 'ds_1'.")
    NotFoundError("There is no dataset 'ds_1'.")
    """
    leaf = _BY_NAME.get(name or "")
    if leaf is None or leaf.default_status != status_code:
        leaf = _BY_STATUS.get(status_code, ServerError if status_code >= 500 else APIError)
    return leaf(message, status_code)
