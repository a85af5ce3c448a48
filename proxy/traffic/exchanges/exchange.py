"""One request and its answer, from the first byte to the last.

The way of an exchange, all of it in callbacks of the two connections:

1. `begin`: the head is there. Decide, lease a connection, write head and what is there of the body in one piece.
2. `request_received`: the rest of the body is passed on as it comes.
3. the answer passes (`proxy.traffic.exchanges.answer`).
4. the end, exactly once (`proxy.traffic.exchanges.ending`).

Between 1 and the first byte written an exchange may have to wait for a connection; the latch is looked at again after
that wait, and if it changed, everything is decided anew in the generation of that moment: nothing has begun yet. So are
the freezes, which hold up whatever may change data.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.decision import decide
from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.body import TOO_MUCH_BODY, Relay
from proxy.core.http.forwarding import LOOP_DETECTED, nominated
from proxy.core.http.framing import CHUNKED, NO_BODY
from proxy.core.http.lasthop import LastHop
from proxy.core.http.message import RequestHead
from proxy.core.http.rewrite import forward_target
from proxy.core.limits import Limit
from proxy.core.override import override
from proxy.core.switches.freeze import freezing, writes
from proxy.core.telling.faults import Fault, Kind, Party, Stage
from proxy.traffic.backends.loan import LENT, RELENT
from proxy.traffic.exchanges.ending import SAFE
from proxy.traffic.exchanges.falling import Falling
from proxy.traffic.limits import WATER_BYTES
from proxy.traffic.telling.tracing import with_trace

if TYPE_CHECKING:
    from proxy.core.deciding.decision import Decision
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.backends.endpoint import Endpoint
    from proxy.traffic.clients.client import ClientConnection
    from proxy.traffic.server import Traffic
    from proxy.traffic.telling.tracing import Tracer
    from proxy.traffic.wiring import Outlet, Wiring

IDEMPOTENT: Final = SAFE | {b"PUT", b"DELETE"}
"""Methods that may be sent a second time (RFC 9110 §9.2.2)."""


class Exchange(Falling):
    """One request and its answer."""

    __slots__ = ("_message", "_waiting")

    _message: bytes  # the head as the backend is to get it

    def __init__(
        self, traffic: Traffic, wiring: Wiring, client: ClientConnection, head: RequestHead, request_id: bytes
    ) -> None:
        super().__init__(traffic, wiring, client, head, request_id)
        self._partial = b""
        self._tried: tuple[Endpoint, ...] = ()
        self._waiting = b""  # of the body, as the backend is to get it, while there is no connection

    # 1. the request

    def begin(self, head_bytes: int, data: bytes) -> bytes:
        """Start. `data` is what came behind the head; returned is what belongs to the next request."""
        self.traffic.in_flight += 1
        head = self.head
        length = head.body
        surplus = b""
        if length == NO_BODY:
            self.request_done = True
            self.received = head_bytes
            surplus = data
            if data and b"upgrade" in head.connection:
                self.hurried()
        elif 0 < length <= len(data):
            self.request_done = True
            self.received = head_bytes + length
            self._waiting, surplus = data[:length], data[length:]
        else:
            self.request_done = False
            self.received = head_bytes + len(data)
            wiring = self.wiring
            withholds = nominated(head, wiring.withholds)
            upload = Relay(length, chunked=length == CHUNKED, withholds=withholds, limits=wiring.limits)
            self._upload = upload
            try:
                self._waiting = upload.feed(data)
            except BadMessage as bad:
                self._refuse(self._fault_of(bad, Party.CLIENT, Stage.BODY), status=bad.status, why=bad.why)
                return b""
            if upload.done:
                self.request_done = True
                surplus = upload.surplus
                self.received -= len(surplus)
            elif upload.full and self.client is not None:
                self.client.await_turn()
        self._route()
        return surplus

    @override
    def _route(self, *, again: bool = False, fallen: Decision | None = None) -> None:
        traffic = self.traffic
        wiring = self.wiring
        head = self.head
        self._latch = latch = traffic.latch()
        self._freezes = freezes = traffic.freezes
        peer = self._address.decode() if latch.entries else None
        try:
            decision = fallen or decide(
                wiring.generation, head, peer_trusted=self._peer_trusted, latch=latch, peer=peer
            )
            self._outlet = outlet = wiring.outlets[decision.backend]
            self._message = outlet.requests[self._peer_kind].write(
                head,
                forward_target(decision, head.target),
                address=self._address,
                authority=outlet.authority,
                request_id=self.request_id,
            )
            if wiring.tracer is not None:
                self._trace(wiring.tracer)
        except BadMessage as bad:
            self._keep_alive = False
            kind = Kind.LOOPED if bad.status == LOOP_DETECTED else Kind.MALFORMED
            self._refuse(Fault(Party.CLIENT, Stage.HEAD, kind), status=bad.status, why=bad.why)
            return
        except LastHop as last:
            self._answer_as_last(last)
            return
        self.decision = decision
        if head.body != NO_BODY and not self._body_fits(decision):
            return
        if freezes and writes(head.method) and (freeze := freezing(decision, freezes)) is not None:
            frozen = Fault(Party.PROXY, Stage.REQUEST, Kind.FROZEN)
            self._refuse(frozen, retry_after_s=freeze.retry_after_s(time.monotonic()))
            return
        caps = wiring.caps
        if (
            caps is not None
            and not again
            and (excess := caps.excess(decision, self._address, self.started_s)) is not None
        ):
            self._refuse(excess.fault, retry_after_s=excess.retry_after_s)
            return
        if traffic.drilling is not None and traffic.drilling.meets(self):
            return
        load = outlet.pool.load
        if load.in_flight < load.ceiling:
            self._lend(outlet, LENT)
        elif loan := self._find_place(load):
            self._lend(outlet, loan)

    @override
    def _lend(self, outlet: Outlet, loan: int) -> None:
        traffic = self.traffic
        pool = outlet.pool
        endpoint = pool.choose(traffic.tick)
        assert endpoint is not None  # every backend has one, and none has been tried
        if endpoint.minded and loan == LENT and self._passed_by(outlet):
            return
        pool.load.in_flight += 1
        endpoint.in_flight += 1
        self._endpoint = endpoint
        self._lent = loan
        if outlet.authorities is not None:
            self._message = outlet.tell_host(self._message, endpoint)
        connection = endpoint.take()
        if connection is None:
            pool.connect(endpoint, self)
        else:
            traffic.telemetry.reused(outlet.backend)
            self._send(connection)

    def _trace(self, tracer: Tracer) -> None:
        """Tell the backend which trace the request belongs to; decided anew, it is still the same."""
        trace = self.trace
        if trace is None:
            trace = self.trace = tracer.trace(self.head, peer_trusted=self._peer_trusted)
        if self._outlet.tells_trace:
            self._message = with_trace(self._message, trace)

    def _body_fits(self, decision: Decision) -> bool:
        """Whether the body is no larger than is taken here, as far as it was announced; refused, if not."""
        most_bytes = self.wiring.limits.body_bytes
        if decision.route is not None and decision.route.area.body_bytes is not None:
            most_bytes = decision.route.area.body_bytes
        try:
            if 0 < most_bytes < self.head.body:
                raise TooLarge(TOO_MUCH_BODY % most_bytes, Limit.BODY)
            if self._upload is not None:
                self._upload.bound(most_bytes)
        except TooLarge as bad:
            self._refuse(self._fault_of(bad, Party.CLIENT, Stage.BODY), status=bad.status, why=bad.why)
            return False
        return True

    def _send(self, connection: BackendConnection) -> None:
        """Write the head, and what is there of the body: from here on the request has begun at the backend."""
        client = self.client
        message = self._message
        connection.exchange = self
        connection.uses += 1
        self._connection = connection
        self._moved_tick = self.traffic.tick
        body = self._waiting
        if body:
            self._waiting = b""
            self._remember(body)
            message += body
        connection.transport.write(message)
        if self.traffic.drilling is not None:
            self.traffic.drilling.sent(self, connection)
        if client is not None and not client.writable:
            connection.transport.pause_reading()
        if not self.request_done and client is not None and connection.writable:
            client.resume_body()

    def _remember(self, body: bytes) -> None:
        if self._replay is not None:
            kept = len(self._replay) + len(body) <= self.wiring.limits.replay_bytes
            self._replay = self._replay + body if kept else None

    def connected(self, connection: BackendConnection) -> None:
        """The connection this exchange waited for is there."""
        traffic = self.traffic
        if self.over:
            connection.rest(traffic.tick)
        elif self._overtaken:
            connection.rest(traffic.tick)
            self._begin_anew()
        else:
            self._send(connection)

    @override
    def _decide_anew(self) -> None:
        self._return_loan()
        self._tried = ()
        self.wiring = self.traffic.wiring
        if self.client is not None:
            self.client.trust_in(self.wiring)
            self._peer_trusted = self.client.trusted
            self._peer_kind = self.client.kind
        self._route(again=True)

    def unreachable(self, endpoint: Endpoint, kind: Kind) -> None:
        """No connection could be made: ask the next endpoint, if there is one."""
        outlet = self._outlet
        fault = Fault(outlet.party, Stage.CONNECT, kind)
        if self.over:
            self.traffic.telemetry.fault(fault, outlet.backend)
            return
        if self._overtaken:
            self.traffic.telemetry.fault(fault, outlet.backend)
            self._begin_anew()
            return
        self._tried = (*self._tried, endpoint)
        another = outlet.pool.another(self.traffic.tick, self._tried)
        if another is None:
            self._undelivered(fault)
            return
        self.traffic.telemetry.fault(fault, outlet.backend)
        self._ask(another)

    def crowded_out(self) -> None:
        """No connection could be made for want of descriptors: no endpoint is to blame, and none would be reached."""
        fault = Fault(Party.PROXY, Stage.CONNECT, Kind.BUSY)
        if self.over:
            self.traffic.telemetry.fault(fault, self._outlet.backend)
        else:
            self._refuse(fault)

    @override
    def _ask(self, endpoint: Endpoint) -> None:
        """Try again over a fresh connection."""
        self.traffic.telemetry.retried(self._outlet.backend)
        self._endpoint.in_flight -= 1
        endpoint.in_flight += 1
        self._endpoint = endpoint
        self._message = self._outlet.tell_host(self._message, endpoint)
        self._outlet.pool.connect(endpoint, self)

    # 2. the request's body

    def request_received(self, data: bytes) -> bytes:
        """Pass on what came of the body; returned is what belongs to the next request."""
        upload = self._upload
        assert upload is not None
        self.received += len(data)
        self._moved_tick = self.traffic.tick
        try:
            out = upload.feed(data)
        except BadMessage as bad:
            self._cut_request(self._fault_of(bad, Party.CLIENT, Stage.BODY), status=bad.status, why=bad.why)
            return b""
        surplus = b""
        if upload.done:
            self.request_done = True
            surplus = upload.surplus
            self.received -= len(surplus)
        elif upload.full and self.client is not None:
            self.client.await_turn()
        connection = self._connection
        if connection is not None:
            self._remember(out)
            connection.transport.write(out)
        else:
            self._waiting += out
            if len(self._waiting) >= WATER_BYTES and not self.request_done and self.client is not None:
                self.client.pause_body()
        if upload.done and self._answered:
            self._finish(whole=True)
        return surplus

    @property
    def upload_full(self) -> bool:
        """Whether more of the body is here, left for another loop turn."""
        return self._upload is not None and self._upload.full

    def hurried(self) -> None:
        """The client sends more before it knows whether its connection is upgraded.

        It must not (RFC 6455 §4.1). If the upgrade isn't granted, nobody can tell a next request from the bytes of a
        tunnel, and to take these for a request is how requests are smuggled: the connection ends with the answer.
        """
        self._keep_alive = False

    def say_goodbye(self) -> None:
        """It is the last that its connection may ask."""
        self._keep_alive = False

    def backend_slow(self) -> None:
        """The backend takes the body more slowly than it comes."""
        if self.client is not None and not self.request_done:
            self.client.pause_body()

    def backend_ready(self) -> None:
        """The backend takes more."""
        self._moved_tick = self.traffic.tick
        if self.client is not None:
            self.client.resume_body()

    def backend_lost(self, error: Exception | None) -> None:
        """The backend closed its connection (`error` None), or broke it."""
        connection, self._connection = self._connection, None
        assert connection is not None
        download = self._download
        if download is not None:
            while download.full:  # TLS tells of the end though reading is paused: what came before it is here
                self._pass_body(download, b"")
            if self.over:
                return
            if download.done:
                self._end()  # it had answered already, and takes no more of the request
            elif download.until_close and error is None:
                self._write(download.last_chunk())
                self._end()
            else:
                self._backend_failed(Stage.BODY, Kind.CUT)
            return
        if self._partial or not (self._send_again(connection) or self._ask_elsewhere()):
            self._backend_failed(Stage.HEAD if self.request_done else Stage.REQUEST, Kind.CUT)

    @override
    def _was_stale(self) -> bool:
        # A 408 with close (RFC 9110 §15.5.9) that some write on an idle connection before they close it. If the body
        # isn't whole it may be meant; and what can't be sent twice gets it as it is, so that the client may decide.
        connection = self._connection
        if connection is None or not self.request_done or not self._send_again(connection):
            return False
        connection.cut()
        return True

    def _send_again(self, connection: BackendConnection) -> bool:
        """Send it over another connection, if this one can have been stale and the request may be sent twice."""
        unchanged = not self._overtaken
        # What the one system may have done already must not be done again by the other: idempotent is said of one system.
        again = IDEMPOTENT if unchanged else SAFE
        stale = connection.rested_tick >= 0 and not self._interim
        if stale and self._replay is not None and self.head.method in again:
            # A keep-alive connection that the backend closed just as the request went out (RFC 9110 §9.2.2).
            # A fresh connection can't be stale, so this happens once.
            self._connection = None
            self._waiting, self._replay = self._replay, b""
            if unchanged:
                self._lent = RELENT
                self._ask(self._outlet.pool.once_more(self._endpoint, self.traffic.tick))
            else:
                self._decide_anew()
            return True
        return False
