"""Neither side notices that somebody stands between: what one sends is what the other gets, when it is sent.

Run against ours, and as a check of the tests themselves against nginx and HAProxy: a test that `differs` for one of them must fail there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.http.answers import told
from tests.http.fronts import OURS, PEERS, Front, front, missing
from tests.traffic.wire import PATIENCE_S, RawBackend, Wire

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Test = Callable[..., None]


def differs(**why: str) -> Callable[[Test], Test]:
    """A test that another proxy must fail, with the reason: names to reasons."""
    return pytest.mark.differs(why)


@pytest.fixture(params=[OURS, *PEERS])
def between(request: pytest.FixtureRequest) -> Iterator[tuple[Front, RawBackend]]:
    """Each proxy, and the backend behind it."""
    name: str = request.param
    if (lack := missing(name)) is not None:
        pytest.skip(lack)
    for mark in request.node.iter_markers("differs"):
        if name in mark.args[0]:
            request.applymarker(pytest.mark.xfail(strict=True, reason=mark.args[0][name]))
    backend = RawBackend()
    with front(name, backend.url) as running:
        yield running, backend
    backend.close()


@pytest.fixture
def client(between: tuple[Front, RawBackend]) -> Iterator[Wire]:
    """A client of the proxy."""
    running, _ = between
    with running.client() as wire:
        wire.sock.settimeout(PATIENCE_S if running.name == OURS else 1.0)
        yield wire


@pytest.fixture
def backend(between: tuple[Front, RawBackend]) -> RawBackend:
    """What stands behind the proxy."""
    running, raw = between
    raw.listening.settimeout(PATIENCE_S if running.name == OURS else 1.0)
    return raw


def line_of(head: bytes) -> bytes:
    return head.partition(b"\r\n")[0]


def lines_of(head: bytes, *names: bytes) -> list[bytes]:
    """The lines of these fields, in order, as they are spelled."""
    return [line for line in head.split(b"\r\n")[1:] if line.partition(b":")[0].lower() in names]


# -- heads ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [b"GET", b"PATCH", b"PROPFIND", b"M-SEARCH", b"BREW", b"X" * 60])
def test_a_method_of_any_name_passes(client: Wire, backend: RawBackend, method: bytes) -> None:
    client.send(method, b" / HTTP/1.1\r\nHost: shop\r\n\r\n")
    with backend.accept() as server:
        assert line_of(server.head()) == method + b" / HTTP/1.1"
        server.send(OK)
        assert client.answer()[0] == 200


@differs(nginx="methods of small letters and signs are 400")
def test_a_method_is_any_token_and_keeps_its_case(client: Wire, backend: RawBackend) -> None:
    client.send(b"get-it.now~! / HTTP/1.1\r\nHost: shop\r\n\r\n")
    with backend.accept() as server:
        assert line_of(server.head()) == b"get-it.now~! / HTTP/1.1"


@pytest.mark.parametrize(
    "target",
    [
        b"/a%2fb/%7E~/%61",
        b"/a//b/./c",
        b"/a;b=c;d?",
        b"/?x=%zz&&y=&=z?/;",
        b"/caf%C3%A9?q=%E2%9C%93",
        b"/[]{}|^`'\"<>",
        b"/" + b"a" * 8000,
    ],
)
def test_the_bytes_of_a_target_are_not_touched(client: Wire, backend: RawBackend, target: bytes) -> None:
    client.send(b"GET ", target, b" HTTP/1.1\r\nHost: shop\r\n\r\n")
    with backend.accept() as server:
        assert line_of(server.head()) == b"GET " + target + b" HTTP/1.1"


@differs(haproxy="a byte from 0x80 in a target is 400")
def test_a_target_may_have_bytes_from_0x80(client: Wire, backend: RawBackend) -> None:
    client.send(b"GET /caf\xc3\xa9?\xff HTTP/1.1\r\nHost: shop\r\n\r\n")
    with backend.accept() as server:
        assert line_of(server.head()) == b"GET /caf\xc3\xa9?\xff HTTP/1.1"


LINES = [
    b"X-One: 1",
    b"x-ONE:  2  ",
    b"X-Empty:",
    b"Accept: a, b",
    b"X-Bytes: \xe9\xff\x80 \xc3\xa9",
    b'X-Signs: "quoted, \\" string"; (comment) \t tab',
    b"X-Large: " + b"v" * 8000,
    b'Authorization: Digest a="b"',
    b"Range: bytes=0-4,-2",
    b'If-None-Match: W/"x"',
    b"Accept-Encoding: gzip;q=0, br",
    b"Cache-Control: no-transform",
    b"X-One: 3",
]  # fmt: skip
NAMES = tuple({line.partition(b":")[0].lower() for line in LINES})


@differs(nginx="white space around values is cut", haproxy="names are written in small letters")
def test_the_lines_of_a_request_pass_in_order_number_spelling_and_value(client: Wire, backend: RawBackend) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: Shop:8080\r\n", *(line + b"\r\n" for line in LINES), b"\r\n")
    with backend.accept() as server:
        head = server.head()
        assert lines_of(head, *NAMES) == LINES
        assert lines_of(head, b"host") == [b"Host: Shop:8080"]


@differs(nginx="white space around values is cut", haproxy="names are written in small letters")
def test_the_lines_of_an_answer_pass_in_order_number_spelling_and_value(client: Wire, backend: RawBackend) -> None:
    lines = [
        *LINES,
        b"Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
        b"set-cookie: b=2",
        b"Set-Cookie: a=3",
        b'WWW-Authenticate: Basic realm="x", Bearer',
        b'ETag: W/"1"',
        b"Content-Encoding: gzip",
        b"Content-Type: text/plain",
    ]  # fmt: skip
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(
            b"HTTP/1.1 200 OK\r\n", *(line + b"\r\n" for line in lines), b"Content-Length: 3\r\n\r\n\x1f\x8b\x00"
        )
        _, head, body = client.answer()
        names = {line.partition(b":")[0].lower() for line in lines}
        assert (lines_of(head, *names), body) == (lines, b"\x1f\x8b\x00")


@pytest.mark.parametrize(
    "line", [b"299 Odd", b"418 I'm a teapot", b"599 Late", b"204 ", b"200 Caf\xe9\t(\xff)", b"404 "]
)
def test_a_status_of_any_number_passes_with_its_reason(client: Wire, backend: RawBackend, line: bytes) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 ", line, b"\r\n", b"" if line[:3] == b"204" else b"Content-Length: 0\r\n", b"\r\n")
        assert line_of(client.head()) == b"HTTP/1.1 " + line


@differs(nginx="the status line passes as it is, without the space")
def test_a_status_line_that_lacks_its_last_space_gets_it(client: Wire, backend: RawBackend) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
        assert line_of(client.head()) == b"HTTP/1.1 200 "


@pytest.mark.parametrize("line", [b"600 Beyond", b"999 Denied"])
def test_a_status_beyond_599_passes(client: Wire, backend: RawBackend, line: bytes) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 ", line, b"\r\nContent-Length: 0\r\n\r\n")
        assert line_of(client.head()) == b"HTTP/1.1 " + line


@differs(nginx="it writes its own Date in place of the backend's", haproxy="it adds none")
def test_the_date_of_an_answer_passes_and_one_without_gets_it(client: Wire, backend: RawBackend) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 2\r\n\r\nok")
        assert lines_of(client.answer()[1], b"date") == [b"Date: Tue, 15 Nov 1994 08:12:31 GMT"]
        client.send(GET)
        server.head()
        server.send(OK)
        (date,) = lines_of(client.answer()[1], b"date")
        assert re.fullmatch(rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)


@differs(nginx="Connection says keep-alive, not Upgrade", haproxy="Connection is left out")
def test_a_backend_that_wants_a_websocket_may_say_so(client: Wire, backend: RawBackend) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        server.send(b"Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n")
        head = client.head()
        assert lines_of(head, b"upgrade") == [b"Upgrade: websocket"]
        assert lines_of(head, b"connection") == [b"Connection: Upgrade"]
        assert lines_of(head, b"sec-websocket-version") == [b"Sec-WebSocket-Version: 13"]


@differs(nginx="405 comes without Allow, or not at all", haproxy="CONNECT passes")
def test_the_proxys_own_405_says_what_is_allowed(client: Wire, backend: RawBackend) -> None:
    client.send(b"CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n")
    status, head, _ = client.answer()
    assert status == 405
    assert b"GET" in lines_of(head, b"allow")[0]
    assert not backend.has_caller()


# -- bodies --------------------------------------------------------------------------------------------------------------


def test_an_answer_to_head_keeps_its_length_and_has_no_body(client: Wire, backend: RawBackend) -> None:
    client.send(b"HEAD / HTTP/1.1\r\nHost: shop\r\n\r\n", GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
        assert lines_of(client.head(), b"content-length")[0][16:] == b"12345"
        server.head()
        server.send(OK)
        assert client.answer()[2] == b"ok"


def test_a_part_of_a_thing_passes_as_it_was_cut_out(client: Wire, backend: RawBackend) -> None:
    body = b"--x\r\nContent-Range: bytes 0-1/9\r\n\r\nab\r\n--x\r\nContent-Range: bytes 4-5/9\r\n\r\nef\r\n--x--\r\n"
    client.send(b'GET / HTTP/1.1\r\nHost: shop\r\nRange: bytes=0-1,4-5\r\nIf-Range: "x"\r\n\r\n')
    with backend.accept() as server:
        assert len(lines_of(server.head().lower(), b"range", b"if-range")) == 2
        server.send(b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\n")
        server.send(b"Content-Length: %d\r\n\r\n" % len(body), body)
        status, head, got = client.answer()
        assert (status, got) == (206, body)
        assert lines_of(head, b"content-type")[0].endswith(b" multipart/byteranges; boundary=x")


@differs(nginx="trailers of requests are dropped")
def test_trailers_pass_both_ways(client: Wire, backend: RawBackend) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nConnection: TE\r\n")
    client.send(b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")
    with backend.accept() as server:
        head = server.head().lower()
        assert (b"\r\nte: trailers\r\n" in head, b"\r\ntrailer: x-sum\r\n" in head) == (True, True)
        assert server.until(b"\r\n\r\n").lower() == b"3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"
        server.send(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
        server.send(b"2\r\nok\r\n0\r\nX-Sum: 8\r\n\r\n")
        assert b"\r\ntrailer: x-sum\r\n" in client.head().lower()
        assert client.until(b"\r\n\r\n").lower() == b"2\r\nok\r\n0\r\nx-sum: 8\r\n\r\n"


@differs(haproxy="the client is told the version of the backend, and its connection ends")
def test_an_answer_of_http_1_0_without_a_length_reaches_a_modern_client_whole_and_the_connection_stays(
    client: Wire, backend: RawBackend
) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    head = client.head()
    assert line_of(head) == b"HTTP/1.1 200 OK"
    assert lines_of(head, b"transfer-encoding")[0].endswith(b"chunked")
    assert told(head + client.until(b"0\r\n\r\n"), [b"GET"]) == ["200 all of it"]


@differs(haproxy="a client of HTTP/1.0 is told the version of the backend, and passed on as HTTP/1.0")
def test_a_client_of_http_1_0_is_passed_on_as_1_1_and_gets_no_chunks(client: Wire, backend: RawBackend) -> None:
    client.send(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n")
    with backend.accept() as server:
        assert line_of(server.head()) == b"GET / HTTP/1.1"
        server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nabc")
        assert b"chunked" not in answer


# -- time ----------------------------------------------------------------------------------------------------------------


@differs(nginx="it answers 100 itself, before the backend has seen the request")
def test_a_client_that_waits_for_100_hears_it_from_the_backend(client: Wire, backend: RawBackend) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    with backend.accept() as server:
        assert len(lines_of(server.head().lower(), b"expect")) == 1
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)
        client.sock.settimeout(PATIENCE_S)
        server.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert line_of(client.head()) == b"HTTP/1.1 100 Continue"
        client.send(b"hi")
        assert server.exactly(2) == b"hi"
        server.send(OK)
        assert client.answer()[2] == b"ok"


@differs(nginx="it answers 100 itself, before the backend has seen the request")
@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"413 Too Large", b"401 Who"])
def test_a_client_that_waits_for_100_hears_the_last_word_instead(
    client: Wire, backend: RawBackend, status: bytes
) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 ", status, b"\r\nContent-Length: 2\r\n\r\nno")
        head = client.head()
        assert line_of(head) == b"HTTP/1.1 " + status
        assert client.exactly(2) == b"no"


@differs(nginx="the field is removed")
def test_who_waits_for_100_without_content_is_passed_on_and_heard_by_the_backend(
    client: Wire, backend: RawBackend
) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\n\r\n")
    with backend.accept() as server:
        assert len(lines_of(server.head().lower(), b"expect")) == 1
        server.send(OK)
        assert client.answer()[2] == b"ok"


@differs(nginx="TRACE is 405")
def test_a_trace_with_content_is_passed_on_whole(client: Wire, backend: RawBackend) -> None:
    client.send(b"TRACE / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
    with backend.accept() as server:
        head = server.head()
        assert line_of(head).startswith(b"TRACE / ")
        assert lines_of(head.lower(), b"content-length") == [b"content-length: 2"]
        assert server.exactly(2) == b"hi"
        server.send(OK)
        assert client.answer()[2] == b"ok"


@differs(nginx="an upload that is there as a whole is given a length")
def test_a_backend_that_answered_as_http_1_0_is_sent_chunks_all_the_same(client: Wire, backend: RawBackend) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.answer()[2] == b"ok"
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    with backend.accept() as server:
        head = server.head().lower()
        assert lines_of(head, b"transfer-encoding") == [b"transfer-encoding: chunked"]
        assert server.until(b"0\r\n\r\n") == b"2\r\nhi\r\n0\r\n\r\n"
        server.send(b"HTTP/1.0 411 Length Required\r\nContent-Length: 2\r\n\r\nno")
        assert client.answer()[0] == 411


@differs(nginx="1.22 takes every interim answer but 101 for the last")
def test_interim_answers_of_any_number_pass_when_they_come(client: Wire, backend: RawBackend) -> None:
    client.send(GET)
    with backend.accept() as server:
        server.head()
        for line in (b"102 Processing", b"103 Early Hints", b"103 Early Hints", b"199 Odd"):
            server.send(b"HTTP/1.1 ", line, b"\r\nLink: </a>\r\n\r\n")
            head = client.head()
            assert line_of(head) == b"HTTP/1.1 " + line
            assert head.lower().partition(b"\r\n")[2] == b"link: </a>\r\n\r\n"
        server.send(OK)
        assert client.answer()[2] == b"ok"


def test_an_early_answer_reaches_a_client_that_still_sends(client: Wire, backend: RawBackend) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\nstart")
    with backend.accept() as server:
        server.head()
        assert server.exactly(5) == b"start"
        server.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        assert line_of(client.head()) == b"HTTP/1.1 413 Too Large"
        assert client.exactly(2) == b"no"


def test_both_bodies_stream_at_once_word_by_word(client: Wire, backend: RawBackend) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n")
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.head()
        for _ in range(5):
            client.send(b"4\r\nping\r\n")
            assert server.exactly(9) == b"4\r\nping\r\n"
            server.send(b"4\r\npong\r\n")
            assert client.exactly(9) == b"4\r\npong\r\n"
        client.send(b"0\r\n\r\n")
        assert server.exactly(5) == b"0\r\n\r\n"
        server.send(b"0\r\n\r\n")
        assert client.exactly(5) == b"0\r\n\r\n"


@differs(nginx="it cuts the backend's connection once the answer is complete")
def test_an_upload_goes_on_after_an_answer_that_was_no_error(client: Wire, backend: RawBackend) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3000009\r\n\r\nstart")
    with backend.accept() as server:
        server.head()
        server.exactly(5)
        server.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nsoon")
        assert client.answer()[2] == b"soon"
        sender = threading.Thread(target=client.send, args=(b"x" * 3_000_000, b"done"), daemon=True)
        sender.start()
        assert server.exactly(3_000_004) == b"x" * 3_000_000 + b"done"
        sender.join(PATIENCE_S)


@differs(nginx="it passes nothing of the answer on while the backend takes no more of the request's body")
def test_both_bodies_stream_at_once_however_long(client: Wire, backend: RawBackend) -> None:
    piece = bytes(range(256)) * 4096
    size = b"Content-Length: %d\r\n\r\n" % (len(piece) * 4)
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\n", size)
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 200 OK\r\n", size)
        client.head()
        for _ in range(4):  # each side sends more than anything in between holds, and then reads what the other sent
            ends = (client, server)
            threads = [threading.Thread(target=end.send, args=(piece,), daemon=True) for end in ends]
            for thread in threads:
                thread.start()
            assert [end.exactly(len(piece)) for end in ends] == [piece, piece]
            for thread in threads:
                thread.join(PATIENCE_S)


def test_an_event_passes_at_once_however_small(client: Wire, backend: RawBackend) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: shop\r\nAccept: text/event-stream\r\n\r\n")
    with backend.accept() as server:
        server.head()
        server.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.head()
        for number in range(4):
            event = b"data: %d\n\n" % number
            server.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert client.until(b"\n\n\r\n") == b"%x\r\n%b\r\n" % (len(event), event)


def test_pipelined_requests_are_answered_in_their_order(client: Wire, backend: RawBackend) -> None:
    client.send(b"POST /0 HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc", GET, GET)
    with backend.accept() as server:
        for number, target in enumerate([b"/0", b"/", b"/"]):
            assert line_of(server.head()).split(b" ")[1] == target
            if target == b"/0":
                assert server.exactly(3) == b"abc"
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        assert [client.answer()[2] for _ in range(3)] == [b"0", b"1", b"2"]
