"""Datasette, as new, works behind the proxy as it does alone; for the accounts that were moved, and for nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.compat.conftest import ROWS
from tests.compat.setting import Setting


@pytest.fixture
def moved(site: Setting) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, trust_env=False, cookies={"acct": "acme"}) as client:
        yield client


def test_the_account_decides_which_software_answers(site: Setting, moved: httpx.Client) -> None:
    assert "Datasette" in moved.get("/library").text
    elsewhere = httpx.get(f"{site.url}/library", trust_env=False, cookies={"acct": "other"})
    assert elsewhere.status_code == 404
    assert "Django" in elsewhere.text


def test_pages_and_their_static_files_arrive(moved: httpx.Client) -> None:
    page = moved.get("/library/books")
    assert "Book 7 – ä" in page.text
    sheets = re.findall(r'href="(/-/static/[^"]+\.css[^"]*)"', page.text)
    assert sheets
    for sheet in sheets:
        assert moved.get(sheet).headers["content-type"].startswith("text/css")


def test_a_streamed_export_is_complete(moved: httpx.Client) -> None:
    with moved.stream("GET", "/library/books.csv", params={"_stream": "on", "_size": "max"}) as export:
        lines = list(export.iter_lines())
    assert len(lines) == ROWS + 1
    assert lines[-1] == f"{ROWS},Book {ROWS - 1} – ä"


def test_answers_are_those_that_datasette_gives_alone(site: Setting, moved: httpx.Client) -> None:
    for path in (
        "/library/books.json?_size=3&title__contains=%C3%A4",
        "/library/books/7.json",
        "/library/nothing.json",
    ):
        behind, alone = moved.get(path), httpx.get(site.new_url + path, trust_env=False)
        assert behind.status_code == alone.status_code
        told, expected = behind.json(), alone.json()
        for answer in (told, expected):
            answer.pop("query_ms", None)  # a clock
        assert told == {**expected, **({"next_url": told["next_url"]} if "next_url" in expected else {})}


def test_a_rewritten_path_reaches_the_same_page(moved: httpx.Client) -> None:
    there, here = moved.get("/library/books/7.json").json(), moved.get("/catalogue/books/7.json").json()
    assert there["rows"] == here["rows"]


def test_a_redirect_below_a_rewritten_path_leads_back_to_the_path_that_clients_know(moved: httpx.Client) -> None:
    answer = moved.get("/catalogue/books/7/")
    assert answer.status_code in {301, 302}
    assert answer.headers["location"].removeprefix(str(moved.base_url).rstrip("/")).startswith("/catalogue/books/7")


def test_head_has_the_fields_of_get_and_no_body(moved: httpx.Client) -> None:
    head = moved.head("/library/books.json")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == moved.get("/library/books.json").headers["content-type"]
