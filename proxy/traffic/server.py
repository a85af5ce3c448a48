"""The traffic of one worker: listening sockets, the wiring in force, deadlines, draining."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from proxy.core.http.tracecontext import TRACEPARENT
from proxy.core.http.websocket import SWITCHING
from proxy.core.limits import Limit
from proxy.core.model import Backend
from proxy.traffic.backends.endpoints import Endpoints
from proxy.traffic.backends.load import Load
from proxy.traffic.backends.tls import PLAIN, Credentials
from proxy.traffic.clients.caps import Caps
from proxy.traffic.clients.client import ClientConnection
from proxy.traffic.clients.crowd import Admission, Crowd
from proxy.traffic.clients.doors import Doors
from proxy.traffic.clients.entrance import Terms
from proxy.traffic.clients.headless import turn_away
from proxy.traffic.exchanges.frozen import under_freezes
from proxy.traffic.exchanges.lasting import Lasting
from proxy.traffic.limits import GREET_S, TICK_S, affordable_connections, ticks
from proxy.traffic.telling.defects import Defects
from proxy.traffic.telling.ids import RequestIds
from proxy.traffic.telling.leaks import Leaks
from proxy.traffic.telling.observers import Observe, Observers
from proxy.traffic.telling.telemetry import Telemetry
from proxy.traffic.wiring import Wiring

if TYPE_CHECKING:
    from proxy.core.generation import Generation
    from proxy.core.limits import Limits
    from proxy.core.switches.covering import LiveLatch
    from proxy.core.switches.freeze import LiveFreeze
    from proxy.core.telling.counters import Counters
    from proxy.core.telling.faults import Fault
    from proxy.core.telling.pages import TextPage
    from proxy.traffic.exchanges.drilling import Drilling
    from proxy.traffic.exchanges.ending import Ending
    from proxy.traffic.exchanges.exchange import Exchange
    from proxy.traffic.exchanges.tunnel import Tunnel
    from proxy.traffic.telling.log import AccessLog

_log = logging.getLogger(__name__)

_TURNS_TO_CLOSE: Final = 3  # an aborted connection is told in the next turn and freed in the one after


class Traffic(RequestIds):
    """Everything in flight on one worker.

    Args:
        generation: what the first requests live in.
        counters: where is counted.
        log: where each exchange leaves a line; None: nowhere.
        latch: gives the rollbacks in force, the same object as long as nothing changed.
        share_of_node: how many workers share the node's limits.
        regions: the page for regions that requests have; None: nobody asks for them.
        credentials: what TLS of the generation needs.

    Attributes:
        credentials: of the generation in force.
        doors: where clients come in.
        deserted: attempts to connect to a backend for somebody who has left; exact once a tick, in between too high rather than too low.
        in_flight: exchanges that have begun and are not over, those without a client included.
        tick: counts deadlines' sweeps; time as far as they are concerned.
        limits: of clients and connections, as the newest generation has them; an exchange keeps its own generation's.
        date_line: for an answer that came without a Date; right to the second, less a tick.
        wiring: what a request that begins now lives in.
        observers: look at exchanges that are over.
        freezes: those in force, replaced whole, the same object as long as nothing changed.
        drilling: what drills do; None: none is on.
    """

    def __init__(
        self,
        generation: Generation,
        *,
        counters: Counters,
        log: AccessLog | None,
        latch: Callable[[], LiveLatch],
        share_of_node: int = 1,
        regions: TextPage | None = None,
        credentials: Credentials = PLAIN,
    ) -> None:
        super().__init__()
        self.latch = latch
        self.telemetry = Telemetry(counters)
        self._defects = Defects(self.telemetry)
        self._leaks = Leaks(self.telemetry)
        self._caps = Caps(self.telemetry, share_of_node)
        self.in_flight = self.deserted = 0
        self.draining = False
        self.freezes: tuple[LiveFreeze, ...] = ()
        self.drilling: Drilling | None = None
        self.tick = 0
        self.date_line = _date_line()
        self.orphans: set[Ending] = set()
        self.lasting = Lasting(latch, lambda: self.wiring.generation)
        self._lasting = self.lasting.held  # looked at for every exchange
        self.greet_ticks = ticks(GREET_S)
        self._log = log
        self._share_of_node = share_of_node
        self._clients = Crowd(share_of_node=share_of_node)
        self._affordable = affordable_connections()
        self._loads = {backend: Load(backend, self.telemetry) for backend in Backend}
        self._tasks: dict[asyncio.Task[None], Exchange] = {}  # that connect
        self._endpoints = Endpoints(self.telemetry, self._loads, self._tasks)
        self.doors = Doors(self)
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self.observers = Observers(self.telemetry, regions)
        self._observing: tuple[Observe, ...] = ()
        self.wiring: Wiring
        self.credentials: Credentials
        self.swap(generation, credentials)

    def swap(self, generation: Generation, credentials: Credentials = PLAIN) -> None:
        """Let requests that begin from now on live in another generation; those in flight keep theirs."""
        pools = self._endpoints.adopt(generation, credentials, self.tick)
        self.wiring = Wiring(generation, pools, self._leaks, self._caps)
        for backend, load in self._loads.items():
            load.obey(generation.backends[backend], share_of_node=self._share_of_node)
        self.credentials = credentials
        self.doors.obey(Terms(generation.listener, credentials))
        self._obey(generation.settings.limits)
        self.lasting.look()
        judges = [load.judge_status for load in self._loads.values() if load.statuses]
        self._observing = (*self.observers.of(generation), *judges)

    def _obey(self, limits: Limits) -> None:
        self.limits = limits
        self.tunnel_idle_ticks = ticks(limits.tunnel_idle_s)
        self.tunnel_half_ticks = ticks(limits.tunnel_half_closed_s)
        self.head_ticks = ticks(limits.head_s)
        self.body_ticks = ticks(limits.body_s)
        self.bytes_a_tick = limits.min_rate_bytes * TICK_S
        self.idle_ticks = ticks(limits.idle_s)
        self.client_stall_ticks = ticks(limits.client_stall_s)
        self.linger_ticks = ticks(limits.linger_s)
        self._backend_idle_ticks = ticks(limits.backend_idle_s)
        self._clients.obey(limits)
        self.mind_the_crowd()

    def heed_probes(self, unhealthy: frozenset[str]) -> None:
        """Probes say something else; `unhealthy` are the names of endpoints (`endpoint_name`)."""
        self._endpoints.heed_probes(unhealthy, self.tick)

    def heed_addresses(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        """The names of endpoints mean other addresses."""
        self._endpoints.heed_addresses(addresses, self.tick)

    def latch_changed(self) -> None:
        """Another latch is in force: recall what lasts on new and is covered now; who waits for new, or connects to it, goes to legacy."""
        self.lasting.look()
        for load in self._loads.values():
            load.reconsider()
        if self.drilling is not None:
            self.drilling.hurry()
        for task, exchange in list(self._tasks.items()):
            if not task.done() and exchange.leaves_new():
                task.cancel()

    async def listen(self, sock: socket.socket) -> None:
        """Accept from an inherited listening socket; `drain` closes it, since an open one keeps on queueing."""
        await self.doors.listen(sock)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._sweep)

    def mind_the_crowd(self) -> None:
        """Somebody came or went: accept others while there is room for them, and see to it that there will be."""
        doors = self.doors
        # Whose client left, what goes on holds its place: else anybody could have any number under way.
        full = len(self._clients) + doors.greeting + len(self.orphans) + self.deserted >= self._clients.most
        if full and not doors.held and not self.draining:
            doors.hold()
            self.telemetry.limit_reached(Limit.CONNECTIONS)
            self._clients.make_room(self.tick)
        elif doors.held and not full:
            doors.reopen()

    async def drain(self, timeout_s: float) -> None:
        """Stop: accept what is queued, close what is idle, let what is in flight end, then close.

        Args:
            timeout_s: after that, what is still in flight is cut.
        """
        await self.doors.close()
        self.draining = True
        for client in list(self._clients):
            client.drain()
        self.lasting.drain(timeout_s)
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
        self._endpoints.retire()
        tasks = [*self._tasks, *self.doors.give_up()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while len(self._clients):  # aborted: the loop tells each in its next turn
            self._emptied.clear()
            await self._emptied.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush()
        for _ in range(_TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    def client_opened(self, client: ClientConnection) -> None:
        """A client connected."""
        self.telemetry.client_opened()
        admission = self._clients.add(client, self.wiring, self.tick)
        if admission is not Admission.SERVED:
            turn_away(self, client, admission)
        if len(self._clients) + len(self.orphans) + self.deserted >= self._clients.most:
            self.mind_the_crowd()

    def client_closed(self, client: ClientConnection) -> None:
        """A client's connection ended."""
        self._clients.remove(client)
        self.telemetry.client_closed()
        if self.doors.held:
            self.mind_the_crowd()
        if not len(self._clients):
            self._tell_emptied()

    def connecting(self) -> None:
        """A connection to a backend is about to be made: those that idle elsewhere mustn't take its descriptor."""
        if self.telemetry.backend_connections >= self._affordable:
            for endpoint in self._endpoints.values():
                endpoint.close_idle(self.tick + 1)

    def greeted(self) -> None:
        """A connection that was accepted is a client now, or isn't."""
        if self.doors.held:
            self.mind_the_crowd()
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
            if self.doors.held:
                self.mind_the_crowd()
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
        drill = None if self.drilling is None else self.drilling.over(exchange)
        for observe in self._observing:
            observe(exchange, duration_us, lasted)
        if self._log is not None:
            fault = exchange.fault
            self._log.exchange(
                exchange.decision,
                status,
                request_id=exchange.request_id,
                method=exchange.head.method,
                path=exchange.head.path,
                fault=None if fault is None else fault.name,
                generation=exchange.wiring.generation.number,
                received=exchange.received,
                sent=exchange.sent,
                duration_us=duration_us,
                head_us=exchange.head_us,
                closed_by=exchange.closed_by if status == SWITCHING else None,
                trace=exchange.trace_id if TRACEPARENT in exchange.head.values or exchange.trace is not None else None,
                drill=drill,
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
        return under_freezes(self.freezes, (*begun, *self.orphans), self.lasting.held)

    def _nothing_left(self) -> bool:
        return not len(self._clients) and not self.orphans and not self.doors.greeting

    def _tell_emptied(self) -> None:
        if self.draining and self._nothing_left():
            self._emptied.set()

    def _sweep(self) -> None:
        """Once a tick: every deadline, and what is counted only now and then; a defect in one keeps nobody from the others."""
        self.tick = tick = self.tick + 1
        self.date_line = _date_line()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._sweep)
        defects = self._defects
        for client in list(self._clients):
            try:
                client.sweep(tick)
            except Exception:  # noqa: BLE001  ends it alone: the deadlines of all others hold
                defects.ends("client", client.broken)
        if self.deserted:
            self.deserted = sum(exchange.over for exchange in self._tasks.values())
            if self.doors.held:
                self.mind_the_crowd()
        if self.doors.held:
            defects.guard("crowd", lambda: self._clients.make_room(tick))
        for orphan in list(self.orphans):
            try:
                orphan.sweep(tick)
            except Exception:  # noqa: BLE001  ends it alone: the deadlines of all others hold
                defects.ends("orphan", orphan.failed)
        self._endpoints.sweep(tick, self._backend_idle_ticks, defects)
        for load in self._loads.values():
            defects.guard("load", load.sweep)
        self._flush()

    def _flush(self) -> None:
        dropped = 0 if self._log is None else self._log.dropped + self._log.lost
        self._defects.guard("observers", lambda: self.observers.publish(self.tick))
        self._defects.guard("telemetry", lambda: self.telemetry.flush(in_flight=self.in_flight, log_dropped=dropped))


def _date_line() -> bytes:
    return b"Date: %b\r\n" % formatdate(usegmt=True).encode()
