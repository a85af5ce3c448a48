"""Export of spans to a collector (OTLP over HTTP), by a thread: the traffic path leaves a record in a bounded queue.

What finds no room, and what the collector doesn't take, is dropped and counted; nothing waits for it. OpenTelemetry is
imported by that thread, so neither a start nor a reload waits for that either (a third of a second).
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.core.footprint import A_PATH_BYTE, SPANS_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.core.deciding.decision import Decision
    from proxy.core.http.tracecontext import TraceContext
    from proxy.traffic.exchanges.ending import Ending

SPANS_WAITING: Final = 2048
"""Spans that may wait for the collector (OpenTelemetry's OTEL_BSP_MAX_QUEUE_SIZE); what comes beyond is dropped and counted."""

_A_SPAN_BYTES: Final = 4096  # the record with its decision, all but what a client makes as long as it likes
_BATCH: Final = 64  # encoding takes some 5 ms (80 µs a span); OpenTelemetry's 512 would take 40
_GATHER_S: Final = 1.0
_CLOSING_S: Final = 2.0
_TOLD_AT_MOST_EVERY_S: Final = 60.0
_SWITCH_S: Final = 0.001  # as long as a thread that encodes may keep the traffic from going on; Python's own is 5 ms

_log = logging.getLogger("tracing")


class Recorded(NamedTuple):
    """What a span tells of an exchange, as it stood when that was over."""

    context: TraceContext
    parent_id: bytes | None
    tracestate: Sequence[bytes]
    decision: Decision
    generation: int
    request_id: bytes
    method: bytes
    path: bytes  # raw, without query
    scheme: str
    minor: int
    status: int
    fault: str | None
    endpoint: str | None
    ended_ns: int  # since 1970
    duration_us: int
    head_us: int | None


def _size(recorded: Recorded) -> int:
    """About what a record takes: its decision holds the request's head, and the path in pieces."""
    return _A_SPAN_BYTES + 3 * sum(map(len, recorded.decision.head.lines)) + A_PATH_BYTE * len(recorded.path)


class Exporter:
    """Sends what is left with it to one collector, until it is told to end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._waiting: deque[Recorded] = deque()
        self._gathered_bytes = self._sent_bytes = 0  # of all ever; the first by the loop, the other by the thread
        self._work = threading.Event()
        self._ending = threading.Event()
        self._dropped = self._lost = self._exported = 0  # the first by the loop, the others by the thread
        self._told = 0, 0
        self._said_s: float | None = None  # when trouble was told; None: there is none
        self._sender = threading.Thread(target=self._run, name="spans", daemon=True)
        self._sender.start()

    def leave(self, recorded: Recorded) -> None:
        """Take a record, if there is room."""
        waiting = self._waiting
        if len(waiting) >= SPANS_WAITING or self._gathered_bytes - self._sent_bytes >= SPANS_BYTES:
            self._dropped += 1
            return
        self._gathered_bytes += _size(recorded)
        waiting.append(recorded)
        if len(waiting) == 1:
            self._work.set()

    def take_counts(self) -> tuple[int, int]:
        """Spans that were exported, and that were dropped, since this was asked last."""
        before, now = self._told, (self._exported, self._dropped + self._lost)
        self._told = now
        return now[0] - before[0], now[1] - before[1]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._sender.is_alive()

    def end(self) -> None:
        """Send what waits, and end; nobody waits for that."""
        self._ending.set()
        self._work.set()

    def join(self) -> None:
        """Wait for its end, two seconds at most."""
        self._sender.join(_CLOSING_S)

    def _run(self) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        send: Callable[[Sequence[Recorded]], str | None] | None = None
        try:
            # By name: the traffic path is compiled, and that shall go where OpenTelemetry isn't installed, too.
            send = importlib.import_module("proxy.traffic.telling.spans").sender(self.url)
        except Exception as error:  # noqa: BLE001  whatever a foreign package does when it is loaded
            self._say(f"OpenTelemetry can't be loaded ({error}); in a checkout: pip install '.[otel]'")
        while True:
            self._work.wait()
            self._work.clear()
            ending = self._ending.is_set() or self._ending.wait(_GATHER_S)  # let a batch gather
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                self._send(batch, send)
                self._sent_bytes += sum(map(_size, batch))
            if ending:
                return

    def _send(self, batch: list[Recorded], send: Callable[[Sequence[Recorded]], str | None] | None) -> None:
        try:
            why_not = "OpenTelemetry can't be loaded" if send is None else send(batch)
        except Exception as error:  # noqa: BLE001  the top of a thread: told, costs this batch alone
            why_not = str(error)
        if why_not is None:
            self._exported += len(batch)
            if self._said_s is not None:
                self._said_s = None
                _log.warning("%s takes spans again; %d are lost", self.url, self._lost)
        else:
            self._lost += len(batch)
            self._say(why_not)

    def _say(self, why: str) -> None:
        now_s = time.monotonic()
        if self._said_s is None or now_s - self._said_s > _TOLD_AT_MOST_EVERY_S:
            self._said_s = now_s
            _log.warning("spans can't be exported to %s: %s", self.url, why)


class Spans:
    """The export of one worker: at most one collector at a time; a former one gets what was left with it."""

    def __init__(self) -> None:
        self._present: Exporter | None = None
        self._former: list[Exporter] = []

    def use(self, url: str | None) -> None:
        """Send to this collector from now on; None: to nobody."""
        present = self._present
        if present is not None:
            if present.url == url:
                return
            present.end()
            self._former.append(present)
        self._present = None if url is None else Exporter(url)

    def exchange(self, exchange: Ending, duration_us: int, lasted: bool) -> None:  # noqa: FBT001
        """An exchange is over: leave a record of it, if it is recorded."""
        del lasted  # a tunnel has a span as well
        trace, decision, present = exchange.trace, exchange.decision, self._present
        if trace is None or not trace.recorded or decision is None or present is None:
            return
        context = trace.context
        assert context is not None  # it is recorded
        head, fault = exchange.head, exchange.fault
        present.leave(
            Recorded(
                context=context,
                parent_id=trace.parent_id,
                tracestate=head.all(b"tracestate") if trace.parent_id is not None else (),
                decision=decision,
                generation=exchange.wiring.generation.number,
                request_id=exchange.request_id,
                method=head.method,
                path=head.path,
                scheme=exchange.scheme,
                minor=head.minor,
                status=exchange.status,
                fault=None if fault is None else fault.name,
                endpoint=exchange.endpoint_url,
                ended_ns=time.time_ns(),
                duration_us=duration_us,
                head_us=exchange.head_us,
            )
        )

    def take_counts(self) -> tuple[int, int]:
        """Spans that were exported, and that were dropped, since this was asked last."""
        several = [*self._former, *([] if self._present is None else [self._present])]
        over = [one for one in self._former if one.over]  # looked at before it is asked: it counts no more
        counts = [one.take_counts() for one in several]
        self._former = [one for one in self._former if one not in over]
        return sum(exported for exported, _ in counts), sum(dropped for _, dropped in counts)

    def close(self) -> None:
        """Send what waits, within two seconds for each collector, and end."""
        self.use(None)
        for exporter in self._former:
            exporter.join()
