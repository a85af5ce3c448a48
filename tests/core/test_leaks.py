"""What counts as the name of an inner host in the head of an answer, and what only looks like it."""

from __future__ import annotations

import pytest

from proxy.core.http.leaks import InnerHosts

INNER = InnerHosts(
    [
        "http://shop-a.internal:9000",
        "http://new:9000",
        "http://10.0.0.7:80",
        "http://[fd00::7]:80",
        "http://shop.example:80",
    ],
    "https://shop.example",
)


def found(line: str) -> list[tuple[str, str]]:
    head = f"HTTP/1.1 200 shop-a.internal\r\n{line}\r\n\r\n".encode()
    return INNER.found(head) if INNER.suspected(head) else []


@pytest.mark.parametrize(
    ("line", "header", "host"),
    [
        ("Location: http://shop-a.internal:9001/x", "location", "shop-a.internal"),
        ("LINK: <https://shop-a.internal>", "link", "shop-a.internal"),
        ("X-Served-By: shop-a.internal", "other", "shop-a.internal"),
        ("X-Served-By: shop-a.internal.", "other", "shop-a.internal"),
        ("Content-Security-Policy: img-src 'self' //new;", "content-security-policy", "new"),
        ("Server: new:9000", "server", "new:9000"),
        ("Via: 1.1 10.0.0.7", "via", "10.0.0.7"),
        ("Set-Cookie: a=b; Domain=10.0.0.7", "set-cookie", "10.0.0.7"),
        ("Refresh: 0; url=http://[fd00::7]/", "refresh", "fd00::7"),
    ],
)
def test_an_inner_host_is_found_and_told_by_header(line: str, header: str, host: str) -> None:
    assert found(line) == [(header, host)]


@pytest.mark.parametrize(
    "line",
    [
        "Location: https://shop.example/x",
        "Location: https://www.shop-a.internal.example/",
        "Location: https://my-shop-a.internal/",
        "X-A: shop-a.internals",
        "X-A: new; brand-new:9000; //news; //new.example; new:90001",
        "X-A: 110.0.0.7, 10.0.0.70, 10.0.0.7.8",
    ],
)
def test_what_only_looks_like_one_is_none(line: str) -> None:
    assert found(line) == []


def test_every_line_counts() -> None:
    head = b"HTTP/1.1 200 OK\r\nVia: 1.1 shop-a.internal\r\nX-A: 1\r\nX-B: shop-a.internal\r\n\r\n"
    assert [header for header, _ in INNER.found(head)] == ["via", "other"]
