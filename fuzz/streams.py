"""Streams of requests as clients send them: well-formed ones, and those of which one part is of the odd kind."""

from __future__ import annotations

from random import Random
from typing import Final

_METHODS: Final = (b"GET", b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"PURGE", b"M-SEARCH")
_TARGETS: Final = (
    *(
        b"/",
        b"/orders/7?a=b%20c",
        b"/new/shop",
        b"/new",
        b"/a//b/",
        b"/%7Euser/%2e",
        b"/early/",
        b"/early?x",
        b"/a;v=1/b",
    ),
    *(b"/\xc3\xa9", b"/a?b=http://x/&c=\xff", b"/q?" + b"x" * 300, b"/n%65w/x", b"http://shop/abs?q", b"HTTP://SHOP"),
    *(b"//new/x", b"/new;x/y", b"/new/./x", b"/%41%2f"),
)
_ODD_TARGETS: Final = (
    *(
        b"/new%2fx",
        b"/x/..;/new/y",
        b"/new\\x",
        b"/./new/",
        b"/%00new",
        b"/a/%2e%2e/new/b",
        b"/%2Fnew/a",
        b"/new/../old",
    ),
    *(
        b"*",
        b"",
        b"new",
        b"/a b",
        b"/a\tb",
        b"/a#b",
        b"http://other/",
        b"http:///x",
        b"http://shop@other/",
        b"ftp://shop/",
    ),
    *(b"shop:80", b"/\x7f", b"/a\x00", b"https://shop/a#b", b"/%", b"/%zz", b"/" + b"y" * 3000, b"http://shop:80/"),
)
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0")
_ODD_VERSIONS: Final = (
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.10",
    b"HTTP/1,1",
    b"",
    b"HTTP/1.1 x",
    b"XTTP/1.1",
)
_LINES: Final = (
    *(
        b"Accept: */*",
        b"X-Empty:",
        b"x-lower: y",
        b"X-Twice: 1",
        b"X-Twice: 2",
        b"X-High: caf\xe9 \xff",
        b"Cookie: a=b; sid=1; c=d",
    ),
    *(
        b"Cookie: lid=2",
        b'User-Agent: a (b; c) "d"',
        b"X-Space: \t a b \t",
        b"Connection: keep-alive",
        b"Connection: X-Hop, keep-alive",
    ),
    *(
        b"X-Hop: 1",
        b"TE: trailers",
        b"X-Long: " + b"v" * 700,
        b"Range: bytes=0-9",
        b"Via: 1.0 someone",
        b"X-Account: plain",
    ),
    *(
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"X_Under: 1",
        b"Authorization: Basic eDp5",
        b"Keep-Alive: 5",
        b"If-Match: *",
    ),
)
_ODD_LINES: Final = (
    *(
        b"Content-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: -1",
        b"Content-Length: 0x5",
        b"Content-Length: 5 ",
        b"Content-Length:",
    ),
    *(
        b"Content-Length: 00005",
        b"Content-Length: 99999999999999999999",
        b"Content-Length: \xb2",
        b"Content_Length: 7",
        b"Content-Length\t: 5",
    ),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: Chunked ",
        b"Transfer-Encoding: chunked, chunked",
    ),
    *(
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding:\tchunked",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding: chunked;q=1",
    ),
    *(
        b"Transfer-Encoding:",
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding\x00: chunked",
    ),
    *(
        b"Host: shop",
        b"Host: other",
        b"Host:",
        b"Host: shop:99999",
        b"Host: [::1",
        b"Host: shop:80 ",
        b"Host: a,b",
        b"Host : shop",
        b"_Host: x",
    ),
    *(
        b" folded",
        b"\tfolded",
        b"no colon",
        b": no name",
        b"X\xe9: 1",
        b"X Y: 1",
        b"X\x0b: 1",
        b"X: \x00",
        b"X: a\x01b",
        b"X(: 1",
        b"X: a\rY: b",
    ),
    *(
        b"X: a\nContent-Length: 9",
        b"Connection: close",
        b"Connection: Host",
        b"Connection: content-length",
        b"Connection: x-account-id",
    ),
    *(
        b"Connection: Transfer_Encoding",
        b"Connection: ,, ;",
        b"Connection: upgrade",
        b"Connection: Upgrade\r\nUpgrade: websocket",
    ),
    *(
        b"X-Account-Id: root",
        b"X_Account-Id: root",
        b"x-account_id: root",
        b"X-Forwarded-For: 6.6.6.6",
        b"X_Forwarded_For: 6.6.6.6",
    ),
    *(
        b"Forwarded: for=6.6.6.6",
        b"X-Request-ID: mine",
        b"X_Request_ID: mine",
        b"X-Forwarded-Prefix: /x",
        b"Cookie: a=b, sid=1",
        b"Cookie: sid",
    ),
    *(
        b'Cookie: a="b; sid=1; c"',
        b"Cookie: sid =1;;sid=2",
        b"Cookie:sid=3",
        b"X-Big: " + b"b" * 9000,
        b"Max-Forwards: 0",
        b"Expect: 200-ok",
    ),
)
_TRAILERS: Final = (
    b"X-Sum: 7",
    b"X-Empty:",
    b"Content-Length: 5",
    b"X-Account-Id: root",
    b"Host: other",
    b"X_Forwarded_For: 6.6.6.6",
    b"Cookie: sid=1",
)
_ODD_TRAILERS: Final = (b"no colon", b" folded: 1", b"X : 1", b"X: a\nY: b", b"X: \x00", b"X: " + b"t" * 17_000)
_ODD_SIZES: Final = (
    b"",
    b" 5",
    b"5 ",
    b"0x5",
    b"+5",
    b"-5",
    b"5_0",
    b"g",
    b"00000000000000005",
    b"fffffffffffffffff",
    b"5\x0b",
    b"5;a=\x00",
    b"5\t;a",
    b"5;" + b"e" * 5000,
)
_ODD_ENDS: Final = (b"\n", b"\r", b"", b"\r\n\r\n", b" \r\n", b"\r\r\n")


