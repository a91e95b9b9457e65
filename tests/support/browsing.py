"""A real browser that looks at a served store: Debian's chromium, without a window."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from nucleus_pandas.server.serving import Server

Open: TypeAlias = Callable[..., "Watched"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@contextmanager
def served(store: Path, **options: Any) -> Iterator[str]:
    """Serve a store in a thread, and return the address of its page."""
    with Server(store, port=0, **options) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.endpoint.removesuffix("/v1/nucleus")
        finally:
            server.stop()
            thread.join(20)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A tab, and all that went wrong in it.

    Attributes
    ----------
    page : playwright.sync_api.Page
        The tab.
    errors : list of str
        What the console says that is no mere talk, errors of scripts, and dialogs.
    hosts : set of str
        Who was asked for anything.
    """

    def __init__(self, browser: Any, origin: str, **options: Any) -> None:
        self.origin = origin
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.requests: list[str] = []
        self.context = browser.new_context(base_url=origin, **{"viewport": {"width": 1280, "height": 900}} | options)
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        self.page.on("dialog", self._dialog)
        self.context.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        self.requests.append(request.url)
        if urlsplit(request.url).scheme in ("http", "https"):
            self.hosts.add(str(urlsplit(request.url).hostname))

    def go(self, path: str) -> Any:
        """Open an address, and wait until everything is there."""
        response = self.page.goto(path)
        self.page.wait_for_load_state("networkidle")
        return response

    def texts(self, selector: str) -> list[str]:
        """Return the texts of elements."""
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return found

    def close(self) -> None:
        """Close the tab; fail where something went wrong in it."""
        self.context.close()
        assert self.errors == []
        assert self.hosts <= set(LOOPBACK)

    def focused(self, expression: str = "innerText") -> str:
        """Return what has the focus."""
        found: str = self.page.evaluate(f"document.activeElement.{expression}")
        return found
