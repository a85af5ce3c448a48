"""The trace that a request belongs to, as `traceparent` and `tracestate` tell it.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/ (Recommendation, version 00), and of Level 2 the rule that the
flag for random ids goes on as it came.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from proxy.core.http.message import Head

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

SAMPLED: Final = 0x01
_KNOWN_FLAGS: Final = 0x03  # sampled; random (Level 2)

# §2.2: lower-case hexadecimal only. A later version may have more behind a further dash, and is read as far as it is known.
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16


class TraceContext(NamedTuple):
    """One place in one trace. Ids are lower-case hexadecimal digits."""

    trace_id: bytes  # 32
    span_id: bytes  # 16
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether whoever began the trace records it."""
        return bool(self.flags & SAMPLED)

    @property
    def header(self) -> bytes:
        """The value of `traceparent`, version 00."""
        return b"00-%b-%b-%02x" % (self.trace_id, self.span_id, self.flags)


def read_traceparent(value: bytes) -> TraceContext | None:
    """What a `traceparent` says; None: nothing, for it is malformed (§2.2, §4.3)."""
    found = _TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS)


def context_of(head: Head) -> TraceContext | None:
    """The trace that a message belongs to; None: none, or nobody can tell which.

    A field that stands twice, or that `Connection` names (then it is for us alone), tells nothing.
    """
    value = head.values.get(TRACEPARENT)
    if value is None or TRACEPARENT in head.connection or (head.repeated is not None and TRACEPARENT in head.repeated):
        return None
    return read_traceparent(value)


def lines_of(head: Head, *names: bytes) -> bytes:
    """The lines of some fields as they came, each with its CRLF."""
    found = [line + b"\r\n" for name, line in zip(head.names, head.lines, strict=True) if name in names]
    return b"".join(found)
