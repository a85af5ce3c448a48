"""Requests and answers pass, whole and in pieces, one connection after the other."""

from __future__ import annotations

import json

import pytest

from tests.traffic.wire import OK, Node, RawBackend, undated

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


def test_a_request_and_its_answer_pass_and_leave_one_line_and_one_count(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nx-two:  2\r\nX-One: 3\r\n\r\n")
        with legacy.accept() as backend:
            head = backend.head()
            assert head.startswith(b"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nx-two:  2\r\nX-One: 3\r\n")
            backend.send(b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 2\r\n\r\nok")
            assert client.answer() == (200, b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 2\r\n\r\n", b"ok")
            (line,) = node.log_lines(1)
    told = json.loads(line)
    assert (told["method"], told["path"], told["status"], told["backend"]) == ("GET", "/a%2Fb", 200, "legacy")
    assert node.count('strangler_requests_total{area="-",backend="legacy",status="2xx"}') == 1
    assert node.count('strangler_decisions_total{area="-",backend="legacy",reason="otherwise"}') == 1


def test_both_connections_are_used_again(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            for _ in range(3):
                backend.head()
                backend.send(OK)
                assert client.answer()[2] == b"ok"
                client.send(GET)
            backend.head()
            assert node.count("strangler_backend_connections_opened_total") == 1
            assert node.count("strangler_backend_connections_reused_total") == 3


def test_pipelined_requests_are_answered_in_order_one_after_the_other(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(*(b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n" % i for i in range(5)))
        with legacy.accept() as backend:
            for i in range(5):
                assert backend.head().startswith(b"GET /%d " % i)
                assert backend.buffer == b""
                backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % i)
            assert [client.answer()[2] for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_request_may_arrive_byte_by_byte(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        for byte in b"\r\nPOST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc":
            client.send(bytes([byte]))
        with legacy.accept() as backend:
            assert backend.head().startswith(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n")
            assert backend.exactly(3) == b"abc"
            for byte in OK:
                backend.send(bytes([byte]))
            assert client.answer()[2] == b"ok"


def test_an_upload_passes_as_it_comes(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"PUT /f HTTP/1.1\r\nHost: shop\r\nContent-Length: 6\r\n\r\nabc")
        with legacy.accept() as backend:
            backend.head()
            assert backend.exactly(3) == b"abc"
            client.send(b"def", GET)
            assert backend.exactly(3) == b"def"
            backend.send(OK)
            assert client.answer()[0] == 200
            assert backend.head().startswith(b"GET / ")


def test_chunks_pass_as_chunks_without_extensions_and_with_the_trailers_that_may_pass(
    node: Node, legacy: RawBackend
) -> None:
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n")
        with legacy.accept() as backend:
            assert b"\r\nTransfer-Encoding: chunked\r\n" in backend.head()
            assert backend.exactly(8) == b"3\r\nabc\r\n"
            client.send(b"0\r\nX-Sum: 7\r\nContent-Length: 9\r\nX_Forwarded_For: me\r\n\r\n")
            assert backend.until(b"\r\n\r\n") == b"0\r\nX-Sum: 7\r\n\r\n"
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n")
            assert b"Transfer-Encoding: chunked" in client.head()
            assert client.exactly(9) == b"4\r\nwxyz\r\n"
            backend.send(b"0\r\nX-Sum: 8\r\n\r\n")
            assert client.until(b"\r\n\r\n") == b"0\r\nX-Sum: 8\r\n\r\n"
            client.send(GET)
            assert backend.head()


def test_an_answer_that_ends_with_its_connection_reaches_a_modern_client_in_chunks(
    node: Node, legacy: RawBackend
) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nhello")
        assert undated(client.head()) == b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert client.until(b"0\r\n\r\n") == b"5\r\nhello\r\n0\r\n\r\n"
        client.send(GET)
        with legacy.accept() as backend:
            assert backend.head()


@pytest.mark.parametrize("keep", [b"", b"Connection: keep-alive\r\n"])
def test_a_client_of_http_1_0_gets_no_chunks_and_a_close(node: Node, legacy: RawBackend, keep: bytes) -> None:
    with node.client() as client:
        client.send(b"GET / HTTP/1.0\r\n", keep, b"\r\n")
        with legacy.accept() as backend:
            assert b"\r\nHost: 127.0.0.1:%d\r\n" % legacy.port in backend.head()
            backend.send(b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n")
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            assert undated(client.rest()) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"


def test_a_client_of_http_1_0_is_kept_when_it_asks_and_the_length_is_known(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert b"\r\nConnection: keep-alive\r\n" in client.answer()[1]
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            backend.head()
            backend.send(OK)
            assert client.rest().endswith(b"\r\nConnection: close\r\n\r\nok")


def test_a_client_that_says_close_is_closed_after_its_answer(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        with legacy.accept() as backend:
            assert b"Connection" not in backend.head()
            backend.send(OK)
            assert undated(client.rest()) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", b"200 OK"), (b"GET", b"304 Not Modified"), (b"GET", b"204 No Content")]
)
def test_answers_without_a_body_end_with_their_head(
    node: Node, legacy: RawBackend, method: bytes, status: bytes
) -> None:
    with node.client() as client:
        client.send(method, b" / HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 ", status, b"\r\nContent-Length: 5\r\nETag: x\r\n\r\n")
            head = client.head()
            assert (b"Content-Length: 5" in head) == (status[:3] != b"204")
            client.send(GET)
            if method == b"HEAD":
                backend.head()
                backend.send(OK)
            else:  # the body that was announced may still come, and must not be taken for the next answer
                assert backend.ends() == "closed"
                with legacy.accept() as another:
                    another.head()
                    another.send(OK)
            assert client.answer()[2] == b"ok"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", False),
    ],
)
def test_a_connection_on_which_an_answer_may_go_on_is_not_used_again(
    node: Node, legacy: RawBackend, answer: bytes, *, kept: bool
) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(answer)
            client.until(b" 204 " if b" 204 " in answer else b" 304 ")
            if kept:
                client.send(GET)
                assert backend.head()
            else:
                assert backend.ends() == "closed"


def test_interim_answers_pass_before_the_final_one(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        with legacy.accept() as backend:
            assert b"\r\nExpect: 100-continue\r\n" in backend.head()
            assert client.buffer == b""
            backend.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"hi")
            assert backend.exactly(2) == b"hi"
            backend.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK)
            assert client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            assert client.answer()[2] == b"ok"


def test_a_backend_that_does_not_want_the_body_says_so_and_both_connections_end(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno")
            assert undated(client.rest()) == b"HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
            assert backend.ends()


def test_an_early_answer_reaches_a_client_that_is_still_sending(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 50000000\r\n\r\nstart")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno")
            for _ in range(20):  # read and dropped, so that no reset destroys the answer
                client.send(b"x" * 10_000)
            assert client.rest().endswith(b"\r\n\r\nno")
    (line,) = node.log_lines(1)
    assert json.loads(line)["status"] == 413


EARLY = b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"


def test_after_an_early_answer_the_rest_of_the_upload_ends_both_without_a_fault(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(EARLY)
        with legacy.accept() as backend:
            backend.until(b"ab\r\n")
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            assert b"\r\nConnection: close\r\n" in client.head()
            assert client.exactly(12) == b"2\r\nok\r\n0\r\n\r\n"
            client.send(b"2\r\ncd\r\n0\r\n\r\n")
            assert backend.until(b"0\r\n\r\n") == b"2\r\ncd\r\n0\r\n\r\n"
            assert client.rest() == b""
            with node.client() as another:
                another.send(GET)
                assert backend.head(), "the backend's connection is used again"
    assert (json.loads(node.log_lines(1)[0])["status"], json.loads(node.log_lines(1)[0])["fault"]) == (200, None)


@pytest.mark.parametrize("who", ["client leaves", "backend leaves", "backend goes on"])
def test_after_an_early_answer_nobody_who_ends_it_is_at_fault(node: Node, legacy: RawBackend, who: str) -> None:
    with node.client() as client:
        client.send(EARLY)
        with legacy.accept() as backend:
            backend.until(b"ab\r\n")
            backend.send(OK)
            assert client.answer()[2] == b"ok"
            if who == "client leaves":
                client.leave()
                assert backend.ends()
            else:
                if who == "backend leaves":
                    backend.leave()
                else:
                    backend.send(OK)  # no second answer to one request
                    assert backend.ends()
                assert client.rest() == b""
    told = json.loads(node.log_lines(1)[0])
    assert (told["status"], told["fault"]) == (200, None)
