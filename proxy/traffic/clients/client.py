"""A client's connection: one request at a time, pipelined ones wait their turn in order.

While an exchange is in flight the connection is still read, up to a bound, for only so can it be seen that the client
hung up. A FIN counts as that: a client that only wanted to say "no more requests" gets no answer (as with nginx and
HAProxy for safe methods).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.message import read_request_head
from proxy.core.limits import Limit
from proxy.core.override import override
from proxy.traffic.clients.clientends import ClientEnds
from proxy.traffic.clients.headless import refuse_head
from proxy.traffic.exchanges.exchange import Exchange
from proxy.traffic.exchanges.partial import flaw_of_request
from proxy.traffic.exchanges.tunnel import Tunnel
from proxy.traffic.limits import WATER_BYTES

if TYPE_CHECKING:
    from proxy.traffic.exchanges.ending import Ending
    from proxy.traffic.server import Traffic
    from proxy.traffic.wiring import Wiring

_END_OF_HEAD: Final = b"\r\n\r\n"
_EMPTY_LINES: Final = 2  # in one read; some old clients send one behind a body


class ClientConnection(ClientEnds):
    """One client.

    Attributes:
        address: its IP address as text.
        trusted, kind: what it may say (`proxy.traffic.wiring`), in the wiring it last began an exchange with.
    """

    __slots__ = (
        "_address_text",
        "_awaits_turn",
        "_body_held",
        "_empty_lines",
        "_paused",
        "_requests",
        "_searched",
        "_wiring",
        "address",
        "kind",
        "trusted",
    )

    scheme = b"http"  # of what it asks for

    def __init__(self, traffic: Traffic, address: str = "") -> None:
        super().__init__(traffic)
        self._empty_lines = 0  # before the next request
        self._wiring: Wiring | None = None
        self._searched = self._requests = 0  # bytes of the buffer that hold no end of a head; heads so far
        self._paused = self._body_held = self._awaits_turn = False
        self._address_text = address  # as a PROXY header told it; else the peer's
        self.address = b""
        self.trusted, self.kind = False, 0

    @property
    def exchange(self) -> Ending | None:
        """The one in flight; a tunnel's is the one that it came of."""
        exchange = self._exchange
        return exchange.exchange if isinstance(exchange, Tunnel) else exchange

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)  # uvloop's isn't one by inheritance
        if not self._address_text and isinstance(peer := transport.get_extra_info("peername"), tuple):
            self._address_text = peer[0]
        self.address = self._address_text.encode()
        self._since_tick = self._traffic.tick
        transport.set_write_buffer_limits(high=WATER_BYTES)
        self._traffic.client_opened(self)

    @override
    def data_received(self, data: bytes) -> None:
        try:
            exchange = self._exchange
            if exchange is not None:
                self._received_while_busy(exchange, data)
            elif self._closing:
                pass  # lingering: read and dropped
            elif self._buffer:
                self._buffer += data
                self._read_buffer()
            else:
                at = data.find(_END_OF_HEAD)
                if at > 0:
                    self._begin(data, at)
                else:
                    self._buffer += data
                    self._read_buffer()
                    if self._buffer:  # empty lines alone begin no head: whoever sends nothing else is idle
                        self._since_tick = self._traffic.tick
        except Exception:  # noqa: BLE001  the top of a protocol callback: told with its trace, ends this connection alone
            self._defect()

    def _received_while_busy(self, exchange: Exchange | Tunnel, data: bytes) -> None:
        if not exchange.request_done:
            data = exchange.request_received(data)
            if not data or self._closing:
                return
        self._buffer += data
        if self._exchange is None:
            self._next_soon()
            return
        if isinstance(exchange, Exchange) and b"upgrade" in exchange.head.connection:
            exchange.hurried()
        if len(self._buffer) > self._traffic.limits.pipelined_bytes:
            self._set_paused()

    def _read_buffer(self) -> None:
        """Look for a head in the buffer."""
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            del buffer[:2]  # RFC 9112 §2.2: empty lines before a request are let pass
            self._empty_lines += 1
        if self._empty_lines > _EMPTY_LINES:
            self._refuse_empty_lines()
            return
        searched = self._searched
        at = buffer.find(_END_OF_HEAD, max(0, searched - 5))
        if at > 0:
            data = bytes(buffer)
            self._buffer = bytearray()
            self._searched = 0
            self._begin(data, at)
            return
        flaw = flaw_of_request(buffer, searched, self._traffic.limits)
        if flaw is not None:
            refuse_head(self._traffic, self, flaw, len(buffer))
        self._searched = len(buffer)
        if self._paused:
            self._set_paused()

    def _refuse_empty_lines(self) -> None:
        refuse_head(self._traffic, self, BadMessage("too many empty lines before a request"), 2 * self._empty_lines)

    def _begin(self, data: bytes, at: int) -> None:
        """Start the exchange whose head ends at `at`."""
        traffic = self._traffic
        limits = traffic.limits
        if data[:2] == b"\r\n":
            data, at = data[2:], at - 2  # an empty line that came in one read with the head
            self._empty_lines += 1
        if self._empty_lines:
            if self._empty_lines > _EMPTY_LINES:  # however they were cut into reads
                self._refuse_empty_lines()
                return
            self._empty_lines = 0
        try:
            if at > limits.head_bytes:
                raise TooLarge("the head is too long", Limit.HEAD, 431)
            if at > limits.request_line_bytes and data.find(b"\r\n", 0, limits.request_line_bytes) < 0:
                raise TooLarge("the request line is too long", Limit.REQUEST_LINE, 414)
            head = read_request_head(data[:at], limits.header_count)
        except BadMessage as bad:
            refuse_head(traffic, self, bad, len(data))
            return
        wiring = traffic.wiring
        if wiring is not self._wiring:
            self.trust_in(wiring)
        self._exchange = exchange = Exchange(
            traffic, wiring, self, head, traffic.request_id(head, trusted=self.trusted)
        )
        self._requests = requests = self._requests + 1
        if 0 < limits.requests_per_connection <= requests:  # beyond it, when a reload has lowered it
            exchange.say_goodbye()
        surplus = exchange.begin(at + 4, data[at + 4 :])
        if surplus and not self._closing:
            self._buffer += surplus
            self._next_soon()
            if len(self._buffer) > limits.pipelined_bytes:
                self._set_paused()

    def trust_in(self, wiring: Wiring) -> None:
        """Learn whether this peer is trusted, and of what kind it is; asked once for each generation."""
        self._wiring = wiring
        self.trusted, self.kind = wiring.judge(self._address_text, self.scheme)

    def _next_soon(self) -> None:
        # Not now: a client that pipelines a thousand bad requests would have them all answered in one loop turn.
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Take up what was pipelined."""
        if self._exchange is None and self._buffer and self.writable and not self._closing:
            try:
                self._read_buffer()
            except Exception:  # noqa: BLE001  the top of a protocol callback: told with its trace, ends this connection alone
                self._defect()

    def exchange_over(self, exchange: Ending, *, keep_alive: bool) -> None:
        """The exchange has ended, and its answer is written."""
        self._exchange = None
        self._body_held = False
        self._since_tick = self._traffic.tick
        if self._closing:
            return
        if not keep_alive:
            # Whoever pipelined still sends: what arrived unread at a closed socket would reset it, and the answer with it.
            self._close(linger=not exchange.request_done or bool(self._buffer))
        elif self._buffer:
            self._next_soon()
        if (self._paused or not self.writable) and not self._closing:
            self._set_paused()

    def become(self, tunnel: Tunnel) -> bytes:
        """Belong to a tunnel from now on; gives what the client sent too early, and was held."""
        self._exchange = tunnel
        early = bytes(self._buffer)
        self._buffer.clear()
        if self._paused:
            self._set_paused()
        return early

    def pause_body(self) -> None:
        """The body comes faster than the backend takes it."""
        self._body_held = True
        self._set_paused()

    def resume_body(self) -> None:
        """The backend takes more of the body."""
        self._body_held = False
        if isinstance(self._exchange, Exchange) and self._exchange.upload_full:
            self.await_turn()
        elif self._paused:
            self._set_paused()

    def await_turn(self) -> None:
        """Enough of the body was read for one loop turn: read on in the next one, when others had theirs."""
        if not self._awaits_turn:
            self._awaits_turn = True
            self._set_paused()
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._awaits_turn = False
        exchange = self._exchange
        try:
            # Held up by the backend it stays where it is: `resume_body` asks for a turn again.
            if exchange is not None and not exchange.request_done and not self._body_held:
                self._received_while_busy(exchange, b"")
            if self._paused:
                self._set_paused()
        except Exception:  # noqa: BLE001  the top of a callback: told with its trace, ends this connection alone
            self._defect()

    @override
    def _set_paused(self) -> None:
        """Read, or don't, as the body, what is pipelined and answers that nobody takes have it."""
        crowded = len(self._buffer) > self._traffic.limits.pipelined_bytes
        if self._exchange is not None:
            wanted = self._body_held or self._awaits_turn or crowded
        else:
            # Between two exchanges too: else each would let in another read of what is pipelined. Of a head that isn't
            # whole, which may be longer, all is searched already.
            wanted = not self._closing and (not self.writable or (crowded and self._searched < len(self._buffer)))
        if wanted != self._paused and not self.transport.is_closing():
            self._paused = wanted
            if wanted:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    @override
    def pause_writing(self) -> None:
        self.writable = False
        if self._exchange is not None:
            self._exchange.client_slow()

    @override
    def resume_writing(self) -> None:
        self.writable = True
        self._unread = None
        if self._exchange is not None:
            self._exchange.client_ready()
        elif self._resets:
            self._close(linger=False)
        else:
            if self._buffer:
                self._next_soon()
            if self._paused:
                self._set_paused()

    @override
    def eof_received(self) -> bool:
        exchange = self._exchange
        if isinstance(exchange, Tunnel):
            try:
                exchange.client_ended()
            except Exception:  # noqa: BLE001  the top of a protocol callback: told with its trace, ends this connection alone
                self._defect()
            return True  # the other direction goes on
        self._exchange = None
        self._closing = True
        if exchange is not None:
            self.writable = True
            exchange.client_left()
            self.transport.abort()
        return False  # the transport closes itself once everything is written

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self.writable = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_left()
        self._buffer = bytearray()
        self._traffic.client_closed(self)
