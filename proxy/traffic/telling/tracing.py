"""Traces of requests: which one a request belongs to, and what its backend is told of that.

Without `tracing:` in routes.yaml nothing here runs: `traceparent` and `tracestate` pass as they came, like any other field. With it:

1. the context of a client that may tell one (`accept`) is taken up; what is malformed, doubled, or told by others goes no further
2. where there is none, one is begun (`context: begin`), and a share of those is marked as sampled
3. a sampled one is recorded when spans are exported; only then the backend is told our span as its parent. A parent that
   nobody ever sees would tear the trace apart, so in all other cases the context passes unchanged
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from proxy.core.http.tracecontext import SAMPLED, TRACEPARENT, TRACESTATE, TraceContext, context_of, lines_of
from proxy.core.model import SHARE_TOTAL_BP

if TYPE_CHECKING:
    from proxy.core.http.message import RequestHead
    from proxy.core.plan import Tracing

FIELDS: Final = ("traceparent", "tracestate")

# Ids needn't be secret, only different: a generator that was seeded once costs a tenth of asking the kernel for each.
_ids: Final = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311
_LOW_64: Final = (1 << 64) - 1


class Trace:
    """One request's place in a trace.

    Attributes:
        context: what the backend is told, if anything.
        parent_id: the span that ours is a child of; None: it begins the trace, or there is none of ours.
        recorded: whether `context` names a span of ours, to be exported.
        lines: header lines for the backend, each with its CRLF.
    """

    __slots__ = ("context", "lines", "parent_id", "recorded")

    def __init__(
        self, context: TraceContext | None, lines: bytes, *, parent_id: bytes | None = None, recorded: bool = False
    ) -> None:
        self.context = context
        self.parent_id = parent_id
        self.recorded = recorded
        self.lines = lines


class Tracer:
    """What one generation does about traces."""

    __slots__ = ("_begins", "_bound", "_records", "_trusted_only")

    def __init__(self, settings: Tracing) -> None:
        self._begins = settings.begin
        self._trusted_only = settings.trusted_only
        self._records = settings.export is not None
        # As OpenTelemetry's TraceIdRatioBased: a part of the ids, so that whoever samples by the same rule keeps the same traces.
        self._bound = settings.sample_bp * (1 << 64) // SHARE_TOTAL_BP

    def trace(self, head: RequestHead, *, peer_trusted: bool) -> Trace:
        """The place of a request that has just come.

        Args:
            head: the request's.
            peer_trusted: whether it came from an address in `identity.trusted_from`.
        """
        given = None if self._trusted_only and not peer_trusted else context_of(head)
        if given is None:
            return self._begin() if self._begins else Trace(None, b"")
        if not (self._records and given.sampled):
            return Trace(given, lines_of(head, TRACEPARENT, TRACESTATE))
        context = given._replace(span_id=_new_id(64))
        lines = _line(context) + lines_of(head, TRACESTATE)
        return Trace(context, lines, parent_id=given.span_id, recorded=True)

    def _begin(self) -> Trace:
        trace_id = _new_id(128)
        sampled = int(trace_id, 16) & _LOW_64 < self._bound
        context = TraceContext(trace_id, _new_id(64), SAMPLED if sampled else 0)
        return Trace(context, _line(context), recorded=sampled and self._records)


def with_trace(message: bytes, trace: Trace) -> bytes:
    """A request's head with the lines of its trace.

    Args:
        message: the head as the backend is to get it, final CRLF CRLF included, without lines of a trace.
        trace: the request's.
    """
    return b"%b%b\r\n" % (message[:-2], trace.lines) if trace.lines else message


def _line(context: TraceContext) -> bytes:
    return b"traceparent: %b\r\n" % context.header


def _new_id(bits: int) -> bytes:
    """An id in hexadecimal digits; all zero is no id (§2.2)."""
    return b"%0*x" % (bits // 4, _ids.getrandbits(bits) or 1)
