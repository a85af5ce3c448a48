"""A load that comes at a constant rate, whether or not the answers keep up: its waits count from when each was due.

wrk asks again when it has been answered, so a proxy that stalls is asked less and its stall counts once. Here, as in wrk2, a
request that was due during a stall has waited from then on. It is a program of its own, so that it can be pinned beside
the origin: `python -m bench.steady` with its order as JSON in the last argument; it runs until its time is over or its
standard input ends. One thread with select(2), the only one of the calls that wait whose time-out has microseconds in
Python: the milliseconds of the others would send requests in bursts.
"""

from __future__ import annotations

import ctypes
import gc
import json
import select
import socket
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.asking import cookies
from bench.load import BROWSER
from bench.node import LOOPBACK

_PR_SET_TIMERSLACK: Final = 29  # prctl(2); the kernel would else wake a sleeper up to 50 µs late
_READ_BYTES: Final = 64 * 1024
_LATE_S: Final = 10.0
"""How long the last answers are waited for."""


@dataclass(slots=True)
class _Connection:
    link: socket.socket
    due_s: float = 0.0
    request: bytes = b""
    answer: bytes = b""
    length: int = 0  # of the whole answer, once its head is there


@dataclass(slots=True)
class Load:
    """One run of it.

    Attributes:
        port: whom it asks.
        rate: requests a second.
        requests: asked in turn.
        waits: pairs of numbers: when a request was due (monotonic clock, seconds), and how long its answer took.
        told: what went wrong, by name; `asked again` is no failure: the connection had ended before the answer began.
    """

    port: int
    rate: int
    requests: Sequence[bytes]
    waits: array[float] = field(default_factory=lambda: array("d"))
    told: Counter[str] = field(default_factory=Counter)
    _idle: deque[_Connection] = field(default_factory=deque)
    _busy: dict[int, _Connection] = field(default_factory=dict)
    _queued: deque[tuple[float, bytes]] = field(default_factory=deque)

    def run(self, seconds: float, connections: int) -> None:
        """Ask for so long, on so many connections."""
        self._idle.extend(_Connection(self._connect()) for _ in range(connections))
        between_s = 1 / self.rate
        number, total = 0, int(seconds * self.rate)
        start_s = time.monotonic() + 0.01
        end_s = float("inf")
        while True:
            now_s = time.monotonic()
            while number < total and start_s + number * between_s <= now_s:
                self._ask(start_s + number * between_s, self.requests[number % len(self.requests)])
                number += 1
            if number >= total:
                if not self._busy and not self._queued:
                    return
                end_s = min(end_s, now_s + _LATE_S)
                if now_s > end_s:
                    self.told["never answered"] += len(self._busy) + len(self._queued)
                    return
                next_s = end_s
            else:
                next_s = start_s + number * between_s
            # Connections that idle are looked at too: whoever closes one must not be asked on it.
            links = {one.link.fileno(): one for one in self._idle} | self._busy
            watched = [sys.stdin.fileno(), *links] if number < total else list(links)
            readable, _, _ = select.select(watched, (), (), max(0.0, next_s - time.monotonic()))
            for descriptor in readable:
                if descriptor not in links:
                    total = number
                    continue
                self._read(links[descriptor])

    def _ask(self, due_s: float, request: bytes) -> None:
        if not self._idle:
            self._queued.append((due_s, request))
            return
        connection = self._idle.popleft()
        connection.due_s, connection.request, connection.answer, connection.length = due_s, request, b"", 0
        self._busy[connection.link.fileno()] = connection
        try:
            connection.link.send(request)
        except OSError:
            self._ended(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.link.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended(connection)
            return
        connection.answer += data
        if not connection.length:
            end = connection.answer.find(b"\r\n\r\n")
            if end < 0:
                return
            _, _, after = connection.answer[:end].lower().partition(b"\r\ncontent-length:")
            connection.length = end + 4 + int(after.partition(b"\r\n")[0])
        if len(connection.answer) >= connection.length:
            self._answered(connection)

    def _answered(self, connection: _Connection) -> None:
        self.waits.extend((connection.due_s, time.monotonic() - connection.due_s))
        if not connection.answer.startswith(b"HTTP/1.1 200"):
            self.told[f"status {connection.answer[9:12].decode()}"] += 1
        del self._busy[connection.link.fileno()]
        if b"\r\nconnection: close" in connection.answer[: connection.length].lower():
            connection.link.close()
            connection.link = self._connect()
        self._idle.append(connection)
        self._next()

    def _ended(self, connection: _Connection) -> None:
        was_asked = self._busy.pop(connection.link.fileno(), None) is not None
        connection.link.close()
        connection.link = self._connect()
        if not was_asked:
            return
        if connection.answer:
            self.told["cut"] += 1
        else:
            # What every client does when a connection that it kept turns out to be closed.
            self.told["asked again"] += 1
            self._queued.appendleft((connection.due_s, connection.request))
        self._idle.append(connection)
        self._next()

    def _next(self) -> None:
        if self._queued and self._idle:
            self._ask(*self._queued.popleft())

    def _connect(self) -> socket.socket:
        link = socket.create_connection((LOOPBACK, self.port), timeout=_LATE_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setblocking(False)
        return link


def requests(paths: Sequence[str]) -> list[bytes]:
    """The same requests that wrk sends: a browser's headers, each path with the cookies of its number."""
    return [
        "\r\n".join(
            [
                f"GET {path} HTTP/1.1",
                f"Host: {LOOPBACK}",
                *(f"{name}: {value}" for name, value in BROWSER.items()),
                f"Cookie: {cookies(number, path, account=False)}",
                "\r\n",
            ]
        ).encode()
        for number, path in enumerate(paths, 1)
    ]


def main() -> None:
    order = json.loads(sys.argv[-1])
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    load = Load(order["port"], order["rate"], requests(order["paths"]))
    gc.freeze()
    gc.disable()
    load.run(order["seconds"], order["connections"])
    Path(order["waits"]).write_bytes(load.waits.tobytes())
    print(json.dumps(load.told))


if __name__ == "__main__":
    main()
