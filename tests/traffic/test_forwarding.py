"""What is said of the way between client and backend, on sockets: Host, Via, Max-Forwards, who is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from proxy.core.plan import Area, Forwarding, Identity, Route, Source
from tests.traffic.wire import OK, Node, RawBackend, undated

HERE = "127.0.0.0/8"
ELSEWHERE = "10.0.0.0/8"
BY_HEADER = (Source(source="header", name="x-account-id", place="-"),)


def asked(
    node: Node, backend: RawBackend, *lines: bytes, start: bytes = b"GET / HTTP/1.1", answer: bytes = OK
) -> tuple[list[bytes], bytes]:
    """(the lines that the backend was told, the head that the client was told)."""
    with node.client() as client:
        client.send(b"\r\n".join((start, b"Host: shop.example", *lines, b"", b"")))
        with backend.accept() as wire:
            request = wire.head()
            wire.send(answer)
            return request.split(b"\r\n")[:-2], client.answer()[1]


def answered(node: Node, *lines: bytes, start: bytes = b"GET / HTTP/1.1") -> tuple[int, bytes, bytes]:
    """What the proxy itself answers."""
    with node.client() as client:
        client.send(b"\r\n".join((start, b"Host: shop.example", *lines, b"", b"")))
        return client.answer()


SAID = (b"X-Account-Id: acme", b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Port: 444", b"Forwarded: for=192.0.2.1")


@pytest.mark.parametrize(
    ("gateways", "balancers", "account", "address"),
    [
        ((HERE,), None, True, True),
        ((ELSEWHERE,), None, False, False),
        ((ELSEWHERE,), (HERE,), False, True),
        ((HERE,), (ELSEWHERE,), True, False),
        ((HERE,), (), True, False),
    ],
)
def test_who_says_who_asks_and_who_says_from_where_are_believed_apart(
    start: Callable[..., Node],
    legacy: RawBackend,
    gateways: tuple[str, ...],
    balancers: tuple[str, ...] | None,
    *,
    account: bool,
    address: bool,
) -> None:
    identity = Identity(trusted_from=gateways, account=BY_HEADER)
    node = start(identity=identity, forwarding=Forwarding(trusted_from=balancers))
    request, answer = asked(node, legacy, *SAID)
    assert (b"X-Account-Id: acme" in request) == account
    assert (b"X-Strangler: " in answer) == account
    assert (b"X-Forwarded-Port: 444" in request) == address
    assert (b"Forwarded: for=192.0.2.1" in request) == address
    assert (b"X-Forwarded-For: 192.0.2.1, 127.0.0.1" if address else b"X-Forwarded-For: 127.0.0.1") in request


@pytest.mark.parametrize(
    "name", [b"X_Forwarded_For", b"X.Forwarded.For", b"X_Account_Id", b"X.Account_Id", b"X_Forwarded_Port"]
)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_name_that_cgi_reads_as_another_never_passes(
    start: Callable[..., Node], legacy: RawBackend, name: bytes, *, trusted: bool
) -> None:
    identity = Identity(trusted_from=(HERE if trusted else ELSEWHERE,), account=BY_HEADER)
    request, _ = asked(start(identity=identity), legacy, name + b": evil", b"X_Other: passes")
    assert not any(b"evil" in line for line in request)
    assert b"X_Other: passes" in request


@pytest.mark.parametrize(
    "name", [b"X-Account-Id", b"x_account_id", b"Forwarded", b"X-Forwarded-For", b"Max-Forwards", b"Via"]
)
def test_connection_cannot_take_away_what_says_who_and_from_where(start: Callable[..., Node], name: bytes) -> None:
    node = start(identity=Identity(trusted_from=(HERE,), account=BY_HEADER))
    assert answered(node, b"Connection: close, " + name, b"X-Account-Id: acme")[0] == 400


# -- Host


def test_a_backend_is_told_the_host_that_its_setting_says(start: Callable[..., Node], legacy: RawBackend) -> None:
    inner = legacy.url.removeprefix("http://").encode()
    for host, told in (("keep", b"shop.example"), ("backend", inner), ("shop.internal:81", b"shop.internal:81")):
        request, _ = asked(start(legacy_options={"host": host}), legacy, b"X-A: 1")
        assert request[1] == b"Host: " + told  # first of all (RFC 9110 §7.2)
        assert sum(line.lower().startswith(b"host:") for line in request) == 1
        assert b"X-Forwarded-Host: shop.example" in request


def test_a_client_of_http_1_0_without_a_host_is_told_of_without_one(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    with start().client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with legacy.accept() as wire:
            request = wire.head()
            wire.send(OK)
            client.rest()
    assert request.startswith(b"GET / HTTP/1.1\r\nHost: " + legacy.url.removeprefix("http://").encode() + b"\r\n")
    assert b"X-Forwarded-Host" not in request
    assert b"\r\nVia: 1.0 strangler\r\n" in request


def test_each_of_several_endpoints_is_told_its_own_host_also_the_next_one_asked(
    start: Callable[..., Node], legacy: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    gone = refusing()
    node = start(legacy=(gone.url, legacy.url), legacy_options={"host": "backend"})
    for url in (gone.url, legacy.url):
        node.prefer(url)
        request, _ = asked(node, legacy, b"Host-Like: 1")
        assert request[1:3] == [b"Host: " + legacy.url.removeprefix("http://").encode(), b"Host-Like: 1"]


def test_what_a_backend_says_under_the_host_it_was_told_comes_out_public(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(legacy_options={"host": "shop.internal"}, public_origin="https://shop.example")
    for inner in (b"https://shop.internal/a", b"http://shop.internal/a", b"//shop.internal/a"):
        answer = (
            b"HTTP/1.1 302 Found\r\nLocation: %b\r\nSet-Cookie: a=b; Domain=shop.internal\r\nContent-Length: 0\r\n\r\n"
        )
        _, told = asked(node, legacy, answer=answer % inner)
        assert b"\r\nLocation: https://shop.example/a\r\nSet-Cookie: a=b; Domain=shop.example\r\n" in told


# -- Via


@pytest.mark.parametrize("via", ["edge-1", None])
@pytest.mark.parametrize("answers", [True, False])
def test_via_has_the_name_that_is_set(
    start: Callable[..., Node], legacy: RawBackend, via: str | None, *, answers: bool
) -> None:
    node = start(forwarding=Forwarding(via=via, via_answers=answers))
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    request, head = asked(node, legacy, b"Via: 1.0 other", answer=early + OK.replace(b"/1.1 200", b"/1.0 200"))
    expected = [b"Via: 1.0 other"] if via is None else [b"Via: 1.0 other", b"Via: 1.1 edge-1"]
    assert [line for line in request if line.startswith(b"Via")] == expected
    assert head.startswith(b"HTTP/1.1 103")
    assert b"Via" not in head


def test_answers_are_given_a_via_that_tells_how_they_came(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(forwarding=Forwarding(via="edge-1", via_answers=True))
    for minor in (b"0", b"1"):
        answer = b"HTTP/1.%b 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 0\r\n\r\n" % minor
        _, told = asked(node, legacy, answer=answer)
        assert b"\r\nVia: 1.1 inner\r\n" in told
        assert b"\r\nVia: 1.%b edge-1\r\n" % minor in told


@pytest.mark.parametrize("value", [b"1.1 strangler", b"1.0 a, HTTP/1.1 Strangler (x)", b"1.1 a\r\nVia: 1.1\tstrangler"])
def test_a_request_that_goes_round_in_a_circle_is_refused(start: Callable[..., Node], value: bytes) -> None:
    node = start()
    status, head, _ = answered(node, b"Via: " + value)
    assert status == 508
    assert b"\r\nX-Strangler-Error: client-head-looped\r\n" in head
    assert node.count('strangler_refused_total{reason="client-head-looped"}') == 1


@pytest.mark.parametrize("value", [b"1.1 a (strangler)", b"1.1 strangler-2", b"strangler", b"1.1 a, strangler"])
def test_another_name_in_via_is_nobodys_circle(start: Callable[..., Node], legacy: RawBackend, value: bytes) -> None:
    assert b"Via: " + value in asked(start(), legacy, b"Via: " + value)[0]


# -- Max-Forwards


@pytest.mark.parametrize(("method", "left"), [(b"OPTIONS", b"6"), (b"TRACE", b"6"), (b"GET", b"007")])
def test_options_and_trace_go_one_hop_less_far(
    start: Callable[..., Node], legacy: RawBackend, method: bytes, left: bytes
) -> None:
    request, _ = asked(start(), legacy, b"X-A: 1", b"max-forwards: 007", b"X-B: 2", start=method + b" / HTTP/1.1")
    at = request.index(b"X-A: 1")
    assert request[at + 1].lower() == b"max-forwards: " + left
    assert request[at + 2] == b"X-B: 2"


def test_the_last_hop_answers_a_trace_with_what_came_and_without_secrets(start: Callable[..., Node]) -> None:
    node = start(identity=Identity(trusted_from=(HERE,), account=BY_HEADER))
    secrets = (b"Cookie: sid=1", b"Authorization: Basic eA==", b"X-Account-Id: acme", b"X-Api-Key: k", b"X-Edge: token")
    status, head, body = answered(
        node, *secrets, b"Via: 1.1 a", b"Max-Forwards: 0", b"User-Agent: u", start=b"TRACE /a?b HTTP/1.1"
    )
    assert status == 200
    assert b"\r\nContent-Type: message/http\r\n" in head
    assert b"\r\nX-Request-ID: " in head
    assert body == (
        b"TRACE /a?b HTTP/1.1\r\nHost: shop.example\r\nVia: 1.1 a\r\nMax-Forwards: 0\r\nUser-Agent: u\r\n\r\n"
    )


def test_the_last_hop_answers_options_and_goes_on_with_the_connection(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start()
    with node.client() as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 2\r\n\r\nhi")
        status, head, body = client.answer()
        assert (status, body) == (200, b"")
        assert b"\r\nAllow: GET, HEAD, " in head
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with legacy.accept() as wire:
            wire.head()
            wire.send(OK)
            assert client.answer()[2] == b"ok"
    assert [b'"status":200' in line for line in node.log_lines(2)] == [True, True]
    assert not legacy.has_caller()


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1x", b"9" * 10, b"1\r\nMax-Forwards: 2"])
def test_a_limit_of_hops_that_can_be_read_in_two_ways_is_refused(start: Callable[..., Node], value: bytes) -> None:
    assert answered(start(), b"Max-Forwards: " + value, start=b"TRACE / HTTP/1.1")[0] == 400


# -- what is changed in answers


def test_headers_of_answers_are_set_and_removed_but_not_in_interim_ones(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    options: dict[str, Any] = {
        "answer_headers_set": (("Strict-Transport-Security", "max-age=1"), ("Server", "shop")),
        "answer_headers_remove": ("X-Powered-By",),
    }
    node = start(legacy_options=options)
    answer = b"HTTP/1.1 103 Early Hints\r\nX-Powered-By: x\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nserver: apache\r\nX-A: 1\r\nx-powered-by: php\r\nContent-Length: 0\r\n\r\n"
    with node.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as wire:
            wire.head()
            wire.send(answer)
            assert client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            assert undated(client.head()) == (
                b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 0\r\n"
                b"Strict-Transport-Security: max-age=1\r\nServer: shop\r\n\r\n"
            )


@pytest.mark.parametrize(("cache", "added"), [("private", b"Cache-Control: private"), ("vary", b"Vary: Cookie")])
def test_shared_caches_are_told_of_an_area_alone_and_not_in_interim_answers(
    start: Callable[..., Node], legacy: RawBackend, cache: Literal["private", "vary"], added: bytes
) -> None:
    orders = Area(name="orders", place="-", flag="orders", cache=cache)
    route = Route(id="orders/1", area="orders", place="-", path="/orders")
    node = start(areas=(orders,), routes=(route,), vary=("Cookie",))
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for path, expected in ((b"/orders", [added]), (b"/", [])):
        answer = early + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        with node.client() as client:
            client.send(b"GET %b HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n" % path)
            with legacy.accept() as wire:
                wire.head()
                wire.send(answer)
                assert client.head() == early
                told = [b"HTTP/1.1 404 Not Found", b"Content-Length: 0", *expected, b"Connection: close"]
                assert undated(client.head()).split(b"\r\n")[:-2] == told


# -- inner hosts


def test_inner_hosts_that_are_left_in_answers_are_counted_and_said_once(
    start: Callable[..., Node], legacy: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    inner = legacy.url.removeprefix("http://").encode()
    answer = b"HTTP/1.1 200 OK\r\nLocation: http://%b/a\r\nX-By: %b\r\nContent-Length: 0\r\n\r\n" % (inner, inner)
    for settings, counted in (({}, 0), ({"public_origin": "https://shop.example", "count_leaks": False}, 0)):
        node = start(**settings)
        asked(node, legacy, answer=answer)
        assert node.count("strangler_inner_hosts_told_total") == counted
    node = start(public_origin="https://shop.example")
    for _ in range(2):
        _, told = asked(node, legacy, answer=answer)
        assert b"\r\nLocation: https://shop.example/a\r\n" in told
    assert node.count('strangler_inner_hosts_told_total{backend="legacy",header="other"}') == 2
    assert node.count("strangler_inner_hosts_told_total") == 2
    said = [record.getMessage() for record in caplog.records if "inner host" in record.getMessage()]
    assert said == ["legacy tells clients of the inner host 127.0.0.1, in another header (docs/production.md)"]


@pytest.mark.parametrize("trusted", [True, False])
def test_a_trusted_peer_is_told_which_system_was_to_answer_when_the_proxy_does(
    start: Callable[..., Node], new: RawBackend, *, trusted: bool
) -> None:
    new.stop_listening()
    node = start(identity=Identity(trusted_from=(HERE if trusted else ELSEWHERE,)))
    status, head, body = answered(node, start=b"GET /new/a HTTP/1.1")
    assert status == 502
    assert body.startswith(b"502 Bad Gateway\n")
    assert (b"\r\nX-Strangler: new; moved; fixed; 1\r\n" in head) == trusted
