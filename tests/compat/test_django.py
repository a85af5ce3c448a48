"""Django's stock admin, as legacy, works behind the proxy as it does alone."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compat.conftest import PASSWORD
from tests.compat.setting import Setting


@pytest.fixture
def browser(site: Setting) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, trust_env=False, follow_redirects=True) as client:
        yield client


def _log_in(browser: httpx.Client) -> httpx.Response:
    page = browser.get("/admin/")
    return browser.post(
        page.url,
        data={"csrfmiddlewaretoken": _token(page), "username": "root", "password": PASSWORD, "next": "/admin/"},
        headers={"Origin": str(browser.base_url).rstrip("/"), "Referer": str(page.url)},
    )


def _token(page: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


def test_logging_in_leads_through_redirects_to_the_admin(browser: httpx.Client, site: Setting) -> None:
    page = _log_in(browser)
    assert "Site administration" in page.text
    assert [answer.status_code for answer in page.history] == [302]
    assert str(page.url) == f"{site.url}/admin/"
    assert "sessionid" in browser.cookies


def test_a_form_without_its_csrf_token_is_still_refused(browser: httpx.Client) -> None:
    browser.get("/admin/login/")
    answer = browser.post("/admin/login/", data={"username": "root", "password": PASSWORD})
    assert answer.status_code == 403
    assert "CSRF" in answer.text


def test_an_upload_comes_back_byte_for_byte(browser: httpx.Client) -> None:
    _log_in(browser)
    content = secrets.token_bytes(3_000_000)
    form = browser.get("/admin/papers/paper/add/")
    saved = browser.post(
        "/admin/papers/paper/add/",
        data={"csrfmiddlewaretoken": _token(form), "title": "Prices"},
        files={"file": ("prices – ä.bin", content)},
    )
    assert "was added successfully" in saved.text
    change = re.search(r'href="(/admin/papers/paper/\d+/change/[^"]*)"', saved.text)
    assert change is not None
    link = re.search(r'href="(/media/papers/[^"]+)"', browser.get(change[1]).text)
    assert link is not None
    assert browser.get(link[1]).content == content


def test_static_files_arrive_and_are_revalidated(browser: httpx.Client) -> None:
    sheet = browser.get("/static/admin/css/base.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert len(sheet.content) == int(sheet.headers["content-length"])
    again = browser.get("/static/admin/css/base.css", headers={"If-Modified-Since": sheet.headers["last-modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_answers_are_those_that_django_gives_alone(site: Setting) -> None:
    with httpx.Client(trust_env=False) as client:
        for path in ("/admin/login/", "/admin", "/nothing?x=%2F&x=1", "/static/admin/img/search.svg"):
            behind, alone = client.get(site.url + path), client.get(site.legacy_url + path)
            assert behind.status_code == alone.status_code
            assert _told(behind) == _told(alone)


def test_logging_out_ends_the_session(browser: httpx.Client) -> None:
    page = _log_in(browser)
    browser.post("/admin/logout/", data={"csrfmiddlewaretoken": _token(page)})
    assert browser.get("/admin/").url.path == "/admin/login/"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed; with it, this test drives it")
def test_curl_logs_in_and_uploads_with_expect_continue(site: Setting, tmp_path: Path) -> None:
    jar, content = tmp_path / "jar", secrets.token_bytes(2_000_000)
    (tmp_path / "big.bin").write_bytes(content)

    def curl(*options: str) -> str:
        command = ["curl", "-sS", "--noproxy", "*", "-L", "-b", str(jar), "-c", str(jar), *options]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def token(page: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found is not None
        return f"csrfmiddlewaretoken={found[1]}"

    login = f"{site.url}/admin/login/?next=/admin/"
    welcome = curl("-d", token(curl(login)), "-d", "username=root", "--data-urlencode", f"password={PASSWORD}", login)
    assert "Site administration" in welcome
    add = f"{site.url}/admin/papers/paper/add/"
    form = ["-F", token(curl(add)), "-F", "title=Big", "-F", f"file=@{tmp_path / 'big.bin'}"]
    assert "was added successfully" in curl("-H", "Expect: 100-continue", *form, add)


def _told(answer: httpx.Response) -> dict[str, str]:
    """What must not differ: everything but the clock, tokens, and the fields of one hop."""
    passing = {"date", "connection", "keep-alive", "transfer-encoding", "expires", "set-cookie", "via", "server"}
    kept = {
        name: value for name, value in answer.headers.items() if name not in passing | {"x-strangler", "x-request-id"}
    }
    text = re.sub(r'csrfmiddlewaretoken" value="\w+', "", answer.text)
    return {**kept, "body": text.replace(f"{answer.url.host}:{answer.url.port}", "HOST")}
