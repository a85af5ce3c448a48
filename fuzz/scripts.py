"""What backends answer: well-formed answers, and those of which a part is of the odd kind."""

from __future__ import annotations

from random import Random
from typing import Final

_STATUSES: Final = (
    *(
        b"200 OK",
        b"200 OK",
        b"200 OK",
        b"200 ",
        b"204 No Content",
        b"206 Partial Content",
        b"301 Moved",
        b"304 Not Modified",
    ),
    *(b"404 caf\xe9", b"500 Internal Server Error", b"299 Odd", b"599 x", b"408 Request Timeout", b"205 Reset Content"),
)
_ODD_STATUSES: Final = (
    *(
        b"101 Switching Protocols",
        b"99 Low",
        b"1000 High",
        b"20 0",
        b"200",
        b"2e2 OK",
        b"000 Nil",
        b"200\tOK",
        b" 200 OK",
        b"-20 OK",
    ),
    *(b"200 O\rK", b"200 O\0K", b"100 Continue", b"102 Processing", b"999 Last", b"\xb2\xb0\xb0 OK"),
)
_LINES: Final = (
    *(
        b"X-Empty:",
        b"X-A: 1",
        b"X-A: 2",
        b"x-lower: y",
        b"X-High: caf\xe9",
        b"Content-Type: text/html",
        b"Set-Cookie: a=b; Path=/",
    ),
    *(
        b"Set-Cookie: c=d",
        b"Date: now",
        b"Server: x",
        b'ETag: "1"',
        b"Vary: Cookie",
        b"Keep-Alive: timeout=5",
        b"Connection: keep-alive",
    ),
    *(
        b"Connection: X-Hop",
        b"X-Hop: 1",
        b"Location: /elsewhere",
        b"Trailer: X-T",
        b"X-Long: " + b"l" * 700,
        b"Content-Type: text/event-stream",
    ),
)
_ODD_LINES: Final = (
    *(
        b"Content-Length: 3",
        b"Content-Length: 3, 3",
        b"Content-Length: -3",
        b"Content-Length: +3",
        b"Content-Length:",
        b"Content-Length: 3 3",
    ),
    *(
        b"Content-Length: 99999999999999999999",
        b"Content-Length\t: 3",
        b"Content_Length: 3",
        b"Transfer-Encoding: chunked",
    ),
    *(
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding:\x0bchunked",
    ),
    *(
        b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding:",
        b"Connection: close",
        b"Connection: Content-Length",
        b"Connection: transfer-encoding",
    ),
    *(
        b"Upgrade: websocket",
        b"X-Strangler: new; a; b; 1",
        b"X-Strangler-Error: none",
        b" folded: 1",
        b"\tfolded",
        b"no colon",
        b": 1",
        b"X : 1",
    ),
    *(
        b"X\xe9: 1",
        b"X: a\rY: b",
        b"X: a\nSet-Cookie: evil=1",
        b"X: \0",
        b"X: a\x01",
        b"X: " + b"b" * 9000,
        b"Set-Cookie: sid=1",
        b"HTTP/1.1 200 OK",
    ),
)
_ENDS: Final = ("keep", "keep", "keep", "fin")
_ODD_ENDS: Final = ("keep", "fin", "rst")
_ODD_LINE_ENDS: Final = (b"\n", b"\r", b"", b"\r\n\r\n", b"\r\r\n", b" \r\n")
_ODD_SIZES: Final = (
    b"",
    b" 3",
    b"3 ",
    b"0x3",
    b"-3",
    b"3_0",
    b"z",
    b"fffffffffffffffff",
    b"3;\n",
    b"3\x0b",
    b"3;" + b"e" * 5000,
    b"00000000000000003",
)
_TRAILERS: Final = (
    b"X-T: 1",
    b"X-Sum:",
    b"Content-Length: 3",
    b"Set-Cookie: t=1",
    b"X-Strangler: forged",
    b"Transfer-Encoding: chunked",
)


def answer(random: Random, token: bytes, *, to_head: bool = False) -> tuple[bytes, str]:
    """One well-formed answer with what comes before it, and what the backend does to its connection then."""
    return _answer(random, token, 0.0, to_head=to_head)


def odd_answer(random: Random, token: bytes) -> tuple[bytes, str]:
    """The same, each part of which may be of the odd kind."""
    return _answer(random, token, random.choice((0.03, 0.1, 0.3)), to_head=random.random() < 0.2)


def _answer(random: Random, token: bytes, odd: float, *, to_head: bool) -> tuple[bytes, str]:
    status = random.choice(_ODD_STATUSES if random.random() < odd else _STATUSES)
    version = (
        random.choice((b"HTTP/1.2", b"HTTP/2", b"http/1.1", b"ICY"))
        if random.random() < odd / 2
        else random.choice((b"HTTP/1.1",) * 4 + (b"HTTP/1.0",))
    )
    lines = [b"X-Token: " + token, *random.sample(_LINES, random.choice((0, 1, 2, 4)))]
    payload = token + b"x" * random.choice((0, 1, 5, 16, 3000))
    if random.random() < 0.02:
        payload += random.randbytes(150_000)
    framing, body, must_end = _body(random, version, payload, odd)
    if status[:3] in (b"204", b"304"):
        framing, body, must_end = b"", b"", False
    if to_head:
        body, must_end = b"", False
    if framing:
        lines.insert(random.randrange(len(lines) + 1), framing)
    while random.random() < odd:
        lines.insert(random.randrange(len(lines) + 1), random.choice(_ODD_LINES))
    head = [version + b" " + status, *lines, b""]
    ends = [random.choice(_ODD_LINE_ENDS) if random.random() < odd / 5 else b"\r\n" for _ in head]
    interim = b"".join(
        random.choice((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"))
        for _ in range(random.choice((0,) * 6 + (1, 2)))
    )
    end = "fin" if must_end else random.choice(_ENDS)
    if random.random() < odd:
        end = random.choice(_ODD_ENDS)
    surplus = b""
    if random.random() < odd:
        surplus = random.choice(
            (
                b"\r\n",
                b"x",
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Token: evil\r\n\r\nevil",
                b"HTTP/1.1 100 Continue\r\n\r\n",
            )
        )
    return interim + b"".join(map(bytes.__add__, head, ends)) + body + surplus, end


def _body(random: Random, version: bytes, payload: bytes, odd: float) -> tuple[bytes, bytes, bool]:
    """The line that frames it, what stands on the wire, and whether the connection's end is its end."""
    kind = random.randrange(3)
    if kind == 0:
        return b"", payload, True
    if kind == 1 or version != b"HTTP/1.1":
        claimed = len(payload) + (random.choice((-1, 1, 9)) if random.random() < odd else 0)
        return b"Content-Length: %d" % claimed, payload, False
    out: list[bytes] = []
    while payload:
        length = random.choice((1, 7, 64, len(payload))) if len(out) < 20 else len(payload)
        piece, payload = payload[:length], payload[length:]
        size = (
            random.choice(_ODD_SIZES)
            if random.random() < odd / 2
            else random.choice((b"%x", b"0%X", b"%x;a=b")) % len(piece)
        )
        out.append(size + b"\r\n" + piece + (random.choice(_ODD_LINE_ENDS) if random.random() < odd / 2 else b"\r\n"))
    out.append(
        b"0\r\n" + b"".join(line + b"\r\n" for line in random.sample(_TRAILERS, random.choice((0, 0, 1, 2)))) + b"\r\n"
    )
    return b"Transfer-Encoding: chunked", b"".join(out), False
