"""Cookies are cut once a request, and no client can make that cost memory for as long as its request lasts."""

from __future__ import annotations

from proxy.core.http.cookies import cookie_texts
from proxy.core.http.message import RequestHead, read_request_head


def head(cookies: bytes) -> RequestHead:
    return read_request_head(b"GET / HTTP/1.1\r\nHost: shop\r\nCookie: " + cookies)


def test_few_are_kept_as_they_were_cut() -> None:
    one = head(b"a=1; acct=acme")
    assert cookie_texts(one, "acct") == ["acme"]
    assert one.crumbs is not None
    assert one.crumbs.texts == ["a=1", " acct=acme"]
    assert one.crumbs.names == ["a", "acct"]
    assert cookie_texts(one, "a") == ["1"]


def test_of_many_none_is_kept_and_all_are_read() -> None:
    one = head(b"a;" * 20_000 + b"acct=acme")
    for _ in range(2):
        assert cookie_texts(one, "acct") == ["acme"]
        assert one.crumbs is None
