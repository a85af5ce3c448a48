"""A whole proxy, its two backends and its client on one event loop, over real sockets.

One loop for all, because then nothing has to be waited for by the clock: when a few turns have passed in which nobody was
told anything, nothing is on its way any more.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from fcntl import ioctl
from functools import partial
from typing import Any, Final, Protocol

from proxy.core.limits import Limits
from proxy.core.model import Backend
from proxy.core.override import override
from proxy.core.plan import Identity, Source
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from proxy.core.telling.counters import PAGE_BYTES, Counters
from proxy.traffic.exchanges.exchange import Exchange
from proxy.traffic.server import Traffic
from proxy.traffic.telling.log import AccessLog
from tests.traffic.wire import a_plan, build

QUIET_TURNS: Final = 6
_PATIENCE_S: Final = 2.0
_IDENTITY: Final = Identity(
    trusted_from=("192.0.2.1/32",), account=(Source(source="header", name="X-Account-Id", place="routes.yaml:9:3"),)
)
_LIMITS: Final = Limits(head_bytes=8 * 1024, request_line_bytes=2 * 1024)


@dataclass(slots=True)
class Line:
    """What the proxy itself says of one exchange, as for its log."""

    backend: Backend | None
    status: int
    request_id: bytes
    method: bytes
    path: bytes
    fault: str | None
    received: int
    sent: int


class Lines(AccessLog):
    """A log that is kept in memory."""

    def __init__(self) -> None:
        # Not the base's: it would open a file and start a thread.
        self.lines: list[Line] = []
        self.dropped = 0
        self.lost = 0

    @override
    def exchange(self, decision: Any, status: int, *_: Any, **told: Any) -> None:
        backend = None if decision is None else decision.backend
        kept = {name: told[name] for name in ("request_id", "method", "path", "fault", "received", "sent")}
        self.lines.append(Line(backend, status, **kept))


class Defects(logging.Handler):
    """Keeps what the proxy logs with a trace: always a defect of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(logging.Formatter().format(record))


class End(asyncio.Protocol):
    """One end of a connection that the proxy has no part in: client or backend."""

    transport: asyncio.Transport

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.received = bytearray()
        self.ended: str | None = None  # how the other side ended it: `closed` or `reset`

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's isn't one by inheritance
        self.rig.moved += 1

    @override
    def data_received(self, data: bytes) -> None:
        self.rig.moved += 1
        self.received += data

    @override
    def eof_received(self) -> bool:
        self.rig.moved += 1
        self.ended = self.ended or "closed"
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.rig.moved += 1
        self.ended = self.ended or ("closed" if exc is None else "reset")


