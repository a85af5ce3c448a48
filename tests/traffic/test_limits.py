"""Limits on sizes and counts: where the default or the setting stands, and not one byte or line before."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from proxy.core.limits import Limit, Limits
from proxy.core.model import Backend
from proxy.core.plan import Area, Route
from tests.traffic.wire import OK, Node, RawBackend, a_plan, build, eventually

Start = Callable[..., Node]

POST = b"POST %b HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_LARGE = b"client-%b-too_large"


def told(answer: bytes) -> tuple[bytes, bytes]:
    """(status, fault) of an answer of the proxy's own."""
    found = re.search(rb"X-Strangler-Error: (\S+)\r\n", answer)
    return answer[9:12], found[1] if found else b""


def reached(node: Node) -> dict[Limit, int]:
    """How often each limit was reached."""
    counts = {limit: node.count(f'strangler_limits_reached_total{{limit="{limit}"}}') for limit in Limit}
    return {limit: count for limit, count in counts.items() if count}


def head_of(count: int, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request of exactly so many bytes of head, its last CRLF CRLF not counted."""
    start = line + b"\r\nHost: shop\r\nX: "
    return start + b"a" * (count - len(start)) + b"\r\n\r\n"


def fields(count: int) -> bytes:
    """So many header lines, Host not counted."""
    return b"".join(b"X-%d: a\r\n" % i for i in range(count))


SMALL = Limits(head_bytes=2048, request_line_bytes=512, header_count=10)


@pytest.mark.parametrize(
    ("fits", "beyond", "status", "limit"),
    [
        (head_of(2048), head_of(2049), b"431", Limit.HEAD),
        (b"GET /%b HTTP/1.1\r\nHost: shop\r\n\r\n" % (b"a" * 495), b"GET /%b HTTP/1.1\r\nHost: shop\r\n\r\n" % (b"a" * 498), b"414", Limit.REQUEST_LINE),
        (b"GET / HTTP/1.1\r\nHost: shop\r\n%b\r\n" % fields(9), b"GET / HTTP/1.1\r\nHost: shop\r\n%b\r\n" % fields(10), b"431", Limit.HEADERS),
    ],
    ids=["head", "request_line", "headers"],
)  # fmt: skip
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in pieces"])
def test_a_head_may_be_as_large_as_the_limit_and_no_larger(
    start: Start, legacy: RawBackend, fits: bytes, beyond: bytes, status: bytes, limit: Limit, *, whole: bool
) -> None:
    node = start(limits=SMALL)
    cut = len(beyond) if whole else len(beyond) - 4
    with node.client() as client, node.client() as another:
        client.send(fits[:7])
        client.send(fits[7:])
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert client.answer()[2] == b"ok"
        another.send(beyond[:cut])
        if not whole and limit is Limit.HEADERS:
            another.send(beyond[cut:])  # lines are counted once all are there
        assert told(another.rest()) == (status, TOO_LARGE % b"head")
    assert not legacy.has_caller()
    assert reached(node) == {limit: 1}


def test_a_body_that_says_it_is_too_large_reaches_no_backend_and_is_not_waited_for(
    start: Start, legacy: RawBackend
) -> None:
    node = start(limits=Limits(body_bytes=100))
    with node.client() as client, node.client() as waiting:
        client.send(POST % (b"/", 101))
        assert told(client.rest()) == (b"413", TOO_LARGE % b"body")
        waiting.send((POST % (b"/", 101))[:-2], b"Expect: 100-continue\r\n\r\n")
        assert told(waiting.rest()) == (b"413", TOO_LARGE % b"body")
    assert not legacy.has_caller()
    assert reached(node) == {Limit.BODY: 2}
    with node.client() as client:
        client.send(POST % (b"/", 100), b"a" * 100)
        with legacy.accept() as backend:
            backend.head()
            assert backend.exactly(100) == b"a" * 100
            backend.send(OK)
            assert client.answer()[2] == b"ok"


def test_a_body_that_is_there_whole_and_too_large_is_refused_and_the_connection_goes_on(
    start: Start, legacy: RawBackend
) -> None:
    node = start(limits=Limits(body_bytes=3))
    with node.client() as client:
        client.send(POST % (b"/", 4), b"four", b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert told(client.answer()[1]) == (b"413", TOO_LARGE % b"body")
        with legacy.accept() as backend:
            assert backend.head().startswith(b"GET / ")
            backend.send(OK)
            assert client.answer()[2] == b"ok"


def test_a_body_in_chunks_is_cut_at_both_sides_where_it_becomes_too_large(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_bytes=10))
    with node.client() as client:
        client.send(CHUNKED, b"a\r\n0123456789\r\n")
        with legacy.accept() as backend:
            backend.head()
            assert backend.until(b"\r\n0123456789\r\n") == b"a\r\n0123456789\r\n"
            client.send(b"1\r\n")  # its size alone is enough
            assert told(client.rest()) == (b"413", TOO_LARGE % b"body")
            assert backend.sock.recv(100) == b""  # the chunks never came to their end
    assert reached(node) == {Limit.BODY: 1}


def test_a_body_in_chunks_of_which_too_much_is_there_at_once_reaches_no_backend(
    start: Start, legacy: RawBackend
) -> None:
    node = start(limits=Limits(body_bytes=10))
    with node.client() as client:
        client.send(CHUNKED, b"6\r\nsixsix\r\n5\r\n")
        assert told(client.rest()) == (b"413", TOO_LARGE % b"body")
    assert not legacy.has_caller()


def test_a_body_in_chunks_as_large_as_the_limit_passes_framing_not_counted(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_bytes=3))
    with node.client() as client:
        client.send(CHUNKED, b"1;x=yyyyyyyy\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nT: long enough\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.until(b"\r\n\r\n")
            backend.send(OK)
            assert client.answer()[2] == b"ok"


def test_an_answer_that_has_begun_when_the_body_becomes_too_large_is_cut(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_bytes=10))
    with node.client() as client:
        client.send(CHUNKED, b"1\r\na\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n")
            assert client.until(b"b\r\n").startswith(b"HTTP/1.1 200")
            client.send(b"a\r\n")
            assert client.rest() == b""  # no last chunk
            assert backend.ends()
    assert node.count('strangler_faults_total{party="client",stage="body",kind="too_large"') == 1


@pytest.mark.parametrize(("of_area", "sent", "passes"), [(20, 15, True), (0, 15, True), (5, 6, False), (5, 5, True)])
def test_an_area_may_take_more_or_less_than_the_others(
    start: Start, legacy: RawBackend, of_area: int, sent: int, *, passes: bool
) -> None:
    files = Area(name="files", place="-", flag="files", body_bytes=of_area)
    route = Route(id="files/1", area="files", place="-", path="/files", to=Backend.LEGACY)
    node = start(limits=Limits(body_bytes=10), areas=(files,), routes=(route,))
    with node.client() as client:
        client.send(POST % (b"/files", sent), b"a" * sent)
        if not passes:
            assert client.answer()[0] == 413
            return
        with legacy.accept() as backend:
            backend.head()
            backend.exactly(sent)
            backend.send(OK)
            assert client.answer()[2] == b"ok"


@pytest.mark.parametrize(
    ("fits", "beyond", "status", "limit"),
    [
        (b"1;%b\r\na\r\n" % (b"x" * 250), b"1;%b\r\na\r\n" % (b"x" * 300), b"400", Limit.CHUNK_LINE),
        (b"1;%b\r\na\r\n" % (b"x" * 99), b"1;%b\r\na\r\n" % (b"x" * 60) * 2, b"400", Limit.CHUNK_EXTENSIONS),
        (b"0\r\nX: %b\r\n" % (b"x" * 240), b"0\r\nX: %b\r\n" % (b"x" * 300), b"431", Limit.TRAILERS),
        (b"0\r\n%b" % fields(10), b"0\r\n%b\r\n" % fields(11), b"431", Limit.TRAILER_FIELDS),
    ],
    ids=["chunk_line", "chunk_extensions", "trailers", "trailer_fields"],
)
def test_what_frames_a_body_is_limited_too(
    start: Start, legacy: RawBackend, fits: bytes, beyond: bytes, status: bytes, limit: Limit
) -> None:
    node = start(
        limits=Limits(
            chunk_line_bytes=256,
            chunk_extensions_bytes=100 if limit is Limit.CHUNK_EXTENSIONS else 1000,
            trailers_bytes=256,
            trailer_count=10,
        )
    )
    with node.client() as client, node.client() as another:
        client.send(CHUNKED, fits, b"\r\n" if fits.startswith(b"0") else b"0\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.until(b"0\r\n")
            backend.send(OK)
            assert client.answer()[2] == b"ok"
        another.send(CHUNKED, beyond)
        assert told(another.rest())[0] == status
    assert reached(node) == {limit: 1}


@pytest.mark.parametrize(
    ("fits", "beyond", "limit"),
    [
        (b"HTTP/1.1 200 OK\r\nX: %b\r\n" % (b"a" * 1900), b"HTTP/1.1 200 OK\r\nX: %b\r\n" % (b"a" * 2100), Limit.ANSWER_HEAD),
        (b"HTTP/1.1 200 OK\r\n%b" % fields(9), b"HTTP/1.1 200 OK\r\n%b" % fields(10), Limit.ANSWER_HEADERS),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 4 + b"HTTP/1.1 200 OK\r\n", Limit.INTERIM_ANSWERS),
    ],
    ids=["answer_head", "answer_headers", "interim_answers"],
)  # fmt: skip
def test_a_backends_head_beyond_a_limit_is_a_bad_gateway(
    start: Start, legacy: RawBackend, fits: bytes, beyond: bytes, limit: Limit
) -> None:
    node = start(limits=Limits(answer_head_bytes=2048, answer_header_count=10, interim_answers=3))
    for head, status in ((fits, b"200"), (beyond, b"502")):
        with node.client() as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            with legacy.accept() as backend:
                backend.head()
                backend.send(head + b"Content-Length: 0\r\n\r\n")
                assert told(client.rest()) == (status, b"" if status == b"200" else b"legacy-head-too_large")
    assert reached(node) == {limit: 1}


def test_the_last_request_of_a_connection_is_answered_with_a_close(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(requests_per_connection=2))
    get = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
    with node.client() as client:
        client.send(get * 3)  # the third isn't taken up
        with legacy.accept() as backend:
            for _ in range(2):
                backend.head()
                backend.send(OK)
            assert b"Connection: close" not in client.answer()[1]
            assert b"Connection: close" in client.answer()[1]
            assert client.rest() == b""
    assert node.count("strangler_requests_total") == 2


def test_a_connection_that_has_asked_more_than_a_lowered_limit_allows_is_told_at_its_next_request(
    start: Start, legacy: RawBackend
) -> None:
    node = start(limits=Limits(requests_per_connection=10))
    get = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
    with node.client() as client:
        client.send(get * 3)
        with legacy.accept() as backend:
            for _ in range(3):
                backend.head()
                backend.send(OK)
                assert b"Connection: close" not in client.answer()[1]
            node.swap(a_plan(legacy.url, legacy.url, limits=Limits(requests_per_connection=2)))
            client.send(get)
            backend.head()
            backend.send(OK)
            assert b"Connection: close" in client.answer()[1]
            assert client.rest() == b""


def test_what_is_pipelined_beyond_the_limit_is_left_in_the_network(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(pipelined_bytes=1000))
    get = b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n"
    many = 200
    with node.client() as client:
        client.send(get % 0)
        with legacy.accept() as backend:
            backend.head()
            for i in range(1, many):
                client.send(get % i)
            (held,) = node.traffic._clients
            for i in range(many):
                assert node.do(lambda: len(held._buffer)) <= 1000 + 65536  # one read beyond it at most
                backend.send(OK)
                assert client.answer()[2] == b"ok"
                if i + 1 < many:
                    assert backend.head().startswith(b"GET /%d " % (i + 1))


def test_a_body_larger_than_what_is_kept_is_not_sent_again(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(replay_bytes=10))
    put = b"PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%b"
    for size, status in ((10, b"200"), (11, b"502")):
        with node.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            backend = legacy.accept()
            backend.head()
            backend.send(OK)
            client.answer()
            client.send(put % (size, b"a" * size))
            backend.head()
            backend.reset()  # a kept connection that proves stale
            if status == b"200":
                with legacy.accept() as fresh:
                    fresh.head()
                    fresh.send(OK + b"surplus")  # and isn't kept
                    assert client.head()[9:12] == status
            else:
                assert client.head()[9:12] == status


def test_a_reload_changes_limits_for_connections_that_are_open(start: Start, legacy: RawBackend) -> None:
    node = start()
    with node.client() as client:
        client.send(POST % (b"/", 5), b"12345")
        with legacy.accept() as backend:
            backend.head()
            backend.exactly(5)
            backend.send(OK)
            assert client.answer()[0] == 200
            plan = a_plan(legacy.url, legacy.url, limits=Limits(body_bytes=4, header_count=10))
            node.do(lambda: node.traffic.swap(build(plan, 2)))
            client.send(POST % (b"/", 5), b"12345")
            assert client.answer()[0] == 413
            client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n%b\r\n" % fields(10))
            assert client.head()[9:12] == b"431"


def test_empty_lines_keep_no_connection_open(start: Start) -> None:
    node = start(limits=Limits(idle_s=0.5, head_s=0.5))

    def closed() -> bool:
        try:
            client.send(b"\r\n")
        except OSError:
            return True
        return False

    with node.client() as client:
        eventually(closed, "a client that sends empty lines alone is let go")


def test_more_than_two_empty_lines_at_once_are_no_request(start: Start, legacy: RawBackend) -> None:
    node = start()
    with node.client() as client:
        client.send(b"\r\n" * 3 + b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert told(client.rest()) == (b"400", b"client-head-malformed")
    assert not legacy.has_caller()
