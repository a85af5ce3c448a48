"""A headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.waiting import until

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH; install one to run this"
)

_OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",  # in containers there is none to be had
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)


class Browser:
    """One tab."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._call("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState == 'complete'")

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page; None while the page is being replaced."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer.get("result", {}).get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        until(lambda: self.ask(condition), condition)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._devtools.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told: dict[str, Any] = json.loads(self._devtools.recv(timeout=30))
            if told.get("id") == number:
                result: dict[str, Any] = told.get("result", {})
                return result


@contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, for as long as the block runs."""
    assert CHROMIUM is not None
    profile = directory / "profile"
    process = subprocess.Popen(
        [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = profile / "DevToolsActivePort"
        until(lambda: told.exists() and told.read_text().count("\n"), "the browser's DevTools")
        port = told.read_text().splitlines()[0]
        with httpx.Client(trust_env=False) as client:
            pages = client.get(f"http://127.0.0.1:{port}/json").json()
        page = next(page for page in pages if page["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None) as devtools:
            yield Browser(devtools)
    finally:
        process.terminate()
        process.wait(20)
