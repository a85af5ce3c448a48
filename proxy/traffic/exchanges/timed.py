"""Who is waited for, and for how long: the deadlines of an exchange, looked at once a tick.

No request has a timer. Most are over before a second tick sees them, and those pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.core.limits import Limit
from proxy.core.override import override
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.backends.loan import IN_LINE, LENT, RELENT
from proxy.traffic.exchanges.deadlines import deadlines_of
from proxy.traffic.exchanges.ending import Ending
from proxy.traffic.exchanges.pace import Paces
from proxy.traffic.exchanges.untaken import untaken_bytes

if TYPE_CHECKING:
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.clients.client import ClientConnection

_CONNECTS: Final = (LENT, RELENT)
"""Loans whose end speaks against the backend: who is held by a drill has asked nobody, and trials are judged when they are over."""


class Timed(Ending):
    """One request and its answer, as far as waiting is concerned."""

    __slots__ = ()

    def waited_in_vain(self) -> None:
        """Its turn for a place didn't come in time."""
        raise NotImplementedError

    @override
    def sweep(self, tick: int) -> None:
        connection = self._connection
        decision = self.decision
        if decision is None:
            return
        deadlines = deadlines_of(decision, self._outlet.pool)
        if deadlines.total_ticks is not None and tick - self._began_tick > deadlines.total_ticks:
            if self._lent == IN_LINE:
                self.waited_in_vain()  # nobody was asked, so nobody is late
            elif connection is None:
                if self._lent in _CONNECTS:
                    self._outlet.pool.load.failed(Stage.CONNECT, Kind.TIMEOUT)
                self._refuse(Fault(self._outlet.party, Stage.CONNECT, Kind.TIMEOUT))
            else:
                self._backend_late()
            return
        if connection is None:
            return  # connecting has its own
        client = self.client
        silent = tick - self._moved_tick
        if client is None:
            silent = max(silent, tick - self._left_tick)
        paces = self._paces
        if paces is None:
            answered = self._download is not None or self._partial
            if silent < 1 and not answered and self.request_done and client is not None and client.writable:
                return  # most are over before a second tick sees them
            self._paces = paces = Paces(self._moved_by_client(client), self.sent)
        if client is not None and not client.writable:
            self._sweep_reader(client, paces, tick)
        elif client is not None and self._waits_for_body:
            self._sweep_sender(client, paces, silent, deadlines.silence_ticks)
        else:
            self._sweep_backend(connection, paces, tick, silent, deadlines.silence_ticks)

    @property
    def _waits_for_body(self) -> bool:
        """Whether the backend has taken all there was of the body, and there must be more."""
        connection = self._connection
        if self.request_done or connection is None or not connection.writable:
            return False
        return not self.head.expects_continue or self._interim > 0 or self._replay != b""

    def _moved_by_client(self, client: ClientConnection | None) -> int:
        """Bytes that the client gave, and bytes that it took: in either way it isn't idle."""
        return self.received + self.sent - (untaken_bytes(client.transport) if client is not None else 0)

    def _sweep_reader(self, client: ClientConnection, paces: Paces, tick: int) -> None:
        traffic = self.traffic
        moved = self._moved_by_client(client)
        if paces.client.moved(moved):
            self._moved_tick = tick
        elif tick - self._moved_tick > traffic.client_stall_ticks:
            self._client_late(Limit.STALL)
            return
        if paces.client.lags(moved, traffic.client_stall_ticks, traffic.bytes_a_tick):
            self._client_late(Limit.MIN_RATE)

    def _sweep_sender(self, client: ClientConnection, paces: Paces, silent: int, window: int) -> None:
        traffic = self.traffic
        if silent > traffic.body_ticks:
            self._client_late(Limit.BODY_TIMEOUT)
        elif self._download is not None and not self._answered and silent > window:
            self._backend_late()  # it has begun to answer, so it is its turn as well
        elif paces.client.lags(self._moved_by_client(client), traffic.body_ticks, traffic.bytes_a_tick):
            self._client_late(Limit.MIN_RATE)

    def _sweep_backend(self, connection: BackendConnection, paces: Paces, tick: int, silent: int, window: int) -> None:
        rate = self._outlet.pool.bytes_a_tick
        download = self._download
        asks = silent > 0 and download is None and self.client is not None  # an orphan's time ends, whatever moves
        if asks and (untaken := untaken_bytes(connection.transport)):
            taken = self.received - untaken
            if paces.backend.moved(taken):
                self._moved_tick = tick
                silent = 0
            if paces.backend.lags(taken, window, rate):
                self._backend_late("it takes the request more slowly than min_rate allows")
                return
        if silent > window:
            self._backend_late()
        elif download is None:
            # A head must be there whole as soon as a silence would end, or one byte in each would go on for ever.
            paces.head_ticks = paces.head_ticks + 1 if self._partial else 0
            if paces.head_ticks > window:
                self._backend_late("its head doesn't come to an end")
        elif download.sized and not download.done and paces.answer.lags(self.sent, window, rate):
            # Only where a length is announced: events, and what is made while it is sent, come slowly with good reason.
            self._backend_late("the answer comes more slowly than min_rate allows")

    def _client_late(self, limit: Limit) -> None:
        self.traffic.telemetry.limit_reached(limit)
        client, begun = self.client, self.status != 0
        self._cut_request(Fault(Party.CLIENT, Stage.BODY, Kind.TIMEOUT))
        if begun and client is not None:
            client.abandon()  # or what it doesn't take would be offered to it for as long again

    def _backend_late(self, why: str | None = None) -> None:
        stage = Stage.BODY if self._download is not None else Stage.HEAD if self.request_done else Stage.REQUEST
        self._backend_failed(stage, Kind.TIMEOUT, why)
