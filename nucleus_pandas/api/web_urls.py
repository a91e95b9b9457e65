"""URLs of the web pages of a server."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from urllib.parse import urlsplit

from nucleus_pandas.errors import ConfigurationError
from nucleus_pandas.transport.session import Transport, quoted

DASHBOARD = "https://dashboard.scale.com/nucleus"
"""The hosted service's dashboard. A dataset is at ``DASHBOARD/<id>``, a slice at ``DASHBOARD/<dataset id>/<id>``."""

_HOSTED = "api.scale.com"
_API = "/v1/nucleus"


class NoPageError(ConfigurationError, AttributeError):
    """There is no page; as an AttributeError, so that ``hasattr`` and ``inspect`` pass properties over."""


def page_url(transport: Transport, *segments: str, dataset: Callable[[], str] | None = None) -> str:
    """Return the URL of a page.

    Parameters
    ----------
    segments : str
        The kind and the id of the resource, ``("datasets", "ds_…")``; empty for the start page.
    dataset : callable, optional
        Returns the dataset id of a slice, when it is needed.

    Raises
    ------
    NoPageError
        The server has no pages, or none for this resource.
    """
    if transport.folder is not None:
        raise NoPageError(
            "This embedded Nucleus runs inside this process, and has no page. Serve it from a terminal: "
            f"nucleus-pandas serve {shlex.quote(str(transport.folder))}"
        )
    parts = urlsplit(transport.endpoint)
    if parts.hostname == _HOSTED:
        return _hosted(*segments, dataset=dataset)
    if "page" not in transport.extensions or not parts.path.endswith(_API):
        raise NoPageError(f"The server of {transport.endpoint} is not known to have a page.")
    return transport.endpoint.removesuffix(_API) + "".join(f"/{quoted(segment)}" for segment in segments)


def _hosted(kind: str = "", public_id: str = "", *, dataset: Callable[[], str] | None) -> str:
    if kind == "runs":
        raise NoPageError(
            "The hosted service's dashboard has no documented URL for runs; open the dataset instead: "
            "client.url(dataset)."
        )
    segments = [public_id] if public_id else []
    if dataset is not None:
        segments = [dataset(), *segments]
    return "/".join([DASHBOARD, *map(quoted, segments)])
