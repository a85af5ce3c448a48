"""Bodies pass whole however they are cut into reads, and a framing that two readers could see differently is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.badmessage import BadMessage
from proxy.core.http.body import LINES_A_TURN, Relay
from proxy.core.http.framing import CHUNKED, UNTIL_CLOSE
from proxy.core.limits import DEFAULT_LIMITS


def nothing_withheld(name: bytes) -> bool:
    return False


def relay(body: int, *, chunked: bool) -> Relay:
    return Relay(body, chunked=chunked, withholds=nothing_withheld)


def feed_all(reader: Relay, reads: list[bytes]) -> None:
    for read in reads:
        reader.feed(read)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """(payload, trailers as lines, the same on the wire)."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    spelled = [
        draw(st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b", b'%x ;a="b;c"'])) % len(piece) for piece in pieces
    ]
    trailers = draw(st.sampled_from([b"", b"X-Sum: 7\r\n", b"A: b\r\nC:\r\n"]))
    wire = b"".join(b"%b\r\n%b\r\n" % pair for pair in zip(spelled, pieces, strict=True))
    return b"".join(pieces), trailers, wire + b"0\r\n" + trailers + b"\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(at)]


@given(chunked_bodies(), st.lists(st.integers(0, 10_000), max_size=12), st.binary(max_size=9))
def test_a_chunked_body_gives_its_payload_whatever_the_reads(
    body: tuple[bytes, bytes, bytes], places: list[int], behind: bytes
) -> None:
    payload, _, wire = body
    plain = relay(CHUNKED, chunked=False)
    out = b"".join(plain.feed(piece) for piece in cut(wire, places))
    assert (out, plain.done, plain.surplus) == (payload, True, b"")
    behind_too = relay(CHUNKED, chunked=False)
    assert behind_too.feed(wire + behind) == payload
    assert behind_too.surplus == behind


@given(chunked_bodies(), st.lists(st.integers(0, 10_000), max_size=12))
def test_chunks_written_anew_mean_the_same(body: tuple[bytes, bytes, bytes], places: list[int]) -> None:
    payload, trailers, wire = body
    first = relay(CHUNKED, chunked=True)
    out = b"".join(first.feed(piece) for piece in cut(wire, places))
    assert out.endswith(b"0\r\n" + trailers + b"\r\n")
    assert relay(CHUNKED, chunked=False).feed(out) == payload


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1;a\nb\r\n",
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\r0",
        b"1" * 16 + b"\r\n",
        b"1" * 5000,
        b"1;" + b"x" * 5000,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nA: " + b"x" * 20_000,
        b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    ],
)
def test_a_chunk_that_could_be_read_in_two_ways_is_refused(wire: bytes) -> None:
    for reads in ([wire], [wire[i : i + 1] for i in range(len(wire))]):
        reader = relay(CHUNKED, chunked=False)
        with pytest.raises(BadMessage):
            feed_all(reader, reads)


def test_chunks_are_counted_across_reads_and_the_rest_waits_for_another_turn() -> None:
    reader = relay(CHUNKED, chunked=False)
    half = LINES_A_TURN // 2
    assert reader.feed(b"1\r\na\r\n" * half) == b"a" * half
    assert not reader.full
    assert reader.feed(b"1\r\nb\r\n" * (half + 1) + b"0\r\n\r\nGET") == b"b" * half
    assert (reader.full, reader.done) == (True, False)
    assert reader.feed(b" /") == b"b"
    assert (reader.full, reader.done, reader.surplus) == (False, True, b"GET /")


def test_extensions_may_not_outweigh_the_body() -> None:
    reader = relay(CHUNKED, chunked=False)
    chunk = b"1;" + b"x" * 1000 + b"\r\na\r\n"
    with pytest.raises(BadMessage):
        feed_all(reader, [chunk] * (DEFAULT_LIMITS.chunk_extensions_bytes // 1000 + 1))


@given(st.binary(min_size=1, max_size=50), st.lists(st.integers(0, 100), max_size=5), st.binary(max_size=5))
def test_a_counted_body_ends_at_its_length(body: bytes, places: list[int], behind: bytes) -> None:
    reader = relay(len(body), chunked=False)
    pieces = cut(body, places)
    out = b"".join(reader.feed(piece) for piece in pieces[:-1])
    assert not reader.done
    out += reader.feed(pieces[-1] + behind)
    assert (out, reader.done, reader.surplus) == (body, True, behind)


def test_a_body_without_a_length_ends_only_when_it_is_told() -> None:
    reader = relay(UNTIL_CLOSE, chunked=True)
    assert reader.feed(b"abc") == b"3\r\nabc\r\n"
    assert not reader.done
    assert reader.last_chunk() == b"0\r\n\r\n"
