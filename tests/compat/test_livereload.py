"""livereload, a WebSocket application from the package index, as both systems: through a rollback and a rolling restart."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from bench.node import LOOPBACK, free_port
from tests.app.node import run
from tests.compat.browser import browser, needs_chromium
from tests.compat.setting import Setting, running, setting
from tests.waiting import until

pytest.importorskip("livereload", reason="livereload isn't installed; `make test` installs it")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="one worker elsewhere")

REST = """\
rollback_drain: 500ms
areas:
  pages:
    routes: [{path: "/**"}]
"""
_words = itertools.count(1)

HELLO = {"command": "hello", "protocols": ["http://livereload.com/protocols/official-7"]}


@contextmanager
def socket_of(pages: Setting, account: str = "acme") -> Iterator[ClientConnection]:
    """What livereload.js opens."""
    where = pages.url.replace("http", "ws", 1) + "/livereload"
    with connect(where, additional_headers={"Cookie": f"acct={account}"}, proxy=None) as found:
        found.send(json.dumps(HELLO))
        assert json.loads(found.recv(timeout=20))["serverName"] == "livereload-tornado"
        found.send(json.dumps({"command": "info", "url": pages.url}))
        yield found


def reload_at(url: str, path: str) -> None:
    """Let one of the two systems tell everybody who is connected to it."""
    assert httpx.get(f"{url}/forcereload", params={"path": path}, trust_env=False).text == "ok"


def is_at(socket: ClientConnection, url: str) -> bool:
    """Whether a socket is connected to this system: only then it hears what that tells (once that has noticed it)."""

    def hears() -> bool:
        word = f"/{next(_words)}"
        reload_at(url, word)
        with suppress(TimeoutError):
            while json.loads(socket.recv(timeout=1))["path"] != word:
                pass
            return True
        return False

    return any(hears() for _ in range(5))


def last_of(socket: ClientConnection) -> ConnectionClosedError:
    """How a socket is lost, after everything that was told it."""
    while True:
        try:
            socket.recv(timeout=30)
        except ConnectionClosedError as lost:
            return lost


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    here = tmp_path_factory.mktemp("livereload")
    urls = {name: f"http://{LOOPBACK}:{free_port()}" for name in ("legacy", "new")}
    with ExitStack() as stack:
        for name, url in urls.items():
            site = here / name / "site"
            site.mkdir(parents=True)
            (site / "index.html").write_text(f"<html><head><title>{name}</title></head><body>{name}</body></html>")
            command = [sys.executable, "-c", "from livereload.cli import main; main()"]
            port = url.rpartition(":")[2]
            stack.enter_context(running([*command, "--port", port, str(site)], {}, here / name, url))
        front = setting(
            here / "proxy", **urls, area="pages", rest=REST, share=100, options=["--workers", "2", "--drain", "2"]
        )
        yield stack.enter_context(front)


def test_a_rollback_moves_its_sockets_to_legacy_and_a_release_lets_them_come_back(pages: Setting) -> None:
    with socket_of(pages) as mover, socket_of(pages, "other") as other:
        assert is_at(mover, pages.new_url)
        assert is_at(other, pages.new_url)
        pages.command("rollback", "--segment", "movers")
        try:
            lost = last_of(mover)
            assert (lost.rcvd, lost.sent) == (None, None)  # no Close frame: code 1006
            assert is_at(other, pages.new_url), "only what is in scope ends"
            with socket_of(pages) as back:
                assert is_at(back, pages.legacy_url)
                pages.command("release", "--segment", "movers")
                assert is_at(back, pages.legacy_url), "nothing on legacy ends"
        finally:
            run("release", "--segment", "movers", "--state", str(pages.node.directory / "state"), "--reason", "over")
        with socket_of(pages) as again:
            assert is_at(again, pages.new_url)
    until(lambda: pages.metric("strangler_tunnels_open") == 0, "nothing stays open")


def test_a_rolling_restart_lets_sockets_live_until_their_worker_has_drained(pages: Setting) -> None:
    with socket_of(pages) as socket:
        former = pages.begin_restart()
        assert is_at(socket, pages.new_url), "it lives on while its worker drains"
        last_of(socket)
        pages.end_restart(former)
        with socket_of(pages) as back:
            assert is_at(back, pages.new_url)
    assert pages.metric('strangler_faults_total{party="new"') == 0


@needs_chromium
def test_the_script_in_a_browser_finds_its_way_back_by_itself(pages: Setting, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:

        def loaded_again(url: str, title: str) -> None:
            """The page hears over its WebSocket that it must load again, and does."""
            tab.ask("window.before = true")
            until(lambda: told(url) and tab.ask("!window.before"), f"{title} is heard")
            tab.wait_for(f"document.title == {title!r} && document.readyState == 'complete'")

        def told(url: str) -> bool:
            reload_at(url, "/index.html")
            return True

        tab.go(f"{pages.url}/")
        assert tab.ask("document.title") == "new"
        loaded_again(pages.new_url, "new")
        pages.command("rollback")
        try:
            loaded_again(pages.legacy_url, "legacy")
            pages.restart()
            loaded_again(pages.legacy_url, "legacy")
        finally:
            pages.command("release")
        tab.go(f"{pages.url}/")
        loaded_again(pages.new_url, "new")
