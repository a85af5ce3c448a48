"""A population of clients who want more than they get: each asks so often, and gives up an answer that comes too late.

The load doesn't wait for the proxy (an open loop): what a client wants is counted when it wants it, whether or not its last
request has been answered. As browsers and pools do, a client asks one thing at a time on one connection; what it wants
meanwhile it goes without, and that counts as wanted and not had. A request that isn't answered within its patience ends its connection, and
the client makes another: the proxy has to bear that, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from bench.node import LOOPBACK

PATIENCE_S: Final = 2.0
"""Twice what a full backend lets wait by default (`queue.wait`): whoever is told 503 hears it in time."""
_STEP_S: Final = 0.01
_CONNECTING_AT_ONCE: Final = 50


@dataclass(slots=True)
class Had:
    """What a population met.

    Attributes:
        wanted: requests that were due.
        answers: by status; those within the patience alone.
        given_up: requests that weren't answered in time.
        cut: requests whose connection ended.
        waits_s: of answers with 200.
    """

    wanted: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    given_up: int = 0
    cut: int = 0
    waits_s: list[float] = field(default_factory=list)


class _One(asyncio.Protocol):
    """One client."""

    def __init__(self, population: Population, number: int) -> None:
        self.number = number
        self._population = population
        self._request = population.request(number)
        self._got = b""
        self.asked_s = 0.0  # 0: nothing is under way
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports inherit nothing
        if self._population.closed_loop:
            self.ask(self._population.now_s())

    def ask(self, now_s: float) -> None:
        if self.transport is not None and not self.asked_s:
            self.asked_s = now_s
            self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = got[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if len(got) < end + 4 + length:
            return
        self._got = b""
        population = self._population
        status = int(got[9:12])
        now_s = population.now_s()
        population.had.answers[status] += 1
        if status == 200:
            population.had.waits_s.append(now_s - self.asked_s)
        self.asked_s = 0.0
        if population.closed_loop:
            self.ask(now_s)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.transport = None
        if self.asked_s:
            self._population.had.cut += 1
            self.asked_s = 0.0
        self._population.lost.append(self)


class Population:
    """Clients of one proxy.

    Args:
        port: of the proxy.
        request: what the client of a number asks.
        clients: how many there are.
        rate: requests that they want a second, all together; None: each asks as soon as it is answered.
    """

    def __init__(self, port: int, request: Callable[[int], bytes], *, clients: int, rate: float | None) -> None:
        self.request = request
        self.had = Had()
        self.closed_loop = rate is None
        self.lost: list[_One] = []
        self.now_s = asyncio.get_running_loop().time
        self._port = port
        self._rate = rate
        self._clients = [_One(self, number) for number in range(clients)]
        self._connecting = 0
        self._next = 0

    async def run(self, seconds: float, *, first_s: float, counted: Callable[[], object]) -> Had:
        """Want for so long; gives what was had, without the first so many seconds; `counted` is called when these are over."""
        self.lost = list(self._clients)
        began_s = last_s = self.now_s()
        due = 0.0
        counts = False
        async with asyncio.TaskGroup() as tasks:
            while (now_s := self.now_s()) < began_s + first_s + seconds:
                if not counts and now_s >= began_s + first_s:
                    counts = True
                    self.had = Had()
                    counted()
                while self.lost and self._connecting < _CONNECTING_AT_ONCE:
                    self._connecting += 1
                    tasks.create_task(self._connect(self.lost.pop()))
                if self._rate is not None:
                    due += (now_s - last_s) * self._rate
                    self._want(int(due), now_s)
                    due -= int(due)
                self._give_up(now_s)
                last_s = now_s
                await asyncio.sleep(_STEP_S)
        return self.had

    def _want(self, count: int, now_s: float) -> None:
        clients, at = self._clients, self._next
        for _ in range(count):
            clients[at].ask(now_s)
            at = (at + 1) % len(clients)
        self._next = at
        self.had.wanted += count

    def _give_up(self, now_s: float) -> None:
        for one in self._clients:
            if one.asked_s and now_s - one.asked_s > PATIENCE_S and one.transport is not None:
                one.asked_s = 0.0
                self.had.given_up += 1
                one.transport.abort()

    async def _connect(self, one: _One) -> None:
        fresh = self._clients[one.number] = _One(self, one.number)
        try:
            await asyncio.get_running_loop().create_connection(lambda: fresh, LOOPBACK, self._port)
        except OSError:
            self.lost.append(fresh)
        finally:
            self._connecting -= 1

    def leave(self) -> None:
        """Everybody goes."""
        self.closed_loop = False
        for one in self._clients:
            if one.transport is not None:
                one.transport.abort()


def median(figures: Sequence[float]) -> float:
    """The middle one; 0 of none."""
    return sorted(figures)[len(figures) // 2] if figures else 0.0
