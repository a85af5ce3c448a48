"""Hostile bytes in both directions, a bounded number of them in every run; and the oracle itself, held against a careless proxy."""

from __future__ import annotations

import re

import pytest
import uvloop

from fuzz.directions import DIRECTIONS, Direction
from fuzz.parsers import PARSERS, Parser, attempt
from fuzz.readers import End, read_answer, read_requests
from fuzz.run import again, run
from fuzz.seeds import Seed, kept
from proxy.core.http.body import Chunks

BOTH = pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=list(DIRECTIONS))
SEEDS = [(direction, seed) for direction in DIRECTIONS.values() for seed in kept(direction.name)]


@BOTH
def test_nothing_is_found_among_the_first_inputs(direction: Direction) -> None:
    tally = uvloop.run(run(direction, seed="test", inputs=250, seconds=60))
    assert [find.says for find in tally.finds] == []
    assert tally.passed.total() > 40
    assert tally.refused.total() > 40


@pytest.mark.parametrize(("direction", "seed"), SEEDS, ids=[f"{one.name}-{seed.name}" for one, seed in SEEDS])
def test_what_was_found_once_stays_mended(direction: Direction, seed: Seed) -> None:
    assert uvloop.run(again(direction, seed.case, plain=False)) == [], seed.says


@pytest.mark.parametrize(
    "received",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent_Length: 0\r\n\r\nabcd",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nab\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n Content-Length: 3\r\n\r\nabc",
    ],
)
def test_the_readers_disagree_about_what_smugglers_send(received: bytes) -> None:
    readings = read_requests(received)
    seen = {(reading.end, tuple((message.start, message.body) for message in reading.messages)) for reading in readings}
    assert len(seen) > 1


def test_an_answer_is_whole_only_to_a_reader_who_saw_its_end() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    assert read_answer(chunked, to_method=b"GET", ended=True).end is End.WITHIN
    assert read_answer(chunked + b"0\r\n\r\nmore", to_method=b"GET", ended=False).rest == b"more"
    closed = b"HTTP/1.1 200 OK\r\n\r\nab"
    assert read_answer(closed, to_method=b"GET", ended=False).end is End.WITHIN
    assert read_answer(closed, to_method=b"GET", ended=True).end is End.CLEAN


@BOTH
def test_a_proxy_that_reads_chunks_carelessly_is_found_out(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(self: Chunks, line: bytes) -> int:
        found = re.match(rb"\s*(?:0x)?([0-9A-Fa-f]{1,8})", line)
        return int(found[1], 16) if found else 0

    monkeypatch.setattr(Chunks, "_size", careless)
    tally = uvloop.run(run(direction, seed="d", inputs=2000, seconds=60, most_finds=1))
    assert len(tally.finds) == 1


@pytest.mark.parametrize("parser", PARSERS, ids=[parser.name for parser in PARSERS])
def test_every_reader_refuses_garbage_in_its_own_words(parser: Parser) -> None:
    assert [why for number in range(150) if (why := attempt(parser, f"{parser.name}:test:{number}"))] == []
