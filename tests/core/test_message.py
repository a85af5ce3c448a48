"""Heads have one meaning or are refused; what was seen before reads the same the second time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http import message
from proxy.core.http.badmessage import BadMessage
from proxy.core.http.framing import CHUNKED, NO_BODY, UNTIL_CLOSE
from proxy.core.http.message import read_answer_head, read_request_head

GET = b"GET / HTTP/1.1\r\nHost: shop"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nHost: a b", 400),
        (b"GET / HTTP/1.1\r\nHost: a:99999", 400),
        (b"GET / HTTP/1.1\r\nHost: a@b", 400),
        (b"GET / HTTP/1.1\r\nHost : a", 400),
        (b"GET / HTTP/1.1\r\n Host: a", 400),
        (GET + b"\r\nX: a\r\n folded", 400),
        (GET + b"\r\nno colon", 400),
        (GET + b"\r\nX: a\x00b", 400),
        (GET + b"\r\nX: a\nY: b", 400),
        (GET + b"\r\nX: a\rY: b", 400),
        (GET + b"\r\nHost: shop", 400),
        (GET + b"\r\nX\xe9: a", 400),
        (GET + b"\r\nContent-Length: +1", 400),
        (GET + b"\r\nContent-Length: 1, 1", 400),
        (GET + b"\r\nContent-Length: 1\r\nContent-Length: 1", 400),
        (GET + b"\r\nContent-Length: 0x1", 400),
        (GET + b"\r\nContent-Length: " + b"9" * 19, 400),
        (GET + b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
        (GET + b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (GET + b"\r\nTransfer-Encoding: chunked, identity", 501),
        (GET + b"\r\nTransfer-Encoding: \x0bchunked", 400),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
        (b"GET  / HTTP/1.1\r\nHost: a", 400),
        (b"GET / HTTP/1.1 \r\nHost: a", 400),
        (b"GET /\t HTTP/1.1\r\nHost: a", 400),
        (b"G(T / HTTP/1.1\r\nHost: a", 400),
        (b"GET / http/1.1\r\nHost: a", 400),
        (b"GET / HTTP/1.2\r\nHost: a", 505),
        (b"GET * HTTP/1.1\r\nHost: a", 400),
        (b"GET a HTTP/1.1\r\nHost: a", 400),
        (b"GET /checkout#x HTTP/1.1\r\nHost: a", 400),
        (b"GET http://a/x?y#z HTTP/1.1\r\nHost: a", 400),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a", 400),
        (b"GET http://b/ HTTP/1.1\r\nHost: a", 400),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1", 405),
        (b"CONNECT / HTTP/1.1\r\nHost: shop", 405),
        (b"CONNECT http://shop/ HTTP/1.1\r\nHost: shop", 405),
        (GET + b"\r\nA: b" * 101, 431),
    ],
)
def test_a_request_two_readers_could_disagree_about_is_refused_every_time(raw: bytes, status: int) -> None:
    for _ in range(2):  # the second time from memory
        with pytest.raises(BadMessage) as caught:
            read_request_head(raw)
        assert caught.value.status == status


def test_an_absolute_target_with_the_same_authority_becomes_its_origin_form() -> None:
    assert read_request_head(b"GET http://Shop?q=1 HTTP/1.1\r\nHost: shop").target == b"/?q=1"
    assert read_request_head(b"GET HTTP://shop/a HTTP/1.1\r\nHost: shop").target == b"/a"
    assert read_request_head(b"OPTIONS * HTTP/1.1\r\nHost: shop").target == b"*"


def test_repeated_fields_keep_order_and_spelling() -> None:
    head = read_request_head(GET + b"\r\nX-A: 1\r\nx-a:2 \r\nY: 3")
    assert head.lines == [b"Host: shop", b"X-A: 1", b"x-a:2 ", b"Y: 3"]
    assert head.names == [b"host", b"x-a", b"x-a", b"y"]
    assert (head.values[b"x-a"], head.all(b"x-a"), head.all(b"y")) == (b"1", [b"1", b"2"], [b"3"])


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"\r\nConnection: close", False),
        (b"1.1", b"\r\nConnection: x\r\nConnection: CLOSE", False),
        (b"1.0", b"", False),
        (b"1.0", b"\r\nConnection: Keep-Alive, x", True),
    ],
)
def test_whether_a_connection_is_kept(version: bytes, lines: bytes, kept: bool) -> None:
    assert read_request_head(b"GET / HTTP/" + version + b"\r\nHost: a" + lines).keep_alive is kept
    assert read_answer_head(b"HTTP/" + version + b" 200 OK" + lines, to_method=b"GET").keep_alive is kept


@pytest.mark.parametrize(
    ("raw", "method", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", b"GET", 5),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", b"HEAD", NO_BODY),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5", b"GET", NO_BODY),
        (b"HTTP/1.1 204 No Content", b"GET", NO_BODY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"GET", CHUNKED),
        (b"HTTP/1.0 200", b"GET", UNTIL_CLOSE),
    ],
)
def test_how_an_answer_is_framed(raw: bytes, method: bytes, body: int) -> None:
    assert read_answer_head(raw, to_method=method).body == body


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 304 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b",
    ],
)
def test_an_answer_two_readers_could_disagree_about_is_refused(raw: bytes) -> None:
    for method in (b"GET", b"HEAD"):
        with pytest.raises(BadMessage):
            read_answer_head(raw, to_method=method)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"X-A", b"x-a", b"Cookie", b"Accept", b"Date"]),
            st.binary(max_size=20).map(lambda raw: bytes(b for b in raw if b >= 0x20 and b != 0x7F)),
        ),
        max_size=8,
    )
)
def test_a_head_read_from_memory_is_the_head_read_first(fields: list[tuple[bytes, bytes]]) -> None:
    raw = GET + b"".join(b"\r\n%b:%b" % field for field in fields)
    first, again = read_request_head(raw), read_request_head(raw)
    assert again.lines == first.lines == [b"Host: shop", *(b"%b:%b" % field for field in fields)]
    assert (again.names, again.values, again.repeated) == (first.names, first.values, first.repeated)
    for name in (b"x-a", b"cookie", b"accept", b"date"):
        assert again.all(name) == [value.strip() for key, value in fields if key.lower() == name]


def test_little_is_remembered_of_what_connection_may_say() -> None:
    def remembered() -> int:
        return sum(map(len, message._options))

    read_request_head(GET + b"\r\nConnection: close, x-short")
    assert b"close, x-short" in message._options
    before = remembered()
    read_request_head(GET + b"\r\nConnection: close" + b"," * 8000)
    read_request_head(GET + b"\r\nConnection: " + b"x" * 8000)
    read_request_head(GET + b"\r\nConnection: " + b",".join(b"x%d" % i for i in range(30)))
    assert remembered() == before
