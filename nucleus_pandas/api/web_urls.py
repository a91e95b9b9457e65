"""Addresses of what a server shows to people."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from urllib.parse import urlsplit

from nucleus_pandas.errors import ConfigurationError
from nucleus_pandas.transport.session import Transport, quoted

DASHBOARD = "https://dashboard.scale.com/nucleus"
"""Of the hosted service. Its own command line shows datasets by ``DASHBOARD/<id>``, slices by ``DASHBOARD/<id of the
dataset>/<id>``."""

_HOSTED = "api.scale.com"
_API = "/v1/nucleus"


def page_url(transport: Transport, *segments: str, dataset: Callable[[], str] | None = None) -> str:
    """Return the address of a page.

    Parameters
    ----------
    segments : str
        The kind and the id of what it shows, ``("datasets", "ds_…")``; none for the first page.
    dataset : callable, optional
        Tells the dataset of a slice, where it is needed.

    Raises
    ------
    ConfigurationError
        The server has no page, or none of this.
    """
    if transport.folder is not None:
        raise ConfigurationError(
            "This embedded Nucleus works inside this process, and has no page. Serve it, in a terminal: "
            f"nucleus-pandas serve {shlex.quote(str(transport.folder))}"
        )
    parts = urlsplit(transport.endpoint)
    if parts.hostname == _HOSTED:
        return _hosted(*segments, dataset=dataset)
    if "page" not in transport.extensions or not parts.path.endswith(_API):
        raise ConfigurationError(f"The server of {transport.endpoint} is not known to have a page.")
    return transport.endpoint.removesuffix(_API) + "".join(f"/{quoted(segment)}" for segment in segments)


def _hosted(kind: str = "", public_id: str = "", *, dataset: Callable[[], str] | None) -> str:
    if kind == "runs":
        raise ConfigurationError(
            "The dashboard of the hosted service has no documented address for runs; open that of the dataset: "
            "client.url(dataset)."
        )
    segments = [public_id] if public_id else []
    if dataset is not None:
        segments = [dataset(), *segments]
    return "/".join([DASHBOARD, *map(quoted, segments)])
