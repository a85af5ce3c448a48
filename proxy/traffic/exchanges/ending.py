"""The ends of an exchange, good and bad, and the state they look at: what every part of it shares.

`_end` is reached exactly once, whatever happened: the loan is returned, one line logged, one count added.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from proxy.core.deciding.decision import Decision
from proxy.core.http.badmessage import BadMessage, TooLarge
from proxy.core.http.body import Relay
from proxy.core.http.message import RequestHead
from proxy.core.http.tracecontext import context_of
from proxy.core.telling.faults import CLIENT_LEFT, Fault, Kind, Party, Stage
from proxy.traffic.backends.loan import NOT_LENT, TRIAL
from proxy.traffic.exchanges.pace import Paces
from proxy.traffic.exchanges.refusal import RETRY_AFTER_S, last_hop, refusal

if TYPE_CHECKING:
    from proxy.core.http.lasthop import LastHop
    from proxy.traffic.backends.backend import BackendConnection
    from proxy.traffic.backends.endpoint import Endpoint
    from proxy.traffic.clients.client import ClientConnection
    from proxy.traffic.server import Traffic
    from proxy.traffic.telling.tracing import Trace
    from proxy.traffic.wiring import Outlet, Wiring

_log = logging.getLogger(__name__)

SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""Methods that change nothing (RFC 9110 §9.2.1): their work may be cancelled."""


