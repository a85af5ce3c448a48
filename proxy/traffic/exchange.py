"""One request and its answer, from the first byte to the last.

The way of an exchange, all of it in callbacks of the two connections:

1. `begin`: the head is there. Decide, lease a connection, write head and what is there of the body in one piece.
2. `request_received`: the rest of the body is passed on as it comes.
3. `answer_received`: 1xx answers pass; the final head is edited and written together with what is there of its body.
4. the rest of the answer is passed on as it comes.
5. `_end`: exactly once, whatever happened: the loan is returned, one line logged, one count added.

Between 1 and the first byte written an exchange may have to wait for a connection; the latch is looked at again after
that wait, and if it changed, everything is decided anew in the generation of that moment: nothing has begun yet.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from proxy.core.body import Relay
from proxy.core.decision import Decision, decide
from proxy.core.faults import CLIENT_LEFT, Fault, Kind, Party, Stage
from proxy.core.message import CHUNKED, NO_BODY, AnswerHead, BadMessage, RequestHead, read_answer_head
from proxy.core.rewrite import forward_target
from proxy.traffic.limits import WATER_BYTES
from proxy.traffic.refusal import refusal

if TYPE_CHECKING:
    from proxy.core.latch import Latch
    from proxy.traffic.backend import BackendConnection
    from proxy.traffic.client import ClientConnection
    from proxy.traffic.pool import Endpoint
    from proxy.traffic.server import Traffic
    from proxy.traffic.wiring import Outlet, Wiring

_log = logging.getLogger(__name__)

SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""Methods that change nothing (RFC 9110 §9.2.1): their work may be cancelled."""

IDEMPOTENT: Final = SAFE | {b"PUT", b"DELETE"}
"""Methods that may be sent a second time (RFC 9110 §9.2.2)."""

_END_OF_HEAD: Final = b"\r\n\r\n"
_SWITCHING: Final = 101


