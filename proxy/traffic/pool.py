"""Endpoints with their idle connections, and the choice between them.

What traffic changes (`Endpoint`, `Load`) is kept by name and outlives a swap; `Pool` is the frozen view of one
generation. An endpoint that went is drained: its exchanges end normally, nothing new begins there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import time
from collections.abc import Sequence
from socket import gaierror
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.core.faults import Kind
from proxy.core.model import Backend
from proxy.core.plan import BackendSpec
from proxy.traffic.backend import BackendConnection, SecureBackendConnection
from proxy.traffic.limits import TICK_S, WATER_BYTES, ticks
from proxy.traffic.reach import Reach

if TYPE_CHECKING:
    from proxy.traffic.exchange import Exchange
    from proxy.traffic.telemetry import Telemetry
    from proxy.traffic.tls import BackendContext

_AVOIDED_S: Final = 1.0  # an endpoint that couldn't be reached is asked last for so long
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MARGIN_S: Final = 60.0  # above our own deadline, which is the one that ends a handshake
_SHUTDOWN_S: Final = 5.0  # for a backend to answer our close_notify, as long as for a client
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Endpoint:
    """One URL of a backend, with its connections, all of them in plain text or made with one TLS context.

    Attributes:
        in_flight: exchanges it is lent to or that wait for a connection to it.
        avoided_until_tick: before that, others are asked first.
        gone: no generation names it any more.
        reach: says when it can't be reached, and when it can again.
    """

    __slots__ = (
        "_idle",
        "_telemetry",
        "avoided_until_tick",
        "backend",
        "gone",
        "host",
        "in_flight",
        "port",
        "reach",
        "tls",
        "url",
    )

    def __init__(self, backend: Backend, url: str, telemetry: Telemetry, tls: BackendContext | None = None) -> None:
        parts = urlsplit(url)
        self.backend = backend
        self.url = url
        self.host = parts.hostname or ""
        self.port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self.tls = tls
        self.in_flight = 0
        self.avoided_until_tick = 0
        self.gone = False
        self.reach = Reach(backend, url)
        self._idle: list[BackendConnection] = []  # the last in is the first out: what isn't needed grows old
        self._telemetry = telemetry

    def take(self) -> BackendConnection | None:
        """An idle connection, the one that rested last."""
        return self._idle.pop() if self._idle else None

    def take_back(self, connection: BackendConnection) -> None:
        """Keep a connection that is free again; a gone endpoint's is closed."""
        if self.gone or connection.transport.is_closing():
            connection.transport.abort()
            return
        self._idle.append(connection)

    def forget(self, connection: BackendConnection) -> None:
        """A connection that waited here has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close_idle(self, before_tick: int) -> None:
        """Close the connections that have rested since before a tick."""
        idle = self._idle
        if idle and idle[0].rested_tick < before_tick:
            self._idle = [connection for connection in idle if connection.rested_tick >= before_tick]
            for connection in idle:
                if connection.rested_tick < before_tick:
                    connection.transport.abort()

    def retire(self) -> None:
        """No generation names it any more: what is idle closes now, the rest when it comes back."""
        self.gone = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.transport.abort()

    def connect_took(self, us: int) -> None:
        """Count how long it took to connect."""
        self._telemetry.connect_took(self.backend, us)

    def opened(self) -> None:
        """Count a connection that was made."""
        self._telemetry.backend_opened(self.backend)

    def closed(self) -> None:
        """Count a connection that ended."""
        self._telemetry.backend_closed(self.backend)


class Load:
    """How many exchanges a backend has in flight on this worker."""

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = 0


class Pool:
    """The endpoints of one backend, as one generation names them.

    Args:
        spec: how the backend is reached.
        endpoints: in the order of the plan.
        load: the backend's.
        share_of_node: how many workers share `max_in_flight`.
        tasks: where the tasks that connect are kept until they are over.
    """

    __slots__ = (
        "_connect_s",
        "_endpoints",
        "_next",
        "_tasks",
        "bytes_a_tick",
        "limit",
        "load",
        "silence_ticks",
        "total_ticks",
    )

    def __init__(
        self,
        spec: BackendSpec,
        endpoints: Sequence[Endpoint],
        load: Load,
        *,
        share_of_node: int,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._connect_s = spec.connect_s
        self._next = 0
        self._tasks = tasks
        self.load = load
        self.limit = None if spec.max_in_flight is None else -(-spec.max_in_flight // share_of_node)
        self.silence_ticks = ticks(spec.timeout_s)
        self.bytes_a_tick = spec.min_rate_bytes * TICK_S
        self.total_ticks = None if spec.total_s is None else ticks(spec.total_s)

    @property
    def full(self) -> bool:
        """Whether as many requests are in flight as are allowed."""
        return self.limit is not None and self.load.in_flight >= self.limit

    def choose(self, tick: int, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        """The endpoint with least in flight, in turn among equals; None when all have been tried."""
        endpoints = self._endpoints
        count = len(endpoints)
        if count == 1:
            return None if tried else endpoints[0]
        start = self._next
        self._next = (start + 1) % count
        best: Endpoint | None = None
        best_rank = (False, 0)
        for i in range(count):
            endpoint = endpoints[(start + i) % count]
            if endpoint in tried:
                continue
            rank = (endpoint.avoided_until_tick > tick, endpoint.in_flight)
            if best is None or rank < best_rank:
                best, best_rank = endpoint, rank
        return best

    def connect(self, endpoint: Endpoint, exchange: Exchange) -> None:
        """Open a fresh connection for an exchange, which hears `connected`, `unreachable` or `crowded_out`."""
        task = asyncio.get_running_loop().create_task(self._connect(endpoint, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, endpoint: Endpoint, exchange: Exchange) -> None:
        began_s = time.monotonic()
        try:
            try:
                async with asyncio.timeout(self._connect_s):
                    transport, connection = await _open(endpoint)
            except OSError as error:  # a TimeoutError is one, and so is a name that isn't found
                if _no_descriptor_left(error):
                    exchange.crowded_out()
                    return
                tick = exchange.traffic.tick
                endpoint.avoided_until_tick = tick + ticks(_AVOIDED_S)
                endpoint.reach.failed(error, tick, connect_s=self._connect_s, alone=len(self._endpoints) == 1)
                exchange.unreachable(endpoint, _kind_of(error))
            else:
                endpoint.avoided_until_tick = 0
                endpoint.reach.made()
                endpoint.connect_took(int((time.monotonic() - began_s) * 1_000_000))
                transport.set_write_buffer_limits(high=WATER_BYTES)
                exchange.connected(connection)
        except Exception:  # noqa: BLE001  the top of a task: told with its trace, ends this exchange alone
            exchange.failed()


async def _open(endpoint: Endpoint) -> tuple[asyncio.Transport, BackendConnection]:
    """A connection.

    Raises:
        OSError: none can be made.
    """
    loop = asyncio.get_running_loop()
    tls = endpoint.tls
    try:
        if tls is None:
            return await loop.create_connection(lambda: BackendConnection(endpoint), endpoint.host, endpoint.port)
        return await loop.create_connection(
            lambda: SecureBackendConnection(endpoint),
            endpoint.host,
            endpoint.port,
            ssl=tls.context,
            server_hostname=tls.made_of.server_name or endpoint.host,
            ssl_handshake_timeout=_MARGIN_S,
            ssl_shutdown_timeout=_SHUTDOWN_S,
        )
    except UnicodeError as error:  # a name that can't stand in DNS
        raise OSError(str(error)) from error


def _kind_of(error: OSError) -> Kind:
    if isinstance(error, TimeoutError):
        return Kind.TIMEOUT
    if isinstance(error, ssl.SSLCertVerificationError):
        return Kind.UNTRUSTED
    return Kind.HANDSHAKE if isinstance(error, ssl.SSLError) else Kind.UNREACHABLE


def _no_descriptor_left(error: OSError) -> bool:
    """Whether this process, or the machine, is out of descriptors: that is no fault of a backend's.

    The error alone doesn't tell: the resolver gives no such number, and several addresses' errors become one without any.
    """
    if error.errno in _EXHAUSTED:
        return True
    if isinstance(error, TimeoutError) or (error.errno and not isinstance(error, gaierror)):
        return False
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as probe:
        return probe.errno in _EXHAUSTED
    return False
