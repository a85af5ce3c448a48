"""What a backend is told of a request, and a client of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.footprint import SHAPES_BYTES
from proxy.core.http.forwarding import LONGEST_SHAPE_BYTES, RequestEditor
from proxy.core.http.message import read_request_head
from proxy.core.model import Backend
from proxy.core.plan import Identity, Route, Source
from tests.traffic.wire import OK, Node, RawBackend, undated

BY_HEADER = (Source(source="header", name="x-account-id", place="-"),)
GATEWAY = Identity(trusted_from=("127.0.0.0/8",), account=BY_HEADER)
ELSEWHERE = Identity(trusted_from=("10.1.2.3/32",), account=BY_HEADER)


def told(node: Node, backend: RawBackend, *lines: bytes, answer: bytes = OK, path: bytes = b"/") -> tuple[bytes, bytes]:
    """(what the backend was told, what the client was told)."""
    with node.client() as client:
        client.send(b"GET ", path, b" HTTP/1.1\r\nHost: shop.example:8080\r\n", *(line + b"\r\n" for line in lines))
        client.send(b"\r\n")
        with backend.accept() as wire:
            request = wire.head()
            wire.send(answer)
            return request, undated(client.answer()[1])


def test_a_stranger_says_nothing_about_who_it_is(start: Callable[..., Node], legacy: RawBackend) -> None:
    request, _ = told(
        start(identity=ELSEWHERE),
        legacy,
        b"X-Account-Id: acme",
        b"x_account_id: acme",
        b"X-Forwarded-For: 1.2.3.4",
        b"X_Forwarded_For: 1.2.3.4",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Port: 443",
        b"Forwarded: for=1.2.3.4",
        b"X-Request-ID: mine",
        b"X-Real: kept",
    )
    request_id = re.search(rb"X-Request-ID: ([0-9a-f]{32})\r\n", request)
    assert request_id is not None
    assert request == (
        b"GET / HTTP/1.1\r\nHost: shop.example:8080\r\nX-Real: kept\r\n"
        b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example:8080\r\n"
        b"Via: 1.1 strangler\r\nX-Request-ID: " + request_id[1] + b"\r\n\r\n"
    )


def test_a_trusted_gateway_is_believed_and_told_who_answered(start: Callable[..., Node], legacy: RawBackend) -> None:
    request, answer = told(
        start(identity=GATEWAY),
        legacy,
        b"X-Account-Id: acme",
        b"X_Account_Id: evil",
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-For: 5.6.7.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: public.example",
        b"Forwarded: for=1.2.3.4",
        b"Via: 1.1 edge",
        b"X-Request-ID: edge-1",
    )
    assert request == (
        b"GET / HTTP/1.1\r\nHost: shop.example:8080\r\nX-Account-Id: acme\r\nForwarded: for=1.2.3.4\r\nVia: 1.1 edge\r\n"
        b"X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: public.example\r\nVia: 1.1 strangler\r\nX-Request-ID: edge-1\r\n\r\n"
    )
    assert b"\r\nX-Strangler: legacy; -; otherwise; 1\r\n" in answer


def test_what_is_remembered_of_heads_is_bounded_and_never_full_for_good(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        backend = legacy.accept()
        with backend:
            backend.head()
            backend.send(OK)
            client.answer()

            def ask(host: bytes, name: bytes) -> None:
                client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n%b: a\r\n\r\n" % (host, name))
                backend.head()
                backend.send(b"HTTP/1.1 200 OK\r\n%b: b\r\nContent-Length: 2\r\n\r\nok" % name)
                assert client.answer()[2] == b"ok"

            wiring = node.traffic.wiring
            outlet = wiring.outlets[Backend.LEGACY]
            ways = (outlet.requests[False]._ways, outlet.answers._ways)
            hosts = wiring.generation._host_entries
            before = [len(ways[0]), len(ways[1]), len(hosts)]
            ask(b"h" * 256, b"X" * LONGEST_SHAPE_BYTES)  # too long to be remembered
            assert [len(ways[0]), len(ways[1]), len(hosts)] == before
            asked = 1024 + 10  # as many spellings of Host are remembered
            for i in range(asked):
                ask(b"shop-%d" % i, b"X-%d" % i)
            last = b"x-%d" % (asked - 1)
            assert all(1 < len(kept) < SHAPES_BYTES // 600 and any(last in names for names in kept) for kept in ways)
            assert len(hosts) <= 100
            assert b"shop-%d" % (asked - 1) in hosts


@pytest.mark.parametrize("bad", [b"a b", b"a\xff", b"x" * 129, b'"'])
def test_a_request_id_that_could_not_go_into_a_log_is_made_anew(
    start: Callable[..., Node], legacy: RawBackend, bad: bytes
) -> None:
    request, _ = told(start(identity=GATEWAY), legacy, b"X-Request-ID: " + bad)
    assert re.search(rb"X-Request-ID: [0-9a-f]{32}\r\n\r\n$", request)


def test_what_concerns_one_connection_stays_there_both_ways(node: Node, legacy: RawBackend) -> None:
    request, answer = told(
        node,
        legacy,
        b"Connection: keep-alive, X-Hop",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"TE: gzip, trailers",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABk",
        b"X-Hop: 1",
        b"X-Stays: 1",
        answer=b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Inner\r\nKeep-Alive: timeout=5\r\nX-Inner: 1\r\n"
        b"X-Outer: 1\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
    )
    kept, added = request.split(b"X-Stays: 1\r\n")
    assert kept == b"GET / HTTP/1.1\r\nHost: shop.example:8080\r\n"
    assert added.startswith(b"TE: trailers\r\nConnection: TE\r\nX-Forwarded-For: ")
    assert answer == b"HTTP/1.1 200 OK\r\nX-Outer: 1\r\nContent-Length: 2\r\n\r\n"


def test_cookies_of_the_other_system_are_neither_sent_nor_accepted(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(cookies_legacy=("JSESSIONID",), cookies_new=("sid", "s.x"))
    request, answer = told(
        node,
        legacy,
        b"Cookie: a=1;sid=2; sidecar=sid; s.x=; JSESSIONID=3",
        b"Cookie: sid",
        b"cookie: sxx=sid=1",
        answer=b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=9\r\nSet-Cookie: JSESSIONID=4\r\nContent-Length: 2\r\n\r\nok",
    )
    assert b"\r\nCookie: a=1; sidecar=sid; JSESSIONID=3\r\ncookie: sxx=sid=1\r\nX-Forwarded" in request
    assert answer == b"HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=4\r\nContent-Length: 2\r\n\r\n"


def test_a_cookie_of_the_other_system_does_not_pass_behind_a_comma_and_leaves_nothing_of_its_value(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    request, _ = told(
        start(cookies_new=("sid",)),
        legacy,
        b"Cookie: a=1, sid=5,b=2,c; d=3; sid=x,y; e=f,sidecar=1",
        b"Cookie: g=1 ,\tsid ; h=2",
        b"Cookie: i=1,2",
    )
    assert b"\r\nCookie: a=1,b=2,c; d=3; e=f,sidecar=1\r\nCookie: g=1 ; h=2\r\nCookie: i=1,2\r\nX-Forw" in request


def test_a_backends_own_headers_are_set_and_removed(start: Callable[..., Node], legacy: RawBackend) -> None:
    options = {"headers_set": (("X-Edge-Auth", "s3cret"), ("Host", "inner")), "headers_remove": ("X-Debug",)}
    request, _ = told(
        start(legacy_options=options), legacy, b"x-edge-auth: forged", b"X_Edge_Auth: forged", b"X-Debug: 1", b"X-A: 1"
    )
    assert request.startswith(b"GET / HTTP/1.1\r\nHost: inner\r\nX-A: 1\r\nX-Edge-Auth: s3cret\r\nX-Forwarded-For: ")


def test_only_the_proxy_says_who_answered_and_why(start: Callable[..., Node], legacy: RawBackend) -> None:
    forged = b"HTTP/1.1 200 OK\r\nX-Strangler: new; a; b; 1\r\nx-strangler-error: forged\r\nContent-Length: 2\r\n\r\nok"
    _, answer = told(start(), legacy, answer=forged)
    assert b"strangler" not in answer.lower()


def test_a_rewrite_goes_there_and_back(start: Callable[..., Node], new: RawBackend) -> None:
    route = Route(
        id="moved/2",
        area="moved",
        place="-",
        path="/api/orders/**",
        to=Backend.NEW,
        rewrite_new="/v2/orders/**",
    )
    node = start(routes=(route,), public_origin="https://shop.example")
    request, answer = told(
        node,
        new,
        path=b"/api/orders/7?x=%2F",
        answer=b"HTTP/1.1 303 See\r\nLocation: " + new.url.encode() + b"/v2/orders/8\r\nContent-Length: 0\r\n\r\n",
    )
    assert request.startswith(b"GET /v2/orders/7?x=%2F HTTP/1.1\r\n")
    assert b"\r\nLocation: https://shop.example/api/orders/8\r\n" in answer


# Nor the cookie that is kept apart, which is the one line that would not pass.
_plain = st.binary(max_size=12).map(lambda raw: bytes(b for b in raw if b >= 0x20 and b != 0x7F).replace(b"sid", b""))


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from([b"X-A", b"x-a", b"Accept", b"COOKIE", b"Range", b"Via"]), _plain), max_size=9)
)
def test_every_other_line_passes_in_order_byte_for_byte(fields: list[tuple[bytes, bytes]]) -> None:
    lines = b"".join(b"\r\n%b:%b" % field for field in fields)
    head = read_request_head(b"GET /a HTTP/1.1\r\nHost: shop" + lines)
    editor = RequestEditor(trusted=False, identity_headers=[b"x-account-id"], isolated_cookies=["sid"])
    for _ in range(2):  # the second time by the way that was learnt
        message = editor.write(head, b"/a", address=b"::1", authority=b"inner", request_id=b"r")
        assert message.startswith(b"GET /a HTTP/1.1\r\nHost: shop" + lines + b"\r\nX-Forwarded-For: ::1\r\n")
