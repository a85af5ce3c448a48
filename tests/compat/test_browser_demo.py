"""A browser in the demo's shops, while an area moves under it and comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.node import run
from tests.compat.browser import Browser, browser, needs_chromium
from tests.demo.running import Demo, demo

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def shops() -> Iterator[Demo]:
    with demo() as running:
        yield running


@pytest.fixture
def tab(shops: Demo, tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as found:
        found.go(shops.url("Open") + "/")
        found.choose("#account", "acme")
        found.follow("main form[action='/account'] button")
        yield found


def operate(shops: Demo, *words: str) -> None:
    done = run(*words, "--state", str(shops.directory / "state"), "--reason", "a test")
    assert done.returncode == 0, done.stderr + done.stdout


def answered_by(tab: Browser) -> str:
    found = re.search(r"answered by (\w+)", tab.text, re.IGNORECASE)
    assert found is not None, tab.text
    return found[1].lower()


def fact(tab: Browser, name: str) -> str:
    return str(tab.ask(f"[...document.querySelectorAll('.answered tr')].find(e => e.innerText.startsWith('{name}'))?.cells[1].innerText"))  # fmt: skip


def order(tab: Browser, article: str, amount: int) -> None:
    tab.follow("nav a[href='/orders']")
    tab.choose("#article", article)
    tab.fill("#amount", str(amount))
    tab.follow("form[action='/orders'] button")


def test_an_area_moves_and_comes_back_between_two_clicks(shops: Demo, tab: Browser) -> None:
    assert fact(tab, "Account") == "acme"
    order(tab, "Ledgers", 12)
    assert re.search(r"Ledgers\s+12\s+legacy", tab.text)
    assert (answered_by(tab), fact(tab, "Cookies")) == ("legacy", "LEGACYSESSION; acct")
    visits = int(fact(tab, "Pages in this session"))

    operate(shops, "canary", "orders", "--percent", "80")  # acme's bucket is 7379
    tab.follow("main a[href='/orders']")
    assert (answered_by(tab), fact(tab, "Cookies")) == ("new", "acct")
    assert re.search(r"Ledgers\s+12\s+legacy", tab.text), "what the old system took is there"
    order(tab, "Labels", 34)
    assert re.search(r"Labels\s+34\s+new", tab.text)
    assert fact(tab, "Cookies") == "acct; sid"
    tab.follow("nav a[href='/checkout']")
    assert answered_by(tab) == "legacy", "an area that hasn't moved"

    tab.follow("nav a[href='/orders']")
    operate(shops, "rollback", "--area", "orders")
    tab.follow("nav a[href='/orders']")
    assert answered_by(tab) == "legacy"
    assert re.search(r"Labels\s+34\s+new", tab.text), "what the new system took is there"
    assert fact(tab, "Cookies") == "LEGACYSESSION; acct"
    assert int(fact(tab, "Pages in this session")) == visits + 2, "the session of before goes on"

    operate(shops, "release", "--area", "orders")
    tab.follow("nav a[href='/orders']")
    assert (answered_by(tab), fact(tab, "Cookies")) == ("new", "acct; sid")
    assert tab.complaints == []


def test_pages_are_styled_by_the_system_that_answers_and_an_upload_arrives(tab: Browser, tmp_path: Path) -> None:
    def colours() -> object:
        return tab.ask("[getComputedStyle(document.body).fontFamily, document.styleSheets[0].cssRules.length > 5]")

    tab.follow("nav a[href='/checkout']")
    legacy = colours()
    tab.follow("nav a[href='/help']")
    assert answered_by(tab) == "new"
    assert colours() != legacy
    (tmp_path / "prices ä.bin").write_bytes(bytes(range(256)) * 4000)
    tab.follow("nav a[href='/documents']")
    tab.attach("#file", tmp_path / "prices ä.bin")
    tab.follow("form[action='/documents'] button")
    assert "prices ä.bin" in tab.text
    assert "1,024,000" in tab.text
    assert tab.complaints == []


def test_going_back_and_reloading_ask_again(tab: Browser) -> None:
    tab.follow("nav a[href='/orders']")
    tab.follow("nav a[href='/help']")
    visits = int(fact(tab, "Pages in this session"))
    tab.ask("window.isFormer = true; location.reload()")
    tab.wait_for("!window.isFormer && document.readyState == 'complete'")
    assert int(fact(tab, "Pages in this session")) == visits + 1
    tab.ask("history.back()")
    tab.wait_for("location.pathname == '/orders' && document.readyState == 'complete'")
    assert fact(tab, "Path") == "/orders"
    assert tab.complaints == []
