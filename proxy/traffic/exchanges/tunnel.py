"""A tunnel: a WebSocket after its 101, bytes both ways, each side no faster than the other reads.

Frames are not read. So whoever must end a tunnel early (a rollback, the end of a drain, silence) ends its two
connections, and doesn't write a Close frame:

1. a frame of ours could come to stand in the middle of another; to know where one ends, every frame of every tunnel would
   have to be read, for the sake of the few that are ended early
2. it would be forged: the backend would hear from the client, and the client from the backend, what neither said
3. clients know a lost connection (code 1006) from every network there is, and come back. 1012, "service restart", ends
   cleanly, and many a client doesn't come back from that

A FIN is passed on after what came before it, and the other direction goes on (half-close).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from proxy.core.limits import Limit
from proxy.core.telling.faults import Fault, Kind, Party, Stage

if TYPE_CHECKING:
    import asyncio

    from proxy.core.deciding.decision import Decision
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.clients.client import ClientConnection
    from proxy.traffic.exchanges.ending import Ending

_log = logging.getLogger(__name__)


class Tunnel:
    """The two connections of an exchange that became a tunnel; stands in its place with both of them.

    Attributes:
        exchange: began it, keeps its loan and its counts, and ends when it does.
        closed_by: who ended it first; None while nobody has.
    """

    __slots__ = (
        "_backend_ended",
        "_client",
        "_client_ended",
        "_connection",
        "_moved_tick",
        "_over",
        "_waiting_bytes",
        "closed_by",
        "exchange",
    )

    request_done: Final = False  # whatever else the client sends is the tunnel's

    def __init__(self, exchange: Ending, client: ClientConnection, connection: BackendConnection) -> None:
        self.exchange = exchange
        self.closed_by: Party | None = None
        self._client = client
        self._connection = connection
        self._client_ended = self._backend_ended = False
        self._over = False
        self._moved_tick = exchange.traffic.tick
        self._waiting_bytes = 0

    def open(self, data: bytes) -> None:
        """Take both connections over. `data` is what came behind the 101."""
        traffic = self.exchange.traffic
        self._connection.exchange = self
        early = self._client.become(self)
        traffic.tunnel_opened(self)
        if not self._connection.writable:
            self._client.pause_body()  # nobody says so a second time
        if early:
            self.request_received(early)
        if data:
            self.answer_received(data)

    @property
    def decision(self) -> Decision | None:
        """The exchange's."""
        return self.exchange.decision

    @property
    def peer(self) -> str:
        """The client's address."""
        return self.exchange.peer

    # -- bytes -----------------------------------------------------------------------------------------------------------

    def request_received(self, data: bytes) -> bytes:
        """Pass on what the client sent; nothing of it is left over."""
        exchange = self.exchange
        self._moved_tick = exchange.traffic.tick
        exchange.received += len(data)
        self._connection.transport.write(data)
        return b""

    def answer_received(self, data: bytes) -> None:
        """Pass on what the backend sent."""
        exchange = self.exchange
        self._moved_tick = exchange.traffic.tick
        exchange.sent += len(data)
        self._client.transport.write(data)

    def client_slow(self) -> None:
        """The client takes less than comes."""
        if not self._backend_ended:
            self._connection.transport.pause_reading()

    def client_ready(self) -> None:
        """The client takes more."""
        if not self._backend_ended:
            self._connection.transport.resume_reading()

    def backend_slow(self) -> None:
        """The backend takes less than comes."""
        if not self._client_ended:
            self._client.pause_body()

    def backend_ready(self) -> None:
        """The backend takes more."""
        if not self._client_ended:
            self._client.resume_body()

    # -- the ends --------------------------------------------------------------------------------------------------------

    def client_ended(self) -> None:
        """The client sends no more."""
        self._client_ended = True
        self._pass_end(Party.CLIENT, self._connection.transport)

    def backend_ended(self) -> None:
        """The backend sends no more."""
        self._backend_ended = True
        self._pass_end(self.exchange.party, self._client.transport)

    def _pass_end(self, party: Party, transport: asyncio.Transport) -> None:
        self.closed_by = self.closed_by or party
        self._moved_tick = self.exchange.traffic.tick
        if not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()  # TLS: writes what waits and says `close_notify`, which is the end of both directions
        self._end_if_done()

    def _end_if_done(self) -> None:
        # What waits for the client is written by its connection, which outlives this; the backend's doesn't.
        if self._client_ended and self._backend_ended and not self._connection.transport.get_write_buffer_size():
            self._end()

    def client_left(self) -> None:
        """The client's connection is gone."""
        self.closed_by = self.closed_by or Party.CLIENT
        self._end()

    def backend_lost(self, error: Exception | None) -> None:
        """The backend's connection is gone. Its fault, unless somebody had ended before: then it is only a rude goodbye."""
        party = self.exchange.party
        self._end(None if error is None or self.closed_by is not None else Fault(party, Stage.BODY, Kind.CUT), party)

    def recalled(self) -> None:
        """A rollback covers it."""
        self._end(Fault(Party.PROXY, Stage.BODY, Kind.ROLLED_BACK))

    def drained(self) -> None:
        """This process has to end."""
        self._end(Fault(Party.PROXY, Stage.BODY, Kind.DRAINED))

    def failed(self) -> None:
        """A defect of ours came up in a callback of this tunnel; called while the exception is handled."""
        _log.exception("the tunnel of request %s failed", self.exchange.request_id.decode())
        self._end(Fault(Party.PROXY, Stage.BODY, Kind.FAILED))

    def sweep(self, tick: int) -> None:
        """Look at the deadlines; called once a tick."""
        self._end_if_done()
        waiting = self._client.transport.get_write_buffer_size() + self._connection.transport.get_write_buffer_size()
        if waiting != self._waiting_bytes:
            self._waiting_bytes = waiting
            self._moved_tick = tick
        traffic = self.exchange.traffic
        ended = self._client_ended or self._backend_ended
        if tick - self._moved_tick > (traffic.tunnel_half_ticks if ended else traffic.tunnel_idle_ticks):
            traffic.telemetry.limit_reached(Limit.TUNNEL_HALF_CLOSED if ended else Limit.TUNNEL_IDLE)
            self._end(Fault(Party.PROXY, Stage.BODY, Kind.TIMEOUT))

    def _end(self, fault: Fault | None = None, party: Party = Party.PROXY) -> None:
        if self._over:
            return
        self._over = True
        self.closed_by = self.closed_by or party
        self._connection.cut()
        self.exchange.traffic.tunnel_closed(self)
        self.exchange.tunnel_over(fault, self.closed_by)
