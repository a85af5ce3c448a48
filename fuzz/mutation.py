"""Bytes made worse: what a mutation does to a stream, and how a stream is cut into reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Final

TOKENS: Final = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b"\0",
        b" ",
        b"\t",
        b"\x0b",
        b"\x0c",
        b":",
        b";",
        b",",
        b"\x7f",
        b"\x85",
        b"\xff",
    ),
    *(b"0\r\n\r\n", b"0\r\n", b"1\r\nx\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"0x2\r\n", b"2;\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length:+5\r\n", b"Content_Length: 3\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding : chunked\r\n", b"transfer-encoding:\x0bchunked\r\n"),
    *(b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer_Encoding: chunked\r\n", b" chunked\r\n"),
    *(b"Host: other\r\n", b"Connection: close\r\n", b"Connection: Host\r\n", b"Connection: Content-Length\r\n"),
    *(
        b"X-Account-Id: root\r\n",
        b"X_Account_Id: root\r\n",
        b"X-Forwarded-For: 10.0.0.1\r\n",
        b"Forwarded: for=10.0.0.1\r\n",
    ),
    *(b"Expect: 100-continue\r\n", b"TE: trailers\r\n", b"Upgrade: websocket\r\n", b"Cookie: sid=1\r\n"),
    *(
        b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.0",
        b"HTTP/1.1",
    ),
)
"""What readers stumble over, put in and over the bytes of a stream."""


def mutated(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The same bytes, less one thing, or with one more, a few times over; `others` may be spliced in."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        at = random.randrange(len(out) + 1)
        span = random.choice((1, 1, 1, 2, 4, 16))
        match random.randrange(8):
            case 0:
                out[at : at + 1] = bytes((random.randrange(256),))
            case 1:
                del out[at : at + span]
            case 2:
                out[at:at] = out[at : at + span * 4]
            case 3 | 4:
                out[at:at] = random.choice(TOKENS)
            case 5:
                token = random.choice(TOKENS)
                out[at : at + len(token)] = token
            case 6:
                if at < len(out):
                    out[at] ^= 1 << random.randrange(8)
            case _:
                _at_a_line(random, out, others)
    return bytes(out)


def _at_a_line(random: Random, out: bytearray, others: Sequence[bytes]) -> None:
    """What touches whole lines: one twice, one in another place, one of another stream."""
    lines = bytes(out).split(b"\r\n")
    at = random.randrange(len(lines))
    match random.randrange(3):
        case 0:
            lines.insert(random.randrange(len(lines) + 1), lines[at])
        case 1:
            lines.insert(random.randrange(len(lines)), lines.pop(at))
        case _:
            if others:
                lines.insert(at, random.choice(random.choice(others).split(b"\r\n")))
    out[:] = b"\r\n".join(lines)


def cut(random: Random, data: bytes, most: int = 40) -> tuple[bytes, ...]:
    """The same bytes in reads: in one, in a few, at the places where readers stop, or each byte by itself."""
    match random.randrange(4):
        case 0:
            return (data,) if data else ()
        case 1 if len(data) <= most * 4:
            return tuple(data[i : i + 1] for i in range(len(data)))
        case 2:
            places = [at + random.choice((-1, 0, 1, 2)) for at in range(len(data)) if data[at] in b"\r\n;:"]
            places = random.sample(places, min(len(places), most))
        case _:
            places = [random.randrange(len(data) + 1) for _ in range(random.randrange(1, 8))]
    borders = sorted({0, len(data), *(min(max(place, 0), len(data)) for place in places)})
    return tuple(data[a:b] for a, b in pairwise(borders))
