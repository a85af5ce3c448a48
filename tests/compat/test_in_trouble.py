"""Django's admin and Datasette go on through a rollback, a release and a rolling restart of the workers between them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx
import pytest

from tests.compat.browser import browser, needs_chromium
from tests.compat.conftest import PASSWORD, SCANS
from tests.compat.setting import Setting
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are replaced on Linux alone")

ACME = {"Cookie": "acct=acme"}


def test_a_rollback_takes_the_catalogue_from_datasette_to_django_and_a_release_gives_it_back(site: Setting) -> None:
    with httpx.Client(base_url=site.url, trust_env=False, headers=ACME) as client:

        def system() -> str:
            answer = client.get("/catalogue/books.json", params={"_size": 1})
            return (
                "datasette" if answer.status_code == 200 and answer.json()["rows"] else f"django {answer.status_code}"
            )

        before = system()
        assert before == "datasette"
        with site.rolled_back("--area", "catalogue"):
            assert system() == "django 404"
            assert client.get("/-/versions.json").json()["datasette"], "another area stays"
            site.restart()
            assert system() == "django 404", "a successor knows the latch before its first request"
        assert system() == "datasette"


def test_a_download_that_has_begun_at_datasette_runs_to_its_end_through_a_rollback_and_a_restart(site: Setting) -> None:
    with (
        httpx.Client(base_url=site.url, trust_env=False, headers=ACME) as client,
        client.stream("GET", "/catalogue/scans.csv", params={"_stream": "on"}) as answer,
    ):
        pieces = answer.iter_bytes(1000)
        text = next(pieces)
        with site.rolled_back():
            former = site.begin_restart()
            until(lambda: site.metric("strangler_requests_in_flight") == 1, "it is under way still")
            text += b"".join(pieces)
    assert text.count(b"x" * 4000 + b"\r\n") == SCANS
    site.end_restart(former)


def test_who_is_logged_in_to_the_admin_stays_so(site: Setting) -> None:
    with httpx.Client(base_url=site.url, trust_env=False, follow_redirects=True) as client:
        page = client.get("/admin/")
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert found is not None
        form = {"csrfmiddlewaretoken": found[1], "username": "root", "password": PASSWORD, "next": "/admin/"}
        assert "Site administration" in client.post(page.url, data=form, headers={"Referer": str(page.url)}).text
        with site.rolled_back():
            assert "Site administration" in client.get("/admin/").text
            site.restart()
            assert "Site administration" in client.get("/admin/").text
        assert "Site administration" in client.get("/admin/").text


@needs_chromium
def test_a_browser_works_in_the_admin_through_both(site: Setting, tmp_path: Path) -> None:
    with browser(tmp_path) as tab:
        tab.go(f"{site.url}/admin/login/?next=/admin/")
        tab.ask(
            "document.querySelector('#id_username').value = 'root';"
            f"document.querySelector('#id_password').value = {PASSWORD!r};"
            "document.querySelector('#login-form').submit()"
        )
        tab.wait_for("document.readyState == 'complete' && document.title.startsWith('Site administration')")
        with site.rolled_back():
            site.restart()
            tab.go(f"{site.url}/admin/papers/paper/")
            assert tab.ask("document.title").startswith("Select paper to change")
            assert tab.ask("getComputedStyle(document.querySelector('#header')).display") == "flex", "styled"
        tab.go(f"{site.url}/admin/password_change/")
        assert tab.ask("document.title").startswith("Password change")
