"""The demo's shops are ordinary web applications: forms, sessions, uploads, static files, an API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.demo.goods import Goods, stock
from proxy.cli.demo.looks import MENU, STYLE_PATH, System
from proxy.cli.demo.sample import sample_directory
from proxy.cli.demo.shops import files_of, shop

pytestmark = pytest.mark.anyio


@pytest.fixture
def goods() -> Goods:
    return stock(sample_directory() / "accounts.csv")


@pytest.fixture(params=["legacy", "new"])
def system(request: pytest.FixtureRequest) -> System:
    name: System = request.param
    return name


@pytest.fixture
async def visitor(system: System, goods: Goods) -> AsyncIterator[httpx.AsyncClient]:
    async with _visitor(system, goods) as client:
        yield client


def _visitor(system: System, goods: Goods) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=shop(system, goods)), base_url="http://shop.example")


async def test_every_page_says_which_system_answered_for_whom(visitor: httpx.AsyncClient, system: System) -> None:
    visitor.cookies.set("acct", "acme")
    for path, _ in MENU:
        page = await visitor.get(path)
        assert f"Answered by {system}" in page.text
        assert "<code>acme</code>" in page.text
        assert page.status_code == (404 if (system, path) == ("legacy", "/blog") else 200)


async def test_pages_need_nothing_from_elsewhere(visitor: httpx.AsyncClient) -> None:
    page = (await visitor.get("/orders")).text
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)
    assert "<script" not in page


async def test_every_field_has_a_label(visitor: httpx.AsyncClient) -> None:
    for path, _ in MENU:
        page = (await visitor.get(path)).text
        fields = set(re.findall(r"<(?:input|select) id=\"(\w+)\"", page))
        assert fields == set(re.findall(r"<label for=\"(\w+)\"", page))


async def test_an_order_is_answered_by_a_redirect_to_it_and_both_shops_know_it(goods: Goods) -> None:
    async with _visitor("new", goods) as new, _visitor("legacy", goods) as legacy:
        new.cookies.set("acct", "acme")
        answer = await new.post("/orders", data={"article": "Ledgers", "amount": "3"})
        assert answer.status_code == 303
        page = await legacy.get(answer.headers["location"])
    assert "Ledgers" in page.text
    assert "Answered by legacy" in page.text


async def test_a_session_counts_its_own_pages(visitor: httpx.AsyncClient) -> None:
    for visits in (1, 2, 3):
        page = await visitor.get("/help")
        assert f"Pages in this session</th><td><code>{visits}</code>" in page.text


async def test_switching_the_account_leads_back_to_the_page_and_nowhere_else(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/account", data={"account": "acme", "next": "/orders"})
    assert (answer.headers["location"], visitor.cookies["acct"]) == ("/orders", "acme")
    answer = await visitor.post("/account", data={"account": "", "next": "//elsewhere.example"})
    assert (answer.headers["location"], "acct" in visitor.cookies) == ("/", False)


async def test_what_a_visitor_writes_is_shown_as_text(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/search", params={"q": '"><script>alert(1)</script>'})
    assert "<script>" not in page.text


async def test_an_upload_arrives_whole(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/documents", files={"file": ("prices.txt", b"hello")}, follow_redirects=True)
    assert "prices.txt" in answer.text
    assert "2cf24dba5fb0" in answer.text


async def test_the_style_sheet_is_found_where_pages_say(visitor: httpx.AsyncClient, system: System) -> None:
    sheet = await visitor.get(STYLE_PATH[system])
    assert sheet.headers["content-type"].startswith("text/css")
    assert STYLE_PATH[system] in (await visitor.get("/")).text


async def test_the_new_shops_api_has_moved(goods: Goods) -> None:
    async with _visitor("new", goods) as new, _visitor("legacy", goods) as legacy:
        assert (await legacy.get("/api/orders/1")).json()["answered_by"] == "legacy"
        assert (await new.get("/v2/orders/1")).json()["answered_by"] == "new"
        assert (await new.get("/api/orders/1")).status_code == 404


@given(st.lists(st.binary(max_size=200) | st.text("\r\n-ab").map(str.encode), min_size=1, max_size=3))
def test_any_bytes_survive_the_reading_of_a_form(contents: list[bytes]) -> None:
    files = [("prices – ä.bin", content) for content in contents]
    form = httpx.Request("POST", "http://x", files=[("file", file) for file in files])
    form.read()
    assert files_of(form.headers["content-type"], form.content) == files