class Exchange:
    """One request and its answer.

    Attributes:
        client: None once it has left.
        decision: None until it was decided.
        status: what the client was told; 0: nothing yet.
        request_done: the request's last byte has arrived.
    """

    __slots__ = (
        "_began_tick",
        "_connection",
        "_download",
        "_endpoint",
        "_fault",
        "_head",
        "_head_us",
        "_interim",
        "_keep_alive",
        "_latch",
        "_lent",
        "_moved_tick",
        "_outlet",
        "_partial",
        "_peer_trusted",
        "_received",
        "_replay",
        "_reusable",
        "_sent",
        "_stalled_bytes",
        "_started_s",
        "_tried",
        "_upload",
        "_waiting",
        "_wiring",
        "client",
        "decision",
        "over",
        "request_done",
        "request_id",
        "status",
        "traffic",
    )

    def __init__(
        self, traffic: Traffic, wiring: Wiring, client: ClientConnection, head: RequestHead, request_id: bytes
    ) -> None:
        self.traffic = traffic
        self.client: ClientConnection | None = client
        self.decision: Decision | None = None
        self.request_id = request_id
        self.status = 0
        self.over = False
        self._wiring = wiring
        self._head = head
        self._peer_trusted = client.trusted
        self._began_tick = self._moved_tick = traffic.tick
        self._started_s = time.monotonic()
        self._head_us: int | None = None
        self._connection: BackendConnection | None = None
        self._upload: Relay | None = None  # None: the request has no body, or it was there whole
        self._download: Relay | None = None  # None: the answer's head has not come, or it came whole
        self._fault: Fault | None = None
        self._keep_alive = head.keep_alive
        self._lent = False
        self._tried: tuple[Endpoint, ...] = ()
        self._partial = b""
        self._waiting = b""  # of the body, as the backend is to get it, while there is no connection
        self._replay: bytes | None = b""  # of the body, sent so far; None: too much of it to be sent again
        self._interim = 0
        self._sent = 0
        self._stalled_bytes = -1

    # 1. the request

    def begin(self, head_bytes: int, data: bytes) -> bytes:
        """Start. `data` is what came behind the head; returned is what belongs to the next request."""
        self.traffic.in_flight += 1
        head = self._head
        length = head.body
        surplus = b""
        if length == NO_BODY:
            self.request_done = True
            self._received = head_bytes
            surplus = data
        elif 0 < length <= len(data):
            self.request_done = True
            self._received = head_bytes + length
            self._waiting, surplus = data[:length], data[length:]
        else:
            self.request_done = False
            self._received = head_bytes + len(data)
            self._upload = upload = Relay(length, chunked=length == CHUNKED, withholds=self._wiring.withholds)
            try:
                self._waiting = upload.feed(data)
            except BadMessage as bad:
                self._refuse(Fault(Party.CLIENT, Stage.BODY, Kind.MALFORMED), status=bad.status, why=bad.why)
                return b""
            if upload.done:
                self.request_done = True
                surplus = upload.surplus
                self._received -= len(surplus)
        self._route()
        return surplus

    def _route(self) -> None:
        """Decide, and send or wait for a connection."""
        traffic = self.traffic
        wiring = self._wiring
        head = self._head
        self._latch: Latch = traffic.latch()
        try:
            decision = decide(wiring.generation, head, peer_trusted=self._peer_trusted, latch=self._latch)
        except BadMessage as bad:
            self._refuse(Fault(Party.CLIENT, Stage.HEAD, Kind.MALFORMED), status=bad.status, why=bad.why)
            return
        self.decision = decision
        self._outlet: Outlet = wiring.outlets[decision.backend]
        pool = self._outlet.pool
        if pool.full:
            self._refuse(Fault(self._outlet.party, Stage.CONNECT, Kind.BUSY))
            return
        endpoint = pool.choose(traffic.tick)
        assert endpoint is not None  # every backend has one, and none has been tried
        pool.load.in_flight += 1
        endpoint.in_flight += 1
        self._endpoint: Endpoint = endpoint
        self._lent = True
        connection = endpoint.take()
        if connection is None:
            pool.connect(endpoint, self)
        else:
            traffic.telemetry.reused(decision.backend)
            self._send(connection)

    def _send(self, connection: BackendConnection) -> None:
        """Write the head, and what is there of the body: from here on the request has begun at the backend."""
        head = self._head
        client = self.client
        assert self.decision is not None
        try:
            target = forward_target(self.decision, head.target)
            message = self._outlet.requests[self._peer_trusted].write(
                head,
                target,
                address=self.traffic.own_address if client is None else client.address,
                authority=self._endpoint.authority,
                request_id=self.request_id,
            )
        except BadMessage as bad:
            connection.rest(self.traffic.tick)
            self._refuse(Fault(Party.CLIENT, Stage.HEAD, Kind.MALFORMED), status=bad.status, why=bad.why)
            return
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
        if client is not None and not client.writable:
            connection.transport.pause_reading()
        if not self.request_done and client is not None and connection.writable:
            client.resume_body()

    def _remember(self, body: bytes) -> None:
        if self._replay is not None:
            kept = len(self._replay) + len(body) <= self.traffic.limits.replay_bytes
            self._replay = self._replay + body if kept else None

    def connected(self, connection: BackendConnection) -> None:
        """The connection this exchange waited for is there."""
        traffic = self.traffic
        if self.over:
            connection.rest(traffic.tick)
        elif traffic.latch() is not self._latch:
            connection.rest(traffic.tick)
            self._decide_anew()
        else:
            self._send(connection)

    def _decide_anew(self) -> None:
        """The latch changed during a wait; nothing has begun anywhere, so the present generation decides."""
        self._return_loan()
        self._tried = ()
        self._wiring = self.traffic.wiring
        if self.client is not None:
            self._peer_trusted = self.client.trust_in(self._wiring)
        self._route()

    def unreachable(self, endpoint: Endpoint, *, timed_out: bool) -> None:
        """No connection could be made: ask the next endpoint, if there is one."""
        outlet = self._outlet
        fault = Fault(outlet.party, Stage.CONNECT, Kind.TIMEOUT if timed_out else Kind.UNREACHABLE)
        if self.over:
            self.traffic.telemetry.fault(fault, outlet.backend)
            return
        if self.traffic.latch() is not self._latch:
            self.traffic.telemetry.fault(fault, outlet.backend)
            self._decide_anew()
            return
        self._tried = (*self._tried, endpoint)
        another = outlet.pool.choose(self.traffic.tick, self._tried)
        if another is None:
            self._refuse(fault)
            return
        self.traffic.telemetry.fault(fault, outlet.backend)
        self._ask(another)

    def _ask(self, endpoint: Endpoint) -> None:
        """Try again over a fresh connection."""
        self.traffic.telemetry.retried(self._outlet.backend)
        self._endpoint.in_flight -= 1
        endpoint.in_flight += 1
        self._endpoint = endpoint
        self._outlet.pool.connect(endpoint, self)

    # 2. the request's body

    def request_received(self, data: bytes) -> bytes:
        """Pass on what came of the body; returned is what belongs to the next request."""
        upload = self._upload
        assert upload is not None
        self._received += len(data)
        self._moved_tick = self.traffic.tick
        try:
            out = upload.feed(data)
        except BadMessage as bad:
            self._cut_request(Fault(Party.CLIENT, Stage.BODY, Kind.MALFORMED), status=bad.status, why=bad.why)
            return b""
        surplus = b""
        if upload.done:
            self.request_done = True
            surplus = upload.surplus
            self._received -= len(surplus)
        connection = self._connection
        if connection is not None:
            self._remember(out)
            connection.transport.write(out)
        else:
            self._waiting += out
            if len(self._waiting) >= WATER_BYTES and not self.request_done and self.client is not None:
                self.client.pause_body()
        return surplus

    def backend_slow(self) -> None:
        """The backend takes the body more slowly than it comes."""
        if self.client is not None and not self.request_done:
            self.client.pause_body()

    def backend_ready(self) -> None:
        """The backend takes more."""
        self._moved_tick = self.traffic.tick
        if self.client is not None:
            self.client.resume_body()

    # 3. the answer's head

    def answer_received(self, data: bytes) -> None:
        """Pass on what the backend sent."""
        self._moved_tick = self.traffic.tick
        if self._download is not None:
            self._pass_body(self._download, data)
            return
        if self._partial:
            data = self._partial + data
        while True:
            at = data.find(_END_OF_HEAD)
            if at < 0 or at > self.traffic.limits.head_bytes:
                self._partial = data
                if len(data) > self.traffic.limits.head_bytes:
                    self._backend_failed(Stage.HEAD, Kind.MALFORMED, "the answer's head is too long")
                return
            try:
                head = read_answer_head(data[:at], to_method=self._head.method)
            except BadMessage as bad:
                self._backend_failed(Stage.HEAD, Kind.MALFORMED, bad.why)
                return
            if head.status == _SWITCHING:
                self._backend_failed(Stage.HEAD, Kind.MALFORMED, "101 was not asked for")
                return
            data = data[at + 4 :]
            if head.status >= 200:
                break
            if not self._pass_interim(head):
                return
        self._partial = b""
        self._answer(head, data)

    def _pass_interim(self, head: AnswerHead) -> bool:
        self._interim += 1
        if self._interim > self.traffic.limits.interim_answers:
            self._backend_failed(Stage.HEAD, Kind.MALFORMED, "too many interim answers")
            return False
        if self._head.minor:
            self._write(self._outlet.answers.write(head, b"", route=None, host=b""))
        self._partial = b""
        return True

    def _answer(self, head: AnswerHead, data: bytes) -> None:
        request = self._head
        decision = self.decision
        client = self.client
        assert decision is not None
        length = head.body
        chunked = length < 0 and request.minor == 1
        # An answer that comes while the request is still being sent may be the last word: nobody can tell whether the
        # client goes on sending, so the connection is not used again.
        if not self.request_done or (length < 0 and not chunked) or self.traffic.draining:
            self._keep_alive = False
        added = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        if not self._keep_alive:
            added += b"Connection: close\r\n"
        elif request.minor == 0:
            added += b"Connection: keep-alive\r\n"
        if self._peer_trusted:
            added += self._told(decision)
        message = self._outlet.answers.write(head, added, route=decision.route, host=request.host)
        self.status = head.status
        self._head_us = int((time.monotonic() - self._started_s) * 1_000_000)
        self._reusable = head.keep_alive
        if length == len(data):
            if client is not None:
                message += data
                self._sent += len(message)
                client.transport.write(message)
            self._finish(whole=True)
            return
        self._download = download = Relay(length, chunked=chunked, withholds=self._outlet.answers.withholds)
        self._pass_body(download, data, message)

    def _told(self, decision: Decision) -> bytes:
        area = decision.area or "-"
        number = self._wiring.generation.number
        return f"X-Strangler: {decision.backend}; {area}; {decision.reason}; {number}\r\n".encode()

    # 4. the answer's body

    def _pass_body(self, download: Relay, data: bytes, head: bytes = b"") -> None:
        try:
            out = download.feed(data)
        except BadMessage as bad:
            self._write(head)
            self._backend_failed(Stage.BODY, Kind.MALFORMED, bad.why)
            return
        self._write(head + out)
        if download.done:
            self._finish(whole=not download.surplus)

    def _write(self, data: bytes) -> None:
        client = self.client
        if client is not None and data:
            self._sent += len(data)
            client.transport.write(data)

    def client_slow(self) -> None:
        """The client takes the answer more slowly than it comes."""
        if self._connection is not None:
            self._connection.transport.pause_reading()

    def client_ready(self) -> None:
        """The client takes more."""
        self._moved_tick = self.traffic.tick
        if self._connection is not None:
            self._connection.transport.resume_reading()

    # 5. ends, good and bad

    def _finish(self, *, whole: bool) -> None:
        """The answer is complete. `whole`: the backend's connection stands exactly at its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if whole and self.request_done and self._reusable and connection.writable:
                if self.client is None or not self.client.writable:
                    connection.transport.resume_reading()
                connection.rest(self.traffic.tick)
            else:
                connection.cut()
        self._end()

    def backend_lost(self, error: Exception | None) -> None:
        """The backend closed its connection (`error` None), or broke it."""
        connection, self._connection = self._connection, None
        assert connection is not None
        download = self._download
        if download is not None:
            if download.until_close and error is None:
                self._write(download.last_chunk())
                self._end()
            else:
                self._backend_failed(Stage.BODY, Kind.CUT)
            return
        stale = connection.uses > 1 and not self._partial and not self._interim
        if stale and self._replay is not None and self._head.method in IDEMPOTENT:
            # A keep-alive connection that the backend closed just as the request went out (RFC 9110 §9.2.2).
            # A fresh connection can't be stale, so this happens once.
            self._waiting, self._replay = self._replay, b""
            if self.traffic.latch() is not self._latch:
                self._decide_anew()
            else:
                self._ask(self._endpoint)
            return
        self._backend_failed(Stage.HEAD if self.request_done else Stage.REQUEST, Kind.CUT)

    def client_left(self) -> None:
        """The client hung up before the answer was complete."""
        self.client = None
        if self.over:
            return
        self._fault = Fault(Party.CLIENT, Stage.HEAD if self._download is None else Stage.BODY, Kind.LEFT)
        if not self.request_done or self._head.method in SAFE:
            self.status = CLIENT_LEFT
            self._cut_connection()
            self._end()
        else:
            # The backend may change something because of this request: it is let run, and its answer read and dropped.
            self.traffic.orphans.add(self)
            if self._connection is not None:
                self._connection.transport.resume_reading()

    def sweep(self, tick: int) -> None:
        """Look at the deadlines; called once a tick."""
        if self._connection is None:
            return  # connecting has its own
        pool = self._outlet.pool
        if pool.total_ticks is not None and tick - self._began_tick > pool.total_ticks:
            self._timed_out(self._outlet.party)
            return
        silent = tick - self._moved_tick
        client = self.client
        if client is not None and not client.writable:
            waiting = client.transport.get_write_buffer_size()
            if waiting != self._stalled_bytes:
                self._stalled_bytes = waiting
                self._moved_tick = tick
            elif silent > self.traffic.client_stall_ticks:
                self._timed_out(Party.CLIENT)
        elif silent > pool.silence_ticks:
            # Who is silent? The client, when the backend has taken all there was and waits for the rest of the body.
            asked = self._head.expects_continue and not self._interim and self._replay == b""
            waits = not self.request_done and self._connection.writable and self._download is None and not asked
            self._timed_out(Party.CLIENT if waits else self._outlet.party)

    def _timed_out(self, party: Party) -> None:
        if party is Party.CLIENT:
            self._cut_request(Fault(party, Stage.BODY, Kind.TIMEOUT))
            return
        stage = Stage.BODY if self._download is not None else Stage.HEAD if self.request_done else Stage.REQUEST
        self._backend_failed(stage, Kind.TIMEOUT)

    def drained(self) -> None:
        """This process has to end before the exchange did."""
        self._cut_request(Fault(Party.PROXY, Stage.BODY if self._download else Stage.REQUEST, Kind.DRAINED))

    def failed(self) -> None:
        """A defect of ours came up in a callback of this exchange."""
        if not self.over:
            self._cut_request(Fault(Party.PROXY, Stage.BODY if self._download else Stage.REQUEST, Kind.FAILED))

    def _backend_failed(self, stage: Stage, kind: Kind, why: str | None = None) -> None:
        if why is not None:
            _log.warning("%s: %s: %s", self._outlet.backend, self._endpoint.url, why)
        self._cut_request(Fault(self._outlet.party, stage, kind))

    def _cut_request(self, fault: Fault, *, status: int | None = None, why: str | None = None) -> None:
        """Cut at the backend; tell the client if no answer was begun, else cut there too."""
        self._cut_connection()
        if self.status == 0:
            self._refuse(fault, status=status, why=why)
            return
        self._fault = self._fault or fault
        self._keep_alive = False
        client = self.client
        if client is not None:
            # Never a clean end: lengths and chunks are left open, and where closing is the end, it is a reset.
            client.cut(reset=self._head.minor == 0 and self._download is not None)
        self._end()

    def _cut_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cut()

    def _refuse(self, fault: Fault, *, status: int | None = None, why: str | None = None) -> None:
        """Answer ourselves: no byte of an answer has gone to the client yet."""
        self._fault = self._fault or fault
        client = self.client
        if client is None:
            self.status = CLIENT_LEFT
        else:
            self.status = status or fault.status
            if not self.request_done or self.traffic.draining:
                self._keep_alive = False
            answer = refusal(
                fault,
                self.status,
                request_id=self.request_id,
                why=why,
                close=not self._keep_alive,
                minor=self._head.minor,
                head_only=self._head.method == b"HEAD",
            )
            self._write(answer)
            self.traffic.telemetry.refused(fault)
        self._end()

    def _return_loan(self) -> None:
        if self._lent:
            self._lent = False
            self._endpoint.in_flight -= 1
            self._outlet.pool.load.in_flight -= 1

    def _end(self) -> None:
        self.over = True
        self._return_loan()
        client, self.client = self.client, None
        fault = self._fault
        if fault is not None:
            self.traffic.telemetry.fault(fault, None if self.decision is None else self.decision.backend)
            if fault.kind is Kind.LEFT:
                self.status = CLIENT_LEFT
        self.traffic.exchange_over(
            self,
            method=self._head.method,
            target=self._head.target,
            generation=self._wiring.generation.number,
            fault=fault,
            received=self._received,
            sent=self._sent,
            started_s=self._started_s,
            head_us=self._head_us,
        )
        if client is not None:
            client.exchange_over(keep_alive=self._keep_alive, request_done=self.request_done)