class Ending:
    """One request and its answer, as far as its end is concerned.

    Attributes:
        client: None once it has left.
        decision: None until it was decided.
        status: what the client was told; 0: nothing yet.
        received: bytes from the client; `sent`: to it.
        head_us: until the backend's head was there.
        trace: its place in a trace; None: the generation has no tracer, or it was refused before.
        request_done: the request's last byte has arrived.
    """

    __slots__ = (
        "_address",
        "_began_tick",
        "_connection",
        "_download",
        "_endpoint",
        "_interim",
        "_keep_alive",
        "_left_tick",
        "_lent",
        "_moved_tick",
        "_outlet",
        "_paces",
        "_partial",
        "_peer_kind",
        "_peer_trusted",
        "_replay",
        "_upload",
        "client",
        "closed_by",
        "decision",
        "fault",
        "head",
        "head_us",
        "over",
        "received",
        "request_done",
        "request_id",
        "sent",
        "started_s",
        "status",
        "trace",
        "traffic",
        "wiring",
    )

    request_done: bool
    status: int
    _endpoint: Endpoint  # these two are set once it is decided
    _outlet: Outlet
    _partial: bytes  # of the answer's head
    _left_tick: int  # when the client left; set with the request's being an orphan
    closed_by: Party  # of a tunnel alone, once it is over
    received: int

    def __init__(
        self, traffic: Traffic, wiring: Wiring, client: ClientConnection, head: RequestHead, request_id: bytes
    ) -> None:
        self.traffic = traffic
        self.client: ClientConnection | None = client
        self.decision: Decision | None = None
        self.request_id = request_id
        self.status = 0
        self.over = False
        self.wiring = wiring
        self.head = head
        self._address = client.address
        self._peer_trusted = client.trusted
        self._peer_kind = client.kind
        self._began_tick = self._moved_tick = traffic.tick
        self.started_s = time.monotonic()
        self.head_us: int | None = None
        self._connection: BackendConnection | None = None
        self._upload: Relay | None = None  # None: the request has no body, or it was there whole
        self._download: Relay | None = None  # None: the answer's head has not come, or it came whole
        self.fault: Fault | None = None
        self._keep_alive = head.keep_alive
        self._lent = NOT_LENT
        self._replay: bytes | None = b""  # of the body, sent so far; None: too much of it to be sent again
        self._interim = 0
        self.sent = 0
        self.trace: Trace | None = None
        self._paces: Paces | None = None  # made when a tick finds it waiting

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._address.decode()

    @property
    def trace_id(self) -> bytes | None:
        """Its trace, as the log names it; None: it belongs to none, or to one that whoever told it may not tell."""
        if self.wiring.tracer is None:
            context = context_of(self.head)
        else:
            context = None if self.trace is None else self.trace.context
        return None if context is None else context.trace_id

    @property
    def scheme(self) -> str:
        """Of the client's connection: `http` or `https`."""
        return "https" if self._peer_kind & 4 else "http"  # `Wiring.judge`

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint that was asked last; None: none was."""
        endpoint: Endpoint | None = getattr(self, "_endpoint", None)
        return None if endpoint is None else endpoint.url

    @property
    def party(self) -> Party:
        """The backend, as one that can break things; known once it is decided."""
        return self._outlet.party

    def _write(self, data: bytes) -> None:
        client = self.client
        if client is not None and data:
            self.sent += len(data)
            client.transport.write(data)

    @property
    def _answered(self) -> bool:
        """Whether the answer is complete, and only the rest of the request is still on its way."""
        return self._download is not None and self._download.done

    def client_left(self) -> None:
        """The client hung up before the answer was complete."""
        self.client = None
        if self.over:
            return
        if self._answered:
            self._cut_connection()  # its body was not whole, and nothing it sends will be answered any more
            self._end()
            return
        self.fault = Fault(Party.CLIENT, Stage.HEAD if self._download is None else Stage.BODY, Kind.LEFT)
        if not self.request_done or self.head.method in SAFE:
            self.status = CLIENT_LEFT
            if self._connection is None and self._lent:
                self.traffic.deserted += (
                    1  # the attempt to connect goes on: what becomes of it says how the endpoint is
                )
            self._cut_connection()
            self._end()
        else:
            # The backend may change something because of this request: it is let run, and its answer read and dropped.
            # But not for ever: what trickles never falls silent, nobody waits for it, and it holds its place in max_in_flight.
            self._left_tick = self.traffic.tick
            self.traffic.orphans.add(self)
            self._read_on()

    def _read_on(self) -> None:
        """Nobody holds the answer up any more."""
        raise NotImplementedError

    def sweep(self, tick: int) -> None:
        """Look at the deadlines; called once a tick."""
        raise NotImplementedError

    def tunnel_over(self, fault: Fault | None, closed_by: Party) -> None:
        """The tunnel that it became has ended."""
        self.fault = fault
        self.closed_by = closed_by
        self._end()

    def recalled(self) -> None:
        """A rollback covers it. Only an event stream hears this: cut, so that whoever follows it comes back."""
        self._cut_request(Fault(Party.PROXY, Stage.BODY, Kind.ROLLED_BACK))

    def drained(self) -> None:
        """This process has to end before the exchange did."""
        self._cut_request(Fault(Party.PROXY, Stage.BODY if self._download else Stage.REQUEST, Kind.DRAINED))

    def failed(self) -> None:
        """A defect of ours came up in a callback of this exchange; called while the exception is handled."""
        _log.exception("request %s failed", self.request_id.decode())
        self._keep_alive = False
        if not self.over:
            self._cut_request(Fault(Party.PROXY, Stage.BODY if self._download else Stage.REQUEST, Kind.FAILED))

    def _backend_failed(self, stage: Stage, kind: Kind, why: str | None = None) -> None:
        if why is not None:
            self._endpoint.reach.flawed(why, self.traffic.tick)
        pool = self._outlet.pool
        pool.faulted(self._endpoint, stage, kind, self.traffic.tick)
        if self._lent != TRIAL:
            pool.load.failed(stage, kind)
        self._cut_request(Fault(self._outlet.party, stage, kind))

    def _backend_broke(self, bad: BadMessage, stage: Stage) -> None:
        fault = self._fault_of(bad, self._outlet.party, stage)
        self._backend_failed(stage, fault.kind, bad.why)

    def _fault_of(self, bad: BadMessage, party: Party, stage: Stage) -> Fault:
        """The fault of a message that isn't taken; counted, where a limit was passed."""
        if not isinstance(bad, TooLarge):
            return Fault(party, stage, Kind.MALFORMED)
        self.traffic.telemetry.limit_reached(bad.limit)
        return Fault(party, stage, Kind.TOO_LARGE)

    def _cut_request(self, fault: Fault, *, status: int | None = None, why: str | None = None) -> None:
        """Cut at the backend; tell the client if no answer was begun, else cut there too."""
        self._cut_connection()
        if self.status == 0:
            self._refuse(fault, status=status, why=why)
            return
        self.fault = self.fault or fault
        self._keep_alive = False
        client = self.client
        if client is not None:
            # Never a clean end: lengths and chunks are left open, and where closing is the end, it is a reset.
            client.cut(reset=self.head.minor == 0 and self._download is not None)
        self._end()

    def _cut_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.cut()

    def _refuse(
        self, fault: Fault, *, status: int | None = None, why: str | None = None, retry_after_s: int = RETRY_AFTER_S
    ) -> None:
        """Answer ourselves: no byte of an answer has gone to the client yet."""
        self.fault = self.fault or fault
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
                minor=self.head.minor,
                head_only=self.head.method == b"HEAD",
                retry_after_s=retry_after_s,
                page=self.wiring.generation.error_page(self.status),
                told=self._told(self.decision) if self._peer_trusted and self.decision is not None else b"",
            )
            self._write(answer)
            self.traffic.telemetry.refused(fault)
        self._end()

    def _told(self, decision: Decision) -> bytes:
        """The line that trusted peers are told who answered by."""
        area = decision.area or "-"
        number = self.wiring.generation.number
        drill = "" if self.traffic.drilling is None else self.traffic.drilling.told(self)
        return f"X-Strangler: {decision.backend}; {area}; {decision.reason}; {number}\r\n{drill}".encode()

    def _answer_as_last(self, last: LastHop) -> None:
        """Answer as the final recipient would: the request may go no further."""
        if not self.request_done or self.traffic.draining:
            self._keep_alive = False
        self.status = 200
        request_id, close = self.request_id, not self._keep_alive
        self._write(last_hop(last, request_id=request_id, close=close, minor=self.head.minor))
        self._end()

    def _end(self) -> None:
        self.over = True
        self._return_loan()
        client, self.client = self.client, None
        fault = self.fault
        if fault is not None:
            self.traffic.telemetry.fault(fault, None if self.decision is None else self.decision.backend)
            if fault.kind is Kind.LEFT:
                self.status = CLIENT_LEFT
        self.traffic.exchange_over(self)
        if client is not None:
            client.exchange_over(self, keep_alive=self._keep_alive)

    def _return_loan(self) -> None:
        """Give back what it holds of a backend, if it holds anything."""
        raise NotImplementedError
