"""Event streams of a library's server, heard by a browser and by a library: at once, and on from where they broke off."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from bench.node import LOOPBACK, free_port
from tests.compat.browser import browser, needs_chromium
from tests.compat.javascript import needs_node, telling
from tests.compat.setting import Setting, running, setting
from tests.waiting import until

pytest.importorskip("sse_starlette", reason="sse-starlette isn't installed; `make test` installs it")

REST = """\
rollback_drain: 300ms
areas:
  events:
    routes: [{path: "/events"}]
"""
Heard = Callable[[], list[str]]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    here = tmp_path_factory.mktemp("events")
    with ExitStack() as stack:
        urls = []
        for name in ("legacy", "new"):
            port = free_port()
            urls.append(f"http://{LOOPBACK}:{port}")
            (here / name).mkdir()
            command = [sys.executable, "-m", "uvicorn", "tests.compat.events_app:app", "--port", str(port)]
            patience = ["--timeout-graceful-shutdown", "1"]
            stack.enter_context(running([*command, *patience], {"EVENTS_NAME": name}, here / name, urls[-1]))
        legacy, new = urls
        yield stack.enter_context(setting(here / "proxy", legacy=legacy, new=new, area="events", rest=REST))


@contextmanager
def a_browser(front: Setting, here: Path) -> Iterator[Heard]:
    with browser(here) as tab:
        tab.go(f"{front.url}/robots.txt")  # any page of this origin: cookies are set where they count
        tab.ask("document.cookie = 'acct=acme'")
        tab.go(f"{front.url}/")
        yield lambda: tab.ask("heard")


@contextmanager
def a_library(front: Setting, here: Path) -> Iterator[Heard]:
    heard: list[str] = []
    with telling("sse_client.js", f"{front.url}/events", "acct=acme") as told:

        def listen() -> None:
            heard.extend(one.get("data", "lost") for one in told if not one.get("open"))

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        yield heard.copy
    listening.join(20)


def tell(front: Setting, word: str) -> None:
    """Both systems come to know it, as if they shared a database."""
    for url in (front.legacy_url, front.new_url):
        assert httpx.get(f"{url}/tell", params={"word": word}, trust_env=False).text == "told"


@pytest.mark.parametrize(
    "listener",
    [pytest.param(a_browser, marks=needs_chromium), pytest.param(a_library, marks=needs_node)],
)
def test_a_listener_hears_everything_once_through_a_rollback_and_after(
    front: Setting, tmp_path: Path, listener: Callable[..., Iterator[Heard]]
) -> None:
    with listener(front, tmp_path) as heard:  # type: ignore[attr-defined]  # a context manager, once decorated
        until(lambda: heard() == ["at new"], "the stream is open")
        tell(front, "one")
        until(lambda: heard()[1:] == ["one"], "an event comes at once")
        with front.rolled_back("--segment", "movers"):
            until(lambda: heard()[2:3] == ["lost"], "the stream on new is ended")
            tell(front, "two – ä")
            until(lambda: len(heard()) >= 5, "it comes back by itself")
            assert heard()[3:] == ["at legacy", "two – ä"], "what was told in between is not lost"
        tell(front, "three")
        until(lambda: heard()[5:] == ["three"], "a release ends nothing on legacy")
    until(lambda: front.metric("strangler_requests_in_flight") == 0, "the systems are left when the listener has gone")
