"""The traffic of one worker: listening sockets, the wiring in force, deadlines, draining."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from proxy.core.freeze import freezing, writes
from proxy.core.model import Backend
from proxy.core.tracecontext import TRACEPARENT
from proxy.core.websocket import SWITCHING
from proxy.traffic.client import ClientConnection
from proxy.traffic.entrance import Entrance, Terms
from proxy.traffic.lasting import Lasting
from proxy.traffic.leaks import Leaks
from proxy.traffic.limits import TICK_S, Limits, ticks
from proxy.traffic.observers import Observe, Observers
from proxy.traffic.pool import Endpoint, Load, Pool
from proxy.traffic.telemetry import Telemetry
from proxy.traffic.tls import PLAIN, BackendContext, Credentials
from proxy.traffic.tunnel import Tunnel
from proxy.traffic.wiring import Wiring

if TYPE_CHECKING:
    from proxy.core.counters import Counters
    from proxy.core.covering import LiveLatch
    from proxy.core.faults import Fault
    from proxy.core.freeze import LiveFreeze
    from proxy.core.generation import Generation
    from proxy.core.pages import TextPage
    from proxy.traffic.ending import Ending
    from proxy.traffic.log import AccessLog

_log = logging.getLogger(__name__)

_BACKLOG: Final = 4096  # the kernel lowers it to net.core.somaxconn; listen() on an inherited socket sets it anew
_ACCEPTED_AT_ONCE: Final = 4096
_TURNS_TO_CLOSE: Final = 3  # an aborted connection is told in the next turn and freed in the one after


class Traffic:
    """Everything in flight on one worker.

    Args:
        generation: what the first requests live in.
        counters: where is counted.
        log: where each exchange leaves a line; None: nowhere.
        latch: gives the rollbacks in force, the same object as long as nothing changed.
        share_of_node: how many workers share the node's limits.
        limits: of clients and connections.
        regions: the page for regions that requests have; None: nobody asks for them.
        credentials: what TLS of the generation needs.

    Attributes:
        credentials: of the generation in force.
        in_flight: exchanges that have begun and are not over, those without a client included.
        tick: counts deadlines' sweeps; time as far as they are concerned.
        date_line: for an answer that came without a Date; right to the second, less a tick.
        wiring: what a request that begins now lives in.
        observers: look at exchanges that are over.
        freezes: those in force, replaced whole, the same object as long as nothing changed.
    """

    def __init__(
        self,
        generation: Generation,
        *,
        counters: Counters,
        log: AccessLog | None,
        latch: Callable[[], LiveLatch],
        share_of_node: int = 1,
        limits: Limits | None = None,
        regions: TextPage | None = None,
        credentials: Credentials = PLAIN,
    ) -> None:
        self.limits = limits = limits or Limits()
        self.latch = latch
        self.telemetry = Telemetry(counters)
        self._leaks = Leaks(self.telemetry)
        self.in_flight = 0
        self.draining = False
        self.freezes: tuple[LiveFreeze, ...] = ()
        self.tick = 0
        self.date_line = _date_line()
        self.orphans: set[Ending] = set()
        self.lasting = Lasting(latch, lambda: self.wiring.generation)
        self._lasting = self.lasting.held  # looked at for every exchange
        self.tunnel_idle_ticks = ticks(limits.tunnel_idle_s)
        self.tunnel_half_ticks = ticks(limits.tunnel_half_closed_s)
        self.head_ticks = ticks(limits.head_s)
        self.idle_ticks = ticks(limits.idle_s)
        self.client_stall_ticks = ticks(limits.client_stall_s)
        self.linger_ticks = ticks(limits.linger_s)
        self.greet_ticks = ticks(limits.greet_s)
        self._backend_idle_ticks = ticks(limits.backend_idle_s)
        self._log = log
        self._share_of_node = share_of_node
        self._clients: set[ClientConnection] = set()
        self._endpoints: dict[tuple[Backend, str, BackendContext | None], Endpoint] = {}
        self._loads = {backend: Load() for backend in Backend}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[tuple[asyncio.Server, socket.socket]] = []
        self._entrances: list[tuple[Entrance, socket.socket]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        # Ids needn't be secret, only different between workers and restarts: half random, half counted.
        self._id_prefix = b"%016x" % random.SystemRandom().getrandbits(64)
        self._id = 0
        self.observers = Observers(self.telemetry, regions)
        self._observing: tuple[Observe, ...] = ()
        self.wiring: Wiring
        self.credentials: Credentials
        self.swap(generation, credentials)

    def swap(self, generation: Generation, credentials: Credentials = PLAIN) -> None:
        """Let requests that begin from now on live in another generation; those in flight keep theirs."""
        endpoints: dict[tuple[Backend, str, BackendContext | None], Endpoint] = {}
        pools = {}
        for backend, spec in generation.backends.items():
            # Another certificate or authority means other connections: what was trusted then needn't be trusted now.
            names = [(backend, url, credentials.for_endpoint(backend, url)) for url in spec.urls]
            for name in names:
                kept = self._endpoints.get(name)
                endpoints[name] = kept or Endpoint(backend, name[1], self.telemetry, name[2])
            pools[backend] = Pool(
                spec,
                [endpoints[name] for name in names],
                self._loads[backend],
                share_of_node=self._share_of_node,
                tasks=self._tasks,
            )
        self.wiring = Wiring(generation, pools, self._leaks)
        gone = [endpoint for name, endpoint in self._endpoints.items() if name not in endpoints]
        self._endpoints = endpoints
        for endpoint in gone:
            endpoint.retire()
        self.credentials = credentials
        self._terms = Terms(generation.listener, credentials)
        self._open_entrances()
        self.lasting.look()
        self._observing = self.observers.of(generation)

    def latch_changed(self) -> None:
        """Another latch is in force: recall what lasts on new and is covered now."""
        self.lasting.look()

    async def listen(self, sock: socket.socket) -> None:
        """Accept from an inherited listening socket; `drain` closes it, since an open one keeps on queueing."""
        loop = asyncio.get_running_loop()
        if self._terms.guarded:
            sock.listen(_BACKLOG)
            self._entrances.append((Entrance(self, sock, self._terms), sock))
        else:
            own = sock.dup()
            own.setblocking(False)
            server = await loop.create_server(lambda: ClientConnection(self), sock=own, backlog=_BACKLOG)
            self._servers.append((server, sock))
        if self._timer is None:
            self._timer = loop.call_later(TICK_S, self._sweep)

    def _open_entrances(self) -> None:
        """Let the next connections begin as the generation says. Who accepts by hand goes on so: a plain server can wait."""
        if self._terms.guarded and self._servers:
            servers, self._servers = self._servers, []
            for server, sock in servers:
                server.close()
                self._entrances.append((Entrance(self, sock, self._terms), sock))
        for entrance, _ in self._entrances:
            entrance.terms = self._terms

    async def drain(self, timeout_s: float) -> None:
        """Stop: accept what is queued, close what is idle, let what is in flight end, then close.

        Args:
            timeout_s: after that, what is still in flight is cut.
        """
        servers, self._servers = self._servers, []
        for server, _ in servers:
            server.close()
        for _, sock in servers:
            await self._accept_queued(sock)
            sock.close()
        for entrance, sock in self._entrances:
            entrance.close()
            sock.close()
        self.draining = True
        for client in list(self._clients):
            client.drain()
        if not self._nothing_left():
            self._emptied.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()
            except TimeoutError:
                _log.warning("drained for %g s; %d requests in flight are cut", timeout_s, self.in_flight)
        self.lasting.close()
        for orphan in list(self.orphans):
            orphan.drained()
        for client in list(self._clients):
            client.drained()
        for endpoint in self._endpoints.values():
            endpoint.retire()
        tasks = [*self._tasks, *(task for entrance, _ in self._entrances for task in entrance.greeting)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._clients:  # aborted: the loop tells each in its next turn
            self._emptied.clear()
            await self._emptied.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush()
        for _ in range(_TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    async def _accept_queued(self, sock: socket.socket) -> None:
        """Take what the kernel has already accepted for us: closing the socket would reset it."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, _ = sock.accept()
            except OSError:
                return
            accepted.setblocking(False)
            await loop.connect_accepted_socket(lambda: ClientConnection(self), accepted)

    def new_request_id(self) -> bytes:
        """An id no other request has."""
        self._id += 1
        return b"%b%016x" % (self._id_prefix, self._id)

    def client_opened(self, client: ClientConnection) -> None:
        """A client connected."""
        self._clients.add(client)
        self.telemetry.client_opened()

    def client_closed(self, client: ClientConnection) -> None:
        """A client's connection ended."""
        self._clients.discard(client)
        self.telemetry.client_closed()
        if not self._clients:
            self._tell_emptied()

    def greeted(self) -> None:
        """A connection that was accepted is a client now, or isn't."""
        self._tell_emptied()

    def tunnel_opened(self, tunnel: Tunnel) -> None:
        """An exchange became a tunnel."""
        self.lasting.add(tunnel)
        self.telemetry.tunnel_opened(tunnel.exchange.decision)

    def tunnel_closed(self, tunnel: Tunnel) -> None:
        """A tunnel has ended; its exchange is counted and logged by `exchange_over`."""
        self.lasting.discard(tunnel)
        self.telemetry.tunnel_closed(tunnel.exchange.decision)

    def stream_opened(self, exchange: Ending) -> None:
        """An answer turned out to be an event stream."""
        self.lasting.add(exchange)
        self.telemetry.stream_opened(exchange.decision)

    def exchange_over(self, exchange: Ending) -> None:
        """Count and log an exchange; called once for each."""
        self.in_flight -= 1
        if self.orphans:
            self.orphans.discard(exchange)
            self._tell_emptied()
        status = exchange.status
        lasted = status == SWITCHING
        if self._lasting and self.lasting.discard(exchange):
            lasted = True
            self.telemetry.stream_closed(exchange.decision)
        duration_us = int((time.monotonic() - exchange.started_s) * 1_000_000)
        self.telemetry.exchange(
            exchange.decision,
            status,
            duration_us,
            exchange.received,
            exchange.sent,
            head_us=exchange.head_us,
            lasted=lasted,
        )
        for observe in self._observing:
            observe(exchange, duration_us, lasted)
        if self._log is not None:
            fault = exchange.fault
            self._log.exchange(
                exchange.decision,
                status,
                request_id=exchange.request_id,
                method=exchange.head.method,
                path=exchange.head.target.partition(b"?")[0],
                fault=None if fault is None else fault.name,
                generation=exchange.wiring.generation.number,
                received=exchange.received,
                sent=exchange.sent,
                duration_us=duration_us,
                head_us=exchange.head_us,
                closed_by=exchange.closed_by if status == SWITCHING else None,
                trace=exchange.trace_id if TRACEPARENT in exchange.head.values or exchange.trace is not None else None,
            )

    def head_refused(self, fault: Fault, status: int, request_id: bytes, *, received: int, sent: int) -> None:
        """Count and log a request whose head can't be read."""
        self.telemetry.fault(fault, None)
        self.telemetry.refused(fault)
        self.telemetry.exchange(None, status, 0, received, sent)
        if self._log is not None:
            self._log.exchange(
                None,
                status,
                request_id=request_id,
                method=b"-",
                path=b"-",
                fault=fault.name,
                generation=self.wiring.generation.number,
                received=received,
                sent=sent,
                duration_us=0,
                head_us=None,
            )

    def in_flight_under_freezes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """For each freeze how many requests in its scope may still change data, since they began before it, and how many tunnels."""
        begun = [client.exchange for client in self._clients]
        decisions = [
            exchange.decision
            for exchange in (*begun, *self.orphans)
            if exchange is not None and exchange.decision is not None and writes(exchange.head.method)
        ]
        tunnels = [one.decision for one in self.lasting.held if isinstance(one, Tunnel) and one.decision is not None]
        writing, tunnelling = (
            tuple(sum(freezing(one, (live,)) is not None for one in several) for live in self.freezes)
            for several in (decisions, tunnels)
        )
        return writing, tunnelling

    def _nothing_left(self) -> bool:
        return not self._clients and not self.orphans and not any(one.greeting for one, _ in self._entrances)

    def _tell_emptied(self) -> None:
        if self.draining and self._nothing_left():
            self._emptied.set()

    def _sweep(self) -> None:
        """Once a tick: every deadline, and what is counted only now and then."""
        self.tick = tick = self.tick + 1
        self.date_line = _date_line()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._sweep)
        for client in list(self._clients):
            client.sweep(tick)
        for orphan in list(self.orphans):
            orphan.sweep(tick)
        for endpoint in self._endpoints.values():
            endpoint.close_idle(tick - self._backend_idle_ticks)
        self._flush()

    def _flush(self) -> None:
        dropped = 0 if self._log is None else self._log.dropped + self._log.lost
        self.observers.publish(self.tick)
        self.telemetry.flush(in_flight=self.in_flight, log_dropped=dropped)


def _date_line() -> bytes:
    return b"Date: %b\r\n" % formatdate(usegmt=True).encode()
