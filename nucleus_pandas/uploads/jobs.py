"""Jobs: work that a server finishes after it has answered."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd

from nucleus_pandas.errors import InvalidInputError, JobTimeoutError, UnsupportedError
from nucleus_pandas.schema import JOBS, frame
from nucleus_pandas.transport.resource import Resource
from nucleus_pandas.transport.session import Transport
from nucleus_pandas.wire.requests import ListJobs
from nucleus_pandas.wire.responses import JobEntry, JobView

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0  # seconds between two polls
_UNFINISHED = ("Queued", "Running")


class Job(Resource):
    """A job on a server. See `UploadResult.jobs` and `NucleusClient.get_job`.

    Examples
    --------
    >>> import nucleus_pandas as npd
    >>> with npd.NucleusClient.local() as client:
    ...     client.get_job("job_000000000000")
    Traceback (most recent call last):
        ...
    nucleus_pandas.errors.NotFoundError: There is no job 'job_000000000000'.
    """

    @property
    def info(self) -> dict[str, Any]:
        """The current status, message and progress."""
        return self._transport.get("job", self.id)

    @property
    def status(self) -> str:
        """The current status, such as ``Running`` or ``Completed``."""
        return self._poll().status

    def errors(self) -> list[str]:
        """Return the server's sentences about rows that it rejected."""
        return self._transport.read(list[str], "job", self.id, "errors")

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until the job has ended, successfully or not.

        The job is polled at once, and then at increasing intervals from 0.05 to 5 seconds.

        Parameters
        ----------
        timeout : float, optional
            Maximum number of seconds to wait.

        Raises
        ------
        JobTimeoutError
            The timeout has passed; the job continues.
        """
        self.ended(timeout)
        return self

    def cancel(self) -> Job:
        """Stop the job; what it has done stays.

        Raises
        ------
        ConflictError
            It has ended already.
        UnsupportedError
            The server cannot cancel jobs; an embedded Nucleus can.
        """
        if "cancel" not in self._transport.extensions:
            raise UnsupportedError(
                "This server cannot cancel jobs; only an embedded Nucleus can. job.wait() waits for the job."
            )
        self._transport.request("POST", "_nucleus_pandas", "job", self.id, "cancel", body={})
        return self

    def ended(self, timeout: float | None = None) -> JobView:
        """Wait until the job has ended, and return how."""
        if timeout is not None and not timeout >= 0:
            raise InvalidInputError(f"timeout must be a number of seconds, not {timeout!r}.", argument="timeout")
        until = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while (view := self._poll()).status in _UNFINISHED:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise JobTimeoutError(
                    f"The job '{self.id}' is still {view.status.lower()} after {timeout:g} s; it continues."
                )
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return view

    def _poll(self) -> JobView:
        return self._transport.read(JobView, "job", self.id)


def jobs_frame(transport: Transport, dataset_id: str | None = None) -> pd.DataFrame:
    """List all jobs, or those of a dataset, newest first."""
    query = ListJobs(dataset_id=dataset_id, job_types=[], limit=50_000, show_completed=True)
    entries = transport.look_up(list[JobEntry], "jobs", "", body=query)
    columns = {
        "id": [entry.job_id for entry in entries],
        "type": [entry.job_type for entry in entries],
        "status": [entry.job_last_known_status for entry in entries],
    }
    times = pd.to_datetime([entry.job_creation_time for entry in entries], utc=True, format="ISO8601")
    return frame(columns, JOBS).assign(created_at=times.as_unit("us"))
