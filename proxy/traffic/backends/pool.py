"""The choice between a backend's endpoints, and fresh connections to them.

What traffic changes (`Endpoint`, `Load`) is kept by name and outlives a swap; `Pool` is the frozen view of one
generation. An endpoint that went is drained: its exchanges end normally, nothing new begins there.

Of two endpoints drawn at random the one with less in flight is asked: nearly as good as the best of all, and workers that
can't see each other's load don't all run to the same one (Mitzenmacher, "The Power of Two Choices in Randomized Load
Balancing"; Envoy's `LEAST_REQUEST`, HAProxy's `random(2)`). Only when one of the two is minded, or some have been tried, all are
looked at, each in its standing (`proxy.core.care.endpointhealth`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import ssl
import time
from collections.abc import Sequence
from socket import gaierror
from typing import TYPE_CHECKING, Final

from proxy.core.care.endpointhealth import Standing
from proxy.core.telling.faults import Kind, Stage
from proxy.traffic.backends.backend import BackendConnection, SecureBackendConnection
from proxy.traffic.exchanges.deadlines import Deadlines
from proxy.traffic.limits import TICK_S, WATER_BYTES

if TYPE_CHECKING:
    from proxy.core.plan import BackendSpec
    from proxy.traffic.backends.endpoint import Endpoint
    from proxy.traffic.backends.load import Load
    from proxy.traffic.exchanges.exchange import Exchange

_MARGIN_S: Final = 60.0  # above our own deadline, which is the one that ends a handshake
_SHUTDOWN_S: Final = 5.0  # for a backend to answer our close_notify, as long as for a client
_DRAWS: Final = (
    65537  # a prime whose primitive root is 75: every number comes once before one comes again (as the ZX81 drew)
)
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Pool:
    """The endpoints of one backend, as one generation names them; `assign` says who they are.

    Args:
        spec: how the backend is reached.
        load: the backend's.
        tasks: where the tasks that connect are kept until they are over, and for whom they do.
    """

    __slots__ = (
        "_care",
        "_connect_s",
        "_draw",
        "_endpoints",
        "_tasks",
        "bytes_a_tick",
        "deadlines",
        "load",
    )

    def __init__(
        self,
        spec: BackendSpec,
        load: Load,
        *,
        tasks: dict[asyncio.Task[None], Exchange],
    ) -> None:
        self._endpoints: tuple[Endpoint, ...] = ()  # replaced whole, when names mean other addresses
        self._care = spec.care
        self._connect_s = spec.connect_s
        self._draw = random.getrandbits(16)
        self._tasks = tasks
        self.load = load
        self.bytes_a_tick = spec.min_rate_bytes * TICK_S
        self.deadlines = Deadlines(spec.timeout_s, spec.total_s)

    def assign(self, endpoints: Sequence[Endpoint]) -> None:
        """Ask these from now on; at least one."""
        for endpoint in endpoints:
            endpoint.health.care = self._care
        self._endpoints = tuple(endpoints)

    def choose(self, tick: int, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        """The endpoint that is asked; None when all have been tried."""
        endpoints = self._endpoints
        count = len(endpoints)
        if count == 1:
            return None if tried else endpoints[0]
        self._draw = draw = (self._draw * 75 + 74) % _DRAWS
        first = draw % count
        one = endpoints[first]
        other = endpoints[(first + 1 + draw // count % (count - 1)) % count]
        if one.minded or other.minded or tried:
            return self._choose_with_care(tick, tried)
        return one if one.in_flight <= other.in_flight else other

    def _choose_with_care(self, tick: int, tried: Sequence[Endpoint]) -> Endpoint | None:
        """Of those that stand best the one with least in flight, beginning anywhere; they may be all that are bad."""
        endpoints = self._endpoints
        count = len(endpoints)
        now_s = tick * TICK_S
        best: Endpoint | None = None
        best_rank = (Standing.SOUND, 0)
        start = self._draw % count
        for i in range(count):
            endpoint = endpoints[(start + i) % count]
            if endpoint in tried:
                continue
            standing = Standing.SOUND
            if endpoint.minded:
                self._draw = (self._draw * 75 + 74) % _DRAWS
                standing = endpoint.health.standing(now_s, self._draw / _DRAWS)
            rank = (standing, endpoint.in_flight)
            if best is None or rank < best_rank:
                best, best_rank = endpoint, rank
        return best

    def another(self, tick: int, tried: Sequence[Endpoint]) -> Endpoint | None:
        """The endpoint that is asked when those that were tried can't be reached; None: none is left, or no retry."""
        found = self.choose(tick, tried)
        return found if found is None or self.load.retrying.granted(tick) else None

    def hopeless(self, tick: int, tried: Sequence[Endpoint]) -> bool:
        """Whether no endpoint is left that wasn't tried, or was down a moment ago; for others there may be no retry left."""
        return self.none_healthy(tick) or all(endpoint in tried for endpoint in self._endpoints)

    def none_healthy(self, tick: int) -> bool:
        """Whether every endpoint couldn't be reached a moment ago, or is unhealthy as its probes say."""
        now_s = tick * TICK_S
        return all(
            endpoint.minded and endpoint.health.believed(now_s) >= Standing.UNHEALTHY for endpoint in self._endpoints
        )

    def once_more(self, endpoint: Endpoint, tick: int) -> Endpoint:
        """The endpoint that is asked when a kept connection to this one was closed: the same, unless its host has it no more."""
        return (self.choose(tick) or endpoint) if endpoint.gone else endpoint

    def faulted(self, endpoint: Endpoint, stage: Stage, kind: Kind, tick: int) -> None:
        """An exchange broke at an endpoint.

        What it said, however wrong, is what was asked of it; only silence counts, and a cut. And no silence once it has
        begun to answer: how fast a body moves is the client's doing, too.
        """
        if kind is Kind.CUT or (kind is Kind.TIMEOUT and stage is not Stage.BODY):
            out = sum(
                one.health.believed(tick * TICK_S) >= Standing.EJECTED
                for one in self._endpoints
                if one.minded and one is not endpoint
            )
            endpoint.faulted(tick, out=out, of=len(self._endpoints))

    def connect(self, endpoint: Endpoint, exchange: Exchange) -> None:
        """Open a fresh connection for an exchange, which hears `connected`, `unreachable` or `crowded_out`."""
        exchange.traffic.connecting()
        task = asyncio.get_running_loop().create_task(self._connect(endpoint, exchange))
        self._tasks[task] = exchange
        task.add_done_callback(self._tasks.pop)

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
                endpoint.unreachable(tick)
                endpoint.reach.failed(error, tick, connect_s=self._connect_s, alone=len(self._endpoints) == 1)
                exchange.unreachable(endpoint, _kind_of(error))
            else:
                endpoint.connected(exchange.traffic.tick)
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
            connection = BackendConnection(endpoint)
            try:
                return await loop.create_connection(lambda: connection, endpoint.target, endpoint.port)
            except BaseException:
                # Made in the very turn in which its time was up: uvloop closes it then, and tells it nothing (over TLS it does).
                connection.uncount()
                raise
        return await loop.create_connection(
            lambda: SecureBackendConnection(endpoint),
            endpoint.target,
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
