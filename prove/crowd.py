"""A crowd of keep-alive clients in a closed loop, and an origin that says which request it was asked.

Both are protocols on one uvloop, pinned away from the proxy, so that two hundred connections cost less than the proxy does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.node import LOOPBACK


class Origin(asyncio.Protocol):
    """Answers every request with the target and the `X-Config` header that reached it; keeps connections alive."""

    def __init__(self) -> None:
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit nothing

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        assert self._transport is not None
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head, self._waiting = self._waiting[:end], self._waiting[end + 4 :]
            target = head.split(b" ", 2)[1]
            _, _, after = head.lower().partition(b"x-config: ")
            body = target + b" " + after.partition(b"\r\n")[0]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@dataclass(slots=True)
class Told:
    """What a crowd met."""

    answers: Counter[bytes] = field(default_factory=Counter)  # by body
    failures: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)


class Client(asyncio.Protocol):
    """One connection that asks, waits for the answer, and asks again; when it is cut, it connects anew."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._answer = b""
        self._asked_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit nothing
        self._crowd.transports.add(self._transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._answer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if len(self._answer) < end + 4 + length:
            return
        told = self._crowd.told
        told.waits_s.append(time.monotonic() - self._asked_s)
        status = head[9:12]
        if status == b"200":
            told.answers[self._answer[end + 4 :]] += 1
        else:
            told.failures[f"status {status.decode()}"] += 1
        self._answer = b""
        self._asked_s = 0.0
        if b"\r\nconnection: close" in head:
            return  # asked again, it would not be heard
        if self._crowd.pause_s:
            pause_s = random.expovariate(1 / self._crowd.pause_s)
            asyncio.get_running_loop().call_later(pause_s, self._ask)
        else:
            self._ask()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._transport is not None:
            self._crowd.transports.discard(self._transport)
        if self._crowd.asking:
            if self._asked_s:
                self._crowd.told.failures["connection cut"] += 1
            self._crowd.join()

    def _ask(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if not self._crowd.asking:
            self._transport.close()
            return
        self._asked_s = time.monotonic()
        self._transport.write(self._crowd.request)


class Crowd:
    """Many clients of one address."""

    def __init__(self, port: int, request: bytes, *, pause_s: float = 0.0) -> None:
        """Nobody is there yet.

        Args:
            port: of the proxy.
            request: what each client asks, again and again.
            pause_s: how long a client waits on the average before it asks again.
        """
        self.request = request
        self.pause_s = pause_s
        self.told = Told()
        self.asking = True
        self.transports: set[asyncio.Transport] = set()
        self._port = port
        self._joining: set[asyncio.Task[None]] = set()

    def join(self) -> None:
        """Send one more client; where nobody listens it tries again until the crowd leaves."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _connect(self) -> None:
        while self.asking:
            try:
                await asyncio.get_running_loop().create_connection(lambda: Client(self), LOOPBACK, self._port)
            except OSError:
                self.told.failures["connection refused"] += 1
                await asyncio.sleep(0.05)
            else:
                return

    async def leave(self) -> None:
        """Let every client finish what it asked."""
        self.asking = False
        for task in list(self._joining):
            task.cancel()
        await until(lambda: not self.transports, within_s=10)


async def until(condition: Callable[[], bool], *, within_s: float) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it didn't come true in time.
    """
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
