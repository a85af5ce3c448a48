"""Connections to backends that were kept: one that has ended, and what may be sent again because of it."""

from __future__ import annotations

import itertools

import pytest

from tests.traffic.test_choosing import EVERYTHING
from tests.traffic.wire import OK, Node, RawBackend, eventually, fault_of

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


def test_a_stale_connection_is_replaced_without_the_client_noticing(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        backend.head()
        backend.send(OK)
        client.answer()
        client.send(b"PUT /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc")
        backend.head()
        backend.reset()
        with legacy.accept() as backend:
            assert backend.head().startswith(b"PUT /x ")
            assert backend.exactly(3) == b"abc"
            backend.send(OK)
            assert client.answer()[0] == 200
    assert node.count("strangler_retries_total") == 1


@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"POST", 408)])
def test_a_kept_connection_that_ends_with_a_408_was_stale(
    node: Node, legacy: RawBackend, method: bytes, status: int
) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
            client.send(method, b" / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
            backend.head()
            backend.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            if status == 200:
                with legacy.accept() as another:
                    assert another.until(b"\r\n\r\nhi").startswith(method)
                    another.send(OK)
                    assert client.answer()[0] == 200
            else:
                assert client.answer()[0] == 408
            assert backend.ends()
    assert node.count("strangler_retries_total") == (status == 200)


@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"PUT", 502)])
def test_after_a_rollback_a_stale_connection_sends_only_safe_methods_to_the_other_system(
    node: Node, legacy: RawBackend, new: RawBackend, method: bytes, status: int
) -> None:
    with node.client() as client:
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        backend = new.accept()
        backend.head()
        backend.send(OK)
        client.answer()
        client.send(method, b" /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        backend.head()
        node.do(lambda: setattr(node, "latch", EVERYTHING))
        backend.reset()
        if status == 200:
            legacy.serves(client)
        else:
            assert client.answer()[0] == status
            assert not legacy.has_caller()


@pytest.mark.parametrize(("method", "status"), [(b"PUT", 502), (b"GET", 200)])
def test_a_rollback_while_a_stale_connection_is_replaced_has_nothing_done_by_both_systems(
    node: Node, legacy: RawBackend, new: RawBackend, method: bytes, status: int
) -> None:
    ask = method + b" /new/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n"
    with node.client() as client:
        client.send(ask)
        with new.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
            open_, asked = node.traffic.latch(), itertools.count()
            # The rollback falls after it was decided that the request goes out again, and before it does.
            node.do(lambda: setattr(node.traffic, "latch", lambda: open_ if next(asked) < 2 else EVERYTHING))
            client.send(ask)
            backend.head()
        if status == 200:
            with legacy.accept() as other:
                assert other.head().startswith(b"GET /new/ ")
                other.send(OK)
                assert client.answer()[0] == status
        else:
            assert client.answer()[0] == status
    assert not legacy.has_caller()


def test_what_may_not_happen_twice_is_not_sent_twice(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        backend.head()
        backend.send(OK)
        client.answer()
        client.send(b"POST /x HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc")
        backend.head()
        backend.leave()
        status, head, _ = client.answer()
    assert (status, fault_of(head)) == (502, b"legacy-head-cut")
    assert not legacy.has_caller()


def test_a_fresh_connection_that_breaks_is_not_tried_again(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        backend.head()
        backend.leave()
        assert client.answer()[0] == 502
    assert not legacy.has_caller()


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"])
def test_an_idle_connection_that_speaks_or_ends_is_never_lent_again(
    node: Node, legacy: RawBackend, last_words: bytes
) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
            if last_words:
                backend.send(last_words)
                assert backend.ends()
        eventually(lambda: node.count("strangler_backend_connections_open{") == 0, "the idle connection ends")
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert client.answer()[2] == b"ok"
    assert node.count("strangler_retries_total") == 0


def test_bytes_behind_an_answer_are_not_taken_for_the_next_one(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            assert client.answer()[2] == b"ok"
            assert backend.ends()
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert client.answer()[2] == b"ok"
