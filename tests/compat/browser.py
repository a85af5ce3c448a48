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
    """One tab.

    Attributes:
        complaints: what it found wrong: files that it could not load, errors of scripts, refused cookies.
    """

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Page", "Log", "Runtime"):
            self._call(f"{domain}.enable")

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

    @property
    def text(self) -> str:
        """What stands on the page."""
        return str(self.ask("document.body.innerText"))

    def follow(self, selector: str) -> None:
        """Click where the pointer would, and wait for the page that this leads to."""
        found = json.dumps(selector)
        self.ask("window.isFormer = true")
        middle = (
            f"(at => [at.x + at.width / 2, at.y + at.height / 2])"
            f"((e => {{e.scrollIntoView({{block: 'center'}}); return e.getBoundingClientRect()}})"
            f"(document.querySelector({found})))"
        )
        x, y = self.ask(middle)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.wait_for("!window.isFormer && document.readyState == 'complete'")

    def fill(self, selector: str, text: str) -> None:
        """Type into a field, over what stands there."""
        self.ask(f"(e => {{e.focus(); e.select()}})(document.querySelector({json.dumps(selector)}))")
        self._call("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list."""
        chosen = f"(e => {{e.value = {json.dumps(value)}; e.dispatchEvent(new Event('change', {{bubbles: true}}))}})"
        self.ask(f"{chosen}(document.querySelector({json.dumps(selector)}))")

    def attach(self, selector: str, file: Path) -> None:
        """Choose a file to upload."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        field = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=field, files=[str(file)])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._devtools.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told: dict[str, Any] = json.loads(self._devtools.recv(timeout=30))
            if told.get("id") == number:
                assert "error" not in told, (method, told)
                result: dict[str, Any] = told.get("result", {})
                return result
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        match told.get("method"):
            case "Log.entryAdded" if told["params"]["entry"]["level"] == "error":
                entry = told["params"]["entry"]
                if not entry.get("url", "").endswith("/favicon.ico"):  # asked for by the browser of itself
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            case "Runtime.exceptionThrown":
                self.complaints.append(told["params"]["exceptionDetails"]["text"])


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
