"""The ends of a client's connection, good and bad, its deadlines, and the state they look at."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from proxy.core.limits import Limit
from proxy.traffic.clients.headless import refuse_late
from proxy.traffic.clients.resetting import reset_on_close
from proxy.traffic.exchanges.pace import Pace
from proxy.traffic.exchanges.untaken import untaken_bytes

if TYPE_CHECKING:
    from proxy.traffic.exchanges.exchange import Exchange
    from proxy.traffic.exchanges.tunnel import Tunnel
    from proxy.traffic.server import Traffic

_log = logging.getLogger(__name__)


class ClientEnds(asyncio.Protocol):
    """One client, as far as its connection's end is concerned.

    Attributes:
        writable: whether its write buffer has room.
    """

    __slots__ = (
        "_buffer",
        "_closing",
        "_exchange",
        "_lingering",
        "_resets",
        "_since_tick",
        "_traffic",
        "_unread",
        "transport",
        "writable",
    )

    transport: asyncio.Transport

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._exchange: Exchange | Tunnel | None = None
        self._buffer = bytearray()  # an incomplete head, or what was pipelined
        self._since_tick = 0  # since when it is idle, or its head incomplete, or it lingers
        self._closing = self._lingering = False
        self._resets = False  # closing is a reset, until the answer that it would end is written whole
        self._unread: Pace | None = None  # how fast it takes the rest of an answer
        self.writable = True

    def _set_paused(self) -> None:
        """Read, or don't."""
        raise NotImplementedError

    def _close(self, *, linger: bool) -> None:
        """Close once everything is written. Closing while the client still sends would destroy the answer (RST)."""
        self._closing = True
        self._buffer.clear()
        if self._resets and not self.transport.is_closing():
            if not linger and self.transport.get_write_buffer_size():
                self.transport.set_write_buffer_limits(high=0)  # `resume_writing` tells when the last byte is out
                return
            self._resets = False
            reset_on_close(self.transport, on=False)
        if linger and not self.transport.is_closing():
            self._lingering = True
            self._since_tick = self._traffic.tick
            self._set_paused()
            self.transport.write_eof()
        else:
            self.transport.close()

    def cut(self, *, reset: bool) -> None:
        """End without a clean end; `reset`: even a FIN could be taken for one."""
        self._closing = True
        if reset:
            reset_on_close(self.transport, on=True)
            self.transport.abort()
        else:
            self.transport.close()

    def reset_unless_whole(self) -> None:
        """The answer that begins ends by closing: however this process dies, half of it must not look whole."""
        self._resets = True
        reset_on_close(self.transport, on=True)

    def abandon(self) -> None:
        """End now, with whatever is under way."""
        self._closing = True
        self.transport.abort()

    def sweep(self, tick: int) -> None:
        """Look at the deadlines; called once a tick."""
        exchange = self._exchange
        traffic = self._traffic
        waited = tick - self._since_tick
        if exchange is not None:
            exchange.sweep(tick)
        elif self._lingering:
            if waited > traffic.linger_ticks:
                self.transport.abort()
        elif self._closing or not self.writable:
            self._sweep_unread(tick)
        elif self._buffer:
            if waited > traffic.head_ticks:
                refuse_late(traffic, self, len(self._buffer))
        elif waited > (traffic.idle_ticks if not traffic.draining else traffic.greet_ticks):
            self._close(linger=False)

    def _sweep_unread(self, tick: int) -> None:
        """Nothing is in flight, but the client hasn't taken all of the last answer."""
        traffic = self._traffic
        moved = -untaken_bytes(self.transport)
        pace = self._unread
        if pace is None:
            self._unread = pace = Pace(moved)
        limit = None
        if pace.moved(moved):
            self._since_tick = tick
        elif tick - self._since_tick > traffic.client_stall_ticks:
            limit = Limit.STALL
        if pace.lags(moved, traffic.client_stall_ticks, traffic.bytes_a_tick):
            limit = Limit.MIN_RATE
        if limit is not None:
            traffic.telemetry.limit_reached(limit)
            self.transport.abort()

    def drain(self) -> None:
        """This process ends. Who is idle may be asking at this moment: it has a while to (nginx `keepalive_min_timeout`).

        Whoever asks is answered, and told that it was the last answer here.
        """
        if self._exchange is None and not self._buffer and not self._closing:
            self._since_tick = self._traffic.tick

    def drained(self) -> None:
        """The time to drain is over."""
        if self._exchange is not None:
            self._exchange.drained()
        self.transport.abort()

    @property
    def idle_since(self) -> int | None:
        """Since which tick nothing has been asked or answered here; None: something is under way."""
        busy = self._exchange is not None or self._buffer or self._closing or not self.writable
        return None if busy else self._since_tick

    def end(self, answer: bytes = b"") -> None:
        """Close, after an answer to what was no request, if there is one."""
        self.transport.write(answer)
        self._close(linger=answer != b"")

    def broken(self) -> None:
        """A defect of ours came up at its deadline, and would at each: it ends, whatever it is doing; called while the exception is handled."""
        told = False
        try:
            if self._exchange is not None:
                self._exchange.failed()
                told = self._exchange is None  # and takes its answer along
        finally:
            if not told:
                self.abandon()

    def _defect(self) -> None:
        """Only a defect of ours comes here: tell it, and end this connection alone."""
        exchange = self._exchange
        if exchange is not None:
            exchange.failed()
        else:
            _log.exception("a client's connection failed")
        if not self._closing:
            self.abandon()
