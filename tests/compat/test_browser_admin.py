"""A browser in Django's admin: what people do there all day, through the proxy."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.browser import Browser, browser, needs_chromium
from tests.compat.conftest import PASSWORD
from tests.compat.setting import Setting

pytestmark = needs_chromium

SAVE = "input[name='_save']"
FOUND = "document.querySelector('.file-upload a').href"


@pytest.fixture
def tab(site: Setting, tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as found:
        found.go(f"{site.url}/admin/")
        found.fill("#id_username", "root")
        found.fill("#id_password", PASSWORD)
        found.follow("#login-form input[type='submit']")
        yield found


def test_a_paper_is_added_changed_and_deleted(site: Setting, tab: Browser, tmp_path: Path) -> None:
    assert tab.ask("document.title").startswith("Site administration")
    content = secrets.token_bytes(2_000_000)
    (tmp_path / "prices.bin").write_bytes(content)

    tab.follow("a[href='/admin/papers/paper/add/']")
    tab.fill("#id_title", "Prices – ä & <b>")
    tab.attach("#id_file", tmp_path / "prices.bin")
    tab.follow(SAVE)
    assert "was added successfully" in tab.text
    assert "Prices – ä & <b>" in tab.text

    tab.follow("#result_list tbody th a")
    digest = (
        f"fetch({FOUND}).then(a => a.arrayBuffer()).then(b => crypto.subtle.digest('SHA-256', b))"
        ".then(d => [...new Uint8Array(d)].map(o => o.toString(16).padStart(2, '0')).join(''))"
    )
    assert tab.ask(digest) == hashlib.sha256(content).hexdigest()
    tab.fill("#id_title", "Other prices")
    tab.follow(SAVE)
    assert "was changed successfully" in tab.text

    tab.follow("#result_list tbody th a")
    tab.follow("a.deletelink")
    assert "Are you sure" in tab.text
    tab.follow("#content form input[type='submit']")
    assert "was deleted successfully" in tab.text
    assert tab.ask("location.href") == f"{site.url}/admin/papers/paper/"
    assert tab.complaints == []


def test_a_form_with_another_token_is_refused(tab: Browser) -> None:
    tab.follow("a[href='/admin/papers/paper/add/']")
    tab.fill("#id_title", "Forged")
    tab.ask("document.querySelector('#paper_form [name=csrfmiddlewaretoken]').value = 'x'.repeat(64)")
    tab.follow(SAVE)
    assert "CSRF verification failed" in tab.text


def test_a_redirect_under_a_rewritten_path_keeps_the_browser_on_the_path_that_people_know(
    site: Setting, tmp_path: Path
) -> None:
    with browser(tmp_path) as tab:
        tab.go(f"{site.url}/office/")
        assert tab.ask("location.href") == f"{site.url}/office/login/?next=/admin/"
        assert tab.ask("getComputedStyle(document.querySelector('#header')).display") == "flex", "styled"
        assert tab.complaints == []


def test_logging_out_ends_the_session_in_the_browser_too(site: Setting, tab: Browser) -> None:
    tab.follow("#logout-form button")
    assert "Logged out" in tab.text
    tab.go(f"{site.url}/admin/")
    assert tab.ask("location.pathname") == "/admin/login/"