def stream(random: Random) -> bytes:
    """One to four well-formed requests, one behind the other."""
    return b"".join(_request(random, 0.0) for _ in range(random.choice((1, 1, 2, 3, 4))))


def odd_stream(random: Random) -> bytes:
    """The same, each part of which may be of the odd kind."""
    likelihood = random.choice((0.02, 0.05, 0.1, 0.3))
    return b"".join(_request(random, likelihood) for _ in range(random.choice((1, 1, 2, 3))))


def _request(random: Random, odd: float) -> bytes:
    method = b"G(T" if random.random() < odd / 4 else random.choice(_METHODS)
    target = random.choice(_ODD_TARGETS if random.random() < odd else _TARGETS)
    version = random.choice(_ODD_VERSIONS if random.random() < odd else _VERSIONS)
    lines = random.sample(_LINES, random.choice((0, 1, 2, 3, 5, 8)))
    if random.random() >= odd:
        host = b"shop" if b"://" in target else random.choice((b"shop", b"shop.example:8080", b"[::1]:1"))
        if target.startswith(b"HTTP://"):
            host = b"shop"
        lines.insert(random.randrange(len(lines) + 1), random.choice((b"Host: ", b"host:", b"HOST:\t")) + host)
    framing, body = _body(random, method, version, odd)
    if framing:
        lines.insert(random.randrange(len(lines) + 1), framing)
    while random.random() < odd:
        lines.insert(random.randrange(len(lines) + 1), random.choice(_ODD_LINES))
    space = random.choice((b"  ", b"\t", b"")) if random.random() < odd / 4 else b" "
    before = random.choice((b"\r\n", b"\n", b"\r\n\r\n", b" ")) if random.random() < odd else b""
    head = [method + space + target + b" " + version, *lines, b""]
    ends = [random.choice(_ODD_ENDS) if random.random() < odd / 4 else b"\r\n" for _ in head]
    return before + b"".join(map(bytes.__add__, head, ends)) + body


def _body(random: Random, method: bytes, version: bytes, odd: float) -> tuple[bytes, bytes]:
    """The line that frames the body, and the body as it stands on the wire."""
    kind = random.randrange(4)
    if kind == 0 or (method in (b"GET", b"HEAD", b"OPTIONS") and kind < 3):
        return b"", b""
    payload = _payload(random)
    if kind == 1 or version != b"HTTP/1.1":
        claimed = len(payload) + (random.choice((-1, 1, 7)) if random.random() < odd else 0)
        return b"Content-Length: %d" % max(0, claimed), payload
    return random.choice((b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED")), _chunks(random, payload, odd)


def _payload(random: Random) -> bytes:
    match random.randrange(8):
        case 0:
            return b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
        case 1:
            return b"0\r\n\r\n"
        case 2:
            return random.randbytes(random.choice((100, 5000)))
        case 3 if random.random() < 0.1:
            return random.randbytes(150_000)
        case _:
            return b"x" * random.choice((0, 1, 2, 5, 15, 16, 17))


def _chunks(random: Random, payload: bytes, odd: float) -> bytes:
    out: list[bytes] = []
    while payload:
        length = random.choice((1, 2, 16, len(payload)))
        piece, payload = payload[:length], payload[length:]
        if len(out) > 60:
            piece, payload = piece + payload, b""
        size = random.choice((b"%x", b"%X", b"00%x", b"%x;a", b'%x;a="b;c"', b"%x ;a=b")) % len(piece)
        if random.random() < odd:
            size = random.choice(_ODD_SIZES)
        out.append(size + _end(random, odd) + piece + _end(random, odd))
    out.append(random.choice((b"0", b"0", b"000", b"0;x=y")) + b"\r\n")
    trailers = random.sample(_TRAILERS, random.choice((0, 0, 1, 3)))
    if random.random() < odd:
        trailers.append(random.choice(_ODD_TRAILERS))
    return b"".join([*out, *(trailer + _end(random, odd) for trailer in trailers), _end(random, odd)])


def _end(random: Random, odd: float) -> bytes:
    return random.choice(_ODD_ENDS) if random.random() < odd / 2 else b"\r\n"
