"""An endpoint: its idle connections, and what this worker believes of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.core.care.endpointhealth import EndpointHealth, Standing
from proxy.core.care.probing import addressed
from proxy.core.care.reaching import EndpointCare
from proxy.core.http.ports import port_of
from proxy.traffic.backends.reach import Reach
from proxy.traffic.limits import TICK_S, ticks

if TYPE_CHECKING:
    from proxy.core.model import Backend
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.backends.tls import BackendContext
    from proxy.traffic.telling.telemetry import Telemetry

_AT_MOST_EVERY_S: Final = 10.0  # an endpoint that comes and goes mustn't fill the disk

_log = logging.getLogger("backend")


class Endpoint:
    """One URL of a backend, or one address of its host, with its connections, all of them in plain text or made with one TLS context.

    Attributes:
        in_flight: exchanges it is lent to or that wait for a connection to it.
        health: what is believed of it.
        minded: something speaks against it, or did lately: nobody else pays for a second look.
        gone: no generation names it any more, or its host no longer has its address.
        name: for people and in series: the URL, and the address if there is one.
        target: what connections are made to.
        reach: says when it can't be reached, and when it can again.
    """

    __slots__ = (
        "_again_tick",
        "_believed",
        "_idle",
        "_telemetry",
        "_told",
        "backend",
        "gone",
        "health",
        "host",
        "in_flight",
        "minded",
        "name",
        "port",
        "reach",
        "target",
        "tls",
        "url",
    )

    def __init__(
        self,
        backend: Backend,
        url: str,
        telemetry: Telemetry,
        tls: BackendContext | None = None,
        address: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.backend = backend
        self.url = url
        self.host = parts.hostname or ""
        self.target = address or self.host
        self.name = addressed(url, address or "")
        self.port = port_of(parts)
        self.tls = tls
        self.in_flight = 0
        self.health = EndpointHealth(EndpointCare())
        self.minded = False
        self.gone = False
        self.reach = Reach(backend, self.name)
        self._believed = Standing.SOUND  # as the page tells
        self._told = False  # that it was ejected
        self._again_tick = 0
        self._idle: list[BackendConnection] = []  # the last in is the first out: what isn't needed grows old
        self._telemetry = telemetry

    # -- connections

    def take(self) -> BackendConnection | None:
        """An idle connection, the one that rested last."""
        return self._idle.pop() if self._idle else None

    def take_back(self, connection: BackendConnection) -> None:
        """Keep a connection that is free again; a gone endpoint's is closed."""
        if self.minded:
            if connection.uses:
                self.answered(connection.rested_tick)
            if self.gone:
                connection.transport.close()
                return
        if connection.transport.is_closing():
            connection.transport.abort()
            return
        self._idle.append(connection)

    def forget(self, connection: BackendConnection) -> None:
        """A connection that waited here has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close_idle(self, before_tick: int) -> None:
        """Close the connections that have rested since before a tick; over TLS with the alert that RFC 9112 §9.8 demands."""
        idle = self._idle
        if idle and idle[0].rested_tick < before_tick:
            self._idle = [connection for connection in idle if connection.rested_tick >= before_tick]
            for connection in idle:
                if connection.rested_tick < before_tick:
                    connection.transport.close()

    def retire(self) -> None:
        """No generation names it any more: what is idle closes now, the rest when it comes back."""
        self.gone = True
        self.minded = True
        self._show(Standing.SOUND)
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.transport.close()

    # -- health

    def unreachable(self, tick: int) -> None:
        """No connection could be made."""
        self.health.unreachable(tick * TICK_S)
        self.look(tick)

    def connected(self, tick: int) -> None:
        """A connection was made."""
        if self.minded:
            self.health.connected(tick * TICK_S)
            self.look(tick)

    def answered(self, tick: int) -> None:
        """An exchange ended as it should; called only where the endpoint is minded."""
        self.health.answered(tick * TICK_S)
        self.look(tick)

    def faulted(self, tick: int, *, out: int, of: int) -> None:
        """An exchange was left unanswered; `out` of the backend's other endpoints are out already."""
        if self.health.faulted(tick * TICK_S, out=out, of=of):
            self._telemetry.ejected(self.backend)
            if not self._told and tick >= self._again_tick:
                self._told = True
                self._again_tick = tick + ticks(_AT_MOST_EVERY_S)
                told = "%s %s leaves requests unanswered, %d in a row; its other endpoints are asked first"
                _log.error(told, self.backend.value, self.name, self.health.care.faults)
        self.look(tick)

    def probed(self, tick: int, *, healthy: bool) -> None:
        """What its probes say."""
        self.health.probed(tick * TICK_S, healthy=healthy)
        self.look(tick)

    def look(self, tick: int) -> None:
        """Show what is believed, and forget what is over; called at every change, and every tick where it is minded."""
        now_s = tick * TICK_S
        health = self.health
        health.settle(now_s)
        self.minded = self.gone or not health.sound
        if self._told and health.sound:
            self._told = False
            _log.warning("%s %s answers again", self.backend.value, self.name)
        self._show(Standing.SOUND if self.gone else health.believed(now_s))

    def _show(self, believed: Standing) -> None:
        if believed is not self._believed:
            self._telemetry.held_off(self.backend, self.name, self._believed, believed)
            self._believed = believed

    # -- counts

    def connect_took(self, us: int) -> None:
        """Count how long it took to connect."""
        self._telemetry.connect_took(self.backend, us)

    def opened(self) -> None:
        """Count a connection that was made."""
        self._telemetry.backend_opened(self.backend)

    def closed(self) -> None:
        """Count a connection that ended."""
        self._telemetry.backend_closed(self.backend)
