"""`traceparent` is read as the W3C says, and what could mean two things means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.message import read_request_head
from proxy.core.http.tracecontext import TraceContext, context_of, read_traceparent

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"
VALID = b"00-%b-%b-01" % (TRACE, SPAN)


def test_a_valid_one_tells_trace_parent_and_whether_it_is_sampled() -> None:
    context = read_traceparent(VALID)
    assert context == TraceContext(TRACE, SPAN, 1)
    assert context.sampled
    assert context.header == VALID
    unsampled = read_traceparent(VALID[:-2] + b"00")
    assert unsampled is not None
    assert not unsampled.sampled


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    for later in (b"cc" + VALID[2:], b"01" + VALID[2:] + b"-what-comes-later", b"fe" + VALID[2:] + b"-"):
        assert read_traceparent(later) == TraceContext(TRACE, SPAN, 1)


def test_flags_that_nobody_knows_go_no_further() -> None:
    context = read_traceparent(VALID[:-2] + b"ff")
    assert context is not None
    assert context.header.endswith(b"-03")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        b"ff" + VALID[2:],
        VALID.upper(),
        VALID + b"-more",  # version 00 ends here
        VALID + b"0",
        b"cc" + VALID[2:] + b".more",
        VALID[:-1],
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"00-" + TRACE[:-1] + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-zz",
        b"0x-" + TRACE + b"-" + SPAN + b"-01",
        b"00_" + TRACE + b"_" + SPAN + b"_01",
        b" " + VALID,
    ],
)
def test_a_malformed_one_tells_nothing(value: bytes) -> None:
    assert read_traceparent(value) is None


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused_and_what_is_read_reads_the_same_again(value: bytes) -> None:
    context = read_traceparent(value)
    assert context is None or read_traceparent(context.header) == context


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", b"Host: shop", *lines])


def test_a_doubled_one_or_one_for_this_connection_alone_tells_nothing() -> None:
    line = b"traceparent: " + VALID
    assert context_of(read_request_head(head(line))) is not None
    assert context_of(read_request_head(head(line, line))) is None
    assert context_of(read_request_head(head(line, b"Connection: traceparent"))) is None
    assert context_of(read_request_head(head())) is None