class BackendEnd(End):
    """A backend's end; what it does with what comes is the direction's business."""

    def __init__(self, rig: Rig, backend: Backend) -> None:
        super().__init__(rig)
        self.backend = backend

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.rig.backend_ends.append(self)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.rig.behaviour.received(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.rig.behaviour.lost(self)


class Behaviour(Protocol):
    """What the backends do."""

    def received(self, end: BackendEnd) -> None:
        """More bytes are in `end.received`."""
        ...

    def lost(self, end: BackendEnd) -> None:
        """The connection has ended."""
        ...


class Hung(Exception):
    """Something that must happen didn't."""


@dataclass(slots=True)
class Rig:
    """A proxy and what is around it; `start`, use, `stop`.

    Attributes:
        behaviour: what the backends do, set for each input.
        patient: wait longer before anything is called still: to try a find again.
        moved: rises with everything that client and backends are told.
        backend_ends: every connection that the backends have accepted and that stands, and those that ended in this input.
    """

    behaviour: Behaviour
    patient: bool = False
    moved: int = 0
    backend_ends: list[BackendEnd] = field(default_factory=list)
    log: Lines = field(default_factory=Lines)
    defects: Defects = field(default_factory=Defects)
    counters: Counters = field(default_factory=lambda: Counters(memoryview(bytearray(PAGE_BYTES))))
    traffic: Traffic = field(init=False)
    port: int = field(init=False)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _listening: socket.socket = field(init=False)

    async def start(self) -> None:
        """Open everything, and take part in logging."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.defects.found.append(repr(context)))
        urls = {}
        for backend in Backend:
            server = await loop.create_server(partial(BackendEnd, self, backend), "127.0.0.1", 0)
            self._servers.append(server)
            urls[backend] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        plan = a_plan(
            urls[Backend.LEGACY],
            urls[Backend.NEW],
            identity=_IDENTITY,
            cookies_legacy=("lid",),
            cookies_new=("sid",),
            limits=_LIMITS,
        )
        self.traffic = Traffic(build(plan), counters=self.counters, log=self.log, latch=lambda: NOTHING_ROLLED_BACK)
        await self.traffic.listen(self._listening)
        logging.getLogger("proxy").addHandler(self.defects)

    async def stop(self) -> None:
        """Close everything."""
        logging.getLogger("proxy").removeHandler(self.defects)
        await self.traffic.drain(0)
        self._listening.close()
        for server in self._servers:
            server.close()
        for end in self.backend_ends:
            end.transport.abort()
        await self.still()

    async def connect(self) -> End:
        """A client."""
        loop = asyncio.get_running_loop()
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, end = await loop.create_connection(lambda: End(self), sock=sock)
        await self.until(lambda: bool(self.traffic._clients), "the proxy accepts")
        return end

    async def send(self, client: End, reads: tuple[bytes, ...]) -> None:
        """Send pieces so that each is a read of its own, as far as the kernel plays along."""
        for read in reads:
            if client.ended or client.transport.is_closing():
                return
            client.transport.write(read)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def still(self) -> None:
        """Wait until nothing moves any more.

        Raises:
            Hung: it never ends.
        """
        if self.patient:
            await asyncio.sleep(0.02)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        quiet = 0
        moved = self.moved
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.moved == moved and not self._on_its_way() else 0
            moved = self.moved
            if asyncio.get_running_loop().time() > deadline:
                raise Hung("it goes on and on")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what must come.

        Raises:
            Hung: it doesn't.
        """
        for _ in range(200):
            if condition():
                return
            await asyncio.sleep(0)
        for _ in range(int(_PATIENCE_S / 0.005)):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise Hung(f"never happened: {what}")

    async def hang_up(self, client: End) -> None:
        """The client has had enough.

        Raises:
            Hung: the proxy keeps something of it.
        """
        if not client.transport.is_closing():
            client.transport.write_eof()
        await self.until(lambda: client.ended is not None, "the client's connection ends")
        client.transport.abort()
        await self.until(lambda: not self.traffic._clients, "the proxy lets the client go")
        await self.still()
        if self.traffic.orphans:  # unsafe, so it runs to its end, which here never comes
            for end in self.backend_ends:
                end.transport.abort()
        await self.until(lambda: not self.traffic.in_flight, "the exchange ends")
        await self.still()

    def waits_for_backend(self) -> bool:
        """Whether a request that has come whole waits for an answer."""
        return any(
            isinstance(client._exchange, Exchange) and client._exchange.request_done for client in self.traffic._clients
        )

    def leaks(self) -> list[str]:
        """What is left behind when no client is there any more."""
        traffic = self.traffic
        found = []
        if traffic.in_flight or traffic.orphans or traffic.lasting.held:
            found.append(
                f"{traffic.in_flight} in flight, {len(traffic.orphans)} orphans, {len(traffic.lasting.held)} lasting"
            )
        lent = {str(name): load.in_flight for name, load in traffic._loads.items() if load.in_flight}
        lent |= {endpoint.url: endpoint.in_flight for endpoint in traffic._endpoints.values() if endpoint.in_flight}
        if lent:
            found.append(f"never returned: {lent}")
        for backend in Backend:
            idle = sum(len(one._idle) for one in traffic._endpoints.values() if one.backend is backend)
            standing = sum(end.ended is None for end in self.backend_ends if end.backend is backend)
            counted = self.counters.cells[traffic.telemetry._open[backend]]
            if not idle == standing == counted:
                found.append(f"{backend}: {standing} connections stand, {idle} are idle, {counted} are counted")
        return found

    def forget(self) -> None:
        """Make ready for the next input."""
        self.log.lines.clear()
        self.defects.found.clear()
        self.backend_ends = [end for end in self.backend_ends if end.ended is None]
        for end in self.backend_ends:
            end.received.clear()

    def _on_its_way(self) -> bool:
        """Whether bytes wait for the proxy, or it waits for a connection."""
        if self.traffic._tasks:
            return True
        for client in self.traffic._clients:
            sock = client.transport.get_extra_info("socket")
            if not client._paused and not client.transport.is_closing() and _unread(sock):
                return True
        return any(end.ended is None and _unread(end.transport.get_extra_info("socket")) for end in self.backend_ends)


def _unread(sock: Any) -> int:
    try:
        return int.from_bytes(ioctl(sock.fileno(), termios.FIONREAD, b"\0\0\0\0"), "little")
    except OSError:
        return 0
