"""Listening sockets: addresses as people write them, and strangers kept out."""

from __future__ import annotations

import contextlib
import socket

import pytest

from proxy.supervise.sockets import BadAddress, bind, parse_address, show_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        (":8080", ("0.0.0.0", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_read(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["8080", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:65536", "::1:80", "h:", "h:²"])
def test_what_is_no_address_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(BadAddress, match=r"HOST:PORT|in brackets"):
        parse_address(text)


def test_nothing_listens_before_the_supervisor_says_so() -> None:
    (sock,) = bind("127.0.0.1:0")
    with sock, pytest.raises(ConnectionRefusedError):
        socket.create_connection(sock.getsockname())


def test_several_workers_share_one_port() -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in bind("127.0.0.1:0", 3)]
        assert len({show_address(sock) for sock in sockets}) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_an_address_in_use_is_refused_even_where_sockets_would_share_it(count: int) -> None:
    with contextlib.ExitStack() as stack:
        (taken,) = (stack.enter_context(sock) for sock in bind("127.0.0.1:0"))
        taken.listen()
        with pytest.raises(BadAddress, match="in use"):
            bind(show_address(taken), count)


def test_a_host_that_nobody_knows_is_told() -> None:
    with pytest.raises(BadAddress, match=r"nowhere\.invalid:80"):
        bind("nowhere.invalid:80")
