"""A backend that can't be reached is told once, and so is its return; what it answers wrongly isn't told for every request."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

from proxy.core.model import Backend
from proxy.traffic.backends.reach import Reach
from proxy.traffic.limits import ticks
from tests.traffic.wire import Node, RawBackend

NEW = b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n"
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "backend"]


def test_the_first_failure_and_the_recovery_are_told_with_the_cause_and_what_clients_get(
    start: Callable[..., Node], new: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    node = start()
    new.stop_listening()
    with node.client() as client:
        for _ in range(3):
            client.send(NEW)
            assert client.answer()[0] == 502
        assert messages(caplog) == [
            f"new {new.url} can't be reached (connection refused); requests that only it may answer get 502"
        ]
        new.listen_again()
        client.send(NEW)
        with new.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert client.answer()[0] == 200
    assert messages(caplog)[1:] == [f"new {new.url} is reached again"]


def test_a_backend_that_comes_and_goes_is_told_at_most_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    reach = Reach(Backend.NEW, "http://shop:1")
    for tick in range(ticks(10)):
        reach.failed(REFUSED, tick, connect_s=2, alone=True)
        reach.made()
    assert len(messages(caplog)) == 2
    reach.failed(REFUSED, ticks(10), connect_s=2, alone=True)
    assert len(messages(caplog)) == 3


def test_a_failure_that_lasts_is_told_even_if_it_began_while_nothing_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reach = Reach(Backend.NEW, "http://shop:1")
    reach.failed(REFUSED, 0, connect_s=2, alone=True)
    reach.made()
    for tick in range(1, ticks(10) + 2):
        reach.failed(REFUSED, tick, connect_s=2, alone=True)
    assert len(messages(caplog)) == 3


@pytest.mark.parametrize(
    ("error", "alone", "told"),
    [
        (TimeoutError(), True, "(no connection within 2 s); requests that only it may answer get 504"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True, "(Name or service not known)"),
        (REFUSED, False, "(connection refused); its other endpoints are asked first"),
    ],
)
def test_the_cause_is_in_the_words_of_the_system(
    error: OSError, *, alone: bool, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    Reach(Backend.LEGACY, "http://shop:1").failed(error, 0, connect_s=2, alone=alone)
    assert told in messages(caplog)[0]


def test_a_backend_that_answers_wrongly_again_and_again_is_told_once(
    start: Callable[..., Node], new: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = start()
    for _ in range(3):
        with node.client() as client:
            client.send(NEW)
            with new.accept() as backend:
                backend.head()
                backend.send(TWO_LENGTHS)
                assert client.answer()[0] == 502
    assert messages(caplog) == [f"new {new.url}: repeated Content-Length"]
    assert sum(b"new-head-malformed" in line for line in node.log_lines(3)) == 3


def test_how_much_was_not_told_is_told_with_the_next(caplog: pytest.LogCaptureFixture) -> None:
    reach = Reach(Backend.NEW, "http://shop:1")
    for tick in (5, 6, 5 + ticks(10) - 1, 5 + ticks(10)):
        reach.flawed("malformed status line", tick)
    first, second = messages(caplog)
    assert first == "new http://shop:1: malformed status line"
    assert second == f"{first}; and 2 others since this was said last"
