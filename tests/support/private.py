"""The one place of the tests that knows how the package names what users do not see."""

from __future__ import annotations

from typing import Any, Protocol

import requests

import nucleus_pandas as npd


class _Connected(Protocol):
    """A client, or anything that one gave."""

    @property
    def _transport(self) -> Any: ...


def transport_of(thing: _Connected) -> Any:
    """Give what sends the requests of a client, and of whatever it gave."""
    return thing._transport


def client_of(thing: _Connected) -> npd.NucleusClient:
    """Give a client that sends by the same connection."""
    client = npd.NucleusClient.__new__(npd.NucleusClient)
    client._transport = transport_of(thing)
    return client


def session_of(thing: _Connected) -> requests.Session:
    """Give the session that carries its requests, with the key."""
    found: requests.Session = transport_of(thing)._session
    return found


def send_request(thing: _Connected, method: str, *segments: str, **options: Any) -> Any:
    """Send a request that no method of the client sends."""
    return transport_of(thing).request(method, *segments, **options)


def read_as(thing: _Connected, kind: type, *segments: str, **options: Any) -> Any:
    """Send a GET, and read the answer as a struct of the wire."""
    return transport_of(thing).read(kind, *segments, **options)


def extensions_of(thing: _Connected) -> frozenset[str]:
    """Tell what the server can do beyond the contract; it is asked where nobody has asked yet."""
    found: frozenset[str] = transport_of(thing).extensions
    return found


def set_extensions(thing: _Connected, extensions: frozenset[str]) -> None:
    """Let a client believe that the server can do so much, without asking it."""
    transport_of(thing)._extensions = extensions


def forget_extensions(thing: _Connected) -> None:
    """Have a client ask again what the server can do."""
    transport_of(thing)._extensions = None


def dataset_handle(thing: _Connected, *names: Any) -> npd.Dataset:
    """Give a dataset by its id, and its name if that is known, without asking the server for it."""
    return npd.Dataset(transport_of(thing), *names)


def model_handle(thing: _Connected, *names: Any) -> npd.Model:
    """Give a model by its id without asking the server for it."""
    return npd.Model(transport_of(thing), *names)


def run_handle(thing: _Connected, *names: Any) -> npd.ModelRun:
    """Give a run by its id, and that of its dataset, without asking the server for it."""
    return npd.ModelRun(transport_of(thing), *names)


def slice_handle(thing: _Connected, *names: Any) -> npd.Slice:
    """Give a slice by its id, its name and its dataset without asking the server for it."""
    return npd.Slice(transport_of(thing), *names)


def job_handle(thing: _Connected, *names: Any) -> npd.Job:
    """Give a job by its id without asking the server for it."""
    return npd.Job(transport_of(thing), *names)
