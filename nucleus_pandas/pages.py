"""Addresses of what a server shows to people."""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

from nucleus_pandas.errors import ConfigurationError
from nucleus_pandas.transport import Transport, quoted

DASHBOARD = "https://dashboard.scale.com/nucleus"
"""Of the hosted service. Its own command line shows datasets by ``DASHBOARD/<dataset id>``."""

_HOSTED = "api.scale.com"
_API = "/v1/nucleus"


def page_url(transport: Transport, *segments: str) -> str:
    """Give the address of a page.

    Parameters
    ----------
    segments : str
        The kind and the id of what it shows, ``("datasets", "ds_…")``; none for the first page.

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
        return _hosted(*segments)
    if "page" not in transport.extensions or not parts.path.endswith(_API):
        raise ConfigurationError(f"The server of {transport.endpoint} is not known to have a page.")
    return transport.endpoint.removesuffix(_API) + "".join(f"/{quoted(segment)}" for segment in segments)


def _hosted(kind: str = "datasets", public_id: str | None = None) -> str:
    if kind != "datasets":
        raise ConfigurationError(
            f"The dashboard of the hosted service has no documented address for {kind}; open that of the dataset: "
            "client.url(dataset)."
        )
    return DASHBOARD if public_id is None else f"{DASHBOARD}/{quoted(public_id)}"
