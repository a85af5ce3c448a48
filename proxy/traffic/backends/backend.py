"""A connection to a backend: lent to one exchange at a time, or waiting in its endpoint's pool."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Protocol, cast

from proxy.core.override import override
from proxy.traffic.exchanges.tunnel import Tunnel

if TYPE_CHECKING:
    from proxy.traffic.backends.endpoint import Endpoint
    from proxy.traffic.exchanges.exchange import Exchange
    from proxy.traffic.exchanges.slowing import Slowed


class BackendConnection(asyncio.Protocol):
    """One connection to one endpoint.

    Attributes:
        exchange: the one it is lent to, or the tunnel that came of it; None: it waits in the pool, or is over.
        uses: how many exchanges it has been lent to.
        rested_tick: when it was last put back; -1: never. One that rested may prove stale, used before or not; a fresh one can't.
        sound: it can be lent again, as far as interim answers said.
    """

    __slots__ = ("_counted", "endpoint", "exchange", "rested_tick", "sound", "transport", "uses", "writable")

    transport: asyncio.Transport

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.exchange: Exchange | Slowed | Tunnel | None = None
        self.uses = 0
        self.rested_tick = -1
        self.sound = True
        self.writable = True
        self._counted = False  # as one that is open

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's isn't one by inheritance
        self._counted = True
        self.endpoint.opened()

    @override
    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            try:
                exchange.answer_received(data)
            except Exception:  # noqa: BLE001  the top of a protocol callback: told with its trace, ends this exchange alone
                exchange.failed()
        else:
            # Nobody asked: whatever it is, it must not be taken for the answer to the next request.
            self.endpoint.forget(self)
            self.transport.abort()

    @override
    def eof_received(self) -> bool:
        exchange = self.exchange
        if isinstance(exchange, Tunnel):
            try:
                exchange.backend_ended()
            except Exception:  # noqa: BLE001  see data_received
                exchange.failed()
            return True  # the other direction goes on
        self.exchange = None
        self.transport.abort()
        self._tell_lost(exchange, None)
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.uncount()
        exchange, self.exchange = self.exchange, None
        self._tell_lost(exchange, exc or ConnectionResetError())

    def uncount(self) -> None:
        """It is open no more, whether it ever was or not."""
        if self._counted:
            self._counted = False
            self.endpoint.closed()

    def _tell_lost(self, exchange: Exchange | Slowed | Tunnel | None, error: Exception | None) -> None:
        if exchange is None:
            self.endpoint.forget(self)
            return
        try:
            exchange.backend_lost(error)
        except Exception:  # noqa: BLE001  see data_received
            exchange.failed()

    @override
    def pause_writing(self) -> None:
        self.writable = False
        if self.exchange is not None:
            self.exchange.backend_slow()

    @override
    def resume_writing(self) -> None:
        self.writable = True
        if self.exchange is not None:
            self.exchange.backend_ready()

    def rest(self, tick: int) -> None:
        """Go back to the pool."""
        self.exchange = None
        self.rested_tick = tick
        self.endpoint.take_back(self)

    def cut(self) -> None:
        """End at once, whatever was under way; nobody is told."""
        self.exchange = None
        self.transport.abort()


class _ReadsAhead(Protocol):
    """A transport over TLS, as asyncio and uvloop have it; typeshed doesn't know this part of it."""

    def set_read_buffer_limits(self, high: int, low: int) -> None:
        """Stop reading the socket from `high` bytes that wait to be deciphered, until they are `low`."""


class SecureBackendConnection(BackendConnection):
    """One connection to one endpoint, over TLS.

    A FIN without `close_notify` is no end but a cut, which anybody on the way can make: uvloop tells it as `connection_lost`
    without `eof_received`, so an answer that ends with its connection counts as cut (RFC 9112 §9.8).
    """

    __slots__ = ()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # While its reader is paused uvloop would read on, 256 KiB ahead, and throw all of it away at a FIN: an answer for a
        # slow client would lose its end. So the socket is paused with the first byte that nobody takes.
        cast("_ReadsAhead", transport).set_read_buffer_limits(high=1, low=0)

    @override
    def eof_received(self) -> bool:
        super().eof_received()
        return False  # TLS as Python offers it has no half-close

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            # With TLS 1.3 a backend that wants a client's certificate says so after the handshake is over for us.
            self.endpoint.reach.broke(exc, time.monotonic())
        super().connection_lost(exc)
